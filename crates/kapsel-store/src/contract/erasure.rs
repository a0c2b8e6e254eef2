//! Erasing events, one by one and by tenant.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::{
    DeliveryRef, DeliveryState, ErasureId, ErasureState, EventId, FailureKind, FinalReason, HeaderBlock, Outcome,
    Requester, TenantId, Timestamp,
};
use test_harness::EventBuilder;

use super::world::{ALL, LEASE, World, assert_conflict, assert_not_found, key, no_answer, only_delivery, with_body};
use crate::attestation::LeafName;
use crate::erasure::SECOND_LOOK_AFTER;
use crate::{Erasure, ErasureStep, ErasureSubject, Ingested, NewEvent, RetainedKind, RetentionStep};

impl World {
    fn new_erasure(&self, tenant_id: TenantId, subject: ErasureSubject) -> Erasure {
        Erasure::new(self.erasure_id(), tenant_id, subject, Requester::Operator, self.now())
    }

    async fn erasure_of(&self, delivery: DeliveryRef) -> Erasure {
        let erasure = self.new_erasure(delivery.tenant_id, ErasureSubject::Event(delivery.event_id));
        self.store.erasure_insert(erasure.clone()).await.unwrap();
        erasure
    }

    async fn erasure_of_tenant(&self, tenant_id: TenantId) -> Erasure {
        let erasure = self.new_erasure(tenant_id, ErasureSubject::TenantBefore(self.event_id()));
        self.store.erasure_insert(erasure.clone()).await.unwrap();
        erasure
    }

    /// Makes a step that is expected to be made.
    async fn erase_step(&self, erasure: &Erasure, looks_max: usize) -> Erasure {
        let step = step_of(erasure, looks_max);
        let after = self.store.erasure_advance_if_version(self.now(), step).await.unwrap();
        let after = after.expect("nobody else was faster");
        assert_eq!(self.stored_erasure(&after).await, after);
        after
    }

    async fn stored_erasure(&self, erasure: &Erasure) -> Erasure {
        self.store.erasure_get(Some(erasure.tenant_id), erasure.id).await.unwrap()
    }

    /// Erases an event that nobody is working on. Returns the completed job.
    async fn erase(&self, delivery: DeliveryRef) -> Erasure {
        let after = self.erase_step(&self.erasure_of(delivery).await, ALL).await;
        assert_eq!((after.state, after.completed_at), (ErasureState::Completed, Some(self.now())));
        after
    }

    /// Makes steps until the job is through, at the times that it names.
    async fn erase_to_the_end(&self, mut erasure: Erasure, looks_max: usize) -> Erasure {
        for _ in 0..1_000 {
            if erasure.state == ErasureState::Completed {
                return erasure;
            }
            self.pass(erasure.next_step_at.saturating_since(self.now()));
            erasure = self.erase_step(&erasure, looks_max).await;
        }
        panic!("it does not come to its end: {erasure:?}");
    }

    async fn erased_at(&self, delivery: DeliveryRef) -> Option<Timestamp> {
        self.detail(delivery).await.summary.erased_at
    }
}

fn step_of(erasure: &Erasure, looks_max: usize) -> ErasureStep {
    ErasureStep { tenant_id: erasure.tenant_id, id: erasure.id, expected_version: erasure.version, looks_max }
}

