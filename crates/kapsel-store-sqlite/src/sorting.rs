//! Sorting new events by endpoint, many at a time, beside everything else.
//!
//! The more are sorted at once, the more of them share a page: with 65,536 events of 10,000 endpoints each page takes six.
//! They are read and sorted by a reader and handed to the writer in portions, none of them more than a transaction can have
//! rows. Rows are removed when everything in them is in its place; whatever breaks off in between is done once more from the
//! start, and changes nothing the second time. The newest row stays until there is a newer one, see
//! [`unsorted::delete`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kapsel_store::StoreError;
use rusqlite::Connection;

use crate::job::{Kind, Weight};
use crate::store::SqliteStore;
use crate::unsorted::{self, Entry, Taken, Waiting};

/// So many events wait before they are sorted.
pub(crate) const EVENTS_MAX: usize = 65_536;
/// Or so many batches, which is what a look through all of them costs when each holds one event.
const BATCHES_MAX: usize = 4_096;

/// At most so many events are sorted at once, if they came in faster than they could be sorted: 25 MB, and as much again
/// while the vector grows.
const TAKEN_MAX: usize = 524_288;
/// Portions for the writer. Each goes into a transaction of its own, with whatever else waits. There are more events in a
/// portion the more there are, as many as a transaction can have rows if need be, so that sorting does not fall behind.
const PORTIONS_MAX: usize = 512;
/// No portion is smaller: an eighth of a transaction's rows.
const PORTION_MIN: usize = 128;
/// Rows that are removed at once.
const REMOVED_MAX: usize = 64;

/// When it is time to sort.
#[derive(Debug)]
pub(crate) struct Sorting {
    events_max: usize,
    since_last: Mutex<SinceLast>,
}

/// What came in since sorting last began.
#[derive(Debug)]
struct SinceLast {
    waiting: Waiting,
    is_under_way: bool,
}

impl Sorting {
    /// It is time when `events_max` wait. `waiting` were left by the process before.
    pub(crate) fn new(events_max: usize, waiting: Waiting) -> Self {
        Sorting { events_max, since_last: Mutex::new(SinceLast { waiting, is_under_way: false }) }
    }

    /// Takes note of a stored batch of new events. Sorts in the background if it is time to.
    pub(crate) fn note(store: &SqliteStore, events: usize) {
        if events > 0 && store.sorting().begins_with(events) {
            tokio::spawn(sort(UnderWay { store: store.clone(), is_done: false }));
        }
    }

    /// Whether sorting begins with this batch.
    fn begins_with(&self, events: usize) -> bool {
        let mut since_last = self.lock();
        since_last.waiting.events = since_last.waiting.events.saturating_add(events);
        since_last.waiting.batches += 1;
        let begins = !since_last.is_under_way && self.reset_if_time(&mut since_last.waiting);
        since_last.is_under_way |= begins;
        begins
    }

    /// Whether so much came in meanwhile that whoever sorts goes on.
    fn goes_on(&self) -> bool {
        self.reset_if_time(&mut self.lock().waiting)
    }

    /// Whether enough wait; then they are counted from zero again.
    fn reset_if_time(&self, waiting: &mut Waiting) -> bool {
        let is_time = waiting.events >= self.events_max || waiting.batches >= BATCHES_MAX;
        if is_time {
            *waiting = Waiting::default();
        }
        is_time
    }

    fn ended(&self, is_done: bool) {
        let mut since_last = self.lock();
        since_last.is_under_way = false;
        if !is_done {
            // Not at once, because it may fail again.
            let again = self.events_max / 2;
            since_last.waiting.events = since_last.waiting.events.saturating_add(again);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SinceLast> {
        // Nothing panics while it holds the lock.
        self.since_last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says at its end that others may sort.
struct UnderWay {
    store: SqliteStore,
    is_done: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.store.sorting().ended(self.is_done);
    }
}

async fn sort(mut under_way: UnderWay) {
    let sorted = async {
        loop {
            sort_now(&under_way.store).await?;
            if !under_way.store.sorting().goes_on() {
                return Ok(());
            }
        }
    };
    match sorted.await {
        Ok(()) => under_way.is_done = true,
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(error = &error as &dyn std::error::Error, "events cannot be sorted by endpoint");
        }
        // The store is closed, or its trouble is told to everybody else as well.
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "events were not sorted by endpoint");
        }
    }
}

