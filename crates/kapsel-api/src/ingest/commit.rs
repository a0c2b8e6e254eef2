//! Committing one batch: one store call, repeated while the store is away, halved when one event spoils it.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy};
use kapsel_store::error::with_sources;
use kapsel_store::{IngestStore, Ingested, NewEvent, StoreError};
use tokio::time::Instant;

use super::queue::{Outcome, Pending, Waiter};
use crate::envelope::catch_panic;

const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// A batch that waited in the queue until its time was up still gets so long for its one try.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Commits batches. Runs in tasks of its own: a sender that goes away takes only its reply with it.
pub(crate) struct Committer {
    pub(crate) store: Arc<dyn IngestStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// How long a commit is tried, counted from the first submission of the batch.
    pub(crate) wait_max: Duration,
}

/// Why a whole batch was not stored.
enum Failure {
    /// The store did not confirm.
    Unknown,
    /// The store will never take it as it is.
    Refused(String),
}

impl Committer {
    /// Commits a batch and answers everybody who waits for a part of it.
    pub(super) async fn commit(&self, mut batch: Vec<Pending>) {
        // One order for all writers of all instances: two transactions that insert the same keys in different orders
        // could block each other for good. The sort is stable, so of two events with one key the earlier one wins.
        batch.sort_by(|a, b| order(&a.new_event).cmp(&order(&b.new_event)));
        let now = Instant::now();
        let queued_at = batch.iter().map(|pending| pending.waiter.queued_at).min().unwrap_or(now);
        let deadline = (queued_at + self.wait_max).max(now + self.wait_max.min(LAST_TRY));

        let (events, waiters): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|pending| (pending.new_event, pending.waiter)).unzip();
        let mut parts = vec![(Arc::new(events), waiters)];
        while let Some((events, mut waiters)) = parts.pop() {
            match self.insert(&events, deadline).await {
                Ok(results) => {
                    for (waiter, result) in waiters.into_iter().zip(results) {
                        waiter.settle(Outcome::Stored(result));
                    }
                }
                Err(Failure::Unknown) => answer_all(waiters, Outcome::Unknown),
                Err(Failure::Refused(cause)) if waiters.len() > 1 => {
                    tracing::warn!(rows = waiters.len(), cause, "the store refused a batch; trying its halves");
                    let middle = waiters.len() / 2;
                    let right = waiters.split_off(middle);
                    parts.push((Arc::new(events[middle..].to_vec()), right));
                    parts.push((Arc::new(events[..middle].to_vec()), waiters));
                }
                Err(Failure::Refused(cause)) => {
                    for waiter in waiters {
                        tracing::error!(event_id = %waiter.event_id(), cause, "the store refused an event");
                        waiter.settle(Outcome::Refused);
                    }
                }
            }
        }
    }

    /// Inserts a batch, again and again with the same ids while the store is away, until `deadline`.
    async fn insert(&self, events: &Arc<Vec<NewEvent>>, deadline: Instant) -> Result<Vec<Ingested>, Failure> {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let call = catch_panic(self.store.event_insert_batch(self.clock.now(), Arc::clone(events)));
            let error = match tokio::time::timeout_at(deadline, call).await {
                Ok(Ok(Ok(results))) if results.len() == events.len() => return Ok(results),
                // Which result belongs to which event is not known, so neither is what became of any of them.
                Ok(Ok(Ok(_))) => {
                    tracing::error!(rows = events.len(), "the store answered for another number of events");
                    return Err(Failure::Unknown);
                }
                Ok(Ok(Err(error @ StoreError::Unavailable { .. }))) => with_sources(&error),
                Ok(Ok(Err(error))) => return Err(Failure::Refused(with_sources(&error))),
                Ok(Err(panic)) => return Err(Failure::Refused(format!("the store panicked: {panic}"))),
                Err(_) => {
                    tracing::error!(rows = events.len(), "the store did not answer in time");
                    return Err(Failure::Unknown);
                }
            };
            // Half of the wait is fixed, half is chance: instances that lost the same store come back spread out.
            let wait = backoff.mul_f64(0.5 + self.entropy.unit() / 2.0);
            if Instant::now() + wait >= deadline {
                tracing::error!(rows = events.len(), error, "giving a batch up");
                return Err(Failure::Unknown);
            }
            tracing::warn!(rows = events.len(), error, "repeating a batch");
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

/// What a batch is sorted by.
fn order(new_event: &NewEvent) -> (&kapsel_core::EndpointId, Option<&[u8; 32]>) {
    (&new_event.event.endpoint_id, new_event.key.as_ref().map(|key| &key.hash))
}

fn answer_all(waiters: Vec<Waiter>, outcome: Outcome) {
    for waiter in waiters {
        waiter.settle(outcome);
    }
}
