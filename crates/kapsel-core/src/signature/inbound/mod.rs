//! Verification of incoming webhooks: one file per family of schemes.
//!
//! What holds for all of them: the raw bytes are checked, never a parsed form; each header must occur exactly once;
//! MACs are compared in constant time, with every live secret; the time of signing is checked before any MAC; an error
//! repeats nothing that was sent. Nothing is copied that grows with the body, but for Ed25519, which needs the message
//! in one piece.
//!
//! Hexadecimal is held to lower case where a provider documents it (GitHub, Slack, Stripe): then each webhook has one
//! accepted form. The configurable scheme takes either case, because its senders are unknown. Base64 has to be in its
//! canonical form everywhere.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::headers::HeaderBlock;
use crate::time::Timestamp;

mod error;
mod hmac;
mod secrets;
mod slack;
mod standard_webhooks;
mod stripe;
mod timestamp;

pub use error::{HeaderRole, InvalidVerification, SignatureError};

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
        #[serde(deserialize_with = "crate::headers::deserialize_name")]
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

impl HmacAlgorithm {
    /// The length of its MACs, in bytes.
    pub const fn tag_len(self) -> usize {
        match self {
            HmacAlgorithm::Sha1 => 20,
            HmacAlgorithm::Sha256 => 32,
            HmacAlgorithm::Sha512 => 64,
        }
    }
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
/// The largest tolerance of timestamped schemes, in seconds: one day.
pub const TOLERANCE_SECONDS_MAX: u32 = 86_400;
/// How many secrets can be live at once. Each costs a pass over the body.
pub const SECRETS_MAX: usize = 10;

/// A verification scheme with its keys made ready. Built once per endpoint version.
pub struct Verifier {
    check: Check,
}

enum Check {
    Nothing,
    BodyMac(hmac::BodyMac),
    Stripe(stripe::Stripe),
    Slack(slack::Slack),
    StandardWebhooks(standard_webhooks::StandardWebhooks),
}

impl Verifier {
    /// Makes the keys ready.
    ///
    /// # Errors
    /// What is wrong with the scheme or its secrets. A scheme without a secret is an error, and so are secrets without
    /// a scheme: either would look like a check that is not made.
    pub fn new(scheme: &VerificationScheme, secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        check_count(scheme, secrets)?;
        let check = match scheme {
            VerificationScheme::None => Check::Nothing,
            VerificationScheme::Hmac { algorithm, header, encoding, prefix } => {
                Check::BodyMac(hmac::BodyMac::custom(*algorithm, header, *encoding, prefix, secrets)?)
            }
            VerificationScheme::Stripe { tolerance_seconds } => {
                Check::Stripe(stripe::Stripe::new(*tolerance_seconds, secrets)?)
            }
            VerificationScheme::Github => Check::BodyMac(hmac::BodyMac::github(secrets)?),
            VerificationScheme::Shopify => Check::BodyMac(hmac::BodyMac::shopify(secrets)?),
            VerificationScheme::Slack { tolerance_seconds } => {
                Check::Slack(slack::Slack::new(*tolerance_seconds, secrets)?)
            }
            VerificationScheme::StandardWebhooks { tolerance_seconds } => {
                Check::StandardWebhooks(standard_webhooks::StandardWebhooks::new(*tolerance_seconds, secrets)?)
            }
        };
        Ok(Verifier { check })
    }

    /// Checks one webhook.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, headers: &HeaderBlock, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        match &self.check {
            Check::Nothing => Ok(()),
            Check::BodyMac(check) => check.verify(headers, body),
            Check::Stripe(check) => check.verify(headers, body, now),
            Check::Slack(check) => check.verify(headers, body, now),
            Check::StandardWebhooks(check) => check.verify(headers, body, now),
        }
    }
}

impl fmt::Debug for Verifier {
    /// Shows the kind of check only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = match self.check {
            Check::Nothing => "nothing",
            Check::BodyMac(_) => "body-mac",
            Check::Stripe(_) => "stripe",
            Check::Slack(_) => "slack",
            Check::StandardWebhooks(_) => "standard-webhooks",
        };
        f.debug_struct("Verifier").field("check", &check).finish_non_exhaustive()
    }
}

/// What every scheme asks of its secrets.
fn check_count(scheme: &VerificationScheme, secrets: &[SecretString]) -> Result<(), InvalidVerification> {
    match (scheme, secrets.len()) {
        (VerificationScheme::None, 0) => Ok(()),
        (VerificationScheme::None, _) => Err(InvalidVerification::UnusedSecret),
        (_, 0) => Err(InvalidVerification::NoSecret),
        (_, count) if count > SECRETS_MAX => Err(InvalidVerification::TooManySecrets),
        _ => match secrets.iter().position(|secret| secret.expose_secret().is_empty()) {
            Some(index) => Err(InvalidVerification::EmptySecret { index }),
            None => Ok(()),
        },
    }
}

/// The value of the header `name`, which has to occur exactly once and be text.
fn single<'h>(headers: &'h HeaderBlock, name: &str, role: HeaderRole) -> Result<&'h str, SignatureError> {
    headers.get_single_str(name).ok_or_else(|| match headers.get_all(name).count() {
        0 => SignatureError::Missing(role),
        1 => SignatureError::Malformed(role),
        _ => SignatureError::Repeated(role),
    })
}

#[cfg(test)]
mod tests;
