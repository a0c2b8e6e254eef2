//! The bounded queue between requests and commits, and how it is cut into batches.
//!
//! A batch is whatever queued while the last commit ran, up to a cap; nobody waits for a batch to fill (a linger of
//! 1 ms would halve the throughput). Large bodies have a lane and a task of their own, so that a small event never
//! waits in a batch behind megabytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kapsel_core::{DeliveryRef, Event, EventId};
use kapsel_store::{ClaimedDelivery, Ingested, NewEvent, Slot};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::budget::Charge;
use super::commit::Committer;
use crate::envelope::catch_panic;

/// Bodies above this size take the lane for large ones.
pub(crate) const LARGE_BODY_BYTES: usize = 256 * 1024;

/// A webhook that was checked and is to be stored.
pub(crate) struct Submission {
    /// What to store; it has one delivery.
    pub(crate) new_event: NewEvent,
    /// The delivery itself, as it is named from the commit on.
    pub(crate) delivery: DeliveryRef,
    /// Where the delivery starts right after the commit, if the dispatcher had room for it.
    pub(crate) slot: Option<Box<dyn Slot>>,
    /// The memory that it takes up.
    pub(crate) charge: Charge,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The store took it or knew it already.
    Stored(Ingested),
    /// The store did not confirm in time. Whether it is stored is unknown.
    Unknown,
    /// The store refuses this very event. It is not stored.
    Refused,
}

/// Why a submission is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many are waiting.
    Full,
    /// The program is being stopped.
    Closed,
}

/// A submission in the queue.
pub(super) struct Pending {
    pub(super) new_event: NewEvent,
    pub(super) waiter: Waiter,
}

/// What is left of a submission once its event is on the way to the store.
pub(super) struct Waiter {
    pub(super) queued_at: Instant,
    event: Arc<Event>,
    delivery: DeliveryRef,
    slot: Option<Box<dyn Slot>>,
    reply: oneshot::Sender<Outcome>,
    _charge: Charge,
    _row: Row,
}

impl Waiter {
    pub(super) fn event_id(&self) -> EventId {
        self.event.id
    }

    /// Starts the delivery of what was created and answers. The slot of what was certainly not stored is given back by
    /// being dropped.
    pub(super) fn settle(self, outcome: Outcome) {
        if let Some(slot) = self.slot {
            let (delivery, event) = (self.delivery, self.event);
            match outcome {
                Outcome::Stored(Ingested::Created) => {
                    let lease = slot.lease();
                    slot.start(ClaimedDelivery { delivery, event, lease, attempts_total: 0, attempts_made: 0 });
                }
                // The store may have it all the same: what is spooled was mostly offered to the store before.
                Outcome::Stored(Ingested::Spooled) | Outcome::Unknown => slot.give_up(delivery),
                Outcome::Stored(Ingested::Replay { .. } | Ingested::Conflict { .. }) | Outcome::Refused => {}
            }
        }
        // Nobody is listening if the sender went away; its event is stored all the same.
        let _ = self.reply.send(outcome);
    }
}

/// One of the two lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Small,
    Large,
}

/// The queue. Dropping it closes it.
pub(crate) struct IngestQueue {
    shared: Arc<QueueShared>,
}

pub(super) struct QueueShared {
    rows_max: usize,
    batch_rows_max: usize,
    batch_bytes_max: usize,
    /// Submissions that are not answered yet.
    rows: AtomicUsize,
    lanes: Mutex<Lanes>,
    small_ready: Notify,
    large_ready: Notify,
    empty: Notify,
}

#[derive(Default)]
struct Lanes {
    small: VecDeque<Pending>,
    large: VecDeque<Pending>,
    closed: bool,
}

/// Counts one submission for as long as it lives, so that no way of losing one can leave the count wrong.
struct Row(Arc<QueueShared>);

