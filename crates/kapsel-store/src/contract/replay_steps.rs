//! Replays: making steps.

use std::time::Duration;

use kapsel_core::{DeliveryRef, DeliveryState, EventId, FinalReason, ReplayState, TenantId};
use test_harness::EventBuilder;

use super::replay::{ANY, scan_of};
use super::world::{ALL, World, events_of};
use crate::{EventDetail, Replay, ReplayFilter, ReplayStep, StatusSet};

impl World {
    /// A step of `replay` with these events, which is not its last one.
    fn step(&self, replay: &Replay, event_ids: &[EventId]) -> ReplayStep {
        ReplayStep {
            tenant_id: replay.tenant_id,
            id: replay.id,
            expected_version: replay.version,
            event_ids: event_ids.to_vec(),
            looked_up_to: event_ids.last().copied().unwrap_or(replay.range.after),
            next_step_at: self.now() + Duration::from_secs(7),
            is_last: false,
        }
    }

    async fn advance(&self, step: ReplayStep) -> Option<Replay> {
        self.store.replay_advance_if_version(self.now(), step).await.unwrap()
    }

    /// Makes a step that is expected to be made. Returns how many events it queued and skipped.
    async fn queue_anew(&self, replay: &Replay, event_ids: &[EventId]) -> (u64, u64) {
        let after = self.advance(self.step(replay, event_ids)).await.expect("nobody else was faster");
        (after.replayed_count - replay.replayed_count, after.skipped_count - replay.skipped_count)
    }
}

fn failed() -> ReplayFilter {
    ReplayFilter { statuses: StatusSet::only(DeliveryState::Failed), ..ANY }
}

fn numbers(detail: &EventDetail) -> Vec<u32> {
    detail.attempts.iter().map(|attempt| attempt.number).collect()
}

/// As for a single event: due now, attempts counted from the start, history kept, numbers going on.
pub async fn replay_step_queues_anew_and_keeps_history(world: World) {
    let endpoint = world.endpoint().await;
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(world.fail(&endpoint).await);
    }
    let replay = world.replay(failed()).await;
    world.pass_seconds(100);
    let event_ids = world.scan(&replay).await;
    assert_eq!(event_ids, deliveries.iter().map(|delivery| delivery.event_id).collect::<Vec<_>>());

    let step = world.step(&replay, &event_ids[..2]);
    let after = world.advance(step.clone()).await.unwrap();
    let expected = Replay {
        range: crate::EventRange { after: event_ids[1], end: replay.range.end },
        replayed_count: 2,
        next_step_at: step.next_step_at,
        updated_at: world.now(),
        version: replay.version + 1,
        ..replay.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(world.stored_replay(&replay).await, expected);
    assert_eq!(world.scan(&after).await, event_ids[2..]);

    let detail = world.detail(deliveries[0]).await;
    assert_eq!((detail.summary.status, detail.summary.reason), (DeliveryState::Pending, None));
    assert_eq!(detail.summary.next_attempt_at, Some(world.now()));
    assert_eq!(world.state(deliveries[2]).await, DeliveryState::Failed);
    let claimed = world.claim_all(&endpoint).await;
    assert_eq!(events_of(&claimed), event_ids[..2], "the oldest first");
    assert_eq!((claimed[0].attempts_total, claimed[0].attempts_made), (1, 0));
    world.settle(world.failed(&claimed[0], FinalReason::Refused)).await;
    world.settle(world.delivered(&claimed[1])).await;
    for (delivery, state) in [(deliveries[0], DeliveryState::Failed), (deliveries[1], DeliveryState::Delivered)] {
        let detail = world.detail(delivery).await;
        assert_eq!((detail.summary.status, numbers(&detail)), (state, vec![1, 2]));
    }
}

/// Delivered, waiting, given up, or never begun.
pub async fn replay_step_brings_back_whatever_ended(world: World) {
    let endpoint = world.endpoint().await;
    let delivered = world.accept(&endpoint).await;
    world.deliver(&endpoint).await;
    let waiting = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.retry_at(&claimed, world.now() + Duration::from_secs(3_600))).await;
    let mut duplicate = world.new_event(&endpoint);
    duplicate.deliveries[0].ended = Some(FinalReason::Duplicate);
    let duplicate_id = duplicate.event.id;
    world.insert(vec![duplicate]).await;
    let lapsed = world.accept(&endpoint).await;
    let forgotten = world.claim_one(&endpoint).await;

    world.pass_seconds(100);
    let replay = world.replay(ANY).await;
    let event_ids = world.scan(&replay).await;
    assert_eq!(event_ids, [delivered.event_id, waiting.event_id, duplicate_id, lapsed.event_id]);
    assert_eq!(world.queue_anew(&replay, &event_ids).await, (4, 0));
    let claimed = world.claim_all(&endpoint).await;
    assert_eq!(events_of(&claimed), event_ids);
    assert!(claimed.iter().all(|claimed| claimed.attempts_made == 0));
    assert_eq!(claimed.iter().map(|claimed| claimed.attempts_total).collect::<Vec<_>>(), [1, 1, 0, 0]);
    // A lease that had ended is worth nothing afterwards.
    let late = world.settle_batch(vec![world.delivered(&forgotten)]).await;
    assert_eq!(late, [crate::Settled::Stale]);
}

