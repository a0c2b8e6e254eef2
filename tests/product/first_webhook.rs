//! What a new user does first, and what has to hold from then on.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::{PATIENCE, Program};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_arrives_byte_exact_signed_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program
        .create_endpoint(json!({
            "name": "orders",
            "url": destination.url(),
            "headers": {"X-Api-Key": "custom-header-value"},
        }))
        .await;
    let body = "{\"größe\": 1.50,\r\n \"b\":\"\u{1F980}\"}\n";
    let headers = [("content-type", "application/json; charset=utf-8"), ("x-source", "shop"), ("x-source", "again")];
    let answer = program.post(endpoint["ingest_url"].as_str().unwrap(), &headers, body).await.expect(200);
    let event_id = answer.json()["event_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({"event_id": event_id, "status": "received"}));

    let received = destination.wait_for(1).await.remove(0);
    assert_eq!(received.body, body.as_bytes());
    assert_eq!(received.line, "POST /hook");
    assert_eq!(received.headers.get_all("x-source").iter().collect::<Vec<_>>(), ["shop", "again"]);
    let user_agent = format!("Kapsel/{}", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("x-api-key", "custom-header-value"),
        ("webhook-id", &event_id),
        ("x-kapsel-event-id", &event_id),
        ("x-kapsel-delivery-attempt", "1"),
        ("user-agent", &user_agent),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    let official = standardwebhooks::Webhook::new(endpoint["signing_secret"].as_str().unwrap()).unwrap();
    official.verify(&received.body, &received.headers).expect("the official library accepts the signature");

    let event = program.wait_for_status(&event_id, "delivered").await;
    assert_eq!(event["endpoint_id"], endpoint["id"]);
    assert_eq!(event["size_bytes"], body.len());
    let attempts = event["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["attempt_number"], 1);
    assert_eq!(attempts[0]["response_status"], 200);
    assert_eq!(attempts[0]["error_code"], Value::Null);
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_still_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let answer = program.post(url, &[("idempotency-key", "order-1")], "first").await.expect(200).json();
    let before = program.wait_for_status(answer["event_id"].as_str().unwrap(), "delivered").await;
    program.kill().await;

    let program = Program::start(folder.path()).await;
    assert_eq!(program.event(before["id"].as_str().unwrap()).await, before);
    let id = endpoint["id"].as_str().unwrap();
    let again = program.manage(Method::GET, &format!("/v1/endpoints/{id}"), None).await.expect(200).json();
    assert_eq!(again["url"], endpoint["url"]);
    let url = format!("{}/ingest/{id}", program.base);
    let replay = program.post(&url, &[("idempotency-key", "order-1")], "first").await.expect(200);
    assert_eq!(replay.json(), answer);
    assert_eq!(replay.headers["kapsel-idempotent-replay"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_deliveries_go_on_right_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Hang).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let answer = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "x").await.expect(200).json();
    let event_id = answer["event_id"].as_str().unwrap();
    destination.wait_for(1).await;
    assert_eq!(program.event(event_id).await["status"], "delivering");
    program.kill().await;

    // The lease of the dead process would run for a minute; its folder being free is proof enough that it is dead.
    let restarted = tokio::time::Instant::now();
    let program = Program::start(folder.path()).await;
    let arrived =
        tokio::time::timeout(PATIENCE, destination.wait_for(2)).await.expect("it goes on, long before the lease");
    println!("the interrupted delivery went on {:?} after the restart began", restarted.elapsed());
    for received in arrived {
        assert_eq!(received.header("webhook-id"), Some(event_id));
        assert_eq!(received.header("x-kapsel-delivery-attempt"), Some("1"), "the interrupted attempt was not recorded");
    }
    assert_eq!(program.event(event_id).await["status"], "delivering");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_finishes_what_is_under_way_and_gives_the_rest_back() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Destination::start(Behaviour::Delay(Duration::from_millis(500))).await;
    let hanging = Destination::start(Behaviour::Hang).await;
    let settings = [("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("KAPSEL_SHUTDOWN_SECONDS", "3")];
    let program = Program::start_with(folder.path(), &settings).await;
    let mut ids = Vec::new();
    for destination in [&slow, &hanging] {
        let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
        let answer = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "x").await.expect(200).json();
        ids.push(answer["event_id"].as_str().unwrap().to_owned());
    }
    slow.wait_for(1).await;
    hanging.wait_for(1).await;
    assert!(program.terminate().await.success());

    let program = Program::start(folder.path()).await;
    let finished = program.event(&ids[0]).await;
    assert_eq!(finished["status"], "delivered");
    assert_eq!(finished["attempts"].as_array().unwrap().len(), 1);
    // Untried as far as the record goes: it was given back, and this start took it up again.
    let given_back = program.event(&ids[1]).await;
    assert!(["received", "delivering"].contains(&given_back["status"].as_str().unwrap()), "{given_back}");
    assert_eq!(slow.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_retried_and_can_be_retried_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::FailFirst(3, 503)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program
        .create_endpoint(json!({"url": destination.url(), "retry": {"base_seconds": 0.01, "max_attempts": 3}}))
        .await;
    let answer = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "x").await.expect(200).json();
    let id = answer["event_id"].as_str().unwrap();
    let failed = program.wait_for_status(id, "failed").await;
    assert_eq!(failed["reason"], "attempts_exhausted");
    let codes: Vec<_> =
        failed["attempts"].as_array().unwrap().iter().map(|attempt| attempt["error_code"].clone()).collect();
    assert_eq!(codes, ["E2004", "E2004", "E2004"]);
    assert_eq!(program.list_events("&status=undelivered").await.len(), 1);

    program.manage(Method::POST, &format!("/v1/events/{id}/retry"), None).await.expect(202);
    let delivered = program.wait_for_status(id, "delivered").await;
    let attempts = delivered["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 4);
    assert_eq!(attempts[3]["attempt_number"], 4);
    assert_eq!(program.list_events("&status=undelivered").await.len(), 0);
    let ids: std::collections::HashSet<_> =
        destination.received().iter().map(|received| received.header("webhook-id").map(str::to_owned)).collect();
    assert_eq!(ids.len(), 1, "the webhook-id is the same on every attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_the_endpoint_and_parks_its_queue() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::FailFirst(1, 410)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let ingest_url = endpoint["ingest_url"].as_str().unwrap();
    let answer = program.post(ingest_url, &[], "x").await.expect(200).json();
    let event_id = answer["event_id"].as_str().unwrap();
    let parked = program.wait_for_status(event_id, "pending").await;
    assert_eq!(parked["attempts"][0]["response_status"], 410);
    let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    let disabled = program.manage(Method::GET, &path, None).await.expect(200).json();
    assert_eq!((&disabled["status"], &disabled["disabled_reason"]), (&json!("disabled"), &json!("gone")));
    assert_eq!(program.post(ingest_url, &[], "y").await.expect(410).code(), "E1003");

    let enable = json!({"url": destination.url(), "status": "enabled"});
    program.manage(Method::PUT, &path, Some(enable)).await.expect(200);
    let delivered = program.wait_for_status(event_id, "delivered").await;
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 2);
}
