//! The API on real sockets: connections, large bodies, time limits, the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use kapsel_api::ServerSettings;
use kapsel_core::EndpointId;
use tokio::io::AsyncWriteExt as _;

use crate::support::App;
use crate::support::wire::Served;

fn head(endpoint: EndpointId, more: &str) -> String {
    format!("POST /ingest/{endpoint} HTTP/1.1\r\nHost: kapsel.example\r\n{more}\r\n")
}

#[tokio::test]
async fn connections_are_kept_and_requests_may_be_pipelined() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    let one = head(endpoint, "Content-Length: 5\r\n") + "hello";
    connection.send(one.repeat(3)).await;
    for _ in 0..3 {
        let (head, body) = connection.answer().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(body.starts_with(r#"{"event_id":"evt_"#));
    }
    assert_eq!(app.events().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_travel_unharmed_over_the_wire() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let stream = tokio::net::TcpStream::connect(served.addr).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let bodies: Vec<Bytes> = [0, 1, 8_192, 100_000, 10 * 1024 * 1024]
        .into_iter()
        .map(|len: u32| (0..len).map(|index| (index % 251) as u8).collect::<Vec<u8>>().into())
        .collect();
    for body in &bodies {
        let request = http::Request::post(format!("/ingest/{endpoint}")).header("host", "kapsel.example");
        sender.ready().await.unwrap();
        let response = sender.send_request(request.body(Full::new(body.clone())).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let mut stored: Vec<Bytes> = app.claim(endpoint).await.iter().map(|event| event.body.clone()).collect();
    stored.sort_by_key(Bytes::len);
    assert!(stored == bodies, "bodies differ");
}

#[tokio::test]
async fn a_panic_costs_one_request_and_not_its_connection() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    app.handoff.panic_in_reserve_once();
    connection.send(head(endpoint, "Content-Length: 5\r\n") + "hello").await;
    let (answer, body) = connection.answer().await;
    assert!(answer.starts_with("http/1.1 500 "), "{answer}");
    assert!(body.contains("E3006") && !body.contains("secret-internal-detail"), "{body}");
    connection.send(head(endpoint, "Content-Length: 5\r\n") + "hello").await;
    assert!(connection.answer().await.0.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn head_requests_get_heads_alone() {
    let app = App::new().await;
    let served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    connection.send("HEAD /health/live HTTP/1.1\r\nHost: a\r\n\r\nHEAD /v1/events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    connection.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answers = String::from_utf8(connection.closed().await).unwrap();
    let starts: Vec<&str> = answers.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(starts, ["HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized", "HTTP/1.1 404 Not Found"]);
    // Of three bodies only the last one is there.
    assert_eq!((answers.matches("E1007").count(), answers.matches("E1008").count()), (0, 1), "{answers}");
}

#[tokio::test]
async fn chunked_bodies_are_taken_in() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Transfer-Encoding: chunked\r\n")).await;
    connection.send("3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n").await;
    assert!(connection.answer().await.0.starts_with("http/1.1 200 "));
    assert_eq!(app.claim(endpoint).await[0].body, "abcde");
}

/// Many senders write their whole body before they read. They have to get to see the answer and not a reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_writes_first_gets_to_see_the_refusal() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let piece = vec![b'x'; 1_000_000];

    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Content-Length: 25000000\r\n")).await;
    for _ in 0..25 {
        connection.send(&piece).await;
    }
    let (answer, body) = connection.answer().await;
    assert!(answer.starts_with("http/1.1 413 "), "{answer}");
    assert!(body.contains("the body has 25000000 bytes; the limit is 10485760 bytes"), "{body}");
    // And the connection is still good.
    connection.send(head(endpoint, "Content-Length: 2\r\n") + "ok").await;
    assert!(connection.answer().await.0.starts_with("http/1.1 200 "));

    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Transfer-Encoding: chunked\r\n")).await;
    for _ in 0..25 {
        connection.send(format!("{:x}\r\n", piece.len())).await;
        connection.send(&piece).await;
        connection.send("\r\n").await;
    }
    connection.send("0\r\n\r\n").await;
    let (answer, body) = connection.answer().await;
    assert!(answer.starts_with("http/1.1 413 "), "{answer}");
    assert!(body.contains("the body has more than 10485760 bytes; the limit is 10485760 bytes"), "{body}");
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn who_waits_for_100_continue_is_told_before_sending() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Content-Length: 25000000\r\nExpect: 100-continue\r\n")).await;
    let (answer, _) = connection.answer().await;
    assert!(answer.starts_with("http/1.1 413 "), "{answer}");
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn a_body_that_is_cut_off_leaves_nothing_behind() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let mut served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Content-Length: 100\r\n") + "only this").await;
    connection.0.shutdown().await.unwrap();
    connection.closed().await;
    served.stop();
    assert_eq!(served.done().await, 0);
    app.api.drain().await;
    assert!(app.store.batches().is_empty());
}

#[tokio::test]
async fn the_event_of_a_connection_that_breaks_during_the_commit_is_stored() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(1);
    app.store.close_gate();
    let mut served = Served::plain(&app).await;
    let mut connection = served.connect().await;
    connection.send(head(endpoint, "Content-Length: 5\r\n") + "hello").await;
    app.store.inserts_begun(1).await;
    drop(connection);
    served.stop();
    // The server sees the end of the connection and forgets the request.
    assert_eq!(served.done().await, 0);
    app.store.open_gate();
    app.api.drain().await;
    assert_eq!((app.events().await.len(), app.handoff.started().len()), (1, 1));
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let app = App::new().await;
    let settings = ServerSettings { header_read_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let served = Served::new(&app, settings, Duration::from_secs(30)).await;
    let mut connection = served.connect().await;
    connection.send("POST /ingest/").await;
    connection.closed().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let settings = ServerSettings { header_bytes_max: 16 * 1024, ..ServerSettings::default() };
    let served = Served::new(&app, settings, Duration::from_secs(30)).await;
    let fine = format!("X-Large: {}\r\nContent-Length: 0\r\n", "x".repeat(15_000));
    let mut connection = served.connect().await;
    connection.send(head(endpoint, &fine)).await;
    assert!(connection.answer().await.0.starts_with("http/1.1 200 "));

    let mut connection = served.connect().await;
    connection.send(head(endpoint, &format!("X-Large: {}\r\nContent-Length: 0\r\n", "x".repeat(17_000)))).await;
    let answer = String::from_utf8(connection.closed().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn what_was_accepted_is_answered_before_the_end() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    app.store.close_gate();
    let mut served = Served::plain(&app).await;
    let mut idle = served.connect().await;
    let mut busy = served.connect().await;
    busy.send(head(endpoint, "Content-Length: 5\r\n") + "hello").await;
    app.store.inserts_begun(1).await;
    let addr = served.addr;
    served.stop();
    // Idle connections are closed, new ones not accepted, and the busy one goes on.
    assert!(idle.closed().await.is_empty());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    app.store.open_gate();
    let (answer, _) = busy.answer().await;
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(busy.closed().await.is_empty());
    assert_eq!(served.done().await, 0);
}

#[tokio::test]
async fn the_end_is_bounded() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.store.close_gate();
    let mut served = Served::new(&app, ServerSettings::default(), Duration::from_millis(50)).await;
    let mut stuck = served.connect().await;
    stuck.send(head(endpoint, "Content-Length: 5\r\n") + "hello").await;
    app.store.inserts_begun(1).await;
    served.stop();
    assert_eq!(served.done().await, 1);
    stuck.closed().await;
    // Its event is kept all the same.
    app.store.open_gate();
    app.api.drain().await;
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let app = App::new().await;
    let settings = ServerSettings { connections_max: 1, ..ServerSettings::default() };
    let served = Served::new(&app, settings, Duration::from_secs(30)).await;
    let request = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = served.connect().await;
    first.send(request).await;
    first.answer().await;
    let mut second = served.connect().await;
    second.send(request).await;
    // The first connection is still served, the second one only when there is room.
    first.send(request).await;
    first.answer().await;
    drop(first);
    assert!(second.answer().await.0.starts_with("http/1.1 200 "));
}
