//! Whether the program lives, and whether it can take webhooks in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use kapsel_store::error::with_sources;
use kapsel_store::{AdminStore, SpoolState, SpoolStatus};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

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

#[derive(Serialize, ToSchema)]
struct Liveness {
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ReadinessReport {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize, ToSchema)]
struct Checks {
    store: &'static str,
    accepting: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<SpoolCheck>,
}

#[derive(Serialize, ToSchema)]
struct SpoolCheck {
    state: &'static str,
    events: u64,
    bytes: u64,
    refused: u64,
}

impl SpoolCheck {
    fn new(status: &SpoolStatus) -> Self {
        let SpoolStatus { state, events, bytes, bytes_max: _, refused } = *status;
        SpoolCheck { state: state.as_str(), events, bytes, refused }
    }
}

/// `GET /health/live`: the process runs and answers. It looks at nothing else, because restarting the process would
/// mend nothing else.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "operation",
    operation_id = "health_live",
    summary = "Whether the process runs",
    description = "",
    responses(
        (status = 200, description = "It does.", body = Liveness),
    ),
)]
pub(crate) async fn live() -> Response {
    problem::json(Reply::Ok, &Liveness { status: OK })
}

/// `GET /health/startup`: the start is done.
#[utoipa::path(
    get,
    path = "/health/startup",
    tag = "operation",
    operation_id = "health_startup",
    summary = "Whether the start is done",
    description = "",
    responses(
        (status = 200, description = "It is.", body = Liveness),
        (status = 503, description = "Not yet.", body = Liveness),
    ),
)]
pub(crate) async fn startup(State(shared): State<Arc<Shared>>) -> Response {
    match shared.readiness.is_starting() {
        true => problem::json(Reply::NotReady, &Liveness { status: "starting" }),
        false => problem::json(Reply::Ok, &Liveness { status: OK }),
    }
}

/// `GET /health/ready`: an event could be accepted durably now.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operation",
    operation_id = "health_ready",
    summary = "Whether an event could be accepted durably",
    description = "",
    responses(
        (status = 200, description = "It could.", body = ReadinessReport),
        (status = 503, description = "It could not; the checks say why.", body = ReadinessReport),
    ),
)]
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let accepting = if shared.queue.is_closed() { "stopping" } else { shared.readiness.accepting() };
    let store = shared.store_check.word().await;
    let spool = shared.spool.as_ref().map(|gauge| gauge.spool_status());
    let (reply, status) = match place_of_new_events(store == OK, spool.as_ref()) {
        Some(SpoolState::Direct) if accepting == OK => (Reply::Ok, "ready"),
        Some(SpoolState::Spooling) if accepting == OK => (Reply::Ok, "spooling"),
        Some(_) | None => (Reply::NotReady, "unavailable"),
    };
    let mut alarms = shared.store.alarms();
    alarms.extend((shared.log_alarm)());
    let checks = Checks { store, accepting, alarms, spool: spool.as_ref().map(SpoolCheck::new) };
    problem::json(reply, &ReadinessReport { status, checks })
}

/// `GET /health`: the same under another name.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operation",
    operation_id = "health",
    summary = "The same as `/health/ready`",
    description = "",
    responses(
        (status = 200, description = "It could.", body = ReadinessReport),
        (status = 503, description = "It could not; the checks say why.", body = ReadinessReport),
    ),
)]
pub(crate) async fn health(shared: State<Arc<Shared>>) -> Response {
    ready(shared).await
}

/// `GET /ready`: the same under another name.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operation",
    operation_id = "ready",
    summary = "The same as `/health/ready`",
    description = "",
    responses(
        (status = 200, description = "It could.", body = ReadinessReport),
        (status = 503, description = "It could not; the checks say why.", body = ReadinessReport),
    ),
)]
pub(crate) async fn ready_short(shared: State<Arc<Shared>>) -> Response {
    ready(shared).await
}

/// Where an event would become durable now; `None` if nowhere.
fn place_of_new_events(store_is_up: bool, spool: Option<&SpoolStatus>) -> Option<SpoolState> {
    let takes_over = spool.is_some_and(SpoolStatus::has_room);
    match spool.map_or(SpoolState::Direct, |spool| spool.state) {
        SpoolState::Direct if store_is_up => Some(SpoolState::Direct),
        // Whatever the store says: while something waits in the spool, new events go behind it.
        SpoolState::Direct | SpoolState::Spooling if takes_over => Some(SpoolState::Spooling),
        SpoolState::Direct | SpoolState::Spooling => None,
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

    /// Whether the store answers.
    pub(crate) async fn is_up(&self) -> bool {
        self.word().await == OK
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
                tracing::warn!(error = with_sources(&error), "the store does not answer a ping");
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