impl Drop for Row {
    fn drop(&mut self) {
        if self.0.rows.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

impl IngestQueue {
    /// A queue of at most `rows_max` unanswered submissions, cut into batches of at most `batch_rows_max` events and
    /// `batch_bytes_max` bytes (a single larger event is a batch of its own).
    pub(crate) fn new(rows_max: usize, batch_rows_max: usize, batch_bytes_max: usize) -> Self {
        let shared = QueueShared {
            rows_max,
            batch_rows_max: batch_rows_max.max(1),
            batch_bytes_max,
            rows: AtomicUsize::new(0),
            lanes: Mutex::default(),
            small_ready: Notify::new(),
            large_ready: Notify::new(),
            empty: Notify::new(),
        };
        IngestQueue { shared: Arc::new(shared) }
    }

    /// Starts the tasks that commit: `writers` for small bodies and one for large ones.
    pub(crate) fn start_writers(&self, committer: Committer, writers: usize) {
        let committer = Arc::new(committer);
        let lanes = std::iter::repeat_n(Lane::Small, writers.max(1)).chain([Lane::Large]);
        for lane in lanes {
            let (committer, queue) = (Arc::clone(&committer), Arc::clone(&self.shared));
            tokio::spawn(async move {
                while let Some(batch) = queue.next_batch(lane).await {
                    // A writer that died would stop the whole intake. Those whose answer a panic swallowed are told
                    // that the outcome is unknown.
                    if let Err(panic) = catch_panic(committer.commit(batch)).await {
                        tracing::error!(panic, "committing a batch panicked");
                    }
                }
            });
        }
    }

    /// Takes a submission, or refuses it at once. What was taken is stored and started also when nobody waits for the
    /// outcome any more.
    pub(crate) fn submit(&self, submission: Submission) -> Result<oneshot::Receiver<Outcome>, Refusal> {
        let shared = &self.shared;
        let row = Row(Arc::clone(shared));
        if shared.rows.fetch_add(1, Ordering::AcqRel) >= shared.rows_max {
            return Err(Refusal::Full);
        }
        let Submission { new_event, delivery, slot, charge } = submission;
        let is_large = new_event.event.body.len() > LARGE_BODY_BYTES;
        let (reply, outcome) = oneshot::channel();
        let waiter = Waiter {
            queued_at: Instant::now(),
            event: Arc::clone(&new_event.event),
            delivery,
            slot,
            reply,
            _charge: charge,
            _row: row,
        };
        let pending = Pending { new_event, waiter };
        let mut lanes = shared.lock();
        if lanes.closed {
            return Err(Refusal::Closed);
        }
        let (lane, ready) = match is_large {
            true => (&mut lanes.large, &shared.large_ready),
            false => (&mut lanes.small, &shared.small_ready),
        };
        lane.push_back(pending);
        drop(lanes);
        ready.notify_one();
        Ok(outcome)
    }

    /// Refuses further submissions; those taken are still committed.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.small_ready.notify_waiters();
        self.shared.large_ready.notify_waiters();
    }

    /// Closes the queue and waits until everything that was taken is answered.
    pub(crate) async fn drain(&self) {
        self.close();
        loop {
            let empty = self.shared.empty.notified();
            if self.shared.rows.load(Ordering::Acquire) == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Whether further submissions are taken at all.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl Drop for IngestQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl QueueShared {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing panics while it holds the lock, so a poisoned one guards lanes that are whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is waiting in `lane`, up to the caps; `None` when the queue is closed and the lane is empty.
    pub(super) async fn next_batch(&self, lane: Lane) -> Option<Vec<Pending>> {
        let ready = match lane {
            Lane::Small => &self.small_ready,
            Lane::Large => &self.large_ready,
        };
        loop {
            // Made before the look, so that a call between the look and the wait is not missed.
            let called = ready.notified();
            {
                let mut lanes = self.lock();
                let closed = lanes.closed;
                let waiting = match lane {
                    Lane::Small => &mut lanes.small,
                    Lane::Large => &mut lanes.large,
                };
                let batch_rows = self.batch_rows(waiting);
                if batch_rows > 0 {
                    let batch = waiting.drain(..batch_rows).collect();
                    if !waiting.is_empty() {
                        // For another writer that is idle.
                        ready.notify_one();
                    }
                    return Some(batch);
                }
                if closed {
                    return None;
                }
            }
            called.await;
        }
    }

    /// How many of the first events make up a batch.
    fn batch_rows(&self, waiting: &VecDeque<Pending>) -> usize {
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            bytes += pending.new_event.event.weight();
            bytes <= self.batch_bytes_max
        };
        let fitting = waiting.iter().take(self.batch_rows_max).take_while(fits).count();
        fitting.max(1).min(waiting.len())
    }
}
