//! Looking at events and queueing them anew.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Clock as _, EndpointId, FailureKind, FinalReason, HeaderBlock, IdGenerator, Outcome, ResponseHead,
    SystemEntropy,
};
use kapsel_store::{ClaimedDelivery, DeliveryStore as _, Settled, Settlement};
use serde_json::{Value, json};
use test_harness::builders::leaf_of;

use crate::support::App;

/// Takes a webhook in and hands its delivery to the test.
pub(crate) async fn deliver(app: &App, endpoint: EndpointId) -> (String, ClaimedDelivery) {
    deliver_body(app, endpoint, "{}").await
}

/// The same with another body.
pub(crate) async fn deliver_body(app: &App, endpoint: EndpointId, body: &str) -> (String, ClaimedDelivery) {
    app.handoff.set_free(1);
    let answer = app.ingest(endpoint, &[("content-type", "application/json")], body.to_owned()).await;
    let id = answer.expect_received();
    let started = app.handoff.started();
    (id, started.last().unwrap().clone())
}

/// Writes down one attempt as the dispatcher would.
pub(crate) async fn settle(app: &App, claimed: &ClaimedDelivery, outcome: Outcome, next: Next) {
    let started_at = app.clock.now();
    let attempt = Attempt {
        id: IdGenerator::new(Arc::new(SystemEntropy)).next(started_at),
        delivery: claimed.delivery,
        number: claimed.attempts_total + 1,
        url: "https://destination.example/hook".to_owned(),
        started_at,
        duration: Duration::from_millis(12),
        outcome,
    };
    let now = app.clock.advance(Duration::from_millis(12));
    let decision = Decision { next, disable_endpoint: None };
    let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
    let settlement = Settlement { lease: claimed.lease, attempt, decision, leaf };
    let settled = app.store.delivery_settle_if_leased(now, Arc::new(vec![settlement])).await.unwrap();
    assert_eq!(settled, [Settled::Written]);
}

pub(crate) fn answered(status: u16, body: impl Into<Bytes>) -> Outcome {
    Outcome::Response(ResponseHead { status, body: body.into(), ..ResponseHead::default() })
}

async fn shown(app: &App, id: &str) -> Value {
    let answer = app.get(&format!("/v1/events/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_event_is_shown_with_its_deliveries_and_attempts() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, claimed) = deliver(&app, endpoint).await;
    let delivery = claimed.delivery.id.to_string();
    let expected = json!({
        "id": id,
        "endpoint_id": endpoint,
        "status": "delivering",
        "reason": null,
        "received_at": "2026-01-01T00:00:00.000Z",
        "delivered_at": null,
        "erased_at": null,
        "next_attempt_at": null,
        "content_type": "application/json",
        "size_bytes": 2,
        "idempotency_key": null,
        "attempts_total": 0,
        "deliveries": [
            {"id": delivery, "endpoint_id": endpoint, "status": "delivering", "reason": null, "next_attempt_at": null},
        ],
        "attempts": [],
    });
    assert_eq!(shown(&app, &id).await, expected);

    settle(&app, &claimed, answered(200, "thanks"), Next::Delivered).await;
    let event = shown(&app, &id).await;
    assert_eq!((&event["status"], &event["delivered_at"]), (&json!("delivered"), &json!("2026-01-01T00:00:00.012Z")));
    let attempt = json!({
        "id": event["attempts"][0]["id"],
        "delivery_id": delivery,
        "attempt_number": 1,
        "attempted_at": "2026-01-01T00:00:00.000Z",
        "duration_ms": 12,
        "url": "https://destination.example/hook",
        "response_status": 200,
        "response_headers": {},
        "response_body": "thanks",
        "response_body_truncated": false,
        "error_code": null,
        "error_detail": null,
        "leaf_hash": event["attempts"][0]["leaf_hash"],
    });
    assert!(attempt["id"].as_str().unwrap().starts_with("da_"));
    assert_eq!(event["attempts"], json!([attempt]));
}

#[tokio::test]
async fn failures_are_shown_with_code_detail_and_reason() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, claimed) = deliver(&app, endpoint).await;
    let failure = Outcome::Failure { kind: FailureKind::Dns, detail: "no such name".to_owned(), head: None };
    settle(&app, &claimed, failure, Next::Failed(FinalReason::AttemptsExhausted)).await;
    let event = shown(&app, &id).await;
    assert_eq!((&event["status"], &event["reason"]), (&json!("failed"), &json!("attempts_exhausted")));
    let attempt = &event["attempts"][0];
    assert_eq!((&attempt["error_code"], &attempt["error_detail"]), (&json!("E2007"), &json!("no such name")));
    assert_eq!((&attempt["response_status"], &attempt["response_body"]), (&json!(null), &json!(null)));
    let list = app.get("/v1/events?status=failed").await.json();
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["attempts_total"]), (&json!(id), &json!(1)));
    assert!(list["data"][0].get("attempts").is_none());
}

