//! `POST /ingest/{endpoint_id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use kapsel_core::{ErrorCode, EventId, EventTrace};
use kapsel_store::{ActiveEndpoint, IngestResult};
use tokio::time::Instant;

use super::accept::{Accepted, accept, endpoint};
use super::{body, traced};
use crate::Shared;
use crate::problem::{JSON, Problem};
use crate::request_log::Notes;

/// Marks an answer that was given before.
pub(crate) const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("kapsel-idempotent-replay");

/// Accepts one webhook: checks it, has it stored durably, answers 200 with its event id.
pub(crate) async fn ingest(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let begun = Instant::now();
    let (parts, mut body) = request.into_parts();
    let (active, accepted) = match endpoint(&shared, parts.uri.path()).await {
        Ok(active) => {
            let accepted = accept(&shared, &active, &parts, &mut body).await;
            (Some(active), accepted)
        }
        Err(problem) => (None, Err(problem)),
    };
    count(&shared, active.as_deref(), &accepted);
    shared.ingestion_seconds.record(begun.elapsed());
    note(&parts, active.as_deref(), accepted.as_ref().ok());
    match accepted {
        Ok(accepted) => {
            if let Some((event, tracer)) = accepted.event.as_deref().zip(shared.tracer.as_deref()) {
                traced::ingested(&shared, tracer, &parts, event, begun);
            }
            Ok(received(accepted.event_id, accepted.result == IngestResult::Duplicate))
        }
        Err(problem) => {
            body::linger(&parts, body);
            Err(problem)
        }
    }
}

fn count(shared: &Shared, active: Option<&ActiveEndpoint>, accepted: &Result<Accepted, Problem>) {
    let result = match accepted {
        Ok(accepted) => accepted.result,
        Err(problem) => refusal(problem.code(), active.is_some()),
    };
    match active {
        Some(active) => active.traffic.ingested(result),
        None => shared.directory.traffic().ingested_unassigned(result),
    }
}

/// What a refusal is counted as.
fn refusal(code: ErrorCode, is_known: bool) -> IngestResult {
    match code {
        ErrorCode::BadRequest => IngestResult::BadRequest,
        ErrorCode::InvalidSignature => IngestResult::InvalidSignature,
        ErrorCode::InvalidEndpoint if is_known => IngestResult::Disabled,
        ErrorCode::InvalidEndpoint => IngestResult::UnknownEndpoint,
        ErrorCode::RequestTimeout => IngestResult::TimedOut,
        ErrorCode::DuplicateEvent => IngestResult::Conflict,
        ErrorCode::PayloadTooLarge => IngestResult::TooLarge,
        ErrorCode::StoreUnavailable => IngestResult::StoreUnavailable,
        ErrorCode::QueueFull => IngestResult::QueueFull,
        ErrorCode::RateLimited | ErrorCode::LimitReached => IngestResult::Limited,
        ErrorCode::TenantSuspended => IngestResult::Suspended,
        ErrorCode::ShuttingDown => IngestResult::Stopping,
        // None of these is given to a webhook; it would be a defect.
        ErrorCode::Unauthenticated
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::StateConflict
        | ErrorCode::ValidationFailed
        | ErrorCode::AuditLogUnavailable
        | ErrorCode::WorkersExhausted
        | ErrorCode::ConnectionFailed
        | ErrorCode::Timeout
        | ErrorCode::HttpClientError
        | ErrorCode::HttpServerError
        | ErrorCode::CircuitOpen
        | ErrorCode::TlsFailed
        | ErrorCode::DnsFailed
        | ErrorCode::AddressBlocked
        | ErrorCode::ProtocolError
        | ErrorCode::RedirectRefused
        | ErrorCode::Internal => IngestResult::Internal,
    }
}

/// Says what is known of the request, if it is logged.
fn note(parts: &Parts, active: Option<&ActiveEndpoint>, accepted: Option<&Accepted>) {
    let Some(notes) = Notes::of(&parts.extensions) else { return };
    notes.route(&parts.extensions);
    if let Some(active) = active {
        notes.tenant(active.endpoint.tenant_id);
        notes.endpoint(active.endpoint.id);
    }
    if let Some(accepted) = accepted {
        // Of an event that came in before, the trace is that of its first request, which is not looked up for this.
        let trace_id = accepted.event.as_deref().map(|event| EventTrace::of_event(event).trace_id);
        notes.event(accepted.event_id, trace_id);
    }
}

/// The answer that a source waits for. Written by hand: it is made for every webhook.
fn received(id: EventId, is_replay: bool) -> Response {
    use std::fmt::Write as _;

    let mut json = String::with_capacity(72);
    // Writing to a string cannot fail.
    let _ = write!(json, "{{\"event_id\":\"{id}\",\"status\":\"received\"}}");
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if is_replay {
        headers.insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    response
}
