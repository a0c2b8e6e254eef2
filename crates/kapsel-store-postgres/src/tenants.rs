//! Keeping tenants, and the keys that belong to them. Tenants are the operator's: what changes them does not run under the
//! role of the management API.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Tenant, TenantConfig, TenantId, TenantStatus, Timestamp};
use kapsel_store::{ChangeSeq, StoreError, TenantChange, TenantStore};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::api_keys;
use crate::error::{Failure, corrupt};
use crate::rows::{self, StoredId, get, id, stored, stored_version, time};
use crate::session::Session;
use crate::settle::next_change;
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl TenantStore for PostgresStore {
    async fn tenant_insert(&self, tenant: Tenant) -> Result<(), StoreError> {
        let config = stored_config(&tenant.config)?;
        let insert = |session: Arc<Session>| async move {
            let parameters: [&(dyn ToSql + Sync); 7] = [
                &tenant.id.stored(),
                &config,
                &tenant.status.as_str(),
                &tenant.created_at.unix_micros(),
                &tenant.updated_at.unix_micros(),
                &stored_version(tenant.version),
                &next_change(&session).await?,
            ];
            let inserted = session.execute(&sql::TENANT_INSERT, &parameters).await?;
            if inserted == 0 { Err(StoreError::Conflict("the tenant id is taken").into()) } else { Ok(()) }
        };
        self.in_change(insert).await
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        let get = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::TENANT_GET, &[&id.stored()]).await?;
            Ok(change(&row.ok_or(StoreError::NotFound)?)?.tenant)
        };
        self.work().with(get).await
    }

    async fn tenant_list(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        let first = after.unwrap_or(TenantId::MIN).stored();
        let after = after.map(|id| id.stored());
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::TENANT_LIST, &[&first, &after, &stored(limit)]).await?;
            rows.iter().map(|row| Ok(change(row)?.tenant)).collect()
        };
        self.work().with(list).await
    }

    async fn tenant_update_if_version(&self, tenant: Tenant, expected_version: u64) -> Result<(), StoreError> {
        let config = stored_config(&tenant.config)?;
        let update = |session: Arc<Session>| async move {
            // Before the row itself: everybody who changes something that is numbered takes the counter first.
            let seq = next_change(&session).await?;
            let id = tenant.id.stored();
            let found = session.query_opt(&sql::TENANT_VERSION, &[&id]).await?;
            if rows::version(&found.ok_or(StoreError::NotFound)?, 0)? != expected_version {
                return Err(StoreError::Conflict("the tenant was changed meanwhile").into());
            }
            let parameters: [&(dyn ToSql + Sync); 6] = [
                &id,
                &config,
                &tenant.status.as_str(),
                &tenant.updated_at.unix_micros(),
                &stored_version(tenant.version),
                &seq,
            ];
            session.execute(&sql::TENANT_UPDATE, &parameters).await?;
            Ok(())
        };
        self.in_change(update).await
    }

    async fn tenant_delete(&self, id: TenantId, now: Timestamp) -> Result<(), StoreError> {
        let delete = |session: Arc<Session>| async move {
            let (id, now) = (id.stored(), now.unix_micros());
            let seq = next_change(&session).await?;
            if session.execute(&sql::TENANT_DELETE, &[&id, &now, &seq]).await? == 0 {
                return Err(StoreError::NotFound.into());
            }
            session.execute(&sql::CIRCUIT_DELETE_OF_TENANT, &[&id]).await?;
            let endpoints = session.execute(&sql::ENDPOINT_DELETE_OF_TENANT, &[&id, &now, &seq]).await?;
            session.execute(&sql::ENDPOINT_CHANGE_SKIP, &[&stored_version(endpoints)]).await?;
            session.execute(&sql::API_KEY_DELETE_OF_TENANT, &[&id]).await?;
            session.execute(&sql::REPLY_DELETE_OF_TENANT, &[&id]).await?;
            Ok(())
        };
        self.in_change(delete).await
    }

    async fn tenant_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<TenantChange>, StoreError> {
        let read = |session: Arc<Session>| async move {
            let rows = session.query(&sql::TENANT_CHANGES, &[&since.0, &stored(limit)]).await?;
            rows.iter().map(change).collect()
        };
        self.work().with(read).await
    }

    async fn api_key_insert(&self, key: ApiKey) -> Result<(), StoreError> {
        self.in_tenant(key.tenant_id, |session| async move { api_keys::insert(&session, &key).await }).await
    }

    async fn api_key_find(&self, prefix: KeyPrefix) -> Result<ApiKey, StoreError> {
        // Nobody knows yet whose key it is.
        self.work().with(|session| async move { api_keys::find(&session, &prefix).await }).await
    }

    async fn api_key_get(&self, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, StoreError> {
        self.in_tenant(tenant_id, |session| async move { api_keys::get_one(&session, tenant_id, id).await }).await
    }

    async fn api_key_list(
        &self,
        tenant_id: TenantId,
        after: Option<ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        self.in_tenant(tenant_id, |session| async move { api_keys::list(&session, tenant_id, after, limit).await })
            .await
    }

    async fn api_key_revoke(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        self.in_tenant(tenant_id, |session| async move { api_keys::revoke(&session, tenant_id, id, now).await }).await
    }

    async fn api_key_touch(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        self.in_tenant(tenant_id, |session| async move { api_keys::touch(&session, tenant_id, id, now).await }).await
    }
}

impl PostgresStore {
    /// Does `work` in a transaction for the operator.
    async fn in_change<T, W, F>(&self, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let change = |session: Arc<Session>| async move {
            let inside = work(Arc::clone(&session));
            session.transaction("BEGIN", inside).await
        };
        self.work().with(change).await
    }
}

fn stored_config(config: &TenantConfig) -> Result<String, StoreError> {
    serde_json::to_string(config).map_err(|error| StoreError::corrupt("a tenant that cannot be stored", error))
}

/// The tenant in the columns of `tenant_get` and its like.
fn change(row: &Row) -> Result<TenantChange, Failure> {
    let (config, status): (&str, &str) = (get(row, 1)?, get(row, 2)?);
    let status: TenantStatus = status.parse().map_err(|error| corrupt("a tenant's status", error))?;
    let tenant = Tenant {
        id: id(row, 0)?,
        config: serde_json::from_str(config).map_err(|error| corrupt("a tenant's configuration", error))?,
        status,
        created_at: time(row, 3)?,
        updated_at: time(row, 4)?,
        version: rows::version(row, 5)?,
    };
    Ok(TenantChange { seq: ChangeSeq(get(row, 6)?), tenant })
}