/// Made already, paused, cancelled, or never there: nothing is queued, counted or moved.
pub async fn replay_step_from_another_version_does_nothing(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.fail(&endpoint).await;
    let replay = world.replay(failed()).await;
    let step = world.step(&replay, &[delivery.event_id]);

    let paused = world.set_replay_state(&replay, ReplayState::Paused).await.unwrap();
    assert_eq!(world.advance(step.clone()).await, None);
    let running = world.set_replay_state(&paused, ReplayState::Running).await.unwrap();
    assert_eq!(world.advance(step).await, None);
    let unknown = Replay { id: world.replay_id(), ..running.clone() };
    assert_eq!(world.advance(world.step(&unknown, &[delivery.event_id])).await, None);
    assert_eq!(world.stored_replay(&replay).await, running);
    assert_eq!(world.state(delivery).await, DeliveryState::Failed);

    let step = world.step(&running, &[delivery.event_id]);
    let made = world.advance(step.clone()).await.unwrap();
    world.deliver(&endpoint).await;
    // Whoever did not learn that it was made may try it again.
    assert_eq!(world.advance(step).await, None);
    assert_eq!(world.stored_replay(&replay).await, made);
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
    assert_eq!(made.replayed_count, 1);
}

/// However many instances try the same step at once.
pub async fn concurrent_replay_steps_are_made_once(world: World) {
    let endpoint = world.endpoint().await;
    for _ in 0..10 {
        world.fail(&endpoint).await;
    }
    let replay = world.replay(failed()).await;
    let event_ids = world.scan(&replay).await;
    let (now, step) = (world.now(), world.step(&replay, &event_ids));
    let mut tries = Vec::new();
    for _ in 0..4 {
        let (store, step) = (std::sync::Arc::clone(&world.store), step.clone());
        tries.push(tokio::spawn(async move { store.replay_advance_if_version(now, step).await.unwrap() }));
    }
    let mut made = Vec::new();
    for one in tries {
        made.extend(one.await.unwrap());
    }
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].replayed_count, made[0].skipped_count), (10, 0));
    assert_eq!(world.stored_replay(&replay).await, made[0]);
    assert_eq!(world.claim_all(&endpoint).await.len(), 10);
}

/// One event that cannot be queued holds up no other, and is counted.
pub async fn replay_step_passes_over_what_cannot_be_queued(world: World) {
    let (good, disabled, deleted) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let of_disabled = world.fail(&disabled).await;
    let of_deleted = world.fail(&deleted).await;
    let fine = world.fail(&good).await;
    let under_way = world.fail(&good).await;
    let replay = world.replay(ANY).await;
    let mut event_ids = world.scan(&replay).await;
    assert_eq!(event_ids.len(), 4);
    event_ids.push(world.event_id());

    world.disable(&disabled).await;
    world.delete(&deleted).await;
    world.requeue(under_way).await.unwrap();
    let claimed = world.claim_one(&good).await;
    let before = [world.detail(of_disabled).await, world.detail(of_deleted).await, world.detail(under_way).await];
    assert_eq!(world.queue_anew(&replay, &event_ids).await, (1, 4));
    let after = [world.detail(of_disabled).await, world.detail(of_deleted).await, world.detail(under_way).await];
    assert_eq!(before, after);
    assert_eq!(world.state(fine).await, DeliveryState::Pending);
    world.settle(world.delivered(&claimed)).await;
    world.deliver(&good).await;
    assert_eq!(world.state(fine).await, DeliveryState::Delivered);
}

/// What was delivered since it was listed is not sent once more.
pub async fn replay_step_passes_over_what_left_its_states(world: World) {
    let endpoint = world.endpoint().await;
    let (delivered, waiting) = (world.fail(&endpoint).await, world.fail(&endpoint).await);
    let replay = world.replay(failed()).await;
    let event_ids = world.scan(&replay).await;
    world.requeue(delivered).await.unwrap();
    world.deliver(&endpoint).await;
    world.requeue(waiting).await.unwrap();
    assert_eq!(world.queue_anew(&replay, &event_ids).await, (0, 2));
    assert_eq!(world.state(delivered).await, DeliveryState::Delivered);
    assert_eq!(events_of(&world.claim_all(&endpoint).await), [waiting.event_id]);
}

