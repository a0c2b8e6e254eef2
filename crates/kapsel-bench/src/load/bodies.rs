//! The bodies that are sent: JSON of a given size that looks random, signed beforehand, so that signing costs nothing
//! while it is measured.

use std::fmt::Write as _;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::chance::Seeded;

/// The secret that source and endpoint share.
pub(crate) const SECRET: &str = "the-shared-secret-of-the-benchmark";
/// The header that has the HMAC-SHA256 of the body, in hexadecimal digits.
pub(crate) const SIGNATURE_HEADER: &str = "x-bench-signature";
/// So many different bodies take turns.
pub(crate) const BODIES: u64 = 64;
/// Any JSON text in quotes has two bytes.
pub(crate) const BODY_BYTES_MIN: u64 = 2;

/// A body with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedBody {
    /// JSON.
    pub(crate) content: Vec<u8>,
    /// Hexadecimal digits.
    pub(crate) signature: String,
}

/// The bodies of a run, each of exactly `bytes` bytes. They are the same for each run.
pub(crate) fn signed_bodies(bytes: usize) -> Vec<SignedBody> {
    let signed = |seed| {
        let content = body(bytes, &mut Seeded::new(seed)).into_bytes();
        let signature = sign(&content);
        SignedBody { content, signature }
    };
    (0..BODIES).map(signed).collect()
}

/// The MAC of a body under the shared secret, in hexadecimal digits.
pub(crate) fn sign(content: &[u8]) -> String {
    hex::encode(mac(content).finalize().into_bytes())
}

/// Whether hexadecimal digits are the MAC of a body, compared in constant time.
pub(crate) fn is_signed(content: &[u8], signature: &[u8]) -> bool {
    let mut tag = [0; 32];
    hex::decode_to_slice(signature, &mut tag).is_ok() && mac(content).verify_slice(&tag).is_ok()
}

fn mac(content: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; what is longer than a block is hashed, which this is not.
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(&key).chain_update(content)
}

/// An object with fields while there is room, the last of them filled up; a mere text where nothing else fits.
fn body(bytes: usize, chance: &mut Seeded) -> String {
    const OPENING: &str = "{\"type\":\"bench.event\"";
    const LAST: &str = ",\"note\":\"";
    const END: &str = "\"}";
    let smallest = OPENING.len() + LAST.len() + END.len();
    if bytes < smallest {
        return format!("\"{}\"", letters(bytes.saturating_sub(2), chance));
    }
    let mut text = OPENING.to_owned();
    for number in 0_u32.. {
        let mut field = format!(",\"field_{number}\":");
        // Writing into a String cannot fail.
        let _written = match number % 3 {
            0 => write!(field, "\"{}\"", letters(24, chance)),
            1 => write!(field, "{}", chance.bits() >> 20),
            _ => write!(field, "[{},true,{}]", chance.bits() >> 44, chance.bits() >> 50),
        };
        if text.len() + field.len() + LAST.len() + END.len() > bytes {
            break;
        }
        text += &field;
    }
    let room = bytes.saturating_sub(text.len() + LAST.len() + END.len());
    text + LAST + &letters(room, chance) + END
}

fn letters(count: usize, chance: &mut Seeded) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |_| char::from(ALPHABET[usize::try_from(chance.bits() & 63).unwrap_or_default()]);
    (0..count).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_exact_size() {
        for bytes in [2, 3, 30, 31, 32, 33, 100, 1_024, 10_000] {
            for body in signed_bodies(bytes) {
                assert_eq!(body.content.len(), bytes);
                serde_json::from_slice::<serde_json::Value>(&body.content).expect("JSON");
            }
        }
    }

    #[test]
    fn bodies_differ_and_are_the_same_in_each_run() {
        let bodies = signed_bodies(256);
        assert_eq!(bodies, signed_bodies(256));
        let different: std::collections::BTreeSet<_> = bodies.iter().map(|body| &body.content).collect();
        assert_eq!(different.len(), bodies.len());
    }

    #[test]
    fn signatures_are_hmac_sha256() {
        let body = &signed_bodies(64)[0];
        assert_eq!(body.signature.len(), 64);
        assert!(is_signed(&body.content, body.signature.as_bytes()));
        assert!(!is_signed(b"another", body.signature.as_bytes()));
        assert!(!is_signed(&body.content, b"zz"));
        // Computed with `openssl dgst -sha256 -hmac the-shared-secret-of-the-benchmark` over the text `body`.
        assert_eq!(sign(b"body"), "4451e4dfd16caa549a50567896d73dc3a3ae59fabc4f34321d879b1f29abb1d1");
    }
}
