//! A list of HTTP headers in one buffer, and the rules which of them travel on to the destination.
//!
//! The buffer is what the store keeps, so a header is copied once when it comes in and never parsed again until a
//! delivery reads it. Order and repetitions are kept; names are in lower case.

use bytes::{BufMut, Bytes, BytesMut};

/// Headers in their order, names in lower case, values as raw bytes.
///
/// Layout of one header: name length (u16, little endian), value length (u32, little endian), name, value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HeaderBlock(Bytes);

/// The bytes are not a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored headers are damaged")]
pub struct DamagedHeaderBlock;

const LENGTHS: usize = 6;
/// The headers of most webhooks fit into it.
const USUAL_BYTES: usize = 512;

impl HeaderBlock {
    /// Builds a block from names and values. Names are put into lower case. A header whose name is longer than
    /// 65,535 bytes is left out; no HTTP server lets one in.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut buffer = BytesMut::with_capacity(USUAL_BYTES);
        for (name, value) in pairs {
            let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len())) else {
                continue;
            };
            buffer.reserve(LENGTHS + name.len() + value.len());
            buffer.put_u16_le(name_len);
            buffer.put_u32_le(value_len);
            let start = buffer.len();
            buffer.put_slice(name.as_bytes());
            buffer[start..].make_ascii_lowercase();
            buffer.put_slice(value);
        }
        HeaderBlock(buffer.freeze())
    }

    /// Takes over a stored block after checking that it is whole.
    ///
    /// # Errors
    /// [`DamagedHeaderBlock`] if lengths and names do not add up.
    pub fn from_stored(bytes: Bytes) -> Result<Self, DamagedHeaderBlock> {
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let (name, _, behind) = split_first(rest).ok_or(DamagedHeaderBlock)?;
            std::str::from_utf8(name).map_err(|_| DamagedHeaderBlock)?;
            rest = behind;
        }
        Ok(HeaderBlock(bytes))
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// All headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (name, value, behind) = split_first(rest)?;
            rest = behind;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    /// All values of the header `name` (in lower case), in their order.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(move |(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// The first value of the header `name` (in lower case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// The first value of the header `name` (in lower case) if it is text.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The only value of the header `name` (in lower case) if it occurs exactly once and is text. Security checks
    /// use this one: with two values, sender and receiver could each mean another one.
    pub fn get_single_str(&self, name: &str) -> Option<&str> {
        let mut values = self.get_all(name);
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        std::str::from_utf8(first).ok()
    }
}

impl std::fmt::Debug for HeaderBlock {
    /// Shows names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn split_first(block: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (lengths, rest) = block.split_first_chunk::<LENGTHS>()?;
    let name_len = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
    let value_len = usize::try_from(u32::from_le_bytes([lengths[2], lengths[3], lengths[4], lengths[5]])).ok()?;
    let (name, rest) = rest.split_at_checked(name_len)?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some((name, value, rest))
}

/// The longest header name that a policy can name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Whether `name` is a header name in the form that a [`HeaderBlock`] keeps: a token (RFC 9110, section 5.6.2) in
/// lower case. A policy that names a header in another form would never find it.
pub fn is_lower_case_name(name: &str) -> bool {
    let is_name_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
}

/// Reads a header name in any case and keeps it in lower case, for `#[serde(deserialize_with)]`: HTTP knows no case in
/// names, so nobody should have to think of it when writing a configuration.
pub(crate) fn deserialize_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let mut name: String = serde::Deserialize::deserialize(deserializer)?;
    name.make_ascii_lowercase();
    Ok(name)
}

/// Headers that belong to one connection or are made anew for each request (RFC 9110, section 7.6.1, and the
/// framing headers). They never travel on and cannot be set as custom headers.
pub const HOP_BY_HOP: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that Kapsel itself writes; an incoming one of the same name is replaced.
const OWN_PREFIX: &str = "x-kapsel-";
const OWN: &[&str] = &["traceparent", "tracestate", "user-agent"];

