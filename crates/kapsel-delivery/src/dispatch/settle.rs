//! Writing results in batches.
//!
//! A batch is whatever has gathered while the one before was being written; there is no timer, so a lone result is
//! written at once and many share a commit. One task writes, and each result keeps its permit until it is written:
//! while the store is away, results gather up to the number of permits and no further.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kapsel_core::{Clock, DeliveryRef, Entropy, Lease, Tracer};
use kapsel_store::{DeliveryStore, EndpointDirectory, Settled, Settlement, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Deps;
use super::gate::Permit;
use super::traced::Settling;
use crate::backoff::Backoff;
use crate::unwind;

/// The most results in one transaction.
const BATCH_MAX: usize = 512;
const WAIT_BASE: Duration = Duration::from_millis(50);
const WAIT_CAP: Duration = Duration::from_secs(2);

/// How the work on a delivery ended.
pub(super) enum Finished {
    /// An attempt was made. Writing it down may be part of a trace.
    Settle(Box<Settlement>, Option<Settling>),
    /// None was made, or none that counts: the delivery is given back.
    Release(DeliveryRef, Lease),
}

/// Takes results in.
pub(super) struct SettleQueue {
    // Unbounded, because every message holds a permit, and permits are bounded.
    results: mpsc::UnboundedSender<(Finished, Permit)>,
    written: Arc<Written>,
}

/// How much was written since the start.
#[derive(Default)]
pub(super) struct Written {
    settled: AtomicUsize,
    released: AtomicUsize,
}

impl Written {
    /// How many attempts were settled.
    pub(super) fn settled(&self) -> usize {
        self.settled.load(Ordering::Relaxed)
    }

    /// How many deliveries were given back.
    pub(super) fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }
}

impl SettleQueue {
    /// Starts the task that writes. It ends when the queue is dropped and empty.
    pub(super) fn start(deps: &Deps, runtime: &Handle) -> Self {
        let (results, inbox) = mpsc::unbounded_channel();
        let written = Arc::new(Written::default());
        let writer = Writer {
            store: Arc::clone(&deps.store),
            directory: Arc::clone(&deps.directory),
            clock: Arc::clone(&deps.clock),
            entropy: Arc::clone(&deps.entropy),
            tracer: Arc::clone(&deps.tracer),
            written: Arc::clone(&written),
        };
        runtime.spawn(writer.run(inbox));
        SettleQueue { results, written }
    }

    pub(super) fn push(&self, finished: Finished, permit: Permit) {
        // Without a receiver the runtime is going down; the lease ends by itself.
        let _ = self.results.send((finished, permit));
    }

    pub(super) fn written(&self) -> &Written {
        &self.written
    }
}

struct Writer {
    store: Arc<dyn DeliveryStore>,
    directory: Arc<EndpointDirectory>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tracer: Arc<dyn Tracer>,
    written: Arc<Written>,
}

/// What goes with a result until it is written.
struct Held {
    _permit: Permit,
    settling: Option<Settling>,
}

/// What one try to write something came to.
enum Tried<T> {
    Done(T),
    /// Trying again may help.
    Later,
    /// The store refuses this very batch.
    Refused,
}

