//! `/v1/events`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Uri};
use kapsel_core::{AttemptId, DeliveryState, EventId, TenantId, Timestamp};
use kapsel_store::{EventDetail, EventFilter, StatusSet, StoreError};

use super::auth::{Principal, Read, Write};
use super::event_view::{AttemptView, DeliveryView, EventSummaryView, EventView};
use super::fields::TIME_PROBLEM;
use super::query::{List, ListBothWays, Query};
use super::{path_id, path_part};
use crate::Shared;
use crate::openapi::parameters::{AttemptPath, EventFilters, EventPath, Paging};
use crate::openapi::refusals::{Conflict, Erased, NoParameters};
use crate::openapi::shown::Bytes;
use crate::problem::{self, Problem, Reply};

/// The filters of the list.
pub(crate) const FILTERS: &[&str] = &["status", "endpoint_id", "since", "until"];

/// The type that a webhook's body came with.
const KAPSEL_CONTENT_TYPE: HeaderName = HeaderName::from_static("kapsel-content-type");

/// `GET /v1/events`.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    operation_id = "event_list",
    summary = "Lists events, the newest first",
    description = "",
    params(Principal<Read>, EventFilters, Paging),
    responses(
        (status = 200, description = "A page. `prev_cursor` leads back to newer ones.", body = ListBothWays<EventSummaryView>),
    ),
)]
pub(crate) async fn list(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri(), FILTERS)?;
    let states: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.as_str()).collect();
    let status = query.parsed("status", &format!("must be one of {}, undelivered", states.join(", ")), status_set);
    let endpoint_id = query.parsed("endpoint_id", "must be the id of an endpoint (ep_...)", |text| text.parse().ok());
    let since = query.parsed("since", TIME_PROBLEM, time);
    let until = query.parsed("until", TIME_PROBLEM, time);
    let paging = query.finish::<EventId>()?;
    let (before, after) = (paging.after(), paging.back_from());
    let filter = EventFilter { status: status.unwrap_or(StatusSet::ALL), endpoint_id, since, until, before, after };
    let rows = shared.store.event_list(principal.tenant_id, filter, paging.rows(), shared.clock.now()).await?;
    Ok(problem::json(Reply::Ok, &paging.list_both_ways(rows, |row| row.id, EventSummaryView::from)))
}

/// `GET /v1/events/{id}`.
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    tag = "events",
    operation_id = "event_show",
    summary = "Shows an event with its deliveries and attempts",
    description = "",
    params(Principal<Read>, EventPath),
    responses(
        (status = 200, description = "The event.", body = EventView),
    ),
)]
pub(crate) async fn show(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let event = shared.store.event_get(principal.tenant_id, path_id(&parts)?, shared.clock.now()).await?;
    Ok(problem::json(Reply::Ok, &EventView::from(event)))
}

/// `GET /v1/events/{id}/deliveries`.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/deliveries",
    tag = "events",
    operation_id = "event_deliveries",
    summary = "Lists the deliveries of an event",
    description = "",
    params(Principal<Read>, EventPath),
    responses(
        (status = 200, description = "All of them.", body = List<DeliveryView>),
        NoParameters,
    ),
)]
pub(crate) async fn deliveries(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let event = event(&shared, principal.tenant_id, request.uri()).await?;
    Ok(problem::json(Reply::Ok, &List::whole(event.deliveries.into_iter().map(DeliveryView::from).collect())))
}

/// `GET /v1/events/{id}/attempts`.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/attempts",
    tag = "events",
    operation_id = "event_attempts",
    summary = "Lists the attempts of an event",
    description = "",
    params(Principal<Read>, EventPath),
    responses(
        (status = 200, description = "All of them. Of each answer the first 4 KiB are shown.", body = List<AttemptView>),
        NoParameters,
    ),
)]
pub(crate) async fn attempts(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let event = event(&shared, principal.tenant_id, request.uri()).await?;
    let attempts = event.attempts.into_iter().zip(event.leaf_hashes);
    Ok(problem::json(Reply::Ok, &List::whole(attempts.map(AttemptView::from).collect())))
}

