//! Replays: steps at their time, by whoever comes, whatever the store answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::{
    Clock as _, DeliveryState, Endpoint, EventId, FinalReason, IdGenerator, ReplayId, ReplayState, SystemEntropy,
    TenantId, Timestamp,
};
use kapsel_delivery::{ReplayReport, ReplayRunner};
use kapsel_store::{
    AdminStore as _, DueReplays, EventFilter, IngestStore as _, MemoryStore, NewDelivery, NewEvent, Replay,
    ReplayCount, ReplayFilter, ReplayPage, ReplayScan, ReplayStep, ReplayStore, StatusSet, StoreError,
};
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use crate::world::{Reply, World};

/// What goes wrong with the next step.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is not made.
    BeforeCommit,
    /// It is made, but the caller is told that it failed.
    AfterCommit,
}

/// The memory engine, whose steps fail on command.
struct Faulty {
    inner: MemoryStore,
    faults: Mutex<Vec<Fault>>,
    /// Steps of this tenant always fail.
    unlucky: Mutex<Option<TenantId>>,
}

#[async_trait]
impl ReplayStore for Faulty {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        self.inner.replay_insert(replay).await
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        self.inner.replay_get(tenant_id, id).await
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        self.inner.replay_list(tenant_id, before, limit).await
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        self.inner.replay_set_state_if_version(now, tenant_id, id, state, expected_version).await
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        self.inner.replay_due(now, limit).await
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        self.inner.replay_scan(now, scan).await
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        let unavailable = || Err(StoreError::unavailable("scripted", "scripted fault"));
        if *self.unlucky.lock().unwrap() == Some(step.tenant_id) {
            return unavailable();
        }
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            None => self.inner.replay_advance_if_version(now, step).await,
            Some(Fault::BeforeCommit) => unavailable(),
            Some(Fault::AfterCommit) => {
                self.inner.replay_advance_if_version(now, step).await.unwrap();
                unavailable()
            }
        }
    }
}

/// A store with events that were given up, and a clock.
struct Bench {
    store: Arc<Faulty>,
    clock: Arc<TestClock>,
    ids: IdGenerator,
    wakes: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        let inner = MemoryStore::new();
        let store = Arc::new(Faulty { inner, faults: Mutex::default(), unlucky: Mutex::default() });
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        Bench { store, clock: Arc::new(TestClock::new()), ids, wakes: Arc::default() }
    }

    /// One instance's runner.
    fn runner(&self) -> ReplayRunner {
        let wakes = Arc::clone(&self.wakes);
        let wake = Arc::new(move || {
            wakes.fetch_add(1, Ordering::SeqCst);
        });
        ReplayRunner::new(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _, Arc::new(SystemEntropy), wake)
    }

    /// An endpoint of `tenant_id` with so many events that were given up.
    async fn given_up(&self, tenant_id: TenantId, count: usize) -> Vec<EventId> {
        let now = self.clock.now();
        let endpoint = EndpointBuilder::new(self.ids.next(now), "https://destination.example/", now).build();
        let endpoint = Endpoint { tenant_id, ..endpoint };
        self.store.inner.endpoint_insert(endpoint.clone()).await.unwrap();
        let event = |_| {
            let event = EventBuilder::new(self.ids.next(now), &endpoint, now).build();
            let ended = Some(FinalReason::Refused);
            let delivery = NewDelivery { id: self.ids.next(now), endpoint_id: endpoint.id, lease: None, ended };
            NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
        };
        let batch: Vec<_> = (0..count).map(event).collect();
        let ids = batch.iter().map(|new| new.event.id).collect();
        self.store.inner.event_insert_batch(now, Arc::new(batch)).await.unwrap();
        ids
    }

    async fn replay(&self, tenant_id: TenantId, rate_per_second: u32) -> Replay {
        let now = self.clock.now();
        let replay = replay_of(&self.ids, now, tenant_id, rate_per_second);
        self.store.replay_insert(replay.clone()).await.unwrap();
        replay
    }

    async fn stored(&self, replay: &Replay) -> Replay {
        self.store.replay_get(replay.tenant_id, replay.id).await.unwrap()
    }

    /// The queued events of a tenant, oldest first.
    async fn queued(&self, tenant_id: TenantId) -> Vec<EventId> {
        let filter = EventFilter { status: StatusSet::only(DeliveryState::Received), ..EventFilter::default() };
        let mut events = self.store.inner.event_list(tenant_id, filter, 10_000, self.clock.now()).await.unwrap();
        events.reverse();
        events.iter().map(|event| event.id).collect()
    }
}

