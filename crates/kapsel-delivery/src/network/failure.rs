//! What went wrong on the network, in the few kinds that attempts know.
//!
//! Details are for people who look at an attempt. They name addresses and errors, never headers, bodies or keys.

use std::error::Error;
use std::io;

use kapsel_core::{BlockedAddress, FailureKind, Outcome, ResponseHead};

/// Details are cut off here; the longest come from certificates, which a destination fills as it likes.
const DETAIL_CHARS_MAX: usize = 300;

/// Why no whole answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// For people.
    pub detail: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
            detail.truncate(end);
        }
        Failure { kind, detail }
    }

    pub(super) fn into_outcome(self, head: Option<ResponseHead>) -> Outcome {
        Outcome::Failure { kind: self.kind, detail: self.detail, head }
    }
}

impl From<BlockedAddress> for Failure {
    fn from(blocked: BlockedAddress) -> Self {
        Failure::new(FailureKind::Blocked, blocked.to_string())
    }
}

/// No TCP connection came about.
pub(super) fn of_dial(error: &io::Error) -> Failure {
    Failure::new(FailureKind::Connection, format!("cannot connect: {}", io_words(error)))
}

/// The TLS handshake did not come to its end.
pub(super) fn of_handshake(error: &io::Error) -> Failure {
    let words = match rustls_error(error) {
        Some(error) => tls_words(error),
        None => format!("the connection broke during the TLS handshake: {}", io_words(error)),
    };
    Failure::new(FailureKind::Tls, words)
}

/// The exchange over an established connection broke off; `when` says in which phase.
pub(super) fn of_exchange(error: &hyper::Error, when: &str) -> Failure {
    if let Some(io_error) = find_source::<io::Error>(error) {
        // With TLS 1.3 a destination that wants a client certificate says so only here, behind the handshake.
        if let Some(error) = rustls_error(io_error) {
            return Failure::new(FailureKind::Tls, tls_words(error));
        }
        if is_broken_connection(io_error.kind()) {
            return Failure::new(FailureKind::Connection, format!("{}, {when}", io_words(io_error)));
        }
        return Failure::new(FailureKind::Protocol, format!("the answer is not valid HTTP, {when}: {io_error}"));
    }
    if error.is_parse_too_large() {
        return Failure::new(FailureKind::Protocol, "the head of the answer is too large");
    }
    if error.is_parse() {
        return Failure::new(FailureKind::Protocol, "the answer is not HTTP/1.1");
    }
    Failure::new(FailureKind::Connection, format!("the connection was closed, {when}"))
}

fn is_broken_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut)
}

/// The system's words without the error number; they are the same on every machine where tests compare them.
fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the destination".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed by the destination".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError;
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired".into(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name".into()
            }
            CertificateError::UnknownIssuer => "the certificate's issuer is not trusted".into(),
            other => format!("the certificate is not valid: {other}"),
        },
        other => format!("TLS failed: {other}"),
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn find_source<T: Error + 'static>(error: &dyn Error) -> Option<&T> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_cut_at_a_character() {
        let failure = Failure::new(FailureKind::Tls, "é".repeat(1_000));
        assert_eq!(failure.detail.chars().count(), DETAIL_CHARS_MAX);
        assert_eq!(Failure::new(FailureKind::Tls, "short").detail, "short");
    }

    #[test]
    fn a_blocked_address_is_named() {
        let blocked = kapsel_core::AddressPolicy::default().check("169.254.169.254".parse().unwrap()).unwrap_err();
        let failure = Failure::from(blocked);
        assert_eq!(failure.kind, FailureKind::Blocked);
        assert!(failure.detail.contains("169.254.169.254"), "{failure}");
    }
}
