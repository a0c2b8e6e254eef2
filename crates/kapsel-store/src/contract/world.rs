//! What the cases of the suite say over and over again, said once: a store, a clock, and sentences about them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    ApiKey, Attempt, Clock as _, DeliveryId, DeliveryRef, DeliveryState, Endpoint, EndpointId, EndpointStatus,
    Entropy as _, ErasureId, Event, EventId, FailureKind, FinalReason, HeaderBlock, IdGenerator, InstanceId, Lease,
    LeaseToken, Outcome, ReplayId, ResponseHead, Tenant, TenantId, TenantStatus, Timestamp,
};
use test_harness::builders::{api_key, leaf_of};
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use super::Fixture;
use crate::{
    ClaimRequest, ClaimedDelivery, EventDetail, EventFilter, EventSummary, Ingested, LaneQuota, LaneScan, NewDelivery,
    NewEvent, Settled, Settlement, StatusSet, Store, StoreError,
};

/// How long leases run unless a case says otherwise.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// More than any case stores.
pub(super) const ALL: usize = 10_000;

/// A store under test, and the clock, ids and chance that a case works with.
pub struct World {
    /// The store.
    pub store: Arc<dyn Store>,
    clock: TestClock,
    ids: IdGenerator,
    entropy: Arc<SeededEntropy>,
    instance: InstanceId,
    _keep: Box<dyn std::any::Any + Send + Sync>,
}

impl World {
    /// Around a fresh store.
    pub fn new(fixture: Fixture) -> Self {
        let entropy = Arc::new(SeededEntropy::new(0));
        let shared = Arc::clone(&entropy);
        let ids = IdGenerator::new(shared);
        let clock = TestClock::new();
        let instance = ids.next(clock.now());
        World { store: fixture.store, clock, ids, entropy, instance, _keep: fixture.keep }
    }

    // Time, ids and leases.

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn pass(&self, time: Duration) -> Timestamp {
        self.clock.advance(time)
    }

    pub(super) fn pass_seconds(&self, seconds: u64) -> Timestamp {
        self.pass(Duration::from_secs(seconds))
    }

    pub(super) fn event_id(&self) -> EventId {
        self.ids.next(self.now())
    }

    pub(super) fn replay_id(&self) -> ReplayId {
        self.ids.next(self.now())
    }

    pub(super) fn erasure_id(&self) -> ErasureId {
        self.ids.next(self.now())
    }

    pub(super) fn tenant_id(&self) -> TenantId {
        self.ids.next(self.now())
    }

    pub(super) fn instance_id(&self) -> InstanceId {
        self.ids.next(self.now())
    }

    /// A lease of [`LEASE`] with a fresh token.
    pub(super) fn lease(&self) -> Lease {
        self.lease_of(self.instance)
    }

    pub(super) fn lease_of(&self, owner: InstanceId) -> Lease {
        Lease { owner, token: LeaseToken(self.entropy.next_u64().cast_signed()), until: self.now() + LEASE }
    }

    // Endpoints.

    /// An endpoint as the builder makes it; not stored.
    pub(super) fn new_endpoint(&self) -> Endpoint {
        let id: EndpointId = self.ids.next(self.now());
        EndpointBuilder::new(id, "https://destination.example/hook", self.now()).build()
    }

    /// A stored, enabled endpoint of the default tenant.
    pub(super) async fn endpoint(&self) -> Endpoint {
        self.endpoint_of(TenantId::DEFAULT).await
    }

    pub(super) async fn endpoint_of(&self, tenant_id: TenantId) -> Endpoint {
        let endpoint = Endpoint { tenant_id, ..self.new_endpoint() };
        self.store.endpoint_insert(endpoint.clone()).await.unwrap();
        endpoint
    }