/// With fan-out, all deliveries of an event or none.
pub async fn replay_step_queues_an_event_as_a_whole_or_not_at_all(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    let fan_out = async || {
        let event = EventBuilder::new(world.event_id(), &one, world.now()).build();
        let new = world.new_event_of(event, &[&one, &two]);
        let id = new.event.id;
        world.insert(vec![new]).await;
        for endpoint in [&one, &two] {
            let claimed = world.claim_one(endpoint).await;
            world.settle(world.failed(&claimed, FinalReason::Refused)).await;
        }
        id
    };
    let (first, second) = (fan_out().await, fan_out().await);
    let replay = world.replay(failed()).await;
    assert_eq!(world.scan(&replay).await, [first, second]);
    assert_eq!(world.queue_anew(&replay, &[first]).await, (1, 0));
    assert_eq!(events_of(&world.claim_all(&one).await), [first]);
    assert_eq!(events_of(&world.claim_all(&two).await), [first]);

    world.disable(&two).await;
    let replay = world.stored_replay(&replay).await;
    assert_eq!(world.queue_anew(&replay, &[second]).await, (0, 1));
    assert_eq!(world.claim_all(&one).await.len(), 0);
}

/// Then it is about nothing any more.
pub async fn last_replay_step_completes_the_job(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.fail(&endpoint).await;
    let replay = world.replay(failed()).await;
    world.pass_seconds(3);
    let step = ReplayStep { is_last: true, ..world.step(&replay, &[delivery.event_id]) };
    let after = world.advance(step).await.unwrap();
    assert_eq!((after.state, after.completed_at), (ReplayState::Completed, Some(world.now())));
    assert_eq!((after.replayed_count, after.skipped_count), (1, 0));
    assert_eq!(world.stored_replay(&replay).await, after);
    world.pass_seconds(1_000);
    assert_eq!(world.store.replay_due(world.now(), ALL).await.unwrap(), crate::DueReplays::default());
}

/// From the first step to the last: what fails again is not taken up again, and what came in later is left alone.
pub async fn replay_takes_each_event_once(world: World) {
    let endpoint = world.endpoint().await;
    let mut expected: Vec<DeliveryRef> = Vec::new();
    for _ in 0..7 {
        expected.push(world.fail(&endpoint).await);
    }
    let mut replay = world.replay(failed()).await;
    let late = world.fail(&endpoint).await;
    let mut replayed = Vec::new();
    while replay.state == ReplayState::Running {
        let page = world.store.replay_scan(world.now(), scan_of(&replay, 2)).await.unwrap();
        let step = ReplayStep {
            looked_up_to: page.looked_up_to,
            is_last: page.is_end,
            ..world.step(&replay, &page.event_ids)
        };
        replay = world.advance(step).await.unwrap();
        for claimed in world.claim_all(&endpoint).await {
            replayed.push(claimed.delivery);
            world.settle(world.failed(&claimed, FinalReason::Refused)).await;
        }
        world.fail(&endpoint).await;
        world.pass_seconds(1);
    }
    assert_eq!(replayed, expected);
    assert_eq!((replay.replayed_count, replay.skipped_count), (7, 0));
    for delivery in expected {
        assert_eq!(numbers(&world.detail(delivery).await), [1, 2]);
    }
    assert_eq!(numbers(&world.detail(late).await), [1]);
}

/// Nobody sees, changes or drives the jobs of others, and no job reaches events of others.
pub async fn replays_of_tenants_never_meet(world: World) {
    let (ours, theirs) = (TenantId::DEFAULT, world.tenant_id());
    let (our_endpoint, their_endpoint) = (world.endpoint_of(ours).await, world.endpoint_of(theirs).await);
    let our_event = world.fail(&our_endpoint).await;
    let their_event = world.fail(&their_endpoint).await;
    let our_replay = world.replay(failed()).await;
    let their_replay = Replay { tenant_id: theirs, ..world.new_replay(failed()) };
    world.store.replay_insert(their_replay.clone()).await.unwrap();
    let store = &world.store;

    for (own, foreign, own_event, foreign_event) in
        [(&our_replay, &their_replay, our_event, their_event), (&their_replay, &our_replay, their_event, our_event)]
    {
        let tenant_id = own.tenant_id;
        super::world::assert_not_found(store.replay_get(tenant_id, foreign.id).await);
        let usurped = Replay { tenant_id, ..foreign.clone() };
        super::world::assert_not_found(world.set_replay_state(&usurped, ReplayState::Cancelled).await);
        assert_eq!(world.advance(world.step(&usurped, &[foreign_event.event_id])).await, None);
        assert_eq!(store.replay_list(tenant_id, None, ALL).await.unwrap(), std::slice::from_ref(own));
        let older = store.replay_list(tenant_id, Some(foreign.id), ALL).await.unwrap();
        assert!(older.iter().all(|replay| replay.id == own.id));
        assert_eq!(world.scan(own).await, [own_event.event_id]);
        let of_foreign = ReplayFilter { endpoint_id: Some(foreign_event.endpoint_id), ..failed() };
        assert_eq!(world.scan(&Replay { filter: of_foreign, ..own.clone() }).await, []);
        // A job that names an event of somebody else passes it over.
        assert_eq!(world.queue_anew(own, &[foreign_event.event_id]).await, (0, 1));
    }
    assert_eq!(world.state(our_event).await, DeliveryState::Failed);
    assert_eq!(world.state(their_event).await, DeliveryState::Failed);
}
