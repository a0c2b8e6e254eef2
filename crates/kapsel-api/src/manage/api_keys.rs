//! `/v1/api-keys`, for the operator, one tenant at a time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use kapsel_core::{ApiKey, ApiKeyId, ErrorCode, KeyPrefix, KeySecret};
use kapsel_store::StoreError;

use super::api_key_view::ApiKeyView;
use super::auth::{Operate, Principal};
use super::json_body::read_json;
use super::query::{List, Query};
use super::{api_key_input, path_id};
use crate::Shared;
use crate::openapi::input::accounts::ApiKeyInput;
use crate::openapi::parameters::{ApiKeyPath, KeyFilters, Paging};
use crate::openapi::refusals::Contended;
use crate::problem::{self, Problem, Reply};

/// How often a key is made anew because its prefix is taken: one in 10^14 is.
const TRIES_MAX: usize = 3;

/// `POST /v1/api-keys`.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    tag = "api-keys",
    operation_id = "api_key_create",
    summary = "Makes an API key",
    description = "",
    params(Principal<Operate>),
    request_body(content = ApiKeyInput, content_type = "application/json"),
    responses(
        (status = 201, description = "The key. The whole of it is shown this once.", body = ApiKeyView<'static>, headers(("Location" = String, description = "Where it is found."))),
        Contended,
    ),
)]
pub(crate) async fn create(
    principal: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = read_json(&shared, request).await?;
    let now = shared.clock.now();
    let named = principal.is_named.then_some(principal.tenant_id);
    let draft = api_key_input::read(&body, named, now)?;
    for _ in 0..TRIES_MAX {
        let secret = KeySecret::generate(&*shared.entropy);
        let key = ApiKey {
            id: shared.ids.next(now),
            tenant_id: draft.tenant_id.unwrap_or(principal.tenant_id),
            name: draft.name.clone(),
            prefix: secret.prefix(),
            sha256: secret.sha256(),
            scopes: draft.scopes,
            created_at: now,
            expires_at: draft.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        match shared.accounts.api_key_insert(key.clone()).await {
            Ok(()) => {
                let path = format!("/v1/api-keys/{}", key.id);
                return Ok(problem::created(&path, &ApiKeyView::new(key, now).with_secret(&secret)));
            }
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(ErrorCode::StateConflict, "no free prefix was found for the key; try again"))
}

/// `GET /v1/api-keys`. With `prefix`, the key that begins so, whoever's it is unless a tenant is named.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    tag = "api-keys",
    operation_id = "api_key_list",
    summary = "Lists API keys, the oldest first",
    description = "",
    params(Principal<Operate>, KeyFilters, Paging),
    responses(
        (status = 200, description = "A page. Revoked and expired ones are in it.", body = List<ApiKeyView<'static>>),
    ),
)]
pub(crate) async fn list(
    principal: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri(), &["prefix"])?;
    let prefix = query.parsed("prefix", "must be how a key begins, kps_ and eight characters", KeyPrefix::parse);
    let paging = query.finish::<ApiKeyId>()?;
    let now = shared.clock.now();
    let rows = match prefix {
        Some(prefix) => match shared.accounts.api_key_find(prefix).await {
            Ok(key) if !principal.is_named || key.tenant_id == principal.tenant_id => vec![key],
            Ok(_) | Err(StoreError::NotFound) => Vec::new(),
            Err(error) => return Err(error.into()),
        },
        None => shared.accounts.api_key_list(principal.tenant_id, paging.after(), paging.rows()).await?,
    };
    Ok(problem::json(Reply::Ok, &paging.list(rows, |row| row.id, |key| ApiKeyView::new(key, now))))
}

/// `GET /v1/api-keys/{id}`.
#[utoipa::path(
    get,
    path = "/v1/api-keys/{id}",
    tag = "api-keys",
    operation_id = "api_key_show",
    summary = "Shows an API key",
    description = "",
    params(Principal<Operate>, ApiKeyPath),
    responses(
        (status = 200, description = "The key, but for its secret part.", body = ApiKeyView<'static>),
    ),
)]
pub(crate) async fn show(
    principal: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let key = shared.accounts.api_key_get(principal.tenant_id, path_id(&parts)?).await?;
    Ok(problem::json(Reply::Ok, &ApiKeyView::new(key, shared.clock.now())))
}

/// `DELETE /v1/api-keys/{id}`: revokes it. It stays in lists, so that somebody who finds it in a log can see what it was.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    tag = "api-keys",
    operation_id = "api_key_revoke",
    summary = "Revokes an API key",
    description = "",
    params(Principal<Operate>, ApiKeyPath),
    responses(
        (status = 204, description = "It opens nothing any more."),
    ),
)]
pub(crate) async fn revoke(
    principal: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    shared.accounts.api_key_revoke(principal.tenant_id, path_id(&parts)?, shared.clock.now()).await?;
    Ok(problem::no_content())
}
