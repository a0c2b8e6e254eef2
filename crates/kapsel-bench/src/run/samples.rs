//! Memory, looked at once a second while a run goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::postgres::Server;
use crate::proc::memory;

const LOOK: Duration = Duration::from_secs(1);
/// To add up the memory of a database server, the kernel walks over all of its pages; so that is done less often.
const LOOKS_PER_POSTGRES_LOOK: u64 = 2;

/// Memory at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at_us: u64,
    pub(super) resident_bytes: Option<u64>,
    /// As it was seen last.
    pub(super) postgres_bytes: Option<u64>,
}

/// What is being sampled.
#[derive(Debug)]
pub(super) struct Samples {
    taken: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Samples {
    /// Begins.
    pub(super) fn take(clock: Clock, pid: Option<u32>, server: Option<Server>) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let taken_by_task = Arc::clone(&taken);
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(LOOK);
            let mut postgres_bytes = None;
            for look in 0_u64.. {
                interval.tick().await;
                if look % LOOKS_PER_POSTGRES_LOOK == 0 {
                    postgres_bytes = server.as_ref().and_then(Server::memory_bytes);
                }
                let resident_bytes = pid.and_then(memory::resident_bytes);
                let sample = Sample { at_us: clock.now_us(), resident_bytes, postgres_bytes };
                taken_by_task.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
        Samples { taken, task }
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<Sample> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.task.abort();
    }
}