/// Nothing of what came in or back is left; what happened is, and so is every leaf.
pub async fn erasure_takes_what_was_held_and_leaves_what_happened(world: World) {
    let endpoint = world.endpoint().await;
    let event = EventBuilder::new(world.event_id(), &endpoint, world.now())
        .headers(&[("content-type", "text/plain"), ("x-person", "Ada")])
        .build();
    let new = NewEvent { key: Some(key("order-17", true)), ..world.new_event_of(event, &[&endpoint]) };
    let new = with_body(new, Bytes::from(vec![7; 100_000]));
    let delivery = only_delivery(&new);
    assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Created]);
    let mut leaves = Vec::new();
    for outcome in [no_answer(FailureKind::Dns), super::world::answer(404)] {
        let claimed = world.claim_one(&endpoint).await;
        let next = match leaves.len() {
            0 => kapsel_core::settlement::Next::RetryAt(world.now()),
            _ => kapsel_core::settlement::Next::Failed(FinalReason::Refused),
        };
        let settlement = world.settlement(&claimed, outcome, next);
        leaves.push((settlement.attempt.id, settlement.leaf.clone()));
        world.settle(settlement).await;
    }
    let before = world.detail(delivery).await;

    world.pass_seconds(5);
    assert_eq!(world.erase(delivery).await.erased_count, 1);
    let after = world.detail(delivery).await;
    let mut expected = before.clone();
    expected.summary.content_type = None;
    expected.summary.idempotency_key = None;
    expected.summary.erased_at = Some(world.now());
    for attempt in &mut expected.attempts {
        attempt.url.clear();
        match &mut attempt.outcome {
            Outcome::Response(head) => {
                head.headers = HeaderBlock::default();
                head.body = Bytes::new();
            }
            Outcome::Failure { detail, .. } => detail.clear(),
        }
    }
    assert_eq!(after, expected);
    assert_eq!((after.summary.status, after.summary.size_bytes), (DeliveryState::Failed, 100_000));
    assert_not_found(world.store.event_read(delivery.tenant_id, delivery.event_id).await);
    for (attempt_id, leaf) in leaves {
        let stored = world.store.leaf_get(delivery.tenant_id, LeafName::Attempt(attempt_id)).await.unwrap();
        assert_eq!(stored.data, leaf.data);
        let opening = world.store.leaf_opening(delivery.tenant_id, delivery.event_id, attempt_id).await.unwrap();
        assert_eq!(opening, None, "nothing can be opened any more");
    }
    // The sender repeats its request: it is still the same event, and does not come back.
    let again = NewEvent { event: world.new_event(&endpoint).event, ..new };
    let again = with_body(again, Bytes::from(vec![7; 100_000]));
    assert_eq!(world.insert(vec![again]).await, [Ingested::Replay { original: delivery.event_id }]);
    assert_eq!(world.event_count().await, 1);
}

/// What waits is not delivered any more, whether it was tried before or not; what was delivered stays so. None of it can be
/// queued anew.
pub async fn erased_events_are_never_delivered(world: World) {
    let endpoint = world.endpoint().await;
    let pending = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.retry_at(&claimed, world.now() + Duration::from_secs(3_600))).await;
    let delivered = world.accept(&endpoint).await;
    world.deliver(&endpoint).await;
    let received = world.accept(&endpoint).await;
    let lapsed = world.accept(&endpoint).await;
    let claimed = world.claim(world.lease(), &[&endpoint], ALL).await;
    assert_eq!(claimed.len(), 2);
    world.store.delivery_release_if_leased(world.now(), vec![(received, claimed[0].lease)]).await.unwrap();
    world.pass(LEASE);

    for (delivery, state, reason) in [
        (pending, DeliveryState::Discarded, Some(FinalReason::Erased)),
        (delivered, DeliveryState::Delivered, None),
        (received, DeliveryState::Discarded, Some(FinalReason::Erased)),
        (lapsed, DeliveryState::Discarded, Some(FinalReason::Erased)),
    ] {
        world.erase(delivery).await;
        let summary = world.detail(delivery).await.summary;
        assert_eq!((summary.status, summary.reason, summary.next_attempt_at), (state, reason, None));
        assert_conflict(world.requeue(delivery).await);
    }
    // The lease had ended, and its holder comes late.
    let late = claimed.iter().find(|claimed| claimed.delivery == lapsed).unwrap();
    assert_eq!(world.settle_batch(vec![world.delivered(late)]).await, [crate::Settled::Stale]);
    world.pass_seconds(7_200);
    assert_eq!(world.claim_all(&endpoint).await.len(), 0);
}

/// An attempt that is under way is not raced: the job waits, and takes what the attempt left as well.
pub async fn erasure_waits_for_an_attempt_under_way(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let erasure = world.erasure_of(delivery).await;
    let waiting = world.erase_step(&erasure, ALL).await;
    assert_eq!((waiting.state, waiting.erased_count), (ErasureState::Running, 0));
    assert!(waiting.next_step_at > world.now() && waiting.next_step_at <= world.now() + LEASE);
    assert_eq!(world.erased_at(delivery).await, None);
    assert_eq!(world.store.event_read(delivery.tenant_id, delivery.event_id).await.unwrap(), *claimed.event);

    let settlement = world.retry_at(&claimed, world.now());
    let attempt_id = settlement.attempt.id;
    world.settle(settlement).await;
    let done = world.erase_to_the_end(waiting, ALL).await;
    assert_eq!(done.erased_count, 1);
    let detail = world.detail(delivery).await;
    assert_eq!((detail.summary.status, detail.attempts.len()), (DeliveryState::Discarded, 1));
    assert_eq!(detail.attempts[0].url, "");
    assert_eq!(world.store.leaf_opening(delivery.tenant_id, delivery.event_id, attempt_id).await.unwrap(), None);
}

