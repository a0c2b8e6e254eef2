//! Between rows and the values of the domain.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    ApiKeyId, Attempt, AttemptId, DeliveryId, DeliveryRef, Endpoint, EndpointId, EndpointStatus, ErasureId, Event,
    EventId, HeaderBlock, InstanceId, LogId, Outcome, ReplayId, ResponseHead, Sealer, TenantId, Timestamp,
};
use kapsel_store::error::Cause;
use kapsel_store::{StoreError, sealing};
use kapsel_verification::{Hash, leaf_hash};
use rusqlite::Row;

use crate::error::Failure;

/// An id as its 16 bytes.
pub(crate) trait StoredId: Sized {
    /// From the bytes of a column.
    fn from_stored(bytes: [u8; 16]) -> Self;
}

macro_rules! stored_ids {
    ($($id:ty),*) => {
        $(impl StoredId for $id {
            fn from_stored(bytes: [u8; 16]) -> Self {
                <$id>::from_bytes(bytes)
            }
        })*
    };
}

stored_ids!(ApiKeyId, AttemptId, DeliveryId, EndpointId, ErasureId, EventId, InstanceId, LogId, ReplayId, TenantId);

/// The id in a column.
pub(crate) fn id<I: StoredId>(row: &Row<'_>, column: usize) -> rusqlite::Result<I> {
    row.get(column).map(I::from_stored)
}

/// The time in a column.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_micros)
}

/// The time in a column that may be empty.
pub(crate) fn time_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column)?;
    Ok(micros.map(Timestamp::from_unix_micros))
}

/// The bytes in a column; empty if there are none.
pub(crate) fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes, Failure> {
    let stored = row.get_ref(column)?.as_blob_or_null().map_err(|error| corrupt("a column of bytes", error))?;
    Ok(stored.map(Bytes::copy_from_slice).unwrap_or_default())
}

/// The header block in a column.
pub(crate) fn headers(row: &Row<'_>, column: usize) -> Result<HeaderBlock, Failure> {
    HeaderBlock::from_stored(bytes(row, column)?).map_err(|error| corrupt("a header block", error))
}

/// What cannot be understood.
pub(crate) fn corrupt(what: &'static str, cause: impl Into<Cause>) -> Failure {
    Failure::Store(StoreError::corrupt(what, cause))
}

/// A number as SQLite stores it. Everything counted here is far below the limit.
pub(crate) fn stored(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration as it is stored, in microseconds.
pub(crate) fn stored_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The hash in a column.
pub(crate) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    row.get(column).map(Hash::from_bytes)
}

/// The count in a column.
pub(crate) fn count(row: &Row<'_>, column: usize) -> Result<u64, Failure> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|error| corrupt("a count", error))
}

/// A count as SQLite stores it. None comes near the limit.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The hash of an attempt's leaf, from the column of `attempts_of_event` that holds the leaf's bytes.
pub(crate) fn leaf_hash_of(row: &Row<'_>) -> Result<Option<Hash>, Failure> {
    let data = row.get_ref(13)?.as_blob_or_null().map_err(|error| corrupt("the bytes of a leaf", error))?;
    Ok(data.map(leaf_hash))
}

/// The event `id` of `tenant_id` from the columns of `event_read`.
pub(crate) fn event(row: &Row<'_>, tenant_id: TenantId, event_id: EventId) -> Result<Event, Failure> {
    Ok(Event {
        id: event_id,
        tenant_id,
        endpoint_id: id(row, 0)?,
        received_at: time(row, 1)?,
        idempotency_key: row.get(2)?,
        headers: headers(row, 3)?,
        body_sha256: row.get(4)?,
        body: bytes(row, 5)?,
    })
}

/// The endpoint in the first columns of `endpoint_get` and its like.
pub(crate) fn endpoint(row: &Row<'_>, sealer: &Sealer) -> Result<Endpoint, Failure> {
    let (id, tenant_id) = (id(row, 0)?, id(row, 1)?);
    let config = row.get_ref(2)?.as_bytes().map_err(|error| corrupt("an endpoint's configuration", error))?;
    let secrets = row.get_ref(3)?.as_blob().map_err(|error| corrupt("an endpoint's secrets", error))?;
    let version: i64 = row.get(8)?;
    Ok(Endpoint {
        id,
        tenant_id,
        config: serde_json::from_slice(config).map_err(|error| corrupt("an endpoint's configuration", error))?,
        secrets: sealing::open(sealer, tenant_id, id, secrets)?,
        status: endpoint_status(row.get(5)?)?,
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
        version: u64::try_from(version).map_err(|error| corrupt("an endpoint's version", error))?,
    })
}

fn endpoint_status(disabled_reason: Option<String>) -> Result<EndpointStatus, Failure> {
    let Some(reason) = disabled_reason else { return Ok(EndpointStatus::Enabled) };
    let reason = reason.parse().map_err(|error| corrupt("why an endpoint is disabled", error))?;
    Ok(EndpointStatus::Disabled(reason))
}

/// The columns `status` and `disabled_reason`.
pub(crate) fn stored_status(status: EndpointStatus) -> (&'static str, Option<&'static str>) {
    match status {
        EndpointStatus::Enabled => ("enabled", None),
        EndpointStatus::Disabled(reason) => ("disabled", Some(DisabledReason::as_str(reason))),
    }
}

/// The attempt in the columns of `attempts_of_event`.
pub(crate) fn attempt(row: &Row<'_>, tenant_id: TenantId, event_id: EventId) -> Result<Attempt, Failure> {
    let delivery = DeliveryRef { id: id(row, 0)?, event_id, endpoint_id: id(row, 3)?, tenant_id };
    let duration: i64 = row.get(6)?;
    let head = match row.get(9)? {
        None => None,
        Some(status) => Some(ResponseHead {
            status,
            headers: headers(row, 10)?,
            body: bytes(row, 11)?,
            body_truncated: row.get(12)?,
        }),
    };
    let kind: Option<String> = row.get(7)?;
    let outcome = match (kind, head) {
        (Some(kind), head) => {
            let kind = kind.parse().map_err(|error| corrupt("an attempt's failure", error))?;
            Outcome::Failure { kind, detail: row.get(8)?, head }
        }
        (None, Some(head)) => Outcome::Response(head),
        (None, None) => return Err(corrupt("an attempt's outcome", "neither an answer nor a failure")),
    };
    Ok(Attempt {
        id: id(row, 2)?,
        delivery,
        number: row.get(1)?,
        url: row.get(4)?,
        started_at: time(row, 5)?,
        duration: Duration::from_micros(u64::try_from(duration).unwrap_or(0)),
        outcome,
    })
}
