//! Signing of outgoing requests by Standard Webhooks 1.0.0.

use crate::endpoint::SigningSecret;
use crate::entropy::Entropy;
use crate::time::Timestamp;
use secrecy::SecretString;

/// An endpoint's signing keys made ready. Built once per endpoint version.
pub struct OutboundSigner {}

/// The text is not a signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {}

impl OutboundSigner {
    /// Makes the keys ready.
    pub fn new(_secrets: &[SigningSecret]) -> Result<Self, InvalidSigningKey> {
        Ok(OutboundSigner {})
    }

    /// The value of `webhook-signature`: one signature per live key, separated by spaces. Empty without keys.
    pub fn sign(&self, _webhook_id: &str, _at: Timestamp, _body: &[u8]) -> String {
        String::new()
    }
}

/// A new random `whsec_…` secret of 32 bytes.
pub fn generate_secret(_entropy: &dyn Entropy) -> SecretString {
    SecretString::default()
}