/// Under which name a header that came in from the source travels on to the destination; `None` if it does not.
///
/// `connection_options` are the names listed in the source's `Connection` header, `denied` the operator's deny-list;
/// both in lower case. The source's own Standard Webhooks headers get the prefix `x-kapsel-source-`, because the
/// destination must find Kapsel's own under the plain names.
pub fn forwarded_name<'a>(
    name: &'a str,
    connection_options: &[String],
    denied: &[String],
) -> Option<std::borrow::Cow<'a, str>> {
    let dropped = HOP_BY_HOP.contains(&name)
        || OWN.contains(&name)
        || name.starts_with(OWN_PREFIX)
        || connection_options.iter().any(|option| option == name)
        || denied.iter().any(|header| header == name);
    if dropped {
        return None;
    }
    if is_standard_webhooks_header(name) {
        return Some(format!("x-kapsel-source-{name}").into());
    }
    Some(name.into())
}

/// Whether `name` (in lower case) is one of the three headers that Standard Webhooks defines.
pub fn is_standard_webhooks_header(name: &str) -> bool {
    matches!(name, "webhook-id" | "webhook-timestamp" | "webhook-signature")
}

/// Why `name` (in lower case) cannot be set as a custom header of an endpoint, or `None` if it can.
pub fn custom_header_refusal(name: &str) -> Option<&'static str> {
    if HOP_BY_HOP.contains(&name) {
        Some("belongs to the connection and is set by Kapsel")
    } else if OWN.contains(&name) || name.starts_with(OWN_PREFIX) || is_standard_webhooks_header(name) {
        Some("is written by Kapsel")
    } else {
        None
    }
}

/// The header names that a `Connection` header lists, in lower case (RFC 9110, section 7.6.1).
pub fn connection_options(headers: &HeaderBlock) -> Vec<String> {
    headers
        .get_all("connection")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .filter(|option| !option.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> HeaderBlock {
        HeaderBlock::from_pairs([
            ("Content-Type", &b"application/json"[..]),
            ("X-Twice", b"one"),
            ("x-twice", b"two"),
            ("x-raw", b"\xff\x00"),
        ])
    }

    #[test]
    fn keeps_order_repetitions_and_raw_values() {
        let block = sample();
        let names: Vec<_> = block.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["content-type", "x-twice", "x-twice", "x-raw"]);
        assert_eq!(block.get_all("x-twice").collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(block.get("x-raw"), Some(&b"\xff\x00"[..]));
        assert_eq!(block.get_str("x-raw"), None);
        assert_eq!(block.get_single_str("content-type"), Some("application/json"));
        assert_eq!(block.get_single_str("x-twice"), None);
        assert_eq!(block.get("x-absent"), None);
    }

    #[test]
    fn debug_output_shows_no_value() {
        let shown = format!("{:?}", sample());
        assert!(shown.contains("x-raw") && !shown.contains("application/json"), "{shown}");
    }

    #[test]
    fn hop_by_hop_own_and_denied_headers_stay_behind() {
        let none: &[String] = &[];
        for name in ["host", "transfer-encoding", "x-kapsel-event-id", "traceparent", "user-agent"] {
            assert_eq!(forwarded_name(name, none, none), None, "{name}");
        }
        assert_eq!(forwarded_name("x-secret", none, &["x-secret".to_owned()]), None);
        assert_eq!(forwarded_name("x-hop", &["x-hop".to_owned()], none), None);
        assert_eq!(forwarded_name("x-github-event", none, none).as_deref(), Some("x-github-event"));
        let renamed = forwarded_name("webhook-id", none, none);
        assert_eq!(renamed.as_deref(), Some("x-kapsel-source-webhook-id"));
    }

    #[test]
    fn names_are_lower_case_tokens() {
        for name in ["x", "x-signature", "x_1.2", "!#$%&'*+-.^_`|~"] {
            assert!(is_lower_case_name(name), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "X-Signature", "a b", "a:", "a\n", "a\0", "é", "(a)", "a/b", &long] {
            assert!(!is_lower_case_name(name), "{name}");
        }
    }

    #[test]
    fn connection_options_are_listed_in_lower_case() {
        let block = HeaderBlock::from_pairs([("connection", &b"Close, X-Hop"[..]), ("connection", b"x-other,,")]);
        assert_eq!(connection_options(&block), ["close", "x-hop", "x-other"]);
    }

    proptest! {
        #[test]
        fn stored_bytes_round_trip(pairs in prop::collection::vec(("[a-z-]{1,20}", any::<Vec<u8>>()), 0..20)) {
            let block = HeaderBlock::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            let again = HeaderBlock::from_stored(block.as_bytes().clone()).unwrap();
            let read: Vec<_> = again.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(block) = HeaderBlock::from_stored(Bytes::from(bytes)) {
                prop_assert!(block.iter().count() < 1_000);
            }
        }
    }
}