/// Twice is as good as once: the second job has nothing to do, and the event keeps the time of the first.
pub async fn erasing_twice_is_fine(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    world.deliver(&endpoint).await;
    assert_eq!(world.erase(delivery).await.erased_count, 1);
    let erased_at = world.erased_at(delivery).await;
    world.pass_seconds(10);
    assert_eq!(world.erase(delivery).await.erased_count, 0);
    assert_eq!(world.erased_at(delivery).await, erased_at);
}

/// What nobody has cannot be erased; what is no longer kept but for its attempts can.
pub async fn erasure_needs_something_of_its_event(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let settlement = world.delivered(&claimed);
    let attempt_id = settlement.attempt.id;
    world.settle(settlement).await;
    let other = world.tenant_id();
    for (tenant_id, event_id) in [(TenantId::DEFAULT, world.event_id()), (other, delivery.event_id)] {
        let erasure = world.new_erasure(tenant_id, ErasureSubject::Event(event_id));
        assert_not_found(world.store.erasure_insert(erasure).await);
    }
    world.pass_seconds(3_600);
    let kind = RetainedKind::Events;
    let step = RetentionStep::first(world.now(), TenantId::DEFAULT, kind, Duration::from_secs(60), ALL);
    assert_eq!(world.store.retention_remove(step).await.unwrap().removed, 1);
    let opens =
        async || world.store.leaf_opening(TenantId::DEFAULT, delivery.event_id, attempt_id).await.unwrap().is_some();
    assert!(opens().await);
    assert_eq!(world.erase(delivery).await.erased_count, 1);
    assert!(!opens().await);
    assert_eq!(world.erase(delivery).await.erased_count, 0);
}

/// A job round trips, is listed for its tenant, newest first, and for everybody; its id is taken once.
pub async fn erasures_are_kept_and_listed(world: World) {
    let tenant = world.tenant().await;
    let mine = world.erasure_of_tenant(TenantId::DEFAULT).await;
    world.pass_seconds(1);
    let requested_by = Requester::Key(world.api_key(tenant.id).await.id);
    let subject = ErasureSubject::TenantBefore(EventId::lower_bound(world.now()));
    let theirs = Erasure { requested_by, ..world.new_erasure(tenant.id, subject) };
    world.store.erasure_insert(theirs.clone()).await.unwrap();
    let delivery = world.accept(&world.endpoint().await).await;
    let newest = world.erasure_of(delivery).await;
    assert_conflict(world.store.erasure_insert(Erasure { tenant_id: TenantId::DEFAULT, ..theirs.clone() }).await);

    let list = async |tenant_id, before, limit| world.store.erasure_list(tenant_id, before, limit).await.unwrap();
    assert_eq!(list(Some(TenantId::DEFAULT), None, ALL).await, [newest.clone(), mine.clone()]);
    assert_eq!(list(Some(tenant.id), None, ALL).await, std::slice::from_ref(&theirs));
    assert_eq!(list(None, None, 2).await, [newest.clone(), theirs.clone()]);
    assert_eq!(list(None, Some(theirs.id), ALL).await, std::slice::from_ref(&mine));
    assert_eq!(world.store.erasure_get(None, theirs.id).await.unwrap(), theirs);
    assert_not_found(world.store.erasure_get(Some(TenantId::DEFAULT), theirs.id).await);
    assert_not_found(world.store.erasure_get(None, ErasureId::MIN).await);
    assert_eq!(world.stored_erasure(&newest).await, newest);
}

