//! `/v1/replays`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use kapsel_core::{ErrorCode, EventId, ReplayCommand, ReplayId, ReplayState, TenantId, Timestamp};
use kapsel_store::{EventRange, Replay, ReplayCount, ReplayScan, StoreError};
use serde_json::Value;

use super::auth::{Principal, Read, Write};
use super::json_body::read_json;
use super::path_id;
use super::query::{List, Query};
use super::replay_input::{self, Draft};
use super::replay_view::{PreviewView, ReplayView};
use crate::Shared;
use crate::openapi::input::replay::ReplayInput;
use crate::openapi::parameters::{Paging, ReplayPath};
use crate::openapi::refusals::Conflict;
use crate::problem::{self, Problem, Reply};

/// A preview counts no further than this.
const COUNT_MAX: usize = 10_000;
/// And it looks at no more events than this: where few of many fit, it would take long to find them.
const LOOKS_MAX: usize = 20_000;
/// How often a command is tried anew because a step came in between. Steps are 25 ms apart at least.
const TRIES_MAX: usize = 10;

/// `POST /v1/replays/preview`.
#[utoipa::path(
    post,
    path = "/v1/replays/preview",
    tag = "replays",
    operation_id = "replay_preview",
    summary = "Counts what a replay would be about",
    description = "",
    params(Principal<Read>),
    request_body(content = ReplayInput, content_type = "application/json"),
    responses(
        (status = 200, description = "The count; it ends at 10,000.", body = PreviewView),
    ),
)]
pub(crate) async fn preview(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = read_json(&shared, request).await?;
    let draft = read(&shared, principal.tenant_id, &body).await?;
    let now = shared.clock.now();
    let found = count(&shared, principal.tenant_id, &draft, draft.filter.range(shared.ids.next(now)), now).await?;
    Ok(problem::json(Reply::Ok, &PreviewView::new(found, draft.rate_per_second)))
}

/// `POST /v1/replays`.
#[utoipa::path(
    post,
    path = "/v1/replays",
    tag = "replays",
    operation_id = "replay_create",
    summary = "Makes a replay",
    description = "",
    params(Principal<Write>),
    request_body(content = ReplayInput, content_type = "application/json"),
    responses(
        (status = 201, description = "The replay. It runs.", body = ReplayView, headers(("Location" = String, description = "Where it is found."))),
    ),
)]
pub(crate) async fn create(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = read_json(&shared, request).await?;
    let draft = read(&shared, principal.tenant_id, &body).await?;
    let now = shared.clock.now();
    // An id of the generator that events get theirs from: all that were accepted here so far stand in front of it.
    let range = draft.filter.range(shared.ids.next::<EventId>(now));
    let matched = count(&shared, principal.tenant_id, &draft, range, now).await?;
    let replay = Replay {
        id: shared.ids.next(now),
        tenant_id: principal.tenant_id,
        filter: draft.filter,
        range,
        rate_per_second: draft.rate_per_second,
        state: ReplayState::Running,
        matched,
        replayed_count: 0,
        skipped_count: 0,
        next_step_at: now,
        created_at: now,
        updated_at: now,
        completed_at: None,
        version: 1,
    };
    shared.replays.replay_insert(replay.clone()).await?;
    let path = format!("/v1/replays/{}", replay.id);
    Ok(problem::created(&path, &ReplayView::from(replay)))
}

/// `GET /v1/replays`.
#[utoipa::path(
    get,
    path = "/v1/replays",
    tag = "replays",
    operation_id = "replay_list",
    summary = "Lists replays, the newest first",
    description = "",
    params(Principal<Read>, Paging),
    responses(
        (status = 200, description = "A page.", body = List<ReplayView>),
    ),
)]
pub(crate) async fn list(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let paging = Query::read(request.uri(), &[])?.finish::<ReplayId>()?;
    let rows = shared.replays.replay_list(principal.tenant_id, paging.after(), paging.rows()).await?;
    Ok(problem::json(Reply::Ok, &paging.list(rows, |row| row.id, ReplayView::from)))
}

