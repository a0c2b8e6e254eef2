//! Removing what has had its time.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::{DeliveryRef, DeliveryState, EventId, FinalReason, TenantId};

use super::world::{ALL, World, assert_not_found, only_delivery, with_body};
use crate::attestation::LeafName;
use crate::{Ingested, RetainedKind, RetentionStep};

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl World {
    /// Removes everything of this kind that the tenant has kept for longer than `kept`, in steps of `looks_max`. Returns of
    /// how many events something was removed.
    async fn remove_old(&self, tenant_id: TenantId, kind: RetainedKind, kept: Duration, looks_max: usize) -> usize {
        let mut step = RetentionStep::first(self.now(), tenant_id, kind, kept, looks_max);
        let mut removed = 0;
        loop {
            let page = self.store.retention_remove(step).await.unwrap();
            assert!(page.removed <= looks_max, "{page:?}");
            assert!(page.is_end || page.looked_up_to > step.after, "{page:?} does not get on");
            removed += page.removed;
            if page.is_end {
                return removed;
            }
            step.after = page.looked_up_to;
        }
    }

    async fn remove_all_old(&self, kind: RetainedKind, kept: Duration) -> usize {
        self.remove_old(TenantId::DEFAULT, kind, kept, ALL).await
    }

    /// Whether anything of the event's attempts is stored.
    async fn has_attempts(&self, event_id: EventId) -> bool {
        let traces = self.store.attempt_traces(None, ALL).await.unwrap();
        traces.iter().any(|trace| trace.place.event_id == event_id)
    }

    async fn is_kept(&self, delivery: DeliveryRef) -> bool {
        match self.store.event_read(delivery.tenant_id, delivery.event_id).await {
            Ok(_) => true,
            result => {
                assert_not_found(result);
                assert_not_found(self.store.event_get(delivery.tenant_id, delivery.event_id, self.now()).await);
                false
            }
        }
    }
}

/// Old events go with their bodies, small and large; younger ones stay. The history stays until its own time has come.
pub async fn events_go_before_what_happened_to_them(world: World) {
    let endpoint = world.endpoint().await;
    let large = with_body(world.new_event(&endpoint), Bytes::from(vec![7; 100_000]));
    let old = only_delivery(&large);
    assert_eq!(world.insert(vec![large]).await, [Ingested::Created]);
    let claimed = world.claim_one(&endpoint).await;
    let settlement = world.failed(&claimed, FinalReason::Refused);
    let (attempt_id, secret) = (settlement.attempt.id, settlement.leaf.secret);
    world.settle(settlement).await;
    world.pass(DAY);
    let young = world.accept(&endpoint).await;
    world.deliver(&endpoint).await;

    assert_eq!(world.remove_all_old(RetainedKind::Events, DAY * 2).await, 0);
    assert_eq!(world.remove_all_old(RetainedKind::Attempts, DAY).await, 0, "the event is there still");
    world.pass_seconds(1);
    assert_eq!(world.remove_all_old(RetainedKind::Events, DAY).await, 1);
    assert!(!world.is_kept(old).await && world.is_kept(young).await);
    assert_eq!(world.event_count().await, 1);
    assert_not_found(world.requeue(old).await);
    let opening = world.store.leaf_opening(TenantId::DEFAULT, old.event_id, attempt_id).await.unwrap().unwrap();
    assert_eq!((opening.secret, opening.payload_sha256), (secret, None));

    assert_eq!(world.remove_all_old(RetainedKind::Attempts, DAY * 2).await, 0);
    assert_eq!(world.remove_all_old(RetainedKind::Attempts, DAY).await, 1);
    assert!(!world.has_attempts(old.event_id).await && world.has_attempts(young.event_id).await);
    assert_eq!(world.store.leaf_opening(TenantId::DEFAULT, old.event_id, attempt_id).await.unwrap(), None);
    for kind in RetainedKind::ALL {
        assert_eq!(world.remove_all_old(*kind, DAY).await, 0, "nothing is left to remove");
    }
}

