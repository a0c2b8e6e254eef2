//! What makes two incoming webhooks the same one.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::headers::{HeaderBlock, NAME_BYTES_MAX, is_lower_case_name};
use crate::signature::VerificationScheme;

mod json_pointer;

use json_pointer::{POINTER_BYTES_MAX, Scalar};

/// How long a key is remembered by default: 24 hours, in seconds.
pub const WINDOW_SECONDS_DEFAULT: u32 = 24 * 3_600;
/// The longest time that a key can be remembered: 7 days, in seconds.
pub const WINDOW_SECONDS_MAX: u32 = 7 * 24 * 3_600;
/// The longest explicit key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// The headers that carry an explicit key. Either will do; if both are there, they have to agree.
const EXPLICIT_HEADERS: [&str; 2] = ["x-idempotency-key", "idempotency-key"];
/// The providers' own ids, in the order in which they are looked for where the scheme names no provider.
const PROVIDER_HEADERS: [&str; 4] = ["webhook-id", "svix-id", "x-github-delivery", "x-shopify-webhook-id"];

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
        #[serde(deserialize_with = "crate::headers::deserialize_name")]
        header: String,
    },
    /// The string or number that this JSON pointer (RFC 6901) finds in the body. A number has to be whole and fit 64
    /// bits; any other could be mistaken for its neighbour.
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
    /// The key as text, as the API shows it: cut to [`KEY_BYTES_MAX`], control characters replaced.
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
pub enum InvalidIdempotencyKey {
    /// It is empty.
    #[error("the idempotency key is empty")]
    Empty,
    /// It is longer than [`KEY_BYTES_MAX`].
    #[error("the idempotency key is longer than {KEY_BYTES_MAX} bytes")]
    TooLong,
    /// It holds bytes that not everybody along the way would keep and compare alike.
    #[error("the idempotency key holds bytes other than printable ASCII")]
    NotPrintable,
    /// There are several, and they differ: which one is meant?
    #[error("the request carries several idempotency keys that differ (X-Idempotency-Key, Idempotency-Key)")]
    Ambiguous,
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdempotencyPolicy {
    /// Keys would not be remembered, or for too long.
    #[error("window_seconds: must be 1 to {WINDOW_SECONDS_MAX}")]
    Window,
    /// The header is not one that a request can have.
    #[error("header: must be a header name in lower case of 1 to {NAME_BYTES_MAX} bytes, such as x-request-id")]
    Header,
    /// The pointer is none.
    #[error(
        "pointer: must be a JSON pointer (RFC 6901) of at most {POINTER_BYTES_MAX} bytes, such as /data/id; ~ is \
         written ~0 and / within a name ~1"
    )]
    Pointer,
}

impl InvalidIdempotencyPolicy {
    /// The name of the offending field.
    pub const fn field(self) -> &'static str {
        match self {
            InvalidIdempotencyPolicy::Window => "window_seconds",
            InvalidIdempotencyPolicy::Header => "header",
            InvalidIdempotencyPolicy::Pointer => "pointer",
        }
    }
}

/// What a key is taken from. Goes into the hash, so that keys of different kinds never meet: a sender cannot block a
/// provider's id by giving it explicitly, and a changed policy starts afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Explicit,
    Provider,
    Header,
    JsonPointer,
    ContentHash,
}

impl Kind {
    /// Stored within hashes: never change one.
    const fn label(self) -> &'static str {
        match self {
            Kind::Explicit => "explicit",
            Kind::Provider => "provider",
            Kind::Header => "header",
            Kind::JsonPointer => "json-pointer",
            Kind::ContentHash => "content-hash",
        }
    }
}

impl Default for IdempotencyPolicy {
    fn default() -> Self {
        IdempotencyPolicy { mode: IdempotencyMode::Auto, window_seconds: WINDOW_SECONDS_DEFAULT }
    }
}

