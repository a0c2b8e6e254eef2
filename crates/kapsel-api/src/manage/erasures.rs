//! `/v1/erasures`: jobs that take away what events and their attempts held.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use kapsel_core::{ErasureId, ErrorCode, EventId, Requester, TenantId, Timestamp};
use kapsel_store::{Erasure, ErasureSubject, StoreError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::{Principal, Read, Write};
use super::fields::{Object, Problems};
use super::json_body::read_json;
use super::path_id;
use super::query::{List, Query};
use crate::Shared;
use crate::openapi::input::erasure::ErasureInput;
use crate::openapi::parameters::{ErasurePath, Paging};
use crate::openapi::words;
use crate::problem::{self, Problem, Reply};

/// What it takes.
pub(crate) const FIELDS: &[&str] = &["event_id", "tenant_id"];

/// What the input names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Event(EventId),
    Tenant(TenantId),
}

/// A job as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasureView {
    #[schema(value_type = words::ErasureId)]
    id: ErasureId,
    #[schema(value_type = words::ErasureStateWord)]
    status: &'static str,
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    /// `null` where it is about all events that the tenant had when the job was made.
    #[schema(value_type = Option<words::EventId>, required = true)]
    event_id: Option<EventId>,
    /// The id of an API key, or `operator`.
    requested_by: String,
    /// How many events were erased so far.
    erased_count: u64,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = words::Time)]
    updated_at: Timestamp,
    #[schema(value_type = Option<words::Time>, required = true)]
    completed_at: Option<Timestamp>,
}

impl From<Erasure> for ErasureView {
    fn from(erasure: Erasure) -> Self {
        ErasureView {
            id: erasure.id,
            status: erasure.state.as_str(),
            tenant_id: erasure.tenant_id,
            event_id: erasure.event_id(),
            requested_by: erasure.requested_by.to_string(),
            erased_count: erasure.erased_count,
            created_at: erasure.created_at,
            updated_at: erasure.updated_at,
            completed_at: erasure.completed_at,
        }
    }
}

/// `POST /v1/erasures`.
#[utoipa::path(
    post,
    path = "/v1/erasures",
    tag = "erasures",
    operation_id = "erasure_create",
    summary = "Erases what an event held, or all events of a tenant",
    description = "Bodies, headers, keys, and what was answered. That there were attempts, and their proofs, stay. Erasing a \
        tenant is for the operator alone.",
    params(Principal<Write>),
    request_body(content = ErasureInput, content_type = "application/json"),
    responses(
        (status = 202, description = "The job, which is begun at once.", body = ErasureView, headers(("Location" = String, description = "Where it is found."))),
    ),
)]
pub(crate) async fn create(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = read_json(&shared, request).await?;
    let now = shared.clock.now();
    let (tenant_id, subject, field) = match read(&body)? {
        Wanted::Event(event_id) => (principal.tenant_id, ErasureSubject::Event(event_id), "event_id"),
        Wanted::Tenant(tenant_id) => {
            if principal.key_id.is_some() {
                return Err(Problem::new(ErrorCode::Forbidden, "erasing a tenant is for the operator alone"));
            }
            // A deleted one is known as such; what it had is there still.
            if shared.tenants.get_or_refresh(tenant_id).await?.is_none() {
                return Err(unknown("tenant_id", "there is no such tenant", &body));
            }
            // An id of the generator that events get theirs from: all that were accepted here so far stand in front of it.
            (tenant_id, ErasureSubject::TenantBefore(shared.ids.next(now)), "tenant_id")
        }
    };
    let requested_by = Requester::from_key(principal.key_id);
    let erasure = Erasure::new(shared.ids.next(now), tenant_id, subject, requested_by, now);
    match shared.erasures.erasure_insert(erasure.clone()).await {
        Ok(()) => {}
        Err(StoreError::NotFound) => return Err(unknown(field, "there is no such event", &body)),
        Err(error) => return Err(error.into()),
    }
    tracing::info!(id = %erasure.id, %tenant_id, requested_by = %erasure.requested_by, "an erasure is wanted");
    let path = format!("/v1/erasures/{}", erasure.id);
    Ok(problem::accepted(&path, &ErasureView::from(erasure)))
}

/// `GET /v1/erasures`.
#[utoipa::path(
    get,
    path = "/v1/erasures",
    tag = "erasures",
    operation_id = "erasure_list",
    summary = "Lists erasures, the newest first",
    description = "The operator who names no tenant sees those of all, deleted ones too.",
    params(Principal<Read>, Paging),
    responses(
        (status = 200, description = "A page.", body = List<ErasureView>),
    ),
)]
pub(crate) async fn list(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let paging = Query::read(request.uri(), &[])?.finish::<ErasureId>()?;
    let rows = shared.erasures.erasure_list(whose(&principal), paging.after(), paging.rows()).await?;
    Ok(problem::json(Reply::Ok, &paging.list(rows, |row| row.id, ErasureView::from)))
}

/// `GET /v1/erasures/{id}`.
#[utoipa::path(
    get,
    path = "/v1/erasures/{id}",
    tag = "erasures",
    operation_id = "erasure_show",
    summary = "Shows an erasure",
    description = "",
    params(Principal<Read>, ErasurePath),
    responses(
        (status = 200, description = "The job.", body = ErasureView),
    ),
)]
pub(crate) async fn show(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let erasure = shared.erasures.erasure_get(whose(&principal), path_id(&parts)?).await?;
    Ok(problem::json(Reply::Ok, &ErasureView::from(erasure)))
}

/// The operator who names no tenant sees everybody's: those of deleted tenants could not be named.
fn whose(principal: &Principal<Read>) -> Option<TenantId> {
    let is_for_all = principal.key_id.is_none() && !principal.is_named;
    (!is_for_all).then_some(principal.tenant_id)
}

fn read(body: &Value) -> Result<Wanted, Problem> {
    let problems = Problems::default();
    let wanted = Object::root(body, FIELDS, &problems).and_then(|root| {
        let event_id = root
            .parsed("event_id", "must be the id of an event (evt_...)", |text| text.parse().ok())
            .map(Wanted::Event);
        let tenant_id = root
            .parsed("tenant_id", "must be the id of a tenant (ten_...)", |text| text.parse().ok())
            .map(Wanted::Tenant);
        match (root.has("event_id"), root.has("tenant_id")) {
            (true, true) => root.refuse("tenant_id", "give either event_id or tenant_id"),
            (false, false) => problems.add("event_id", "give either event_id or tenant_id"),
            (true, false) | (false, true) => {}
        }
        event_id.or(tenant_id)
    });
    problems.into_result()?;
    wanted.ok_or_else(|| Problem::internal("the input of an erasure was refused without a reason"))
}

fn unknown(field: &str, message: &str, body: &Value) -> Problem {
    let problems = Problems::default();
    problems.add_given(field, message, body.get(field).unwrap_or(&Value::Null));
    problems.into_result().err().unwrap_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_of_the_two_is_named() {
        let (event, tenant) = (EventId::MAX, TenantId::MAX);
        assert_eq!(read(&json!({"event_id": event})).unwrap(), Wanted::Event(event));
        assert_eq!(read(&json!({"tenant_id": tenant, "event_id": null})).unwrap(), Wanted::Tenant(tenant));
        for wrong in [
            json!({}),
            json!([]),
            json!({"event_id": event, "tenant_id": tenant}),
            json!({"event_id": "evt_1"}),
            json!({"tenant_id": event}),
            json!({"event_id": event, "force": true}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
