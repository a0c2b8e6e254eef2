//! Where a delivery may go: the form of a destination URL, and the addresses that are refused.
//!
//! The transport asks [`AddressPolicy::check`] about the address that it is about to connect to, after resolution, so
//! that a name which resolves to another address later (DNS rebinding) gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

/// The longest URL that is accepted, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// An absolute `http` or `https` URL without credentials and without fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct DestinationUrl(Url);

/// Why a text is not a destination URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It does not parse.
    #[error("not a URL: {0}")]
    Malformed(#[from] url::ParseError),
    /// It is too long.
    #[error("longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Its scheme is another one.
    #[error("the scheme is {0:?}; only http and https are delivered to")]
    Scheme(String),
    /// It has no host.
    #[error("has no host")]
    NoHost,
    /// It carries a user name or password, which would show up wherever the URL is shown.
    #[error("carries credentials; send them in a custom header instead")]
    Credentials,
    /// It has a fragment, which HTTP never sends.
    #[error("has a fragment (#...), which is never sent")]
    Fragment,
}

impl DestinationUrl {
    /// The parsed URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Checks what can be known without resolving a name: literal addresses in every notation, and names that are
    /// loopback by definition (RFC 6761, section 6.3).
    ///
    /// # Errors
    /// The address and the range that refuses it.
    pub fn check_literal(&self, policy: &AddressPolicy) -> Result<(), BlockedAddress> {
        match self.0.host() {
            Some(Host::Ipv4(address)) => policy.check(address.into()),
            Some(Host::Ipv6(address)) => policy.check(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let is_loopback = name == "localhost" || name.ends_with(".localhost");
                let either = policy.check(Ipv4Addr::LOCALHOST.into()).or(policy.check(Ipv6Addr::LOCALHOST.into()));
                if is_loopback { either } else { Ok(()) }
            }
            None => Ok(()),
        }
    }
}

impl FromStr for DestinationUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidUrl::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidUrl::NoHost);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        Ok(DestinationUrl(url))
    }
}

impl fmt::Display for DestinationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DestinationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DestinationUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DestinationUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which addresses may be connected to: public ones, and those of the operator's allow-list.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    allow: Vec<IpNet>,
}

/// An address that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not allowed: {range}")]
pub struct BlockedAddress {
    /// The refused address.
    pub address: IpAddr,
    /// The range that it belongs to, in words.
    pub range: &'static str,
}

impl AddressPolicy {
    /// Public addresses, and those in `allow`.
    pub fn new(allow: Vec<IpNet>) -> Self {
        AddressPolicy { allow }
    }

    /// Whether `address` may be connected to.
    ///
    /// # Errors
    /// The range that refuses it.
    pub fn check(&self, address: IpAddr) -> Result<(), BlockedAddress> {
        let canonical = address.to_canonical();
        if self.allow.iter().any(|net| net.contains(&address) || net.contains(&canonical)) {
            return Ok(());
        }
        let range = match canonical {
            IpAddr::V4(v4) => blocked_v4(v4),
            IpAddr::V6(v6) => blocked_v6(v6),
        };
        match range {
            Some(range) => Err(BlockedAddress { address, range }),
            None => Ok(()),
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, 0, 0), prefix)
}

/// The special-purpose ranges of IPv4 (IANA IPv4 Special-Purpose Address Registry, RFC 6890).
const BLOCKED_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "this network (0.0.0.0/8)"),
    (v4(10, 0, 0, 0, 8), "private (10.0.0.0/8)"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT (100.64.0.0/10)"),
    (v4(127, 0, 0, 0, 8), "loopback (127.0.0.0/8)"),
    (v4(169, 254, 0, 0, 16), "link-local and cloud metadata (169.254.0.0/16)"),
    (v4(172, 16, 0, 0, 12), "private (172.16.0.0/12)"),
    (v4(192, 0, 0, 0, 24), "protocol assignments (192.0.0.0/24)"),
    (v4(192, 0, 2, 0, 24), "documentation (192.0.2.0/24)"),
    (v4(192, 88, 99, 0, 24), "6to4 relay (192.88.99.0/24)"),
    (v4(192, 168, 0, 0, 16), "private (192.168.0.0/16)"),
    (v4(198, 18, 0, 0, 15), "benchmarking (198.18.0.0/15)"),
    (v4(198, 51, 100, 0, 24), "documentation (198.51.100.0/24)"),
    (v4(203, 0, 113, 0, 24), "documentation (203.0.113.0/24)"),
    (v4(224, 0, 0, 0, 4), "multicast (224.0.0.0/4)"),
    (v4(240, 0, 0, 0, 4), "reserved and broadcast (240.0.0.0/4)"),
];

