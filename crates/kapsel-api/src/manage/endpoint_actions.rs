//! What can be done with an endpoint besides changing its settings.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use kapsel_core::endpoint::{DisabledReason, SigningSecret};
use kapsel_core::signature::OutboundSigner;
use kapsel_core::signature::outbound::generate_like;
use kapsel_core::{Endpoint, EndpointSecrets, EndpointStatus, ErrorCode, HeaderBlock, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::auth::{Principal, Write, WriteEndpoints};
use super::endpoints::{Changed, circuit, shown, shown_with_secret, update};
use super::event_view::EventView;
use super::fields::{Object, Problems};
use super::json_body::read_json_if_any;
use super::path_id;
use crate::Shared;
use crate::ingest::accept::{Checked, store};
use crate::problem::{self, Problem};

/// How long a replaced secret signs beside its successor, unless it is said: a day, within which every destination should
/// have the new one.
const OVERLAP_SECONDS_DEFAULT: u32 = 24 * 3_600;
/// At most a month.
const OVERLAP_SECONDS_MAX: u32 = 30 * 24 * 3_600;
/// How many secrets sign at once. Each makes the header longer.
const SIGNING_SECRETS_MAX: usize = 5;

/// `POST /v1/endpoints/{id}/enable`.
pub(crate) async fn enable(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let enabled = |present: &Endpoint| Ok(Endpoint { status: EndpointStatus::Enabled, ..present.clone() });
    let changed = update(&shared, principal.tenant_id, &parts, enabled).await?;
    Ok(shown(&shared, &parts, &changed))
}

/// `POST /v1/endpoints/{id}/disable`. One that is disabled already keeps its reason.
pub(crate) async fn disable(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let disabled = |present: &Endpoint| {
        let status = match present.status {
            EndpointStatus::Enabled => EndpointStatus::Disabled(DisabledReason::Manual),
            disabled @ EndpointStatus::Disabled(_) => disabled,
        };
        Ok(Endpoint { status, ..present.clone() })
    };
    let changed = update(&shared, principal.tenant_id, &parts, disabled).await?;
    Ok(shown(&shared, &parts, &changed))
}

/// `POST /v1/endpoints/{id}/reset-circuit`: what was known of failures is void, and deliveries go on at once.
pub(crate) async fn reset_circuit(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let endpoint = shared.store.endpoint_get(principal.tenant_id, path_id(&parts)?).await?;
    shared.circuits.circuit_reset(principal.tenant_id, endpoint.id, shared.clock.now()).await?;
    let circuit = circuit(&shared, &endpoint).await;
    (shared.wake_delivery)();
    Ok(shown(&shared, &parts, &Changed::unchanged(endpoint, circuit?)))
}

/// `POST /v1/endpoints/{id}/rotate-secret`: a new signing secret, beside which the former ones sign for a while.
pub(crate) async fn rotate_secret(
    principal: Principal<WriteEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json_if_any(&shared, request).await?;
    let problems = Problems::default();
    let (mut given, mut overlap_seconds) = (None, None);
    if let Some(root) = Object::root(&body, &["signing_secret", "overlap_seconds"], &problems) {
        overlap_seconds = root.whole("overlap_seconds", 0..=OVERLAP_SECONDS_MAX);
        given = root.secret("signing_secret");
        if let Some(key) = &given
            && let Err(error) = OutboundSigner::new(&[SigningSecret { key: key.clone(), expires_at: None }])
        {
            let text = error.to_string();
            problems.add("signing_secret", text.split_once(": ").map_or(text.as_str(), |(_, problem)| problem));
        }
    }
    problems.into_result()?;
    let overlap = Duration::from_secs(u64::from(overlap_seconds.unwrap_or(OVERLAP_SECONDS_DEFAULT)));
    let now = shared.clock.now();
    let rotated = |present: &Endpoint| {
        let former = present.secrets.signing.first().map(|signing| &signing.key);
        let key = given.clone().unwrap_or_else(|| generate_like(former, &*shared.entropy));
        let signing = with_new_secret(&present.secrets.signing, key, now, now + overlap);
        let secrets = EndpointSecrets { signing, ..present.secrets.clone() };
        Ok(Endpoint { secrets, ..present.clone() })
    };
    let changed = update(&shared, principal.tenant_id, &parts, rotated).await?;
    Ok(shown_with_secret(&shared, &parts, &changed))
}

/// The new secret in front of the present ones, which sign until `end` at the latest. Those that sign no more go.
fn with_new_secret(present: &[SigningSecret], key: SecretString, now: Timestamp, end: Timestamp) -> Vec<SigningSecret> {
    let retiring = present.iter().map(|secret| {
        let expires_at = secret.expires_at.map_or(end, |earlier| earlier.min(end));
        SigningSecret { key: secret.key.clone(), expires_at: Some(expires_at) }
    });
    let live = retiring.filter(|secret| secret.expires_at.is_none_or(|end| now < end));
    let new = SigningSecret { key, expires_at: None };
    std::iter::once(new).chain(live).take(SIGNING_SECRETS_MAX).collect()
}

/// `POST /v1/endpoints/{id}/test`: an event made up here, which from its storing on goes the way of every other: queue,
/// signature, address guard, retries, log.
pub(crate) async fn test(
    principal: Principal<Write>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read_json_if_any(&shared, request).await?;
    let problems = Problems::default();
    Object::root(&body, &["payload"], &problems);
    problems.into_result()?;
    let id = path_id(&parts)?;
    let endpoint = shared.store.endpoint_get(principal.tenant_id, id).await?;
    let active = shared.directory.get_or_refresh(id).await?.ok_or_else(Problem::not_found)?;
    if endpoint.status != EndpointStatus::Enabled || !active.is_enabled() {
        return Err(Problem::new(ErrorCode::StateConflict, "the endpoint is disabled; enable it first"));
    }
    let now = shared.clock.now();
    let payload = body.get("payload").cloned().unwrap_or_else(
        || json!({"type": "kapsel.test", "timestamp": now, "data": {"endpoint_id": id, "message": "This is a test."}}),
    );
    let checked = made_up(&payload)?;
    let mut charge = shared.budget.charge();
    charge
        .grow(checked.body.len())
        .map_err(|_| Problem::new(ErrorCode::QueueFull, "too much is waiting to be stored"))?;
    let accepted = store(&shared, &active, checked, now, charge).await?;
    active.traffic.ingested(accepted.result);
    let event_id = accepted.event_id;
    let event = shared.store.event_get(principal.tenant_id, event_id, shared.clock.now()).await?;
    Ok(problem::accepted(&format!("/v1/events/{event_id}"), &EventView::from(event)))
}

/// An event as it would have come in. Its signature is not asked for: who made it is known.
fn made_up(payload: &Value) -> Result<Checked, Problem> {
    let body = serde_json::to_vec(payload).map(Bytes::from);
    let body = body.map_err(|error| Problem::internal(format!("a test event does not serialise: {error}")))?;
    let headers = [("content-type", &b"application/json"[..])];
    Ok(Checked {
        headers: HeaderBlock::from_pairs(headers),
        body_sha256: Sha256::digest(&body).into(),
        body,
        key: None,
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn former_secrets_sign_for_a_while_and_then_go() {
        let at = Timestamp::from_unix_seconds;
        let secret = |key: &str, end: Option<i64>| SigningSecret { key: key.into(), expires_at: end.map(at) };
        let shown = |secrets: &[SigningSecret]| {
            let one = |secret: &SigningSecret| (secret.key.expose_secret().to_owned(), secret.expires_at);
            secrets.iter().map(one).collect::<Vec<_>>()
        };
        let one = vec![secret("one", None)];
        let two = with_new_secret(&one, "two".into(), at(0), at(100));
        assert_eq!(shown(&two), [("two".to_owned(), None), ("one".to_owned(), Some(at(100)))]);
        // Rotating again does not prolong what is on its way out.
        let three = with_new_secret(&two, "three".into(), at(50), at(1_000));
        let expected =
            [("three".to_owned(), None), ("two".to_owned(), Some(at(1_000))), ("one".to_owned(), Some(at(100)))];
        assert_eq!(shown(&three), expected);
        let four = with_new_secret(&three, "four".into(), at(100), at(100));
        assert_eq!(shown(&four), [("four".to_owned(), None)]);
        let mut many = one;
        for _ in 0..10 {
            many = with_new_secret(&many, "next".into(), at(0), at(100));
        }
        assert_eq!(many.len(), SIGNING_SECRETS_MAX);
    }
}