    /// Changes the status of a stored endpoint.
    pub(super) async fn set_status(&self, endpoint: &Endpoint, status: EndpointStatus) {
        let stored = self.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        let version = stored.version;
        let changed = Endpoint { status, updated_at: self.now(), version: version + 1, ..stored };
        self.store.endpoint_update_if_version(changed, version).await.unwrap();
    }

    pub(super) async fn disable(&self, endpoint: &Endpoint) {
        self.set_status(endpoint, EndpointStatus::Disabled(DisabledReason::Manual)).await;
    }

    pub(super) async fn enable(&self, endpoint: &Endpoint) {
        self.set_status(endpoint, EndpointStatus::Enabled).await;
    }

    pub(super) async fn delete(&self, endpoint: &Endpoint) {
        self.store.endpoint_delete(endpoint.tenant_id, endpoint.id, self.now()).await.unwrap();
    }

    // Tenants.

    /// A tenant without limits; not stored.
    pub(super) fn new_tenant(&self) -> Tenant {
        Tenant { id: self.tenant_id(), ..Tenant::default_at(self.now()) }
    }

    /// A stored, active tenant.
    pub(super) async fn tenant(&self) -> Tenant {
        let tenant = self.new_tenant();
        self.store.tenant_insert(tenant.clone()).await.unwrap();
        tenant
    }

    /// Changes the status of a stored tenant.
    pub(super) async fn set_tenant_status(&self, id: TenantId, status: TenantStatus) {
        let stored = self.store.tenant_get(id).await.unwrap();
        let version = stored.version;
        let changed = Tenant { status, updated_at: self.now(), version: version + 1, ..stored };
        self.store.tenant_update_if_version(changed, version).await.unwrap();
    }

    /// A key of a tenant; not stored.
    pub(super) fn new_api_key(&self, tenant_id: TenantId) -> ApiKey {
        api_key(self.ids.next(self.now()), tenant_id, self.now(), &*self.entropy).0
    }

    /// A stored key of a tenant that is stored as well.
    pub(super) async fn api_key(&self, tenant_id: TenantId) -> ApiKey {
        let key = self.new_api_key(tenant_id);
        self.store.api_key_insert(key.clone()).await.unwrap();
        key
    }

    // Ingest.

    /// An event for `endpoint` with one delivery that is due at once; not stored.
    pub(super) fn new_event(&self, endpoint: &Endpoint) -> NewEvent {
        self.new_event_of(EventBuilder::new(self.event_id(), endpoint, self.now()).build(), &[endpoint])
    }

    /// `event` with a delivery to each of `endpoints`; not stored.
    pub(super) fn new_event_of(&self, event: Event, endpoints: &[&Endpoint]) -> NewEvent {
        let delivery = |endpoint: &&Endpoint| NewDelivery {
            id: self.ids.next::<DeliveryId>(self.now()),
            endpoint_id: endpoint.id,
            lease: None,
            ended: None,
        };
        NewEvent { event: Arc::new(event), key: None, deliveries: endpoints.iter().map(delivery).collect() }
    }

    pub(super) async fn insert(&self, batch: Vec<NewEvent>) -> Vec<Ingested> {
        self.store.event_insert_batch(self.now(), Arc::new(batch)).await.unwrap()
    }

    /// Stores an event for `endpoint` that is due at once.
    pub(super) async fn accept(&self, endpoint: &Endpoint) -> DeliveryRef {
        self.accept_many(endpoint, 1).await[0]
    }

    pub(super) async fn accept_many(&self, endpoint: &Endpoint, count: usize) -> Vec<DeliveryRef> {
        let batch: Vec<_> = (0..count).map(|_| self.new_event(endpoint)).collect();
        let deliveries = batch.iter().map(only_delivery).collect();
        assert_eq!(self.insert(batch).await, vec![Ingested::Created; count]);
        deliveries
    }

    // The queue.

    /// A look over the lanes as the world's own instance sees them.
    pub(super) async fn lane_scan(&self, now: Timestamp, after: Option<EndpointId>, limit: usize) -> LaneScan {
        self.store.lane_scan(now, self.instance, after, limit).await.unwrap()
    }

