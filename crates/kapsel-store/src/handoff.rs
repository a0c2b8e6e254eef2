//! From the ingest side to the local dispatcher without a detour through the store.
//!
//! The ingest side asks for a slot before it stores an event; if it gets one, the delivery is stored under this
//! instance's lease and started in the slot right after the commit, its body still in memory. Without a slot the
//! delivery is stored as due, and the dispatcher's claims find it. The two crates at the ends do not know each other.

use kapsel_core::{DeliveryRef, EndpointId, Lease, Timestamp};

use crate::delivery::ClaimedDelivery;

/// Takes freshly stored deliveries over.
pub trait Handoff: Send + Sync {
    /// A slot for one delivery to `endpoint_id` whose body has `body_bytes`, if the dispatcher could start it right
    /// away; with it the lease to store the delivery under. `None` is no error: the delivery then goes by way of the
    /// store.
    fn reserve(&self, endpoint_id: EndpointId, body_bytes: usize, now: Timestamp) -> Option<Box<dyn Slot>>;
}

/// A reserved place at the dispatcher. Dropping it gives the place back.
pub trait Slot: Send {
    /// The lease to store the delivery under.
    fn lease(&self) -> Lease;

    /// Starts the delivery, which is durable by now.
    fn start(self: Box<Self>, delivery: ClaimedDelivery);

    /// Whether the delivery was stored under the lease is not known. Should it have been, the lease is to be given back,
    /// so that somebody else can begin before its end.
    fn give_up(self: Box<Self>, delivery: DeliveryRef);
}

/// Never has a slot: every delivery goes by way of the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHandoff;

impl Handoff for NoHandoff {
    fn reserve(&self, _: EndpointId, _: usize, _: Timestamp) -> Option<Box<dyn Slot>> {
        None
    }
}
