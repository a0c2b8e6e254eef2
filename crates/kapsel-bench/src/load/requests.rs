//! The bytes of a request, put together from parts that were made beforehand.

use std::net::SocketAddr;

use super::bodies::{SIGNATURE_HEADER, SignedBody};
use crate::http::incoming::SEQUENCE_HEADER;
use crate::rounding::{count, index};

/// Digits of a sequence number, leading zeros included, so that every request has the same length.
const DIGITS: usize = 12;

/// Everything that requests are made of.
#[derive(Debug)]
pub(crate) struct Requests {
    /// `POST /ingest/… HTTP/1.1`, one for each endpoint.
    first_lines: Vec<Vec<u8>>,
    bodies: Vec<Parts>,
    /// What stands before the number in an idempotency key, if there are keys.
    key_start: Option<Vec<u8>>,
}

/// What goes with one body.
#[derive(Debug)]
struct Parts {
    /// All headers up to the sequence number.
    headers: Vec<u8>,
    content: Vec<u8>,
}

impl Requests {
    /// Requests to these paths in turn. With `key_prefix`, each has an idempotency key that begins so.
    pub(crate) fn new(target: SocketAddr, paths: &[String], bodies: &[SignedBody], key_prefix: Option<&str>) -> Self {
        let parts = |body: &SignedBody| Parts {
            headers: format!(
                "Host: {target}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{SIGNATURE_HEADER}: {}\r\n\
                 {SEQUENCE_HEADER}: ",
                body.content.len(),
                body.signature
            )
            .into_bytes(),
            content: body.content.clone(),
        };
        Requests {
            first_lines: paths.iter().map(|path| format!("POST {path} HTTP/1.1\r\n").into_bytes()).collect(),
            bodies: bodies.iter().map(parts).collect(),
            key_start: key_prefix.map(|prefix| format!("\r\nIdempotency-Key: {prefix}-").into_bytes()),
        }
    }

    /// Writes the request of one event over what `out` held. Endpoints take turns, and so do bodies.
    pub(crate) fn compose(&self, sequence: u64, out: &mut Vec<u8>) {
        let endpoints = count(self.first_lines.len()).max(1);
        let bodies = count(self.bodies.len()).max(1);
        let first_line = self.first_lines.get(index(sequence % endpoints));
        let parts = self.bodies.get(index(sequence / endpoints % bodies));
        let (Some(first_line), Some(parts)) = (first_line, parts) else { return };
        let number = digits(sequence);
        out.clear();
        out.extend_from_slice(first_line);
        out.extend_from_slice(&parts.headers);
        out.extend_from_slice(&number);
        if let Some(key_start) = &self.key_start {
            out.extend_from_slice(key_start);
            out.extend_from_slice(&number);
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&parts.content);
    }
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::incoming::IncomingHead;
    use crate::load::bodies::signed_bodies;

    fn requests(key_prefix: Option<&str>) -> Requests {
        let paths = ["/ingest/a".to_owned(), "/ingest/b".to_owned(), "/ingest/c".to_owned()];
        Requests::new(([127, 0, 0, 1], 80).into(), &paths, &signed_bodies(100), key_prefix)
    }

    #[test]
    fn a_request_is_whole_and_numbered() {
        let mut bytes = b"what was there before".to_vec();
        requests(None).compose(123, &mut bytes);
        let head = IncomingHead::read(&bytes).unwrap().unwrap();
        assert_eq!((head.sequence, head.bytes()), (Some(123), bytes.len()));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("POST /ingest/a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"), "{text}");
        assert!(!text.contains("Idempotency-Key"));
    }

    #[test]
    fn endpoints_take_turns_and_each_gets_every_body() {
        let requests = requests(None);
        let mut seen = std::collections::BTreeSet::new();
        let mut bytes = Vec::new();
        for sequence in 0..3 * 64 {
            requests.compose(sequence, &mut bytes);
            let path = bytes.split(|byte| *byte == b'\r').next().unwrap().to_vec();
            let body = bytes[bytes.len() - 100..].to_vec();
            seen.insert((path, body));
        }
        assert_eq!(seen.len(), 3 * 64);
    }

    #[test]
    fn keys_are_unique() {
        let requests = requests(Some("run"));
        let (mut one, mut two) = (Vec::new(), Vec::new());
        requests.compose(7, &mut one);
        requests.compose(999_999_999_999, &mut two);
        assert!(String::from_utf8_lossy(&one).contains("\r\nIdempotency-Key: run-000000000007\r\n\r\n"));
        assert!(String::from_utf8_lossy(&two).contains("\r\nIdempotency-Key: run-999999999999\r\n\r\n"));
        assert_eq!(one.len(), two.len());
    }
}
