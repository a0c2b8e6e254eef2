//! Everything but storing events is the store's own.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{DeliveryRef, Endpoint, EndpointId, Event, EventId, InstanceId, Lease, TenantId, Timestamp};

use super::store::SpooledStore;
use crate::{
    AdminStore, ChangeSeq, ClaimRequest, ClaimedDelivery, DeliveryStore, EndpointChange, EventDetail, EventFilter,
    EventSummary, LaneScan, QueueLook, QueueUsage, Settled, Settlement, StoreError,
};

#[async_trait]
impl DeliveryStore for SpooledStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        self.primary.lane_scan(now, viewer, after, limit).await
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        self.primary.queue_look(rows_max).await
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.primary.delivery_claim_due(now, request).await
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.primary.delivery_settle_if_leased(now, batch).await
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        self.primary.delivery_release_if_leased(now, batch).await
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        self.primary.delivery_release_claim(now, lease).await
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        self.primary.lease_release_all(now, owner).await
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.primary.delivery_discard_of_deleted(now, limit).await
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.primary.idempotency_prune(now, limit).await
    }
}

crate::delegate_circuit_store!(SpooledStore, primary);
crate::delegate_tenant_store!(SpooledStore, primary);
crate::delegate_reply_store!(SpooledStore, primary);
crate::delegate_statistics_store!(SpooledStore, primary);
crate::delegate_replay_store!(SpooledStore, primary);
crate::delegate_retention_store!(SpooledStore, primary);
crate::delegate_erasure_store!(SpooledStore, primary);
crate::delegate_attestation_store!(SpooledStore, primary);

#[async_trait]
impl AdminStore for SpooledStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.primary.ping().await
    }

    fn alarms(&self) -> Vec<String> {
        self.primary.alarms()
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.primary.endpoint_insert(endpoint).await
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.primary.endpoint_get(tenant_id, id).await
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.primary.endpoint_list(tenant_id, after, limit).await
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        self.primary.endpoint_update_if_version(endpoint, expected_version).await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.primary.endpoint_delete(tenant_id, id, now).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        self.primary.endpoint_changes(since, limit).await
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        self.primary.event_get(tenant_id, id, now).await
    }

    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        self.primary.event_list(tenant_id, filter, limit, now).await
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        self.primary.queue_usage(tenant_id, rows_max).await
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        self.primary.event_read(tenant_id, id).await
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.primary.event_requeue(tenant_id, id, now).await
    }
}
