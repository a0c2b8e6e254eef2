//! Destinations that treat the connection itself badly.

use kapsel_core::FailureKind::{Connection, Protocol, Timeout};
use test_harness::{Behaviour, Step};

use super::row::{Answer, Breaks, Expected, Fails, Row, row};

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const EARLY: &str = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn does(name: &'static str, steps: &[Step], expected: Expected) -> Row {
    row(name, Behaviour::Steps(steps.to_vec()), expected)
}

pub(super) fn rows() -> Vec<Row> {
    use Step::{Close, Finish, Hold, Request, RequestHead, Reset, SendForever, Settle};
    let head = || Step::send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
    vec![
        // No answer.
        row("a reset in place of a greeting", Behaviour::ResetAfterAccept, Fails(&[Connection])),
        does("a close in place of a greeting", &[Close], Fails(&[Connection])),
        row("a close in place of an answer", Behaviour::LostAnswer, Fails(&[Connection])),
        does("a reset in place of an answer", &[Request, Reset], Fails(&[Connection])),
        does("half a close in place of an answer", &[Request, Finish], Fails(&[Connection])),
        row("no answer", Behaviour::Hang, Fails(&[Timeout])),
        does("nothing, not even reading", &[Hold], Fails(&[Timeout])),
        // Half an answer.
        does("a close within the head", &[Request, Step::send("HTTP/1.1 200 OK\r\nx-"), Close], Fails(&[Connection])),
        does("a reset behind the head", &[Request, head(), Settle, Reset], Breaks(200, Connection)),
        // Closes that do no harm.
        row("a close behind an answer that promised to stay", Behaviour::CloseKeepAlive, Answer(200)),
        does("half a close behind an answer", &[Request, Step::send(EMPTY), Finish], Answer(200)),
        // Bytes at the wrong time. Those in front of the request may come before it is written or just behind.
        does("a greeting of another protocol", &[Step::send("220 mail ready\r\n")], Fails(&[Connection, Protocol])),
        does("bytes without end in front of the request", &[SendForever("x".into())], Fails(&[Connection, Protocol])),
        does(
            "bytes without end behind an answer",
            &[Request, Step::send(EMPTY), SendForever("x".repeat(1_000).into())],
            Answer(200),
        ),
        does("a second answer that nobody asked for", &[Request, Step::send(format!("{EMPTY}{EMPTY}"))], Answer(200)),
        // A large body on its way.
        does("nothing read of a large body", &[Hold], Fails(&[Timeout])).upload(),
        does("a large body of which the head alone is read", &[RequestHead, Hold], Fails(&[Timeout])).upload(),
        does("a reset in the middle of a large body", &[RequestHead, Settle, Reset], Fails(&[Connection])).upload(),
        does("a close in the middle of a large body", &[RequestHead, Settle, Close], Fails(&[Connection])).upload(),
        does("an answer before the body, which is then read", &[RequestHead, Step::send(EARLY)], Answer(413)).upload(),
        does("an answer before the body, which is not read", &[RequestHead, Step::send(EARLY), Hold], Answer(413))
            .upload(),
        does("an answer before the body, and half a close", &[RequestHead, Step::send(EARLY), Finish], Answer(413))
            .upload(),
        // The answer counts, though the rest of the request cannot be written any more.
        does("an answer before the body, and a close", &[RequestHead, Step::send(EARLY), Close], Answer(413)).upload(),
        does("an answer before the body, and a reset", &[RequestHead, Step::send(EARLY), Reset], Answer(413)).upload(),
        does(
            "a long answer before the body, and a close",
            &[
                RequestHead,
                Step::send(format!("HTTP/1.1 410 Gone\r\ncontent-length: 20000\r\n\r\n{:20000}", "")),
                Close,
            ],
            Answer(410),
        )
        .upload(),
    ]
}
