//! Retention: whose events go when, in which order, and when a sweep is through.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock as _, FinalReason, IdGenerator, SystemEntropy, Tenant, TenantId, TenantLimits};
use kapsel_delivery::{RetentionReport, RetentionRunner, SharedTerms};
use kapsel_store::{
    AdminStore as _, EventFilter, IngestStore as _, MemoryStore, NewDelivery, NewEvent, Retention, TenantStore as _,
};
use test_harness::{EndpointBuilder, EventBuilder, TestClock};

const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<TestClock>,
    ids: IdGenerator,
}

impl Bench {
    fn new() -> Self {
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        Bench { store: Arc::new(MemoryStore::new()), clock: Arc::new(TestClock::new()), ids }
    }

    fn runner(&self, shared_terms: SharedTerms) -> RetentionRunner {
        let (store, tenants) = (Arc::clone(&self.store) as _, Arc::clone(&self.store) as _);
        let clock = Arc::clone(&self.clock) as _;
        RetentionRunner::new(store, tenants, clock, Arc::new(SystemEntropy), Retention::default(), shared_terms)
    }

    /// A tenant that keeps events for so many days, with as many events that were given up.
    async fn tenant(&self, event_retention_days: Option<u32>, events: usize) -> TenantId {
        let now = self.clock.now();
        let mut tenant = Tenant { id: self.ids.next(now), ..Tenant::default_at(now) };
        tenant.config.own_limits = TenantLimits { event_retention_days, ..TenantLimits::default() };
        self.store.tenant_insert(tenant.clone()).await.unwrap();
        let url = "https://destination.example/";
        let endpoint = EndpointBuilder::new(self.ids.next(now), url, now).tenant(tenant.id).build();
        self.store.endpoint_insert(endpoint.clone()).await.unwrap();
        let event = |_| {
            let event = EventBuilder::new(self.ids.next(now), &endpoint, now).build();
            let ended = Some(FinalReason::Refused);
            let delivery = NewDelivery { id: self.ids.next(now), endpoint_id: endpoint.id, lease: None, ended };
            NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
        };
        let batch: Vec<_> = (0..events).map(event).collect();
        self.store.event_insert_batch(now, Arc::new(batch)).await.unwrap();
        tenant.id
    }

    async fn events(&self, tenant_id: TenantId) -> usize {
        let filter = EventFilter::default();
        self.store.event_list(tenant_id, filter, 10_000, self.clock.now()).await.unwrap().len()
    }
}

/// Runs until the sweep is through. Returns of how many events something was removed, and the most in one run.
async fn sweep(runner: &RetentionRunner) -> (usize, usize) {
    let (mut removed, mut most) = (0, 0);
    loop {
        let report = runner.run_once().await.unwrap();
        removed += report.removed;
        most = most.max(report.removed);
        if !report.has_more {
            return (removed, most);
        }
    }
}

#[tokio::test]
async fn each_tenant_keeps_what_its_limits_say() {
    let bench = Bench::new();
    let (short, long) = (bench.tenant(Some(7), 3).await, bench.tenant(None, 3).await);
    let deleted = bench.tenant(None, 3).await;
    bench.store.tenant_delete(deleted, bench.clock.now()).await.unwrap();
    let runner = bench.runner(SharedTerms::RowByRow);
    assert_eq!(sweep(&runner).await, (0, 0));
    bench.clock.advance(DAY * 8);
    assert_eq!(sweep(&runner).await.0, 3);
    assert_eq!((bench.events(short).await, bench.events(long).await, bench.events(deleted).await), (0, 3, 3));
    bench.clock.advance(DAY * 23);
    assert_eq!(sweep(&runner).await.0, 6, "what was deleted goes as well");
    assert_eq!((bench.events(long).await, bench.events(deleted).await), (0, 0));
    bench.clock.advance(DAY * 60);
    assert_eq!(sweep(&runner).await.0, 9, "and at last what happened to them");
    assert_eq!(sweep(&runner).await, (0, 0));
}

#[tokio::test]
async fn an_engine_that_drops_partitions_is_left_to_it() {
    let bench = Bench::new();
    let (short, long) = (bench.tenant(Some(7), 3).await, bench.tenant(Some(100), 3).await);
    let runner = bench.runner(SharedTerms::OfTheEngine);
    bench.clock.advance(DAY * 200);
    assert_eq!(sweep(&runner).await.0, 3);
    assert_eq!((bench.events(short).await, bench.events(long).await), (0, 3));
}

#[tokio::test]
async fn runs_are_short_and_go_on() {
    let bench = Bench::new();
    let tenant_id = bench.tenant(None, 1_000).await;
    let runner = bench.runner(SharedTerms::RowByRow);
    bench.clock.advance(DAY * 31);
    let (removed, most) = sweep(&runner).await;
    assert_eq!(removed, 1_000);
    assert!(most <= 200, "{most} in one run");
    assert_eq!(bench.events(tenant_id).await, 0);
    assert_eq!(runner.run_once().await.unwrap(), RetentionReport { removed: 0, has_more: false });
}
