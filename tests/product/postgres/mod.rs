//! The built program on PostgreSQL: several instances that share a database, and a database that goes away.

mod attestation;
mod endpoints;
mod erasure;
mod faults;
mod leases;
mod poison;
mod replays;
mod spool;
mod start;
mod takeover;

use std::ops::{Deref, Index};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kapsel_attestation::SecretKey;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_harness::SeededEntropy;
use test_harness::destination::{Behaviour, Destination};
use test_harness::postgres::{self, PostgresCluster};
use tokio::task::JoinSet;

use crate::program::{PATIENCE, Program};

/// The cluster that tests share, or one of their own.
#[derive(Clone)]
enum Cluster {
    Shared(&'static PostgresCluster),
    Own(Arc<PostgresCluster>),
}

impl Deref for Cluster {
    type Target = PostgresCluster;

    fn deref(&self) -> &PostgresCluster {
        match self {
            Cluster::Shared(cluster) => cluster,
            Cluster::Own(cluster) => cluster,
        }
    }
}

/// A database that only one test uses. Clusters block; so each call goes to a thread that may.
pub struct Database {
    cluster: Cluster,
    name: String,
}

impl Database {
    /// A database of the cluster that tests share.
    pub async fn shared() -> Database {
        Database::create(|| Cluster::Shared(postgres::shared())).await
    }

    /// A database of a cluster of its own, with these settings.
    async fn own(settings: &'static [(&str, &str)]) -> Database {
        Database::create(|| Cluster::Own(Arc::new(PostgresCluster::start(settings)))).await
    }

    async fn create(cluster: impl FnOnce() -> Cluster + Send + 'static) -> Database {
        let create = || {
            let cluster = cluster();
            let name = postgres::fresh_database_name();
            cluster.create_database(&name);
            Database { cluster, name }
        };
        tokio::task::spawn_blocking(create).await.unwrap()
    }

    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Does something with the cluster.
    async fn with_cluster<T: Send + 'static>(&self, work: impl FnOnce(&PostgresCluster) -> T + Send + 'static) -> T {
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || work(&cluster)).await.unwrap()
    }

    /// Runs statements as the superuser and returns their rows.
    async fn sql(&self, sql: impl Into<String>) -> String {
        let (name, sql) = (self.name.clone(), sql.into());
        self.with_cluster(move |cluster| cluster.psql(&name, &sql)).await
    }

    /// Waits until a query has this result. The database tells nobody, so it is asked again and again.
    async fn wait_until(&self, query: &str, expected: &str) {
        let poll = async {
            while self.sql(query).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling a database
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("not {expected}: {query}"));
    }

    /// Ends the leases that match a condition, as their time would do within a minute. Returns how many there were.
    async fn end_leases(&self, condition: &str) -> usize {
        let now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let end = format!(
            "WITH ended AS (
                 UPDATE queue SET due_at = {now} WHERE lease_token IS NOT NULL AND {condition} RETURNING 1
             )
             SELECT count(*) FROM ended"
        );
        self.sql(end).await.parse().unwrap()
    }
}

/// Instances that share a database, each with a data folder of its own.
struct Fleet {
    database_url: String,
    folder: TempDir,
    programs: Vec<Option<Program>>,
}

impl Fleet {
    /// Starts so many, all at the same moment.
    async fn start(database: &Database, count: usize) -> Fleet {
        let mut fleet = Fleet {
            database_url: database.url(),
            folder: tempfile::tempdir().unwrap(),
            programs: (0..count).map(|_| None).collect(),
        };
        let starting = |index| {
            let start = start_program(fleet.database_url.clone(), fleet.data_folder(index));
            async move { (index, start.await) }
        };
        let mut starting: JoinSet<(usize, Program)> = (0..count).map(starting).collect();
        while let Some(started) = starting.join_next().await {
            let (index, program) = started.unwrap();
            fleet.programs[index] = Some(program);
        }
        fleet
    }

    /// The data folder of an instance, which stays when that is killed.
    fn data_folder(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("data-{index}"))
    }

    /// The instances that run.
    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter().flatten()
    }

    /// SIGKILL.
    async fn kill(&mut self, index: usize) {
        self.programs[index].take().expect("it runs").kill().await;
    }

    /// Starts an instance that was killed, with its data folder.
    async fn start_again(&mut self, index: usize) {
        self.programs[index] = Some(start_program(self.database_url.clone(), self.data_folder(index)).await);
    }

    /// Creates an endpoint and waits until every instance has heard of it. Returns its id.
    async fn create_endpoint(&self, body: Value) -> String {
        let first = self.programs().next().expect("an instance runs");
        let id = first.create_endpoint(body).await["id"].as_str().unwrap().to_owned();
        for program in self.programs() {
            // An empty key is refused by those that know the endpoint; nothing is stored.
            let url = ingest_url(program, &id);
            let poll = async {
                while program.post(&url, &[("idempotency-key", "")], "").await.status != 400 {
                    tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
                }
            };
            tokio::time::timeout(PATIENCE, poll).await.expect("every instance hears of a new endpoint");
        }
        id
    }

    /// Where the instances that run take webhooks in.
    fn ingest_urls(&self, endpoint_id: &str) -> Vec<Option<String>> {
        self.programs.iter().map(|program| Some(ingest_url(program.as_ref()?, endpoint_id))).collect()
    }

    /// Waits until every instance has written what it knows of attempts so far. It writes results in their order: when
    /// that of a last event is there, so are those before it.
    async fn wait_until_results_are_written(&self) {
        let destination = Destination::start(Behaviour::Ok(200)).await;
        let endpoint_id = self.create_endpoint(json!({"url": destination.url()})).await;
        for program in self.programs() {
            let answer = program.post(&ingest_url(program, &endpoint_id), &[], "last").await.expect(200).json();
            program.wait_for_status(answer["event_id"].as_str().unwrap(), "delivered").await;
        }
    }

    /// Waits until everything is delivered. A fault may leave leases behind that nobody knows of any more, such as those
    /// of a claim whose answer was lost; once nothing else is left, they are ended. Returns how many there were.
    async fn wait_until_delivered(&self, database: &Database) -> usize {
        database.wait_until("SELECT count(*) FROM queue WHERE lease_token IS NULL", "0").await;
        self.wait_until_results_are_written().await;
        let ended = database.end_leases("true").await;
        self[0].wait_until_nothing_is_undelivered().await;
        ended
    }

    /// SIGTERM to all; each has to end well.
    async fn terminate(self) {
        for program in self.programs.into_iter().flatten() {
            assert!(program.terminate().await.success());
        }
    }
}

impl Index<usize> for Fleet {
    type Output = Program;

    fn index(&self, index: usize) -> &Program {
        self.programs[index].as_ref().expect("it runs")
    }
}

fn ingest_url(program: &Program, endpoint_id: &str) -> String {
    format!("{}/ingest/{endpoint_id}", program.base)
}

async fn start_program(database_url: String, data_folder: PathBuf) -> Program {
    // One key for all that share a log.
    let key = SecretKey::generate("fleet.example/log", &SeededEntropy::new(1)).unwrap().to_text();
    let settings = [
        ("DATABASE_URL", database_url.as_str()),
        ("KAPSEL_ATTESTATION_KEY", key.expose_secret()),
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        // Long enough for every attempt of these tests but those that hang.
        ("KAPSEL_SHUTDOWN_SECONDS", "1"),
        // What these tests do is a reason for many warnings.
        ("RUST_LOG", "error"),
    ];
    Program::start_with(&data_folder, &settings).await
}
