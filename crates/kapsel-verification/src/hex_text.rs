//! Hexadecimal digits in lower case, where bytes have one text only.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serializer};

/// Reads exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// For serde's `with`, on arrays.
pub(crate) mod array {
    use super::*;

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || serde::de::Error::custom(format_args!("not {} hexadecimal digits in lower case", 2 * N));
        decode_array(&text).ok_or_else(expected)
    }
}

/// For serde's `with`, on any number of bytes.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let decoded = if is_lower { hex::decode(&text).ok() } else { None };
        decoded.ok_or_else(|| serde::de::Error::custom("not hexadecimal digits in lower case"))
    }
}

#[cfg(test)]
mod tests {
    use super::decode_array;

    #[test]
    fn bytes_have_one_text() {
        assert_eq!(decode_array("0aff"), Some([0x0a, 0xff]));
        for wrong in ["0AFF", "0aff0", "0af", "", "0x0a", "0aff00", " aff"] {
            assert_eq!(decode_array::<2>(wrong), None, "{wrong:?}");
        }
    }
}
