//! Webhooks that are taken in.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kapsel_core::idempotency::{IdempotencyMode, IdempotencyPolicy};
use kapsel_core::{Clock as _, DeliveryState};

use crate::support::body::{End, in_pieces};
use crate::support::{Answer, App};

#[tokio::test]
async fn an_accepted_webhook_is_stored_under_the_id_of_the_answer() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let headers = [("content-type", "text/plain"), ("idempotency-key", "k-1"), ("x-twice", "a"), ("x-twice", "b")];
    let answer = app.ingest(endpoint, &headers, "hello").await;
    let id = answer.expect_received();
    assert!(id.starts_with("evt_"));
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(!answer.is_replay());

    let events = app.events().await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.id.to_string(), id);
    assert_eq!(event.endpoint_id, endpoint);
    assert_eq!(event.received_at, app.clock.now());
    assert_eq!(event.content_type.as_deref(), Some("text/plain"));
    assert_eq!(event.idempotency_key.as_deref(), Some("k-1"));
    assert_eq!((event.size_bytes, event.status), (5, DeliveryState::Received));

    let stored = &app.claim(endpoint).await[0];
    let kept: Vec<_> = stored.headers.iter().filter(|(name, _)| *name == "x-twice").map(|(_, value)| value).collect();
    assert_eq!(kept, [b"a", b"b"]);
}

#[tokio::test]
async fn bodies_are_kept_byte_for_byte() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..700_000_u32).map(|index| (index % 251) as u8).collect();
    let bodies: Vec<Bytes> =
        [&b""[..], b"\0", &every_byte, b"{\"a\" : 1.0,\r\n \"a\":\t1e400 , \"\\u0041\": \"\xff\xfe\" }\n", &large]
            .into_iter()
            .map(Bytes::copy_from_slice)
            .collect();
    for body in &bodies {
        app.ingest(endpoint, &[], body.clone()).await.expect_received();
        let pieces: Vec<Bytes> = body.chunks(100_000).map(Bytes::copy_from_slice).collect();
        app.ingest(endpoint, &[], in_pieces(pieces, End::Whole)).await.expect_received();
        let pieces = [Bytes::new(), body.slice(..body.len() / 2), Bytes::new(), body.slice(body.len() / 2..)];
        app.ingest(endpoint, &[], in_pieces(pieces, End::Whole)).await.expect_received();
    }
    let stored: BTreeSet<Bytes> = app.claim(endpoint).await.iter().map(|event| event.body.clone()).collect();
    assert_eq!(app.events().await.len(), 3 * bodies.len());
    assert_eq!(stored, bodies.into_iter().collect());
}

#[tokio::test]
async fn a_body_that_arrives_whole_is_not_copied() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let body = Bytes::from(vec![7; 1_024]);
    app.ingest(endpoint, &[], body.clone()).await.expect_received();
    assert_eq!(app.store.batches()[0][0].event.body.as_ptr(), body.as_ptr());
}

#[tokio::test]
async fn a_repetition_gets_the_identical_answer_and_makes_no_second_event() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(2);
    let key = [("x-idempotency-key", "order-7")];
    let first = app.ingest(endpoint, &key, "body").await;
    let second = app.ingest(endpoint, &key, "body").await;
    first.expect_received();
    assert_eq!(first.body, second.body);
    assert_eq!((first.is_replay(), second.is_replay()), (false, true));
    assert_eq!(app.events().await.len(), 1);
    // One delivery was started; the slot of the other request is free again.
    assert_eq!((app.handoff.started().len(), app.handoff.given_back()), (1, 1));
}

#[tokio::test]
async fn the_same_key_means_another_event_at_another_endpoint() {
    let app = App::new().await;
    let key = [("idempotency-key", "order-7")];
    for _ in 0..2 {
        let endpoint = app.endpoint().await;
        assert!(!app.ingest(endpoint, &key, "body").await.is_replay());
    }
    assert_eq!(app.events().await.len(), 2);
}

#[tokio::test]
async fn the_same_key_with_other_bytes_is_a_conflict() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let key = [("idempotency-key", "order-7")];
    let original = app.ingest(endpoint, &key, "body").await.expect_received();
    let message = app.ingest(endpoint, &key, "other body").await.expect_error(409, "E1005");
    assert!(message.contains(&original), "{message}");
    assert_eq!(app.events().await.len(), 1);
    assert!(app.ingest(endpoint, &key, "body").await.is_replay());
}

#[tokio::test]
async fn a_providers_id_serves_as_key_as_the_endpoint_says() {
    let app = App::new().await;
    let mode = IdempotencyMode::JsonPointer { pointer: "/id".to_owned() };
    let policy = IdempotencyPolicy { mode, ..IdempotencyPolicy::default() };
    let endpoint = app.endpoint_with(|builder| builder.with(|endpoint| endpoint.config.idempotency = policy)).await;
    let first = app.ingest(endpoint, &[], r#"{"id":"in_1","try":1}"#).await;
    let again = app.ingest(endpoint, &[], r#"{"id":"in_1","try":2}"#).await;
    assert_eq!(again.expect_received(), first.expect_received());
    assert!(again.is_replay());
    assert!(!app.ingest(endpoint, &[], r#"{"id":"in_2","try":1}"#).await.is_replay());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_with_one_key_are_one_event() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    app.handoff.set_free(1_000);
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.ingest(endpoint, &[("idempotency-key", "one")], "body").await })
        })
        .collect();
    let mut answers: Vec<Answer> = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    let ids: BTreeSet<String> = answers.iter().map(Answer::expect_received).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.is_replay()).count(), 999);
    assert_eq!(app.events().await.len(), 1);
    assert_eq!((app.handoff.started().len(), app.handoff.given_back()), (1, 999));
}

#[tokio::test]
async fn a_delivery_starts_in_its_slot_right_after_the_commit() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    app.handoff.set_free(1);
    app.store.close_gate();
    let request = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.ingest(endpoint, &[], "body").await }
    });
    app.store.inserts_begun(1).await;
    assert!(app.handoff.started().is_empty(), "started before it was durable");
    app.store.open_gate();
    let id = request.await.unwrap().expect_received();

    let started = app.handoff.started();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].event.id.to_string(), id);
    assert_eq!(started[0].delivery.event_id, started[0].event.id);
    assert_eq!(started[0].delivery.endpoint_id, endpoint);
    assert_eq!(started[0].lease, app.handoff.lease());
    assert_eq!((started[0].attempts_total, started[0].attempts_made), (0, 0));
    // It is stored under that lease, so nobody else can claim it.
    assert!(app.claim(endpoint).await.is_empty());
    assert_eq!(app.events().await[0].status, DeliveryState::Delivering);
}

#[tokio::test]
async fn without_a_slot_the_delivery_is_due_for_everybody() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.ingest(endpoint, &[], "body").await.expect_received();
    assert!(app.handoff.started().is_empty());
    assert_eq!(app.claim(endpoint).await.len(), 1);
}