#[tokio::test]
async fn response_bodies_are_shown_as_text_up_to_four_kibibytes() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let bodies = [
        (Bytes::from_static(b"\xffabc"), "\u{fffd}abc".to_owned(), false),
        (Bytes::from(vec![b'x'; 4_096]), "x".repeat(4_096), false),
        (Bytes::from(vec![b'x'; 4_097]), "x".repeat(4_096), true),
    ];
    for (body, text, is_truncated) in bodies {
        let (id, claimed) = deliver(&app, endpoint).await;
        settle(&app, &claimed, answered(500, body), Next::Failed(FinalReason::Refused)).await;
        let attempt = shown(&app, &id).await["attempts"][0].clone();
        assert_eq!(attempt["response_body"], text);
        assert_eq!(attempt["response_body_truncated"], is_truncated);
        assert_eq!(attempt["error_code"], "E2004");
    }
}

#[tokio::test]
async fn filters_select_and_pages_are_total() {
    let app = App::new().await;
    let endpoints = [app.endpoint().await, app.endpoint().await];
    let mut ids = Vec::new();
    for index in 0..10_usize {
        ids.push(app.ingest(endpoints[index % 2], &[], "body").await.expect_received());
        app.clock.advance(Duration::from_secs(1));
    }
    let (delivered, claimed) = deliver(&app, endpoints[0]).await;
    settle(&app, &claimed, answered(204, ""), Next::Delivered).await;
    ids.push(delivered.clone());
    ids.reverse();

    let all = |query: String| {
        let app = &app;
        async move {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = app.get(&format!("/v1/events?{query}{cursor}")).await.json();
                let data = page["data"].as_array().unwrap();
                seen.extend(data.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => return seen,
                }
            }
        }
    };
    for limit in [1, 2, 3, 10, 11, 12, 250] {
        assert_eq!(all(format!("limit={limit}")).await, ids, "limit {limit}");
    }
    assert_eq!(all("limit=3&status=undelivered".to_owned()).await, ids[1..]);
    assert_eq!(all("limit=3&status=received".to_owned()).await, ids[1..]);
    assert_eq!(all("status=delivered".to_owned()).await, [delivered]);
    assert!(all("status=pending".to_owned()).await.is_empty());
    let of_second = format!("limit=2&endpoint_id={}", endpoints[1]);
    assert_eq!(all(of_second).await, ids[1..].iter().step_by(2).cloned().collect::<Vec<_>>());
    // Seconds 2, 3 and 4; the plus sign arrives as a space, as it does from many clients.
    let range = "since=2026-01-01T01:00:02+01:00&until=2026-01-01T00:00:05Z&limit=2".to_owned();
    assert_eq!(all(range).await, ids[6..9]);
    let page = app.get("/v1/events?limit=4&page=3").await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_failed_event_is_queued_anew_and_keeps_its_history() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, claimed) = deliver(&app, endpoint).await;
    settle(&app, &claimed, answered(400, ""), Next::Failed(FinalReason::Refused)).await;
    assert_eq!(app.wakes(), 0);
    let answer = app.manage(Method::POST, &format!("/v1/events/{id}/retry"), None).await;
    assert_eq!((answer.status.as_u16(), app.wakes()), (202, 1), "{}", answer.text());
    let event = answer.json();
    assert_eq!((&event["id"], &event["status"], &event["reason"]), (&json!(id), &json!("pending"), &json!(null)));
    assert_eq!(event["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(app.claim(endpoint).await.len(), 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_queued_anew_says_why() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, _) = deliver(&app, endpoint).await;
    let path = format!("/v1/events/{id}/retry");
    let message = app.manage(Method::POST, &path, None).await.expect_error(409, "E1011");
    assert!(message.contains("attempt is under way"), "{message}");
    app.manage(Method::DELETE, &format!("/v1/endpoints/{endpoint}"), None).await;
    app.clock.advance(Duration::from_secs(120));
    let message = app.manage(Method::POST, &path, None).await.expect_error(409, "E1011");
    assert!(message.contains("deleted"), "{message}");
    assert_eq!(app.wakes(), 0);
}

#[tokio::test]
async fn an_attempt_is_shown_with_everything_that_was_kept_of_the_answer() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, claimed) = deliver(&app, endpoint).await;
    let pairs = [("content-type", &b"text/plain"[..]), ("set-cookie", b"a=1"), ("set-cookie", b"b=2")];
    let head = ResponseHead {
        status: 500,
        headers: HeaderBlock::from_pairs(pairs),
        body: vec![b'x'; 60_000].into(),
        body_truncated: false,
    };
    settle(&app, &claimed, Outcome::Response(head), Next::Failed(FinalReason::Refused)).await;

    let listed = app.get(&format!("/v1/events/{id}/attempts")).await.json();
    assert_eq!(listed, json!({"data": shown(&app, &id).await["attempts"], "next_cursor": null}));
    let deliveries = app.get(&format!("/v1/events/{id}/deliveries")).await.json();
    assert_eq!(deliveries, json!({"data": shown(&app, &id).await["deliveries"], "next_cursor": null}));
    let mut expected = listed["data"][0].clone();
    let headers = json!({"content-type": ["text/plain"], "set-cookie": ["a=1", "b=2"]});
    assert_eq!(expected["response_headers"], headers);
    assert_eq!(
        (&expected["response_body_truncated"], expected["response_body"].as_str().unwrap().len()),
        (&json!(true), 4_096)
    );

    let attempt = expected["id"].as_str().unwrap().to_owned();
    let whole = app.get(&format!("/v1/events/{id}/attempts/{attempt}")).await.json();
    expected["response_body"] = json!("x".repeat(60_000));
    expected["response_body_truncated"] = json!(false);
    assert_eq!(whole, expected);
    for path in [
        format!("/v1/events/{id}/attempts/da_01h455vb4pex5vsknk084sn02q"),
        format!("/v1/events/{id}/attempts/nonsense"),
        format!("/v1/events/evt_01h455vb4pex5vsknk084sn02q/attempts/{attempt}"),
        "/v1/events/evt_01h455vb4pex5vsknk084sn02q/attempts".to_owned(),
        "/v1/events/evt_01h455vb4pex5vsknk084sn02q/deliveries".to_owned(),
        "/v1/events/evt_01h455vb4pex5vsknk084sn02q/payload".to_owned(),
    ] {
        app.get(&path).await.expect_error(404, "E1008");
    }
}