/// Whatever waits or is under way stays with all that happened to it, whatever its age, and is delivered in the end.
pub async fn what_is_undelivered_is_never_removed(world: World) {
    let endpoint = world.endpoint().await;
    let received = world.accept(&endpoint).await;
    world.disable(&endpoint).await;
    let other = world.endpoint().await;
    let pending = world.accept(&other).await;
    let claimed = world.claim_one(&other).await;
    world.settle(world.retry_at(&claimed, world.now() + DAY * 400)).await;
    let queued_anew = world.accept(&other).await;
    world.deliver(&other).await;

    world.pass(DAY * 365);
    world.requeue(queued_anew).await.unwrap();
    let under_way = world.claim_one(&other).await;
    for kind in RetainedKind::ALL {
        assert_eq!(world.remove_all_old(*kind, DAY).await, 0);
    }
    for (delivery, state) in [
        (received, DeliveryState::Received),
        (pending, DeliveryState::Pending),
        (queued_anew, DeliveryState::Delivering),
    ] {
        assert_eq!(world.state(delivery).await, state);
    }
    assert_eq!(world.detail(pending).await.attempts.len(), 1);

    world.settle(world.delivered(&under_way)).await;
    assert_eq!(world.detail(queued_anew).await.attempts.len(), 2);
    assert_eq!(world.remove_all_old(RetainedKind::Events, DAY).await, 1);
    assert_eq!(world.remove_all_old(RetainedKind::Attempts, DAY).await, 1);
    assert!(world.is_kept(received).await && world.is_kept(pending).await && !world.is_kept(queued_anew).await);
}

/// Steps are as short as they are asked to be, and together they find everything, also behind what has to stay.
pub async fn retention_goes_in_steps(world: World) {
    let endpoint = world.endpoint().await;
    let parked = world.endpoint().await;
    for _ in 0..4 {
        world.accept(&parked).await;
        world.accept(&endpoint).await;
        let claimed = world.claim_one(&endpoint).await;
        world.settle(world.retry_at(&claimed, world.now())).await;
        world.deliver(&endpoint).await;
        world.pass_seconds(1);
    }
    world.pass(DAY);
    let step = RetentionStep::first(world.now(), TenantId::DEFAULT, RetainedKind::Events, DAY, 3);
    let page = world.store.retention_remove(step).await.unwrap();
    assert!(page.removed <= 3 && !page.is_end, "{page:?}");
    assert_eq!(page.removed + world.remove_old(TenantId::DEFAULT, RetainedKind::Events, DAY, 3).await, 4);
    assert_eq!(world.event_count().await, 4);
    assert_eq!(world.remove_old(TenantId::DEFAULT, RetainedKind::Attempts, DAY, 3).await, 4);
    assert_eq!(world.store.attempt_traces(None, ALL).await.unwrap(), []);
}

/// Leaves and their places in the log are for ever.
pub async fn leaves_outlive_their_attempts(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let settlement = world.delivered(&claimed);
    let (attempt_id, leaf) = (settlement.attempt.id, settlement.leaf.clone());
    world.settle(settlement).await;
    world.pass(DAY * 2);
    for kind in RetainedKind::ALL {
        assert_eq!(world.remove_all_old(*kind, DAY).await, 1);
    }
    assert!(!world.has_attempts(delivery.event_id).await);
    for name in [LeafName::Attempt(attempt_id), LeafName::Hash(leaf.hash)] {
        assert_eq!(world.store.leaf_get(TenantId::DEFAULT, name).await.unwrap().data, leaf.data);
    }
    let pending = world.store.leaves_pending(leaf.log_id, ALL).await.unwrap();
    assert_eq!(pending.iter().map(|leaf| leaf.attempt_id).collect::<Vec<_>>(), [attempt_id]);
}

/// What one tenant has had enough of, others keep.
pub async fn retention_of_tenants_never_meets(world: World) {
    let tenant = world.tenant().await;
    let (theirs, others) = (world.endpoint_of(tenant.id).await, world.endpoint().await);
    let their_event = world.accept(&theirs).await;
    world.deliver(&theirs).await;
    let other_event = world.accept(&others).await;
    world.deliver(&others).await;
    world.pass(DAY * 2);
    for kind in RetainedKind::ALL {
        assert_eq!(world.remove_old(tenant.id, *kind, DAY, ALL).await, 1);
    }
    assert!(!world.is_kept(their_event).await && world.is_kept(other_event).await);
    assert!(!world.has_attempts(their_event.event_id).await && world.has_attempts(other_event.event_id).await);
}
