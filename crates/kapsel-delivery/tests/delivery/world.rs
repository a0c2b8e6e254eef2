//! A dispatcher over the in-memory store, with a scripted transport, a store that fails on command, and time that only
//! passes when nothing else is to be done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use kapsel_core::{
    Clock, DeliveryId, DeliveryRef, DeliveryState, Endpoint, EndpointId, EndpointStatus, EventId, IdGenerator,
    InstanceId, Lease, Outcome, ResponseHead, TenantId, Timestamp,
};
use kapsel_delivery::{DeliverySettings, Deps, Dispatcher, OutboundRequest, Transport};
use kapsel_store::{
    AdminStore, CircuitStore, ClaimRequest, ClaimedDelivery, DeliveryStore, EndpointDirectory, EventDetail, Handoff,
    IngestStore, LaneScan, MemoryStore, NewDelivery, NewEvent, QueueLook, Settled, Settlement, Slot, StoreError,
    StoredCircuit,
};
use test_harness::builders::LOG_ID;
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TokioClock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What the scripted transport does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with this status at once.
    Status(u16),
    /// Answers with this head at once.
    Head(ResponseHead),
    /// Answers 200 after so long.
    After(Duration),
    /// Answers 200 when the test says so, by [`ScriptedTransport::let_go`].
    WhenLetGo,
    /// Reports a timeout at the deadline, as a destination that hangs makes it.
    Hang,
    /// Never returns, not even at the deadline.
    Stuck,
    /// Panics.
    Panic,
}

/// One request as the transport saw it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub url: String,
    pub headers: HeaderMap,
    pub body: bytes::Bytes,
    pub at: Instant,
    pub deadline: Instant,
}

type Script = Box<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// Replies as its script says, which is asked with the URL and the number of the request to that URL, from 0.
pub(crate) struct ScriptedTransport {
    script: Mutex<Script>,
    sent: Mutex<Vec<Sent>>,
    count: watch::Sender<usize>,
    running: Mutex<HashMap<String, usize>>,
    most_running: Mutex<HashMap<String, usize>>,
    let_go: Notify,
}

impl ScriptedTransport {
    fn new() -> Self {
        ScriptedTransport {
            script: Mutex::new(Box::new(|_, _| Reply::Status(200))),
            sent: Mutex::default(),
            count: watch::Sender::new(0),
            running: Mutex::default(),
            most_running: Mutex::default(),
            let_go: Notify::new(),
        }
    }

    pub(crate) fn script(&self, script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Waits until so many requests have been begun.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Sent> {
        self.count.subscribe().wait_for(|so_far| *so_far >= count).await.unwrap();
        self.sent()
    }

    /// Has the requests answered that wait now.
    pub(crate) fn let_go(&self) {
        self.let_go.notify_waiters();
    }

    /// The most requests that were under way to one URL at once.
    pub(crate) fn most_running(&self, url: &str) -> usize {
        self.most_running.lock().unwrap().get(url).copied().unwrap_or(0)
    }
}

/// Counts a request as under way until it is dropped.
struct Running<'a>(&'a ScriptedTransport, String);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap().get_mut(&self.1).unwrap() -= 1;
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, request: OutboundRequest, deadline: Instant) -> Outcome {
        let url = request.url.as_str().to_owned();
        let mut let_go = std::pin::pin!(self.let_go.notified());
        let_go.as_mut().enable();
        let number = {
            let mut sent = self.sent.lock().unwrap();
            let number = sent.iter().filter(|sent| sent.url == url).count();
            let (headers, body) = (request.headers, request.body);
            sent.push(Sent { url: url.clone(), headers, body, at: Instant::now(), deadline });
            number
        };
        let now_running = {
            let mut running = self.running.lock().unwrap();
            let running = running.entry(url.clone()).or_default();
            *running += 1;
            *running
        };
        let _running = Running(self, url.clone());
        {
            let mut most = self.most_running.lock().unwrap();
            let most = most.entry(url.clone()).or_default();
            *most = (*most).max(now_running);
        }
        self.count.send_modify(|count| *count += 1);
        let reply = (self.script.lock().unwrap())(&url, number);
        let status = |status| Outcome::Response(ResponseHead { status, ..ResponseHead::default() });
        match reply {
            Reply::Status(code) => status(code),
            Reply::Head(head) => Outcome::Response(head),
            Reply::After(wait) => {
                tokio::time::sleep(wait).await; // paused clock: the destination takes its time
                status(200)
            }
            Reply::WhenLetGo => {
                let_go.await;
                status(200)
            }
            Reply::Hang => {
                tokio::time::sleep_until(deadline).await; // paused clock: a destination that hangs
                let detail = "scripted".to_owned();
                Outcome::Failure { kind: kapsel_core::FailureKind::Timeout, detail, head: None }
            }
            Reply::Stuck => std::future::pending().await,
            Reply::Panic => panic!("scripted panic"),
        }
    }
}

