//! Looking up leaves: one of a tenant, those of a tree in their order, and what attempts left behind.

use kapsel_core::{AttemptId, EventId, LeafSecret, LogId, TenantId};
use kapsel_store::StoreError;
use kapsel_store::attestation::{AttemptPlace, AttemptTrace, LeafName, LeafOpening, LogEntry, StoredLeaf};
use kapsel_verification::{Hash, leaf_hash};
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::rows::{bytes, corrupt, count, id, stored, stored_count};
use crate::statements as sql;

/// The leaf of a tenant.
pub(crate) fn get(connection: &Connection, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, Failure> {
    match name {
        LeafName::Attempt(attempt_id) => of_attempt(connection, tenant_id, attempt_id)?,
        LeafName::Hash(hash) => of_hash(connection, tenant_id, hash)?,
    }
    .ok_or_else(|| StoreError::NotFound.into())
}

fn of_attempt(
    connection: &Connection,
    tenant_id: TenantId,
    attempt_id: AttemptId,
) -> Result<Option<StoredLeaf>, Failure> {
    let mut statement = connection.prepare_cached(sql::LEAF_OF_ATTEMPT)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), attempt_id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let index = match row.get::<_, Option<i64>>(3)? {
        None => None,
        Some(_) => Some(count(row, 3)?),
    };
    Ok(Some(StoredLeaf { attempt_id: id(row, 0)?, log_id: id(row, 1)?, index, data: bytes(row, 2)? }))
}

/// Hashes are found by a part of them, so each that is found is looked at.
fn of_hash(connection: &Connection, tenant_id: TenantId, hash: Hash) -> Result<Option<StoredLeaf>, Failure> {
    let mut candidates: Vec<AttemptId> = Vec::new();
    let mut integrated = connection.prepare_cached(sql::ENTRY_OF_HASH)?;
    let mut rows = integrated.query([hash.prefix().cast_signed()])?;
    while let Some(row) = rows.next()? {
        candidates.push(id(row, 0)?);
    }
    if candidates.is_empty() {
        let mut pending = connection.prepare_cached(sql::LEAF_PENDING_OF_HASH)?;
        let mut rows = pending.query([hash.as_bytes()])?;
        while let Some(row) = rows.next()? {
            candidates.push(id(row, 0)?);
        }
    }
    for attempt_id in candidates {
        let leaf = of_attempt(connection, tenant_id, attempt_id)?;
        if let Some(leaf) = leaf.filter(|leaf| leaf_hash(&leaf.data) == hash) {
            return Ok(Some(leaf));
        }
    }
    Ok(None)
}

/// What the commitments of a leaf can be opened with.
pub(crate) fn opening(
    connection: &Connection,
    tenant_id: TenantId,
    event_id: EventId,
    attempt_id: AttemptId,
) -> Result<Option<LeafOpening>, Failure> {
    let mut statement = connection.prepare_cached(sql::LEAF_OPENING)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), event_id.as_bytes(), attempt_id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let Some(secret) = row.get::<_, Option<[u8; LeafSecret::LEN]>>(0)? else { return Ok(None) };
    let has_answer = row.get::<_, Option<u16>>(2)?.is_some();
    Ok(Some(LeafOpening {
        secret: LeafSecret::from_bytes(secret),
        url: row.get(1)?,
        payload_sha256: row.get(4)?,
        response_body: if has_answer { Some(bytes(row, 3)?) } else { None },
    }))
}

/// Leaves of a tree in its order.
pub(crate) fn entries(
    connection: &Connection,
    log_id: LogId,
    from: u64,
    limit: usize,
) -> Result<Vec<LogEntry>, Failure> {
    let mut statement = connection.prepare_cached(sql::ENTRY_LIST)?;
    let mut rows = statement.query(params![log_id.as_bytes(), stored_count(from), stored(limit)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let data = row.get_ref(2)?.as_blob_or_null().map_err(|error| corrupt("the bytes of a leaf", error))?;
        let data = data.map(bytes::Bytes::copy_from_slice);
        entries.push(LogEntry { index: count(row, 0)?, attempt_id: id(row, 1)?, data });
    }
    Ok(entries)
}

/// What attempts left in the log.
pub(crate) fn traces(
    connection: &Connection,
    after: Option<AttemptPlace>,
    limit: usize,
) -> Result<Vec<AttemptTrace>, Failure> {
    // Numbers begin with 1, so nothing stands in front of this.
    let (number, first) = (0, [0_u8; 16]);
    let mut statement = connection.prepare_cached(sql::ATTEMPT_TRACES)?;
    let mut rows = match after {
        None => statement.query(params![first, first, first, number, first, stored(limit)])?,
        Some(after) => statement.query(params![
            after.tenant_id.as_bytes(),
            after.event_id.as_bytes(),
            after.delivery_id.as_bytes(),
            after.number,
            after.attempt_id.as_bytes(),
            stored(limit),
        ])?,
    };
    let mut traces = Vec::new();
    while let Some(row) = rows.next()? {
        traces.push(AttemptTrace {
            place: AttemptPlace {
                tenant_id: id(row, 0)?,
                event_id: id(row, 1)?,
                delivery_id: id(row, 2)?,
                number: row.get(3)?,
                attempt_id: id(row, 4)?,
            },
            has_leaf: row.get(5)?,
            is_pending: row.get(6)?,
            is_integrated: row.get(7)?,
        });
    }
    Ok(traces)
}
