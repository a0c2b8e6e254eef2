//! Accepted is kept: the program is killed again and again under load, and at the end everything that it had answered
//! with 200 has arrived.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kapsel_core::{Entropy as _, SystemEntropy};
use serde_json::json;
use test_harness::SeededEntropy;
use test_harness::destination::{Behaviour, Destination};

use crate::program::{PATIENCE, Program, post_request, send};

const CYCLES: usize = 100;
const SENDERS: usize = 8;
/// The longest time that a cycle runs under load before the kill, in milliseconds.
const LOAD_MS_MAX: u64 = 200;

/// How long a sender may take to notice that the program is dead.
const SENDER_PATIENCE: Duration = Duration::from_secs(5);

/// A file with the id of every event that was answered with 200, flushed to disk before the next request is sent.
struct Ledger {
    file: Mutex<File>,
    path: PathBuf,
}

impl Ledger {
    fn create(folder: &Path) -> Self {
        let path = folder.join("ledger");
        let file = OpenOptions::new().create_new(true).append(true).open(&path).unwrap();
        Ledger { file: Mutex::new(file), path }
    }

    fn note(&self, event_id: &str) {
        let mut file = self.file.lock().unwrap();
        writeln!(file, "{event_id}").unwrap();
        file.sync_data().unwrap();
    }

    fn read(&self) -> HashSet<String> {
        std::fs::read_to_string(&self.path).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Sends webhooks one after the other until told to stop or until the program is gone.
async fn send_until_stopped(
    client: hyper_util::client::legacy::Client<
        hyper_util::client::legacy::connect::HttpConnector,
        http_body_util::Full<bytes::Bytes>,
    >,
    url: String,
    ledger: Arc<Ledger>,
    counter: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"number":{number},"padding":"{}"}}"#, "x".repeat(900));
        let key = format!("key-{number}");
        let request = post_request(&url, &[("content-type", "application/json"), ("idempotency-key", &key)], body);
        // An error is the kill; whether that event was stored is not known, so it is not noted.
        let Ok(answer) = send(&client, request).await else { return };
        if answer.status == 200 {
            ledger.note(answer.json()["event_id"].as_str().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_over_a_hundred_kills() {
    let seed = SystemEntropy.next_u64();
    let chance = SeededEntropy::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ledger = Arc::new(Ledger::create(folder.path()));
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let counter = Arc::new(AtomicU64::new(0));
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
        let url = format!("{}/ingest/{id}", program.base);
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (ledger, counter, stop) = (Arc::clone(&ledger), Arc::clone(&counter), Arc::clone(&stop));
                tokio::spawn(send_until_stopped(program.client(), url.clone(), ledger, counter, stop))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(chance.below(LOAD_MS_MAX))).await; // paced: the moment of the kill
        program.kill().await;
        stop.store(true, Ordering::Relaxed);
        for mut sender in senders {
            // The client library now and then never notices that its connection is gone. What it waits for was not
            // acknowledged, so nothing is lost by letting it go.
            match tokio::time::timeout(SENDER_PATIENCE, &mut sender).await {
                Ok(ended) => ended.unwrap(),
                Err(_) => sender.abort(),
            }
        }
    }

    let program = Program::start(&data).await;
    let acknowledged = ledger.read();
    let everything_settled = async {
        while !program.list_events("&status=undelivered").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, everything_settled).await.expect("the queue becomes empty");

    let arrived: Vec<String> =
        destination.received().iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    let distinct: HashSet<String> = arrived.iter().cloned().collect();
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    println!(
        "seed {seed}: {CYCLES} kills, {} acknowledged, {} distinct arrived, {} duplicates, {} lost",
        acknowledged.len(),
        distinct.len(),
        arrived.len() - distinct.len(),
        lost.len()
    );
    assert!(acknowledged.len() > CYCLES, "there was load: {}", acknowledged.len());
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(program.terminate().await.success());
}