/// What goes wrong in the next settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and nothing is written.
    BeforeCommit,
    /// It is written, but the caller is told that it failed.
    AfterCommit,
    /// It is refused as damaged if it holds more than one settlement, or this one's attempt failed.
    RefuseFailedAttempts,
    /// It panics.
    Panic,
}

/// The in-memory store, failing on command and telling what it did.
pub(crate) struct FaultyStore {
    pub inner: Arc<MemoryStore>,
    /// Taken one by one by settlements; a fault for ever is in `always`.
    faults: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    scan_faults: Mutex<usize>,
    lost_claims: Mutex<usize>,
    lost_circuit_writes: Mutex<usize>,
    /// Settlements and releases written, and claims made, since the start.
    pub written: watch::Sender<usize>,
    pub settle_calls: watch::Sender<usize>,
    pub claims: Mutex<Vec<ClaimRequest>>,
}

impl FaultyStore {
    pub(crate) fn fail_settlements(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn always_fail_settlements(&self, fault: Option<Fault>) {
        *self.always.lock().unwrap() = fault;
    }

    pub(crate) fn fail_scans(&self, count: usize) {
        *self.scan_faults.lock().unwrap() = count;
    }

    /// The next claims are made, but the caller is told that they failed.
    pub(crate) fn lose_claims(&self, count: usize) {
        *self.lost_claims.lock().unwrap() = count;
    }

    /// The next writes of circuits are made, but the caller is told that they failed.
    pub(crate) fn lose_circuit_writes(&self, count: usize) {
        *self.lost_circuit_writes.lock().unwrap() = count;
    }

    /// Waits until so many settlements and releases were written.
    pub(crate) async fn wait_for_written(&self, count: usize) {
        self.written.subscribe().wait_for(|so_far| *so_far >= count).await.unwrap();
    }

    fn unavailable() -> StoreError {
        StoreError::unavailable("scripted", "scripted fault")
    }
}

#[async_trait]
impl CircuitStore for FaultyStore {
    async fn circuit_put_if_version(&self, batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError> {
        let written = self.inner.circuit_put_if_version(batch).await;
        let mut lost = self.lost_circuit_writes.lock().unwrap();
        if *lost > 0 {
            *lost -= 1;
            return Err(FaultyStore::unavailable());
        }
        written
    }

    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError> {
        self.inner.circuit_changes(since).await
    }

    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError> {
        self.inner.circuit_read(endpoints).await
    }

    async fn circuit_list(
        &self,
        tenant: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError> {
        self.inner.circuit_list(tenant, endpoints).await
    }

    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.circuit_reset(tenant_id, id, now).await
    }
}

#[async_trait]
impl DeliveryStore for FaultyStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        {
            let mut faults = self.scan_faults.lock().unwrap();
            if *faults > 0 {
                *faults -= 1;
                return Err(FaultyStore::unavailable());
            }
        }
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
        self.claims.lock().unwrap().push(request.clone());
        let claimed = self.inner.delivery_claim_due(now, request).await;
        let mut lost = self.lost_claims.lock().unwrap();
        if *lost > 0 {
            *lost -= 1;
            return Err(FaultyStore::unavailable());
        }
        claimed
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.settle_calls.send_modify(|count| *count += 1);
        let fault = (*self.always.lock().unwrap()).or_else(|| self.faults.lock().unwrap().pop_front());
        let has_failed = batch.iter().any(|settlement| !settlement.attempt.outcome.is_success());
        match fault {
            Some(Fault::BeforeCommit) => return Err(FaultyStore::unavailable()),
            Some(Fault::Panic) => panic!("scripted panic"),
            Some(Fault::RefuseFailedAttempts) if has_failed => {
                return Err(StoreError::corrupt("scripted", "scripted fault"));
            }
            _ => {}
        }
        let count = batch.len();
        let settled = self.inner.delivery_settle_if_leased(now, batch).await?;
        if fault == Some(Fault::AfterCommit) {
            return Err(FaultyStore::unavailable());
        }
        self.written.send_modify(|written| *written += count);
        Ok(settled)
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        let count = batch.len();
        self.inner.delivery_release_if_leased(now, batch).await?;
        self.written.send_modify(|written| *written += count);
        Ok(())
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

/// Everything that a test of the dispatcher needs.
pub(crate) struct World {
    pub store: Arc<FaultyStore>,
    pub transport: Arc<ScriptedTransport>,
    pub directory: Arc<EndpointDirectory>,
    pub dispatcher: Arc<Dispatcher>,
    pub clock: Arc<dyn Clock>,
    entropy: Arc<SeededEntropy>,
    ids: IdGenerator,
}

impl World {
    pub(crate) async fn new() -> Self {
        World::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut DeliverySettings)) -> Self {
        let inner = Arc::new(MemoryStore::new());
        let store = Arc::new(FaultyStore {
            inner: Arc::clone(&inner),
            faults: Mutex::default(),
            always: Mutex::default(),
            scan_faults: Mutex::default(),
            lost_claims: Mutex::default(),
            lost_circuit_writes: Mutex::default(),
            written: watch::Sender::new(0),
            settle_calls: watch::Sender::new(0),
            claims: Mutex::default(),
        });
        let directory = Arc::new(EndpointDirectory::load(inner).await.unwrap());
        let transport = Arc::new(ScriptedTransport::new());
        let entropy = Arc::new(SeededEntropy::new(7));
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let chance = Arc::clone(&entropy);
        let ids = IdGenerator::new(chance);
        let mut settings = DeliverySettings::default();
        change(&mut settings);
        let deps = deps(&store, &directory, &transport, &clock, &entropy, ids.next(clock.now()));
        let dispatcher = Arc::new(Dispatcher::new(deps, settings));
        dispatcher.load().await.unwrap();
        World { store, transport, directory, dispatcher, clock, entropy, ids }
    }

