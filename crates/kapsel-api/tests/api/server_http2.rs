//! HTTP/2 on real sockets: with a client that behaves, and frame by frame with clients that do not.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kapsel_api::ServerSettings;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::App;
use crate::support::wire::{Connection, Served};

const GRACE: Duration = Duration::from_secs(30);
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
// Reasons (section 7).
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head with indexed fields of the static table (RFC 7541, appendix A): method, scheme `http`, and this path.
fn head(method_index: u8, path: &str) -> Vec<u8> {
    // 0x04: the name of entry 4, which is `:path`, with a literal value that is not indexed.
    let mut block = vec![0x80 | method_index, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block
}
const GET: u8 = 2;
const POST: u8 = 3;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The next frame; `None` at the end of the connection.
async fn next_frame(connection: &mut Connection) -> Option<Frame> {
    let mut head = [0; 9];
    connection.0.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    connection.0.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind: head[3], stream: u32::from_be_bytes(head[5..9].try_into().unwrap()), payload })
}

/// The next frame of this kind.
async fn next_of(connection: &mut Connection, kind: u8) -> Frame {
    loop {
        let frame = next_frame(connection).await.expect("a frame of that kind before the end");
        if frame.kind == kind {
            return frame;
        }
    }
}

async fn raw(served: &Served) -> Connection {
    let mut connection = served.connect().await;
    connection.send([BEGINNING, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    connection
}

async fn client(served: &Served) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(served.addr).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_webhooks_travel_side_by_side_on_one_connection() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let sender = client(&served).await;
    let mut exchanges = tokio::task::JoinSet::new();
    for index in 0..300_usize {
        let mut sender = sender.clone();
        exchanges.spawn(async move {
            let body = Bytes::from(vec![b'x'; index * 1_000]);
            let request = Request::post(format!("http://kapsel.example/ingest/{endpoint}")).body(Full::new(body));
            let response = sender.send_request(request.unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            assert_eq!((head.status.as_u16(), head.version), (200, http::Version::HTTP_2));
            assert!(head.headers.contains_key("x-request-id"));
            body.collect().await.unwrap().to_bytes()
        });
    }
    let answers = exchanges.join_all().await;
    assert!(answers.iter().all(|body| body.starts_with(br#"{"event_id":"evt_"#)));
    let mut lengths: Vec<usize> = app.claim(endpoint).await.iter().map(|event| event.body.len()).collect();
    lengths.sort_unstable();
    assert!(lengths.into_iter().eq((0..300).map(|index| index * 1_000)));
}

#[tokio::test]
async fn the_limits_are_told_at_the_start() {
    let app = App::new().await;
    let served = Served::plain(&app).await;
    let mut connection = raw(&served).await;
    let settings = next_of(&mut connection, SETTINGS).await;
    let mut found: Vec<(u16, u32)> = settings
        .payload
        .chunks_exact(6)
        .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), u32::from_be_bytes(entry[2..].try_into().unwrap())))
        .collect();
    found.sort_unstable();
    // Streams at once, window of a stream, size of a frame, size of a head.
    assert_eq!(found, [(3, 100), (4, 512 * 1024), (5, 16 * 1024), (6, 64 * 1024)]);
    let window = next_of(&mut connection, WINDOW_UPDATE).await;
    assert_eq!((window.stream, window.number(0)), (0, 1024 * 1024 - 65_535));
}

#[tokio::test]
async fn a_stream_beyond_the_limit_is_refused_and_the_others_go_on() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut connection = raw(&served).await;
    // Their bodies do not come, so all of them stay open. A client may learn the limit only after its first streams.
    next_of(&mut connection, SETTINGS).await;
    connection.send(frame(SETTINGS, 1, 0, &[])).await;
    let block = head(POST, &format!("/ingest/{endpoint}"));
    for index in 0..=100 {
        connection.send(frame(HEADERS, END_HEADERS, 2 * index + 1, &block)).await;
    }
    let reset = next_of(&mut connection, RST_STREAM).await;
    assert_eq!((reset.stream, reset.number(0)), (201, REFUSED_STREAM));
    connection.send(frame(0, END_STREAM, 1, b"body")).await;
    assert_eq!(next_of(&mut connection, HEADERS).await.stream, 1);
    assert_eq!(app.events().await.len(), 1);
}

/// Rapid reset, CVE-2023-44487.
#[tokio::test]
async fn a_client_that_opens_and_resets_without_end_is_cut_off() {
    let app = App::new().await;
    let served = Served::plain(&app).await;
    let mut connection = raw(&served).await;
    let block = head(GET, "/health/live");
    let mut flood = Vec::new();
    for index in 0..2_000 {
        let stream = 2 * index + 1;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    // It may be cut off before all of it is written.
    let (mut read, mut write) = connection.0.split();
    let (_, answer) = tokio::join!(tokio::io::AsyncWriteExt::write_all(&mut write, &flood), async {
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
        answer
    });
    let reason = ENHANCE_YOUR_CALM.to_be_bytes();
    let is_goaway = |window: &[u8]| window[3] == GOAWAY && window[13..17] == reason;
    assert!(answer.windows(17).any(is_goaway), "{answer:?}");

    let request = Request::get("http://a/health/live").body(Full::default()).unwrap();
    assert_eq!(client(&served).await.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let served = Served::plain(&app).await;
    let mut sender = client(&served).await;
    for (length, status) in [(50_000, 200), (70_000, 431)] {
        let request = Request::post(format!("http://a/ingest/{endpoint}")).header("x-large", "x".repeat(length));
        let response = sender.send_request(request.body(Full::default()).unwrap()).await;
        // The client knows the limit, and may refuse to send it on its own.
        assert_eq!(response.map_or(431, |response| response.status().as_u16()), status);
    }
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn connections_without_requests_are_ended() {
    let app = App::new().await;
    let settings = ServerSettings {
        header_read_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..ServerSettings::default()
    };
    let served = Served::new(&app, settings, GRACE).await;
    // One that never asks for anything.
    raw(&served).await.closed().await;
    // One that has got its answer. It is told that no more are taken.
    let mut connection = raw(&served).await;
    connection.send(frame(SETTINGS, 1, 0, &[])).await;
    connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(GET, "/health/live"))).await;
    assert_eq!(next_of(&mut connection, HEADERS).await.stream, 1);
    assert_eq!(next_of(&mut connection, GOAWAY).await.number(4), 0);
}

#[tokio::test]
async fn what_was_accepted_is_answered_before_the_end() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.store.close_gate();
    let mut served = Served::plain(&app).await;
    let mut sender = client(&served).await;
    let request = Request::post(format!("http://a/ingest/{endpoint}")).body(Full::new(Bytes::from_static(b"hello")));
    let exchange = tokio::spawn(sender.send_request(request.unwrap()));
    app.store.inserts_begun(1).await;
    served.stop();
    app.store.open_gate();
    assert_eq!(exchange.await.unwrap().unwrap().status(), 200);
    assert_eq!(served.done().await, 0);
    assert_eq!(app.events().await.len(), 1);
}
