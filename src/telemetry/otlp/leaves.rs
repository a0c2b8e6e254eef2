//! The last spans of traces: the way of an attempt's leaf into the log.
//!
//! Whichever instance adds to the log knows leaves and no events. So the one that has settled an attempt, and knows its
//! trace, looks in the store whether the leaf has arrived. It works alike with one instance and with many. What has not
//! arrived when the program is killed gets no such span.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kapsel_core::trace::{Span, Stage, Tracer as _, leaf_span};
use kapsel_core::{AttemptId, Clock, Timestamp};
use kapsel_store::AttestationStore;
use kapsel_store::attestation::LeafName;
use tokio::sync::{mpsc, watch};

use super::OtlpTracer;

/// How many leaves are waited for. Only those of recorded traces are; more are left without their last span.
const WAITING_MAX: usize = 1_024;
/// How many are looked for at once.
const LOOKS_MAX: usize = 64;
/// How often it is looked. So late the end of a span may be.
const PERIOD: Duration = Duration::from_millis(250);
/// A leaf that has not arrived by then is not waited for any more: the log stands still, and says so elsewhere.
const PATIENCE: Duration = Duration::from_mins(1);

/// Takes settled attempts in.
pub(super) struct LeafWatch(mpsc::Sender<Waiting>);

/// A leaf on its way, and the span that it will be.
struct Waiting {
    attempt_id: AttemptId,
    span: Span,
}

/// Looks for leaves.
pub(super) struct Watcher {
    store: Arc<dyn AttestationStore>,
    clock: Arc<dyn Clock>,
    inbox: mpsc::Receiver<Waiting>,
}

/// Both ends.
pub(super) fn watch(store: Arc<dyn AttestationStore>, clock: Arc<dyn Clock>) -> (LeafWatch, Watcher) {
    let (sender, inbox) = mpsc::channel(WAITING_MAX);
    (LeafWatch(sender), Watcher { store, clock, inbox })
}

impl LeafWatch {
    /// An attempt was settled; its leaf waits from now on.
    pub(super) fn await_leaf(&self, settle: &Span) {
        let Some((_, attempt_id, _)) = settle.attempt else { return };
        let span = Span {
            stage: Stage::Leaf,
            span_id: leaf_span(attempt_id),
            parent: Some(settle.span_id),
            started_at: settle.started_at + settle.duration,
            duration: Duration::ZERO,
            ..settle.clone()
        };
        // When there is no room, the span is left out.
        let _ = self.0.try_send(Waiting { attempt_id, span });
    }
}

impl Watcher {
    /// Works until it is told to stop, and looks once more then.
    pub(super) async fn run(mut self, tracer: Weak<OtlpTracer>, mut stopped: watch::Receiver<bool>) {
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        loop {
            let is_stopping = *stopped.borrow_and_update();
            while waiting.len() < WAITING_MAX
                && let Ok(next) = self.inbox.try_recv()
            {
                waiting.push_back(next);
            }
            let Some(tracer) = tracer.upgrade() else { return };
            let looks = if is_stopping { waiting.len() } else { waiting.len().min(LOOKS_MAX) };
            for next in waiting.drain(..looks).collect::<Vec<_>>() {
                let now = self.clock.now();
                if self.has_arrived(&next).await {
                    let duration = now.saturating_since(next.span.started_at);
                    tracer.record(Span { duration, ..next.span });
                } else if !is_over(&next, now) {
                    waiting.push_back(next);
                }
            }
            drop(tracer);
            if is_stopping {
                return;
            }
            if waiting.is_empty() {
                tokio::select! {
                    next = self.inbox.recv() => match next {
                        Some(next) => waiting.push_back(next),
                        None => return,
                    },
                    _ = stopped.changed() => continue,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    async fn has_arrived(&self, next: &Waiting) -> bool {
        match self.store.leaf_get(next.span.tenant_id, LeafName::Attempt(next.attempt_id)).await {
            Ok(leaf) => leaf.index.is_some(),
            // The store is away, or the leaf is not there for another reason: the next look tells, or patience ends.
            Err(_) => false,
        }
    }
}

fn is_over(next: &Waiting, now: Timestamp) -> bool {
    now.saturating_since(next.span.started_at) > PATIENCE
}