    /// One more instance on the same store.
    pub(crate) fn another_dispatcher(&self, settings: DeliverySettings) -> Dispatcher {
        let instance = self.ids.next(self.now());
        let deps = deps(&self.store, &self.directory, &self.transport, &self.clock, &self.entropy, instance);
        Dispatcher::new(deps, settings)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs the dispatcher until it is drained or the runtime ends.
    pub(crate) fn run(&self) -> tokio::task::JoinHandle<()> {
        let dispatcher = Arc::clone(&self.dispatcher);
        tokio::spawn(async move { dispatcher.run(std::future::pending()).await })
    }

    /// A stored endpoint whose URL is `http://{name}.example/`.
    pub(crate) async fn endpoint(&self, name: &str, change: impl FnOnce(&mut Endpoint)) -> Endpoint {
        let id: EndpointId = self.ids.next(self.now());
        let url = format!("http://{name}.example/");
        let endpoint = EndpointBuilder::new(id, &url, self.now()).with(change).build();
        self.store.inner.endpoint_insert(endpoint.clone()).await.unwrap();
        self.directory.refresh().await.unwrap();
        endpoint
    }

    pub(crate) async fn set_status(&self, endpoint: &Endpoint, status: EndpointStatus) {
        let stored = self.store.inner.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        let version = stored.version;
        let changed = Endpoint { status, version: version + 1, ..stored };
        self.store.inner.endpoint_update_if_version(changed, version).await.unwrap();
        self.directory.refresh().await.unwrap();
    }

    /// Stores events that come from the queue.
    pub(crate) async fn queue(&self, endpoint: &Endpoint, count: usize) -> Vec<EventId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.insert(endpoint, None, bytes::Bytes::from_static(b"queued")).await.0);
        }
        ids
    }

    /// What the ingest side does with one event: by a slot if there is one. The event and whether there was one.
    pub(crate) async fn ingest(&self, endpoint: &Endpoint) -> (EventId, bool) {
        self.ingest_body(endpoint, bytes::Bytes::from_static(b"fresh")).await
    }

    pub(crate) async fn ingest_body(&self, endpoint: &Endpoint, body: bytes::Bytes) -> (EventId, bool) {
        match self.reserve(endpoint, body.len()) {
            Some(slot) => {
                let (id, claimed) = self.insert(endpoint, Some(slot.lease()), body).await;
                slot.start(claimed.unwrap());
                (id, true)
            }
            None => (self.insert(endpoint, None, body).await.0, false),
        }
    }

    pub(crate) fn reserve(&self, endpoint: &Endpoint, body_bytes: usize) -> Option<Box<dyn Slot>> {
        self.handoff().reserve(endpoint.id, body_bytes, self.now())
    }

    pub(crate) fn handoff(&self) -> Arc<dyn Handoff> {
        self.dispatcher.handoff()
    }

    pub(crate) async fn insert(
        &self,
        endpoint: &Endpoint,
        lease: Option<Lease>,
        body: bytes::Bytes,
    ) -> (EventId, Option<ClaimedDelivery>) {
        let now = self.now();
        let id: EventId = self.ids.next(now);
        let delivery_id: DeliveryId = self.ids.next(now);
        let event = Arc::new(EventBuilder::new(id, endpoint, now).body(body).build());
        let delivery = NewDelivery { id: delivery_id, endpoint_id: endpoint.id, lease, ended: None };
        let new = NewEvent { event: Arc::clone(&event), key: None, deliveries: vec![delivery] };
        self.store.inner.event_insert_batch(now, Arc::new(vec![new])).await.unwrap();
        let claimed = lease.map(|lease| ClaimedDelivery {
            delivery: DeliveryRef {
                id: delivery_id,
                event_id: id,
                endpoint_id: endpoint.id,
                tenant_id: endpoint.tenant_id,
            },
            event,
            lease,
            attempts_total: 0,
            attempts_made: 0,
        });
        (id, claimed)
    }

    pub(crate) async fn event(&self, id: EventId) -> EventDetail {
        self.store.inner.event_get(TenantId::DEFAULT, id, self.now()).await.unwrap()
    }

    pub(crate) async fn state(&self, id: EventId) -> DeliveryState {
        self.event(id).await.summary.status
    }

    /// Asserts that each of these was delivered in one attempt.
    pub(crate) async fn assert_delivered(&self, ids: &[EventId]) {
        for id in ids {
            let event = self.event(*id).await;
            assert_eq!((event.summary.status, event.attempts.len()), (DeliveryState::Delivered, 1), "{id}");
        }
    }
}

fn deps(
    store: &Arc<FaultyStore>,
    directory: &Arc<EndpointDirectory>,
    transport: &Arc<ScriptedTransport>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<SeededEntropy>,
    instance: InstanceId,
) -> Deps {
    let circuits = Arc::clone(store);
    let (store, directory, transport) = (Arc::clone(store), Arc::clone(directory), Arc::clone(transport));
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    let tracer = Arc::new(kapsel_core::trace::NoTracer);
    Deps { store, circuits, directory, transport, clock, entropy, instance, log_id: LOG_ID, tracer }
}