/// Sorts all that waits when it begins.
pub(crate) async fn sort_now(store: &SqliteStore) -> Result<(), StoreError> {
    sort_by(store, TAKEN_MAX).await
}

/// Sorts `entries_max` entries at once or those of a batch more, until all are sorted.
pub(crate) async fn sort_by(store: &SqliteStore, entries_max: usize) -> Result<(), StoreError> {
    loop {
        let take = move |connection: &Connection| unsorted::take(connection, entries_max);
        let Taken { entries, numbers, is_end } = store.readers().read(take).await?;
        bring(store, entries, &numbers).await?;
        if is_end {
            return Ok(());
        }
    }
}

/// Brings entries to their places, and then removes the rows that they were in.
async fn bring(store: &SqliteStore, entries: Vec<Entry>, numbers: &[i64]) -> Result<(), StoreError> {
    let portion = entries.len().div_ceil(PORTIONS_MAX).max(PORTION_MIN);
    let entries = Arc::new(entries);
    for from in (0..entries.len()).step_by(portion) {
        let (to, entries) = (entries.len().min(from + portion), Arc::clone(&entries));
        let insert = move |connection: &Connection| {
            unsorted::insert_sorted(connection, entries.get(from..to).unwrap_or_default())
        };
        store.writer().write(Kind::Sure, Weight { rows: to - from, bytes: 0 }, insert).await?;
    }
    for last in numbers.chunks(REMOVED_MAX).filter_map(|numbers| numbers.last().copied()) {
        let delete = move |connection: &Connection| unsorted::delete(connection, last);
        store.writer().write(Kind::Sure, Weight { rows: REMOVED_MAX, bytes: 0 }, delete).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of these batches sorting begins, if it ends at once each time.
    fn beginnings(sorting: &Sorting, batches: usize, events: usize, is_done: bool) -> Vec<usize> {
        let begins = |_: &usize| {
            let begins = sorting.begins_with(events);
            if begins {
                sorting.ended(is_done);
            }
            begins
        };
        (1..=batches).filter(begins).collect()
    }

    #[test]
    fn it_is_time_when_enough_events_wait_or_enough_batches() {
        let sorting = || Sorting::new(100, Waiting::default());
        assert_eq!(beginnings(&sorting(), 25, 10, true), [10, 20]);
        assert_eq!(beginnings(&sorting(), 3, 1_000, true), [1, 2, 3]);
        assert_eq!(beginnings(&Sorting::new(1_000_000, Waiting::default()), 10_000, 1, true), [4_096, 8_192]);
        let waiting = Waiting { events: 70, batches: 7 };
        assert_eq!(beginnings(&Sorting::new(100, waiting), 25, 10, true), [3, 13, 23]);
    }

    #[test]
    fn what_was_broken_off_begins_anew_before_long() {
        let sorting = Sorting::new(100, Waiting::default());
        assert_eq!(beginnings(&sorting, 25, 10, false), [10, 15, 20, 25]);
        assert_eq!(beginnings(&sorting, 25, 10, true), [5, 15, 25]);
    }

    #[test]
    fn whoever_sorts_goes_on_while_enough_came_in_meanwhile() {
        let sorting = Sorting::new(10, Waiting::default());
        assert!(sorting.begins_with(10) && !sorting.goes_on());
        assert!(!sorting.begins_with(10));
        assert!(sorting.goes_on());
        assert!(!sorting.goes_on(), "once for each time that enough came in");
    }

    #[test]
    fn nobody_sorts_while_somebody_does() {
        let sorting = Sorting::new(10, Waiting::default());
        assert!(sorting.begins_with(10));
        assert!(!sorting.begins_with(10) && !sorting.begins_with(10));
        sorting.ended(true);
        assert!(sorting.begins_with(1), "what came in between counts");
    }
}
