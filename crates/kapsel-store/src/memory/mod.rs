//! The in-memory engine: the storage contract in its plainest form.
//!
//! It forgets everything when it is dropped. It serves tests, the simulator, and as the reference that other engines
//! are compared with: every call takes one lock, does all of its work and never waits, and all collections are
//! ordered, so that the same calls give the same answers each time.

mod admin;
mod attestation;
mod circuit;
mod delivery;
mod erasure;
mod ingest;
mod replay;
mod reply;
mod retention;
mod state;
mod statistics;
mod status;
mod tenant;

use std::sync::{Mutex, MutexGuard, PoisonError};

use state::State;

/// The in-memory engine. Share it by `Arc`.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock, so a poisoned one guards a state that is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