/// `GET /v1/replays/{id}`.
#[utoipa::path(
    get,
    path = "/v1/replays/{id}",
    tag = "replays",
    operation_id = "replay_show",
    summary = "Shows a replay",
    description = "",
    params(Principal<Read>, ReplayPath),
    responses(
        (status = 200, description = "The replay.", body = ReplayView),
    ),
)]
pub(crate) async fn show(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let replay = shared.replays.replay_get(principal.tenant_id, path_id(&parts)?).await?;
    Ok(problem::json(Reply::Ok, &ReplayView::from(replay)))
}

/// `POST /v1/replays/{id}/pause`.
#[utoipa::path(
    post,
    path = "/v1/replays/{id}/pause",
    tag = "replays",
    operation_id = "replay_pause",
    summary = "Pauses a replay",
    description = "",
    params(Principal<Write>, ReplayPath),
    responses(
        (status = 200, description = "The replay as it is now, also when it was so already.", body = ReplayView),
        Conflict,
    ),
)]
pub(crate) async fn pause(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    follow(&shared, principal.tenant_id, request, ReplayCommand::Pause).await
}

/// `POST /v1/replays/{id}/resume`.
#[utoipa::path(
    post,
    path = "/v1/replays/{id}/resume",
    tag = "replays",
    operation_id = "replay_resume",
    summary = "Goes on with a replay",
    description = "",
    params(Principal<Write>, ReplayPath),
    responses(
        (status = 200, description = "The replay as it is now, also when it was so already.", body = ReplayView),
        Conflict,
    ),
)]
pub(crate) async fn resume(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    follow(&shared, principal.tenant_id, request, ReplayCommand::Resume).await
}

/// `POST /v1/replays/{id}/cancel`.
#[utoipa::path(
    post,
    path = "/v1/replays/{id}/cancel",
    tag = "replays",
    operation_id = "replay_cancel",
    summary = "Ends a replay",
    description = "",
    params(Principal<Write>, ReplayPath),
    responses(
        (status = 200, description = "The replay as it is now, also when it was so already.", body = ReplayView),
        Conflict,
    ),
)]
pub(crate) async fn cancel(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    follow(&shared, principal.tenant_id, request, ReplayCommand::Cancel).await
}

async fn follow(
    shared: &Shared,
    tenant_id: TenantId,
    request: Request,
    command: ReplayCommand,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let id = path_id(&parts)?;
    for _ in 0..TRIES_MAX {
        let present = shared.replays.replay_get(tenant_id, id).await?;
        let Some(state) = present.state.after(command) else {
            let message = format!("the replay is {}; that is final", present.state);
            return Err(Problem::new(ErrorCode::StateConflict, message));
        };
        if state == present.state {
            return Ok(problem::json(Reply::Ok, &ReplayView::from(present)));
        }
        let now = shared.clock.now();
        match shared.replays.replay_set_state_if_version(now, tenant_id, id, state, present.version).await {
            Ok(changed) => return Ok(problem::json(Reply::Ok, &ReplayView::from(changed))),
            // A step was made meanwhile, or somebody else had a wish.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(ErrorCode::StateConflict, "the replay is being changed by others; try again"))
}

async fn read(shared: &Shared, tenant_id: TenantId, body: &Value) -> Result<Draft, Problem> {
    let has_endpoint = match replay_input::endpoint_id(body) {
        None => false,
        Some(id) => match shared.store.endpoint_get(tenant_id, id).await {
            Ok(_) => true,
            Err(StoreError::NotFound) => false,
            Err(error) => return Err(error.into()),
        },
    };
    replay_input::read(body, has_endpoint)
}

async fn count(
    shared: &Shared,
    tenant_id: TenantId,
    draft: &Draft,
    range: EventRange,
    now: Timestamp,
) -> Result<ReplayCount, Problem> {
    let scan = ReplayScan {
        tenant_id,
        endpoint_id: draft.filter.endpoint_id,
        statuses: draft.filter.statuses,
        range,
        matches_max: COUNT_MAX,
        looks_max: LOOKS_MAX,
    };
    Ok(shared.replays.replay_count(now, scan).await?)
}
