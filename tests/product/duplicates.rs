//! Duplicates, and requests that are repeated because they were refused.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Program, post_request, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_requests_with_one_key_are_one_event_and_one_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = endpoint["ingest_url"].as_str().unwrap().to_owned();
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let (client, url) = (program.client(), url.clone());
            tokio::spawn(async move {
                send(&client, post_request(&url, &[("x-idempotency-key", "order-4711")], "same")).await.unwrap()
            })
        })
        .collect();
    let mut bodies = HashSet::new();
    let mut replays = 0;
    for request in requests {
        let answer = request.await.unwrap().expect(200);
        replays += usize::from(answer.headers.contains_key("kapsel-idempotent-replay"));
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "every answer is the same");
    assert_eq!(replays, 999);
    let events = program.list_events("").await;
    assert_eq!(events.len(), 1);
    program.wait_for_status(events[0]["id"].as_str().unwrap(), "delivered").await;
    assert_eq!(destination.received().len(), 1);

    let other = program.post(&url, &[("x-idempotency-key", "order-4711")], "other bytes").await.expect(409);
    assert_eq!(other.code(), "E1005");
    assert_eq!(program.list_events("").await.len(), 1);
}

/// Opens a request and sends only a part of its body, so that it holds memory without being stored.
async fn half_a_request(base: &str, path: &str, announced: usize, sent: usize) -> TcpStream {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; sent]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_refused_for_load_can_be_repeated_with_success() {
    const MIB: usize = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let settings = [
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        ("KAPSEL_MAX_BODY_BYTES", "1048576"),
        ("KAPSEL_INGEST_MEMORY_BYTES", "2097152"),
    ];
    let program = Program::start_with(folder.path(), &settings).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let path = format!("/ingest/{}", endpoint["id"].as_str().unwrap());
    let url = format!("{}{path}", program.base);

    // Half-sent bodies take the memory for bodies that are not stored yet. One that arrives beside a request may be
    // refused itself, so nothing is presumed of how many hold: each request has a key of its own until one is refused.
    let mut holders = Vec::new();
    let (key, refused) = loop {
        let key = format!("order-{}", holders.len());
        let answer = program.post(&url, &[("idempotency-key", &key)], vec![b'k'; MIB / 2]).await;
        if answer.status != 200 {
            break (key, answer.expect(503));
        }
        assert!(!answer.headers.contains_key("kapsel-idempotent-replay"));
        assert!(holders.len() < 64, "the memory is bounded");
        holders.push(half_a_request(&program.base, &path, MIB, MIB - 1).await);
    };
    assert_eq!(refused.code(), "E3003");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.json()["error"]["retryable"], true);

    drop(holders);
    let accepted = loop {
        let answer = program.post(&url, &[("idempotency-key", &key)], vec![b'k'; MIB / 2]).await;
        if answer.status != 503 {
            break answer.expect(200);
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // paced: the program has to notice the closed connections
    };
    assert!(!accepted.headers.contains_key("kapsel-idempotent-replay"), "the refused request had burnt no key");
    program.wait_for_status(accepted.json()["event_id"].as_str().unwrap(), "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_disconnects_early_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": "https://example.com/"})).await;
    let path = format!("/ingest/{}", endpoint["id"].as_str().unwrap());
    drop(half_a_request(&program.base, &path, 1_000, 999).await);
    // A complete request on another connection comes after it.
    let mut whole = half_a_request(&program.base, &path, 3, 3).await;
    let mut answer = vec![0; 12];
    whole.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    assert_eq!(program.list_events("").await.len(), 1);
}
