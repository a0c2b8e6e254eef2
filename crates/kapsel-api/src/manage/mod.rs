//! The management API under `/v1`: endpoints, events, replays, tenants and keys, as JSON, behind keys with scopes.
//!
//! Input is read field by field (`fields`) and not by a derived reader, because whoever gets a field wrong should
//! hear of every wrong field at once, with its path. What comes in is in `…_input`, what goes out in `…_view`.

mod api_key_input;
mod api_key_view;
mod api_keys;
pub(crate) mod auth;
mod cursor;
mod endpoint_actions;
mod endpoint_input;
mod endpoint_patch;
mod endpoint_view;
mod endpoints;
mod erasures;
mod event_view;
mod events;
pub(crate) mod export;
mod export_lines;
mod fields;
mod json_body;
mod limits_input;
mod policy_input;
mod preconditions;
pub(crate) mod query;
mod replay_input;
mod replay_view;
mod replays;
pub(crate) mod replies;
mod secret_input;
mod statistics;
mod tenant_input;
mod tenant_view;
mod tenants;

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::request::Parts;

use crate::Shared;
use crate::problem::Problem;

/// The routes.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{id}", get(tenants::show).patch(tenants::change).delete(tenants::delete))
        .route("/v1/tenants/{id}/suspend", post(tenants::suspend))
        .route("/v1/tenants/{id}/resume", post(tenants::resume))
        .route("/v1/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/v1/api-keys/{id}", get(api_keys::show).delete(api_keys::revoke))
        .route("/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route(
            "/v1/endpoints/{id}",
            get(endpoints::show).put(endpoints::replace).patch(endpoints::change).delete(endpoints::delete),
        )
        .route("/v1/endpoints/{id}/stats", get(statistics::show))
        .route("/v1/endpoints/{id}/enable", post(endpoint_actions::enable))
        .route("/v1/endpoints/{id}/disable", post(endpoint_actions::disable))
        .route("/v1/endpoints/{id}/reset-circuit", post(endpoint_actions::reset_circuit))
        .route("/v1/endpoints/{id}/rotate-secret", post(endpoint_actions::rotate_secret))
        .route("/v1/endpoints/{id}/test", post(endpoint_actions::test))
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/deliveries", get(events::deliveries))
        .route("/v1/events/{id}/attempts", get(events::attempts))
        .route("/v1/events/{id}/attempts/{attempt_id}", get(events::attempt))
        .route("/v1/events/{id}/payload", get(events::payload))
        .route("/v1/events/{id}/retry", post(events::retry))
        .route("/v1/replays", get(replays::list).post(replays::create))
        .route("/v1/replays/preview", post(replays::preview))
        .route("/v1/replays/{id}", get(replays::show))
        .route("/v1/replays/{id}/pause", post(replays::pause))
        .route("/v1/replays/{id}/resume", post(replays::resume))
        .route("/v1/replays/{id}/cancel", post(replays::cancel))
        .route("/v1/export", get(export::export))
        .route("/v1/erasures", get(erasures::list).post(erasures::create))
        .route("/v1/erasures/{id}", get(erasures::show))
}

/// The id that stands as the third part of the path, as in `/v1/events/{id}/retry`. What is no id names nothing.
fn path_id<I: FromStr>(parts: &Parts) -> Result<I, Problem> {
    path_part(parts.uri.path(), 3)
}

/// The id that stands in this place of the path, counted from 1.
fn path_part<I: FromStr>(path: &str, place: usize) -> Result<I, Problem> {
    path.split('/').nth(place).and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)
}
