//! The memory that webhooks may take up between their first byte and their commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that is shared out and given back. Never waits: whoever gets nothing is refused.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    bytes_used: AtomicUsize,
}

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetGone;

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Budget { bytes_max, bytes_used: AtomicUsize::new(0) }
    }

    /// An empty charge, to be grown.
    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: Arc::clone(self), bytes: 0 }
    }

    #[cfg(test)]
    pub(crate) fn bytes_used(&self) -> usize {
        self.bytes_used.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// If they are not there; the charge is then what it was.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), BudgetGone> {
        let Budget { bytes_max, bytes_used } = &*self.budget;
        let taken = |used: usize| used.checked_add(bytes).filter(|used| used <= bytes_max);
        // The counter orders nothing but itself.
        bytes_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).map_err(|_| BudgetGone)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.bytes_used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_there_is_and_takes_everything_back() {
        let budget = Arc::new(Budget::new(100));
        let mut first = budget.charge();
        let mut second = budget.charge();
        assert_eq!(first.grow(60), Ok(()));
        assert_eq!(second.grow(41), Err(BudgetGone));
        assert_eq!(second.grow(usize::MAX), Err(BudgetGone));
        assert_eq!(second.grow(40), Ok(()));
        assert_eq!(budget.bytes_used(), 100);
        drop(first);
        assert_eq!(second.grow(60), Ok(()));
        drop(second);
        assert_eq!(budget.bytes_used(), 0);
    }
}
