//! `/v1/events`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use kapsel_core::{DeliveryState, EventId, Timestamp};
use kapsel_store::{EventFilter, StatusSet};

use super::auth::{Principal, Read, Write};
use super::event_view::{EventSummaryView, EventView};
use super::fields::TIME_PROBLEM;
use super::path_id;
use super::query::Query;
use crate::Shared;
use crate::problem::{self, Problem, Reply};

/// `GET /v1/events`.
pub(crate) async fn list(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri(), &["status", "endpoint_id", "since", "until"])?;
    let states: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.as_str()).collect();
    let status = query.parsed("status", &format!("must be one of {}, undelivered", states.join(", ")), status_set);
    let endpoint_id = query.parsed("endpoint_id", "must be the id of an endpoint (ep_...)", |text| text.parse().ok());
    let since = query.parsed("since", TIME_PROBLEM, time);
    let until = query.parsed("until", TIME_PROBLEM, time);
    let paging = query.finish::<EventId>()?;
    let filter =
        EventFilter { status: status.unwrap_or(StatusSet::ALL), endpoint_id, since, until, before: paging.after };
    let rows = shared.store.event_list(principal.tenant_id, filter, paging.rows(), shared.clock.now()).await?;
    Ok(problem::json(Reply::Ok, &paging.list(rows, |row| row.id, EventSummaryView::from)))
}

/// `GET /v1/events/{id}`.
pub(crate) async fn show(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let event = shared.store.event_get(principal.tenant_id, path_id(&parts)?, shared.clock.now()).await?;
    Ok(problem::json(Reply::Ok, &EventView::from(event)))
}

/// `POST /v1/events/{id}/retry`.
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
fn time(text: &str) -> Option<Timestamp> {
    text.replace(' ', "+").parse().ok()
}
