//! What a dead endpoint with a long queue costs the others, and how a backlog drains when its destination is back.
//!
//! ```sh
//! cargo bench --bench isolation                         # embedded engine
//! cargo bench --bench isolation -- postgres://…/…       # PostgreSQL
//! ```
//!
//! The program runs in its own process; sources and destinations are in this one. A latency is the time from the moment at
//! which the source wanted to send to the last byte at the destination. Sending is open-loop: a late request does not
//! delay the next one. Everything stays on the loopback interface and ends within a few minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops at what it cannot do")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "it shares the tests' handling of the program")]

#[path = "../tests/product/program.rs"]
mod program;

use std::sync::Arc;
use std::time::Duration;

use program::{Program, post_request, send};
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::task::JoinSet;
use tokio::time::Instant;

const HEALTHY: usize = 50;
const PER_SECOND: u32 = 500;
const ROUND: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;
const QUEUED: usize = 100_000;
const SENDERS: usize = 64;

#[tokio::main]
async fn main() {
    let database = std::env::args().skip(1).find(|argument| argument.starts_with("postgres"));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = vec![("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("RUST_LOG", "error")];
    settings.extend(database.as_deref().map(|url| ("DATABASE_URL", url)));
    let program = Program::start_with(folder.path(), &settings).await;

    let destination = Destination::start(Behaviour::Ok(200)).await;
    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        healthy.push(endpoint(&program, json!({"url": destination.url()})).await);
    }
    let healthy = Arc::new(healthy);
    measure(&program, &destination, &healthy, "warm-up").await;
    let mut without = Vec::new();
    for _ in 0..ROUNDS {
        without.push(measure(&program, &destination, &healthy, "nobody is dead").await);
    }

    let dead = Destination::start(Behaviour::Hang).await;
    let url = endpoint(&program, json!({"url": dead.url()})).await;
    let begun = Instant::now();
    fill(&program, &url, QUEUED).await;
    println!("{QUEUED} events accepted for the dead endpoint in {:.1} s", begun.elapsed().as_secs_f64());
    let mut with = Vec::new();
    for _ in 0..ROUNDS {
        with.push(measure(&program, &destination, &healthy, "one is dead").await);
    }
    let median = |mut values: Vec<Duration>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (without, with) = (median(without), median(with));
    println!(
        "p99, medians of {ROUNDS} rounds: {without:.2?} without, {with:.2?} with; ratio {:.2}",
        ratio(with, without)
    );
    println!("the dead destination got {} requests in that time", dead.count());

    recovery(&program).await;
    program.terminate().await;
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// Creates an endpoint and returns its ingest URL.
async fn endpoint(program: &Program, settings: serde_json::Value) -> String {
    program.create_endpoint(settings).await["ingest_url"].as_str().unwrap().to_owned()
}

/// Sends at the steady rate over all healthy endpoints, and returns the p99.
async fn measure(program: &Program, destination: &Destination, urls: &Arc<Vec<String>>, what: &str) -> Duration {
    let first = destination.count();
    let count = usize::try_from(ROUND.as_secs() * u64::from(PER_SECOND)).unwrap();
    let base = Instant::now();
    let mut sending = JoinSet::new();
    for number in 0..count {
        let at = base + Duration::from_secs(1) * u32::try_from(number).unwrap() / PER_SECOND;
        tokio::time::sleep_until(at).await;
        let (client, urls) = (program.client(), Arc::clone(urls));
        let body = (at - base).as_nanos().to_string();
        sending.spawn(async move {
            send(&client, post_request(&urls[number % HEALTHY], &[], body)).await.unwrap().expect(200);
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    destination.wait_for_count(first + count).await;
    let mut latencies: Vec<Duration> = destination.received()[first..]
        .iter()
        .map(|received| {
            let nanos: u64 = std::str::from_utf8(&received.body).unwrap().parse().unwrap();
            received.at - (base + Duration::from_nanos(nanos))
        })
        .collect();
    latencies.sort_unstable();
    let at = |thousandths: usize| latencies[(latencies.len() - 1) * thousandths / 1_000];
    println!("{what:>15}: p50 {:.2?}, p99 {:.2?}, max {:.2?}", at(500), at(990), at(1_000));
    at(990)
}

/// Sends as fast as it is taken.
async fn fill(program: &Program, url: &str, count: usize) {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (client, url) = (program.client(), url.to_owned());
        senders.spawn(async move {
            for _ in (sender..count).step_by(SENDERS) {
                send(&client, post_request(&url, &[], vec![b'x'; 1_024])).await.unwrap().expect(200);
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
}

/// A destination that is dead at first: how fast its backlog drains, and whether its limits hold.
async fn recovery(program: &Program) {
    const BACKLOG: usize = 10_000;
    const FAILURES: usize = 12;
    let (per_second, burst) = (1_000, 100);
    let destination = Destination::start(Behaviour::FailFirst(FAILURES, 503)).await;
    let url = endpoint(
        program,
        json!({
            "url": destination.url(), "max_in_flight": 16,
            "rate_limit": {"per_second": per_second, "burst": burst},
            "circuit": {"open_seconds": 2, "open_seconds_max": 2},
        }),
    )
    .await;
    fill(program, &url, BACKLOG).await;
    destination.wait_for_count(BACKLOG + FAILURES).await;
    let received = destination.received();
    let served: Vec<Instant> = received[FAILURES..].iter().map(|received| received.at).collect();
    let busiest = (0..served.len())
        .map(|first| served[first..].iter().take_while(|at| **at - served[first] < Duration::from_secs(1)).count())
        .max()
        .unwrap();
    let took = served[served.len() - 1] - served[0];
    println!(
        "a backlog of {BACKLOG} behind {FAILURES} failures drained in {:.1} s: {:.0}/s on average, at most {busiest} in any \
         second; {} are allowed",
        took.as_secs_f64(),
        BACKLOG as f64 / took.as_secs_f64(),
        per_second + burst,
    );
}
