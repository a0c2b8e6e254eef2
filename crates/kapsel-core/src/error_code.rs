//! The stable error codes. E1xxx: the request was refused. E2xxx: a delivery attempt failed. E3xxx: Kapsel itself
//! cannot do it now. Each code has a page of its name in `docs/errors/`.
//!
//! A code has no HTTP status here: statuses are made in one place of the API crate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal, retryable: $retryable:literal;)*) => {
        /// A stable error code, shown in API errors, in attempts and in the documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code as it is shown, such as `E1001`.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $code,)* }
            }

            /// What the code means in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title,)* }
            }

            /// Whether the same request or attempt may succeed later without being changed.
            pub const fn retryable(self) -> bool {
                match self { $(ErrorCode::$name => $retryable,)* }
            }
        }
    };
}

error_codes! {
    /// The signature of an incoming webhook is missing or wrong.
    InvalidSignature = "E1001", "invalid signature", retryable: false;
    /// The body is larger than the configured limit.
    PayloadTooLarge = "E1002", "payload too large", retryable: false;
    /// The ingest URL names no endpoint, or a disabled one.
    InvalidEndpoint = "E1003", "invalid endpoint", retryable: false;
    /// The tenant sends faster than its limit.
    RateLimited = "E1004", "rate limited", retryable: true;
    /// The idempotency key was used before with another body.
    DuplicateEvent = "E1005", "duplicate event", retryable: false;
    /// The request is not well-formed.
    BadRequest = "E1006", "bad request", retryable: false;
    /// The API key is missing or wrong.
    Unauthenticated = "E1007", "unauthenticated", retryable: false;
    /// There is no such object or route.
    NotFound = "E1008", "not found", retryable: false;
    /// The request is well-formed, but fields of it are not acceptable; each is listed.
    ValidationFailed = "E1009", "validation failed", retryable: false;
    /// The route exists, but not for this method.
    MethodNotAllowed = "E1010", "method not allowed", retryable: false;
    /// The object is not in a state in which this can be done.
    StateConflict = "E1011", "state conflict", retryable: false;
    /// The request did not arrive in time.
    RequestTimeout = "E1012", "request timeout", retryable: true;
    /// The key may not do this.
    Forbidden = "E1013", "forbidden", retryable: false;
    /// The tenant is suspended.
    TenantSuspended = "E1014", "tenant suspended", retryable: false;
    /// The tenant has as much of something as it may have.
    LimitReached = "E1015", "limit reached", retryable: true;
    /// No connection to the destination could be made, or it broke.
    ConnectionFailed = "E2001", "connection failed", retryable: true;
    /// The destination did not answer in time.
    Timeout = "E2002", "timeout", retryable: true;
    /// The destination answered with a 4xx status.
    HttpClientError = "E2003", "HTTP client error", retryable: false;
    /// The destination answered with a 5xx status.
    HttpServerError = "E2004", "HTTP server error", retryable: true;
    /// The endpoint's circuit is open.
    CircuitOpen = "E2005", "circuit open", retryable: true;
    /// The TLS handshake with the destination failed.
    TlsFailed = "E2006", "TLS failed", retryable: true;
    /// The destination's name could not be resolved.
    DnsFailed = "E2007", "name resolution failed", retryable: true;
    /// The destination's address is not allowed.
    AddressBlocked = "E2008", "address blocked", retryable: true;
    /// The destination answered with something that is not HTTP, or broke off its answer.
    ProtocolError = "E2009", "protocol error", retryable: true;
    /// The destination answered with a redirect; redirects are not followed.
    RedirectRefused = "E2010", "redirect not followed", retryable: false;
    /// The store cannot be reached or cannot make data durable.
    StoreUnavailable = "E3001", "database unavailable", retryable: true;
    /// The audit log cannot be reached.
    AuditLogUnavailable = "E3002", "audit log unavailable", retryable: true;
    /// Too much is waiting to be stored.
    QueueFull = "E3003", "queue full", retryable: true;
    /// No worker is free.
    WorkersExhausted = "E3004", "worker pool exhausted", retryable: true;
    /// Kapsel is being stopped.
    ShuttingDown = "E3005", "shutting down", retryable: true;
    /// A defect in Kapsel.
    Internal = "E3006", "internal error", retryable: true;
}

/// The text is not a known error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code {0:?}")]
pub struct UnknownErrorCode(pub String);

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ErrorCode::ALL.iter().find(|code| code.as_str() == text);
        known.copied().ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_parse_back() {
        let texts: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(texts, sorted);
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse::<ErrorCode>().unwrap(), *code);
        }
        assert!("E9999".parse::<ErrorCode>().is_err());
    }
}
