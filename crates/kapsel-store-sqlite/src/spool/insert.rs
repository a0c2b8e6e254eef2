//! Putting a batch into the spool. The rules for duplicates are those of a store, over what is in the spool.

use kapsel_core::{Event, EventId, Timestamp};
use kapsel_store::{Ingested, NewEvent, StoreError};
use rusqlite::{CachedStatement, Connection, params};

use super::rows::deliveries_to_json;
use super::totals::Totals;
use crate::error::Failure;
use crate::rows::{id, stored, time};
use crate::statements as sql;

/// Stores a batch and says what became of each event, and what the spool holds now.
pub(super) fn insert_batch(
    connection: &Connection,
    now: Timestamp,
    batch: &[NewEvent],
    bytes_max: u64,
) -> Result<(Vec<Ingested>, Totals), Failure> {
    let mut inserts = Inserts {
        now,
        event: connection.prepare_cached(sql::SPOOL_INSERT)?,
        exists: connection.prepare_cached(sql::SPOOL_EXISTS)?,
        find: connection.prepare_cached(sql::SPOOL_KEY_FIND)?,
        events: 0,
        bytes: 0,
    };
    let answers = batch.iter().map(|new| inserts.insert(new)).collect::<Result<_, _>>()?;
    let totals = Totals::add(connection, inserts.events, inserts.bytes)?;
    // Repeating what is stored already never makes a spool too full.
    if inserts.events > 0 && u64::try_from(totals.bytes).unwrap_or(0) > bytes_max {
        return Err(StoreError::Unavailable { message: "the spool is full", cause: None }.into());
    }
    Ok((answers, totals))
}

/// What a batch needs for each of its events, prepared once, and what it has added.
struct Inserts<'a> {
    now: Timestamp,
    event: CachedStatement<'a>,
    exists: CachedStatement<'a>,
    find: CachedStatement<'a>,
    events: i64,
    bytes: i64,
}

impl Inserts<'_> {
    fn insert(&mut self, new: &NewEvent) -> Result<Ingested, Failure> {
        let event = new.event.as_ref();
        if let Some(key) = &new.key
            && let Some((original, body_sha256)) = self.live_use(event, &key.hash)?
        {
            // An own use; or a repeated try, and the key's use by its first try expired, and somebody else used it since.
            if original == event.id || self.exists.exists(params![event.id.as_bytes()])? {
                return Ok(Ingested::Spooled);
            }
            let is_conflict = key.explicit && body_sha256 != event.body_sha256;
            return Ok(if is_conflict { Ingested::Conflict { original } } else { Ingested::Replay { original } });
        }
        let size_bytes = stored(event.body.len() + event.headers.as_bytes().len());
        let inserted = self.event.execute(params![
            event.id.as_bytes(),
            event.tenant_id.as_bytes(),
            event.endpoint_id.as_bytes(),
            event.received_at.unix_micros(),
            size_bytes,
            event.idempotency_key,
            new.key.as_ref().map(|key| key.hash),
            new.key.as_ref().map(|key| key.explicit),
            new.key.as_ref().map(|key| (self.now + key.window).unix_micros()),
            event.body_sha256,
            deliveries_to_json(&new.deliveries)?,
            event.headers.as_bytes().as_ref(),
            event.body.as_ref(),
        ])?;
        if inserted == 1 {
            self.events += 1;
            self.bytes += size_bytes;
        }
        Ok(Ingested::Spooled)
    }

    /// Who used this key last, and with which body, if that was within its window.
    fn live_use(&mut self, event: &Event, key_hash: &[u8; 32]) -> Result<Option<(EventId, [u8; 32])>, Failure> {
        let mut rows = self.find.query(params![event.endpoint_id.as_bytes(), key_hash])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        if self.now < time(row, 2)? { Ok(Some((id(row, 0)?, row.get(1)?))) } else { Ok(None) }
    }
}
