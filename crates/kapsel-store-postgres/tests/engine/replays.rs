//! Steps of replays beside everything else that moves the same deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{Attempt, Endpoint, FinalReason, Outcome, ReplayState, ResponseHead, TenantId};
use kapsel_store::{
    AdminStore as _, ClaimRequest, ClaimedDelivery, DeliveryStore as _, EventFilter, LaneQuota, Replay, ReplayFilter,
    ReplayScan, ReplayStep, ReplayStore as _, Settlement, StoreError,
};
use kapsel_store_postgres::PostgresStore;
use test_harness::builders::leaf_of;
use test_harness::postgres::shared;

use crate::support::{World, migrated_database, open, options, psql};

const EVENTS: usize = 60;
const JOBS: usize = 6;

/// Claims what is due and settles it, in one way and the other, until told to stop and nothing is left.
async fn deliver(world: Arc<World>, store: PostgresStore, endpoint: Endpoint, is_over: Arc<AtomicBool>) {
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        let lanes = vec![LaneQuota::without_circuit(endpoint.id, 7)];
        let request = ClaimRequest { lease: world.lease(), lanes, body_bytes_max: usize::MAX };
        let claimed = store.delivery_claim_due(world.now(), request).await.unwrap();
        if claimed.is_empty() && was_over {
            return;
        }
        let settlements: Vec<_> = claimed.iter().map(|claimed| settlement(&world, claimed)).collect();
        store.delivery_settle_if_leased(world.now(), Arc::new(settlements)).await.unwrap();
    }
}

/// Queues one event after the other anew, as somebody would who clicks on each, until told to stop.
async fn retry(world: Arc<World>, store: PostgresStore, is_over: Arc<AtomicBool>) {
    let list = store.event_list(TenantId::DEFAULT, EventFilter::default(), EVENTS, world.now());
    let events = list.await.unwrap();
    for event in events.iter().cycle() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        match store.event_requeue(TenantId::DEFAULT, event.id, world.now()).await {
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// By turns: delivered, to be tried again, given up.
fn settlement(world: &World, claimed: &ClaimedDelivery) -> Settlement {
    let number = claimed.attempts_total + 1;
    let (next, status) = match (claimed.attempts_made, number % 3) {
        (0, 0) => (Next::RetryAt(world.now()), 503),
        (_, 1) => (Next::Failed(FinalReason::Refused), 404),
        _ => (Next::Delivered, 200),
    };
    let attempt = Attempt {
        id: world.ids.next(world.now()),
        delivery: claimed.delivery,
        number,
        url: "https://destination.example/hook".to_owned(),
        started_at: world.now(),
        duration: Duration::from_millis(1),
        outcome: Outcome::Response(ResponseHead { status, ..ResponseHead::default() }),
    };
    let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
    Settlement { lease: claimed.lease, attempt, decision: Decision { next, disable_endpoint: None }, leaf }
}

/// Makes the steps of a job to its end, beside others who try the same.
async fn replay(world: Arc<World>, store: PostgresStore, id: kapsel_core::ReplayId) -> Replay {
    loop {
        let replay = store.replay_get(TenantId::DEFAULT, id).await.unwrap();
        if replay.state != ReplayState::Running {
            return replay;
        }
        let Replay { tenant_id, filter, range, version, .. } = replay;
        let ReplayFilter { endpoint_id, statuses, .. } = filter;
        let scan = ReplayScan { tenant_id, endpoint_id, statuses, range, matches_max: 9, looks_max: 20 };
        let page = store.replay_scan(world.now(), scan).await.unwrap();
        let step = ReplayStep {
            tenant_id,
            id,
            expected_version: version,
            event_ids: page.event_ids,
            looked_up_to: page.looked_up_to,
            next_step_at: world.now(),
            is_last: page.is_end,
        };
        store.replay_advance_if_version(world.now(), step).await.unwrap();
    }
}

/// Two instances make the steps of several jobs over the same events while both deliver and somebody retries single ones.
/// Attempts are numbered one by one, nothing is queued and given up at once, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn steps_beside_claims_and_settlements_keep_every_delivery_whole() {
    let database = migrated_database().await;
    let options = options(shared(), &database);
    let instances = [open(&options).await.unwrap(), open(&options).await.unwrap()];
    let world = Arc::new(World::new());
    let endpoint = world.endpoint(&instances[0]).await;
    let batch = (0..EVENTS).map(|_| world.event(&endpoint)).collect();
    world.insert(&instances[0], batch).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let deliver = |store: &PostgresStore| {
        tokio::spawn(deliver(Arc::clone(&world), store.clone(), endpoint.clone(), Arc::clone(&is_over)))
    };
    let deliveries: Vec<_> = instances.iter().chain(&instances).map(deliver).collect();

    let is_enough = Arc::new(AtomicBool::new(false));
    let retry = |store: &PostgresStore| tokio::spawn(retry(Arc::clone(&world), store.clone(), Arc::clone(&is_enough)));
    let retries: Vec<_> = instances.iter().map(retry).collect();

    let mut steps = Vec::new();
    for _ in 0..JOBS {
        let job = world.replay(TenantId::DEFAULT);
        instances[0].replay_insert(job.clone()).await.unwrap();
        steps.extend(instances.iter().map(|store| tokio::spawn(replay(Arc::clone(&world), store.clone(), job.id))));
    }
    let mut replayed = 0;
    for step in steps {
        let replay = step.await.unwrap();
        assert!(replay.replayed_count + replay.skipped_count <= EVENTS as u64, "each event has its turn once");
        replayed += replay.replayed_count;
    }
    assert!(replayed > 0);
    is_enough.store(true, Ordering::SeqCst);
    for retry in retries {
        retry.await.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    for delivery in deliveries {
        delivery.await.unwrap();
    }

    let torn = "SELECT count(*) FROM queue JOIN outcomes USING (tenant_id, event_id, delivery_id)";
    assert_eq!(psql(&database, torn).await, "0");
    assert_eq!(psql(&database, "SELECT count(*) FROM queue").await, "0");
    let misnumbered = "SELECT count(*) FROM (
        SELECT 1 FROM delivery_attempts GROUP BY delivery_id HAVING count(*) <> max(number) OR min(number) <> 1
        OR count(DISTINCT number) <> count(*)
    ) bad";
    assert_eq!(psql(&database, misnumbered).await, "0");
    let tried = "SELECT count(DISTINCT delivery_id) FROM delivery_attempts";
    assert_eq!(psql(&database, tried).await, EVENTS.to_string());
    for store in instances {
        store.close().await;
    }
}
