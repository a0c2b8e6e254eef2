//! Whether the program lives, and whether it can take webhooks in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use kapsel_store::AdminStore;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Shared;
use crate::problem::{self, Reply};

/// A store that takes longer to answer than this could not make an event durable in time either.
const PING_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an answer of the store is repeated, so that eager probes do not become a load.
const PING_KEPT: Duration = Duration::from_secs(1);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// How far the program is.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// It is starting.
    pub fn new() -> Self {
        Readiness::default()
    }

    /// The start is done. Has no effect once it is stopping.
    pub fn set_ready(&self) {
        let _ = self.0.compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// It is being stopped: load balancers should send nothing more.
    pub fn set_stopping(&self) {
        self.0.store(STOPPING, Ordering::Relaxed);
    }

    fn is_starting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STARTING
    }

    /// In one word, whether webhooks are taken in.
    fn accepting(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            STARTING => "starting",
            READY => OK,
            _ => "stopping",
        }
    }
}

const OK: &str = "ok";

#[derive(Serialize)]
struct Liveness {
    status: &'static str,
}

#[derive(Serialize)]
struct ReadinessReport {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    store: &'static str,
    accepting: &'static str,
}

/// `GET /health/live`: the process runs and answers. It looks at nothing else, because restarting the process would
/// mend nothing else.
pub(crate) async fn live() -> Response {
    problem::json(Reply::Ok, &Liveness { status: OK })
}

/// `GET /health/startup`: the start is done.
pub(crate) async fn startup(State(shared): State<Arc<Shared>>) -> Response {
    match shared.readiness.is_starting() {
        true => problem::json(Reply::NotReady, &Liveness { status: "starting" }),
        false => problem::json(Reply::Ok, &Liveness { status: OK }),
    }
}

/// `GET /health/ready`: an event could be accepted durably now.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let accepting = if shared.queue.is_closed() { "stopping" } else { shared.readiness.accepting() };
    let checks = Checks { store: shared.store_check.word().await, accepting };
    match checks.store == OK && checks.accepting == OK {
        true => problem::json(Reply::Ok, &ReadinessReport { status: "ready", checks }),
        false => problem::json(Reply::NotReady, &ReadinessReport { status: "unavailable", checks }),
    }
}

/// Asks the store for a sign of life, at most once in a while however many ask.
pub(crate) struct StoreCheck {
    store: Arc<dyn AdminStore>,
    last: Mutex<Option<(Instant, &'static str)>>,
}

impl StoreCheck {
    pub(crate) fn new(store: Arc<dyn AdminStore>) -> Self {
        StoreCheck { store, last: Mutex::new(None) }
    }

    /// What the store said, in one word.
    async fn word(&self) -> &'static str {
        // Held while the store is asked: whoever comes meanwhile waits for the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, word)) = *last
            && at.elapsed() < PING_KEPT
        {
            return word;
        }
        let word = match tokio::time::timeout(PING_TIME_MAX, self.store.ping()).await {
            Ok(Ok(())) => OK,
            Ok(Err(error)) => {
                tracing::warn!(error = problem::with_sources(&error), "the store does not answer a ping");
                "unavailable"
            }
            Err(_) => {
                tracing::warn!("the store did not answer a ping in time");
                "timeout"
            }
        };
        *last = Some((Instant::now(), word));
        word
    }
}
