//! What the in-memory engine keeps, and the few changes that more than one call makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kapsel_core::{
    Attempt, DeliveryId, DeliveryRef, Endpoint, EndpointId, EndpointStatus, ErasureId, Event, EventId, FinalReason,
    Lease, ReplayId, Timestamp,
};

use super::attestation::LogState;
use super::reply::Replies;
use super::statistics::Figures;
use super::tenant::Accounts;
use crate::admin::ChangeSeq;
use crate::circuit::StoredCircuit;
use crate::erasure::Erasure;
use crate::replay::Replay;

/// Everything that is stored.
#[derive(Default)]
pub(super) struct State {
    pub(super) endpoints: BTreeMap<EndpointId, StoredEndpoint>,
    /// The latest change of each endpoint.
    pub(super) changes: BTreeMap<ChangeSeq, EndpointId>,
    last_change: ChangeSeq,
    pub(super) events: BTreeMap<EventId, StoredEvent>,
    pub(super) deliveries: BTreeMap<DeliveryId, StoredDelivery>,
    /// The queued deliveries of each endpoint, the longest due first. Kept in step with [`StoredDelivery::queued`];
    /// there is no empty lane.
    pub(super) lanes: BTreeMap<EndpointId, BTreeSet<(Timestamp, DeliveryId)>>,
    pub(super) keys: BTreeMap<(EndpointId, [u8; 32]), UsedKey>,
    pub(super) circuits: BTreeMap<EndpointId, StoredCircuit>,
    pub(super) replays: BTreeMap<ReplayId, Replay>,
    pub(super) erasures: BTreeMap<ErasureId, Erasure>,
    pub(super) log: LogState,
    pub(super) accounts: Accounts,
    pub(super) replies: Replies,
    pub(super) figures: Figures,
}

/// An endpoint, kept after its deletion so that its id stays taken and the change can be told.
pub(super) struct StoredEndpoint {
    pub(super) endpoint: Endpoint,
    pub(super) is_deleted: bool,
    changed: ChangeSeq,
}

/// An event and what hangs on it.
pub(super) struct StoredEvent {
    pub(super) event: Arc<Event>,
    /// In the order of their ids.
    pub(super) deliveries: Vec<DeliveryId>,
    /// The length of its body as it came in.
    pub(super) size_bytes: u64,
    /// When it was erased. What it held is gone then.
    pub(super) erased_at: Option<Timestamp>,
}

/// A delivery with its history.
pub(super) struct StoredDelivery {
    pub(super) delivery: DeliveryRef,
    /// Its place in the queue; `None` once it ended.
    pub(super) queued: Option<Queued>,
    /// Why it ended without success, if it did. Delivered is what is neither queued nor given up.
    pub(super) given_up: Option<FinalReason>,
    /// All settled attempts, in the order of their numbers.
    pub(super) attempts: Vec<Attempt>,
}

impl StoredDelivery {
    /// Attempts settled in all.
    pub(super) fn attempts_total(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX)
    }
}

/// The queue row of a delivery.
#[derive(Clone, Copy)]
pub(super) struct Queued {
    /// When it can be claimed. Under a lease this is the lease's end.
    pub(super) due_at: Timestamp,
    /// The last lease, running or not. `None` if it was never claimed, or settled or released since.
    pub(super) lease: Option<Lease>,
    /// Attempts settled since it was last queued.
    pub(super) attempts_made: u32,
}

impl Queued {
    /// Whether somebody may be working on it.
    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.lease.is_some() && self.due_at > now
    }
}

/// One use of an idempotency key.
pub(super) struct UsedKey {
    pub(super) event_id: EventId,
    pub(super) body_sha256: [u8; 32],
    pub(super) expires_at: Timestamp,
}

impl State {
    /// The endpoint `id` unless it was deleted.
    pub(super) fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id).filter(|stored| !stored.is_deleted).map(|stored| &stored.endpoint)
    }

    /// The endpoint `id` if it is enabled.
    pub(super) fn enabled_endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoint(id).filter(|endpoint| endpoint.status == EndpointStatus::Enabled)
    }

    /// The endpoint `id` if work on its queue may begin.
    pub(super) fn open_endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.enabled_endpoint(id).filter(|endpoint| !self.accounts.is_suspended(endpoint.tenant_id))
    }

    /// Stores an endpoint, new or in place of its former self, as the latest change.
    pub(super) fn put_endpoint(&mut self, endpoint: Endpoint, is_deleted: bool) {
        let id = endpoint.id;
        self.last_change = ChangeSeq(self.last_change.0 + 1);
        let changed = self.last_change;
        if let Some(former) = self.endpoints.insert(id, StoredEndpoint { endpoint, is_deleted, changed }) {
            self.changes.remove(&former.changed);
        }
        self.changes.insert(changed, id);
    }

    /// Puts a delivery in the queue, moves it there (`Some`) or takes it out (`None`). The only place that writes
    /// the lanes.
    pub(super) fn set_queued(&mut self, id: DeliveryId, queued: Option<Queued>) {
        let Some(stored) = self.deliveries.get_mut(&id) else { return };
        let former = std::mem::replace(&mut stored.queued, queued);
        let lane = self.lanes.entry(stored.delivery.endpoint_id).or_default();
        if let Some(former) = former {
            lane.remove(&(former.due_at, id));
        }
        if let Some(queued) = queued {
            lane.insert((queued.due_at, id));
        }
        if lane.is_empty() {
            self.lanes.remove(&stored.delivery.endpoint_id);
        }
    }
}
