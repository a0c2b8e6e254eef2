//! The leaves of Kapsel's log: one for each delivery attempt.
//!
//! A leaf is hashed as it is stored, byte for byte. Its bytes are canonical JSON (RFC 8785), so that others can make
//! them from the same values. It says what happened and commits to what must not stand in a public record: the URL, the
//! payload and the response are in it as HMACs under salts that are kept elsewhere. Without the salts nobody can tell
//! what was committed to, not even by guessing; with one, exactly that field is shown.

use alloc::string::String;
use alloc::vec::Vec;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::hash::Hash;

/// The form of the leaf that this library knows.
pub const LEAF_VERSION: u32 = 1;
/// Leaves are no longer than this (C2SP tlog-tiles: the length of an entry has 16 bits).
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Numbers in a leaf are no larger: RFC 8785 has no canonical form for integers that JavaScript cannot tell apart
/// (I-JSON, RFC 7493, section 2.2).
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// What one leaf says. The fields stand in the order of RFC 8785, which is the order they are written in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptLeaf {
    /// The attempt, `da_…`.
    pub attempt_id: String,
    /// 1 for the first attempt of the delivery.
    pub attempt_number: u32,
    /// What the fields that are not shown were.
    pub commitments: Commitments,
    /// The delivery, `dlv_…`.
    pub delivery_id: String,
    /// How long it took until the outcome was known, in whole milliseconds, up to [`NUMBER_MAX`].
    pub duration_ms: u64,
    /// The endpoint, `ep_…`.
    pub endpoint_id: String,
    /// The event, `evt_…`: the `webhook-id` that the destination got.
    pub event_id: String,
    /// The status of the answer, if one came.
    pub http_status: Option<u16>,
    /// The log that the leaf was made for, `log_…`.
    pub log_id: String,
    /// 32 hexadecimal digits of chance, so that no two leaves are alike and none can be guessed.
    pub nonce: String,
    /// The class of the outcome; `delivered` is a whole answer with a status of 2xx, and nothing else is.
    pub outcome: String,
    /// When the request was begun: RFC 3339 in UTC with milliseconds, by the clock of the instance.
    pub started_at: String,
    /// The owner, `ten_…`.
    pub tenant_id: String,
    /// [`LEAF_VERSION`].
    pub v: u32,
}

/// Commitments to what a leaf does not show; see [`commitment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitments {
    /// To the SHA-256 of the delivered body, as lower-case hexadecimal digits.
    pub payload_sha256: Hash,
    /// To the SHA-256 of what was kept of the response body, in the same form; none where no answer came.
    pub response_sha256: Option<Hash>,
    /// To the URL that the request went to.
    pub url: Hash,
}

/// Why bytes are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// They are too many.
    #[error("the leaf has {0} bytes; {LEAF_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// They are not JSON, or not that of a leaf.
    #[error("the leaf is not of the known form: {0}")]
    Form(String),
    /// The form is a later one.
    #[error("the leaf has version {0}; this program knows {LEAF_VERSION}")]
    Version(u32),
    /// The same values would be written otherwise.
    #[error("the leaf is not canonical JSON (RFC 8785)")]
    NotCanonical,
}

impl AttemptLeaf {
    /// The word for a whole answer with a status of 2xx.
    pub const DELIVERED: &'static str = "delivered";

    /// Whether the attempt delivered: the outcome says so, and the status is one of 2xx. Where the two contradict each
    /// other it did not.
    pub fn is_delivered(&self) -> bool {
        self.outcome == Self::DELIVERED && self.http_status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The exact bytes that are stored and hashed: RFC 8785 for what is in a leaf, which is fields in order, no spaces,
    /// integers, and strings with the escapes that the RFC asks for.
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut text = Text(String::with_capacity(1_024));
        text.string("{\"attempt_id\":", &self.attempt_id);
        text.number(",\"attempt_number\":", self.attempt_number.into());
        text.hash(",\"commitments\":{\"payload_sha256\":", Some(&self.commitments.payload_sha256));
        text.hash(",\"response_sha256\":", self.commitments.response_sha256.as_ref());
        text.hash(",\"url\":", Some(&self.commitments.url));
        text.string("},\"delivery_id\":", &self.delivery_id);
        text.number(",\"duration_ms\":", self.duration_ms);
        text.string(",\"endpoint_id\":", &self.endpoint_id);
        text.string(",\"event_id\":", &self.event_id);
        match self.http_status {
            Some(status) => text.number(",\"http_status\":", status.into()),
            None => text.0.push_str(",\"http_status\":null"),
        }
        text.string(",\"log_id\":", &self.log_id);
        text.string(",\"nonce\":", &self.nonce);
        text.string(",\"outcome\":", &self.outcome);
        text.string(",\"started_at\":", &self.started_at);
        text.string(",\"tenant_id\":", &self.tenant_id);
        text.number(",\"v\":", self.v.into());
        text.0.push('}');
        text.0.into_bytes()
    }

