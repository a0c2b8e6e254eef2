//! Figures about the log, for those who watch it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kapsel_core::Timestamp;
use kapsel_store::attestation::Log;

/// How the log stands, as of the last look of a sequencer at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogFigures {
    /// Leaves in the tree.
    pub tree_size: u64,
    /// Leaves that the last head covers.
    pub published_size: u64,
    /// Leaves that wait to go into it, counted up to the size of a batch.
    pub waiting: usize,
    /// When the last head was signed; `None` as long as this instance knows of none.
    pub head_signed_at: Option<Timestamp>,
}

/// Figures and how they are collected.
pub(crate) struct FigureBoard {
    figures: Mutex<LogFigures>,
    batch_size: metrics::Histogram,
}

impl FigureBoard {
    pub(crate) fn new() -> Self {
        FigureBoard { figures: Mutex::default(), batch_size: metrics::histogram!("merkle_batch_size") }
    }

    pub(crate) fn read(&self) -> LogFigures {
        *self.lock()
    }

    /// The log was looked at.
    pub(crate) fn seen(&self, log: &Log, waiting: usize) {
        let published_size = log.published.map_or(0, |(size, _)| size);
        let mut figures = self.lock();
        *figures = LogFigures { tree_size: log.size, published_size, waiting, ..*figures };
    }

    /// A batch went into the tree.
    pub(crate) fn integrated(&self, leaves: usize) {
        // Batches are far smaller than what a float counts exactly.
        self.batch_size.record(f64::from(u32::try_from(leaves).unwrap_or(u32::MAX)));
    }

    /// There is a head of this size and time.
    pub(crate) fn head(&self, size: u64, signed_at: Timestamp) {
        let mut figures = self.lock();
        (figures.published_size, figures.head_signed_at) = (size, Some(signed_at));
    }

    fn lock(&self) -> MutexGuard<'_, LogFigures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
