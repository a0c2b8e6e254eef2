//! The walk over forwarded addresses.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// 10.0.0.0/8 and fd00::/8 are proxies of ours.
fn trusted() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().unwrap()))
}

/// Name and value of a header.
type Line<'a> = (&'static str, &'a str);

fn headers(lines: &[Line<'_>]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect()
}

fn client(peer: &str, lines: &[Line<'_>]) -> String {
    let trusted = trusted();
    let peer = Peer::new(peer.parse().unwrap(), false, &trusted);
    ClientAddress::new(peer, &headers(lines), &trusted).ip().to_string()
}

#[test]
fn the_client_is_the_last_address_that_is_not_trusted() {
    const XFF: &str = "x-forwarded-for";
    let cases: &[(&str, &[Line<'_>], &str)] = &[
        // No proxy, or none of ours: the peer, whatever the headers say.
        ("192.0.2.1", &[], "192.0.2.1"),
        ("192.0.2.1", &[(XFF, "198.51.100.7")], "192.0.2.1"),
        ("192.0.2.1", &[("forwarded", "for=198.51.100.7")], "192.0.2.1"),
        // One proxy, and several.
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[(XFF, "198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", &[(XFF, "198.51.100.7, 10.0.0.3,10.0.0.2")], "198.51.100.7"),
        // What the client itself wrote in front does not count.
        ("10.0.0.1", &[(XFF, "203.0.113.9, 198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", &[(XFF, "10.9.9.9, 198.51.100.7, 10.0.0.2")], "198.51.100.7"),
        // All lines are one list.
        ("10.0.0.1", &[(XFF, "203.0.113.9"), (XFF, "198.51.100.7"), (XFF, "10.0.0.2")], "198.51.100.7"),
        // Nothing but proxies of ours: a client inside.
        ("10.0.0.1", &[(XFF, "10.0.0.5, 10.0.0.2")], "10.0.0.5"),
        // Ports and brackets.
        ("10.0.0.1", &[(XFF, "198.51.100.7:4711")], "198.51.100.7"),
        ("10.0.0.1", &[(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
        ("10.0.0.1", &[(XFF, "[2001:db8::7]")], "2001:db8::7"),
        ("fd00::1", &[(XFF, "2001:db8::7")], "2001:db8::7"),
        // IPv4 in the clothes of IPv6.
        ("::ffff:10.0.0.1", &[(XFF, "::ffff:198.51.100.7")], "198.51.100.7"),
        ("::ffff:192.0.2.1", &[], "192.0.2.1"),
        // What cannot be read ends the walk at the last good address.
        ("10.0.0.1", &[(XFF, "unknown")], "10.0.0.1"),
        ("10.0.0.1", &[(XFF, "")], "10.0.0.1"),
        ("10.0.0.1", &[(XFF, "198.51.100.7, not-an-address, 10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", &[(XFF, "198.51.100.7,,10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", &[(XFF, "198.51.100.7, \u{e9}, 10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", &[(XFF, "300.1.1.1")], "10.0.0.1"),
        ("10.0.0.1", &[(XFF, "198.51.100.7 10.0.0.2")], "10.0.0.1"),
        // RFC 7239.
        ("10.0.0.1", &[("forwarded", "for=198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", &[("forwarded", "For=\"[2001:db8:cafe::17]:4711\"")], "2001:db8:cafe::17"),
        ("10.0.0.1", &[("forwarded", "for=198.51.100.7;proto=https;by=203.0.113.43, for=10.0.0.2")], "198.51.100.7"),
        ("10.0.0.1", &[("forwarded", "for=198.51.100.7"), ("forwarded", "for=10.0.0.2")], "198.51.100.7"),
        ("10.0.0.1", &[("forwarded", "for=198.51.100.7, for=_hidden, for=10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", &[("forwarded", "for=unknown")], "10.0.0.1"),
        ("10.0.0.1", &[("forwarded", "proto=https")], "10.0.0.1"),
        ("10.0.0.1", &[("forwarded", "for=198.51.100.7;for=198.51.100.8")], "10.0.0.1"),
        ("10.0.0.1", &[("forwarded", "for=\"198.51.100.7")], "10.0.0.1"),
        // An open quotation mark of the client's swallows nothing of what a proxy has appended.
        ("10.0.0.1", &[("forwarded", "for=\"203.0.113.9, for=198.51.100.7")], "198.51.100.7"),
        // X-Forwarded-For comes first, also where it cannot be read.
        ("10.0.0.1", &[(XFF, "198.51.100.7"), ("forwarded", "for=203.0.113.9")], "198.51.100.7"),
        ("10.0.0.1", &[(XFF, "nobody"), ("forwarded", "for=203.0.113.9")], "10.0.0.1"),
    ];
    for (peer, lines, expected) in cases {
        assert_eq!(client(peer, lines), *expected, "{peer} {lines:?}");
    }
}

#[test]
fn scheme_and_host_are_taken_from_trusted_proxies_alone() {
    let lines = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "spoofed.example, hooks.example:8443")]);
    let trusted = trusted();
    let said = |ip: &str, is_tls: bool, lines: &HeaderMap| {
        let client = ClientAddress::new(Peer::new(ip.parse().unwrap(), is_tls, &trusted), lines, &trusted);
        (client.scheme(lines), client.forwarded_host(lines).map(|host| host.to_string()))
    };
    assert_eq!(said("10.0.0.1", false, &lines), ("https", Some("hooks.example:8443".to_owned())));
    assert_eq!(said("192.0.2.1", false, &lines), ("http", None));
    assert_eq!(said("192.0.2.1", true, &lines), ("https", None));
    // A proxy that was itself asked over plain HTTP, and one that says nothing useful.
    assert_eq!(said("10.0.0.1", true, &headers(&[("x-forwarded-proto", "HTTP")])), ("http", None));
    let useless = headers(&[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "user@hooks.example")]);
    assert_eq!(said("10.0.0.1", true, &useless), ("https", None));
}

/// Anything that may stand in a list: addresses of both kinds, trusted or not, and nonsense.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(bytes).to_string()),
        any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}")),
        any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(bytes).to_string()),
        "[ -~]{0,20}",
    ]
}

proptest! {
    #[test]
    fn without_trust_headers_change_nothing(peer in any::<[u8; 4]>(), entries in prop::collection::vec(entry(), 0..6)) {
        let peer = IpAddr::from(peer);
        let nobody = TrustedProxies::default();
        let lines = headers(&[("x-forwarded-for", &entries.join(", ")), ("forwarded", &entries.join(", "))]);
        prop_assert_eq!(ClientAddress::new(Peer::new(peer, false, &nobody), &lines, &nobody).ip(), peer);
    }

    #[test]
    fn what_a_client_writes_in_front_changes_nothing(
        written in prop::collection::vec(entry(), 0..6),
        client in any::<[u8; 4]>().prop_map(IpAddr::from).prop_filter("not a proxy", |ip| !trusted().contains(*ip)),
        proxies in 0_u8..4,
    ) {
        let mut list = written;
        list.push(client.to_string());
        list.extend((0..proxies).map(|index| format!("10.0.0.{index}")));
        let trusted = trusted();
        let peer = Peer::new("10.1.1.1".parse().unwrap(), false, &trusted);
        let in_one_line = headers(&[("x-forwarded-for", &list.join(","))]);
        prop_assert_eq!(ClientAddress::new(peer, &in_one_line, &trusted).ip(), client);
        let lines: Vec<_> = list.iter().map(|entry| ("x-forwarded-for", entry.as_str())).collect();
        prop_assert_eq!(ClientAddress::new(peer, &headers(&lines), &trusted).ip(), client);
    }

    /// Whatever stands there: the client is the peer or an address of the list, and only of trusted proxies' making.
    #[test]
    fn the_client_is_the_peer_or_stands_in_the_list(entries in prop::collection::vec(entry(), 0..8)) {
        let trusted = trusted();
        let peer = Peer::new("10.1.1.1".parse().unwrap(), false, &trusted);
        let lines = headers(&[("x-forwarded-for", &entries.join(","))]);
        let ip = ClientAddress::new(peer, &lines, &trusted).ip();
        let listed = backwards(&lines, &X_FORWARDED_FOR).flatten().filter_map(forwarded::node);
        prop_assert!(ip == peer.ip || listed.map(|ip| ip.to_canonical()).any(|listed| listed == ip));
    }
}