fn replay_of(ids: &IdGenerator, now: Timestamp, tenant_id: TenantId, rate_per_second: u32) -> Replay {
    let statuses = StatusSet::only(DeliveryState::Failed);
    let filter = ReplayFilter { endpoint_id: None, statuses, since: None, until: None };
    Replay {
        id: ids.next(now),
        tenant_id,
        filter,
        range: filter.range(EventId::MAX),
        rate_per_second,
        state: ReplayState::Running,
        matched: ReplayCount::default(),
        replayed_count: 0,
        skipped_count: 0,
        next_step_at: now,
        created_at: now,
        updated_at: now,
        completed_at: None,
        version: 1,
    }
}

const TENANT: TenantId = TenantId::DEFAULT;

#[tokio::test]
async fn steps_are_made_at_their_time_and_no_sooner() {
    let bench = Bench::new();
    let ids = bench.given_up(TENANT, 5).await;
    let replay = bench.replay(TENANT, 4).await;
    let runner = bench.runner();
    for expected in [2, 4, 5] {
        let report = runner.run_once().await.unwrap();
        assert_eq!(report.steps, 1);
        assert_eq!(bench.queued(TENANT).await, ids[..expected], "the oldest first");
        if expected < 5 {
            assert_eq!(report.next_step_at, Some(bench.clock.now() + Duration::from_millis(500)));
            bench.clock.advance(Duration::from_millis(499));
            let early = runner.run_once().await.unwrap();
            assert_eq!((early.steps, early.next_step_at), (0, report.next_step_at));
            bench.clock.advance(Duration::from_millis(1));
        }
    }
    let done = bench.stored(&replay).await;
    assert_eq!((done.state, done.replayed_count, done.skipped_count), (ReplayState::Completed, 5, 0));
    assert_eq!(done.completed_at, Some(bench.clock.now()));
    assert_eq!(bench.wakes.load(Ordering::SeqCst), 3);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(runner.run_once().await.unwrap(), ReplayReport::default());
}

