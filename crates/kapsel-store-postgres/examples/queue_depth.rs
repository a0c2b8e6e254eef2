//! Whether a long queue of one endpoint slows everybody else:
//!
//! ```text
//! cargo run --release -p kapsel-store-postgres --example queue_depth -- URL_OF_ONE URL_OF_OTHER [rounds] [rows] [seconds]
//! ```
//!
//! Two empty databases of one server. Both have 1,000 healthy endpoints; the second has `rows` deliveries queued for two
//! more, half of them behind one that is disabled and half behind one that is enabled and due but has no room (as a dead
//! one whose requests hang). In turn, each gets the same work for `seconds`: events are stored as due for the healthy
//! endpoints, found by a look over all lanes, claimed, and settled as delivered. Then the same again while another session
//! holds a snapshot that keeps dead rows from being removed. Medians over the rounds are compared. It asserts nothing.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement that fails may stop")]

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::endpoint::DisabledReason;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Clock as _, Endpoint, EndpointId, EndpointStatus, Entropy as _, IdGenerator, InstanceId, Lease,
    LeaseToken, Outcome, ResponseHead, SystemClock, SystemEntropy,
};
use kapsel_store::{
    AdminStore as _, ClaimRequest, DeliveryStore as _, IngestStore as _, LaneQuota, NewDelivery, NewEvent, Settlement,
};
use kapsel_store_postgres::{PostgresOptions, PostgresStore};
use test_harness::builders::leaf_of;
use test_harness::{EndpointBuilder, EventBuilder};
use tokio::time::Instant;

const HEALTHY: usize = 1_000;
const BATCH: usize = 100;

fn argument<T: std::str::FromStr>(place: usize, default: T) -> T {
    std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct World {
    store: PostgresStore,
    ids: IdGenerator,
    healthy: Vec<Endpoint>,
    instance: InstanceId,
}

/// One round on one database.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    scan_p50: Duration,
    claim_p50: Duration,
}

#[tokio::main]
async fn main() {
    let urls: Vec<String> = (1..=2).map(|place| std::env::args().nth(place).expect("two URLs")).collect();
    let rounds: usize = argument(3, 5);
    let rows: usize = argument(4, 1_000_000);
    let time = Duration::from_secs(argument(5, 5));
    let (short, long) = (World::new(&urls[0]).await, World::new(&urls[1]).await);
    let begin = Instant::now();
    long.fill(rows).await;
    println!("{rows} deliveries queued in {:?}; {rounds} rounds of {time:?} each", begin.elapsed());
    for (url, name) in urls.iter().zip(["short", "long"]) {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("VACUUM ANALYZE queue").await.unwrap();
        println!("{name} queue vacuumed");
    }
    compare("alone", &short, &long, rounds, time).await;

    // In both databases: a snapshot holds back the dead rows of its own database.
    let mut holders = Vec::new();
    for url in &urls {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pulse").await.unwrap();
        holders.push(client);
    }
    compare("beside a long snapshot", &short, &long, rounds, time).await;
}

/// The name of a figure, and where it stands in a round.
type Figure = (&'static str, fn(&Round) -> f64);

async fn compare(name: &str, short: &World, long: &World, rounds: usize, time: Duration) {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(short.round(time).await);
        with.push(long.round(time).await);
    }
    let median = |rounds: &[Round], of: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("{name}:");
    let figures: [Figure; 3] = [
        ("deliveries per second", |round| round.rate),
        ("look over the lanes, p50 in µs", |round| round.scan_p50.as_secs_f64() * 1e6),
        ("claim of 100, p50 in µs", |round| round.claim_p50.as_secs_f64() * 1e6),
    ];
    for (figure, of) in figures {
        let (short, long) = (median(&without, of), median(&with, of));
        println!("  {figure:32} short queue {short:9.0}, long queue {long:9.0}, ratio {:.3}", long / short);
    }
}