    /// Reads the bytes of a leaf.
    ///
    /// # Errors
    /// [`LeafError`]. Bytes that differ in anything from what [`AttemptLeaf::to_canonical`] writes are refused.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LeafError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }

        if bytes.len() > LEAF_BYTES_MAX {
            return Err(LeafError::TooLong(bytes.len()));
        }
        let form = |error: serde_json::Error| LeafError::Form(alloc::format!("{error}"));
        let Versioned { v } = serde_json::from_slice(bytes).map_err(form)?;
        if v != LEAF_VERSION {
            return Err(LeafError::Version(v));
        }
        let leaf: AttemptLeaf = serde_json::from_slice(bytes).map_err(form)?;
        if leaf.duration_ms <= NUMBER_MAX && leaf.to_canonical() == bytes {
            Ok(leaf)
        } else {
            Err(LeafError::NotCanonical)
        }
    }
}

/// Canonical JSON in the making.
struct Text(String);

impl Text {
    fn string(&mut self, before: &str, value: &str) {
        self.0.push_str(before);
        self.0.push('"');
        let mut rest = value;
        // Bytes of longer characters are none of these.
        while let Some(place) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            let (plain, behind) = rest.split_at(place);
            self.0.push_str(plain);
            let mut behind = behind.chars();
            match behind.next() {
                Some('\u{8}') => self.0.push_str("\\b"),
                Some('\t') => self.0.push_str("\\t"),
                Some('\n') => self.0.push_str("\\n"),
                Some('\u{c}') => self.0.push_str("\\f"),
                Some('\r') => self.0.push_str("\\r"),
                Some(c) if c < ' ' => self.write(format_args!("\\u{:04x}", u32::from(c))),
                c => {
                    self.0.push('\\');
                    self.0.extend(c);
                }
            }
            rest = behind.as_str();
        }
        self.0.push_str(rest);
        self.0.push('"');
    }

    fn number(&mut self, before: &str, value: u64) {
        self.write(format_args!("{before}{value}"));
    }

    fn hash(&mut self, before: &str, value: Option<&Hash>) {
        self.0.push_str(before);
        match value {
            Some(hash) => self.write(format_args!("\"{hash}\"")),
            None => self.0.push_str("null"),
        }
    }

    fn write(&mut self, arguments: core::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = core::fmt::Write::write_fmt(&mut self.0, arguments);
    }
}

