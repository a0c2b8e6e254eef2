//! The transport with destinations that do not behave: each ends in its class of outcome, in time, and leaves nothing
//! behind.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::attempt::RESPONSE_BODY_BYTES_MAX;
use kapsel_core::{FailureKind, Outcome};
use test_harness::{Behaviour, Destination};

use crate::network::{LONG, SHORT, answer, failure, request, send, send_request, transport};

/// Sends one request, and waits until its connection is closed: nothing hostile is ever pooled or left running.
async fn outcome_of(behaviour: Behaviour, limit: Duration) -> Outcome {
    let destination = Destination::start(behaviour).await;
    let outcome = send(&transport(), &destination.url(), limit).await;
    destination.wait_for_open(0).await;
    outcome
}

#[tokio::test]
async fn no_answer_is_a_timeout() {
    for behaviour in [Behaviour::Hang, Behaviour::DripHead(Duration::from_millis(5))] {
        let (kind, detail, head) = failure(outcome_of(behaviour.clone(), SHORT).await);
        assert_eq!((kind, head), (FailureKind::Timeout, None), "{behaviour:?}");
        assert!(detail.starts_with("the time limit passed before"), "{behaviour:?}: {detail}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_cut_short() {
    let (kind, detail, head) = failure(outcome_of(Behaviour::InformationalFlood, LONG).await);
    assert_eq!((kind, head), (FailureKind::Protocol, None));
    assert_eq!(detail, "more than 64 interim answers (1xx) came");
}

#[tokio::test]
async fn a_dripping_body_is_a_timeout_that_keeps_the_head() {
    let (kind, detail, head) = failure(outcome_of(Behaviour::Drip(Duration::from_millis(5)), SHORT).await);
    assert_eq!(kind, FailureKind::Timeout);
    assert_eq!(detail, "the time limit passed before the answer was complete");
    let head = head.unwrap();
    assert_eq!((head.status, head.headers.get_str("content-type")), (200, Some("text/plain")));
    assert!(!head.body.is_empty() && head.body.iter().all(|byte| *byte == b'.'));
}

#[tokio::test]
async fn a_destination_that_does_not_even_read_is_a_timeout() {
    let destination = Destination::start(Behaviour::Deaf).await;
    let mut request = request(&destination.url());
    request.body = Bytes::from(vec![0; 32 * 1024 * 1024]);
    let (kind, ..) = failure(send_request(&transport(), request, SHORT).await);
    assert_eq!(kind, FailureKind::Timeout);
}

#[tokio::test]
async fn an_endless_body_is_cut_off_and_its_status_counts() {
    let head = answer(outcome_of(Behaviour::EndlessBody, LONG).await);
    assert_eq!((head.status, head.body_truncated), (200, true));
    assert_eq!(head.body.len(), RESPONSE_BODY_BYTES_MAX);
}

#[tokio::test]
async fn nothing_is_decompressed() {
    let destination = Destination::start(Behaviour::GzipBomb).await;
    let head = answer(send(&transport(), &destination.url(), LONG).await);
    assert_eq!((head.status, head.body_truncated), (200, true));
    assert_eq!(head.headers.get_str("content-encoding"), Some("gzip"));
    assert_eq!(head.body.len(), RESPONSE_BODY_BYTES_MAX);
    assert_eq!(head.body[..3], [0x1f, 0x8b, 8], "the bytes as they were sent");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let whole = test_harness::Answer::new(200).body(vec![b'x'; RESPONSE_BODY_BYTES_MAX]);
    let longer = test_harness::Answer::new(200).body(vec![b'x'; RESPONSE_BODY_BYTES_MAX + 1]);
    let destination = Destination::start(Behaviour::Script(vec![whole, longer])).await;
    let transport = transport();
    for is_truncated in [false, true] {
        let head = answer(send(&transport, &destination.url(), LONG).await);
        assert_eq!((head.body.len(), head.body_truncated), (RESPONSE_BODY_BYTES_MAX, is_truncated));
    }
    destination.wait_for_open(0).await;
}

#[tokio::test]
async fn a_broken_connection_is_a_connection_failure() {
    for behaviour in [Behaviour::ResetAfterAccept, Behaviour::LostAnswer] {
        let (kind, detail, head) = failure(outcome_of(behaviour.clone(), LONG).await);
        assert_eq!((kind, head), (FailureKind::Connection, None), "{behaviour:?}: {detail}");
    }
    let (kind, detail, head) = failure(outcome_of(Behaviour::ResetAfterHeaders, LONG).await);
    assert_eq!((kind, head.map(|head| head.status)), (FailureKind::Connection, Some(200)), "{detail}");
}

#[tokio::test]
async fn a_request_that_was_taken_is_not_sent_again_by_itself() {
    let destination = Destination::start(Behaviour::LostAnswer).await;
    failure(send(&transport(), &destination.url(), LONG).await);
    assert_eq!((destination.count(), destination.connections()), (1, 1));
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    let cases = [
        (Behaviour::Garbage, None, "the answer is not HTTP/1.1"),
        (Behaviour::HugeHeaders, None, "the head of the answer is too large"),
        (Behaviour::BadChunking, Some(&b"hello"[..]), "not valid HTTP"),
        (Behaviour::TruncatedBody, Some(b"only this"), "before the answer was complete"),
    ];
    for (behaviour, body, words) in cases {
        let (kind, detail, head) = failure(outcome_of(behaviour.clone(), LONG).await);
        assert_eq!(kind, FailureKind::Protocol, "{behaviour:?}: {detail}");
        assert!(detail.contains(words), "{behaviour:?}: {detail}");
        assert_eq!(head.as_ref().map(|head| &head.body[..]), body, "{behaviour:?}");
        assert_eq!(head.map(|head| head.status), body.map(|_| 200), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_closes_its_connection() {
    let destination = Destination::start(Behaviour::Hang).await;
    let url = destination.url();
    let sending = tokio::spawn(async move { send(&transport(), &url, LONG).await });
    destination.wait_for(1).await;
    sending.abort();
    destination.wait_for_open(0).await;
}
