//! Keeping the keys of the API.

use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Scopes, TenantId, Timestamp};
use kapsel_store::StoreError;
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::rows::{corrupt, id, stored, time, time_opt};
use crate::{statements as sql, tenants};

/// Stores a new key of a tenant that is there.
pub(crate) fn insert(connection: &Connection, key: &ApiKey) -> Result<(), Failure> {
    tenants::get(connection, key.tenant_id)?;
    let inserted = connection.prepare_cached(sql::API_KEY_INSERT)?.execute(params![
        key.tenant_id.as_bytes(),
        key.id.as_bytes(),
        key.name,
        key.prefix.as_str(),
        key.sha256,
        key.scopes.to_stored(),
        key.created_at.unix_micros(),
        key.expires_at.map(Timestamp::unix_micros),
        key.revoked_at.map(Timestamp::unix_micros),
        key.last_used_at.map(Timestamp::unix_micros),
    ])?;
    if inserted == 0 { Err(StoreError::Conflict("the key's id or prefix is taken").into()) } else { Ok(()) }
}

/// The key that begins so.
pub(crate) fn find(connection: &Connection, prefix: &KeyPrefix) -> Result<ApiKey, Failure> {
    let mut statement = connection.prepare_cached(sql::API_KEY_FIND)?;
    let mut rows = statement.query([prefix.as_str()])?;
    api_key(rows.next()?.ok_or(StoreError::NotFound)?)
}

/// One key.
pub(crate) fn get(connection: &Connection, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, Failure> {
    let mut statement = connection.prepare_cached(sql::API_KEY_GET)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), id.as_bytes()])?;
    api_key(rows.next()?.ok_or(StoreError::NotFound)?)
}

/// The keys behind `after`.
pub(crate) fn list(
    connection: &Connection,
    tenant_id: TenantId,
    after: Option<ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, Failure> {
    // No key has the smallest id.
    let after = after.unwrap_or(ApiKeyId::MIN);
    let mut statement = connection.prepare_cached(sql::API_KEY_LIST)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), after.as_bytes(), stored(limit)])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(api_key(row)?);
    }
    Ok(keys)
}

/// Revokes a key, if it is not revoked yet.
pub(crate) fn revoke(
    connection: &Connection,
    tenant_id: TenantId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::API_KEY_REVOKE)?;
    let found = statement.execute(params![tenant_id.as_bytes(), id.as_bytes(), now.unix_micros()])?;
    if found == 0 { Err(StoreError::NotFound.into()) } else { Ok(()) }
}

/// Notes a use.
pub(crate) fn touch(connection: &Connection, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::API_KEY_TOUCH)?;
    statement.execute(params![tenant_id.as_bytes(), id.as_bytes(), now.unix_micros()])?;
    Ok(())
}

/// The key in the columns of `api_key_get` and its like.
fn api_key(row: &Row<'_>) -> Result<ApiKey, Failure> {
    let scopes: String = row.get(5)?;
    Ok(ApiKey {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        name: row.get(2)?,
        prefix: KeyPrefix::from_stored(row.get(3)?),
        sha256: row.get(4)?,
        scopes: Scopes::from_stored(&scopes).map_err(|error| corrupt("the scopes of a key", error))?,
        created_at: time(row, 6)?,
        expires_at: time_opt(row, 7)?,
        revoked_at: time_opt(row, 8)?,
        last_used_at: time_opt(row, 9)?,
    })
}
