//! Destinations that misbehave neither block others nor grow memory.

use std::time::Duration;

use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::Program;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_destinations_block_nobody_and_grow_nothing() {
    const EVENTS_EACH: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let hostile = [
        (Behaviour::Hang, "E2002"),
        (Behaviour::Drip(Duration::from_millis(50)), "E2002"),
        (Behaviour::EndlessBody, ""),
        (Behaviour::ResetAfterAccept, "E2001"),
        (Behaviour::Redirect("http://127.0.0.1:9/".to_owned()), "E2010"),
        (Behaviour::InformationalFlood, "E2009"),
        (Behaviour::Garbage, "E2009"),
    ];
    let mut destinations = Vec::new();
    let mut events = Vec::new();
    for (behaviour, expected) in hostile {
        let destination = Destination::start(behaviour).await;
        let endpoint = program
            .create_endpoint(json!({
                "url": destination.url(),
                "timeout_seconds": 5,
                "retry": {"base_seconds": 0.05, "max_attempts": 2},
                // Here every single outcome is looked at; that failures stop the sending is tested elsewhere.
                "circuit": {"consecutive_failures": 1_000, "failure_percent": 100, "window_requests": 1_000},
            }))
            .await;
        let url = endpoint["ingest_url"].as_str().unwrap();
        for _ in 0..EVENTS_EACH {
            let answer = program.post(url, &[], "hostile").await.expect(200).json();
            events.push((answer["event_id"].as_str().unwrap().to_owned(), expected));
        }
        destinations.push(destination);
    }
    let loaded = program.resident_bytes();

    // Meanwhile a healthy one gets its events, all of them before the first hostile time-out can have passed twice.
    let healthy = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": healthy.url()})).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    for _ in 0..EVENTS_EACH {
        program.post(url, &[], "healthy").await.expect(200);
    }
    healthy.wait_for(EVENTS_EACH).await;
    let hanging: Vec<Value> = program.list_events("&status=delivering").await;
    assert!(!hanging.is_empty(), "the healthy endpoint was served while others hung");

    for (id, expected) in events {
        let event = program.wait_for_status(&id, if expected.is_empty() { "delivered" } else { "failed" }).await;
        for attempt in event["attempts"].as_array().unwrap() {
            let code = attempt["error_code"].as_str().unwrap_or_default();
            assert_eq!(code, expected, "{event}");
        }
    }
    let after = program.resident_bytes();
    assert!(after < loaded + 64 * MIB, "memory grew from {loaded} to {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_with_a_backlog_does_not_delay_others() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let dead = Destination::start(Behaviour::Hang).await;
    let endpoint = program.create_endpoint(json!({"url": dead.url(), "timeout_seconds": 45, "max_in_flight": 4})).await;
    let dead_id = endpoint["id"].as_str().unwrap().to_owned();
    let url = endpoint["ingest_url"].as_str().unwrap();
    for _ in 0..300 {
        program.post(url, &[], "stuck").await.expect(200);
    }
    let healthy = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": healthy.url()})).await;
    for _ in 0..100 {
        program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "fine").await.expect(200);
    }
    tokio::time::timeout(Duration::from_secs(30), healthy.wait_for(100)).await.expect("the healthy one is served");
    assert!(dead.received().len() <= 4, "its concurrency limit holds");
    for (status, count) in [("delivering", 4), ("received", 296)] {
        let events = program.list_events(&format!("&status={status}&endpoint_id={dead_id}")).await;
        assert_eq!(events.len(), count, "{status}");
    }
}