    pub(super) async fn claim_with(&self, request: ClaimRequest) -> Vec<ClaimedDelivery> {
        self.store.delivery_claim_due(self.now(), request).await.unwrap()
    }

    /// Claims up to `quota` from each of `endpoints` under `lease`.
    pub(super) async fn claim(&self, lease: Lease, endpoints: &[&Endpoint], quota: usize) -> Vec<ClaimedDelivery> {
        let lanes = endpoints.iter().map(|endpoint| LaneQuota::without_circuit(endpoint.id, quota)).collect();
        self.claim_with(ClaimRequest { lease, lanes, body_bytes_max: usize::MAX }).await
    }

    /// Claims everything of `endpoint` that is due, under a fresh lease.
    pub(super) async fn claim_all(&self, endpoint: &Endpoint) -> Vec<ClaimedDelivery> {
        self.claim(self.lease(), &[endpoint], ALL).await
    }

    /// Claims the one delivery of `endpoint` that is due, under a fresh lease.
    pub(super) async fn claim_one(&self, endpoint: &Endpoint) -> ClaimedDelivery {
        let mut claimed = self.claim_all(endpoint).await;
        assert_eq!(claimed.len(), 1, "one delivery is due");
        claimed.remove(0)
    }

    /// The attempt on a claimed delivery, begun now and half a second long.
    pub(super) fn attempt(&self, claimed: &ClaimedDelivery, outcome: Outcome) -> Attempt {
        Attempt {
            id: self.ids.next(self.now()),
            delivery: claimed.delivery,
            number: claimed.attempts_total + 1,
            url: "https://destination.example/hook".to_owned(),
            started_at: self.now(),
            duration: Duration::from_millis(500),
            outcome,
        }
    }

    pub(super) fn settlement(&self, claimed: &ClaimedDelivery, outcome: Outcome, next: Next) -> Settlement {
        let decision = Decision { next, disable_endpoint: None };
        let attempt = self.attempt(claimed, outcome);
        let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
        Settlement { lease: claimed.lease, attempt, decision, leaf }
    }

    pub(super) fn delivered(&self, claimed: &ClaimedDelivery) -> Settlement {
        self.settlement(claimed, answer(200), Next::Delivered)
    }

    pub(super) fn retry_at(&self, claimed: &ClaimedDelivery, due_at: Timestamp) -> Settlement {
        self.settlement(claimed, answer(503), Next::RetryAt(due_at))
    }

    pub(super) fn failed(&self, claimed: &ClaimedDelivery, reason: FinalReason) -> Settlement {
        self.settlement(claimed, answer(404), Next::Failed(reason))
    }

    /// What follows from a 410: the endpoint is disabled, the delivery waits.
    pub(super) fn gone(&self, claimed: &ClaimedDelivery) -> Settlement {
        let mut settlement = self.settlement(claimed, answer(410), Next::RetryAt(self.now()));
        settlement.decision.disable_endpoint = Some(DisabledReason::Gone);
        settlement
    }

    pub(super) async fn settle_batch(&self, batch: Vec<Settlement>) -> Vec<Settled> {
        self.store.delivery_settle_if_leased(self.now(), Arc::new(batch)).await.unwrap()
    }

    /// Settles one that is expected to be written.
    pub(super) async fn settle(&self, settlement: Settlement) {
        assert_eq!(self.settle_batch(vec![settlement]).await, [Settled::Written]);
    }

    /// Claims the one due delivery of `endpoint` and settles it as delivered.
    pub(super) async fn deliver(&self, endpoint: &Endpoint) {
        let claimed = self.claim_one(endpoint).await;
        self.settle(self.delivered(&claimed)).await;
    }

    pub(super) async fn sweep(&self) -> usize {
        self.store.delivery_discard_of_deleted(self.now(), ALL).await.unwrap()
    }

