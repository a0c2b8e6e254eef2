//! Connections that are used again, with destinations that say more than they were asked for. An answer belongs to the
//! request in front of it: what came unasked must never be taken for the answer to the next one.

use std::io::{Read, Write};

use kapsel_core::Outcome;
use kapsel_delivery::HttpTransport;
use test_harness::{Behaviour, Certificate, Destination, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::network::{LONG, answer, send, transport};
use crate::tls::trusting;

fn answered(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Each of these answers once, and hides a second answer behind it in the same piece.
fn doubled() -> Vec<String> {
    let second = answered("unasked");
    let length = second.len();
    vec![
        format!("{}{second}", answered("first")),
        format!("HTTP/1.1 100 Continue\r\n\r\n{}HTTP/1.1 100 Continue\r\n\r\n{second}", answered("first")),
        format!("HTTP/1.1 204 No Content\r\ncontent-length: {length}\r\n\r\n{second}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: {length}\r\n\r\n{second}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n{second}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nx: y\r\n\r\n{second}"),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n{second}",
            15 + length
        ),
    ]
}

/// Two requests one after the other: each gets a first answer, on a connection of its own.
async fn assert_never_unasked(transport: &HttpTransport, destination: &Destination, what: &str) {
    for _ in 0..2 {
        let head = answer(send(transport, &destination.url(), LONG).await);
        assert!(head.body == "first" || head.body.is_empty(), "{what}: {head:?}");
    }
    assert_eq!((destination.count(), destination.connections()), (2, 2), "{what}");
    destination.wait_for_open(0).await;
}

#[tokio::test]
async fn a_second_answer_in_the_same_piece_answers_nothing() {
    for answers in doubled() {
        let steps = vec![Step::Request, Step::send(answers.clone()), Step::Request, Step::send(answered("late"))];
        let destination = Destination::start(Behaviour::Steps(steps.clone())).await;
        assert_never_unasked(&transport(), &destination, &answers).await;
        let destination = Destination::start(Behaviour::TlsSteps(Certificate::Good, steps)).await;
        assert_never_unasked(&trusting(&destination), &destination, &format!("over TLS: {answers}")).await;
    }
}

/// The other end of an idle connection, which does not know of tokio; and the listener that it came from.
async fn idle_connection(transport: &HttpTransport) -> (std::net::TcpStream, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (head, stream) = tokio::join!(send(transport, &url, LONG), serve(&listener, "first"));
    assert_eq!(answer(head).body, "first");
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    (stream, listener, url)
}

/// Answers one request on a new connection.
async fn serve(listener: &TcpListener, body: &str) -> tokio::net::TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    stream.write_all(answered(body).as_bytes()).await.unwrap();
    stream
}

/// Sends the next request. Whether it comes on a new connection, where it is answered, is what the tests are about.
async fn next(transport: &HttpTransport, url: &str, listener: &TcpListener) -> Outcome {
    let serving = async {
        let _stream = serve(listener, "second").await;
        std::future::pending::<Outcome>().await
    };
    tokio::select! {
        outcome = send(transport, url, LONG) => outcome,
        outcome = serving => outcome,
    }
}

/// Waits until what was written before has arrived: it is not overtaken by a byte on other sockets of the same
/// interface. The thread blocks, so that tokio cannot notice meanwhile.
fn let_it_arrive() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b".").unwrap();
    far.read_exact(&mut [0]).unwrap();
}

#[tokio::test]
async fn an_answer_that_came_while_nobody_had_asked_answers_nothing() {
    let transport = transport();
    let (mut stream, listener, url) = idle_connection(&transport).await;
    stream.write_all(answered("unasked").as_bytes()).unwrap();
    let_it_arrive();
    assert_eq!(answer(next(&transport, &url, &listener).await).body, "second");
}

#[tokio::test]
async fn a_connection_that_was_closed_a_moment_ago_is_not_used() {
    let transport = transport();
    let (stream, listener, url) = idle_connection(&transport).await;
    drop(stream);
    let_it_arrive();
    assert_eq!(answer(next(&transport, &url, &listener).await).body, "second");
}
