//! How many events per second the store alone takes, in the group commits that it makes by itself:
//!
//! ```text
//! cargo run --release -p kapsel-store-sqlite --example store_rate -- [seconds] [callers] [batch] [endpoints] [folder]
//! ```
//!
//! Each caller sends one batch of webhooks of 1 KiB after the other and waits for its answer. In the second part they
//! carry idempotency keys, in the third they are stored under a lease and settled as delivered. It asserts nothing.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement that fails may stop")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kapsel_store::contract::load::{Load, Part};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};

fn argument<T: std::str::FromStr>(place: usize, default: T) -> T {
    std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let time = Duration::from_secs(argument(1, 5));
    let callers: usize = argument(2, 4);
    let batch: usize = argument(3, 128);
    let endpoints: usize = argument(4, 20);
    let folder: Option<PathBuf> = std::env::args().nth(5).map(PathBuf::from);
    println!("{callers} callers, batches of {batch}, 1 KiB bodies, {endpoints} endpoints, {time:?} each");
    for part in Part::ALL {
        let parent = match &folder {
            Some(folder) => tempfile::tempdir_in(folder).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let store = SqliteStore::open(SqliteOptions::new(parent.path(), test_harness::sealer())).unwrap();
        let load = Arc::new(Load::new(Arc::new(store.clone()), endpoints, batch).await);
        let cpu = writer_cpu();
        let report = load.run(part, callers, time).await;
        println!(
            "{:18} {:9.0} events/s, {:6.1} events per transaction, batch p50 {:?} p99 {:?}, writer {:.1} µs/event",
            part.name(),
            report.rate,
            report.events as f64 / store.stats().transactions as f64,
            report.batch_p50,
            report.batch_p99,
            (writer_cpu() - cpu) * 1e6 / report.events as f64,
        );
        store.close().await;
    }
}

/// Processor time that the writers' threads of this process used so far, in seconds.
fn writer_cpu() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of_a_writer = |folder: &PathBuf| {
        std::fs::read_to_string(folder.join("comm")).is_ok_and(|name| name.trim() == "kapsel-sqlite")
    };
    let nanoseconds = threads.flatten().map(|thread| thread.path()).filter(of_a_writer).filter_map(|folder| {
        let stat = std::fs::read_to_string(folder.join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}
