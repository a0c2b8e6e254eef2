//! One hop of `X-Forwarded-For` or `Forwarded`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address as proxies write it: with a port or without, IPv6 in brackets or without. Names such as `unknown` are none.
pub(super) fn node(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip);
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some(addr.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// The `for` of one element of `Forwarded` (RFC 7239, section 4): `for="[2001:db8::1]:4711";proto=https`.
pub(super) fn for_node(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            // Each parameter may occur once; of two, nobody knows which one a proxy before us meant.
            if found.is_some() {
                return None;
            }
            found = Some(node(unquoted(value.trim())?)?);
        }
    }
    found
}

/// The text of a token or a quoted string. No address needs an escape.
fn unquoted(value: &str) -> Option<&str> {
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value);
    };
    rest.strip_suffix('"').filter(|text| !text.contains(['"', '\\']))
}
