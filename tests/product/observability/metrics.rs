//! The figures are right, whatever becomes of events.

use http::Method;
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::page::Page;
use crate::program::Program;

const TENANT: (&str, &str) = ("tenant", "ten_00000000000000000000000000");

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_and_went_out_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let well = Destination::start(Behaviour::Ok(200)).await;
    let ill = Destination::start(Behaviour::Ok(503)).await;
    let endpoint = program.create_endpoint(json!({"url": well.url()})).await;
    let failing =
        program.create_endpoint(json!({"url": ill.url(), "retry": {"base_seconds": 0.01, "max_attempts": 2}})).await;
    let signed = program
        .create_endpoint(json!({"url": well.url(), "verification": {"scheme": "github", "secrets": ["secret"]}}))
        .await;
    let parked = program.create_endpoint(json!({"url": "http://127.0.0.1:9/", "retry": {"base_seconds": 3600}})).await;
    let url = |endpoint: &serde_json::Value| endpoint["ingest_url"].as_str().unwrap().to_owned();
    let id = |endpoint: &serde_json::Value| endpoint["id"].as_str().unwrap().to_owned();

    for _ in 0..3 {
        let event = program.post(&url(&endpoint), &[], "body").await.expect(200).json();
        program.wait_for_status(event["event_id"].as_str().unwrap(), "delivered").await;
    }
    let key = [("idempotency-key", "one")];
    for _ in 0..2 {
        program.post(&url(&endpoint), &key, "body").await.expect(200);
    }
    let event = program.post(&url(&failing), &[], "body").await.expect(200).json();
    program.wait_for_status(event["event_id"].as_str().unwrap(), "failed").await;
    program.post(&url(&signed), &[], "body").await.expect(401);
    program.post(&format!("{}/ingest/ep_unknown", program.base), &[], "body").await.expect(404);
    program.post(&url(&parked), &[], "body").await.expect(200);

    // 4 delivered, 2 attempts of the failing event, one of the parked one.
    let page = Page::wait_for(&program, "all attempts in the log, and the queue", |page| {
        page.value("kapsel_log_published_size", &[]) == Some(7.0)
            && page.value("pending_events_total", &[]) == Some(1.0)
    })
    .await;
    for (status, count) in [("accepted", 6.0), ("duplicate", 1.0), ("invalid_signature", 1.0)] {
        assert_eq!(page.value("webhook_ingestion_total", &[TENANT, ("status", status)]), Some(count), "{status}");
    }
    let none = [("tenant", "none"), ("status", "unknown_endpoint")];
    assert_eq!(page.value("webhook_ingestion_total", &none), Some(1.0));
    let attempts = |endpoint: &serde_json::Value, result: &str| {
        page.value("delivery_attempts_total", &[("endpoint", &id(endpoint)), ("result", result)])
    };
    assert_eq!(attempts(&endpoint, "delivered"), Some(4.0));
    assert_eq!(attempts(&failing, "server_error"), Some(2.0));
    assert_eq!(attempts(&parked, "connection"), Some(1.0));
    assert_eq!(attempts(&failing, "delivered"), None);
    let value = |name: &str| page.value(name, &[]).unwrap_or_else(|| panic!("{name}: {}", page.text));
    assert_eq!(value("delivery_duration_seconds_count"), 7.0);
    assert_eq!(value("ingestion_duration_seconds_count"), 9.0);
    assert_eq!(value("merkle_batch_size_sum"), 7.0);
    assert!((1.0..=7.0).contains(&value("merkle_batch_size_count")));
    assert_eq!(value("kapsel_log_tree_size"), 7.0);
    assert_eq!(value("kapsel_log_waiting_leaves"), 0.0);
    assert!(value("kapsel_log_head_age_seconds") < 3_600.0);
    assert!((0.0..3_600.0).contains(&value("oldest_pending_event_age_seconds")));
    assert_eq!(value("kapsel_pending_events_capped"), 0.0);
    assert_eq!(value("worker_pool_size"), 1_024.0);
    assert_eq!(value("worker_pool_busy"), 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_uptime_seconds") > 0.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(page.value("kapsel_build_info", &version), Some(1.0));
    for operation in ["event_insert_batch", "delivery_settle_if_leased", "endpoint_insert", "queue_look"] {
        let operation = [("operation", operation)];
        assert!(page.value("store_operation_duration_seconds_count", &operation) > Some(0.0), "{operation:?}");
        assert_eq!(page.value("store_operation_errors_total", &operation), Some(0.0), "{operation:?}");
    }
    assert!(page.value("store_pool_size", &[]) > Some(0.0));
    assert_eq!(value("kapsel_circuits_open"), 0.0);
    assert_eq!(page.value("circuit_breaker_state", &[("endpoint", &id(&endpoint))]), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_is_shown_until_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::FailFirst(1, 500)).await;
    let circuit = json!({"consecutive_failures": 1, "open_seconds": 600});
    let mut body = json!({"url": destination.url(), "circuit": circuit, "retry": {"base_seconds": 0.01}});
    let endpoint = program.create_endpoint(body.clone()).await;
    let id = endpoint["id"].as_str().unwrap();
    let state = |page: &Page| page.value("circuit_breaker_state", &[("endpoint", id)]);
    program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200);
    let page = Page::wait_for(&program, "open", |page| state(page) == Some(2.0)).await;
    assert_eq!(page.value("kapsel_circuits_open", &[]), Some(1.0));
    // Enabling an endpoint closes its circuit.
    for status in ["disabled", "enabled"] {
        body["status"] = status.into();
        program.manage(Method::PUT, &format!("/v1/endpoints/{id}"), Some(body.clone())).await.expect(200);
    }
    let page = Page::wait_for(&program, "closed", |page| state(page) == Some(0.0)).await;
    assert_eq!(page.value("kapsel_circuits_open", &[]), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_bounded_and_counters_never_go_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("KAPSEL_METRICS_LABELS_MAX", "2")];
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let mut urls = Vec::new();
    for _ in 0..6 {
        let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
        urls.push(endpoint["ingest_url"].as_str().unwrap().to_owned());
    }
    let mut former = Page::of(&program).await;
    for round in 1..=4 {
        for url in &urls {
            program.post(url, &[], "body").await.expect(200);
        }
        program.wait_until_nothing_is_undelivered().await;
        let page = Page::of(&program).await;
        let endpoints = page.label_values("delivery_attempts_total", "endpoint");
        assert!(endpoints.contains("other") && endpoints.len() <= 3, "{endpoints:?}");
        assert_eq!(page.value("delivery_attempts_total", &[]), Some(f64::from(round * 6)));
        for name in ["delivery_attempts_total", "webhook_ingestion_total", "delivery_duration_seconds_count"] {
            let present = page.series(name);
            for (series, before) in former.series(name) {
                assert!(present[&series] >= before, "{name} {series}");
            }
        }
        former = page;
    }
    assert_eq!(former.label_values("delivery_attempts_total", "endpoint").len(), 3);
}
