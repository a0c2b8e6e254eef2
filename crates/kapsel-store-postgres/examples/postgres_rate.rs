//! How many events per second the store alone takes, and what they cost the database:
//!
//! ```text
//! cargo run --release -p kapsel-store-postgres --example postgres_rate -- URL [seconds] [callers] [batch] [endpoints]
//! ```
//!
//! The load is that of `store_rate`, the example of the embedded engine. Bytes of write-ahead log and rows written come from
//! the server's own counters, so nothing else should use it meanwhile. The database has to be an empty one; the events
//! stay in it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement that fails may stop")]

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock as _, SystemClock, SystemEntropy};
use kapsel_store::contract::load::{Load, Part};
use kapsel_store_postgres::{PostgresOptions, PostgresStore};

fn argument<T: std::str::FromStr>(place: usize, default: T) -> T {
    std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("the URL of an empty database");
    let time = Duration::from_secs(argument(2, 5));
    let callers: usize = argument(3, 4);
    let batch: usize = argument(4, 128);
    let endpoints: usize = argument(5, 20);
    println!("{callers} callers, batches of {batch}, 1 KiB bodies, {endpoints} endpoints, {time:?} each");
    let (watcher, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let options = PostgresOptions::new(url, test_harness::sealer());
    for part in Part::ALL {
        let store = PostgresStore::open(&options, Arc::new(SystemEntropy), SystemClock.now()).await.unwrap();
        let load = Arc::new(Load::new(Arc::new(store.clone()), endpoints, batch).await);
        let before = Counters::read(&watcher).await;
        let report = load.run(part, callers, time).await;
        store.close().await;
        let after = Counters::read(&watcher).await;
        let events = report.events as f64;
        println!(
            "{:18} {:9.0} events/s, batch p50 {:?} p99 {:?}, {:.0} bytes of log and {:.2} row writes per event",
            part.name(),
            report.rate,
            report.batch_p50,
            report.batch_p99,
            (after.log_bytes - before.log_bytes) / events,
            (after.rows - before.rows) / events,
        );
    }
}

/// What the server has counted so far.
struct Counters {
    log_bytes: f64,
    rows: f64,
}

impl Counters {
    async fn read(client: &tokio_postgres::Client) -> Self {
        let row = client
            .query_one(
                "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8,
                     (SELECT (sum(n_tup_ins) + sum(n_tup_upd) + sum(n_tup_del))::float8 FROM pg_stat_user_tables)",
                &[],
            )
            .await
            .unwrap();
        Counters { log_bytes: row.get(0), rows: row.get::<_, Option<f64>>(1).unwrap_or(0.0) }
    }
}
