//! Circuits of the whole product: they open by failures alone, survive a kill, and close when the destination is back.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::{PATIENCE, Program};

/// Waits until the endpoint shows this state of its circuit.
async fn wait_for_circuit(program: &Program, id: &str, state: &str) -> Value {
    let poll = async {
        loop {
            let endpoint = program.manage(Method::GET, &format!("/v1/endpoints/{id}"), None).await.expect(200).json();
            if endpoint["circuit_state"] == state {
                return endpoint;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("the circuit did not become {state}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_survives_a_kill_and_loses_nothing() {
    const FAILURES: usize = 7;
    const EVENTS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::FailFirst(FAILURES, 500)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program
        .create_endpoint(json!({
            "url": destination.url(),
            "max_in_flight": 1,
            // Only the circuit makes anything wait for long.
            "retry": {"base_seconds": 0.01, "factor": 1, "max_attempts": 50},
            "circuit": {"open_seconds": 3},
        }))
        .await;
    let (id, url) = (endpoint["id"].as_str().unwrap(), endpoint["ingest_url"].as_str().unwrap());
    assert_eq!((&endpoint["circuit_state"], &endpoint["blocked_until"]), (&json!("closed"), &Value::Null));
    for _ in 0..EVENTS {
        program.post(url, &[], "body").await.expect(200);
    }
    let open = wait_for_circuit(&program, id, "open").await;
    let blocked_until = open["blocked_until"].as_str().unwrap().to_owned();
    assert_eq!(destination.count(), 5);
    program.kill().await;

    let program = Program::start(folder.path()).await;
    let endpoint = wait_for_circuit(&program, id, "open").await;
    assert_eq!(endpoint["blocked_until"], blocked_until, "it is the same opening");
    program.post(url_of(&program, id).as_str(), &[], "body").await.expect(200);
    assert_eq!(destination.count(), 5, "nothing is sent meanwhile");
    // One probe fails, the circuit opens again for twice as long; then they succeed.
    program.wait_until_nothing_is_undelivered().await;
    assert_eq!(destination.distinct(), EVENTS + 1);
    let endpoint = wait_for_circuit(&program, id, "closed").await;
    assert_eq!(endpoint["blocked_until"], Value::Null);
    let attempts: usize = program
        .list_events("")
        .await
        .iter()
        .map(|event| usize::try_from(event["attempts_total"].as_u64().unwrap()).unwrap())
        .sum();
    assert_eq!(attempts, destination.count(), "waiting spends no attempt");
    program.terminate().await;
}

fn url_of(program: &Program, id: &str) -> String {
    format!("{}/ingest/{id}", program.base)
}