impl World {
    async fn new(url: &str) -> Self {
        let store = PostgresStore::open(
            &PostgresOptions::new(url, test_harness::sealer()),
            Arc::new(SystemEntropy),
            SystemClock.now(),
        )
        .await
        .unwrap();
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let instance = ids.next(SystemClock.now());
        let mut world = World { store, ids, healthy: Vec::new(), instance };
        for _ in 0..HEALTHY {
            let endpoint = world.endpoint().await;
            world.healthy.push(endpoint);
        }
        world
    }

    async fn endpoint(&self) -> Endpoint {
        let now = SystemClock.now();
        let id: EndpointId = self.ids.next(now);
        let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", now).build();
        self.store.endpoint_insert(endpoint.clone()).await.unwrap();
        endpoint
    }

    /// Queues `rows` deliveries, half of them for a disabled endpoint.
    async fn fill(&self, rows: usize) {
        let (paused, dead) = (self.endpoint().await, self.endpoint().await);
        let version = paused.version;
        let disabled = EndpointStatus::Disabled(DisabledReason::Manual);
        let changed = Endpoint { status: disabled, version: version + 1, ..paused.clone() };
        self.store.endpoint_update_if_version(changed, version).await.unwrap();
        for step in 0..rows / 500 {
            let endpoint = if step % 2 == 0 { &paused } else { &dead };
            self.insert((0..500).map(|_| endpoint)).await;
        }
    }

    async fn insert(&self, endpoints: impl Iterator<Item = &Endpoint>) {
        let now = SystemClock.now();
        let batch = endpoints.map(|endpoint| {
            let event = EventBuilder::new(self.ids.next(now), endpoint, now).body("{}").build();
            let delivery = NewDelivery { id: self.ids.next(now), endpoint_id: endpoint.id, lease: None, ended: None };
            NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
        });
        self.store.event_insert_batch(now, Arc::new(batch.collect())).await.unwrap();
    }

    /// Works for `time`.
    async fn round(&self, time: Duration) -> Round {
        let healthy: std::collections::HashSet<EndpointId> = self.healthy.iter().map(|endpoint| endpoint.id).collect();
        let (mut scans, mut claims) = (Vec::new(), Vec::new());
        let mut delivered = 0;
        let begin = Instant::now();
        while begin.elapsed() < time {
            let first = usize::try_from(SystemEntropy.next_u64() % HEALTHY as u64).unwrap();
            self.insert((0..BATCH).map(|step| &self.healthy[(first + step * 7) % HEALTHY])).await;
            let now = SystemClock.now();
            let at = Instant::now();
            let scan = self.store.lane_scan(now, self.instance, None, HEALTHY + 10).await.unwrap();
            scans.push(at.elapsed());
            let due = scan.due.iter().filter(|lane| healthy.contains(&lane.endpoint_id));
            let lanes = due.map(|lane| LaneQuota::without_circuit(lane.endpoint_id, 8)).collect();
            let token = LeaseToken(SystemEntropy.next_u64().cast_signed());
            let lease = Lease { owner: self.instance, token, until: now + Duration::from_secs(60) };
            let at = Instant::now();
            let request = ClaimRequest { lease, lanes, body_bytes_max: usize::MAX };
            let claimed = self.store.delivery_claim_due(now, request).await.unwrap();
            claims.push(at.elapsed());
            delivered += claimed.len();
            let settlements = claimed.into_iter().map(|claimed| {
                let attempt = Attempt {
                    id: self.ids.next(now),
                    delivery: claimed.delivery,
                    number: claimed.attempts_total + 1,
                    url: "https://destination.example/hook".to_owned(),
                    started_at: now,
                    duration: Duration::from_millis(3),
                    outcome: Outcome::Response(ResponseHead { status: 200, ..ResponseHead::default() }),
                };
                let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
                Settlement {
                    lease,
                    attempt,
                    decision: Decision { next: Next::Delivered, disable_endpoint: None },
                    leaf,
                }
            });
            self.store.delivery_settle_if_leased(now, Arc::new(settlements.collect())).await.unwrap();
        }
        let rate = delivered as f64 / begin.elapsed().as_secs_f64();
        let p50 = |waits: &mut Vec<Duration>| {
            waits.sort_unstable();
            waits[waits.len() / 2]
        };
        Round { rate, scan_p50: p50(&mut scans), claim_p50: p50(&mut claims) }
    }
}
