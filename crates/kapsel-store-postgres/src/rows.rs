//! Between rows and the values of the domain.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    ApiKeyId, Attempt, AttemptId, DeliveryId, DeliveryRef, Endpoint, EndpointId, EndpointStatus, ErasureId, Event,
    EventId, FailureKind, HeaderBlock, InstanceId, LogId, Outcome, ReplayId, ResponseHead, Sealer, TenantId, Timestamp,
};
use kapsel_store::{StoreError, sealing};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::{Failure, corrupt};

/// An id as the database stores it.
pub(crate) trait StoredId: From<Uuid> {
    /// The value of a column or parameter.
    fn stored(&self) -> Uuid;
}

macro_rules! stored_ids {
    ($($id:ty),*) => {
        $(impl StoredId for $id {
            fn stored(&self) -> Uuid {
                Uuid::from_bytes(*self.as_bytes())
            }
        })*
    };
}

stored_ids!(ApiKeyId, AttemptId, DeliveryId, EndpointId, ErasureId, EventId, InstanceId, LogId, ReplayId, TenantId);

/// The value in a column.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Failure> {
    Ok(row.try_get(column)?)
}

/// The id in a column.
pub(crate) fn id<I: StoredId>(row: &Row, column: usize) -> Result<I, Failure> {
    get::<Uuid>(row, column).map(I::from)
}

/// The time in a column.
pub(crate) fn time(row: &Row, column: usize) -> Result<Timestamp, Failure> {
    get(row, column).map(Timestamp::from_unix_micros)
}

/// The time in a column that may be empty.
pub(crate) fn time_opt(row: &Row, column: usize) -> Result<Option<Timestamp>, Failure> {
    let micros: Option<i64> = get(row, column)?;
    Ok(micros.map(Timestamp::from_unix_micros))
}

/// The bytes in a column; empty if there are none.
pub(crate) fn bytes(row: &Row, column: usize) -> Result<Bytes, Failure> {
    let stored: Option<&[u8]> = get(row, column)?;
    Ok(stored.map(Bytes::copy_from_slice).unwrap_or_default())
}

/// The hash in a column.
pub(crate) fn hash(row: &Row, column: usize) -> Result<[u8; 32], Failure> {
    let stored: &[u8] = get(row, column)?;
    stored.try_into().map_err(|error| corrupt("a hash", error))
}

/// A count in a column.
pub(crate) fn count(row: &Row, column: usize) -> Result<u32, Failure> {
    let stored: i32 = get(row, column)?;
    u32::try_from(stored).map_err(|error| corrupt("a count", error))
}

/// The version in a column.
pub(crate) fn version(row: &Row, column: usize) -> Result<u64, Failure> {
    let stored: i64 = get(row, column)?;
    u64::try_from(stored).map_err(|error| corrupt("a version", error))
}

/// A version as the database stores it.
pub(crate) fn stored_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The size or index of a log in a column.
pub(crate) fn size(row: &Row, column: usize) -> Result<u64, Failure> {
    let stored: i64 = get(row, column)?;
    u64::try_from(stored).map_err(|error| corrupt("a size", error))
}

/// The bytes in a column, if there are any.
pub(crate) fn bytes_opt(row: &Row, column: usize) -> Result<Option<Bytes>, Failure> {
    let stored: Option<&[u8]> = get(row, column)?;
    Ok(stored.map(Bytes::copy_from_slice))
}

fn headers(row: &Row, column: usize) -> Result<HeaderBlock, Failure> {
    HeaderBlock::from_stored(bytes(row, column)?).map_err(|error| corrupt("a header block", error))
}

/// The text that was stored as bytes.
pub(crate) fn text_of_bytes(row: &Row, column: usize) -> Result<Option<String>, Failure> {
    let stored: Option<Vec<u8>> = get(row, column)?;
    let text = stored.map(String::from_utf8).transpose();
    text.map_err(|error| corrupt("an idempotency key", error))
}

/// A number as the database stores it. Everything counted here is far below the limit.
pub(crate) fn stored(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration as it is stored, in microseconds.
pub(crate) fn stored_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A text for a column of text, which takes everything but the zero character.
pub(crate) fn stored_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The event in the columns of `event_read`, which in `delivery_claim_due` stand from `first` on.
pub(crate) fn event(row: &Row, first: usize, tenant_id: TenantId, event_id: EventId) -> Result<Event, Failure> {
    Ok(Event {
        id: event_id,
        tenant_id,
        endpoint_id: id(row, first)?,
        received_at: time(row, first + 1)?,
        idempotency_key: text_of_bytes(row, first + 2)?,
        headers: headers(row, first + 3)?,
        body_sha256: hash(row, first + 4)?,
        body: bytes(row, first + 5)?,
    })
}

/// The endpoint in the first columns of `endpoint_get` and its like.
pub(crate) fn endpoint(row: &Row, sealer: &Sealer) -> Result<Endpoint, Failure> {
    let (id, tenant_id) = (id(row, 0)?, id(row, 1)?);
    let config: &str = get(row, 2)?;
    let secrets: &[u8] = get(row, 3)?;
    Ok(Endpoint {
        id,
        tenant_id,
        config: serde_json::from_str(config).map_err(|error| corrupt("an endpoint's configuration", error))?,
        secrets: sealing::open(sealer, tenant_id, id, secrets)?,
        status: endpoint_status(get(row, 4)?)?,
        created_at: time(row, 5)?,
        updated_at: time(row, 6)?,
        version: version(row, 7)?,
    })
}

fn endpoint_status(disabled_reason: Option<&str>) -> Result<EndpointStatus, Failure> {
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
pub(crate) fn attempt(row: &Row, tenant_id: TenantId, event_id: EventId) -> Result<Attempt, Failure> {
    let delivery = DeliveryRef { id: id(row, 0)?, event_id, endpoint_id: id(row, 3)?, tenant_id };
    let duration: i64 = get(row, 6)?;
    let status: Option<i32> = get(row, 9)?;
    let head = match status {
        None => None,
        Some(status) => Some(ResponseHead {
            status: u16::try_from(status).map_err(|error| corrupt("an attempt's status", error))?,
            headers: headers(row, 10)?,
            body: bytes(row, 11)?,
            body_truncated: get(row, 12)?,
        }),
    };
    let kind: Option<&str> = get(row, 7)?;
    let outcome = match (kind, head) {
        (Some(kind), head) => {
            let kind: FailureKind = kind.parse().map_err(|error| corrupt("an attempt's failure", error))?;
            Outcome::Failure { kind, detail: get(row, 8)?, head }
        }
        (None, Some(head)) => Outcome::Response(head),
        (None, None) => {
            let cause = "neither an answer nor a failure";
            return Err(Failure::Store(StoreError::corrupt("an attempt's outcome", cause)));
        }
    };
    Ok(Attempt {
        id: id(row, 2)?,
        delivery,
        number: count(row, 1)?,
        url: get(row, 4)?,
        started_at: time(row, 5)?,
        duration: Duration::from_micros(u64::try_from(duration).unwrap_or(0)),
        outcome,
    })
}