#[tokio::test]
async fn a_payload_comes_back_as_bytes_that_no_browser_renders() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let body: Vec<u8> = (0..=255).collect();
    let id = app.ingest(endpoint, &[("content-type", "text/html")], body.clone()).await.expect_received();
    let answer = app.get(&format!("/v1/events/{id}/payload")).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &body[..]));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("kapsel-content-type"), Some("text/html"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("content-disposition"), Some(format!("attachment; filename=\"{id}\"").as_str()));
}

#[tokio::test]
async fn pages_can_be_turned_back() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(app.ingest(endpoint, &[], "body").await.expect_received());
    }
    ids.reverse();
    let page = async |cursor: Option<&str>| {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = app.get(&format!("/v1/events?limit=3{cursor}")).await.json();
        let shown: Vec<String> =
            page["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        let cursor = |name: &str| page[name].as_str().map(str::to_owned);
        (shown, cursor("next_cursor"), cursor("prev_cursor"))
    };
    let (first, next, previous) = page(None).await;
    assert_eq!((&first[..], previous), (&ids[..3], None));
    let (second, next, previous) = page(next.as_deref()).await;
    assert_eq!(second, ids[3..6]);
    let (third, end, back) = page(next.as_deref()).await;
    assert_eq!((&third[..], end), (&ids[6..], None));
    // Back from the third page, and from the second.
    let (again, on, _) = page(back.as_deref()).await;
    assert_eq!((again, page(on.as_deref()).await.0), (second, third));
    let (again, on, start) = page(previous.as_deref()).await;
    assert_eq!((again, start), (first, None));
    assert_eq!(page(on.as_deref()).await.0, ids[3..6]);

    // What came in meanwhile lies in front of the first page.
    let newer = app.ingest(endpoint, &[], "body").await.expect_received();
    let (found, ..) = page(previous.as_deref()).await;
    assert_eq!(found, ids[..3], "the page in front of the second is the three before it");
    let (_, _, start) = page(previous.as_deref()).await;
    assert_eq!(page(start.as_deref()).await.0, [newer]);
    // Numbered pages go back as well.
    let numbered = app.get("/v1/events?limit=3&page=2").await.json();
    assert!(numbered["prev_cursor"].is_string());
}
