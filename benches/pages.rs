//! What pages of `GET /v1/events` cost in a store with many events: the first one and the thousandth, newest first, of all
//! events, of one endpoint, of what is undelivered, and back.
//!
//! ```sh
//! cargo bench --bench pages                          # embedded engine, one million events
//! cargo bench --bench pages -- postgres://…/…        # PostgreSQL, an empty database
//! cargo bench --bench pages -- --events 5000000 [postgres://…/…]
//! ```
//!
//! One event in a hundred waits in the queue; the others are delivered. Pages have fifty events and are asked of the store as
//! the API asks it; what HTTP and JSON add is the same for each page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops at what it cannot do")]

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Clock as _, DeliveryRef, Endpoint, EndpointId, Entropy as _, EventId, IdGenerator, Lease, LeaseToken,
    Outcome, ResponseHead, SystemClock, SystemEntropy, TenantId,
};
use kapsel_store::{EventFilter, NewDelivery, NewEvent, Settlement, StatusSet, Store};
use kapsel_store_postgres::{PostgresOptions, PostgresStore};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};
use test_harness::builders::leaf_of;
use test_harness::{EndpointBuilder, EventBuilder};
use tokio::time::Instant;

const ENDPOINTS: usize = 100;
const BATCH: usize = 500;
/// Events in a page, and one that tells whether there is a next page.
const PAGE: usize = 50;
const DEEP_PAGE: usize = 1_000;
const TRIES: usize = 200;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.iter().find(|argument| argument.starts_with("postgres"));
    let events = arguments.iter().position(|argument| argument == "--events");
    let events: usize = events.map_or(1_000_000, |place| arguments[place + 1].parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = match url {
        None => Arc::new(SqliteStore::open(SqliteOptions::new(folder.path(), test_harness::sealer())).unwrap()),
        Some(url) => {
            let options = PostgresOptions::new(url.as_str(), test_harness::sealer());
            Arc::new(PostgresStore::open(&options, Arc::new(SystemEntropy), SystemClock.now()).await.unwrap())
        }
    };
    let bench = Bench { store, ids: IdGenerator::new(Arc::new(SystemEntropy)) };
    let endpoints = bench.fill(events).await;
    println!("{events} events, {ENDPOINTS} endpoints; pages of {PAGE}, {TRIES} times each");
    let all = EventFilter::default();
    let filters = [
        ("all", all),
        ("one endpoint", EventFilter { endpoint_id: Some(endpoints[7]), ..all }),
        ("undelivered", EventFilter { status: StatusSet::UNDELIVERED, ..all }),
    ];
    for (name, filter) in filters {
        bench.measure(&format!("{name}, page 1"), filter).await;
        let pages = if filter.endpoint_id.is_some() || !filter.status.is_all() { DEEP_PAGE / 10 } else { DEEP_PAGE };
        let Some(deep) = bench.cursor_of(filter, pages).await else { continue };
        bench.measure(&format!("{name}, page {pages}, by cursor"), EventFilter { before: Some(deep), ..filter }).await;
        bench.measure(&format!("{name}, back from page {pages}"), EventFilter { after: Some(deep), ..filter }).await;
    }
    let (began, rows) = (Instant::now(), DEEP_PAGE * 10);
    let numbered = bench.page(all, rows).await.len();
    println!("{:<32} {:>8.1} ms for the {numbered} rows up to it", "all, page 200, by number", millis(began.elapsed()));
}

struct Bench {
    store: Arc<dyn Store>,
    ids: IdGenerator,
}

impl Bench {
    async fn fill(&self, events: usize) -> Vec<EndpointId> {
        let mut endpoints = Vec::new();
        for _ in 0..ENDPOINTS {
            let now = SystemClock.now();
            let endpoint = EndpointBuilder::new(self.ids.next(now), "https://destination.example/", now).build();
            self.store.endpoint_insert(endpoint.clone()).await.unwrap();
            endpoints.push(endpoint);
        }
        for first in (0..events).step_by(BATCH) {
            self.batch(&endpoints, first, BATCH.min(events - first)).await;
        }
        endpoints.iter().map(|endpoint| endpoint.id).collect()
    }

    async fn batch(&self, endpoints: &[Endpoint], first: usize, count: usize) {
        let now = SystemClock.now();
        let token = LeaseToken(SystemEntropy.next_u64().cast_signed());
        let lease = Lease { owner: self.ids.next(now), token, until: now + Duration::from_secs(60) };
        let (mut batch, mut settlements) = (Vec::new(), Vec::new());
        for place in first..first + count {
            let endpoint = &endpoints[place % endpoints.len()];
            let event = EventBuilder::new(self.ids.next(now), endpoint, now).body(vec![b'x'; 256]).build();
            let delivery = DeliveryRef {
                id: self.ids.next(now),
                event_id: event.id,
                endpoint_id: endpoint.id,
                tenant_id: TenantId::DEFAULT,
            };
            let waits = (place / endpoints.len()).is_multiple_of(100);
            let lease = (!waits).then_some(lease);
            if let Some(lease) = lease {
                let outcome = Outcome::Response(ResponseHead { status: 200, ..ResponseHead::default() });
                let attempt = Attempt {
                    id: self.ids.next(now),
                    delivery,
                    number: 1,
                    url: "https://destination.example/".to_owned(),
                    started_at: now,
                    duration: Duration::from_millis(5),
                    outcome,
                };
                let leaf = leaf_of(&attempt, &event.body_sha256);
                let decision = Decision { next: Next::Delivered, disable_endpoint: None };
                settlements.push(Settlement { lease, attempt, decision, leaf });
            }
            let delivery = NewDelivery { id: delivery.id, endpoint_id: endpoint.id, lease, ended: None };
            batch.push(NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] });
        }
        self.store.event_insert_batch(now, Arc::new(batch)).await.unwrap();
        self.store.delivery_settle_if_leased(now, Arc::new(settlements)).await.unwrap();
    }

    async fn page(&self, filter: EventFilter, limit: usize) -> Vec<EventId> {
        let page = self.store.event_list(TenantId::DEFAULT, filter, limit, SystemClock.now()).await.unwrap();
        page.into_iter().map(|event| event.id).collect()
    }

    /// Where the page with this number begins.
    async fn cursor_of(&self, filter: EventFilter, number: usize) -> Option<EventId> {
        let rows = self.page(filter, (number - 1) * PAGE).await;
        (rows.len() == (number - 1) * PAGE).then(|| rows.last().copied()).flatten()
    }

    async fn measure(&self, name: &str, filter: EventFilter) {
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let began = Instant::now();
            assert_eq!(self.page(filter, PAGE + 1).await.len(), PAGE + 1, "{name}");
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let (p50, p99) = (times[TRIES / 2], times[TRIES * 99 / 100]);
        println!("{name:<32} p50 {:>7.2} ms   p99 {:>7.2} ms", millis(p50), millis(p99));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
