//! `POST /ingest/{endpoint_id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{
    DeliveryId, DeliveryRef, EndpointId, ErrorCode, Event, EventId, HeaderBlock, TenantStatus, Timestamp,
};
use kapsel_store::error::with_sources;
use kapsel_store::{ActiveEndpoint, Ingested, NewDelivery, NewEvent, StoreError};
use sha2::{Digest as _, Sha256};

use super::body;
use super::budget::Charge;
use super::queue::{LARGE_BODY_BYTES, Outcome, Refusal, Submission};
use crate::Shared;
use crate::openapi::parameters::{IngestPath, SourceHeaders};
use crate::openapi::refusals::IngestRefusals;
use crate::openapi::shown::Received;
use crate::problem::{JSON, Problem};

const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("kapsel-idempotent-replay");

/// What a webhook costs in memory beside its body and headers, roughly, in bytes.
const OVERHEAD_BYTES: usize = 512;

/// Accepts one webhook: checks it, has it stored durably, answers 200 with its event id.
#[utoipa::path(
    post,
    path = "/ingest/{endpoint_id}",
    tag = "ingest",
    operation_id = "ingest",
    summary = "Accepts a webhook",
    description = "",
    params(IngestPath, SourceHeaders),
    request_body(content = crate::openapi::shown::Bytes, content_type = "*/*", description = "Any bytes of any type."),
    responses(
        (status = 200, description = "The event is durable, or the repetition of one that is.", body = Received, headers(("Kapsel-Idempotent-Replay" = Option<String>, description = "`true` if the key was used within its window; then nothing was stored."))),
        IngestRefusals,
    ),
)]
pub(crate) async fn ingest(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (parts, mut body) = request.into_parts();
    let accepted = accept(&shared, &parts, &mut body).await;
    if accepted.is_err() {
        body::linger(&parts, body);
    }
    accepted.map(|(id, is_replay)| received(id, is_replay))
}

