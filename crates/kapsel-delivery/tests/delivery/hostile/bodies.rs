//! Answers that say wrongly, or not at all, where their body ends, and bodies that are meant to keep, fill or blow up
//! the client.

use std::time::Duration;

use kapsel_core::FailureKind::{Connection, Protocol, Timeout};
use test_harness::{Behaviour, Step};

use super::row::{Answer, Breaks, CutOff, Fails, Row, drips, row, says, says_and_closes, says_without_end};

/// An answer with these header lines about its body, and the body `hello`.
fn head(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello")
}

fn chunked(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}")
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        // Content-Length (RFC 9110, section 8.6; RFC 9112, section 6.3).
        says("two lengths that differ", head("content-length: 5\r\ncontent-length: 6"), Fails(&[Protocol])),
        says("a list of lengths that differ", head("content-length: 5, 6"), Fails(&[Protocol])),
        says("the same length twice", head("content-length: 5\r\ncontent-length: 5"), Answer(200)).kept(),
        says("a negative length", head("content-length: -5"), Fails(&[Protocol])),
        says("a length with a sign", head("content-length: +5"), Fails(&[Protocol])),
        says("a length in hexadecimal", head("content-length: 0x5"), Fails(&[Protocol])),
        says("an empty length", head("content-length:"), Fails(&[Protocol])),
        says("a length that overflows", head("content-length: 99999999999999999999"), Fails(&[Protocol])),
        says_and_closes(
            "a length beyond all memory",
            head("content-length: 9223372036854775807"),
            Breaks(200, Protocol),
        ),
        says_and_closes("a body shorter than its length", head("content-length: 100"), Breaks(200, Protocol)),
        says("a body that never gets to its length", head("content-length: 100"), Breaks(200, Timeout)),
        says("a body longer than its length", head("content-length: 2"), Answer(200)),
        says("a body where none may be: 204", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", Answer(204)),
        says(
            "a body where none may be: 304",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello",
            Answer(304),
        ),
        // Transfer-Encoding (RFC 9112, section 7.1).
        says(
            "length and chunks, which agree",
            "HTTP/1.1 200 OK\r\ncontent-length: 15\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Answer(200),
        ),
        says(
            "length and chunks, which differ",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Answer(200),
        ),
        says(
            "chunks in HTTP/1.0",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Fails(&[Protocol]),
        ),
        says("a chunk size that is none", chunked("5\r\nhello\r\nnot a size\r\n"), Breaks(200, Protocol)),
        says("a negative chunk size", chunked("-5\r\nhello\r\n"), Breaks(200, Protocol)),
        says("a chunk size that overflows", chunked("fffffffffffffffff\r\nhello\r\n"), Breaks(200, Protocol)),
        says_and_closes("a chunk size beyond all memory", chunked("7fffffffffffffff\r\nhello"), Breaks(200, Protocol)),
        says("a chunk that is longer than its size", chunked("2\r\nhello\r\n0\r\n\r\n"), Breaks(200, Protocol)),
        says_and_closes("no last chunk", chunked("5\r\nhello\r\n"), Breaks(200, Protocol)),
        says_without_end("a chunk size without end", chunked(""), "0".repeat(1_000), Breaks(200, Protocol)),
        says_without_end("a chunk extension without end", chunked("5;x="), "x".repeat(1_000), Breaks(200, Protocol)),
        says_without_end(
            "small chunk extensions without end",
            chunked(""),
            "1;xxxxxxxx\r\nx\r\n".repeat(100),
            Breaks(200, Protocol),
        ),
        says_without_end("trailers without end", chunked("0\r\n"), "x-more: x\r\n".repeat(100), Breaks(200, Protocol)),
        says_without_end("a trailer line without end", chunked("0\r\nx: "), "x".repeat(1_000), Breaks(200, Protocol)),
        drips("trailers that drip", chunked("0\r\nx: "), "x", Breaks(200, Timeout)),
        // Neither: the body ends with the connection.
        says_and_closes("a body that ends with the connection", head("x: y"), Answer(200)),
        says("a body without length that does not end", head("x: y"), Breaks(200, Timeout)),
        says_without_end("a body without length and without end", head("x: y"), "x".repeat(10_000), CutOff(200)),
        row(
            "a body without length that is reset",
            Behaviour::Steps(vec![Step::Request, Step::send(head("x: y")), Step::Settle, Step::Reset]),
            Breaks(200, Connection),
        ),
        says_and_closes("a coding that nobody asked for", head("transfer-encoding: gzip"), Answer(200)),
        // Too slow, too long, too large.
        row("a body that drips", Behaviour::Drip(Duration::from_millis(5)), Breaks(200, Timeout)),
        drips("chunks that drip", chunked(""), "1\r\nx\r\n", Breaks(200, Timeout)),
        row("a body without end", Behaviour::EndlessBody, CutOff(200)),
        says_without_end("an error page without end", "HTTP/1.1 500 No\r\n\r\n", "x".repeat(10_000), CutOff(500)),
        says_without_end("chunks of one byte without end", chunked(""), "1\r\nx\r\n".repeat(1_000), CutOff(200)),
        row("a gzip bomb", Behaviour::GzipBomb, CutOff(200)),
        says_and_closes(
            "a body that is not the gzip it says it is and stops",
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n\x1f",
            Breaks(200, Protocol),
        ),
    ]
}
