//! What the writer did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counted by the writer's thread.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) transactions: Counter,
    pub(crate) commands: Counter,
    pub(crate) reopened: Counter,
}

impl Counters {
    pub(crate) fn stats(&self) -> WriteStats {
        WriteStats {
            transactions: self.transactions.get(),
            commands: self.commands.get(),
            reopened: self.reopened.get(),
        }
    }
}

/// What the writer did since the store was opened. `commands / transactions` is how well the wait for the disk is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WriteStats {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Commands in them.
    pub commands: u64,
    /// How often the database had to be opened anew after a commit had failed.
    pub reopened: u64,
}