/// Jobs are found when they are due, and a step is made from the version that it names, once.
pub async fn erasure_steps_are_made_once(world: World) {
    let endpoint = world.endpoint().await;
    let (one, other) = (world.accept(&endpoint).await, world.accept(&endpoint).await);
    let first = world.erasure_of(one).await;
    world.pass_seconds(1);
    let second = world.erasure_of(other).await;
    let due = world.store.erasure_due(world.now(), ALL).await.unwrap();
    assert_eq!((due.due, due.next_due_at), (vec![first.clone(), second.clone()], None));
    assert_eq!(world.store.erasure_due(world.now(), 1).await.unwrap().due, std::slice::from_ref(&first));
    let early = world.store.erasure_due(first.next_step_at, ALL).await.unwrap();
    assert_eq!((early.due, early.next_due_at), (vec![first.clone()], Some(second.next_step_at)));

    let step = step_of(&first, ALL);
    let now = world.now();
    let (a, b) = tokio::join!(
        world.store.erasure_advance_if_version(now, step),
        world.store.erasure_advance_if_version(now, step)
    );
    let made = [a.unwrap(), b.unwrap()];
    assert_eq!(made.iter().flatten().count(), 1, "{made:?}");
    assert_eq!(world.store.erasure_due(world.now(), ALL).await.unwrap().due, std::slice::from_ref(&second));
    for (tenant_id, expected_version) in [(first.tenant_id, 1), (first.tenant_id, 2), (world.tenant_id(), 2)] {
        let step = ErasureStep { tenant_id, expected_version, ..step };
        assert_eq!(world.store.erasure_advance_if_version(now, step).await.unwrap(), None, "it is completed");
    }
    assert_eq!(world.erased_at(other).await, None);
}

/// The job of a tenant takes everything that was accepted before it, in short steps, and waits for what is under way. What
/// is accepted later stays, and others do not notice.
pub async fn erasure_of_a_tenant_goes_in_steps(world: World) {
    let tenant = world.tenant().await;
    let (theirs, others) = (world.endpoint_of(tenant.id).await, world.endpoint().await);
    let mut before = Vec::new();
    for place in 0..7 {
        before.push(world.accept(&theirs).await);
        if place % 2 == 0 {
            world.deliver(&theirs).await;
        } else {
            let claimed = world.claim_one(&theirs).await;
            world.settle(world.failed(&claimed, FinalReason::Refused)).await;
        }
    }
    let foreign = world.accept(&others).await;
    let under_way = world.accept(&theirs).await;
    let claimed = world.claim_one(&theirs).await;
    let erasure = world.erasure_of_tenant(tenant.id).await;
    world.pass_seconds(1);
    let later = world.accept(&theirs).await;

    let mut job = world.erase_step(&erasure, 3).await;
    assert!(job.erased_count <= 3 && job.state == ErasureState::Running, "{job:?}");
    while job.next_step_at <= world.now() {
        job = world.erase_step(&job, 3).await;
    }
    assert_eq!(job.erased_count, 7, "it waits for the last one");
    world.settle(world.delivered(&claimed)).await;
    let done = world.erase_to_the_end(job, 3).await;
    assert_eq!(done.erased_count, 8);
    assert!(done.completed_at.unwrap() >= erasure.created_at + SECOND_LOOK_AFTER);
    for delivery in before.into_iter().chain([under_way]) {
        assert!(world.erased_at(delivery).await.is_some());
    }
    assert_eq!((world.erased_at(later).await, world.erased_at(foreign).await), (None, None));
    world.deliver(&others).await;
}

/// What was being stored while the job went by, under an older id, is found by its second look. What comes later still, out
/// of a spool, is known to be covered.
pub async fn erasure_of_a_tenant_finds_what_comes_late(world: World) {
    let tenant = world.tenant().await;
    let endpoint = world.endpoint_of(tenant.id).await;
    let (late, spooled) = (world.new_event(&endpoint), world.new_event(&endpoint));
    let erasure = world.erasure_of_tenant(tenant.id).await;
    let second = world.erase_step(&erasure, ALL).await;
    assert!(second.is_second_look && second.state == ErasureState::Running);
    let delivery = only_delivery(&late);
    world.insert(vec![late]).await;
    assert_eq!(world.erase_to_the_end(second, ALL).await.erased_count, 1);
    assert!(world.erased_at(delivery).await.is_some());

    let newer = world.event_id();
    let asked = vec![(tenant.id, spooled.event.id), (TenantId::DEFAULT, spooled.event.id), (tenant.id, newer)];
    assert_eq!(world.store.erasure_covers(asked).await.unwrap(), [spooled.event.id]);
    assert_eq!(world.store.erasure_covers(Vec::new()).await.unwrap(), []);
    world.erase(delivery).await;
    let asked = vec![(tenant.id, newer)];
    assert_eq!(world.store.erasure_covers(asked).await.unwrap(), [], "a job about one event covers no other");
}
