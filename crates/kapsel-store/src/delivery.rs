//! Working off the queue: which lanes have work, claiming it under a lease, settling what was done.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::settlement::Decision;
use kapsel_core::{Attempt, DeliveryRef, EndpointId, Event, EventId, InstanceId, Leaf, Lease, TenantId, Timestamp};

use crate::error::StoreError;

/// The queue of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// When its first delivery became due, or its circuit ceased to block it.
    pub due_at: Timestamp,
    /// The version of its circuit; 0 where none is stored.
    pub circuit_version: u64,
}

/// What a look over the lanes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneScan {
    /// Lanes with work that is due, by endpoint id.
    pub due: Vec<Lane>,
    /// When the first of the scanned lanes that are not due becomes so. The ends of running leases are left aside: most
    /// deliveries are settled long before, and to watch over the ends of all would cost something for each.
    pub next_due_at: Option<Timestamp>,
}

/// What a bounded look over the queue found, for those who watch it. What is under a lease counts too: it is queued until
/// it is settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLook {
    /// Deliveries that are queued, or as many as were looked at.
    pub queued: usize,
    /// The oldest event that is queued, of the first [`QueueLook::TENANTS_MAX`] tenants with any.
    pub oldest: Option<EventId>,
}

impl QueueLook {
    /// Of how many tenants the oldest event is looked up, one seek in an index each.
    pub const TENANTS_MAX: usize = 1_000;
}

/// How many deliveries to take from one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneQuota {
    /// The lane.
    pub endpoint_id: EndpointId,
    /// At most so many.
    pub quota: usize,
    /// The version of the lane's circuit that says that they may be sent. When another one is stored, nothing is taken.
    pub circuit_version: u64,
}

impl LaneQuota {
    /// `quota` deliveries from the lane of an endpoint whose circuit was never written.
    pub fn without_circuit(endpoint_id: EndpointId, quota: usize) -> Self {
        LaneQuota { endpoint_id, quota, circuit_version: 0 }
    }
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The lease that everything claimed is put under. Its token is fresh for each call.
    pub lease: Lease,
    /// Which lanes, and how much of each.
    pub lanes: Vec<LaneQuota>,
    /// At most so many bytes of bodies over all lanes together; the claim ends in front of the first delivery that
    /// would go beyond. The very first delivery is claimed whatever its size.
    pub body_bytes_max: usize,
}

/// A delivery that the caller may work on until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// Which one.
    pub delivery: DeliveryRef,
    /// What to deliver.
    pub event: Arc<Event>,
    /// The right to do it.
    pub lease: Lease,
    /// Attempts settled in all; the next one's number is one more.
    pub attempts_total: u32,
    /// Attempts settled since the delivery was last queued; what the retry policy counts.
    pub attempts_made: u32,
}

/// A finished attempt and what follows from it.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The lease under which the attempt was made, unchanged: an engine may find the delivery by its end.
    pub lease: Lease,
    /// The attempt. Its duration is kept to the microsecond.
    pub attempt: Attempt,
    /// What follows.
    pub decision: Decision,
    /// The leaf of the attempt: it is stored with it, and waits for its log from then on.
    pub leaf: Leaf,
}

/// What became of one settlement of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is stored, durably.
    Written,
    /// The lease is no longer the stored one; nothing was written.
    Stale,
}

/// The delivery side of a store. Lanes of disabled and deleted endpoints are never scanned nor claimed.
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// Looks over the lanes with queued work, by endpoint id, starting behind `after`, until `limit` due lanes are
    /// found; lanes behind the last of these are not scanned. Costs nothing per queued row. A scan that found fewer
    /// than `limit` due lanes reached the end. A lane whose circuit blocks it is due when that ends, for everybody but
    /// the instance that has the right to probe.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError>;

    /// Looks at the queue as a whole, at `rows_max` entries of an index and no further, whatever is due and whoever owns it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError>;

    /// Claims deliveries that are due, lane by lane in the order of the request, the longest due first within each lane
    /// (by id where that is equal), and puts them under the lease. A delivery under a lease is due again when the lease
    /// ends. No delivery is claimed by two callers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: some may have been claimed; they come back when the lease ends, or by
    /// [`DeliveryStore::delivery_release_claim`].
    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError>;

    /// Writes attempts and what follows from them in one durable transaction, each only if its lease's token is still
    /// the stored one; a lease that has ended counts as long as nobody else claimed the delivery. Says for each, in
    /// order, what became of it.
    ///
    /// A decision to disable the endpoint takes effect in the same transaction, as a change made at `now`, unless it is
    /// disabled or deleted already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the outcome is unknown; repeat. What had been written then is
    /// [`Settled::Stale`].
    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError>;

    /// Gives leased deliveries back untried: they are due at `now` for everybody. Stale leases are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError>;

    /// Gives everything back that is under this lease, due at `now`: what a claim took whose answer was lost. A lease that
    /// has ended is passed over. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError>;

    /// Frees every lease of `owner`, or of everybody, whatever its end: what it covered is due at `now`. Returns how
    /// many. Rights to probe that they hold end as well ([`Circuit::released`](kapsel_core::Circuit::released)), and so do
    /// their leases of logs. For the start of an instance that knows the holders to be dead.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError>;

    /// Takes at most `limit` deliveries of deleted endpoints out of the queue and records them as discarded. Returns
    /// how many; 0 when nothing is left to take. Deliveries under a lease that has not ended are left for later.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Forgets at most about `limit` idempotency keys whose window has passed. Returns how many; 0 when nothing is left
    /// to forget.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