impl Writer {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<(Finished, Permit)>) {
        let mut gathered = Vec::with_capacity(BATCH_MAX);
        while inbox.recv_many(&mut gathered, BATCH_MAX).await > 0 {
            let mut settlements = Vec::with_capacity(gathered.len());
            let mut held = Vec::with_capacity(gathered.len());
            let mut releases = Vec::new();
            for (finished, permit) in gathered.drain(..) {
                match finished {
                    Finished::Settle(settlement, settling) => {
                        settlements.push(*settlement);
                        held.push(Held { _permit: permit, settling });
                    }
                    Finished::Release(delivery, lease) => releases.push((delivery, lease, permit)),
                }
            }
            self.settle(settlements, held).await;
            self.release(releases).await;
        }
    }

    /// Writes settlements until each is stored, stale, or past the end of its lease.
    async fn settle(&self, settlements: Vec<Settlement>, held: Vec<Held>) {
        let mut backoff = Backoff::new(WAIT_BASE, WAIT_CAP);
        let mut is_repeated = false;
        // Mostly one batch; more after the store refused one that has to be taken apart.
        let mut batches = vec![(settlements, held)];
        while let Some((settlements, mut held)) = batches.pop() {
            if settlements.is_empty() {
                continue;
            }
            let batch = Arc::new(settlements);
            let write = self.store.delivery_settle_if_leased(self.clock.now(), Arc::clone(&batch));
            match tried(unwind::caught(write).await, "settle", batch.len()) {
                Tried::Done(settled) => {
                    self.written.settled.fetch_add(batch.len(), Ordering::Relaxed);
                    for ((settlement, settled), held) in batch.iter().zip(&settled).zip(held) {
                        if let (Settled::Written, Some(settling)) = (settled, held.settling) {
                            settling.ended(&*self.tracer, &settlement.attempt);
                        }
                    }
                    self.after_write(&batch, &settled, is_repeated).await;
                }
                Tried::Later => {
                    tokio::time::sleep(backoff.next(&*self.entropy)).await;
                    is_repeated = true;
                    batches.push(self.still_leased(Arc::unwrap_or_clone(batch), held));
                }
                Tried::Refused if batch.len() == 1 => {
                    let delivery_id = batch[0].attempt.delivery.id;
                    tracing::error!(%delivery_id, "a result cannot be stored; the delivery will be made again");
                }
                Tried::Refused => {
                    // One of them is what the store chokes on. The others must not share its fate.
                    let mut settlements = Arc::unwrap_or_clone(batch);
                    let half = settlements.len() / 2;
                    let behind = (settlements.split_off(half), held.split_off(half));
                    batches.push(behind);
                    batches.push((settlements, held));
                }
            }
        }
    }

    /// What is left of a batch that was not written: after the end of its lease a delivery may be somebody else's, and
    /// to keep its result any longer would only fill the memory.
    fn still_leased(&self, settlements: Vec<Settlement>, held: Vec<Held>) -> (Vec<Settlement>, Vec<Held>) {
        let now = self.clock.now();
        settlements
            .into_iter()
            .zip(held)
            .filter(|(settlement, _)| {
                let is_leased = settlement.lease.until > now;
                if !is_leased {
                    let delivery_id = settlement.attempt.delivery.id;
                    tracing::warn!(%delivery_id, "a result was not stored before its lease ended; it will be made again");
                }
                is_leased
            })
            .unzip()
    }

    async fn after_write(&self, batch: &[Settlement], settled: &[Settled], is_repeated: bool) {
        for (settlement, settled) in batch.iter().zip(settled) {
            // Of a batch that was repeated, some may be stale because the first try wrote them after all.
            if *settled == Settled::Stale && !is_repeated {
                tracing::warn!(
                    delivery_id = %settlement.attempt.delivery.id,
                    endpoint_id = %settlement.attempt.delivery.endpoint_id,
                    "the lease was lost; the attempt is not recorded",
                );
            }
        }
        if batch.iter().any(|settlement| settlement.decision.disable_endpoint.is_some()) {
            // At once, so that nothing more is sent there. If it fails, the regular refresh will see it.
            if let Err(error) = self.directory.refresh().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot refresh the endpoints");
            }
        }
    }

    /// Gives leases back until that is written or they have ended.
    async fn release(&self, mut releases: Vec<(DeliveryRef, Lease, Permit)>) {
        let mut backoff = Backoff::new(WAIT_BASE, WAIT_CAP);
        while !releases.is_empty() {
            let now = self.clock.now();
            let batch: Vec<_> = releases.iter().map(|(delivery, lease, _)| (*delivery, *lease)).collect();
            let write = self.store.delivery_release_if_leased(now, batch);
            match tried(unwind::caught(write).await, "release", releases.len()) {
                Tried::Done(()) => {
                    self.written.released.fetch_add(releases.len(), Ordering::Relaxed);
                    return;
                }
                Tried::Refused => return,
                Tried::Later => {
                    tokio::time::sleep(backoff.next(&*self.entropy)).await;
                    let now = self.clock.now();
                    releases.retain(|(_, lease, _)| lease.until > now);
                }
            }
        }
    }
}

fn tried<T>(result: Result<Result<T, StoreError>, unwind::Panicked>, what: &'static str, count: usize) -> Tried<T> {
    match result {
        Ok(Ok(done)) => Tried::Done(done),
        Ok(Err(error @ StoreError::Unavailable { .. })) => {
            tracing::warn!(what, count, error = &error as &dyn std::error::Error, "cannot write results; trying again");
            Tried::Later
        }
        Ok(Err(error)) => {
            tracing::error!(what, count, error = &error as &dyn std::error::Error, "the store refuses results");
            Tried::Refused
        }
        Err(unwind::Panicked) => {
            tracing::error!(what, count, "the store panicked; trying again");
            Tried::Later
        }
    }
}
