//! Answers whose head is not what it should be.

use kapsel_core::FailureKind::{Protocol, Timeout};
use test_harness::Behaviour;

use super::row::{Answer, Fails, Row, drips, row, says, says_and_closes, says_without_end};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// A good answer but for one header line.
fn with_line(name: &'static str, line: &str) -> Row {
    says(name, format!("{OK}{line}\r\ncontent-length: 0\r\n\r\n"), Fails(&[Protocol]))
}

/// An answer with nothing but a status line.
fn status_line(name: &'static str, line: &str) -> Row {
    says(name, format!("{line}\r\ncontent-length: 0\r\n\r\n"), Fails(&[Protocol]))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        // Another protocol.
        row("something that is not HTTP", Behaviour::Garbage, Fails(&[Protocol])),
        says_and_closes("a body without head, as in HTTP/0.9", "<html>hello</html>\r\n", Fails(&[Protocol])),
        says("an HTTP/2 SETTINGS frame", &b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"[..], Fails(&[Protocol])),
        says("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fails(&[Protocol])),
        says("a request", "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", Fails(&[Protocol])),
        status_line("HTTP/2 in the form of HTTP/1", "HTTP/2 200 OK"),
        status_line("a version that does not exist", "HTTP/1.9 200 OK"),
        // The status line.
        status_line("status 000", "HTTP/1.1 000 Nothing"),
        status_line("a status below 100", "HTTP/1.1 099 Low"),
        status_line("a status of two digits", "HTTP/1.1 20 Short"),
        status_line("a status of four digits", "HTTP/1.1 2000 Long"),
        status_line("a status with a sign", "HTTP/1.1 -200 Minus"),
        status_line("a status in letters", "HTTP/1.1 two Hundred"),
        status_line("no status", "HTTP/1.1"),
        says("a status that nobody has defined", "HTTP/1.1 999 Far\r\ncontent-length: 0\r\n\r\n", Answer(999)).kept(),
        says_without_end("a reason without end", OK.trim_end(), "x".repeat(1_000), Fails(&[Protocol])),
        says_without_end("blank lines without end", "", "\r\n".repeat(500), Fails(&[Protocol])),
        // Header lines.
        with_line("NUL in a header", "x-nul: a\0b"),
        with_line("a bare CR in a header", "x-cr: a\rb"),
        with_line("a folded header line", "x-folded: a\r\n b"),
        with_line("a header line without colon", "no colon here"),
        with_line("a header without name", ": nameless"),
        with_line("a space before the colon", "x-space : a"),
        with_line("control characters in a header name", "x-\x07bell: a"),
        with_line("more headers than are read", "x-more: a\r\n".repeat(200).trim_end()),
        says_without_end("headers without end", OK, format!("x-more: {}\r\n", "x".repeat(1_000)), Fails(&[Protocol])),
        says_without_end("a header line without end", format!("{OK}x-long: "), "x".repeat(1_000), Fails(&[Protocol])),
        says("bytes above ASCII in a header", [OK.as_bytes(), b"x: \xff\xfe\r\ncontent-length: 0\r\n\r\n"].concat(), Answer(200))
            .kept(),
        says("lines that end with LF alone", "HTTP/1.1 200 OK\ncontent-length: 0\n\n", Answer(200)).kept(),
        says(
            "an announced keep-alive beyond all time",
            format!("{OK}keep-alive: timeout=18446744073709551615\r\ncontent-length: 0\r\n\r\n"),
            Answer(200),
        )
        .kept(),
        says(
            "an announced keep-alive of no time",
            format!("{OK}keep-alive: timeout=0\r\ncontent-length: 0\r\n\r\n"),
            Answer(200),
        ),
        drips("a head that drips", "", format!("{OK}x-slow: {}", "x".repeat(60_000)), Fails(&[Timeout])),
        // Interim answers.
        row("interim answers without end", Behaviour::InformationalFlood, Fails(&[Protocol])),
        drips("interim answers that drip", "", "HTTP/1.1 102 Processing\r\n\r\n", Fails(&[Timeout])),
        says(
            "some interim answers",
            format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n{OK}content-length: 0\r\n\r\n"),
            Answer(200),
        )
        .kept(),
        says(
            "another protocol that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nother",
            Answer(101),
        ),
        // Redirects.
        row("a redirect to itself", Behaviour::Redirect("/hook".to_owned()), Answer(302)).kept(),
        row("a redirect to a private address", Behaviour::Redirect("http://169.254.169.254/".to_owned()), Answer(302))
            .kept(),
    ]
}
