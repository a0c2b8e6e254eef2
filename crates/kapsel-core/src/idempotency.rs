//! What makes two incoming webhooks the same one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::headers::HeaderBlock;
use crate::signature::VerificationScheme;

/// How long a key is remembered by default: 24 hours, in seconds.
pub const WINDOW_SECONDS_DEFAULT: u32 = 24 * 3_600;
/// The longest time that a key can be remembered: 7 days, in seconds.
pub const WINDOW_SECONDS_MAX: u32 = 7 * 24 * 3_600;
/// The longest explicit key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// An endpoint's rule for telling duplicates. An explicit `X-Idempotency-Key` or `Idempotency-Key` header always comes
/// first; this says what serves as the key without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyPolicy {
    /// What serves as the key.
    pub mode: IdempotencyMode,
    /// How long a key is remembered, in seconds.
    pub window_seconds: u32,
}

/// What serves as the key where the sender gives none explicitly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum IdempotencyMode {
    /// The provider's own id, by the verification scheme; without one, nothing.
    Auto,
    /// The value of this header, in lower case.
    Header {
        /// The header's name.
        header: String,
    },
    /// The string or number that this JSON pointer (RFC 6901) finds in the body.
    JsonPointer {
        /// The pointer, such as `/data/id`.
        pointer: String,
    },
    /// SHA-256 of the body.
    ContentHash,
    /// Nothing: only explicit keys tell duplicates.
    ExplicitOnly,
}

/// The key of one incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key as text, as the API shows it.
    pub text: String,
    /// What the store compares: SHA-256 over the kind of key and the key.
    pub hash: [u8; 32],
    /// Whether the sender gave it explicitly. Then another body under the same key is a conflict; a provider's id is
    /// taken at its word, because some providers change a body between tries (Stripe counts in it).
    pub explicit: bool,
    /// How long it is remembered.
    pub window: Duration,
}

/// Why an explicit key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdempotencyKey {}

impl Default for IdempotencyPolicy {
    fn default() -> Self {
        IdempotencyPolicy { mode: IdempotencyMode::Auto, window_seconds: WINDOW_SECONDS_DEFAULT }
    }
}

impl IdempotencyPolicy {
    /// The key of a webhook, or `None` if it has none.
    pub fn key_of(
        &self,
        _scheme: &VerificationScheme,
        _headers: &HeaderBlock,
        _body: &[u8],
        _body_sha256: &[u8; 32],
    ) -> Result<Option<IdempotencyKey>, InvalidIdempotencyKey> {
        Ok(None)
    }
}
