//! Load on one or more instances, with a list of what was acknowledged that no kill can touch, and the comparison of
//! that list with what arrived.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use test_harness::destination::Received;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::program::{Answer, HttpClient, PATIENCE, http_client, post_request, send};

/// How long a sender waits for an answer. The client library now and then never notices that its connection is gone.
/// What a sender waited for was not acknowledged, so nothing is lost by asking again.
const SENDER_PATIENCE: Duration = Duration::from_secs(10);

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

/// Senders at work.
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    ledger: Ledger,
    targets: watch::Sender<Targets>,
    numbers: AtomicU64,
    acknowledged: watch::Sender<usize>,
    /// The first answer with 503.
    refusal: watch::Sender<Option<Arc<Answer>>>,
}

struct Targets {
    /// The ingest URL of each instance; none while it is down.
    urls: Vec<Option<String>>,
    is_stopped: bool,
}

impl Load {
    /// Starts so many senders, with the ledger in `folder`. Each sends one webhook after the other, with an idempotency
    /// key: to one instance, and after an error or a 503 to the next one that is up, until it is acknowledged. Any other
    /// answer fails the test.
    pub fn start(senders: usize, folder: &Path, urls: Vec<Option<String>>) -> Load {
        let shared = Arc::new(Shared {
            ledger: Ledger::create(folder),
            targets: watch::Sender::new(Targets { urls, is_stopped: false }),
            numbers: AtomicU64::new(0),
            acknowledged: watch::Sender::new(0),
            refusal: watch::Sender::new(None),
        });
        let sender = |turn| {
            let shared = Arc::clone(&shared);
            async move { shared.send_until_stopped(turn).await }
        };
        let senders = (0..senders).map(sender).collect();
        Load { shared, senders }
    }

    /// Says where the instance `index` takes webhooks in from now on; `None` that it is down.
    pub fn set_target(&self, index: usize, url: Option<String>) {
        self.shared.targets.send_modify(|targets| targets.urls[index] = url);
    }

    /// Waits until `count` more webhooks are acknowledged.
    pub async fn wait_for_more(&self, count: usize) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let goal = *acknowledged.borrow() + count;
        let reached = acknowledged.wait_for(|acknowledged| *acknowledged >= goal);
        tokio::time::timeout(PATIENCE, reached).await.expect("webhooks are taken in").unwrap();
    }

    /// Waits until a sender was answered with 503, and returns that answer.
    pub async fn wait_for_refusal(&self) -> Arc<Answer> {
        let mut refusal = self.shared.refusal.subscribe();
        let refused = refusal.wait_for(Option::is_some);
        tokio::time::timeout(PATIENCE, refused).await.expect("a sender is refused").unwrap().clone().unwrap()
    }

    /// Has the senders end and returns the ids of all acknowledged events.
    pub async fn stop(mut self) -> HashSet<String> {
        self.shared.targets.send_modify(|targets| targets.is_stopped = true);
        while let Some(ended) = self.senders.join_next().await {
            ended.expect("a sender got no unexpected answer");
        }
        self.shared.ledger.read()
    }
}

impl Shared {
    async fn send_until_stopped(&self, mut turn: usize) {
        let client = http_client();
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let body = format!(r#"{{"number":{number},"padding":"{}"}}"#, "x".repeat(900));
            let key = format!("key-{number}");
            loop {
                let Some(url) = self.target(turn).await else { return };
                let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
                if self.send(&client, post_request(&url, &headers, body.clone())).await {
                    break;
                }
                turn += 1;
            }
        }
    }

    /// The instance whose turn it is, or the next one that is up; `None` when the senders are to end. Waits while all
    /// are down.
    async fn target(&self, turn: usize) -> Option<String> {
        let mut targets = self.targets.subscribe();
        let is_known = |targets: &Targets| targets.is_stopped || targets.urls.iter().any(Option::is_some);
        let targets = targets.wait_for(|targets| is_known(targets)).await.unwrap();
        let count = targets.urls.len();
        let mut round = (0..count).filter_map(|step| targets.urls[(turn + step) % count].clone());
        if targets.is_stopped { None } else { round.next() }
    }

    /// Whether a webhook was acknowledged.
    async fn send(&self, client: &HttpClient, request: Request<Full<Bytes>>) -> bool {
        // After an error it is not known whether the event was stored; the key makes it safe to ask again.
        let Ok(Ok(answer)) = tokio::time::timeout(SENDER_PATIENCE, send(client, request)).await else { return false };
        if answer.status == 200 {
            self.ledger.note(answer.json()["event_id"].as_str().unwrap());
            self.acknowledged.send_modify(|acknowledged| *acknowledged += 1);
            return true;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        let answer = Arc::new(answer);
        self.refusal.send_if_modified(|first| first.is_none() && first.replace(answer).is_none());
        false
    }
}

/// What became of acknowledged events.
pub struct Tally {
    acknowledged: usize,
    /// How many different events arrived.
    distinct: usize,
    duplicates: usize,
    /// Acknowledged and never arrived.
    lost: Vec<String>,
    /// Webhooks, by their number, that were taken for two events although they had one key.
    split: Vec<u64>,
}

impl Tally {
    /// Compares what a load was acknowledged with what arrived.
    pub fn of(acknowledged: &HashSet<String>, arrived: &[Received]) -> Tally {
        let mut numbers: HashMap<String, u64> = HashMap::new();
        for request in arrived {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            numbers.insert(request.header("webhook-id").unwrap().to_owned(), body["number"].as_u64().unwrap());
        }
        let mut seen = HashSet::new();
        Tally {
            acknowledged: acknowledged.len(),
            distinct: numbers.len(),
            duplicates: arrived.len() - numbers.len(),
            lost: acknowledged.iter().filter(|id| !numbers.contains_key(*id)).cloned().collect(),
            split: numbers.into_values().filter(|number| !seen.insert(*number)).collect(),
        }
    }

    /// Fails the test unless there was load and everything acknowledged arrived, as one event for each key.
    pub fn check(&self, acknowledged_min: usize) {
        assert!(self.acknowledged >= acknowledged_min, "there was load: {self}");
        assert!(self.lost.is_empty(), "lost: {:?}", self.lost);
        assert!(self.split.is_empty(), "one key, two events: {:?}", self.split);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { acknowledged, distinct, duplicates, lost, split } = self;
        let (lost, split) = (lost.len(), split.len());
        write!(f, "{acknowledged} acknowledged, {distinct} distinct arrived, {duplicates} duplicates, {lost} lost")?;
        write!(f, ", {split} keys with two events")
    }
}
