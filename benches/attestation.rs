//! What the log of attempts costs: taking leaves in, covering them with heads, and making proofs from large trees.
//!
//! ```sh
//! cargo bench --bench attestation                                   # embedded engine, one million leaves
//! cargo bench --bench attestation -- postgres://…/…                 # PostgreSQL, an empty database
//! cargo bench --bench attestation -- --leaves 10000000 [postgres://…/…]
//! ```
//!
//! 1. 200,000 leaves as attempts make them wait; the sequencer takes them in, in batches of 100 and of 1,000. Each step reads
//!    what waits, computes the tree and commits.
//! 2. Bytes per leaf, from the size of the tables.
//! 3. The tree grows to the wanted size with leaves of 16 bytes, which are enough for their hashes. Then proofs of random
//!    leaves are made, one after the other, each verified before it is handed out, as the API does it.
//!
//! Leaves are put beside the store into its tables, because settling so many attempts would take an hour.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops at what it cannot do")]

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kapsel_attestation::{LastHead, Proof, Prover, SecretKey, Sequencer, SequencerDeps, SequencerSettings};
use kapsel_core::{
    Attempt, AttemptId, Clock as _, DeliveryRef, Entropy as _, IdGenerator, InstanceId, Leaf, LogId, Outcome,
    ResponseHead, SystemClock, SystemEntropy, TenantId,
};
use kapsel_store::Store;
use kapsel_store_postgres::{PostgresOptions, PostgresStore};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};
use kapsel_verification::{Hash, leaf_hash};
use tokio::time::Instant;

const ORIGIN: &str = "benchmark.example/log";
/// Leaves of full size for each size of batch.
const FULL_LEAVES: usize = 100_000;
const PROOFS: usize = 5_000;

/// Where leaves are put beside the store.
enum Tables {
    Sqlite(Mutex<rusqlite::Connection>),
    Postgres(tokio_postgres::Client),
}

/// A leaf as it waits.
struct Waiting {
    attempt_id: AttemptId,
    data: Vec<u8>,
    hash: Hash,
}

struct Nowhere;

