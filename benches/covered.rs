//! How long it takes from an attempt to a published head that covers it, under load.
//!
//! ```sh
//! cargo bench --bench covered -- [--per-second 1000]                     # embedded engine
//! cargo bench --bench covered -- [--per-second 1000] postgres://…/…      # PostgreSQL
//! ```
//!
//! The program runs in its own process; the source and the destination are in this one. Webhooks of 1 KiB are sent at a
//! steady rate for twenty seconds, three times. All the while the last head is asked for. An attempt counts from the moment
//! when the destination has its last byte, which is before it is settled; it is covered when a head was first seen that is
//! larger than the index of its leaf. One attempt in fifty is looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops at what it cannot do")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "it shares the tests' handling of the program")]

#[path = "../tests/product/program.rs"]
mod program;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use program::{Program, post_request, send};
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::task::JoinSet;
use tokio::time::Instant;

const ROUND: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;
/// How often the head is asked for, which is how exact the result is.
const LOOK: Duration = Duration::from_millis(5);
const SAMPLED: usize = 50;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let database = arguments.iter().find(|argument| argument.starts_with("postgres"));
    let rate = arguments.iter().position(|argument| argument == "--per-second");
    let rate: u32 = rate.map_or(1_000, |place| arguments[place + 1].parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut settings = vec![("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("RUST_LOG", "error")];
    settings.extend(database.map(|url| ("DATABASE_URL", url.as_str())));
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let mut urls = Vec::new();
    for _ in 0..50 {
        let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
        urls.push(endpoint["ingest_url"].as_str().unwrap().to_owned());
    }
    let urls = Arc::new(urls);
    for _ in 0..ROUNDS {
        round(&program, &destination, &urls, rate).await;
    }
    program.terminate().await;
}

async fn round(program: &Program, destination: &Destination, urls: &Arc<Vec<String>>, rate: u32) {
    let first = destination.count();
    let count = usize::try_from(ROUND.as_secs() * u64::from(rate)).unwrap();
    let heads: Arc<Mutex<Vec<(Instant, u64)>>> = Arc::default();
    let watching = tokio::spawn(watch(program.client(), program.base.clone(), Arc::clone(&heads)));
    let base = Instant::now();
    let mut sending = JoinSet::new();
    for number in 0..count {
        tokio::time::sleep_until(base + Duration::from_secs(1) * u32::try_from(number).unwrap() / rate).await;
        let (client, urls) = (program.client(), Arc::clone(urls));
        sending.spawn(async move {
            send(&client, post_request(&urls[number % urls.len()], &[], vec![b'x'; 1_024])).await.unwrap().expect(200);
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    destination.wait_for_count(first + count).await;
    program.wait_until_nothing_is_undelivered().await;
    let arrived: HashMap<String, Instant> = destination.received()[first..]
        .iter()
        .step_by(SAMPLED)
        .map(|received| (received.header("webhook-id").unwrap().to_owned(), received.at))
        .collect();
    let mut waits = Vec::new();
    for (event_id, at) in arrived {
        let index = index_of(program, &event_id).await;
        let covered = heads.lock().unwrap().iter().find(|(_, size)| *size > index).map(|(at, _)| *at).unwrap();
        waits.push(covered.saturating_duration_since(at));
    }
    watching.abort();
    let heads = heads.lock().unwrap().len();
    waits.sort_unstable();
    let at = |hundredths: usize| waits[(waits.len() - 1) * hundredths / 100].as_millis();
    println!(
        "{rate}/s: attempt to covered p50 {} ms, p99 {} ms, max {} ms, of {} attempts; {heads} heads",
        at(50),
        at(99),
        at(100),
        waits.len(),
    );
}

/// Notes when each head was first seen.
async fn watch(client: program::HttpClient, base: String, heads: Arc<Mutex<Vec<(Instant, u64)>>>) {
    let mut last = None;
    loop {
        let request =
            http::Request::get(format!("{base}/attestation/sth")).body(http_body_util::Full::default()).unwrap();
        let answer = send(&client, request).await.unwrap();
        let at = Instant::now();
        if answer.status == 200 {
            let size = answer.json()["tree_size"].as_u64().unwrap();
            if last != Some(size) {
                heads.lock().unwrap().push((at, size));
                last = Some(size);
            }
        }
        tokio::time::sleep(LOOK).await; // paced: how exact it is
    }
}

/// The index of the leaf of an event's only attempt, once a head covers it.
async fn index_of(program: &Program, event_id: &str) -> u64 {
    let event = program.event(event_id).await;
    let path = format!("/attestation/proof/{}", event["attempts"][0]["leaf_hash"].as_str().unwrap());
    loop {
        let answer = program.manage(Method::GET, &path, None).await;
        if answer.status == 200 {
            return answer.json()["leaf_index"].as_u64().unwrap();
        }
        tokio::time::sleep(LOOK * 10).await; // paced: polling an HTTP API
    }
}