    // What is seen from outside.

    pub(super) async fn detail(&self, delivery: DeliveryRef) -> EventDetail {
        self.store.event_get(delivery.tenant_id, delivery.event_id, self.now()).await.unwrap()
    }

    pub(super) async fn state(&self, delivery: DeliveryRef) -> DeliveryState {
        self.detail(delivery).await.summary.status
    }

    pub(super) async fn requeue(&self, delivery: DeliveryRef) -> Result<(), StoreError> {
        self.store.event_requeue(delivery.tenant_id, delivery.event_id, self.now()).await
    }

    /// All events of the default tenant that `filter` lets through, newest first.
    pub(super) async fn list(&self, filter: EventFilter) -> Vec<EventSummary> {
        self.store.event_list(TenantId::DEFAULT, filter, ALL, self.now()).await.unwrap()
    }

    pub(super) async fn list_in(&self, state: DeliveryState) -> Vec<EventId> {
        let events = self.list(EventFilter { status: StatusSet::only(state), ..EventFilter::default() }).await;
        events.iter().map(|event| event.id).collect()
    }

    /// How many events the default tenant has.
    pub(super) async fn event_count(&self) -> usize {
        self.list(EventFilter::default()).await.len()
    }
}

/// Names the only delivery of a new event.
pub(super) fn only_delivery(new: &NewEvent) -> DeliveryRef {
    assert_eq!(new.deliveries.len(), 1);
    let delivery = &new.deliveries[0];
    DeliveryRef {
        id: delivery.id,
        event_id: new.event.id,
        endpoint_id: delivery.endpoint_id,
        tenant_id: new.event.tenant_id,
    }
}

/// The events of what was claimed, in its order.
pub(super) fn events_of(claimed: &[ClaimedDelivery]) -> Vec<EventId> {
    claimed.iter().map(|claimed| claimed.delivery.event_id).collect()
}

/// A key with a window of one hour. Equal texts are equal keys.
pub(super) fn key(text: &str, explicit: bool) -> IdempotencyKey {
    let mut hash = [0; 32];
    hash[..text.len()].copy_from_slice(text.as_bytes());
    IdempotencyKey { text: text.to_owned(), hash, explicit, window: Duration::from_secs(3_600) }
}

/// `new` with the key `text` that its sender gave.
pub(super) fn with_key(new: NewEvent, text: &str) -> NewEvent {
    NewEvent { key: Some(key(text, true)), ..new }
}

/// `new` with other bytes in its body.
pub(super) fn with_body(new: NewEvent, body: impl Into<Bytes>) -> NewEvent {
    let body = body.into();
    let mut event = Event::clone(&new.event);
    // Any digest that differs between bodies will do: stores compare it and never compute it.
    event.body_sha256 = [0; 32];
    for (at, byte) in body.iter().enumerate() {
        let slot = &mut event.body_sha256[at % 32];
        *slot = slot.rotate_left(1) ^ byte ^ 0x5a;
    }
    event.body = body;
    NewEvent { event: Arc::new(event), ..new }
}

/// An answer with `status`.
pub(super) fn answer(status: u16) -> Outcome {
    let headers = HeaderBlock::from_pairs([("server", &b"destination"[..])]);
    Outcome::Response(ResponseHead { status, headers, body: Bytes::from_static(b"answer"), body_truncated: false })
}

/// No answer.
pub(super) fn no_answer(kind: FailureKind) -> Outcome {
    Outcome::Failure { kind, detail: "no answer".to_owned(), head: None }
}

/// Asserts that a call failed with [`StoreError::NotFound`].
#[track_caller]
pub(super) fn assert_not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "expected NotFound, got {result:?}");
}

/// Asserts that a call failed with [`StoreError::Conflict`].
#[track_caller]
pub(super) fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "expected Conflict, got {result:?}");
}
