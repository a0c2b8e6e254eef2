//! The head of a request that comes to the destination.

use std::mem::MaybeUninit;

use super::answer::{Malformed, content_length, says_close};

/// Kapsel adds about a dozen to those that it was given.
const HEADERS_MAX: usize = 64;
/// The header that numbers events. Kapsel passes it on as it passes on what any source sends.
pub(crate) const SEQUENCE_HEADER: &str = "x-bench-sequence";

/// What the destination has to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IncomingHead {
    /// The bytes of the head.
    pub(crate) head_bytes: usize,
    /// The bytes of the body behind it.
    pub(crate) body_bytes: usize,
    /// The number of the event, if it has one.
    pub(crate) sequence: Option<u64>,
    /// Whether the client closes the connection after it.
    pub(crate) is_last: bool,
}

impl IncomingHead {
    /// All bytes of the request.
    pub(crate) fn bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    /// Reads the head at the beginning of `bytes`; nothing if it has not come to its end.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<IncomingHead>, Malformed> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut headers);
        let head_bytes = match parsed.map_err(Malformed::Syntax)? {
            httparse::Status::Complete(head_bytes) => head_bytes,
            httparse::Status::Partial => return Ok(None),
        };
        Ok(Some(IncomingHead {
            head_bytes,
            body_bytes: content_length(request.headers)?.unwrap_or_default(),
            sequence: request.headers.iter().find_map(sequence),
            is_last: says_close(request.headers),
        }))
    }
}

fn sequence(header: &httparse::Header<'_>) -> Option<u64> {
    if !header.name.eq_ignore_ascii_case(SEQUENCE_HEADER) {
        return None;
    }
    std::str::from_utf8(header.value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<IncomingHead>, Malformed> {
        IncomingHead::read(text.as_bytes())
    }

    #[test]
    fn the_number_of_an_event_is_found() {
        let head = "POST /hook HTTP/1.1\r\nhost: a\r\nX-Bench-Sequence: 000000000123\r\ncontent-length: 4\r\n\r\n";
        let expected = IncomingHead { head_bytes: head.len(), body_bytes: 4, sequence: Some(123), is_last: false };
        assert_eq!(read(&format!("{head}body")), Ok(Some(expected)));
        assert_eq!(expected.bytes(), head.len() + 4);
        assert_eq!(read(&head[..head.len() - 1]), Ok(None));
    }

    #[test]
    fn a_stranger_has_none() {
        let sequence = |text| read(text).map(|head| head.map(|head| head.sequence));
        assert_eq!(sequence("POST / HTTP/1.1\r\n\r\n"), Ok(Some(None)));
        assert_eq!(sequence("POST / HTTP/1.1\r\nx-bench-sequence: x\r\n\r\n"), Ok(Some(None)));
    }

    #[test]
    fn chunks_are_refused() {
        assert_eq!(read("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"), Err(Malformed::Framing));
    }
}
