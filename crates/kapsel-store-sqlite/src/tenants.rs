//! Keeping tenants, and the keys that belong to them.

use async_trait::async_trait;
use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Tenant, TenantConfig, TenantId, Timestamp};
use kapsel_store::{ChangeSeq, StoreError, TenantChange, TenantStore};
use rusqlite::{Connection, Row, params};

use crate::api_keys;
use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::rows::{corrupt, count, id, stored, stored_count, time};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl TenantStore for SqliteStore {
    async fn tenant_insert(&self, tenant: Tenant) -> Result<(), StoreError> {
        let config = stored_config(&tenant.config)?;
        let insert = move |connection: &Connection| {
            let inserted = connection.prepare_cached(sql::TENANT_INSERT)?.execute(params![
                tenant.id.as_bytes(),
                config,
                tenant.status.as_str(),
                tenant.created_at.unix_micros(),
                tenant.updated_at.unix_micros(),
                stored_count(tenant.version),
            ])?;
            if inserted == 0 { Err(StoreError::Conflict("the tenant id is taken").into()) } else { Ok(()) }
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, insert).await
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Tenant, StoreError> {
        self.readers().read(move |connection| get(connection, id)).await
    }

    async fn tenant_list(&self, after: Option<TenantId>, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        // Empty bytes come before every id.
        let after: Vec<u8> = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::TENANT_LIST)?;
            let mut rows = statement.query(params![after, stored(limit)])?;
            let mut tenants = Vec::new();
            while let Some(row) = rows.next()? {
                tenants.push(change(row)?.tenant);
            }
            Ok(tenants)
        };
        self.readers().read(list).await
    }

    async fn tenant_update_if_version(&self, tenant: Tenant, expected_version: u64) -> Result<(), StoreError> {
        let config = stored_config(&tenant.config)?;
        let update = move |connection: &Connection| {
            if get(connection, tenant.id)?.version != expected_version {
                return Err(StoreError::Conflict("the tenant was changed meanwhile").into());
            }
            connection.prepare_cached(sql::TENANT_UPDATE)?.execute(params![
                tenant.id.as_bytes(),
                config,
                tenant.status.as_str(),
                tenant.updated_at.unix_micros(),
                stored_count(tenant.version),
            ])?;
            Ok(())
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, update).await
    }

    async fn tenant_delete(&self, id: TenantId, now: Timestamp) -> Result<(), StoreError> {
        let delete = move |connection: &Connection| {
            let (id, now) = (id.as_bytes(), now.unix_micros());
            if connection.prepare_cached(sql::TENANT_DELETE)?.execute(params![id, now])? == 0 {
                return Err(StoreError::NotFound.into());
            }
            connection.prepare_cached(sql::CIRCUIT_DELETE_OF_TENANT)?.execute([id])?;
            connection.prepare_cached(sql::ENDPOINT_DELETE_OF_TENANT)?.execute(params![id, now])?;
            connection.prepare_cached(sql::API_KEY_DELETE_OF_TENANT)?.execute([id])?;
            connection.prepare_cached(sql::REPLY_DELETE_OF_TENANT)?.execute([id])?;
            Ok(())
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, delete).await
    }

    async fn tenant_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<TenantChange>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::TENANT_CHANGES)?;
            let mut rows = statement.query(params![since.0, stored(limit)])?;
            let mut changes = Vec::new();
            while let Some(row) = rows.next()? {
                changes.push(change(row)?);
            }
            Ok(changes)
        };
        self.readers().read(read).await
    }

    async fn api_key_insert(&self, key: ApiKey) -> Result<(), StoreError> {
        let insert = move |connection: &Connection| api_keys::insert(connection, &key);
        self.writer().write(Kind::MayRefuse, Weight::ROW, insert).await
    }

    async fn api_key_find(&self, prefix: KeyPrefix) -> Result<ApiKey, StoreError> {
        self.readers().read(move |connection| api_keys::find(connection, &prefix)).await
    }

    async fn api_key_get(&self, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, StoreError> {
        self.readers().read(move |connection| api_keys::get(connection, tenant_id, id)).await
    }

    async fn api_key_list(
        &self,
        tenant_id: TenantId,
        after: Option<ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        self.readers().read(move |connection| api_keys::list(connection, tenant_id, after, limit)).await
    }

    async fn api_key_revoke(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let revoke = move |connection: &Connection| api_keys::revoke(connection, tenant_id, id, now);
        self.writer().write(Kind::MayRefuse, Weight::ROW, revoke).await
    }

    async fn api_key_touch(&self, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let touch = move |connection: &Connection| api_keys::touch(connection, tenant_id, id, now);
        self.writer().write(Kind::Sure, Weight::ROW, touch).await
    }
}

/// The tenant, unless it is deleted.
pub(crate) fn get(connection: &Connection, id: TenantId) -> Result<Tenant, Failure> {
    let mut statement = connection.prepare_cached(sql::TENANT_GET)?;
    let mut rows = statement.query([id.as_bytes()])?;
    let row = rows.next()?.ok_or(StoreError::NotFound)?;
    Ok(change(row)?.tenant)
}

fn stored_config(config: &TenantConfig) -> Result<String, StoreError> {
    serde_json::to_string(config).map_err(|error| StoreError::corrupt("a tenant that cannot be stored", error))
}

/// The tenant in the columns of `tenant_get` and its like.
fn change(row: &Row<'_>) -> Result<TenantChange, Failure> {
    let config = row.get_ref(1)?.as_bytes().map_err(|error| corrupt("a tenant's configuration", error))?;
    let status: String = row.get(2)?;
    let tenant = Tenant {
        id: id(row, 0)?,
        config: serde_json::from_slice(config).map_err(|error| corrupt("a tenant's configuration", error))?,
        status: status.parse().map_err(|error| corrupt("a tenant's status", error))?,
        created_at: time(row, 3)?,
        updated_at: time(row, 4)?,
        version: count(row, 5)?,
    };
    Ok(TenantChange { seq: ChangeSeq(row.get(6)?), tenant })
}
