//! The management API under `/v1`: endpoints, events, replays, tenants and keys, as JSON, behind keys with scopes.
//!
//! Input is read field by field (`fields`) and not by a derived reader, because whoever gets a field wrong should
//! hear of every wrong field at once, with its path. What comes in is in `…_input`, what goes out in `…_view`.

pub(crate) mod api_key_input;
mod api_key_view;
mod api_keys;
pub(crate) mod auth;
pub(crate) mod cursor;
pub(crate) mod endpoint_actions;
pub(crate) mod endpoint_input;
mod endpoint_patch;
mod endpoint_view;
mod endpoints;
pub(crate) mod erasures;
mod event_view;
pub(crate) mod events;
pub(crate) mod export;
mod export_lines;
pub(crate) mod fields;
pub(crate) mod json_body;
pub(crate) mod limits_input;
pub(crate) mod policy_input;
mod preconditions;
pub(crate) mod query;
pub(crate) mod replay_input;
mod replay_view;
mod replays;
pub(crate) mod replies;
pub(crate) mod secret_input;
pub(crate) mod statistics;
pub(crate) mod tenant_input;
mod tenant_view;
mod tenants;

use std::str::FromStr;
use std::sync::Arc;

use http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::problem::Problem;

/// The routes, each with its documentation.
pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show, tenants::change, tenants::delete))
        .routes(routes!(tenants::suspend))
        .routes(routes!(tenants::resume))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::show, api_keys::revoke))
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(endpoints::show, endpoints::replace, endpoints::change, endpoints::delete))
        .routes(routes!(statistics::show))
        .routes(routes!(endpoint_actions::enable))
        .routes(routes!(endpoint_actions::disable))
        .routes(routes!(endpoint_actions::reset_circuit))
        .routes(routes!(endpoint_actions::rotate_secret))
        .routes(routes!(endpoint_actions::test))
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(events::deliveries))
        .routes(routes!(events::attempts))
        .routes(routes!(events::attempt))
        .routes(routes!(events::payload))
        .routes(routes!(events::retry))
        .routes(routes!(replays::list, replays::create))
        .routes(routes!(replays::preview))
        .routes(routes!(replays::show))
        .routes(routes!(replays::pause))
        .routes(routes!(replays::resume))
        .routes(routes!(replays::cancel))
        .routes(routes!(export::export))
        .routes(routes!(erasures::list, erasures::create))
        .routes(routes!(erasures::show))
}

/// The id that stands as the third part of the path, as in `/v1/events/{id}/retry`. What is no id names nothing.
fn path_id<I: FromStr>(parts: &Parts) -> Result<I, Problem> {
    path_part(parts.uri.path(), 3)
}

/// The id that stands in this place of the path, counted from 1.
fn path_part<I: FromStr>(path: &str, place: usize) -> Result<I, Problem> {
    path.split('/').nth(place).and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)
}
