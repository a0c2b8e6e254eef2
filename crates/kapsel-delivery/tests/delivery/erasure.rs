//! Erasures: steps at their time, by whoever comes.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock as _, ErasureState, EventId, FinalReason, IdGenerator, Requester, SystemEntropy, TenantId};
use kapsel_delivery::ErasureRunner;
use kapsel_store::{
    AdminStore as _, Erasure, ErasureStore as _, ErasureSubject, IngestStore as _, MemoryStore, NewDelivery, NewEvent,
};
use test_harness::{EndpointBuilder, EventBuilder, TestClock};

struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<TestClock>,
    ids: IdGenerator,
}

impl Bench {
    /// A store with so many events that were given up.
    async fn with_events(count: usize) -> (Self, Vec<EventId>) {
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let bench = Bench { store: Arc::new(MemoryStore::new()), clock: Arc::new(TestClock::new()), ids };
        let now = bench.clock.now();
        let endpoint = EndpointBuilder::new(bench.ids.next(now), "https://destination.example/", now).build();
        bench.store.endpoint_insert(endpoint.clone()).await.unwrap();
        let event = |_| {
            let event = EventBuilder::new(bench.ids.next(now), &endpoint, now).build();
            let ended = Some(FinalReason::Refused);
            let delivery = NewDelivery { id: bench.ids.next(now), endpoint_id: endpoint.id, lease: None, ended };
            NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
        };
        let batch: Vec<_> = (0..count).map(event).collect();
        let events = batch.iter().map(|new| new.event.id).collect();
        bench.store.event_insert_batch(now, Arc::new(batch)).await.unwrap();
        (bench, events)
    }

    /// One instance's runner.
    fn runner(&self) -> ErasureRunner {
        ErasureRunner::new(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _, Arc::new(SystemEntropy))
    }

    async fn erase(&self, subject: ErasureSubject) -> Erasure {
        let now = self.clock.now();
        let erasure = Erasure::new(self.ids.next(now), TenantId::DEFAULT, subject, Requester::Operator, now);
        self.store.erasure_insert(erasure.clone()).await.unwrap();
        erasure
    }

    async fn stored(&self, erasure: &Erasure) -> Erasure {
        self.store.erasure_get(None, erasure.id).await.unwrap()
    }
}

#[tokio::test]
async fn one_event_is_one_step() {
    let (bench, events) = Bench::with_events(3).await;
    let erasure = bench.erase(ErasureSubject::Event(events[1])).await;
    let report = bench.runner().run_once().await.unwrap();
    assert_eq!((report.steps, report.erased, report.failed, report.next_step_at), (1, 1, 0, None));
    assert_eq!(bench.stored(&erasure).await.state, ErasureState::Completed);
    let erased = async |id| {
        bench.store.event_get(TenantId::DEFAULT, id, bench.clock.now()).await.unwrap().summary.erased_at.is_some()
    };
    assert_eq!((erased(events[0]).await, erased(events[1]).await, erased(events[2]).await), (false, true, false));
    let report = bench.runner().run_once().await.unwrap();
    assert_eq!((report.steps, report.next_step_at), (0, None), "nothing is left to do");
}

/// Two instances take turns, and each starts anew after every step: where a job stands is in the store alone.
#[tokio::test]
async fn a_tenant_is_finished_by_whoever_comes() {
    let (bench, events) = Bench::with_events(450).await;
    let erasure = bench.erase(ErasureSubject::TenantBefore(EventId::MAX)).await;
    let mut steps = 0;
    loop {
        let (one, other) = (bench.runner(), bench.runner());
        let (one, other) = tokio::join!(one.run_once(), other.run_once());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.erased <= 100 && other.erased <= 100, "steps are short");
        steps += one.steps + other.steps;
        let job = bench.stored(&erasure).await;
        if job.state == ErasureState::Completed {
            assert_eq!(job.erased_count, events.len() as u64, "each counts once");
            assert!(job.completed_at.unwrap() >= job.created_at + Duration::from_secs(60));
            break;
        }
        bench.clock.advance(job.next_step_at.saturating_since(bench.clock.now()));
    }
    assert!(steps >= 10, "{steps}");
}
