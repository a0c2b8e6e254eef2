//! Requests in the log of the program.

use std::fs::File;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::Program;

/// The entries about requests, and those about attempts.
fn entries(log: &str) -> (Vec<Value>, Vec<Value>) {
    let all: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |target: &str, message: &str| {
        let fitting = all.iter().filter(|entry| entry["target"] == target && entry["message"] == message);
        fitting.cloned().collect::<Vec<_>>()
    };
    (of("kapsel_api::request", "request"), of("kapsel_delivery::dispatch::attempt", "delivered"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_found_in_the_log_by_its_request_id() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let settings = [
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        ("KAPSEL_LOG_FORMAT", "json"),
        ("RUST_LOG", "info,kapsel_api=debug,kapsel_delivery=debug"),
    ];
    let data = folder.path().join("data");
    let program = Program::start_logging(&data, &settings, File::create(&log).unwrap()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let created = program.create_endpoint(json!({"url": destination.url()})).await;
    let webhook = program.post(created["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200);
    let event_id = webhook.json()["event_id"].as_str().unwrap().to_owned();
    program.wait_for_status(&event_id, "delivered").await;
    let missing = program.manage(Method::GET, "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q", None).await.expect(404);
    assert!(program.terminate().await.success());

    let (requests, attempts) = entries(&std::fs::read_to_string(&log).unwrap());
    let find = |request_id: &Value| {
        let mut found = requests.iter().filter(|entry| &entry["request_id"] == request_id);
        let entry = found.next().unwrap_or_else(|| panic!("{request_id} is not in {requests:#?}"));
        assert!(found.next().is_none());
        entry.clone()
    };
    let entry = find(&missing.json()["error"]["request_id"]);
    assert_eq!((&entry["route"], &entry["status"]), (&json!("/v1/endpoints/{id}"), &json!(404)));
    assert_eq!((&entry["level"], &entry["error_code"]), (&json!("INFO"), &json!("E1008")));
    let entry = find(&webhook.headers["x-request-id"].to_str().unwrap().into());
    assert_eq!((&entry["level"], &entry["event_id"]), (&json!("DEBUG"), &json!(event_id)));

    // The attempt is told under the same event and trace.
    let [attempt] = attempts.try_into().unwrap();
    assert_eq!((&attempt["event_id"], &attempt["trace_id"]), (&json!(event_id), &entry["trace_id"]));
    assert_eq!(attempt["endpoint_id"], created["id"]);
    for field in ["delivery_id", "attempt_id", "attempt"] {
        assert!(!attempt[field].is_null(), "{field}: {attempt}");
    }
}
