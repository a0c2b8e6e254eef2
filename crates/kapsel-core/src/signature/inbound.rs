//! Verification of incoming webhooks.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::headers::HeaderBlock;
use crate::time::Timestamp;

/// How an endpoint's incoming webhooks prove where they come from. Stored and shown; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case")]
pub enum VerificationScheme {
    /// They don't.
    None,
    /// An HMAC over the raw body in a header.
    Hmac {
        /// The hash function.
        algorithm: HmacAlgorithm,
        /// The header, in lower case.
        header: String,
        /// How the MAC is written.
        encoding: MacEncoding,
        /// What stands before the MAC in the header, such as `sha256=`; may be empty.
        prefix: String,
    },
    /// `Stripe-Signature`: `t=…,v1=…[,v1=…]`, HMAC-SHA256 over `t.body`.
    Stripe {
        /// How far `t` may lie from the present, in seconds.
        tolerance_seconds: u32,
    },
    /// `X-Hub-Signature-256`: `sha256=` + hex.
    Github,
    /// `X-Shopify-Hmac-Sha256`: base64.
    Shopify,
    /// `X-Slack-Signature`: `v0=` + hex over `v0:timestamp:body`.
    Slack {
        /// How far the timestamp may lie from the present, in seconds.
        tolerance_seconds: u32,
    },
    /// Standard Webhooks 1.0.0, `v1` (HMAC) and `v1a` (Ed25519).
    StandardWebhooks {
        /// How far the timestamp may lie from the present, in seconds.
        tolerance_seconds: u32,
    },
}

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HmacAlgorithm {
    /// HMAC-SHA1, for old senders.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// How a MAC is written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacEncoding {
    /// Hexadecimal, in lower or upper case.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// The default tolerance of timestamped schemes, in seconds.
pub const TOLERANCE_SECONDS_DEFAULT: u32 = 300;

/// A verification scheme with its keys made ready. Built once per endpoint version.
pub struct Verifier {}

/// Why a scheme and its secrets cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerification {}

/// Why a webhook was refused. Names what was wrong, never a MAC or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {}

impl Verifier {
    /// Makes the keys ready.
    pub fn new(_scheme: &VerificationScheme, _secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        Ok(Verifier {})
    }

    /// Checks one webhook.
    pub fn verify(&self, _headers: &HeaderBlock, _body: &[u8], _now: Timestamp) -> Result<(), SignatureError> {
        Ok(())
    }
}
