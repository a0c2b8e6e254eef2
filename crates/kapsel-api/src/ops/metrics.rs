//! Figures for Prometheus, in its text format 0.0.4.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use kapsel_store::{SpoolState, SpoolStatus};
use tokio::sync::Mutex;

use crate::Shared;
use crate::problem::Problem;

const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `GET /metrics`. The store is asked as seldom as by the health routes.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let store_is_up = shared.store_check.is_up().await;
    let spool = shared.spool.as_ref().map(|gauge| gauge.spool_status());
    let mut page = render(store_is_up, shared.store.alarms().len(), (shared.log_alarm)().is_some(), spool.as_ref());
    match shared.figures.collect().await {
        Ok(figures) => page.push_str(&figures),
        Err(problem) => return problem.into_response(),
    }
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(CONTENT_TYPE, TEXT_FORMAT);
    response
}

/// What the rest of the program has to say.
pub(crate) struct Figures {
    make: Arc<dyn Fn() -> String + Send + Sync>,
    /// Everybody may ask without a key. However many do, they take one thread and no more.
    turn: Mutex<()>,
}

impl Figures {
    pub(crate) fn new(make: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        Figures { make, turn: Mutex::default() }
    }

    async fn collect(&self) -> Result<String, Problem> {
        let _turn = self.turn.lock().await;
        let make = Arc::clone(&self.make);
        // With many endpoints it takes milliseconds, in which this thread would serve nobody else.
        let made = tokio::task::spawn_blocking(move || make()).await;
        made.map_err(|error| Problem::internal(format!("collecting the figures failed: {error}")))
    }
}

fn render(store_is_up: bool, alarms: usize, log_stands_still: bool, spool: Option<&SpoolStatus>) -> String {
    let mut page = String::new();
    gauge(&mut page, "kapsel_store_up", "Whether the store answers.", u8::from(store_is_up));
    gauge(&mut page, "kapsel_store_alarms", "What somebody should look at though the store works.", alarms);
    let help = "Whether the log of attempts stands still and somebody has to see to it.";
    gauge(&mut page, "kapsel_attestation_alarm", help, u8::from(log_stands_still));
    if let Some(SpoolStatus { state, events, bytes, bytes_max: _, refused }) = spool {
        let is_active = *state == SpoolState::Spooling;
        gauge(&mut page, "kapsel_spool_active", "Whether new events go into the spool.", u8::from(is_active));
        gauge(&mut page, "kapsel_spool_events", "Events in the spool.", events);
        gauge(&mut page, "kapsel_spool_bytes", "Bytes of bodies and headers in the spool.", bytes);
        gauge(&mut page, "kapsel_spool_refused_events", "Events in the spool that the store refuses.", refused);
    }
    page
}

fn gauge(page: &mut String, name: &str, help: &str, value: impl Display) {
    // Writing to a string cannot fail.
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
}