#[async_trait]
impl LastHead for Nowhere {
    async fn last(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn remember(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.iter().find(|argument| argument.starts_with("postgres"));
    let leaves = arguments.iter().position(|argument| argument == "--leaves");
    let leaves: u64 = leaves.map_or(1_000_000, |place| arguments[place + 1].parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (store, tables): (Arc<dyn Store>, Tables) = match url {
        None => {
            let store = SqliteStore::open(SqliteOptions::new(folder.path(), test_harness::sealer())).unwrap();
            let file: PathBuf = folder.path().join("kapsel.db");
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 60000").unwrap();
            (Arc::new(store), Tables::Sqlite(Mutex::new(connection)))
        }
        Some(url) => {
            let options = PostgresOptions::new(url.as_str(), test_harness::sealer());
            let store = PostgresStore::open(&options, Arc::new(SystemEntropy), SystemClock.now()).await.unwrap();
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            (Arc::new(store), Tables::Postgres(client))
        }
    };
    let ids = IdGenerator::new(Arc::new(SystemEntropy));
    let new_id: LogId = ids.next(SystemClock.now());
    let log = store.log_open(SystemClock.now(), new_id, ORIGIN.to_owned()).await.unwrap();
    let log_id = log.id;
    if log.size >= leaves {
        // It grew in an earlier run.
        return prove(&store, log_id).await;
    }
    for batch in [100, 1_000] {
        tables.fill(log_id, (0..FULL_LEAVES).map(|_| full_leaf(&ids, log_id)).collect()).await;
        let sequencer = sequencer(&store, log_id, batch, 1);
        take_in(&sequencer, batch).await;
    }
    tables.report_bytes(&store, log_id).await;

    grow(&store, &tables, log_id, &ids, leaves).await;
    prove(&store, log_id).await;
}

/// The leaf of a delivered attempt.
fn full_leaf(ids: &IdGenerator, log_id: LogId) -> Waiting {
    let now = SystemClock.now();
    let delivery = DeliveryRef {
        id: ids.next(now),
        event_id: ids.next(now),
        endpoint_id: ids.next(now),
        tenant_id: TenantId::DEFAULT,
    };
    let attempt = Attempt {
        id: ids.next(now),
        delivery,
        number: 1,
        url: "https://destination.example/hook".to_owned(),
        started_at: now,
        duration: Duration::from_millis(7),
        outcome: Outcome::Response(ResponseHead { status: 200, ..ResponseHead::default() }),
    };
    let mut random = [0; kapsel_core::leaf::RANDOM_BYTES];
    SystemEntropy.fill(&mut random);
    let leaf = Leaf::of_attempt(&attempt, &[7; 32], log_id, random);
    Waiting { attempt_id: attempt.id, data: leaf.data.to_vec(), hash: leaf.hash }
}

/// A leaf with nothing in it but its id.
fn small_leaf(ids: &IdGenerator) -> Waiting {
    let attempt_id: AttemptId = ids.next(SystemClock.now());
    let data = attempt_id.as_bytes().to_vec();
    Waiting { attempt_id, hash: leaf_hash(&data), data }
}

fn sequencer(store: &Arc<dyn Store>, log_id: LogId, batch_max: usize, batches_max: usize) -> Sequencer {
    let deps = SequencerDeps {
        store: Arc::clone(store) as _,
        keys: Arc::new(vec![SecretKey::generate(ORIGIN, &test_harness::SeededEntropy::new(1)).unwrap()]),
        last_head: Arc::new(Nowhere),
        clock: Arc::new(SystemClock),
        // The same for all, so that none waits for the lease of another.
        instance: InstanceId::MAX,
        log_id,
    };
    let settings = SequencerSettings { batch_max, batches_max, ..SequencerSettings::default() };
    Sequencer::new(deps, settings)
}

async fn take_in(sequencer: &Sequencer, batch: usize) {
    let (mut times, mut taken) = (Vec::new(), 0);
    let begun = Instant::now();
    loop {
        let step = Instant::now();
        let report = sequencer.run_once().await.unwrap();
        taken += report.integrated;
        if report.integrated == batch {
            times.push(step.elapsed());
        }
        if !report.has_more {
            break;
        }
    }
    let rate = rate(taken, begun.elapsed());
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("batches of {batch:5}: {rate:8.0} leaves/s, a step p50 {p50:?} p99 {p99:?}");
}

async fn grow(store: &Arc<dyn Store>, tables: &Tables, log_id: LogId, ids: &IdGenerator, wanted: u64) {
    let sequencer = sequencer(store, log_id, 5_000, 50);
    let (begun, mut taking) = (Instant::now(), Duration::ZERO);
    let mut size = store.log_get(log_id).await.unwrap().size;
    while size < wanted {
        let count = usize::try_from((wanted - size).min(200_000)).unwrap();
        tables.fill(log_id, (0..count).map(|_| small_leaf(ids)).collect()).await;
        let step = Instant::now();
        while sequencer.run_once().await.unwrap().has_more {}
        taking += step.elapsed();
        size = store.log_get(log_id).await.unwrap().size;
    }
    println!(
        "grown to {size} leaves in {:?}, of which {taking:?} by the sequencer, in batches of 5,000",
        begun.elapsed()
    );
    // A head over all of it.
    while store.log_get(log_id).await.unwrap().published.is_none_or(|(covered, _)| covered != size) {
        tokio::time::sleep(Duration::from_millis(100)).await; // paced: at most one head in a second
        sequencer.run_once().await.unwrap();
    }
}

async fn prove(store: &Arc<dyn Store>, log_id: LogId) {
    let size = store.log_get(log_id).await.unwrap().size;
    for round in ["first", "second"] {
        let prover = Prover::new(Arc::clone(store) as _, log_id, ORIGIN.to_owned());
        let mut times = Vec::new();
        let mut length = 0;
        for _ in 0..PROOFS {
            let index = SystemEntropy.next_u64() % size;
            let entry = store.entry_list(log_id, index, 1).await.unwrap().pop().unwrap();
            let hash = leaf_hash(&entry.data.unwrap());
            let begun = Instant::now();
            let Proof::Made(proof) = prover.inclusion(TenantId::DEFAULT, hash, None).await.unwrap() else {
                panic!("the leaf is covered");
            };
            times.push(begun.elapsed());
            assert_eq!(proof.leaf_index, index);
            length = proof.proof_hashes.len();
        }
        let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
        println!("proofs in a tree of {size} ({length} hashes), {round} {PROOFS}: p50 {p50:?} p99 {p99:?}");
    }
}

impl Tables {
    async fn fill(&self, log_id: LogId, leaves: Vec<Waiting>) {
        let tenant_id = TenantId::DEFAULT;
        match self {
            Tables::Sqlite(connection) => {
                let mut connection = connection.lock().unwrap();
                let transaction = connection.transaction().unwrap();
                for Waiting { attempt_id, data, hash } in &leaves {
                    let insert = "INSERT INTO log_leaves (attempt_id, tenant_id, log_id, data) VALUES (?1, ?2, ?3, ?4)";
                    let key = (attempt_id.as_bytes(), tenant_id.as_bytes(), log_id.as_bytes());
                    transaction.prepare_cached(insert).unwrap().execute((key.0, key.1, key.2, data)).unwrap();
                    let insert =
                        "INSERT INTO log_pending (attempt_id, tenant_id, log_id, hash) VALUES (?1, ?2, ?3, ?4)";
                    let values = (key.0, key.1, key.2, hash.as_bytes());
                    transaction.prepare_cached(insert).unwrap().execute(values).unwrap();
                }
                transaction.commit().unwrap();
            }
            Tables::Postgres(client) => {
                for part in leaves.chunks(5_000) {
                    let uuid = |id: &[u8; 16]| uuid::Uuid::from_bytes(*id);
                    let ids: Vec<_> = part.iter().map(|leaf| uuid(leaf.attempt_id.as_bytes())).collect();
                    let data: Vec<&[u8]> = part.iter().map(|leaf| leaf.data.as_slice()).collect();
                    let hashes: Vec<&[u8]> = part.iter().map(|leaf| leaf.hash.as_bytes().as_slice()).collect();
                    let insert = "WITH i AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS i (id, data, hash)),
                        l AS (INSERT INTO log_leaves (attempt_id, tenant_id, log_id, data) SELECT id, $4, $5, data FROM i)
                        INSERT INTO log_pending (attempt_id, tenant_id, log_id, hash) SELECT id, $4, $5, hash FROM i";
                    let (tenant, log) = (uuid(tenant_id.as_bytes()), uuid(log_id.as_bytes()));
                    client.execute(insert, &[&ids, &data, &hashes, &tenant, &log]).await.unwrap();
                }
                client.batch_execute("VACUUM ANALYZE log_pending").await.unwrap();
            }
        }
    }

    /// What a leaf takes up, table by table, indexes included.
    async fn report_bytes(&self, store: &Arc<dyn Store>, log_id: LogId) {
        let leaves = store.log_get(log_id).await.unwrap().size as f64;
        let mut sum = 0.0;
        for table in ["log_leaves", "log_entries", "log_tiles"] {
            let bytes: i64 = match self {
                Tables::Sqlite(connection) => {
                    let connection = connection.lock().unwrap();
                    let query = "SELECT sum(pgsize) FROM dbstat WHERE name IN
                        (SELECT name FROM sqlite_schema WHERE tbl_name = ?1)";
                    connection.query_row(query, [table], |row| row.get(0)).unwrap()
                }
                Tables::Postgres(client) => {
                    client.batch_execute(&format!("VACUUM {table}")).await.unwrap();
                    let query = format!("SELECT pg_total_relation_size('{table}')");
                    client.query_one(&query, &[]).await.unwrap().get(0)
                }
            };
            sum += bytes as f64 / leaves;
            println!("{table:12} {:6.1} bytes per leaf", bytes as f64 / leaves);
        }
        println!("together     {sum:6.1} bytes per leaf, of {leaves} leaves");
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