/// `GET /v1/events/{id}/attempts/{attempt_id}`: with everything that was kept of the answer.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/attempts/{attempt_id}",
    tag = "events",
    operation_id = "event_attempt",
    summary = "Shows an attempt with all that was kept of the answer",
    description = "",
    params(Principal<Read>, EventPath, AttemptPath),
    responses(
        (status = 200, description = "The attempt. At most 64 KiB of an answer are kept.", body = AttemptView),
        NoParameters,
    ),
)]
pub(crate) async fn attempt(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let event = event(&shared, principal.tenant_id, request.uri()).await?;
    let id: AttemptId = path_part(request.uri().path(), 5)?;
    let mut attempts = event.attempts.into_iter().zip(event.leaf_hashes);
    let (attempt, leaf_hash) = attempts.find(|(attempt, _)| attempt.id == id).ok_or_else(Problem::not_found)?;
    Ok(problem::json(Reply::Ok, &AttemptView::in_full(attempt, leaf_hash)))
}

/// `GET /v1/events/{id}/payload`: the body as it came in. Whatever it claims to be, it is handed out as bytes to keep, so
/// that no browser takes a webhook for a page of this server.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/payload",
    tag = "events",
    operation_id = "event_payload",
    summary = "Gives the body of an event as it came in",
    description = "",
    params(Principal<Read>, EventPath),
    responses(
        (status = 200, description = "The bytes.", body = Bytes, content_type = "application/octet-stream", headers(("Kapsel-Content-Type" = Option<String>, description = "What it came as, if that was said."), ("Content-Disposition" = String, description = "A name to keep it under."), ("X-Content-Type-Options" = String, description = "Always `nosniff`."))),
        NoParameters,
        Erased,
    ),
)]
pub(crate) async fn payload(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    Query::read_alone(request.uri(), &[])?.end()?;
    let id: EventId = path_part(request.uri().path(), 3)?;
    let event = match shared.store.event_read(principal.tenant_id, id).await {
        Err(StoreError::NotFound) => {
            // One that was erased is there still, without a body.
            shared.store.event_get(principal.tenant_id, id, shared.clock.now()).await?;
            return Err(Problem::erased());
        }
        result => result?,
    };
    let content_type = event.headers.get(CONTENT_TYPE.as_str()).and_then(|value| HeaderValue::from_bytes(value).ok());
    let mut response = problem::bytes(problem::BYTES, event.body);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let attachment = HeaderValue::try_from(format!("attachment; filename=\"{id}\""));
    headers.extend(attachment.ok().map(|attachment| (CONTENT_DISPOSITION, attachment)));
    headers.extend(content_type.map(|content_type| (KAPSEL_CONTENT_TYPE, content_type)));
    Ok(response)
}

async fn event(shared: &Shared, tenant_id: TenantId, uri: &Uri) -> Result<EventDetail, Problem> {
    Query::read_alone(uri, &[])?.end()?;
    let id = path_part(uri.path(), 3)?;
    Ok(shared.store.event_get(tenant_id, id, shared.clock.now()).await?)
}

/// `POST /v1/events/{id}/retry`.
#[utoipa::path(
    post,
    path = "/v1/events/{id}/retry",
    tag = "events",
    operation_id = "event_retry",
    summary = "Queues an event anew",
    description = "",
    params(Principal<Write>, EventPath),
    responses(
        (status = 202, description = "The event.", body = EventView),
        Conflict,
    ),
)]
pub(crate) async fn retry(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let id = path_id(&parts)?;
    shared.store.event_requeue(principal.tenant_id, id, shared.clock.now()).await?;
    // Looked up before the dispatcher hears of it, so that the answer shows the state that was asked for.
    let event = shared.store.event_get(principal.tenant_id, id, shared.clock.now()).await;
    (shared.wake_delivery)();
    Ok(problem::json(Reply::Accepted, &EventView::from(event?)))
}

fn status_set(word: &str) -> Option<StatusSet> {
    match word {
        "undelivered" => Some(StatusSet::UNDELIVERED),
        state => state.parse().ok().map(StatusSet::only),
    }
}

/// An RFC 3339 time. A plus sign that was not escaped has become a space on the way; nothing else can be meant by it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.replace(' ', "+").parse().ok()
}
