//! A limit on interim answers (1xx). HTTP sets none, and a destination that sends nothing else would keep a processor
//! busy until the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use kapsel_core::FailureKind;
use tokio::sync::Notify;

use super::Failure;

/// Servers send one `100 Continue`, perhaps some `103 Early Hints`; more has no use for anybody.
const INTERIM_ANSWERS_MAX: usize = 64;

/// Counts the interim answers to one request.
pub(super) struct InterimLimit(Arc<Notify>);

impl InterimLimit {
    /// Counts from now on, on whichever connection the message is sent.
    pub(super) fn watch<B>(message: &mut Request<B>) -> Self {
        let exceeded = Arc::new(Notify::new());
        let limit = InterimLimit(Arc::clone(&exceeded));
        let count = AtomicUsize::new(0);
        hyper::ext::on_informational(message, move |_| {
            if count.fetch_add(1, Ordering::Relaxed) >= INTERIM_ANSWERS_MAX {
                exceeded.notify_one();
            }
        });
        limit
    }

    /// Waits until there were too many.
    pub(super) async fn exceeded(&self) -> Failure {
        self.0.notified().await;
        Failure::new(FailureKind::Protocol, format!("more than {INTERIM_ANSWERS_MAX} interim answers (1xx) came"))
    }
}
