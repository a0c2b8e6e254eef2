//! Leases that have ended: their deliveries go back into their lanes.
//!
//! What is leased is in no lane, so somebody has to notice the end of a lease. Each look over the lanes and each claim has
//! that done first. An index of the ends would be written twice for every webhook, so there is none: all that is leased is
//! looked at, which is what is under way. And a time is remembered that no stored lease ends before, so that with leases of
//! a minute this happens about once a minute.
//!
//! That time may be too early, which costs a look, and never too late. It starts as "nobody has looked". Whoever stores a
//! lease lowers it before the commit. It is raised by a look alone, which sees everything because it is made by the writer,
//! and only when the look's own transaction is known to be stored.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kapsel_core::Timestamp;
use rusqlite::Connection;

use crate::error::Failure;
use crate::statements as sql;

/// Later than every lease's end.
const NEVER: Timestamp = Timestamp::from_unix_micros(i64::MAX);

/// When the next lease may end.
#[derive(Debug)]
pub(crate) struct Lapse(Mutex<Bound>);

#[derive(Debug)]
struct Bound {
    /// No stored lease ends before this.
    earliest: Timestamp,
    /// No lease ends before this that was granted since the last look began.
    granted: Timestamp,
    /// How many looks have begun.
    looks: u64,
}

/// A look at everything that is leased, whose transaction is still to be committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    number: u64,
    next_end: Timestamp,
}

impl Default for Lapse {
    fn default() -> Self {
        Lapse(Mutex::new(Bound { earliest: Timestamp::from_unix_micros(i64::MIN), granted: NEVER, looks: 0 }))
    }
}

impl Lapse {
    /// To be called by the writer before a lease that ends at `until` is committed.
    pub(crate) fn grant(&self, until: Timestamp) {
        let mut bound = self.lock();
        bound.earliest = bound.earliest.min(until);
        bound.granted = bound.granted.min(until);
    }

    /// Whether a lease may have ended by `now` that was not put back.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.lock().earliest <= now
    }

    /// Puts back what has ended by `now`, if anything may have. To be called by the writer; once the transaction is
    /// committed, [`Lapse::conclude`] is told of it.
    pub(crate) fn put_back(&self, connection: &Connection, now: Timestamp) -> Result<Option<Look>, Failure> {
        if !self.is_due(now) {
            return Ok(None);
        }
        let number = {
            let mut bound = self.lock();
            bound.looks += 1;
            // What was granted until now is seen by this look. Until it is concluded, `earliest` holds for all.
            bound.granted = NEVER;
            bound.looks
        };
        let put_back = connection.prepare_cached(sql::LEASE_LAPSE)?.execute([now.unix_micros()])?;
        if put_back > 0 {
            tracing::debug!(deliveries = put_back, "leases have ended");
        }
        let mut next_end = connection.prepare_cached(sql::LEASE_NEXT_END)?;
        let next_end: Option<i64> = next_end.query_row([], |row| row.get(0))?;
        Ok(Some(Look { number, next_end: next_end.map_or(NEVER, Timestamp::from_unix_micros) }))
    }

    /// The transaction of `look` is stored. Nothing is concluded from it if another look has begun since, which counted
    /// anew what was granted.
    pub(crate) fn conclude(&self, look: Option<Look>) {
        let mut bound = self.lock();
        if let Some(Look { number, next_end }) = look
            && number == bound.looks
        {
            bound.earliest = next_end.min(bound.granted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::{MIGRATIONS, migrate};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    /// A queue with one delivery under a lease for each of these ends.
    fn queue(ends: &[i64]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        for end in ends {
            let row = "INSERT INTO queue VALUES (1, x'', randomblob(16), x'', x'', ?1, x'', 7, 0, 0, 0)";
            connection.execute(row, [at(*end).unix_micros()]).unwrap();
        }
        connection
    }

    fn leased(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM queue WHERE is_leased = 1", [], |row| row.get(0)).unwrap()
    }

    fn is_due(lapse: &Lapse, seconds: i64) -> bool {
        lapse.is_due(at(seconds))
    }

    #[test]
    fn what_has_ended_is_put_back_and_the_next_end_is_remembered() {
        let (lapse, connection) = (Lapse::default(), queue(&[10, 20, 30]));
        assert!(is_due(&lapse, i64::MIN), "nobody has looked");
        lapse.conclude(lapse.put_back(&connection, at(15)).unwrap());
        assert_eq!(leased(&connection), 2);
        assert!(!is_due(&lapse, 19));
        assert!(lapse.put_back(&connection, at(19)).unwrap().is_none());
        assert!(is_due(&lapse, 20), "to the moment");
        lapse.conclude(lapse.put_back(&connection, at(30)).unwrap());
        assert_eq!(leased(&connection), 0);
        assert!(!is_due(&lapse, 1 << 40), "nothing is leased");
    }

    #[test]
    fn a_lease_that_is_granted_counts_at_once() {
        let (lapse, connection) = (Lapse::default(), queue(&[]));
        lapse.conclude(lapse.put_back(&connection, at(1)).unwrap());
        lapse.grant(at(50));
        assert!(!is_due(&lapse, 49) && is_due(&lapse, 50));

        // Also one that is granted while a look is on its way, and which that look cannot have seen.
        let look = lapse.put_back(&connection, at(50)).unwrap();
        lapse.grant(at(60));
        lapse.conclude(look);
        assert!(!is_due(&lapse, 59) && is_due(&lapse, 60));
    }

    #[test]
    fn nothing_is_concluded_from_a_look_that_was_not_stored() {
        let (lapse, connection) = (Lapse::default(), queue(&[10]));
        connection.execute_batch("BEGIN").unwrap();
        lapse.put_back(&connection, at(15)).unwrap().unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
        assert!(is_due(&lapse, 15));

        // One that was stored, with one behind it that was not: what was granted between them is known to the second only.
        let stored = lapse.put_back(&connection, at(5)).unwrap();
        lapse.grant(at(8));
        lapse.put_back(&connection, at(5)).unwrap().unwrap();
        lapse.conclude(stored);
        assert!(is_due(&lapse, 8));
    }
}
