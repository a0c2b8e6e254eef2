//! Destinations whose TLS is not what it should be.

use std::time::Duration;

use kapsel_core::FailureKind::{Connection, Protocol, Timeout, Tls};
use test_harness::{Behaviour, Certificate, Step};

use super::row::{Answer, Breaks, Expected, Fails, Row, row};

/// A record (RFC 8446, section 5.1) of this type with this content.
fn record(content_type: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[content_type, 3, 3], &length[..], content].concat()
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The first message of a server that knows nothing newer than TLS 1.0.
fn server_hello_of_tls_1_0() -> Vec<u8> {
    // Version, random, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    let hello = [&[3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let length = u8::try_from(hello.len()).unwrap();
    record(HANDSHAKE, &[&[2, 0, 0, length][..], &hello].concat())
}

fn shows(name: &'static str, certificate: Certificate, expected: Expected) -> Row {
    row(name, Behaviour::Tls(certificate), expected).over_tls()
}

/// What is done once the client has begun its handshake.
fn does(name: &'static str, steps: &[Step], expected: Expected) -> Row {
    let steps = [&[Step::Something], steps].concat();
    row(name, Behaviour::Steps(steps), expected).over_tls()
}

/// What is done behind a good handshake.
fn does_inside(name: &'static str, steps: &[Step], expected: Expected) -> Row {
    row(name, Behaviour::TlsSteps(Certificate::Good, steps.to_vec()), expected).over_tls()
}

pub(super) fn rows() -> Vec<Row> {
    use Step::{Close, Finish, Hold, Request, Reset, SendForever, Settle};
    let failed = Fails(&[Tls]);
    let without_length = || Step::send("HTTP/1.1 200 OK\r\n\r\nhello");
    vec![
        // Certificates.
        shows("a good certificate", Certificate::Good, Answer(200)).kept(),
        shows("a good certificate over TLS 1.2", Certificate::Tls12, Answer(200)).kept(),
        shows("an expired certificate", Certificate::Expired, failed),
        shows("a certificate of the future", Certificate::NotYetValid, failed),
        shows("a certificate for another name", Certificate::WrongName, failed),
        shows("a self-signed certificate", Certificate::SelfSigned, failed),
        shows("a certificate that is not for servers", Certificate::ForClients, failed),
        shows("a hundred certificates nobody needs", Certificate::WithChain(100), Answer(200)).kept(),
        shows("a chain larger than any handshake", Certificate::WithChain(10_000), failed),
        shows("a certificate demanded of the client", Certificate::WantsClient, failed),
        shows("HTTP/2 and nothing else", Certificate::Http2, failed),
        shows("a hundred session tickets", Certificate::WithTickets(100), Answer(200)).kept(),
        // Handshakes.
        row("plain HTTP in place of a handshake", Behaviour::Ok(200), failed).over_tls(),
        does("nothing in place of a handshake", &[], Fails(&[Timeout])),
        does("a close in place of a handshake", &[Close], failed),
        does("a reset in place of a handshake", &[Reset], failed),
        does("half a close in place of a handshake", &[Finish], failed),
        does("garbage in place of a handshake", &[Step::send(vec![0xff; 1_000])], failed),
        does("a fatal alert", &[Step::send(record(ALERT, &[2, 40]))], failed),
        does("warnings without end", &[SendForever(record(ALERT, &[1, 90]).into())], failed),
        does("TLS 1.0", &[Step::send(server_hello_of_tls_1_0())], failed),
        does(
            "a garbled first message",
            &[Step::send(record(HANDSHAKE, &[2, 0, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9]))],
            failed,
        ),
        does("a message longer than any handshake", &[Step::send(record(HANDSHAKE, &[2, 0xff, 0xff, 0xff]))], failed),
        does("empty records without end", &[SendForever(record(HANDSHAKE, &[]).into())], failed),
        does("changes of cipher without end", &[SendForever(record(CHANGE_CIPHER_SPEC, &[1]).into())], failed),
        does(
            "a handshake that drips",
            &[Step::Drip(record(HANDSHAKE, &[2; 16_000]).into(), Duration::from_millis(5))],
            Fails(&[Timeout]),
        ),
        // Behind the handshake.
        does_inside("TLS, and then no answer", &[Request], Fails(&[Timeout])),
        does_inside("TLS, and then nothing, not even reading", &[Hold], Fails(&[Timeout])),
        does_inside("TLS, and then a reset", &[Request, Reset], Fails(&[Connection])),
        does_inside("a body over TLS that ends as TLS says", &[Request, without_length(), Finish], Answer(200)),
        // Whoever is in between could have cut it off there.
        does_inside("a body over TLS that is cut off", &[Request, without_length(), Close], Breaks(200, Protocol)),
        does_inside(
            "a body over TLS that is reset",
            &[Request, without_length(), Settle, Reset],
            Breaks(200, Connection),
        ),
        // Not TLS at all.
        row("TLS behind an http URL", Behaviour::Tls(Certificate::Good), Fails(&[Connection, Protocol])),
    ]
}
