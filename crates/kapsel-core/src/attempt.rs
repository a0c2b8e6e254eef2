//! One HTTP request of a delivery, and what came of it.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use crate::delivery::{DeliveryRef, UnknownWord};
use crate::error_code::ErrorCode;
use crate::headers::HeaderBlock;
use crate::ids::AttemptId;
use crate::time::Timestamp;

/// Response bodies are read and kept up to this many bytes.
pub const RESPONSE_BODY_BYTES_MAX: usize = 64 * 1024;

/// What came of one request. A remote failure is a value, not an `Err`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination answered, whatever the status.
    Response(ResponseHead),
    /// No whole answer came.
    Failure {
        /// What failed.
        kind: FailureKind,
        /// For people; no secret, no payload.
        detail: String,
        /// The answer's head, where at least that had come.
        head: Option<ResponseHead>,
    },
}

/// The part of an answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseHead {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderBlock,
    /// The first [`RESPONSE_BODY_BYTES_MAX`] bytes of the body.
    pub body: Bytes,
    /// Whether the body was longer than what is kept.
    pub body_truncated: bool,
}

/// What kept an answer from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was refused, reset or closed.
    Connection,
    /// The deadline passed.
    Timeout,
    /// The name could not be resolved.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// The address is not allowed.
    Blocked,
    /// The answer was not HTTP.
    Protocol,
    /// Kapsel itself failed while it worked on the delivery.
    Internal,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: &'static [FailureKind] = &[
        FailureKind::Connection,
        FailureKind::Timeout,
        FailureKind::Dns,
        FailureKind::Tls,
        FailureKind::Blocked,
        FailureKind::Protocol,
        FailureKind::Internal,
    ];

    /// The word that is stored for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureKind::Connection => "connection",
            FailureKind::Timeout => "timeout",
            FailureKind::Dns => "dns",
            FailureKind::Tls => "tls",
            FailureKind::Blocked => "blocked",
            FailureKind::Protocol => "protocol",
            FailureKind::Internal => "internal",
        }
    }

    /// The code that the attempt shows.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            FailureKind::Connection => ErrorCode::ConnectionFailed,
            FailureKind::Timeout => ErrorCode::Timeout,
            FailureKind::Dns => ErrorCode::DnsFailed,
            FailureKind::Tls => ErrorCode::TlsFailed,
            FailureKind::Blocked => ErrorCode::AddressBlocked,
            FailureKind::Protocol => ErrorCode::ProtocolError,
            FailureKind::Internal => ErrorCode::Internal,
        }
    }
}

impl FromStr for FailureKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = FailureKind::ALL.iter().find(|kind| kind.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// What came of a request, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// A whole answer with a status of 2xx.
    Delivered,
    /// One with 3xx.
    Redirect,
    /// One with 4xx.
    ClientError,
    /// One with 5xx.
    ServerError,
    /// One with another status.
    UnknownStatus,
    /// No whole answer came.
    Failure(FailureKind),
}

impl OutcomeClass {
    /// Every class.
    pub const ALL: [OutcomeClass; 12] = [
        OutcomeClass::Delivered,
        OutcomeClass::Redirect,
        OutcomeClass::ClientError,
        OutcomeClass::ServerError,
        OutcomeClass::UnknownStatus,
        OutcomeClass::Failure(FailureKind::Connection),
        OutcomeClass::Failure(FailureKind::Timeout),
        OutcomeClass::Failure(FailureKind::Dns),
        OutcomeClass::Failure(FailureKind::Tls),
        OutcomeClass::Failure(FailureKind::Blocked),
        OutcomeClass::Failure(FailureKind::Protocol),
        OutcomeClass::Failure(FailureKind::Internal),
    ];

    /// The word for it, in leaves and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            OutcomeClass::Delivered => "delivered",
            OutcomeClass::Redirect => "redirect",
            OutcomeClass::ClientError => "client_error",
            OutcomeClass::ServerError => "server_error",
            OutcomeClass::UnknownStatus => "unknown_status",
            OutcomeClass::Failure(kind) => kind.as_str(),
        }
    }
}

impl Outcome {
    /// Which class it belongs to.
    pub fn class(&self) -> OutcomeClass {
        match self {
            Outcome::Response(head) => match head.status {
                200..300 => OutcomeClass::Delivered,
                300..400 => OutcomeClass::Redirect,
                400..500 => OutcomeClass::ClientError,
                500..600 => OutcomeClass::ServerError,
                _ => OutcomeClass::UnknownStatus,
            },
            Outcome::Failure { kind, .. } => OutcomeClass::Failure(*kind),
        }
    }

    /// The HTTP status, if one was received.
    pub fn status(&self) -> Option<u16> {
        self.head().map(|head| head.status)
    }

    /// The head of the answer, if one was received.
    pub fn head(&self) -> Option<&ResponseHead> {
        match self {
            Outcome::Response(head) => Some(head),
            Outcome::Failure { head, .. } => head.as_ref(),
        }
    }

    /// Success is 2xx alone (Standard Webhooks 1.0.0, "deliverability").
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Response(head) if (200..300).contains(&head.status))
    }

    /// The code of the failure; `None` on success.
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Outcome::Response(head) => match head.status {
                200..300 => None,
                300..400 => Some(ErrorCode::RedirectRefused),
                400..500 => Some(ErrorCode::HttpClientError),
                500..600 => Some(ErrorCode::HttpServerError),
                _ => Some(ErrorCode::ProtocolError),
            },
            Outcome::Failure { kind, .. } => Some(kind.error_code()),
        }
    }
}

/// One settled attempt, as it is kept for ever (or for the retention time).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Which delivery it was made for.
    pub delivery: DeliveryRef,
    /// 1 for the first attempt of the delivery; counts on through manual retries.
    pub number: u32,
    /// The URL it went to; the endpoint's may have changed since.
    pub url: String,
    /// When the request was begun.
    pub started_at: Timestamp,
    /// How long it took until the outcome was known.
    pub duration: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

impl Attempt {
    /// When the outcome was known.
    pub fn ended_at(&self) -> Timestamp {
        self.started_at + self.duration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_2xx_alone() {
        for status in [100, 199, 200, 204, 299, 300, 304, 400, 404, 500, 599, 600, 999] {
            let outcome = Outcome::Response(ResponseHead { status, ..ResponseHead::default() });
            assert_eq!(outcome.is_success(), (200..300).contains(&status), "{status}");
            assert_eq!(outcome.error_code().is_none(), outcome.is_success(), "{status}");
        }
    }

    #[test]
    fn a_broken_answer_is_no_success_though_its_head_said_so() {
        let head = ResponseHead { status: 200, ..ResponseHead::default() };
        let outcome = Outcome::Failure { kind: FailureKind::Timeout, detail: String::new(), head: Some(head) };
        assert!(!outcome.is_success());
        assert_eq!(outcome.status(), Some(200));
        assert_eq!(outcome.error_code(), Some(ErrorCode::Timeout));
    }
}