async fn accept(shared: &Shared, parts: &Parts, body: &mut Body) -> Result<(EventId, bool), Problem> {
    let active = endpoint(shared, parts.uri.path()).await?;
    if shared.queue.is_closed() {
        return Err(shutting_down());
    }
    let mut charge = shared.budget.charge();
    let settings = &shared.settings;
    let body = body::read(body, settings.body_bytes_max, settings.body_read_timeout, &mut charge).await?;
    let received_at = shared.clock.now();
    let headers = HeaderBlock::from_pairs(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    charge.grow(headers.as_bytes().len() + OVERHEAD_BYTES).map_err(|_| queue_full())?;

    let checked = if body.len() > LARGE_BODY_BYTES {
        // Hashing megabytes takes milliseconds, in which this thread would serve nobody else.
        let active = Arc::clone(&active);
        tokio::task::spawn_blocking(move || check(&active, headers, body, received_at))
            .await
            .map_err(|error| Problem::internal(format!("checking a webhook failed: {error}")))?
    } else {
        check(&active, headers, body, received_at)
    };
    store(shared, &active, checked?, received_at, charge).await
}

/// Has an event stored and handed on to delivery. Returns its id, or that of the event that it repeats.
pub(crate) async fn store(
    shared: &Shared,
    active: &ActiveEndpoint,
    checked: Checked,
    received_at: Timestamp,
    charge: Charge,
) -> Result<(EventId, bool), Problem> {
    let Checked { headers, body, body_sha256, key } = checked;
    let endpoint = &active.endpoint;
    let delivery = DeliveryRef {
        id: shared.ids.next::<DeliveryId>(received_at),
        event_id: shared.ids.next(received_at),
        endpoint_id: endpoint.id,
        tenant_id: endpoint.tenant_id,
    };
    let slot = shared.handoff.reserve(endpoint.id, body.len(), received_at);
    let lease = slot.as_ref().map(|slot| slot.lease());
    let new_delivery = NewDelivery { id: delivery.id, endpoint_id: endpoint.id, lease, ended: None };
    let event = Arc::new(Event {
        id: delivery.event_id,
        tenant_id: endpoint.tenant_id,
        endpoint_id: endpoint.id,
        received_at,
        idempotency_key: key.as_ref().map(|key| key.text.clone()),
        headers,
        body,
        body_sha256,
    });
    let new_event = NewEvent { event, key, deliveries: vec![new_delivery] };
    let outcome =
        shared.queue.submit(Submission { new_event, delivery, slot, charge }).map_err(|refusal| match refusal {
            Refusal::Full => queue_full(),
            Refusal::Closed => shutting_down(),
        })?;
    // The other end is only dropped without an answer by a defect; then nothing is known either.
    match outcome.await.unwrap_or(Outcome::Unknown) {
        Outcome::Stored(Ingested::Created | Ingested::Spooled) => Ok((delivery.event_id, false)),
        Outcome::Stored(Ingested::Replay { original }) => Ok((original, true)),
        Outcome::Stored(Ingested::Conflict { original }) => Err(Problem::new(
            ErrorCode::DuplicateEvent,
            format!("the idempotency key was used by {original} with another body"),
        )),
        Outcome::Unknown => Err(Problem::new(
            ErrorCode::StoreUnavailable,
            "the store did not confirm; whether the event was stored is unknown. Repeating it with the same \
             idempotency key is safe",
        )),
        Outcome::Refused => Err(Problem::internal("the store refused the event; the entry before names it")),
    }
}

/// The endpoint that the path names, if it takes something in.
async fn endpoint(shared: &Shared, path: &str) -> Result<Arc<ActiveEndpoint>, Problem> {
    let unknown = || Problem::new(ErrorCode::InvalidEndpoint, "there is no such endpoint");
    let id: EndpointId = path.rsplit_once('/').and_then(|(_, id)| id.parse().ok()).ok_or_else(unknown)?;
    let active = shared.directory.get_or_refresh(id).await.map_err(|error| unasked(&error))?.ok_or_else(unknown)?;
    if !active.is_enabled() {
        return Err(Problem::gone("the endpoint is disabled"));
    }
    let tenant = shared.tenants.get_or_refresh(active.endpoint.tenant_id).await.map_err(|error| unasked(&error))?;
    match tenant.map(|active| active.tenant.status) {
        Some(TenantStatus::Active) => Ok(active),
        Some(TenantStatus::Suspended) => Err(Problem::suspended()),
        Some(TenantStatus::Deleted) | None => Err(unknown()),
    }
}

/// What is said of an endpoint or tenant that is not known here while the store is away.
fn unasked(error: &StoreError) -> Problem {
    tracing::warn!(error = with_sources(error), "an endpoint is not known here, and the store cannot be asked");
    Problem::new(
        ErrorCode::StoreUnavailable,
        "the endpoint is not known here, and the store cannot be asked for it; nothing was stored",
    )
}

/// A webhook that is what it claims to be.
pub(crate) struct Checked {
    pub(crate) headers: HeaderBlock,
    pub(crate) body: Bytes,
    pub(crate) body_sha256: [u8; 32],
    pub(crate) key: Option<IdempotencyKey>,
}

/// The signature first: of a request that fails here nothing may be remembered.
fn check(active: &ActiveEndpoint, headers: HeaderBlock, body: Bytes, now: Timestamp) -> Result<Checked, Problem> {
    let verifier = active.verifier.as_ref().ok_or_else(|| {
        Problem::internal(format!("the stored verification of {} cannot be used", active.endpoint.id))
    })?;
    verifier
        .verify(&headers, &body, now)
        .map_err(|error| Problem::new(ErrorCode::InvalidSignature, error.to_string()))?;
    let body_sha256 = Sha256::digest(&body).into();
    let config = &active.endpoint.config;
    let key = config
        .idempotency
        .key_of(&config.verification, &headers, &body, &body_sha256)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(Checked { headers, body, body_sha256, key })
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

fn queue_full() -> Problem {
    Problem::new(ErrorCode::QueueFull, "too much is waiting to be stored; nothing was stored")
}

fn shutting_down() -> Problem {
    Problem::new(ErrorCode::ShuttingDown, "the service is being stopped; nothing was stored")
}
