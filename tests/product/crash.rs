//! Accepted is kept: the program is killed again and again under load, and at the end everything that it had answered
//! with 200 has arrived.

use std::collections::HashSet;
use std::time::Duration;

use kapsel_core::{Entropy as _, SystemEntropy};
use serde_json::json;
use test_harness::SeededEntropy;
use test_harness::destination::{Behaviour, Destination};

use crate::attestation::{figure, fsck};
use crate::ledger::{Load, Tally};
use crate::program::Program;

const CYCLES: usize = 100;
const SENDERS: usize = 8;
/// The longest time that a cycle runs under load before the kill, in milliseconds.
const LOAD_MS_MAX: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_over_a_hundred_kills() {
    let seed = SystemEntropy.next_u64();
    let chance = SeededEntropy::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let load = Load::start(SENDERS, folder.path(), vec![None]);
    let mut endpoint_id = None;

    for _ in 0..CYCLES {
        let program = Program::start(&data).await;
        let id = match &endpoint_id {
            Some(id) => id,
            None => {
                let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
                endpoint_id.insert(endpoint["id"].as_str().unwrap().to_owned())
            }
        };
        load.set_target(0, Some(format!("{}/ingest/{id}", program.base)));
        tokio::time::sleep(Duration::from_millis(chance.below(LOAD_MS_MAX))).await; // paced: the moment of the kill
        program.kill().await;
        load.set_target(0, None);
    }
    let acknowledged = load.stop().await;

    let program = Program::start(&data).await;
    program.wait_until_nothing_is_undelivered().await;
    let tally = Tally::of(&acknowledged, &destination.received());
    println!("seed {seed}: {CYCLES} kills, {tally}");
    tally.check(CYCLES);

    // Each of them is in the list of its endpoint, once and in its place: newest first.
    let endpoint_id = endpoint_id.unwrap();
    let listed = program.list_events(&format!("&endpoint_id={endpoint_id}")).await;
    let listed: Vec<&str> = listed.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(listed.is_sorted_by(|newer, older| newer > older), "twice or out of order");
    let listed: HashSet<&str> = listed.into_iter().collect();
    let missing: Vec<&String> = acknowledged.iter().filter(|id| !listed.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "not listed: {missing:?}");
    assert!(program.terminate().await.success());

    // The log was killed as often: every attempt has its one leaf, and every head is that of its tree.
    let data = data.to_string_lossy().into_owned();
    let said = fsck(&[("KAPSEL_DATA_DIR", &data)]).await.expect(0);
    assert!(figure(&said, "attempts stored") >= u64::try_from(acknowledged.len()).unwrap(), "{said}");
}
