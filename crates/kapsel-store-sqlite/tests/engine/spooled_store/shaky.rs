//! A store and a spool that fail when a test says so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use kapsel_core::{DeliveryRef, Endpoint, EndpointId, Event, EventId, InstanceId, Lease, TenantId, Timestamp};
use kapsel_store::spool::{SpoolPage, SpoolSize, SpoolStore};
use kapsel_store::{
    AdminStore, ChangeSeq, ClaimRequest, ClaimedDelivery, DeliveryStore, EndpointChange, EventDetail, EventFilter,
    EventSummary, IngestStore, Ingested, LaneScan, MemoryStore, NewEvent, QueueLook, QueueUsage, Settled, Settlement,
    StoreError,
};
use tokio::sync::watch;

/// What a store does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It stores it and says so.
    Well,
    /// It stores nothing.
    Away,
    /// It stores it, but the caller does not learn of it.
    Silent,
    /// It never answers.
    Hanging,
    /// It goes through the other moods but the last, call by call.
    Moody,
}

/// The memory engine behind moods. Everything but storing events and pings always works.
pub(crate) struct ShakyStore {
    pub(crate) inner: MemoryStore,
    mood: Mutex<Mood>,
    calls: AtomicUsize,
    pings: watch::Sender<usize>,
    /// A batch that holds this body is refused as a whole.
    poison: Mutex<Option<Bytes>>,
    /// A batch that holds this body makes the store panic.
    explosive: Mutex<Option<Bytes>>,
}

impl ShakyStore {
    pub(crate) fn new() -> Self {
        ShakyStore {
            inner: MemoryStore::new(),
            mood: Mutex::new(Mood::Well),
            calls: AtomicUsize::new(0),
            pings: watch::Sender::new(0),
            poison: Mutex::default(),
            explosive: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn refuse(&self, body: Option<&'static [u8]>) {
        *self.poison.lock().unwrap() = body.map(Bytes::from_static);
    }

    pub(crate) fn explode_on(&self, body: &'static [u8]) {
        *self.explosive.lock().unwrap() = Some(Bytes::from_static(body));
    }

    /// How often it was asked to store something.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until it was asked for a sign of life.
    pub(crate) async fn pinged(&self) {
        self.pings.subscribe().wait_for(|pings| *pings > 0).await.unwrap();
    }

    fn mood_of_this_call(&self) -> Mood {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match *self.mood.lock().unwrap() {
            Mood::Moody => [Mood::Well, Mood::Well, Mood::Silent, Mood::Well, Mood::Away][call % 5],
            mood => mood,
        }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable { message: "the test says so", cause: None }
}

#[async_trait]
impl IngestStore for ShakyStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let holds = |body: &Mutex<Option<Bytes>>| {
            let body = body.lock().unwrap().clone();
            body.is_some_and(|body| batch.iter().any(|new| new.event.body == body))
        };
        match self.mood_of_this_call() {
            Mood::Away => Err(away()),
            _ if holds(&self.poison) => Err(StoreError::corrupt("a row that cannot be", "poison")),
            _ if holds(&self.explosive) => panic!("explosive"),
            Mood::Well | Mood::Moody => self.inner.event_insert_batch(now, batch).await,
            Mood::Silent => {
                self.inner.event_insert_batch(now, batch).await?;
                Err(away())
            }
            Mood::Hanging => std::future::pending().await,
        }
    }
}

kapsel_store::delegate_circuit_store!(ShakyStore, inner);
kapsel_store::delegate_tenant_store!(ShakyStore, inner);
kapsel_store::delegate_reply_store!(ShakyStore, inner);
kapsel_store::delegate_statistics_store!(ShakyStore, inner);
kapsel_store::delegate_replay_store!(ShakyStore, inner);
kapsel_store::delegate_retention_store!(ShakyStore, inner);
kapsel_store::delegate_erasure_store!(ShakyStore, inner);
kapsel_store::delegate_attestation_store!(ShakyStore, inner);

#[async_trait]
impl DeliveryStore for ShakyStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        self.inner.lane_scan(now, viewer, after, limit).await
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        self.inner.queue_look(rows_max).await
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.inner.delivery_claim_due(now, request).await
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.inner.delivery_settle_if_leased(now, batch).await
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        self.inner.delivery_release_if_leased(now, batch).await
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        self.inner.delivery_release_claim(now, lease).await
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        self.inner.lease_release_all(now, owner).await
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.delivery_discard_of_deleted(now, limit).await
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.idempotency_prune(now, limit).await
    }
}

#[async_trait]
impl AdminStore for ShakyStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.send_modify(|pings| *pings += 1);
        match *self.mood.lock().unwrap() {
            Mood::Well | Mood::Moody => Ok(()),
            Mood::Away | Mood::Silent | Mood::Hanging => Err(away()),
        }
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.inner.endpoint_insert(endpoint).await
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.inner.endpoint_get(tenant_id, id).await
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.inner.endpoint_list(tenant_id, after, limit).await
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        self.inner.endpoint_update_if_version(endpoint, expected_version).await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.endpoint_delete(tenant_id, id, now).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        self.inner.endpoint_changes(since, limit).await
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        self.inner.event_get(tenant_id, id, now).await
    }

    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        self.inner.event_list(tenant_id, filter, limit, now).await
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        self.inner.queue_usage(tenant_id, rows_max).await
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        self.inner.event_read(tenant_id, id).await
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.event_requeue(tenant_id, id, now).await
    }
}

/// A spool whose inserts can be held up and whose removals can fail.
pub(crate) struct ShakySpool<S> {
    pub(crate) inner: S,
    gate: watch::Sender<bool>,
    begun: watch::Sender<usize>,
    keeps_all: AtomicBool,
}

impl<S: SpoolStore> ShakySpool<S> {
    pub(crate) fn new(inner: S) -> Self {
        ShakySpool {
            inner,
            gate: watch::Sender::new(true),
            begun: watch::Sender::new(0),
            keeps_all: AtomicBool::new(false),
        }
    }

    /// Inserts wait from now on, or go on.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.gate.send_replace(is_open);
    }

    /// Removals fail from now on, or do not.
    pub(crate) fn set_keeping(&self, keeps_all: bool) {
        self.keeps_all.store(keeps_all, Ordering::SeqCst);
    }

    /// Waits until `count` inserts were begun in all.
    pub(crate) async fn inserts_begun(&self, count: usize) {
        self.begun.subscribe().wait_for(|begun| *begun >= count).await.unwrap();
    }
}

#[async_trait]
impl<S: SpoolStore> SpoolStore for ShakySpool<S> {
    async fn spool_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        self.begun.send_modify(|begun| *begun += 1);
        self.gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        self.inner.spool_insert_batch(now, batch).await
    }

    async fn spool_read(&self, after: i64, limit: usize, bytes_max: usize) -> Result<SpoolPage, StoreError> {
        self.inner.spool_read(after, limit, bytes_max).await
    }

    async fn spool_remove(&self, seqs: Vec<i64>) -> Result<(), StoreError> {
        if self.keeps_all.load(Ordering::SeqCst) { Err(away()) } else { self.inner.spool_remove(seqs).await }
    }

    fn spool_size(&self) -> SpoolSize {
        self.inner.spool_size()
    }
}
