//! What signing and verifying by Standard Webhooks 1.0.0 have in common: how keys are written and what is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

/// What stands before a shared HMAC secret.
pub(super) const SECRET_PREFIX: &str = "whsec_";
/// What stands before an Ed25519 public key.
pub(super) const PUBLIC_KEY_PREFIX: &str = "whpk_";
/// What stands before an Ed25519 secret key.
pub(super) const SECRET_KEY_PREFIX: &str = "whsk_";

/// The version of an HMAC-SHA256 signature.
pub(super) const VERSION_HMAC: &str = "v1";
/// The version of an Ed25519 signature.
pub(super) const VERSION_ED25519: &str = "v1a";

/// The bytes behind a key's prefix; wiped from memory when dropped.
pub(super) fn decode_key(base64: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(base64).ok().map(Zeroizing::new)
}

/// What is signed, in pieces: id, timestamp and body with a full stop between them.
///
/// Neither id nor timestamp may hold a full stop: then the first two always part the pieces, and no other webhook has
/// the same content. The specification asks for this in "Signature scheme".
pub(super) fn signed_content<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}
