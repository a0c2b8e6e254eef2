//! A store in front of another one that measures how long its calls take.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use kapsel_core::{
    ApiKey, ApiKeyId, AttemptId, DeliveryRef, Endpoint, EndpointId, ErasureId, Event, EventId, InstanceId, KeyPrefix,
    Lease, LogId, ReplayId, ReplayState, Tenant, TenantId, Timestamp,
};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{
    AdminStore, AttestationStore, ChangeSeq, CircuitStore, ClaimRequest, ClaimedDelivery, DeliveryStore, DueErasures,
    DueReplays, EndpointChange, Erasure, ErasureStep, ErasureStore, EventDetail, EventFilter, EventSummary, Hour,
    IngestStore, Ingested, KeptReply, LaneScan, NewEvent, QueueLook, QueueUsage, Replay, ReplayCount, ReplayPage,
    ReplayScan, ReplayStep, ReplayStore, ReplyClaim, ReplyState, ReplyStore, RetentionPage, RetentionStep,
    RetentionStore, Settled, Settlement, Statistics, StatisticsChange, StatisticsStore, Store, StoreError,
    StoredCircuit, TenantChange, TenantStore,
};
use tokio::time::Instant;

/// The store. Each call goes to the one behind it.
pub(crate) struct MeteredStore(Arc<dyn Store>);

impl MeteredStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        MeteredStore(inner)
    }
}

/// What is kept of one operation.
struct Meter {
    seconds: metrics::Histogram,
    errors: metrics::Counter,
}

impl Meter {
    fn new(operation: &'static str) -> Self {
        Meter {
            seconds: metrics::histogram!("store_operation_duration_seconds", "operation" => operation),
            errors: metrics::counter!("store_operation_errors_total", "operation" => operation),
        }
    }

    fn begin(&self) -> Call<'_> {
        Call { meter: self, began: Instant::now(), is_answered: false }
    }
}

/// A call under way. One that its caller gives up has taken that long and was not answered.
struct Call<'a> {
    meter: &'a Meter,
    began: Instant,
    is_answered: bool,
}

impl Call<'_> {
    fn answered<T>(mut self, result: &Result<T, StoreError>) {
        // What is not there, or was changed by somebody else, is an answer like any other.
        self.is_answered = match result {
            Ok(_) | Err(StoreError::NotFound | StoreError::Conflict(_)) => true,
            Err(StoreError::Unavailable { .. } | StoreError::Corrupt { .. }) => false,
        };
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.meter.seconds.record(self.began.elapsed());
        if !self.is_answered {
            self.meter.errors.increment(1);
        }
    }
}

/// Delegates each trait: what is in brackets as it is, the rest measured.
macro_rules! metered {
    ($($contract:ident [$($plain:ident() -> $answer:ty;)*] {
        $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*
    })*) => {$(
        #[async_trait]
        impl $contract for MeteredStore {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                static METER: LazyLock<Meter> = LazyLock::new(|| Meter::new(stringify!($method)));
                let call = METER.begin();
                let result = self.0.$method($($argument),*).await;
                call.answered(&result);
                result
            })*
            $(fn $plain(&self) -> $answer {
                self.0.$plain()
            })*
        }
    )*};
}

