//! Keeping tenants and the keys of the API. Tenants are managed by the operator; a key belongs to one tenant, and every
//! call about one but the look-up by its prefix names that tenant.

use async_trait::async_trait;
use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Tenant, TenantId, Timestamp};

use crate::admin::ChangeSeq;
use crate::error::StoreError;

/// A tenant was created, changed or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantChange {
    /// Where in the order.
    pub seq: ChangeSeq,
    /// Its present form. Deleted ones are told as such and not left out: whoever decides about a request has to tell a
    /// tenant that is gone from one that is not known yet.
    pub tenant: Tenant,
}

/// The store of tenants and keys.
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// Stores a new tenant.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the id is taken, be it by a deleted one.
    async fn tenant_insert(&self, tenant: Tenant) -> Result<(), StoreError>;

    /// Reads one tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is deleted.
    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError>;

    /// Lists at most `limit` tenants, oldest first, behind `after`. Deleted ones are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn tenant_list(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<Tenant>, StoreError>;

    /// Replaces a tenant if its stored version is `expected_version`. `tenant.version` must be larger. The time of its
    /// creation stays as stored. A suspended tenant's deliveries are neither listed nor claimed from now on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] if it was changed meanwhile.
    async fn tenant_update_if_version(&self, tenant: Tenant, expected_version: u64) -> Result<(), StoreError>;

    /// Deletes a tenant, its keys and its endpoints, as one change. What was queued counts as discarded from now on; its
    /// events stay until they are erased or their time has come.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn tenant_delete(&self, id: TenantId, now: Timestamp) -> Result<(), StoreError>;

    /// The changes of tenants behind `since`, at most `limit`, in their order. Each tenant appears once, in its present
    /// form. This is how an instance learns what others did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn tenant_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<TenantChange>, StoreError>;

    /// Stores a new key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such tenant; [`StoreError::Conflict`] if the id or the prefix is taken.
    async fn api_key_insert(&self, key: ApiKey) -> Result<(), StoreError>;

    /// The key that begins so, whoever's it is, live or not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn api_key_find(&self, prefix: KeyPrefix) -> Result<ApiKey, StoreError>;

    /// Reads one key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn api_key_get(&self, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, StoreError>;

    /// Lists at most `limit` keys, oldest first, behind `after`, with those that are revoked or expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn api_key_list(
        &self,
        tenant_id: TenantId,
        after: Option<ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn api_key_revoke(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError>;

    /// Notes that a key was used at `now`, unless a later use is noted or there is no such key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn api_key_touch(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError>;
}

/// Implements [`TenantStore`] for a store in front of another one that has nothing to say about tenants: every call goes
/// to the field named.
#[macro_export]
macro_rules! delegate_tenant_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::TenantStore for $store {
            async fn tenant_insert(&self, tenant: kapsel_core::Tenant) -> Result<(), $crate::StoreError> {
                self.$inner.tenant_insert(tenant).await
            }

            async fn tenant_get(&self, id: kapsel_core::TenantId) -> Result<kapsel_core::Tenant, $crate::StoreError> {
                self.$inner.tenant_get(id).await
            }

            async fn tenant_list(
                &self,
                after: Option<kapsel_core::TenantId>,
                limit: usize,
            ) -> Result<Vec<kapsel_core::Tenant>, $crate::StoreError> {
                self.$inner.tenant_list(after, limit).await
            }

            async fn tenant_update_if_version(
                &self,
                tenant: kapsel_core::Tenant,
                expected_version: u64,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.tenant_update_if_version(tenant, expected_version).await
            }

            async fn tenant_delete(
                &self,
                id: kapsel_core::TenantId,
                now: kapsel_core::Timestamp,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.tenant_delete(id, now).await
            }

            async fn tenant_changes(
                &self,
                since: $crate::ChangeSeq,
                limit: usize,
            ) -> Result<Vec<$crate::TenantChange>, $crate::StoreError> {
                self.$inner.tenant_changes(since, limit).await
            }

            async fn api_key_insert(&self, key: kapsel_core::ApiKey) -> Result<(), $crate::StoreError> {
                self.$inner.api_key_insert(key).await
            }

            async fn api_key_find(
                &self,
                prefix: kapsel_core::KeyPrefix,
            ) -> Result<kapsel_core::ApiKey, $crate::StoreError> {
                self.$inner.api_key_find(prefix).await
            }

            async fn api_key_get(
                &self,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::ApiKeyId,
            ) -> Result<kapsel_core::ApiKey, $crate::StoreError> {
                self.$inner.api_key_get(tenant_id, id).await
            }

            async fn api_key_list(
                &self,
                tenant_id: kapsel_core::TenantId,
                after: Option<kapsel_core::ApiKeyId>,
                limit: usize,
            ) -> Result<Vec<kapsel_core::ApiKey>, $crate::StoreError> {
                self.$inner.api_key_list(tenant_id, after, limit).await
            }

            async fn api_key_revoke(
                &self,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::ApiKeyId,
                now: kapsel_core::Timestamp,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.api_key_revoke(tenant_id, id, now).await
            }

            async fn api_key_touch(
                &self,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::ApiKeyId,
                now: kapsel_core::Timestamp,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.api_key_touch(tenant_id, id, now).await
            }
        }
    };
}
