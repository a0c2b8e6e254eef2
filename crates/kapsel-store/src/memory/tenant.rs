//! Keeping tenants and keys in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Tenant, TenantId, TenantStatus, Timestamp};

use super::MemoryStore;
use crate::admin::ChangeSeq;
use crate::error::StoreError;
use crate::tenant::{TenantChange, TenantStore};

/// Tenants and keys.
#[derive(Default)]
pub(super) struct Accounts {
    tenants: BTreeMap<TenantId, TenantChange>,
    last_change: ChangeSeq,
    keys: BTreeMap<ApiKeyId, ApiKey>,
}

impl Accounts {
    /// Whether what is queued for the tenant has to wait. One that is not known is as good as any.
    pub(super) fn is_suspended(&self, id: TenantId) -> bool {
        self.tenants.get(&id).is_some_and(|stored| stored.tenant.status != TenantStatus::Active)
    }

    fn present(&self, id: TenantId) -> Result<&Tenant, StoreError> {
        let stored = self.tenants.get(&id).map(|stored| &stored.tenant);
        stored.filter(|tenant| tenant.status != TenantStatus::Deleted).ok_or(StoreError::NotFound)
    }

    fn put(&mut self, tenant: Tenant) {
        self.last_change = ChangeSeq(self.last_change.0 + 1);
        self.tenants.insert(tenant.id, TenantChange { seq: self.last_change, tenant });
    }

    fn key(&mut self, tenant_id: TenantId, id: ApiKeyId) -> Option<&mut ApiKey> {
        self.keys.get_mut(&id).filter(|key| key.tenant_id == tenant_id)
    }
}

#[async_trait]
impl TenantStore for MemoryStore {
    async fn tenant_insert(&self, tenant: Tenant) -> Result<(), StoreError> {
        let accounts = &mut self.lock().accounts;
        if accounts.tenants.contains_key(&tenant.id) {
            return Err(StoreError::Conflict("the tenant id is taken"));
        }
        accounts.put(tenant);
        Ok(())
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        self.lock().accounts.present(id).cloned()
    }

    async fn tenant_list(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        let state = self.lock();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tenants = state.accounts.tenants.range((behind, Bound::Unbounded)).map(|(_, stored)| &stored.tenant);
        Ok(tenants.filter(|tenant| tenant.status != TenantStatus::Deleted).take(limit).cloned().collect())
    }

    async fn tenant_update_if_version(&self, tenant: Tenant, expected_version: u64) -> Result<(), StoreError> {
        let accounts = &mut self.lock().accounts;
        let stored = accounts.present(tenant.id)?;
        if stored.version != expected_version {
            return Err(StoreError::Conflict("the tenant was changed meanwhile"));
        }
        let created_at = stored.created_at;
        accounts.put(Tenant { created_at, ..tenant });
        Ok(())
    }

    async fn tenant_delete(&self, id: TenantId, now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.lock();
        let tenant = state.accounts.present(id)?.clone();
        let version = tenant.version + 1;
        state.accounts.put(Tenant { status: TenantStatus::Deleted, updated_at: now, version, ..tenant });
        state.accounts.keys.retain(|_, key| key.tenant_id != id);
        state.replies.retain(|(tenant_id, _), _| *tenant_id != id);
        let endpoints = state.endpoints.values().filter(|stored| !stored.is_deleted && stored.endpoint.tenant_id == id);
        let endpoints: Vec<_> = endpoints.map(|stored| stored.endpoint.id).collect();
        for endpoint_id in endpoints {
            state.delete_endpoint(id, endpoint_id, now)?;
        }
        Ok(())
    }

    async fn tenant_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<TenantChange>, StoreError> {
        let state = self.lock();
        let mut changes: Vec<_> =
            state.accounts.tenants.values().filter(|change| change.seq > since).cloned().collect();
        changes.sort_by_key(|change| change.seq);
        changes.truncate(limit);
        Ok(changes)
    }

    async fn api_key_insert(&self, key: ApiKey) -> Result<(), StoreError> {
        let accounts = &mut self.lock().accounts;
        accounts.present(key.tenant_id)?;
        if accounts.keys.values().any(|other| other.id == key.id || other.prefix == key.prefix) {
            return Err(StoreError::Conflict("the key's id or prefix is taken"));
        }
        accounts.keys.insert(key.id, key);
        Ok(())
    }

    async fn api_key_find(&self, prefix: KeyPrefix) -> Result<ApiKey, StoreError> {
        let state = self.lock();
        let found = state.accounts.keys.values().find(|key| key.prefix == prefix);
        found.cloned().ok_or(StoreError::NotFound)
    }

    async fn api_key_get(&self, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, StoreError> {
        self.lock().accounts.key(tenant_id, id).cloned().ok_or(StoreError::NotFound)
    }

    async fn api_key_list(
        &self,
        tenant_id: TenantId,
        after: Option<ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let state = self.lock();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = state.accounts.keys.range((behind, Bound::Unbounded)).map(|(_, key)| key);
        Ok(keys.filter(|key| key.tenant_id == tenant_id).take(limit).cloned().collect())
    }

    async fn api_key_revoke(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.lock();
        let key = state.accounts.key(tenant_id, id).ok_or(StoreError::NotFound)?;
        key.revoked_at.get_or_insert(now);
        Ok(())
    }

    async fn api_key_touch(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        if let Some(key) = self.lock().accounts.key(tenant_id, id) {
            key.last_used_at = key.last_used_at.max(Some(now));
        }
        Ok(())
    }
}
