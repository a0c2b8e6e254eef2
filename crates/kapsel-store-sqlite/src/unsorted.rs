//! Events that wait to be sorted by endpoint.
//!
//! An index of the events by endpoint changes a page for each endpoint that a commit holds an event of. With many endpoints
//! that was two fifths of what was written for a webhook that is delivered at once. So a batch of new events leaves one row
//! with the names of all of them; from there they go to their places many at a time and in order
//! ([`sorting`](crate::sorting)). Until then, whoever asks for the events of an endpoint looks through all rows that wait,
//! which are some thousands.

use std::ops::ControlFlow;

use kapsel_core::{EndpointId, Event, EventId, TenantId};
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::rows::{StoredId, corrupt};
use crate::statements as sql;

const ID_BYTES: usize = 16;
const ENTRY_BYTES: usize = 3 * ID_BYTES;

/// The name of an event, in the order in which it will be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) tenant_id: TenantId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) event_id: EventId,
}

/// The entries of a batch, as they are stored.
#[derive(Debug)]
pub(crate) struct Entries(Vec<u8>);

impl Entries {
    /// Room for `count` of them.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Entries(Vec::with_capacity(count * ENTRY_BYTES))
    }

    pub(crate) fn push(&mut self, event: &Event) {
        self.0.extend_from_slice(event.tenant_id.as_bytes());
        self.0.extend_from_slice(event.endpoint_id.as_bytes());
        self.0.extend_from_slice(event.id.as_bytes());
    }

    /// Stores them, if there are any.
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        if !self.0.is_empty() {
            connection.prepare_cached(sql::EVENTS_UNSORTED_INSERT)?.execute([&self.0])?;
        }
        Ok(())
    }
}

/// The ids of an endpoint's events that wait and are among those that are wanted; in no order. The event of such an id may
/// have been removed.
pub(crate) fn ids(
    connection: &Connection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    is_wanted: impl Fn(&EventId) -> bool,
) -> Result<Vec<EventId>, Failure> {
    let mut found = Vec::new();
    walk(connection, |_, entries| {
        let of_endpoint = entries.filter(|entry| entry.endpoint_id == endpoint_id && entry.tenant_id == tenant_id);
        found.extend(of_endpoint.map(|entry| entry.event_id).filter(&is_wanted));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waiting {
    pub(crate) events: usize,
    /// In so many rows.
    pub(crate) batches: usize,
}

/// Counts what waits.
pub(crate) fn count(connection: &Connection) -> rusqlite::Result<Waiting> {
    let count = |row: &Row<'_>| {
        let (batches, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        let counted = |number| usize::try_from(number).unwrap_or(0);
        Ok(Waiting { events: counted(bytes) / ENTRY_BYTES, batches: counted(batches) })
    };
    connection.query_row(sql::EVENTS_UNSORTED_COUNT, [], count)
}

/// Rows that were read to be sorted.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What was in them, sorted.
    pub(crate) entries: Vec<Entry>,
    /// Their numbers, which grow.
    pub(crate) numbers: Vec<i64>,
    /// Whether no others were left.
    pub(crate) is_end: bool,
}

/// Reads rows, the oldest first, until they have `entries_max` entries or more.
pub(crate) fn take(connection: &Connection, entries_max: usize) -> Result<Taken, Failure> {
    let mut taken = Taken { is_end: true, ..Taken::default() };
    walk(connection, |number, entries| {
        if taken.entries.len() >= entries_max {
            taken.is_end = false;
            return ControlFlow::Break(());
        }
        taken.numbers.push(number);
        taken.entries.extend(entries);
        ControlFlow::Continue(())
    })?;
    taken.entries.sort_unstable();
    Ok(taken)
}

/// Brings entries to their places.
pub(crate) fn insert_sorted(connection: &Connection, entries: &[Entry]) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached(sql::EVENT_OF_ENDPOINT_INSERT)?;
    for Entry { tenant_id, endpoint_id, event_id } in entries {
        insert.execute(params![tenant_id.as_bytes(), endpoint_id.as_bytes(), event_id.as_bytes()])?;
    }
    Ok(())
}

/// Removes the rows up to `last`, but for the newest of all, whose number is the reason why the next one's is new. What it
/// holds is sorted once more, which changes nothing, and goes with the next ones.
pub(crate) fn delete(connection: &Connection, last: i64) -> Result<(), Failure> {
    connection.prepare_cached(sql::EVENTS_UNSORTED_DELETE)?.execute([last])?;
    Ok(())
}

/// Calls `visit` with each row's number and entries, until it breaks off.
fn walk(
    connection: &Connection,
    mut visit: impl FnMut(i64, &mut dyn Iterator<Item = Entry>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::EVENTS_UNSORTED_LIST)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let stored = row.get_ref(1)?.as_blob().map_err(|error| corrupt("unsorted events", error))?;
        let (ids, rest) = stored.as_chunks::<ID_BYTES>();
        let (entries, others) = ids.as_chunks::<3>();
        if !rest.is_empty() || !others.is_empty() {
            return Err(corrupt("unsorted events", "their size is no multiple of an entry's"));
        }
        let mut entries = entries.iter().map(|[tenant_id, endpoint_id, event_id]| Entry {
            tenant_id: TenantId::from_stored(*tenant_id),
            endpoint_id: EndpointId::from_stored(*endpoint_id),
            event_id: EventId::from_stored(*event_id),
        });
        if visit(row.get(0)?, &mut entries).is_break() {
            break;
        }
    }
    Ok(())
}
