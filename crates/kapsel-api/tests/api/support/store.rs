//! The memory engine behind a wrapper that can fail, hang, refuse and write down what it is asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use kapsel_core::{DeliveryRef, Endpoint, EndpointId, Event, EventId, InstanceId, Lease, TenantId, Timestamp};
use kapsel_store::{
    AdminStore, ChangeSeq, ClaimRequest, ClaimedDelivery, DeliveryStore, EndpointChange, EventDetail, EventFilter,
    EventSummary, IngestStore, Ingested, LaneScan, MemoryStore, NewEvent, QueueLook, QueueUsage, Settled, Settlement,
    StoreError,
};
use tokio::sync::watch;

/// How an insert fails, once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing was stored.
    Before,
    /// It was stored, but the caller does not learn of it.
    After,
    /// It never answers.
    Hang,
    /// It answers for fewer events than it was given.
    Short,
}

pub(crate) struct TestStore {
    pub(super) inner: MemoryStore,
    faults: Mutex<VecDeque<Fault>>,
    /// Every insert fails with this, if set.
    is_away: AtomicBool,
    /// A batch that holds this body is refused as a whole.
    poison: Mutex<Option<Bytes>>,
    /// A batch that holds this body makes the store panic.
    explosive: Mutex<Option<Bytes>>,
    gate: watch::Sender<bool>,
    calls: watch::Sender<usize>,
    batches: Mutex<Vec<Arc<Vec<NewEvent>>>>,
    /// The next so many updates of endpoints and of the state of replays lose a race.
    pub(super) races: AtomicUsize,
    ping_fault: Mutex<Option<Fault>>,
    pings: AtomicUsize,
    alarms: Mutex<Vec<String>>,
    /// Events are answered as if they were in a spool, if set.
    is_spooling: AtomicBool,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        TestStore {
            inner: MemoryStore::new(),
            faults: Mutex::default(),
            is_away: AtomicBool::new(false),
            poison: Mutex::default(),
            explosive: Mutex::default(),
            gate: watch::Sender::new(true),
            calls: watch::Sender::new(0),
            batches: Mutex::default(),
            races: AtomicUsize::new(0),
            ping_fault: Mutex::default(),
            pings: AtomicUsize::new(0),
            alarms: Mutex::default(),
            is_spooling: AtomicBool::new(false),
        }
    }

    /// The next inserts fail so, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Storing and reading what changed fail from now on, or do not any more.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Events go into a spool from now on.
    pub(crate) fn set_spooling(&self) {
        self.is_spooling.store(true, Ordering::SeqCst);
    }

    pub(crate) fn refuse(&self, body: &'static [u8]) {
        *self.poison.lock().unwrap() = Some(Bytes::from_static(body));
    }

    pub(crate) fn explode_on(&self, body: &'static [u8]) {
        *self.explosive.lock().unwrap() = Some(Bytes::from_static(body));
    }

    /// Inserts wait from now on.
    pub(crate) fn close_gate(&self) {
        self.gate.send_replace(false);
    }

    /// Inserts go on.
    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Waits until `count` inserts were begun in all.
    pub(crate) async fn inserts_begun(&self, count: usize) {
        self.calls.subscribe().wait_for(|calls| *calls >= count).await.unwrap();
    }

    /// What was given to each insert.
    pub(crate) fn batches(&self) -> Vec<Arc<Vec<NewEvent>>> {
        self.batches.lock().unwrap().clone()
    }

    /// The next `count` updates of endpoints and of the state of replays find that somebody was faster.
    pub(crate) fn lose_races(&self, count: usize) {
        self.races.store(count, Ordering::SeqCst);
    }

    pub(crate) fn set_ping(&self, fault: Option<Fault>) {
        *self.ping_fault.lock().unwrap() = fault;
    }

    pub(crate) fn set_alarms(&self, alarms: &[&str]) {
        *self.alarms.lock().unwrap() = alarms.iter().map(|alarm| (*alarm).to_owned()).collect();
    }

    pub(crate) fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }

    fn away(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) { Err(unavailable()) } else { Ok(()) }
    }
}

fn unavailable() -> StoreError {
    StoreError::unavailable("the test says so", "secret-internal-detail")
}

#[async_trait]
impl IngestStore for TestStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        self.batches.lock().unwrap().push(Arc::clone(&batch));
        self.calls.send_modify(|calls| *calls += 1);
        self.gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        self.away()?;
        if self.is_spooling.load(Ordering::SeqCst) {
            return Ok(vec![Ingested::Spooled; batch.len()]);
        }
        let holds = |body: &Mutex<Option<Bytes>>| {
            let body = body.lock().unwrap().clone();
            body.is_some_and(|body| batch.iter().any(|new| new.event.body == body))
        };
        if holds(&self.poison) {
            return Err(StoreError::corrupt("a row that cannot be", "secret-internal-detail"));
        }
        assert!(!holds(&self.explosive), "explosive");
        let fault = self.faults.lock().unwrap().pop_front();
        if matches!(fault, Some(Fault::Before)) {
            return Err(unavailable());
        }
        if matches!(fault, Some(Fault::Hang)) {
            std::future::pending::<()>().await;
        }
        let mut results = self.inner.event_insert_batch(now, batch).await?;
        match fault {
            Some(Fault::After) => return Err(unavailable()),
            Some(Fault::Short) => drop(results.pop()),
            _ => {}
        }
        Ok(results)
    }
}

kapsel_store::delegate_circuit_store!(TestStore, inner);
kapsel_store::delegate_attestation_store!(TestStore, inner);

#[async_trait]
impl DeliveryStore for TestStore {
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

kapsel_store::delegate_tenant_store!(TestStore, inner);
kapsel_store::delegate_reply_store!(TestStore, inner);
kapsel_store::delegate_statistics_store!(TestStore, inner);
kapsel_store::delegate_retention_store!(TestStore, inner);
kapsel_store::delegate_erasure_store!(TestStore, inner);

#[async_trait]
impl AdminStore for TestStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        let fault = *self.ping_fault.lock().unwrap();
        match fault {
            None => self.inner.ping().await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(_) => Err(unavailable()),
        }
    }

    fn alarms(&self) -> Vec<String> {
        self.alarms.lock().unwrap().clone()
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.away()?;
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
        let lost = self.races.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |races| races.checked_sub(1));
        if lost.is_ok() {
            // Somebody else renames it in between.
            let mut other = self.inner.endpoint_get(endpoint.tenant_id, endpoint.id).await?;
            let version = other.version;
            other.version += 1;
            other.config.name.push('!');
            self.inner.endpoint_update_if_version(other, version).await?;
        }
        self.inner.endpoint_update_if_version(endpoint, expected_version).await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.endpoint_delete(tenant_id, id, now).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        self.away()?;
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
