//! How much is in the spool: stored in the transactions that change it, and kept in memory for who asks often.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Row, params};

use crate::statements as sql;

/// How much is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    /// Grows with each change.
    changes: i64,
    /// Events.
    pub(super) events: i64,
    /// Bytes of bodies and headers.
    pub(super) bytes: i64,
}

impl Totals {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached(sql::SPOOL_TOTALS_READ)?.query_row([], Totals::of)
    }

    /// Counts what was added, or with negative numbers removed, and returns what there is now.
    pub(super) fn add(connection: &Connection, events: i64, bytes: i64) -> rusqlite::Result<Self> {
        connection.prepare_cached(sql::SPOOL_TOTALS_ADD)?.query_row(params![events, bytes], Totals::of)
    }

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Totals { changes: row.get(0)?, events: row.get(1)?, bytes: row.get(2)? })
    }
}

/// The totals as they were last seen. Whoever saw a commit, or read, shows what is stored; the latest counts, in whatever
/// order they come.
#[derive(Debug)]
pub(super) struct Gauge(Mutex<Totals>);

impl Gauge {
    pub(super) fn new(totals: Totals) -> Self {
        Gauge(Mutex::new(totals))
    }

    pub(super) fn show(&self, seen: Totals) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.changes > shown.changes {
            *shown = seen;
        }
    }

    pub(super) fn shown(&self) -> Totals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_state_does_not_replace_a_later_one() {
        let first = Totals { changes: 1, events: 1, bytes: 10 };
        let second = Totals { changes: 2, events: 2, bytes: 30 };
        let gauge = Gauge::new(Totals { changes: 0, events: 0, bytes: 0 });
        gauge.show(second);
        gauge.show(first);
        assert_eq!(gauge.shown(), second);
    }
}
