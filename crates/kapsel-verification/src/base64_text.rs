//! Standard base64 with padding (RFC 4648, section 4), where bytes have one text only.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads bytes; none where padding is missing, spare bits are set, or anything else stands in the text.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// For serde's `with`.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

/// For serde's `with`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| serde::de::Error::custom("not standard base64 with padding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        assert_eq!(decode("/+8="), Some([0xff, 0xef].into()));
        assert_eq!(encode(&[0xff, 0xef]), "/+8=");
        for wrong in ["/+8", "/+9=", "_-8=", "/+8=\n", " /+8=", "/+8==", "=", "/", "/+8=/+8="] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
