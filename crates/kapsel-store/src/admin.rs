//! Managing endpoints and looking at events. Every call names the tenant; what belongs to another one is not found.

use async_trait::async_trait;
use kapsel_core::{
    Attempt, DeliveryRef, DeliveryState, Endpoint, EndpointId, Event, EventId, EventStatus, FinalReason, TenantId,
    Timestamp,
};
use kapsel_verification::Hash;

use crate::error::StoreError;

/// The position of a change in the order in which the store made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ChangeSeq(pub i64);

/// An endpoint was created, changed or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointChange {
    /// Where in the order.
    pub seq: ChangeSeq,
    /// Which endpoint.
    pub id: EndpointId,
    /// Its present form; `None` if it is deleted or cannot be read.
    pub endpoint: Option<Box<Endpoint>>,
    /// Whether its present form cannot be read, because it is damaged or a newer program wrote it. Whoever knows its
    /// former one keeps that; the others must not be held up.
    pub is_unreadable: bool,
}

/// An event as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSummary {
    /// Its id.
    pub id: EventId,
    /// The endpoint it was sent to.
    pub endpoint_id: EndpointId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The `Content-Type` it came with.
    pub content_type: Option<String>,
    /// The length of its body, in bytes.
    pub size_bytes: u64,
    /// The idempotency key it came with.
    pub idempotency_key: Option<String>,
    /// Where it stands: the state of its delivery. With several deliveries, the first of delivering, pending, received,
    /// failed, discarded, delivered that one of them is in.
    pub status: EventStatus,
    /// Why it ended without success; with several deliveries, why the first one (by id) in the state `status` did.
    pub reason: Option<FinalReason>,
    /// When its first successful attempt ended.
    pub delivered_at: Option<Timestamp>,
    /// When it was erased: what it held, and what its attempts held, is gone.
    pub erased_at: Option<Timestamp>,
    /// Attempts settled so far, over all its deliveries.
    pub attempts_total: u32,
    /// When it is due again, while it is received or pending; with several deliveries, the earliest such time of those
    /// in the state `status`.
    pub next_attempt_at: Option<Timestamp>,
}

/// One delivery of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// Which one.
    pub delivery: DeliveryRef,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it ended without success.
    pub reason: Option<FinalReason>,
    /// When it is due again, while it waits.
    pub next_attempt_at: Option<Timestamp>,
}

/// An event with everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    /// The event.
    pub summary: EventSummary,
    /// Its deliveries, by id.
    pub deliveries: Vec<DeliveryDetail>,
    /// All attempts: delivery after delivery, by number within each.
    pub attempts: Vec<Attempt>,
    /// The hash of each attempt's leaf in the log, in the order of the attempts. Attempts from before there was a log have
    /// none.
    pub leaf_hashes: Vec<Option<Hash>>,
}

/// A set of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSet(u8);

impl StatusSet {
    /// All states.
    pub const ALL: StatusSet = StatusSet(0b11_1111);

    /// Everything that has not reached its destination: waiting, under way, failed and discarded.
    pub const UNDELIVERED: StatusSet = StatusSet(Self::ALL.0 & !(1 << DeliveryState::Delivered as u8));

    /// One state alone.
    pub const fn only(state: DeliveryState) -> Self {
        StatusSet(1 << state as u8)
    }

    /// Whether no state is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every state is in the set.
    pub const fn is_all(self) -> bool {
        self.0 == Self::ALL.0
    }

    /// Whether `state` is in the set.
    pub const fn contains(self, state: DeliveryState) -> bool {
        self.0 & (1 << state as u8) != 0
    }

    /// The set without `state`.
    pub const fn without(self, state: DeliveryState) -> Self {
        StatusSet(self.0 & !(1 << state as u8))
    }

    /// Its states, in the order of a life.
    pub fn iter(self) -> impl Iterator<Item = DeliveryState> {
        DeliveryState::ALL.iter().copied().filter(move |state| self.contains(*state))
    }
}

impl FromIterator<DeliveryState> for StatusSet {
    fn from_iter<I: IntoIterator<Item = DeliveryState>>(states: I) -> Self {
        StatusSet(states.into_iter().fold(0, |bits, state| bits | 1 << state as u8))
    }
}

/// Which events to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFilter {
    /// In one of these states.
    pub status: StatusSet,
    /// Sent to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Received at this time or later, as event ids tell it: from [`EventId::lower_bound`] of this time on.
    pub since: Option<Timestamp>,
    /// Received before this time, in the same sense.
    pub until: Option<Timestamp>,
    /// Older than this event: where the next page begins.
    pub before: Option<EventId>,
    /// Newer than this event: where the page before begins. The list then goes the other way, oldest first.
    pub after: Option<EventId>,
}

