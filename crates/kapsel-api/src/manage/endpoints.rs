//! `/v1/endpoints`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{Circuit, Endpoint, EndpointId, EndpointStatus, ErrorCode, TenantId};
use kapsel_store::StoreError;
use kapsel_store::error::with_sources;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::auth::{Principal, ReadEndpoints, WriteEndpoints};
use super::endpoint_input::{self, Context, Draft};
use super::endpoint_view::{EndpointView, base_url};
use super::json_body::read_json;
use super::preconditions::{IfMatch, with_etag};
use super::query::Query;
use super::{endpoint_patch, path_id};
use crate::Shared;
use crate::problem::{self, Problem, Reply};

/// How often a change is made anew because somebody else was faster, when it names no version.
const TRIES_MAX: usize = 5;

/// `POST /v1/endpoints`.
pub(crate) async fn create(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json(&shared, request).await?;
    let Draft { config, secrets, .. } = endpoint_input::read(&body, None, &context(&shared))?;
    check_count(&shared, principal.tenant_id)?;
    let now = shared.clock.now();
    let endpoint = Endpoint {
        id: shared.ids.next(now),
        tenant_id: principal.tenant_id,
        config,
        secrets,
        status: EndpointStatus::Enabled,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    shared.store.endpoint_insert(endpoint.clone()).await?;
    refresh_directory(&shared).await;

    let signing_secret = endpoint.secrets.signing.first().map(|signing| signing.key.expose_secret());
    let base_url = base_url(&shared, &parts);
    let view = EndpointView::new(&endpoint, &Circuit::default(), now, &base_url).with_signing_secret(signing_secret);
    Ok(with_etag(problem::created(&format!("/v1/endpoints/{}", endpoint.id), &view), endpoint.version))
}

/// `GET /v1/endpoints`.
pub(crate) async fn list(
    principal: Principal<ReadEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let paging = Query::read(&parts.uri, &[])?.finish::<EndpointId>()?;
    let rows = shared.store.endpoint_list(principal.tenant_id, paging.after(), paging.rows()).await?;
    let base_url = base_url(&shared, &parts);
    let circuits = circuits(&shared, principal.tenant_id, rows.iter().map(|row| row.id).collect()).await?;
    let now = shared.clock.now();
    let list = paging.list(
        rows.iter().collect(),
        |row| row.id,
        |row| EndpointView::new(row, &circuits.get(&row.id).copied().unwrap_or_default(), now, &base_url),
    );
    Ok(problem::json(Reply::Ok, &list))
}

/// `GET /v1/endpoints/{id}`.
pub(crate) async fn show(
    principal: Principal<ReadEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let id = path_id(&parts)?;
    let endpoint = shared.store.endpoint_get(principal.tenant_id, id).await?;
    let circuit = circuit(&shared, &endpoint).await?;
    Ok(shown(&shared, &parts, &Changed::unchanged(endpoint, circuit)))
}

/// `PUT /v1/endpoints/{id}`.
pub(crate) async fn replace(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json(&shared, request).await?;
    let changed = update(&shared, principal.tenant_id, &parts, |present| changed(&shared, present, &body)).await?;
    Ok(shown(&shared, &parts, &changed))
}

/// `PATCH /v1/endpoints/{id}`.
pub(crate) async fn change(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json(&shared, request).await?;
    let changed = update(&shared, principal.tenant_id, &parts, |present| {
        changed(&shared, present, &endpoint_patch::over(&present.config, body.clone())?)
    });
    Ok(shown(&shared, &parts, &changed.await?))
}

/// `DELETE /v1/endpoints/{id}`.
pub(crate) async fn delete(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let id = path_id(&parts)?;
    let if_match = IfMatch::from_headers(&parts.headers)?;
    if if_match != IfMatch::Any {
        if_match.check(shared.store.endpoint_get(principal.tenant_id, id).await?.version)?;
    }
    shared.store.endpoint_delete(principal.tenant_id, id, shared.clock.now()).await?;
    refresh_directory(&shared).await;
    Ok(problem::no_content())
}

/// An endpoint after a change, with its circuit.
pub(super) struct Changed {
    endpoint: Endpoint,
    circuit: Circuit,
}

impl Changed {
    /// One that nobody has changed.
    pub(super) fn unchanged(endpoint: Endpoint, circuit: Circuit) -> Self {
        Changed { endpoint, circuit }
    }
}

/// Makes `change` of the endpoint that the path names, anew if somebody else was faster. What changes nothing is not
/// stored. The version that `If-Match` names, if it names one, has to be the present one.
pub(super) async fn update(
    shared: &Shared,
    tenant_id: TenantId,
    parts: &Parts,
    change: impl Fn(&Endpoint) -> Result<Endpoint, Problem>,
) -> Result<Changed, Problem> {
    let id = path_id(parts)?;
    let if_match = IfMatch::from_headers(&parts.headers)?;
    for _ in 0..TRIES_MAX {
        let present = shared.store.endpoint_get(tenant_id, id).await?;
        if_match.check(present.version)?;
        let changed = change(&present)?;
        if changed == present {
            let circuit = circuit(shared, &present).await?;
            return Ok(Changed::unchanged(present, circuit));
        }
        let changed = Endpoint { updated_at: shared.clock.now(), version: present.version + 1, ..changed };
        let is_enabled_anew = changed.status == EndpointStatus::Enabled && present.status != EndpointStatus::Enabled;
        if is_enabled_anew {
            // Whoever enables it says that its destination works: what was known of failures is void. First, so that
            // the next failure does not disable it at once.
            shared.circuits.circuit_reset(tenant_id, id, shared.clock.now()).await?;
        }
        // Read before, so that nothing can fail any more once it is changed.
        let circuit = circuit(shared, &present).await?;
        match shared.store.endpoint_update_if_version(changed.clone(), present.version).await {
            Ok(()) => {
                refresh_directory(shared).await;
                if is_enabled_anew {
                    (shared.wake_delivery)();
                }
                return Ok(Changed { endpoint: changed, circuit });
            }
            // Somebody changed it meanwhile. With a version named, the next look will say so.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(ErrorCode::StateConflict, "the endpoint is being changed by others; try again"))
}

/// Whether the tenant may have one more endpoint, as far as is known here.
fn check_count(shared: &Shared, tenant_id: TenantId) -> Result<(), Problem> {
    let limit = shared.tenants.get(tenant_id).and_then(|active| active.limits.endpoints_max);
    match limit {
        Some(max) if shared.directory.count_of(tenant_id) >= max as usize => {
            let message = format!("the tenant may have {max} endpoints and has them");
            Err(Problem::new(ErrorCode::LimitReached, message))
        }
        _ => Ok(()),
    }
}

/// The endpoint that `body` makes of `present`.
fn changed(shared: &Shared, present: &Endpoint, body: &Value) -> Result<Endpoint, Problem> {
    let Draft { config, secrets, is_enabled } = endpoint_input::read(body, Some(present), &context(shared))?;
    let status = match (is_enabled, present.status) {
        (Some(true), _) => EndpointStatus::Enabled,
        (Some(false), EndpointStatus::Enabled) => EndpointStatus::Disabled(DisabledReason::Manual),
        // Disabled already, for a reason that still holds; or nothing was said.
        (Some(false) | None, status) => status,
    };
    Ok(Endpoint { config, secrets, status, ..present.clone() })
}

fn context(shared: &Shared) -> Context<'_> {
    Context { address_policy: &shared.settings.address_policy, entropy: &*shared.entropy }
}

/// An endpoint as it stands.
pub(super) fn shown(shared: &Shared, parts: &Parts, Changed { endpoint, circuit }: &Changed) -> Response {
    let view = EndpointView::new(endpoint, circuit, shared.clock.now(), &base_url(shared, parts));
    with_etag(problem::json(Reply::Ok, &view), endpoint.version)
}

/// The same with the newest signing secret, this once.
pub(super) fn shown_with_secret(shared: &Shared, parts: &Parts, Changed { endpoint, circuit }: &Changed) -> Response {
    let secret = endpoint.secrets.signing.first().map(|signing| signing.key.expose_secret());
    let view = EndpointView::new(endpoint, circuit, shared.clock.now(), &base_url(shared, parts));
    with_etag(problem::json(Reply::Ok, &view.with_signing_secret(secret)), endpoint.version)
}

pub(super) async fn circuit(shared: &Shared, endpoint: &Endpoint) -> Result<Circuit, Problem> {
    let circuits = circuits(shared, endpoint.tenant_id, vec![endpoint.id]).await?;
    Ok(circuits.get(&endpoint.id).copied().unwrap_or_default())
}

/// The circuits of these endpoints; those that never changed are not among them.
async fn circuits(
    shared: &Shared,
    tenant_id: TenantId,
    endpoints: Vec<EndpointId>,
) -> Result<HashMap<EndpointId, Circuit>, Problem> {
    let stored = shared.circuits.circuit_list(tenant_id, endpoints).await?;
    Ok(stored.into_iter().map(|stored| (stored.endpoint_id, stored.circuit)).collect())
}

/// Makes a change take effect here before it is answered. It is durable already, so when the store goes away at this
/// very moment, the answer stays "done", and the regular refresh brings the change later.
pub(super) async fn refresh_directory(shared: &Shared) {
    if let Err(error) = shared.directory.refresh().await {
        tracing::warn!(error = with_sources(&error), "a changed endpoint takes effect later");
    }
}
