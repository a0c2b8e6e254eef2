//! Faults that tests put into the writer's way, where only a broken disk would otherwise be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::ffi;

/// What a failing commit leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It failed before anything was stored.
    NothingStored,
    /// It reached the disk, and failed all the same.
    AllStored,
}

/// The faults of one store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// The fault, and at which commit from now.
    commit: Mutex<Option<(CommitFault, usize)>>,
    reopening: AtomicUsize,
}

impl Faults {
    /// Lets the `nth` commit from now fail; 1 is the next one.
    pub(crate) fn fail_commit(&self, fault: CommitFault, nth: usize) {
        *self.0.commit.lock().unwrap_or_else(PoisonError::into_inner) = Some((fault, nth));
    }

    /// Lets the next `times` attempts to open the database anew fail.
    pub(crate) fn fail_reopening(&self, times: usize) {
        self.0.reopening.store(times, Ordering::SeqCst);
    }

    /// The fault of the commit that is about to be made.
    pub(crate) fn of_this_commit(&self) -> Option<CommitFault> {
        let mut plan = self.0.commit.lock().unwrap_or_else(PoisonError::into_inner);
        match plan.as_mut()? {
            (fault, 1) => {
                let fault = *fault;
                *plan = None;
                Some(fault)
            }
            (_, commits) => {
                *commits -= 1;
                None
            }
        }
    }

    /// Whether opening the database anew fails this time.
    pub(crate) fn is_reopening_broken(&self) -> bool {
        self.0.reopening.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// What SQLite says when `fsync` fails.
pub(crate) fn disk_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), Some("made by a test".to_owned()))
}
