//! A spool as far as it can be seen.

use std::sync::Mutex;

use kapsel_store::{SpoolGauge, SpoolState, SpoolStatus};

/// Shows what it was told.
pub(crate) struct TestGauge(Mutex<SpoolStatus>);

impl TestGauge {
    /// Empty, and not in use.
    pub(crate) fn new() -> Self {
        let bytes_max = 1_000_000;
        TestGauge(Mutex::new(SpoolStatus { state: SpoolState::Direct, events: 0, bytes: 0, bytes_max, refused: 0 }))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut SpoolStatus)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl SpoolGauge for TestGauge {
    fn spool_status(&self) -> SpoolStatus {
        *self.0.lock().unwrap()
    }
}
