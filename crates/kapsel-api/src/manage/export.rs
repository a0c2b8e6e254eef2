//! `GET /v1/export`: everything that a tenant has, as lines of JSON.
//!
//! What is written is in `export_lines`; here is how it gets out. A task reads the store page by page and hands on what
//! fits one buffer; the connection takes the next one when the client has taken the last, so a slow client makes the task
//! wait and not the memory grow. A client that takes nothing for a while is given up, for the task holds a place.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body::Frame;
use kapsel_core::{ErrorCode, EventId};
use kapsel_store::error::with_sources;
use kapsel_store::{EventFilter, StoreError};
use serde::Serialize;
use tokio::sync::mpsc;

use super::auth::{Principal, Read};
use super::endpoint_view::base_url;
use super::events::time;
use super::export_lines::{Export, write_export};
use super::fields::TIME_PROBLEM;
use super::query::Query;
use crate::Shared;
use crate::openapi::parameters::ExportRange;
use crate::openapi::refusals::TooManyExports;
use crate::openapi::shown::Text;
use crate::problem::{self, Problem};
use crate::server::activity::LongAnswer;

/// The parameters.
pub(crate) const PARAMETERS: &[&str] = &["since", "until", "include_payload"];
/// The media type of lines of JSON.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// How many exports one instance makes at once. Each may hold two large events in memory.
pub(crate) const EXPORTS_MAX: usize = 4;
/// What is handed on at once, in bytes, where lines are short.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a client may take nothing.
const STALL_MAX: Duration = Duration::from_secs(60);

/// `GET /v1/export`.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "erasures",
    operation_id = "export",
    summary = "Exports everything that a tenant has, as lines of JSON",
    description = "Each line is an object with a `type`: `export` (`version`, and what was asked for), `tenant`, `endpoint`, \
        `event` (with deliveries, attempts, `headers` and the base64 of its `payload`), and at last `end` with the number of \
        `events`. An export without this line is not whole.",
    params(Principal<Read>, ExportRange),
    responses(
        (status = 200, description = "The lines, as they are read.", body = Text, content_type = "application/x-ndjson"),
        TooManyExports,
    ),
)]
pub(crate) async fn export(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::read_alone(&parts.uri, PARAMETERS)?;
    let since = query.parsed("since", TIME_PROBLEM, time);
    let until = query.parsed("until", TIME_PROBLEM, time);
    let has_payload = query.parsed("include_payload", "must be true or false", |text| text.parse::<bool>().ok());
    query.end()?;
    let place = Arc::clone(&shared.exports).try_acquire_owned();
    let place = place.map_err(|_| Problem::new(ErrorCode::RateLimited, "too many exports are being made at once"))?;
    let found = shared.tenants.get_or_refresh(principal.tenant_id).await?;
    let tenant = found.ok_or_else(Problem::not_found)?.tenant.clone();
    // While an answer can still say what is wrong; later on a stream can only break off.
    shared.store.endpoint_list(principal.tenant_id, None, 1).await?;
    let now = shared.clock.now();
    // An id of the generator that events get theirs from: all that were accepted here so far stand in front of it.
    let end = shared.ids.next::<EventId>(now);
    let filter = EventFilter { since, until, before: Some(end), after: Some(EventId::MIN), ..EventFilter::default() };
    let export = Export {
        tenant,
        filter,
        include_payload: has_payload.unwrap_or(true),
        base_url: base_url(&shared, &parts),
        exported_at: now,
    };

    let (sender, receiver) = mpsc::channel(1);
    let answer = LongAnswer::default();
    let (under_way, tenant_id) = (answer.clone(), principal.tenant_id);
    tokio::spawn(async move {
        let mut lines = Lines { sender, buffer: BytesMut::new() };
        match write_export(&shared, export, &mut lines).await {
            Ok(()) => {}
            Err(Broken::Client) => tracing::debug!(%tenant_id, "nobody takes the export any more"),
            // Without its last line, the client knows that it is not whole.
            Err(Broken::Store(error)) => {
                tracing::warn!(%tenant_id, error = with_sources(&error), "an export is broken off");
            }
        }
        // Until here the connection is not idle.
        drop((under_way, place));
    });
    let mut response = problem::stream(NDJSON, Body::new(Chunks(receiver)));
    response.extensions_mut().insert(answer);
    Ok(response)
}

/// Why an export ends early.
pub(super) enum Broken {
    /// The client went away, or takes nothing.
    Client,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Broken::Store(error)
    }
}

/// Where lines go.
pub(super) struct Lines {
    sender: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Lines {
    /// Adds a line, and waits for the client where enough has come together.
    pub(super) async fn add(&mut self, line: &impl Serialize) -> Result<(), Broken> {
        let line = serde_json::to_vec(line);
        let line = line.map_err(|error| StoreError::corrupt("a line of an export", error))?;
        self.buffer.extend_from_slice(&line);
        self.buffer.extend_from_slice(b"\n");
        if self.buffer.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Hands on what is left.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        let chunk = self.buffer.split().freeze();
        self.sender.send_timeout(chunk, STALL_MAX).await.map_err(|_| Broken::Client)
    }
}

/// The body of the answer.
struct Chunks(mpsc::Receiver<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
