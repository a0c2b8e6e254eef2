//! What is done with a webhook until it is stored: the endpoint, the body, the signature, the key, the queue.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{
    DeliveryId, DeliveryRef, EndpointId, ErrorCode, Event, EventId, HeaderBlock, TenantStatus, Timestamp,
};
use kapsel_store::error::with_sources;
use kapsel_store::{ActiveEndpoint, ActiveTenant, IngestResult, Ingested, NewDelivery, NewEvent, StoreError};
use sha2::{Digest as _, Sha256};

use super::body;
use super::budget::Charge;
use super::queue::{LARGE_BODY_BYTES, Outcome, Refusal, Submission};
use super::quota::Reached;
use super::traced;
use crate::Shared;
use crate::problem::Problem;

/// What a webhook costs in memory beside its body and headers, roughly, in bytes.
const OVERHEAD_BYTES: usize = 512;

/// A webhook that was taken in.
pub(crate) struct Accepted {
    /// The event that it is, or that it repeats.
    pub(crate) event_id: EventId,
    /// Which of these.
    pub(crate) result: IngestResult,
    /// It itself, if it is new.
    pub(crate) event: Option<Arc<Event>>,
}

/// Checks a webhook for an endpoint and has it stored durably.
pub(super) async fn accept(
    shared: &Shared,
    active: &Arc<ActiveEndpoint>,
    parts: &Parts,
    body: &mut Body,
) -> Result<Accepted, Problem> {
    if !active.is_enabled() {
        return Err(Problem::gone("the endpoint is disabled"));
    }
    let tenant = check_tenant(shared, active).await?;
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
        let active = Arc::clone(active);
        tokio::task::spawn_blocking(move || check(&active, headers, body, received_at))
            .await
            .map_err(|error| Problem::internal(format!("checking a webhook failed: {error}")))?
    } else {
        check(active, headers, body, received_at)
    };
    let checked = checked?;
    check_quota(shared, &tenant, checked.body.len()).await?;
    store(shared, active, checked, received_at, charge).await
}

/// Has an event stored and handed on to delivery.
pub(crate) async fn store(
    shared: &Shared,
    active: &ActiveEndpoint,
    checked: Checked,
    received_at: Timestamp,
    charge: Charge,
) -> Result<Accepted, Problem> {
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
    let commit = shared.tracer.as_deref().and_then(|tracer| traced::Commit::begin(shared, tracer, &event));
    let new_event = NewEvent { event: Arc::clone(&event), key, deliveries: vec![new_delivery] };
    let outcome =
        shared.queue.submit(Submission { new_event, delivery, slot, charge }).map_err(|refusal| match refusal {
            Refusal::Full => queue_full(),
            Refusal::Closed => shutting_down(),
        })?;
    let stored = |result| {
        if let Some(commit) = commit {
            commit.end(&event);
        }
        Accepted { event_id: event.id, result, event: Some(event) }
    };
    // The other end is only dropped without an answer by a defect; then nothing is known either.
    match outcome.await.unwrap_or(Outcome::Unknown) {
        Outcome::Stored(Ingested::Created) => Ok(stored(IngestResult::Accepted)),
        Outcome::Stored(Ingested::Spooled) => Ok(stored(IngestResult::Spooled)),
        Outcome::Stored(Ingested::Replay { original }) => {
            Ok(Accepted { event_id: original, result: IngestResult::Duplicate, event: None })
        }
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

/// The endpoint that the path names, enabled or not.
pub(super) async fn endpoint(shared: &Shared, path: &str) -> Result<Arc<ActiveEndpoint>, Problem> {
    let id: EndpointId = path.rsplit_once('/').and_then(|(_, id)| id.parse().ok()).ok_or_else(unknown)?;
    shared.directory.get_or_refresh(id).await.map_err(|error| unasked(&error))?.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(ErrorCode::InvalidEndpoint, "there is no such endpoint")
}

/// What is said of an endpoint or tenant that is not known here while the store is away.
fn unasked(error: &StoreError) -> Problem {
    tracing::warn!(error = with_sources(error), "an endpoint is not known here, and the store cannot be asked");
    Problem::new(
        ErrorCode::StoreUnavailable,
        "the endpoint is not known here, and the store cannot be asked for it; nothing was stored",
    )
}

/// Whether the tenant takes part, and does not come too fast. Before the body is read: what is refused should cost little.
async fn check_tenant(shared: &Shared, active: &ActiveEndpoint) -> Result<Arc<ActiveTenant>, Problem> {
    let endpoint = &active.endpoint;
    let tenant = shared.tenants.get_or_refresh(endpoint.tenant_id).await.map_err(|error| unasked(&error))?;
    let tenant = tenant.ok_or_else(unknown)?;
    match tenant.tenant.status {
        TenantStatus::Active => {}
        TenantStatus::Suspended => return Err(Problem::suspended()),
        TenantStatus::Deleted => return Err(unknown()),
    }
    // The endpoint's limit first: what it refuses takes nothing from its tenant's.
    if let Some(limit) = &endpoint.config.ingest_rate_limit {
        let checked = shared.endpoint_rates.check(endpoint.id, limit);
        checked.map_err(|exceeded| Problem::rate_limited(exceeded, "the endpoint"))?;
    }
    if let Some(limit) = &tenant.limits.ingest_rate {
        let checked = shared.ingest_rates.check(endpoint.tenant_id, limit);
        checked.map_err(|exceeded| Problem::rate_limited(exceeded, "all endpoints of the tenant"))?;
    }
    Ok(tenant)
}

/// Whether the tenant may have one more event queued. After everything that can refuse a webhook for what it is: what is
/// refused is not to count.
async fn check_quota(shared: &Shared, tenant: &ActiveTenant, body_bytes: usize) -> Result<(), Problem> {
    let bytes = u64::try_from(body_bytes).unwrap_or(u64::MAX);
    let taken = shared.quotas.take(tenant.tenant.id, &tenant.limits, bytes).await;
    taken.map_err(|reached| {
        let message = match reached {
            Reached::Events(max) => format!("the tenant may have {max} events queued and has them"),
            Reached::Bytes(max) => format!("the tenant may have {max} bytes queued and this would be more"),
        };
        Problem::new(ErrorCode::LimitReached, message)
    })
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

fn queue_full() -> Problem {
    Problem::new(ErrorCode::QueueFull, "too much is waiting to be stored; nothing was stored")
}

fn shutting_down() -> Problem {
    Problem::new(ErrorCode::ShuttingDown, "the service is being stopped; nothing was stored")
}
