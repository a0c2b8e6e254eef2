//! The shared secrets of a scheme, made ready.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::Choice;

use super::{HmacAlgorithm, InvalidVerification, SignatureError};
use crate::signature::mac::{MacKey, Tag};

/// HMAC keys, any of which may have signed.
#[derive(Default)]
pub(super) struct MacKeys(Vec<MacKey>);

impl MacKeys {
    /// Takes the bytes of the secrets as they are, which is what all providers do that show them as plain text.
    pub(super) fn from_text(algorithm: HmacAlgorithm, secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        let mut keys = MacKeys::default();
        for (index, secret) in secrets.iter().enumerate() {
            keys.push(algorithm, secret.expose_secret().as_bytes(), index)?;
        }
        Ok(keys)
    }

    /// Adds a key that was made of the secret at `index`.
    pub(super) fn push(
        &mut self,
        algorithm: HmacAlgorithm,
        key: &[u8],
        index: usize,
    ) -> Result<(), InvalidVerification> {
        let key = MacKey::new(algorithm, key)
            .map_err(|_| InvalidVerification::SecretForm { index, expected: "a key for HMAC" })?;
        self.0.push(key);
        Ok(())
    }

    /// Whether one of the keys makes one of the claimed MACs over the pieces. Every key is tried and every MAC
    /// compared, whatever comes out, so that the time tells neither which key matched nor which MAC.
    pub(super) fn match_any(&self, pieces: &[&[u8]], claimed: &[Tag]) -> bool {
        let mut matched = Choice::from(0);
        if claimed.is_empty() {
            return false;
        }
        for key in &self.0 {
            let made = key.tag(pieces);
            for tag in claimed {
                matched |= made.ct_eq(tag);
            }
        }
        matched.into()
    }

    /// [`MacKeys::match_any`] as the result of a verification.
    pub(super) fn verify(&self, pieces: &[&[u8]], claimed: &[Tag]) -> Result<(), SignatureError> {
        if self.match_any(pieces, claimed) { Ok(()) } else { Err(SignatureError::NoMatch) }
    }
}
