//! Reading what was spooled.

use std::sync::Arc;

use kapsel_core::{DeliveryId, EndpointId, Event, FinalReason};
use kapsel_store::NewDelivery;
use kapsel_store::spool::{SpoolPage, SpooledEvent, SpooledKey};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::rows::{bytes, corrupt, headers, id, stored, time};
use crate::statements as sql;

/// Reads at most `limit` events behind `after` with at most `bytes_max` of bodies and headers; at least one if there is
/// one.
pub(super) fn read(connection: &Connection, after: i64, limit: usize, bytes_max: usize) -> Result<SpoolPage, Failure> {
    let mut statement = connection.prepare_cached(sql::SPOOL_READ)?;
    let mut rows = statement.query(params![after, stored(limit)])?;
    let mut page = SpoolPage::default();
    let mut bytes_left = stored(bytes_max);
    while let Some(row) = rows.next()? {
        bytes_left = bytes_left.saturating_sub(row.get(5)?);
        if bytes_left < 0 && page.last_seq().is_some() {
            break;
        }
        match spooled(row) {
            Ok(event) => page.events.push(event),
            Err(Failure::Store(error)) => {
                let seq = row.get(0)?;
                tracing::error!(seq, error = &error as &dyn std::error::Error, "a spooled event cannot be read");
                page.unreadable.push(seq);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(page)
}

fn spooled(row: &Row<'_>) -> Result<SpooledEvent, Failure> {
    let event = Event {
        id: id(row, 1)?,
        tenant_id: id(row, 2)?,
        endpoint_id: id(row, 3)?,
        received_at: time(row, 4)?,
        idempotency_key: row.get(6)?,
        headers: headers(row, 12)?,
        body: bytes(row, 13)?,
        body_sha256: row.get(10)?,
    };
    let key_hash: Option<[u8; 32]> = row.get(7)?;
    let key = match key_hash {
        None => None,
        Some(hash) => Some(SpooledKey { hash, explicit: row.get(8)?, expires_at: time(row, 9)? }),
    };
    let deliveries: String = row.get(11)?;
    let deliveries = deliveries_from_json(&deliveries)?;
    Ok(SpooledEvent { seq: row.get(0)?, event: Arc::new(event), key, deliveries })
}

/// A delivery as it is stored. The lease is left out: whoever held it does not start what was spooled.
#[derive(Serialize, Deserialize)]
struct StoredDelivery {
    id: DeliveryId,
    endpoint_id: EndpointId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<FinalReason>,
}

pub(super) fn deliveries_to_json(deliveries: &[NewDelivery]) -> Result<String, Failure> {
    let stored = |delivery: &NewDelivery| {
        let NewDelivery { id, endpoint_id, ended, lease: _ } = *delivery;
        StoredDelivery { id, endpoint_id, ended }
    };
    let stored: Vec<_> = deliveries.iter().map(stored).collect();
    serde_json::to_string(&stored).map_err(|error| corrupt("a spooled event's deliveries", error))
}

fn deliveries_from_json(json: &str) -> Result<Vec<NewDelivery>, Failure> {
    let stored: Vec<StoredDelivery> =
        serde_json::from_str(json).map_err(|error| corrupt("a spooled event's deliveries", error))?;
    let new = |StoredDelivery { id, endpoint_id, ended }| NewDelivery { id, endpoint_id, lease: None, ended };
    Ok(stored.into_iter().map(new).collect())
}
