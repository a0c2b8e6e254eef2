//! Who sent a request: the peer of the connection, or, where that is a proxy of ours, what the proxy says.
//!
//! Anybody can write `X-Forwarded-For`. What is in it counts only as far as trusted proxies have written it: each appends
//! the address that it saw at the end, so the list is walked from its end, past trusted addresses, up to the first that is
//! not.

mod forwarded;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::FORWARDED;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies whose word on the client is taken. None by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts what connects from these ranges.
    pub fn new(ranges: impl IntoIterator<Item = IpNet>) -> Self {
        TrustedProxies(ranges.into_iter().collect())
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&ip))
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// An IPv4 address is always one, also on a socket of IPv6.
    pub(crate) ip: IpAddr,
    pub(crate) is_tls: bool,
    /// Whether it is a proxy whose word is taken.
    pub(crate) is_trusted: bool,
}

impl Peer {
    pub(crate) fn new(ip: IpAddr, is_tls: bool, trusted: &TrustedProxies) -> Self {
        let ip = ip.to_canonical();
        Peer { ip, is_tls, is_trusted: trusted.contains(ip) }
    }
}

/// Who sent a request. Every request that came over a socket has it among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    ip: IpAddr,
    is_tls: bool,
    is_forwarded: bool,
}

impl ClientAddress {
    /// The client of a request with these headers that came from `peer`.
    pub(crate) fn new(peer: Peer, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        // Without trusted proxies, the common case, no header is looked at.
        let ip = if peer.is_trusted { client_ip(peer.ip, headers, trusted) } else { peer.ip };
        ClientAddress { ip, is_tls: peer.is_tls, is_forwarded: peer.is_trusted }
    }

    /// The client of this request.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        parts.extensions.get::<ClientAddress>().copied()
    }

    /// Its address.
    #[cfg_attr(not(test), expect(dead_code, reason = "for what tells clients apart: request logs and rate limits"))]
    pub(crate) fn ip(self) -> IpAddr {
        self.ip
    }

    /// The scheme of the URL that the client asked for.
    pub(crate) fn scheme(self, headers: &HeaderMap) -> &'static str {
        let own = if self.is_tls { "https" } else { "http" };
        match self.said_by_proxy(headers, &X_FORWARDED_PROTO) {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
            _ => own,
        }
    }

    /// The host of that URL, if a trusted proxy tells it.
    pub(crate) fn forwarded_host(self, headers: &HeaderMap) -> Option<Authority> {
        let host = self.said_by_proxy(headers, &X_FORWARDED_HOST)?;
        Authority::try_from(host).ok().filter(|host| !host.as_str().contains('@'))
    }

    /// The last value of a header, which is what the nearest proxy wrote.
    fn said_by_proxy<'a>(self, headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
        if !self.is_forwarded {
            return None;
        }
        let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        line.rsplit(',').next().map(str::trim)
    }
}

/// The client behind `peer`: the right-most address of `X-Forwarded-For`, or of `Forwarded` (RFC 7239) where there is no
/// such header, that is not trusted. What cannot be read ends the walk at the address before it; a list of nothing but
/// trusted addresses ends at its first.
fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    if headers.contains_key(X_FORWARDED_FOR) {
        walk(peer, trusted, backwards(headers, &X_FORWARDED_FOR).map(|entry| entry.and_then(forwarded::node)))
    } else {
        walk(peer, trusted, backwards(headers, &FORWARDED).map(|entry| entry.and_then(forwarded::for_node)))
    }
}

fn walk(peer: IpAddr, trusted: &TrustedProxies, nodes: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
    let mut last = peer.to_canonical();
    for node in nodes {
        if !trusted.contains(last) {
            break;
        }
        let Some(ip) = node else { break };
        last = ip.to_canonical();
    }
    last
}

/// The entries of all lines of a list header, the last one first; `None` for what is no text. Lists are cut at each comma,
/// from the end: what a client wrote in front, an open quotation mark say, does not change how later entries are read.
fn backwards<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let lines = headers.get_all(name).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(|entry| str::from_utf8(entry).ok().map(str::trim))
}

#[cfg(test)]
mod tests;
