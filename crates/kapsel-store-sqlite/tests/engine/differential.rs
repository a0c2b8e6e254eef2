//! The same random operations on this engine and on the one in memory: the answers are equal.

use std::sync::Arc;

use kapsel_core::{Entropy, SystemEntropy};
use kapsel_store::contract::differential;
use kapsel_store::{MemoryStore, Store};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};

const STEPS: usize = 500;

async fn compare(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(SqliteOptions::new(folder.path())).unwrap();
    let engines: [(&str, Arc<dyn Store>); 2] =
        [("memory", Arc::new(MemoryStore::new())), ("SQLite", Arc::new(sqlite.clone()))];
    differential::run(seed, STEPS, &engines).await;
    sqlite.close().await;
}

#[tokio::test]
async fn agrees_with_memory_on_the_known_seeds() {
    for seed in 0..12 {
        compare(seed).await;
    }
}

#[tokio::test]
async fn agrees_with_memory_on_fresh_seeds() {
    for _ in 0..4 {
        let seed = SystemEntropy.next_u64();
        println!("seed {seed}");
        compare(seed).await;
    }
}
