//! The head of an answer.

use std::mem::MaybeUninit;

/// More headers than this, and the answer is none that Kapsel gives.
const HEADERS_MAX: usize = 48;

/// What has to be known of an answer to tell where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// The status.
    pub(crate) status: u16,
    /// The bytes of the head.
    pub(crate) head_bytes: usize,
    /// The bytes of the body behind it.
    pub(crate) body_bytes: usize,
    /// Whether the server closes the connection after it.
    pub(crate) is_last: bool,
}

/// Something that is no answer, or none with a length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not HTTP/1.1.
    #[error("not HTTP/1.1: {0}")]
    Syntax(httparse::Error),
    /// The end of the body cannot be told.
    #[error("it has no usable Content-Length; other framing is not understood")]
    Framing,
    /// Larger than there is room for.
    #[error("it is larger than {0} bytes")]
    Size(usize),
}

impl AnswerHead {
    /// All bytes of the answer.
    pub(crate) fn bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    /// Reads the head at the beginning of `bytes`; nothing if it has not come to its end.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<AnswerHead>, Malformed> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut answer, bytes, &mut headers);
        let head_bytes = match parsed.map_err(Malformed::Syntax)? {
            httparse::Status::Complete(head_bytes) => head_bytes,
            httparse::Status::Partial => return Ok(None),
        };
        let status = answer.code.ok_or(Malformed::Framing)?;
        let length = content_length(answer.headers)?;
        // RFC 9112, section 6.3: these have no body, whatever they say.
        let body_bytes = match status {
            204 | 304 => 0,
            _ => length.ok_or(Malformed::Framing)?,
        };
        Ok(Some(AnswerHead { status, head_bytes, body_bytes, is_last: says_close(answer.headers) }))
    }
}

/// The length of the body that follows, if one is given.
pub(super) fn content_length(headers: &[httparse::Header<'_>]) -> Result<Option<usize>, Malformed> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Malformed::Framing);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Malformed::Framing)?;
            length = Some(text.trim().parse().map_err(|_| Malformed::Framing)?);
        }
    }
    Ok(length)
}

/// Whether the connection ends after this message.
pub(super) fn says_close(headers: &[httparse::Header<'_>]) -> bool {
    headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection") && header.value.trim_ascii().eq_ignore_ascii_case(b"close")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<AnswerHead>, Malformed> {
        AnswerHead::read(text.as_bytes())
    }

    #[test]
    fn a_whole_answer_is_measured() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n";
        let expected = AnswerHead { status: 200, head_bytes: head.len(), body_bytes: 2, is_last: false };
        assert_eq!(read(&format!("{head}{{}}")), Ok(Some(expected)));
        assert_eq!(expected.bytes(), head.len() + 2);
    }

    #[test]
    fn a_part_of_a_head_is_waited_for() {
        for part in ["", "HTTP/1.1", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"] {
            assert_eq!(read(part), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn the_end_of_a_connection_is_seen() {
        let answer = read("HTTP/1.1 503 Service Unavailable\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n");
        assert!(answer.is_ok_and(|head| head.is_some_and(|head| head.is_last && head.status == 503)));
    }

    #[test]
    fn answers_without_a_body_need_no_length() {
        assert!(
            read("HTTP/1.1 204 No Content\r\n\r\n").is_ok_and(|head| head.is_some_and(|head| head.body_bytes == 0))
        );
    }

    #[test]
    fn what_cannot_be_framed_is_an_error() {
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n"), Err(Malformed::Framing));
        assert_eq!(read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Err(Malformed::Framing));
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"), Err(Malformed::Framing));
        assert!(matches!(read("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Err(Malformed::Syntax(_))));
    }
}
