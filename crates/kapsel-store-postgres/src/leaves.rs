//! Looking up leaves: one of a tenant, those of a tree in their order, and what attempts left behind.

use kapsel_core::{AttemptId, EventId, LeafSecret, LogId, TenantId};
use kapsel_store::StoreError;
use kapsel_store::attestation::{AttemptPlace, AttemptTrace, LeafName, LeafOpening, LogEntry, StoredLeaf};
use kapsel_verification::{Hash, leaf_hash};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, bytes, bytes_opt, count, get as value, id, size, stored, stored_version};
use crate::session::Session;
use crate::statements as sql;

/// The leaf of a tenant.
pub(crate) async fn get(session: &Session, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, Failure> {
    let found = match name {
        LeafName::Attempt(attempt_id) => of_attempt(session, tenant_id, attempt_id).await?,
        LeafName::Hash(hash) => of_hash(session, tenant_id, hash).await?,
    };
    found.ok_or_else(|| StoreError::NotFound.into())
}

async fn of_attempt(
    session: &Session,
    tenant_id: TenantId,
    attempt_id: AttemptId,
) -> Result<Option<StoredLeaf>, Failure> {
    let row = session.query_opt(&sql::LEAF_OF_ATTEMPT, &[&tenant_id.stored(), &attempt_id.stored()]).await?;
    let Some(row) = row else { return Ok(None) };
    let index = match value::<Option<i64>>(&row, 3)? {
        None => None,
        Some(_) => Some(size(&row, 3)?),
    };
    Ok(Some(StoredLeaf { attempt_id: id(&row, 0)?, log_id: id(&row, 1)?, index, data: bytes(&row, 2)? }))
}

/// Hashes are found by a part of them, so each that is found is looked at.
async fn of_hash(session: &Session, tenant_id: TenantId, hash: Hash) -> Result<Option<StoredLeaf>, Failure> {
    let mut candidates = session.query(&sql::ENTRY_OF_HASH, &[&hash.prefix().cast_signed()]).await?;
    if candidates.is_empty() {
        candidates = session.query(&sql::LEAF_PENDING_OF_HASH, &[&hash.as_bytes().as_slice()]).await?;
    }
    for row in &candidates {
        let leaf = of_attempt(session, tenant_id, id(row, 0)?).await?;
        if let Some(leaf) = leaf.filter(|leaf| leaf_hash(&leaf.data) == hash) {
            return Ok(Some(leaf));
        }
    }
    Ok(None)
}

/// What the commitments of a leaf can be opened with.
pub(crate) async fn opening(
    session: &Session,
    tenant_id: TenantId,
    event_id: EventId,
    attempt_id: AttemptId,
) -> Result<Option<LeafOpening>, Failure> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&tenant_id.stored(), &event_id.stored(), &attempt_id.stored()];
    let Some(row) = session.query_opt(&sql::LEAF_OPENING, &parameters).await? else { return Ok(None) };
    let Some(secret) = value::<Option<&[u8]>>(&row, 0)? else { return Ok(None) };
    let secret: [u8; LeafSecret::LEN] = secret.try_into().map_err(|error| corrupt("the secret of a leaf", error))?;
    let payload = value::<Option<&[u8]>>(&row, 4)?.map(<[u8; 32]>::try_from).transpose();
    let has_answer = value::<Option<i32>>(&row, 2)?.is_some();
    Ok(Some(LeafOpening {
        secret: LeafSecret::from_bytes(secret),
        url: value(&row, 1)?,
        payload_sha256: payload.map_err(|error| corrupt("the hash of a body", error))?,
        response_body: if has_answer { Some(bytes(&row, 3)?) } else { None },
    }))
}

/// Leaves of a tree in its order.
pub(crate) async fn entries(
    session: &Session,
    log_id: LogId,
    from: u64,
    limit: usize,
) -> Result<Vec<LogEntry>, Failure> {
    let rows = session.query(&sql::ENTRY_LIST, &[&log_id.stored(), &stored_version(from), &stored(limit)]).await?;
    let entry = |row: &Row| Ok(LogEntry { index: size(row, 0)?, attempt_id: id(row, 1)?, data: bytes_opt(row, 2)? });
    rows.iter().map(entry).collect()
}

/// What attempts left in the log.
pub(crate) async fn traces(
    session: &Session,
    after: Option<AttemptPlace>,
    limit: usize,
) -> Result<Vec<AttemptTrace>, Failure> {
    let nil = Uuid::nil();
    // Numbers begin with 1, so nothing stands in front of the first of these.
    let (tenant_id, event_id, delivery_id, number, attempt_id) = match after {
        None => (nil, nil, nil, 0, nil),
        Some(after) => (
            after.tenant_id.stored(),
            after.event_id.stored(),
            after.delivery_id.stored(),
            i32::try_from(after.number).map_err(|error| corrupt("the number of an attempt", error))?,
            after.attempt_id.stored(),
        ),
    };
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&tenant_id, &event_id, &delivery_id, &number, &attempt_id, &stored(limit)];
    let rows = session.query(&sql::ATTEMPT_TRACES, &parameters).await?;
    let trace = |row: &Row| {
        Ok(AttemptTrace {
            place: AttemptPlace {
                tenant_id: id(row, 0)?,
                event_id: id(row, 1)?,
                delivery_id: id(row, 2)?,
                number: count(row, 3)?,
                attempt_id: id(row, 4)?,
            },
            has_leaf: value(row, 5)?,
            is_pending: value(row, 6)?,
            is_integrated: value(row, 7)?,
        })
    };
    rows.iter().map(trace).collect()
}
