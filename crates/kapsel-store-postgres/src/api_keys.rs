//! Keeping the keys of the API.

use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, Scopes, TenantId, Timestamp};
use kapsel_store::StoreError;
use tokio_postgres::Row;

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, get, hash, id, stored, time, time_opt};
use crate::session::Session;
use crate::statements as sql;

/// Stores a new key of a tenant that is there.
pub(crate) async fn insert(session: &Session, key: &ApiKey) -> Result<(), Failure> {
    let tenant_id = key.tenant_id.stored();
    session.query_opt(&sql::TENANT_GET, &[&tenant_id]).await?.ok_or(StoreError::NotFound)?;
    let inserted = session
        .execute(
            &sql::API_KEY_INSERT,
            &[
                &tenant_id,
                &key.id.stored(),
                &key.name,
                &key.prefix.as_str(),
                &key.sha256.as_slice(),
                &key.scopes.to_stored(),
                &key.created_at.unix_micros(),
                &key.expires_at.map(Timestamp::unix_micros),
                &key.revoked_at.map(Timestamp::unix_micros),
                &key.last_used_at.map(Timestamp::unix_micros),
            ],
        )
        .await?;
    if inserted == 0 { Err(StoreError::Conflict("the key's id or prefix is taken").into()) } else { Ok(()) }
}

/// The key that begins so.
pub(crate) async fn find(session: &Session, prefix: &KeyPrefix) -> Result<ApiKey, Failure> {
    let row = session.query_opt(&sql::API_KEY_FIND, &[&prefix.as_str()]).await?;
    api_key(&row.ok_or(StoreError::NotFound)?)
}

/// One key.
pub(crate) async fn get_one(session: &Session, tenant_id: TenantId, id: ApiKeyId) -> Result<ApiKey, Failure> {
    let row = session.query_opt(&sql::API_KEY_GET, &[&tenant_id.stored(), &id.stored()]).await?;
    api_key(&row.ok_or(StoreError::NotFound)?)
}

/// The keys behind `after`.
pub(crate) async fn list(
    session: &Session,
    tenant_id: TenantId,
    after: Option<ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, Failure> {
    // No key has the smallest id.
    let after = after.unwrap_or(ApiKeyId::MIN).stored();
    let rows = session.query(&sql::API_KEY_LIST, &[&tenant_id.stored(), &after, &stored(limit)]).await?;
    rows.iter().map(api_key).collect()
}

/// Revokes a key, if it is not revoked yet.
pub(crate) async fn revoke(
    session: &Session,
    tenant_id: TenantId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<(), Failure> {
    let key = (tenant_id.stored(), id.stored());
    let found = session.execute(&sql::API_KEY_REVOKE, &[&key.0, &key.1, &now.unix_micros()]).await?;
    if found == 0 { Err(StoreError::NotFound.into()) } else { Ok(()) }
}

/// Notes a use.
pub(crate) async fn touch(session: &Session, tenant_id: TenantId, id: ApiKeyId, now: Timestamp) -> Result<(), Failure> {
    session.execute(&sql::API_KEY_TOUCH, &[&tenant_id.stored(), &id.stored(), &now.unix_micros()]).await?;
    Ok(())
}

/// The key in the columns of `api_key_get` and its like.
fn api_key(row: &Row) -> Result<ApiKey, Failure> {
    let scopes: &str = get(row, 5)?;
    Ok(ApiKey {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        name: get(row, 2)?,
        prefix: KeyPrefix::from_stored(get(row, 3)?),
        sha256: hash(row, 4)?,
        scopes: Scopes::from_stored(scopes).map_err(|error| corrupt("the scopes of a key", error))?,
        created_at: time(row, 6)?,
        expires_at: time_opt(row, 7)?,
        revoked_at: time_opt(row, 8)?,
        last_used_at: time_opt(row, 9)?,
    })
}