impl Default for EventFilter {
    fn default() -> Self {
        EventFilter { status: StatusSet::ALL, endpoint_id: None, since: None, until: None, before: None, after: None }
    }
}

/// Where an engine with tables finds the events that can pass a filter. Where delivered ones cannot, they come from the
/// queue and the outcomes, which are small, and not from all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All of one endpoint.
    OfEndpoint(EndpointId),
    /// All of the tenant.
    OfTenant,
    /// What is queued or has an outcome.
    Undelivered,
    /// What is queued.
    Queued,
    /// What has an outcome.
    GivenUp,
}

impl EventFilter {
    /// Where the events that can pass are found. Those of other endpoints and in other states may be among them.
    pub fn candidates(&self) -> Candidates {
        let wants = |state| self.status.contains(state);
        let can_be_given_up = wants(DeliveryState::Failed) || wants(DeliveryState::Discarded);
        // A deletion discards what is queued at once; the rows move later.
        let can_be_queued =
            [DeliveryState::Received, DeliveryState::Pending, DeliveryState::Delivering, DeliveryState::Discarded]
                .into_iter()
                .any(wants);
        match self.endpoint_id {
            Some(endpoint_id) if wants(DeliveryState::Delivered) => Candidates::OfEndpoint(endpoint_id),
            None if wants(DeliveryState::Delivered) => Candidates::OfTenant,
            _ if can_be_queued && can_be_given_up => Candidates::Undelivered,
            _ if can_be_queued => Candidates::Queued,
            _ => Candidates::GivenUp,
        }
    }

    /// Whether the list goes from old to new.
    pub fn is_oldest_first(&self) -> bool {
        self.after.is_some()
    }

    /// The first id that can pass.
    pub fn lowest_id(&self) -> EventId {
        self.since.map_or(EventId::MIN, EventId::lower_bound)
    }

    /// Ids up to this one cannot pass, where the list goes from old to new.
    pub fn passed_id(&self) -> EventId {
        self.after.unwrap_or(EventId::MIN).max(self.lowest_id().predecessor())
    }

    /// Ids from this one on cannot pass.
    pub fn end_id(&self) -> Option<EventId> {
        self.before.into_iter().chain(self.until.map(EventId::lower_bound)).min()
    }

    /// Whether an event of this endpoint can pass.
    pub fn takes_endpoint(&self, endpoint_id: EndpointId) -> bool {
        self.endpoint_id.is_none_or(|wanted| wanted == endpoint_id)
    }
}

/// What a tenant has queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueUsage {
    /// Deliveries that are queued, or as many as were looked at.
    pub deliveries: u64,
    /// The bodies of their events, in bytes.
    pub bytes: u64,
}

/// The management side of a store.
#[async_trait]
pub trait AdminStore: Send + Sync {
    /// Asks the store for a sign of life that includes its disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn ping(&self) -> Result<(), StoreError>;

    /// What somebody should look at though the store works, a sentence each, as of its last look at itself. Costs
    /// nothing.
    fn alarms(&self) -> Vec<String> {
        Vec::new()
    }

    /// Stores a new endpoint.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the id is taken, be it by a deleted endpoint or by another tenant's.
    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError>;

    /// Reads one endpoint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError>;

    /// Lists at most `limit` endpoints, oldest first, behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError>;

    /// Replaces an endpoint if its stored version is `expected_version`. `endpoint.version` must be larger. The time of
    /// its creation stays as stored.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] if it was changed meanwhile.
    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError>;

    /// Deletes an endpoint. Its events stay visible; what was queued for it counts as discarded from now on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError>;

    /// The changes of all tenants' endpoints behind `since`, at most `limit`, in their order. Each endpoint appears
    /// once, in its present form. This is how an instance learns what others did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError>;

    /// One event with its deliveries and attempts. `now` tells a running lease from one that has ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError>;

    /// Lists at most `limit` events, newest first, or with `after` oldest first. Pages that follow each other by `before`
    /// or by `after` show each event that existed at the first page and kept its state exactly once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError>;

    /// What a tenant has queued, as far as a look at `rows_max` rows tells. It costs as much as there are rows up to there,
    /// so it is not for every request.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError>;

    /// One event as it came in, body and all.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is erased.
    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError>;

    /// Queues every delivery of an event anew, due at `now`: those that ended and those that wait. The retry policy
    /// counts from the start; the history stays and attempt numbers go on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] with, the first that applies: "the event is erased", "an attempt is under way", "the
    /// endpoint is deleted", "the endpoint is disabled; enable it first". Then nothing was queued.
    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError>;
}