impl IdempotencyPolicy {
    /// Checks that the policy makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), InvalidIdempotencyPolicy> {
        if !(1..=WINDOW_SECONDS_MAX).contains(&self.window_seconds) {
            return Err(InvalidIdempotencyPolicy::Window);
        }
        match &self.mode {
            IdempotencyMode::Header { header } if !is_lower_case_name(header) => Err(InvalidIdempotencyPolicy::Header),
            IdempotencyMode::JsonPointer { pointer } if !json_pointer::is_pointer(pointer) => {
                Err(InvalidIdempotencyPolicy::Pointer)
            }
            _ => Ok(()),
        }
    }

    /// The key of a webhook, or `None` if it has none.
    ///
    /// Where a key is to be found but is missing or odd (empty, not text, repeated), there is none: such a webhook is
    /// accepted without, because refusing it would lose it.
    ///
    /// # Errors
    /// What is wrong with an explicit key. Whoever sends one relies on it, so a bad one is never passed over.
    pub fn key_of(
        &self,
        scheme: &VerificationScheme,
        headers: &HeaderBlock,
        body: &[u8],
        body_sha256: &[u8; 32],
    ) -> Result<Option<IdempotencyKey>, InvalidIdempotencyKey> {
        if let Some(key) = explicit_key(headers)? {
            return Ok(self.key(Kind::Explicit, key));
        }
        Ok(match &self.mode {
            IdempotencyMode::Auto => provider_id(scheme, headers, body).and_then(|id| self.key(Kind::Provider, &id)),
            IdempotencyMode::Header { header } => {
                headers.get_single_str(header).and_then(|value| self.key(Kind::Header, value))
            }
            IdempotencyMode::JsonPointer { pointer } => match json_pointer::find_scalar(body, pointer) {
                Some(Scalar::Text(text)) => self.key(Kind::JsonPointer, &text),
                Some(Scalar::Integer(digits)) => self.key(Kind::JsonPointer, &digits),
                None => None,
            },
            IdempotencyMode::ContentHash => {
                self.key(Kind::ContentHash, &format!("sha256:{}", hex::encode(body_sha256)))
            }
            IdempotencyMode::ExplicitOnly => None,
        })
    }

    /// The key made of `exact`; `None` if that is empty.
    fn key(&self, kind: Kind, exact: &str) -> Option<IdempotencyKey> {
        if exact.is_empty() {
            return None;
        }
        // No label holds a zero byte, so label and key cannot run into each other.
        let hash = Sha256::new().chain_update(kind.label()).chain_update([0]).chain_update(exact);
        Some(IdempotencyKey {
            text: shown(exact),
            hash: hash.finalize().into(),
            explicit: kind == Kind::Explicit,
            window: Duration::from_secs(u64::from(self.window_seconds)),
        })
    }
}

/// The key that the sender gave explicitly, if any.
///
/// # Errors
/// What is wrong with it.
pub fn explicit_key(headers: &HeaderBlock) -> Result<Option<&str>, InvalidIdempotencyKey> {
    let mut values = EXPLICIT_HEADERS.iter().flat_map(|name| headers.get_all(name));
    let Some(key) = values.next() else { return Ok(None) };
    if values.any(|other| other != key) {
        return Err(InvalidIdempotencyKey::Ambiguous);
    }
    if key.is_empty() {
        return Err(InvalidIdempotencyKey::Empty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(InvalidIdempotencyKey::TooLong);
    }
    match std::str::from_utf8(key) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(Some(text)),
        _ => Err(InvalidIdempotencyKey::NotPrintable),
    }
}

/// The provider's own id. With Standard Webhooks it is the one that was signed: verification takes `svix-*` only where
/// no `webhook-*` header is there.
fn provider_id<'a>(scheme: &VerificationScheme, headers: &'a HeaderBlock, body: &'a [u8]) -> Option<Cow<'a, str>> {
    let header = |name| headers.get_single_str(name).filter(|id| !id.is_empty()).map(Cow::Borrowed);
    let member = |pointer| match json_pointer::find_scalar(body, pointer) {
        Some(Scalar::Text(id)) => Some(id),
        _ => None,
    };
    match scheme {
        VerificationScheme::Github => header("x-github-delivery"),
        VerificationScheme::Shopify => header("x-shopify-webhook-id"),
        VerificationScheme::Stripe { .. } => member("/id"),
        VerificationScheme::Slack { .. } => member("/event_id"),
        VerificationScheme::StandardWebhooks { .. } => header("webhook-id").or_else(|| header("svix-id")),
        VerificationScheme::None | VerificationScheme::Hmac { .. } => PROVIDER_HEADERS.into_iter().find_map(header),
    }
}

/// `exact` fit to be stored and shown: at most [`KEY_BYTES_MAX`] bytes, cut between characters, and without control
/// characters, of which databases refuse some (PostgreSQL the zero character).
fn shown(exact: &str) -> String {
    let mut text = String::with_capacity(exact.len().min(KEY_BYTES_MAX));
    for character in exact.chars() {
        let character = if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        if text.len() + character.len_utf8() > KEY_BYTES_MAX {
            break;
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests;
