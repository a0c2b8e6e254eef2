//! Replays of a store of tests: they are the engine's own.

use async_trait::async_trait;
use kapsel_core::{ReplayId, ReplayState, TenantId, Timestamp};
use kapsel_store::{DueReplays, Replay, ReplayPage, ReplayScan, ReplayStep, ReplayStore, StoreError};

use super::shaky::ShakyStore;

#[async_trait]
impl ReplayStore for ShakyStore {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        self.inner.replay_insert(replay).await
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        self.inner.replay_get(tenant_id, id).await
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        self.inner.replay_list(tenant_id, before, limit).await
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        self.inner.replay_set_state_if_version(now, tenant_id, id, state, expected_version).await
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        self.inner.replay_due(now, limit).await
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        self.inner.replay_scan(now, scan).await
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        self.inner.replay_advance_if_version(now, step).await
    }
}
