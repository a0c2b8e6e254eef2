//! `/v1/tenants`, for the operator.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use kapsel_core::{ErrorCode, Tenant, TenantId, TenantStatus};
use kapsel_store::StoreError;
use kapsel_store::error::with_sources;

use super::auth::{Operate, Principal};
use super::json_body::read_json;
use super::preconditions::{IfMatch, with_etag};
use super::query::{List, Query};
use super::tenant_view::TenantView;
use super::{path_id, tenant_input};
use crate::Shared;
use crate::openapi::input::accounts::{TenantInput, TenantPatch};
use crate::openapi::parameters::{IfMatchHeader, Paging, TenantPath};
use crate::openapi::refusals::{Conflict, Contended};
use crate::problem::{self, Problem, Reply};

/// How often a change is made anew because somebody else was faster, when it names no version.
const TRIES_MAX: usize = 5;

/// `POST /v1/tenants`.
#[utoipa::path(
    post,
    path = "/v1/tenants",
    tag = "tenants",
    operation_id = "tenant_create",
    summary = "Makes a tenant",
    description = "",
    params(Principal<Operate>),
    request_body(content = TenantInput, content_type = "application/json"),
    responses(
        (status = 201, description = "The tenant.", body = TenantView, headers(("Location" = String, description = "Where it is found."), ("ETag" = String, description = "Its version, for `If-Match`."))),
    ),
)]
pub(crate) async fn create(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = read_json(&shared, request).await?;
    let config = tenant_input::read(&body, None)?;
    let now = shared.clock.now();
    let tenant = Tenant {
        id: shared.ids.next(now),
        config,
        status: TenantStatus::Active,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    shared.accounts.tenant_insert(tenant.clone()).await?;
    refresh_directory(&shared).await;
    let (path, version) = (format!("/v1/tenants/{}", tenant.id), tenant.version);
    Ok(with_etag(problem::created(&path, &TenantView::from(tenant)), version))
}

/// `GET /v1/tenants`.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "tenants",
    operation_id = "tenant_list",
    summary = "Lists tenants, the oldest first",
    description = "",
    params(Principal<Operate>, Paging),
    responses(
        (status = 200, description = "A page.", body = List<TenantView>),
    ),
)]
pub(crate) async fn list(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let paging = Query::read(request.uri(), &[])?.finish::<TenantId>()?;
    let rows = shared.accounts.tenant_list(paging.after(), paging.rows()).await?;
    Ok(problem::json(Reply::Ok, &paging.list(rows, |row| row.id, TenantView::from)))
}

/// `GET /v1/tenants/{id}`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    operation_id = "tenant_show",
    summary = "Shows a tenant",
    description = "",
    params(Principal<Operate>, TenantPath),
    responses(
        (status = 200, description = "The tenant.", body = TenantView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
    ),
)]
pub(crate) async fn show(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    Ok(shown(shared.accounts.tenant_get(path_id(&parts)?).await?))
}

/// `PATCH /v1/tenants/{id}`.
#[utoipa::path(
    patch,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    operation_id = "tenant_change",
    summary = "Changes a tenant",
    description = "",
    params(Principal<Operate>, TenantPath, IfMatchHeader),
    request_body(content = TenantPatch, content_type = "application/json"),
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        Contended,
    ),
)]
pub(crate) async fn change(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json(&shared, request).await?;
    update(&shared, &parts, |present| {
        let config = tenant_input::read(&body, Some(&present.config))?;
        Ok(Tenant { config, ..present })
    })
    .await
}

/// `POST /v1/tenants/{id}/suspend`.
#[utoipa::path(
    post,
    path = "/v1/tenants/{id}/suspend",
    tag = "tenants",
    operation_id = "tenant_suspend",
    summary = "Suspends a tenant",
    description = "",
    params(Principal<Operate>, TenantPath, IfMatchHeader),
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        Contended,
    ),
)]
pub(crate) async fn suspend(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    update(&shared, &parts, |present| Ok(Tenant { status: TenantStatus::Suspended, ..present })).await
}

/// `POST /v1/tenants/{id}/resume`.
#[utoipa::path(
    post,
    path = "/v1/tenants/{id}/resume",
    tag = "tenants",
    operation_id = "tenant_resume",
    summary = "Resumes a tenant",
    description = "",
    params(Principal<Operate>, TenantPath, IfMatchHeader),
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        Contended,
    ),
)]
pub(crate) async fn resume(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let resumed = update(&shared, &parts, |present| Ok(Tenant { status: TenantStatus::Active, ..present })).await?;
    (shared.wake_delivery)();
    Ok(resumed)
}

/// `DELETE /v1/tenants/{id}`.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    operation_id = "tenant_delete",
    summary = "Deletes a tenant with its endpoints and keys",
    description = "What is queued is discarded. The default tenant stays.",
    params(Principal<Operate>, TenantPath, IfMatchHeader),
    responses(
        (status = 204, description = "It is deleted."),
        Conflict,
    ),
)]
pub(crate) async fn delete(
    _: Principal<Operate>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let id = path_id(&parts)?;
    if id == TenantId::DEFAULT {
        return Err(Problem::new(
            ErrorCode::StateConflict,
            "the default tenant cannot be deleted; it can be suspended",
        ));
    }
    let if_match = IfMatch::from_headers(&parts.headers)?;
    if if_match != IfMatch::Any {
        if_match.check(shared.accounts.tenant_get(id).await?.version)?;
    }
    shared.accounts.tenant_delete(id, shared.clock.now()).await?;
    refresh_directory(&shared).await;
    super::endpoints::refresh_directory(&shared).await;
    Ok(problem::no_content())
}

/// Makes `change` of the present tenant, unless it is none, and shows what came of it.
async fn update(
    shared: &Shared,
    parts: &Parts,
    change: impl Fn(Tenant) -> Result<Tenant, Problem>,
) -> Result<Response, Problem> {
    let id = path_id(parts)?;
    let if_match = IfMatch::from_headers(&parts.headers)?;
    for _ in 0..TRIES_MAX {
        let present = shared.accounts.tenant_get(id).await?;
        if_match.check(present.version)?;
        let changed = change(present.clone())?;
        if changed == present {
            return Ok(shown(present));
        }
        let changed = Tenant { updated_at: shared.clock.now(), version: present.version + 1, ..changed };
        match shared.accounts.tenant_update_if_version(changed.clone(), present.version).await {
            Ok(()) => {
                refresh_directory(shared).await;
                return Ok(shown(changed));
            }
            // Somebody changed it meanwhile. With a version named, the next look will say so.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(ErrorCode::StateConflict, "the tenant is being changed by others; try again"))
}

fn shown(tenant: Tenant) -> Response {
    let version = tenant.version;
    with_etag(problem::json(Reply::Ok, &TenantView::from(tenant)), version)
}

/// Makes a change take effect here before it is answered. It is durable already, so when the store goes away at this
/// very moment, the answer stays "done", and the regular refresh brings the change later.
async fn refresh_directory(shared: &Shared) {
    if let Err(error) = shared.tenants.refresh().await {
        tracing::warn!(error = with_sources(&error), "a changed tenant takes effect later");
    }
}
