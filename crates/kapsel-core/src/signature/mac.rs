//! HMAC over several pieces, and MACs as they are written in headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use super::inbound::HmacAlgorithm;

/// The length of the longest MAC, that of HMAC-SHA512, in bytes.
const TAG_BYTES_MAX: usize = 64;

/// A key whose two blocks have been hashed already, so that each message costs its own length only.
pub(super) enum MacKey {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl MacKey {
    /// HMAC takes a key of any length (RFC 2104, section 2), so the error never comes; the interface behind has it.
    pub(super) fn new(algorithm: HmacAlgorithm, key: &[u8]) -> Result<Self, InvalidLength> {
        Ok(match algorithm {
            HmacAlgorithm::Sha1 => MacKey::Sha1(Hmac::new_from_slice(key)?),
            HmacAlgorithm::Sha256 => MacKey::Sha256(Hmac::new_from_slice(key)?),
            HmacAlgorithm::Sha512 => MacKey::Sha512(Hmac::new_from_slice(key)?),
        })
    }

    /// The MAC of the pieces, one behind the other. They are hashed where they lie: a body is never copied.
    pub(super) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        match self {
            MacKey::Sha1(state) => finish(state.clone(), pieces),
            MacKey::Sha256(state) => finish(state.clone(), pieces),
            MacKey::Sha512(state) => finish(state.clone(), pieces),
        }
    }
}

fn finish(mut state: impl hmac::Mac, pieces: &[&[u8]]) -> Tag {
    for piece in pieces {
        state.update(piece);
    }
    Tag::from_bytes(&state.finalize().into_bytes())
}

/// A MAC: one that was computed, or one that somebody claims. Has neither `Debug` nor `PartialEq`, so that it is
/// neither printed nor compared in a time that depends on it.
pub(super) struct Tag {
    bytes: [u8; TAG_BYTES_MAX],
    len: usize,
}

impl Tag {
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut tag = Tag { bytes: [0; TAG_BYTES_MAX], len: bytes.len().min(TAG_BYTES_MAX) };
        tag.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        tag
    }

    /// Reads exactly `len` bytes of hexadecimal in either case.
    pub(super) fn from_hex(text: &str, len: usize) -> Option<Self> {
        let mut tag = Tag { bytes: [0; TAG_BYTES_MAX], len };
        // It refuses a text of another length than twice the buffer's.
        hex::decode_to_slice(text, tag.bytes.get_mut(..len)?).ok()?;
        Some(tag)
    }

    /// Reads exactly `len` bytes of hexadecimal in lower case. Providers that document one form are held to it: each
    /// MAC then has exactly one text, and a changed bit anywhere in the header is refused.
    pub(super) fn from_lower_hex(text: &str, len: usize) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Tag::from_hex(text, len)
    }

    /// Reads exactly `len` bytes of standard base64 with padding, in its one canonical form (RFC 4648, section 3.5).
    pub(super) fn from_base64(text: &str, len: usize) -> Option<Self> {
        // Base64 is decoded in groups of four characters, hence the room for up to two bytes more.
        let mut buffer = [0; TAG_BYTES_MAX + 2];
        if STANDARD.decode_slice(text, &mut buffer).ok()? != len {
            return None;
        }
        Some(Tag::from_bytes(buffer.get(..len)?))
    }

    /// The MAC's bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether both are the same, in a time that depends on their lengths alone.
    pub(super) fn ct_eq(&self, other: &Tag) -> Choice {
        self.as_bytes().ct_eq(other.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 2202 and RFC 4231, test cases 1, 2 and 6 (a key that is longer than a block).
    #[test]
    fn macs_are_those_of_the_rfcs() {
        let [sha1, sha256, sha512] = [HmacAlgorithm::Sha1, HmacAlgorithm::Sha256, HmacAlgorithm::Sha512];
        let jefe = (&b"Jefe"[..], "what do ya want for nothing?");
        let long_text = "Test Using Larger Than Block-Size Key - Hash Key First";
        let cases = [
            (sha1, &[0x0b; 20][..], "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (sha1, jefe.0, jefe.1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (sha1, &[0xaa; 80], long_text, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
            (sha256, &[0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (sha256, jefe.0, jefe.1, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (sha256, &[0xaa; 131], long_text, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
            (
                sha512,
                jefe.0,
                jefe.1,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1\
                 a34d4a6b4b636e070a38bce737",
            ),
        ];
        for (algorithm, key, text, expected) in cases {
            let tag = MacKey::new(algorithm, key).unwrap().tag(&[text.as_bytes()]);
            assert_eq!(hex::encode(tag.as_bytes()), expected, "{algorithm:?} {text}");
        }
    }

    #[test]
    fn tags_have_one_length_and_one_base64_form() {
        let hex = "00ff10";
        assert!(Tag::from_hex(hex, 3).is_some());
        assert!(Tag::from_hex("00FF10", 3).is_some());
        assert!(Tag::from_lower_hex("00FF10", 3).is_none());
        for text in ["", "00ff", "00ff1", "00ff1000", "00ff1g", "+0ff10", "00 f10", "00ff1é"] {
            assert!(Tag::from_hex(text, 3).is_none(), "{text}");
        }
        assert!(Tag::from_base64("AP8=", 2).is_some());
        // Padding missing or doubled, unused bits set, the URL alphabet, blanks, another length.
        for text in ["", "AP8", "AP8==", "AP9=", "AP-=", "AP8= ", " AP8=", "AP8A", "AP8=AP8="] {
            assert!(Tag::from_base64(text, 2).is_none(), "{text}");
        }
        let longest = STANDARD.encode([7; TAG_BYTES_MAX]);
        assert!(Tag::from_base64(&longest, TAG_BYTES_MAX).is_some());
        assert!(Tag::from_base64(&longest.repeat(3), TAG_BYTES_MAX).is_none());
        assert!(Tag::from_hex(&"00".repeat(65), 65).is_none());
    }

    proptest! {
        #[test]
        fn pieces_count_as_one_message(
            key in any::<Vec<u8>>(), pieces in prop::collection::vec(any::<Vec<u8>>(), 0..5),
        ) {
            let key = MacKey::new(HmacAlgorithm::Sha256, &key).unwrap();
            let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let whole = key.tag(&[&pieces.concat()]);
            prop_assert!(bool::from(key.tag(&borrowed).ct_eq(&whole)));
        }

        #[test]
        fn tags_read_back(bytes in prop::collection::vec(any::<u8>(), 1..=TAG_BYTES_MAX)) {
            let from_hex = Tag::from_lower_hex(&hex::encode(&bytes), bytes.len()).unwrap();
            let from_base64 = Tag::from_base64(&STANDARD.encode(&bytes), bytes.len()).unwrap();
            prop_assert_eq!(from_hex.as_bytes(), &bytes);
            prop_assert_eq!(from_base64.as_bytes(), &bytes);
        }

        #[test]
        fn tags_never_panic_on_any_text(text in ".{0,200}", len in 0_usize..80) {
            let _ = Tag::from_hex(&text, len);
            let _ = Tag::from_base64(&text, len);
        }
    }
}
