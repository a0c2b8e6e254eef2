//! What has to be true beyond the class of outcome: what is kept of an answer, and what people are told.

use std::time::Duration;

use kapsel_core::attempt::RESPONSE_BODY_BYTES_MAX;
use kapsel_core::{FailureKind, Outcome};
use test_harness::{Answer, Behaviour, Destination, Step};

use crate::network::{LONG, SHORT, answer, failure, send, transport};

async fn outcome_of(behaviour: Behaviour, limit: Duration) -> Outcome {
    let destination = Destination::start(behaviour).await;
    send(&transport(), &destination.url(), limit).await
}

/// A destination that reads the request, says this and closes.
fn says(answer: &str) -> Behaviour {
    Behaviour::Steps(vec![Step::Request, Step::send(answer.to_owned()), Step::Close])
}

#[tokio::test]
async fn what_is_not_http_is_told_in_words_and_what_came_of_the_body_is_kept() {
    let many = "x-more: x\r\n".repeat(10_000);
    let cases = [
        (Behaviour::Garbage, None, "the answer is not HTTP/1.1"),
        (says(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")), None, "the head of the answer is too large"),
        (Behaviour::InformationalFlood, None, "more than 64 interim answers (1xx) came"),
        (
            says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnot a length\r\n"),
            Some("hello"),
            "the answer is not valid HTTP, before the answer was complete",
        ),
        (
            says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"),
            Some("only this"),
            "the answer is not valid HTTP, before the answer was complete",
        ),
    ];
    for (behaviour, body, words) in cases {
        let (kind, detail, head) = failure(outcome_of(behaviour.clone(), LONG).await);
        assert_eq!(kind, FailureKind::Protocol, "{behaviour:?}: {detail}");
        assert!(detail.starts_with(words), "{behaviour:?}: {detail}");
        assert_eq!(head.map(|head| head.body), body.map(Into::into), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_time_out_says_how_far_it_got_and_keeps_what_came() {
    let (kind, detail, _) = failure(outcome_of(Behaviour::Hang, SHORT).await);
    assert_eq!((kind, detail.as_str()), (FailureKind::Timeout, "the time limit passed before an answer came"));

    let (kind, detail, head) = failure(outcome_of(Behaviour::Drip(Duration::from_millis(5)), SHORT).await);
    assert_eq!((kind, detail.as_str()), (FailureKind::Timeout, "the time limit passed before the answer was complete"));
    let head = head.unwrap();
    assert_eq!((head.status, head.headers.get_str("content-type")), (200, Some("text/plain")));
    assert!(!head.body.is_empty() && head.body.iter().all(|byte| *byte == b'.'));
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
    let whole = Answer::new(200).body(vec![b'x'; RESPONSE_BODY_BYTES_MAX]);
    let longer = Answer::new(200).body(vec![b'x'; RESPONSE_BODY_BYTES_MAX + 1]);
    let destination = Destination::start(Behaviour::Script(vec![whole, longer])).await;
    let transport = transport();
    for is_truncated in [false, true] {
        let head = answer(send(&transport, &destination.url(), LONG).await);
        assert_eq!((head.body.len(), head.body_truncated), (RESPONSE_BODY_BYTES_MAX, is_truncated));
    }
    destination.wait_for_open(0).await;
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
