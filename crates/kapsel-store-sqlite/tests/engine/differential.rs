//! The same random operations on this engine and on the one in memory: the answers are equal.

use std::sync::Arc;

use kapsel_core::{Entropy, SystemEntropy};
use kapsel_store::contract::differential;
use kapsel_store::{MemoryStore, Store};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};

const STEPS: usize = 500;

async fn compare(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(folder.path(), test_harness::sealer());
    options.unsorted_events_max = 3;
    let sqlite = SqliteStore::open(options).unwrap();
    let engines: [(&str, Arc<dyn Store>); 2] =
        [("memory", Arc::new(MemoryStore::new())), ("SQLite", Arc::new(sqlite.clone()))];
    differential::run(seed, STEPS, &engines).await;
    sqlite.close().await;
}

/// Side by side: most of the time goes into waiting for the disk.
async fn compare_all(seeds: impl Iterator<Item = u64>) {
    let runs: Vec<_> = seeds.map(|seed| tokio::spawn(compare(seed))).collect();
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agrees_with_memory_on_the_known_seeds() {
    compare_all(0..12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agrees_with_memory_on_fresh_seeds() {
    let seeds: Vec<_> = (0..4).map(|_| SystemEntropy.next_u64()).collect();
    println!("seeds {seeds:?}");
    compare_all(seeds.into_iter()).await;
}
