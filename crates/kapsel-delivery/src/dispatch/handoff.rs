//! From the ingest side straight into a task: the fast path of a fresh delivery.

use std::sync::Arc;

use kapsel_core::{DeliveryRef, EndpointId, Lease, Timestamp};
use kapsel_store::{ClaimedDelivery, Handoff, Slot};

use super::Shared;
use super::gate::Permit;
use super::settle::Finished;

pub(super) struct LocalHandoff(pub(super) Arc<Shared>);

impl Handoff for LocalHandoff {
    fn reserve(&self, endpoint_id: EndpointId, body_bytes: usize, now: Timestamp) -> Option<Box<dyn Slot>> {
        let shared = &self.0;
        let lane = shared.lane_limit(endpoint_id, now)?;
        if lane.is_recovering {
            // Something may have gathered meanwhile, and goes first.
            shared.gate.flag(&lane);
        }
        // A right to probe takes a round trip to win; the event waits for that in the store.
        let permit = shared.gate.reserve(Some(lane).filter(|lane| !lane.needs_right)?, body_bytes)?;
        Some(Box::new(LocalSlot { shared: Arc::clone(shared), permit, lease: shared.fresh_lease(now) }))
    }
}

struct LocalSlot {
    shared: Arc<Shared>,
    permit: Permit,
    lease: Lease,
}

impl Slot for LocalSlot {
    fn lease(&self) -> Lease {
        self.lease
    }

    fn start(self: Box<Self>, delivery: ClaimedDelivery) {
        let LocalSlot { shared, permit, .. } = *self;
        shared.start(delivery, permit);
    }

    fn give_up(self: Box<Self>, delivery: DeliveryRef) {
        let LocalSlot { shared, mut permit, lease } = *self;
        permit.sent();
        // With its permit, as every result: while the store is away, there are never more of them than permits.
        shared.settle.push(Finished::Release(delivery, lease), permit);
    }
}
