//! Why a configuration or a webhook is refused.

use std::fmt;

use super::{SECRETS_MAX, TOLERANCE_SECONDS_MAX};
use crate::headers::NAME_BYTES_MAX;

/// Why a scheme and its secrets cannot be used together. Says what is expected, never what was given: that may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerification {
    /// There is no secret, so nothing could be checked.
    #[error("secrets: at least one is needed; only the scheme `none` does without")]
    NoSecret,
    /// There are secrets that nothing would be checked with.
    #[error("secrets: the scheme `none` checks nothing and takes none")]
    UnusedSecret,
    /// There are too many.
    #[error("secrets: at most {SECRETS_MAX} can be live at once")]
    TooManySecrets,
    /// A secret is empty.
    #[error("secrets[{index}]: must not be empty")]
    EmptySecret {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A secret is not of the form that the scheme asks for.
    #[error("secrets[{index}]: must be {expected}")]
    SecretForm {
        /// Its place in the list, from 0.
        index: usize,
        /// The form.
        expected: &'static str,
    },
    /// The header is not one that a request can have.
    #[error("header: must be a header name in lower case of 1 to {NAME_BYTES_MAX} bytes, such as x-signature")]
    Header,
    /// The prefix is not one that a header value can begin with.
    #[error("prefix: must be printable ASCII without a space in front, such as sha256=, or empty")]
    Prefix,
    /// The tolerance would refuse everything, or let replays pass for days.
    #[error("tolerance_seconds: must be 1 to {TOLERANCE_SECONDS_MAX}")]
    Tolerance,
}

impl InvalidVerification {
    /// The name of the offending field: `secrets`, or one of the [`VerificationScheme`](super::VerificationScheme).
    pub const fn field(&self) -> &'static str {
        match self {
            InvalidVerification::NoSecret
            | InvalidVerification::UnusedSecret
            | InvalidVerification::TooManySecrets
            | InvalidVerification::EmptySecret { .. }
            | InvalidVerification::SecretForm { .. } => "secrets",
            InvalidVerification::Header => "header",
            InvalidVerification::Prefix => "prefix",
            InvalidVerification::Tolerance => "tolerance_seconds",
        }
    }
}

/// What a header is for in a scheme. Names a header in an error without repeating anything that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRole {
    /// It carries the signature or the list of them.
    Signature,
    /// It carries the time of signing.
    Timestamp,
    /// It carries the webhook's id, which is signed.
    Id,
}

impl fmt::Display for HeaderRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderRole::Signature => "signature",
            HeaderRole::Timestamp => "timestamp",
            HeaderRole::Id => "webhook id",
        })
    }
}

/// Why a webhook was refused. Names what was wrong, never a MAC or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header that the scheme needs is not there.
    #[error("the {0} header is missing")]
    Missing(HeaderRole),
    /// A header occurs more than once. Sender and receiver could each mean another one.
    #[error("the {0} header occurs more than once")]
    Repeated(HeaderRole),
    /// A header is there, but its value is not of the scheme's form.
    #[error("the {0} header is malformed")]
    Malformed(HeaderRole),
    /// Everything is well-formed, but no signature was made over these bytes with one of the secrets.
    #[error("no signature matches")]
    NoMatch,
    /// It was signed longer ago than the tolerance allows: a replay, or a clock that is wrong.
    #[error("the timestamp is too far in the past")]
    TooOld,
    /// It was signed further ahead than the tolerance allows: a clock is wrong.
    #[error("the timestamp is too far in the future")]
    TooNew,
}
