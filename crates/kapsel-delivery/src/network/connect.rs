//! New connections, to allowed addresses only.
//!
//! The guard sits at the last possible place. The addresses that resolution gave are checked, the connection goes to
//! one of the very addresses that were checked, and the address at its other end is checked once more. A name that
//! resolves to something else a moment later (DNS rebinding) gains nothing by it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{AddressPolicy, BlockedAddress, DestinationUrl, FailureKind};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{self, Failure};
use super::resolve::{self, Resolve};
use super::socket::Socket;

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;
/// How long one address may be silent before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// One end of a connection: what pooled connections are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl Target {
    pub(super) fn of(url: &DestinationUrl) -> Option<Self> {
        let url = url.as_url();
        let host = url.host_str()?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (is_tls, port) = (url.scheme() == "https", url.port_or_known_default()?);
        Some(Target { is_tls, host: host.to_owned(), port })
    }
}

/// A connection that is ready for HTTP.
pub(super) enum Stream {
    Plain(Socket),
    // A TLS session is some kilobytes of state.
    Tls(Box<TlsStream<Socket>>),
}

/// Makes connections.
pub(super) struct Connector {
    pub policy: AddressPolicy,
    pub resolver: Arc<dyn Resolve>,
    pub tls: TlsConnector,
    /// The limit of resolution, connection and TLS handshake together.
    pub limit: Duration,
}

impl Connector {
    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, Failure> {
        let establish = async {
            let tcp = self.connect_tcp(target).await?;
            if target.is_tls { self.handshake(tcp, &target.host).await } else { Ok(Stream::Plain(tcp)) }
        };
        match tokio::time::timeout(self.limit, establish).await {
            Ok(result) => result,
            Err(_) => {
                let detail = format!("no connection within {} s", self.limit.as_secs_f64());
                Err(Failure::new(FailureKind::Timeout, detail))
            }
        }
    }

    async fn connect_tcp(&self, target: &Target) -> Result<Socket, Failure> {
        let found = match target.host.parse::<IpAddr>() {
            // A literal never reaches the resolver, so that no resolver can be what lets it pass.
            Ok(literal) => vec![literal],
            Err(_) => self.resolver.addresses(&target.host).await?,
        };
        if found.is_empty() {
            return Err(resolve::failure(&target.host, "it has no address"));
        }
        let allowed = self.allowed(found)?;
        let addresses: Vec<_> = allowed.into_iter().map(|address| SocketAddr::new(address, target.port)).collect();
        let stream = dial(&addresses).await?;
        let peer = stream.peer_addr().map_err(|error| failure::of_dial(&error))?;
        self.policy.check(peer.ip())?;
        stream.set_nodelay(true).map_err(|error| failure::of_dial(&error))?;
        Ok(Socket::new(stream))
    }

    /// Those of `found` that may be connected to, the families by turns.
    fn allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failure> {
        let mut refused: Option<BlockedAddress> = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.policy.check(address) {
                Ok(()) => allowed.push(address),
                Err(blocked) => refused = refused.or(Some(blocked)),
            }
        }
        match refused {
            Some(blocked) if allowed.is_empty() => Err(blocked.into()),
            _ => Ok(by_turns(allowed)),
        }
    }

    async fn handshake(&self, tcp: Socket, host: &str) -> Result<Stream, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::new(FailureKind::Tls, "no certificate can be issued for this host name"))?;
        let stream = self.tls.connect(name, tcp).await.map_err(|error| failure::of_handshake(&error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// Puts the families of addresses by turns, beginning with that of the first (RFC 8305, section 4), so that a broken
/// IPv6 costs one stagger and not one for each address.
fn by_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first().map(IpAddr::is_ipv4) else { return addresses };
    let (same, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let mut other = other.into_iter();
    let mut mixed = Vec::new();
    for address in same {
        mixed.push(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed.truncate(ADDRESSES_MAX);
    mixed
}

/// Connects to the first of `addresses` that answers. Each next one is tried when the one before failed or was silent
/// for a while; the connections that lose are dropped.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    if let [address] = addresses {
        return TcpStream::connect(address).await.map_err(|error| failure::of_dial(&error));
    }
    let mut untried = addresses.iter().copied();
    let mut dials = JoinSet::new();
    let mut last = Failure::new(FailureKind::Connection, "there is no address to connect to");
    loop {
        if let Some(address) = untried.next() {
            dials.spawn(TcpStream::connect(address));
        } else if dials.is_empty() {
            return Err(last);
        }
        let finished = if untried.len() > 0 {
            tokio::time::timeout(STAGGER, dials.join_next()).await.ok().flatten()
        } else {
            dials.join_next().await
        };
        match finished {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = failure::of_dial(&error),
            // Silent so far, or a task that was ended from outside; the next address is tried in either case.
            Some(Err(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_are_bounded() {
        let mixed = by_turns(ips(&["::1", "::2", "::3", "1.1.1.1", "1.1.1.2"]));
        assert_eq!(mixed, ips(&["::1", "1.1.1.1", "::2", "1.1.1.2", "::3"]));
        assert_eq!(by_turns(ips(&["1.1.1.1"])), ips(&["1.1.1.1"]));
        assert!(by_turns(Vec::new()).is_empty());
        let many: Vec<IpAddr> = (0..100_u8).map(|last| IpAddr::from([1, 1, 1, last])).collect();
        assert_eq!(by_turns(many).len(), ADDRESSES_MAX);
    }

    #[test]
    fn targets_tell_scheme_host_and_port_apart() {
        let target = |text: &str| Target::of(&text.parse().unwrap()).unwrap();
        let cases = [
            ("http://example.com/a", false, "example.com", 80),
            ("https://example.com/a", true, "example.com", 443),
            ("https://example.com:8443/", true, "example.com", 8_443),
            ("http://[2001:db8::1]:8080/", false, "2001:db8::1", 8_080),
            ("http://0x7f.1/", false, "127.0.0.1", 80),
        ];
        for (text, is_tls, host, port) in cases {
            assert_eq!(target(text), Target { is_tls, host: host.to_owned(), port }, "{text}");
        }
    }

    #[tokio::test]
    async fn a_refused_address_is_followed_by_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let other = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
            other.local_addr().unwrap()
        };
        let stream = dial(&[closed, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let failure = dial(&[closed, closed]).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.detail.as_str()),
            (FailureKind::Connection, "cannot connect: connection refused")
        );
        assert_eq!(dial(&[]).await.unwrap_err().kind, FailureKind::Connection);
    }
}