#[tokio::test]
async fn a_replay_of_nothing_ends_at_once_and_wakes_nobody() {
    let bench = Bench::new();
    let replay = bench.replay(TENANT, 100).await;
    let report = bench.runner().run_once().await.unwrap();
    assert_eq!(report, ReplayReport { steps: 1, ..ReplayReport::default() });
    assert_eq!(bench.stored(&replay).await.state, ReplayState::Completed);
    assert_eq!(bench.wakes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_step_whose_answer_was_lost_is_neither_repeated_nor_left_out() {
    let bench = Bench::new();
    let ids = bench.given_up(TENANT, 20).await;
    let replay = bench.replay(TENANT, 4).await;
    *bench.store.faults.lock().unwrap() =
        vec![Fault::AfterCommit, Fault::BeforeCommit, Fault::AfterCommit, Fault::AfterCommit, Fault::BeforeCommit];
    let runner = bench.runner();
    let (mut runs, mut failed) = (0, 0);
    while bench.stored(&replay).await.state == ReplayState::Running {
        failed += runner.run_once().await.unwrap().failed;
        bench.clock.advance(Duration::from_millis(500));
        runs += 1;
    }
    assert_eq!((runs, failed), (12, 5), "ten steps, two of which had to be made anew");
    assert_eq!(bench.queued(TENANT).await, ids);
    assert_eq!(bench.stored(&replay).await.replayed_count, 20);
}

#[tokio::test]
async fn any_instance_makes_the_next_step_and_none_makes_it_twice() {
    let bench = Bench::new();
    let ids = bench.given_up(TENANT, 40).await;
    let replay = bench.replay(TENANT, 4).await;
    let runners = [bench.runner(), bench.runner(), bench.runner()];
    let mut steps = 0;
    while bench.stored(&replay).await.state == ReplayState::Running {
        // All of them read before any of them writes.
        let [one, two, three] = [&runners[0], &runners[1], &runners[2]].map(ReplayRunner::run_once);
        let (one, two, three) = tokio::join!(one, two, three);
        let made = [one, two, three].map(|report| report.unwrap().steps).iter().sum::<usize>();
        assert_eq!(made, 1, "the rate holds over all of them");
        steps += made;
        bench.clock.advance(Duration::from_millis(500));
    }
    assert_eq!(steps, 20);
    assert_eq!(bench.queued(TENANT).await, ids);
}

#[tokio::test]
async fn a_paused_replay_stands_still_and_goes_on_where_it_was() {
    let bench = Bench::new();
    let ids = bench.given_up(TENANT, 10).await;
    let replay = bench.replay(TENANT, 4).await;
    let runner = bench.runner();
    runner.run_once().await.unwrap();
    let set = async |state| {
        let version = bench.stored(&replay).await.version;
        let set = bench.store.replay_set_state_if_version(bench.clock.now(), TENANT, replay.id, state, version);
        set.await.unwrap();
    };
    set(ReplayState::Paused).await;
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(runner.run_once().await.unwrap(), ReplayReport::default());
    assert_eq!(bench.queued(TENANT).await, ids[..2]);

    // It does not make up for the hour.
    set(ReplayState::Running).await;
    for _ in 0..10 {
        runner.run_once().await.unwrap();
    }
    assert_eq!(bench.queued(TENANT).await, ids[..6]);
    set(ReplayState::Cancelled).await;
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(runner.run_once().await.unwrap(), ReplayReport::default());
    assert_eq!(bench.queued(TENANT).await, ids[..6]);
}

#[tokio::test]
async fn a_replay_that_fails_holds_up_no_other() {
    let bench = Bench::new();
    let (unlucky, lucky): (TenantId, TenantId) = (bench.ids.next(bench.clock.now()), bench.ids.next(bench.clock.now()));
    let mut ids = Vec::new();
    for tenant_id in [unlucky, lucky] {
        ids.push(bench.given_up(tenant_id, 3).await);
        bench.replay(tenant_id, 100).await;
    }
    *bench.store.unlucky.lock().unwrap() = Some(unlucky);
    let runner = bench.runner();
    let report = runner.run_once().await.unwrap();
    assert_eq!((report.steps, report.failed, report.replayed), (1, 1, 3));
    assert_eq!(bench.queued(lucky).await, ids[1]);
    assert_eq!(bench.queued(unlucky).await, []);
    *bench.store.unlucky.lock().unwrap() = None;
    runner.run_once().await.unwrap();
    assert_eq!(bench.queued(unlucky).await, ids[0]);
}

/// Few events that fit among many that do not: the job goes on in short looks and takes no time for them.
#[tokio::test]
async fn events_that_do_not_fit_cost_looks_and_no_time() {
    let bench = Bench::new();
    let others: TenantId = bench.ids.next(bench.clock.now());
    bench.given_up(others, 10).await;
    let first = bench.given_up(TENANT, 1_000).await;
    let endpoint_id = {
        let all = bench.store.inner.endpoint_list(TENANT, None, 10).await.unwrap();
        assert_eq!(bench.given_up(TENANT, 3).await.len(), 3);
        let now = bench.store.inner.endpoint_list(TENANT, None, 10).await.unwrap();
        now.iter().find(|endpoint| !all.contains(endpoint)).unwrap().id
    };
    let mut replay = replay_of(&bench.ids, bench.clock.now(), TENANT, 1);
    replay.filter.endpoint_id = Some(endpoint_id);
    bench.store.replay_insert(replay.clone()).await.unwrap();
    let runner = bench.runner();
    let mut steps = 0;
    while bench.queued(TENANT).await.is_empty() {
        assert_eq!(runner.run_once().await.unwrap().steps, 1);
        steps += 1;
    }
    assert!((2..=first.len() / 100 + 1).contains(&steps), "{steps}");
}

/// The whole way, with time that only passes when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn what_failed_arrives_at_the_rate_once_the_destination_is_well() {
    let world = World::new().await;
    world.transport.script(|_, _| Reply::Status(404));
    let endpoint = world.endpoint("a", |_| {}).await;
    let ids = world.queue(&endpoint, 100).await;
    let dispatcher = world.run();
    world.store.wait_for_written(100).await;

    world.transport.script(|_, _| Reply::Status(200));
    let store = Arc::clone(&world.store.inner);
    let generator = IdGenerator::new(Arc::new(SystemEntropy));
    let replay = replay_of(&generator, world.now(), TENANT, 20);
    store.replay_insert(replay.clone()).await.unwrap();
    let begin = world.now();
    let runner = ReplayRunner::new(
        Arc::clone(&store) as _,
        Arc::clone(&world.clock),
        Arc::new(SeededEntropy::new(1)),
        world.dispatcher.waker(),
    );
    let runner = tokio::spawn(async move { runner.run(std::future::pending()).await });
    world.store.wait_for_written(200).await;
    let took = world.now().saturating_since(begin);
    // Ten steps of ten events, half a second apart, the first of them at once.
    let expected = Duration::from_millis(4_000)..Duration::from_millis(5_500);
    assert!(expected.contains(&took), "{took:?}");

    let done = store.replay_get(TENANT, replay.id).await.unwrap();
    assert_eq!((done.state, done.replayed_count, done.skipped_count), (ReplayState::Completed, 100, 0));
    for id in ids {
        let event = world.event(id).await;
        assert_eq!(event.summary.status, DeliveryState::Delivered);
        assert_eq!(event.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    }
    runner.abort();
    dispatcher.abort();
}