metered! {
    IngestStore [] {
        event_insert_batch(now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Vec<Ingested>;
    }
    DeliveryStore [] {
        lane_scan(now: Timestamp, viewer: InstanceId, after: Option<EndpointId>, limit: usize) -> LaneScan;
        queue_look(rows_max: usize) -> QueueLook;
        delivery_claim_due(now: Timestamp, request: ClaimRequest) -> Vec<ClaimedDelivery>;
        delivery_settle_if_leased(now: Timestamp, batch: Arc<Vec<Settlement>>) -> Vec<Settled>;
        delivery_release_if_leased(now: Timestamp, batch: Vec<(DeliveryRef, Lease)>) -> ();
        delivery_release_claim(now: Timestamp, lease: Lease) -> usize;
        lease_release_all(now: Timestamp, owner: Option<InstanceId>) -> usize;
        delivery_discard_of_deleted(now: Timestamp, limit: usize) -> usize;
        idempotency_prune(now: Timestamp, limit: usize) -> usize;
    }
    CircuitStore [] {
        circuit_changes(since: Timestamp) -> Vec<StoredCircuit>;
        circuit_read(endpoints: Vec<EndpointId>) -> Vec<StoredCircuit>;
        circuit_put_if_version(batch: Vec<StoredCircuit>) -> Vec<bool>;
        circuit_list(tenant_id: TenantId, endpoints: Vec<EndpointId>) -> Vec<StoredCircuit>;
        circuit_reset(tenant_id: TenantId, id: EndpointId, now: Timestamp) -> ();
    }
    AdminStore [alarms() -> Vec<String>;] {
        ping() -> ();
        endpoint_insert(endpoint: Endpoint) -> ();
        endpoint_get(tenant_id: TenantId, id: EndpointId) -> Endpoint;
        endpoint_list(tenant_id: TenantId, after: Option<EndpointId>, limit: usize) -> Vec<Endpoint>;
        endpoint_update_if_version(endpoint: Endpoint, expected_version: u64) -> ();
        endpoint_delete(tenant_id: TenantId, id: EndpointId, now: Timestamp) -> ();
        endpoint_changes(since: ChangeSeq, limit: usize) -> Vec<EndpointChange>;
        event_get(tenant_id: TenantId, id: EventId, now: Timestamp) -> EventDetail;
        event_list(tenant_id: TenantId, filter: EventFilter, limit: usize, now: Timestamp) -> Vec<EventSummary>;
        queue_usage(tenant_id: TenantId, rows_max: u64) -> QueueUsage;
        event_read(tenant_id: TenantId, id: EventId) -> Event;
        event_requeue(tenant_id: TenantId, id: EventId, now: Timestamp) -> ();
    }
    TenantStore [] {
        tenant_insert(tenant: Tenant) -> ();
        tenant_get(id: TenantId) -> Tenant;
        tenant_list(after: Option<TenantId>, limit: usize) -> Vec<Tenant>;
        tenant_update_if_version(tenant: Tenant, expected_version: u64) -> ();
        tenant_delete(id: TenantId, now: Timestamp) -> ();
        tenant_changes(since: ChangeSeq, limit: usize) -> Vec<TenantChange>;
        api_key_insert(key: ApiKey) -> ();
        api_key_find(prefix: KeyPrefix) -> ApiKey;
        api_key_get(tenant_id: TenantId, id: ApiKeyId) -> ApiKey;
        api_key_list(tenant_id: TenantId, after: Option<ApiKeyId>, limit: usize) -> Vec<ApiKey>;
        api_key_revoke(tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> ();
        api_key_touch(tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> ();
    }
    StatisticsStore [] {
        statistics_add(hour: Hour, changes: Vec<StatisticsChange>) -> ();
        statistics_list(
            tenant_id: TenantId,
            endpoint_id: EndpointId,
            from: Hour,
            until: Hour
        ) -> Vec<(Hour, Statistics)>;
    }
    ReplyStore [] {
        reply_claim(now: Timestamp, claim: ReplyClaim) -> ReplyState;
        reply_keep_if_claimed(claim: ReplyClaim, reply: KeptReply) -> ();
        reply_release_if_claimed(claim: ReplyClaim) -> ();
    }
    ReplayStore [] {
        replay_insert(replay: Replay) -> ();
        replay_get(tenant_id: TenantId, id: ReplayId) -> Replay;
        replay_list(tenant_id: TenantId, before: Option<ReplayId>, limit: usize) -> Vec<Replay>;
        replay_set_state_if_version(
            now: Timestamp,
            tenant_id: TenantId,
            id: ReplayId,
            state: ReplayState,
            expected_version: u64
        ) -> Replay;
        replay_due(now: Timestamp, limit: usize) -> DueReplays;
        replay_scan(now: Timestamp, scan: ReplayScan) -> ReplayPage;
        replay_advance_if_version(now: Timestamp, step: ReplayStep) -> Option<Replay>;
        replay_count(now: Timestamp, scan: ReplayScan) -> ReplayCount;
    }
    RetentionStore [] {
        retention_remove(step: RetentionStep) -> RetentionPage;
    }
    ErasureStore [] {
        erasure_insert(erasure: Erasure) -> ();
        erasure_get(tenant_id: Option<TenantId>, id: ErasureId) -> Erasure;
        erasure_list(tenant_id: Option<TenantId>, before: Option<ErasureId>, limit: usize) -> Vec<Erasure>;
        erasure_due(now: Timestamp, limit: usize) -> DueErasures;
        erasure_advance_if_version(now: Timestamp, step: ErasureStep) -> Option<Erasure>;
        erasure_covers(events: Vec<(TenantId, EventId)>) -> Vec<EventId>;
    }
    AttestationStore [] {
        log_open(now: Timestamp, id: LogId, origin: String) -> Log;
        log_find() -> Option<Log>;
        log_get(id: LogId) -> Log;
        log_lease_take(now: Timestamp, id: LogId, owner: InstanceId, until: Timestamp) -> Option<Log>;
        log_lease_release(owner: Option<InstanceId>) -> ();
        leaves_pending(id: LogId, limit: usize) -> Vec<PendingLeaf>;
        leaves_integrate_if_current(integration: Integration) -> bool;
        head_publish_if_current(epoch: u64, head: Head) -> bool;
        head_latest(id: LogId) -> Option<Head>;
        head_list(id: LogId, after: Option<u64>, limit: usize) -> Vec<Head>;
        tile_read(id: LogId, tiles: Vec<TileId>) -> Vec<Tile>;
        log_key_put(key: LogKey) -> ();
        log_key_list(id: LogId) -> Vec<LogKey>;
        leaf_get(tenant_id: TenantId, name: LeafName) -> StoredLeaf;
        leaf_opening(tenant_id: TenantId, event_id: EventId, attempt_id: AttemptId) -> Option<LeafOpening>;
        entry_list(id: LogId, from: u64, limit: usize) -> Vec<LogEntry>;
        attempt_traces(after: Option<AttemptPlace>, limit: usize) -> Vec<AttemptTrace>;
    }
}