/// The commitment to a value: HMAC-SHA256 of it under its salt (RFC 2104). Each field of each leaf has a salt of its
/// own.
pub fn commitment(salt: &[u8], value: &[u8]) -> Hash {
    // A key of any length is fine for HMAC; there is no error to handle.
    let Ok(mac) = <Hmac<Sha256> as Mac>::new_from_slice(salt) else { return crate::hash::empty_root() };
    Hash::from_bytes(mac.chain_update(value).finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::hash::leaf_hash;

    fn leaf() -> AttemptLeaf {
        AttemptLeaf {
            attempt_id: "da_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            attempt_number: 2,
            commitments: Commitments {
                payload_sha256: leaf_hash(b"payload"),
                response_sha256: None,
                url: leaf_hash(b"url"),
            },
            delivery_id: "dlv_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            duration_ms: 37,
            endpoint_id: "ep_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            event_id: "evt_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            http_status: Some(503),
            log_id: "log_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            nonce: "00112233445566778899aabbccddeeff".into(),
            outcome: "server_error".into(),
            started_at: "2026-01-01T00:00:00.123Z".into(),
            tenant_id: "ten_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
            v: LEAF_VERSION,
        }
    }

    #[test]
    fn a_leaf_comes_back_from_its_bytes() {
        let bytes = leaf().to_canonical();
        assert_eq!(AttemptLeaf::from_canonical(&bytes).unwrap(), leaf());
        let text = core::str::from_utf8(&bytes).unwrap();
        assert!(
            text.starts_with(r#"{"attempt_id":"da_01jcqv7x5eff5v3fgsrqmmvb8d","attempt_number":2,"commitments":{"#)
        );
        assert!(text.ends_with(r#""tenant_id":"ten_01jcqv7x5eff5v3fgsrqmmvb8d","v":1}"#));
    }

    #[test]
    fn only_the_word_and_a_status_of_2xx_together_are_a_delivery() {
        let delivered =
            |outcome: &str, http_status| AttemptLeaf { outcome: outcome.into(), http_status, ..leaf() }.is_delivered();
        assert!(delivered("delivered", Some(200)) && delivered("delivered", Some(299)));
        assert!(
            !delivered("delivered", Some(300)) && !delivered("delivered", Some(199)) && !delivered("delivered", None)
        );
        assert!(
            !delivered("server_error", Some(200)) && !delivered("Delivered", Some(200)) && !delivered("", Some(200))
        );
    }

    #[test]
    fn keys_stand_in_the_order_of_rfc_8785() {
        fn assert_sorted(value: &serde_json::Value, bytes: &str) {
            // serde_json's map is sorted by key unless it is told otherwise.
            assert_eq!(serde_json::to_string(value).unwrap(), bytes);
        }
        let bytes = leaf().to_canonical();
        assert_sorted(&serde_json::from_slice(&bytes).unwrap(), core::str::from_utf8(&bytes).unwrap());
    }

    #[test]
    fn strings_are_escaped_as_json_asks() {
        let odd: String = (0..0x250_u32).filter_map(char::from_u32).chain(['\u{2028}', '\u{1f600}']).collect();
        let leaf = AttemptLeaf { outcome: odd, ..leaf() };
        assert_eq!(leaf.to_canonical(), serde_json::to_vec(&leaf).unwrap());
        assert_eq!(AttemptLeaf::from_canonical(&leaf.to_canonical()).unwrap(), leaf);
    }

    #[test]
    fn other_bytes_for_the_same_values_are_refused() {
        let text = leaf().to_canonical();
        let text = core::str::from_utf8(&text).unwrap();
        let cases = [
            text.replace(',', ", "),
            text.replace(r#""v":1"#, r#""v":1 "#),
            text.replace("da_", "\\u0064a_"),
            text.to_string() + "\n",
        ];
        for case in cases {
            assert_eq!(AttemptLeaf::from_canonical(case.as_bytes()), Err(LeafError::NotCanonical), "{case}");
        }
    }

    #[test]
    fn numbers_that_are_not_exact_everywhere_have_no_form() {
        let leaf = |duration_ms| AttemptLeaf { duration_ms, ..leaf() };
        let bytes = leaf(NUMBER_MAX).to_canonical();
        assert_eq!(AttemptLeaf::from_canonical(&bytes).unwrap().duration_ms, 9_007_199_254_740_991);
        let bytes = leaf(NUMBER_MAX + 1).to_canonical();
        assert_eq!(AttemptLeaf::from_canonical(&bytes), Err(LeafError::NotCanonical));
    }

    #[test]
    fn what_is_no_leaf_is_told_apart() {
        let bytes = leaf().to_canonical();
        let text = core::str::from_utf8(&bytes).unwrap();
        let later = text.replace(r#""v":1"#, r#""v":2"#);
        assert_eq!(AttemptLeaf::from_canonical(later.as_bytes()), Err(LeafError::Version(2)));
        for wrong in [
            text.replace(r#","v":1"#, ""),
            text.replace(r#""v":1"#, r#""v":1,"w":2"#),
            text.replace(r#""v":1"#, r#""v":1,"v":1"#),
            text.replace("null", "\"x\""),
            text.replace("37", "37.5"),
            text[..text.len() - 1].to_string(),
            String::new(),
            "[".repeat(10_000),
        ] {
            assert!(matches!(AttemptLeaf::from_canonical(wrong.as_bytes()), Err(LeafError::Form(_))), "{wrong}");
        }
        assert_eq!(AttemptLeaf::from_canonical(&[b' '; 65_536]), Err(LeafError::TooLong(65_536)));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn a_commitment_is_the_hmac_of_the_standard() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(commitment(b"Jefe", b"what do ya want for nothing?").to_string(), expected);
    }
}