/// The special ranges inside the global unicast range of IPv6, 2000::/3 (IANA IPv6 Special-Purpose Address
/// Registry). Everything outside of 2000::/3 is refused as a whole.
const BLOCKED_V6: &[(Ipv6Net, &str)] = &[
    (v6(0x2001, 0, 0, 0, 0, 0, 23), "protocol assignments and Teredo (2001::/23)"),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0, 32), "documentation (2001:db8::/32)"),
    (v6(0x2002, 0, 0, 0, 0, 0, 16), "6to4 (2002::/16)"),
    (v6(0x3fff, 0, 0, 0, 0, 0, 20), "documentation (3fff::/20)"),
];
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 0, 0, 3);

fn blocked_v4(address: Ipv4Addr) -> Option<&'static str> {
    BLOCKED_V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, range)| *range)
}

fn blocked_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address == Ipv6Addr::LOCALHOST {
        return Some("loopback (::1)");
    }
    if !GLOBAL_UNICAST.contains(&address) {
        return Some("outside of global unicast (2000::/3)");
    }
    BLOCKED_V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, range)| *range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(text: &str) -> bool {
        AddressPolicy::default().check(text.parse().unwrap()).is_err()
    }

    #[test]
    fn special_ranges_are_refused_at_both_ends() {
        let refused = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(blocked(text), "{text} passed");
        }
    }

    #[test]
    fn public_addresses_beside_the_ranges_pass() {
        let passed = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ];
        for text in passed {
            assert!(!blocked(text), "{text} was refused");
        }
    }

    #[test]
    fn the_allow_list_opens_exactly_its_ranges() {
        let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert!(policy.check("10.1.2.3".parse().unwrap()).is_ok());
        assert!(policy.check("::ffff:10.1.2.3".parse().unwrap()).is_ok());
        assert!(policy.check("::1".parse().unwrap()).is_ok());
        assert!(policy.check("10.2.0.1".parse().unwrap()).is_err());
        assert!(policy.check("127.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn literals_in_every_notation_are_recognised() {
        let policy = AddressPolicy::default();
        let refused = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://localhost:8080/",
            "http://LOCALHOST/",
            "http://a.localhost./",
            "http://１２７.0.0.1/",
        ];
        for text in refused {
            let url: DestinationUrl = text.parse().unwrap();
            assert!(url.check_literal(&policy).is_err(), "{text}");
        }
        let url: DestinationUrl = "https://example.com/hook".parse().unwrap();
        assert!(url.check_literal(&policy).is_ok());
        let local: DestinationUrl = "http://localhost/".parse().unwrap();
        assert!(local.check_literal(&AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).is_ok());
    }

    #[test]
    fn only_plain_http_urls_are_destinations() {
        let cases = [
            ("ftp://example.com/", InvalidUrl::Scheme("ftp".to_owned())),
            ("file:///etc/passwd", InvalidUrl::Scheme("file".to_owned())),
            ("https://user:pass@example.com/", InvalidUrl::Credentials),
            ("https://user@example.com/", InvalidUrl::Credentials),
            ("https://example.com/#top", InvalidUrl::Fragment),
            ("example.com/hook", InvalidUrl::Malformed(url::ParseError::RelativeUrlWithoutBase)),
            ("https://", InvalidUrl::Malformed(url::ParseError::EmptyHost)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<DestinationUrl>().unwrap_err(), expected, "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(long.parse::<DestinationUrl>().unwrap_err(), InvalidUrl::TooLong);
        assert_eq!(
            "https://example.com/a?b=c".parse::<DestinationUrl>().unwrap().as_str(),
            "https://example.com/a?b=c"
        );
    }
}
