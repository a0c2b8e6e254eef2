//! How an endpoint is shown. No secret is: of the verification the number of secrets, of the custom headers the names.

use std::collections::BTreeMap;

use http::request::Parts;
use kapsel_core::endpoint::{DisabledReason, SigningSecret};
use kapsel_core::idempotency::{IdempotencyMode, IdempotencyPolicy};
use kapsel_core::signature::{OutboundSigner, VerificationScheme};
use kapsel_core::{
    Circuit, CircuitPolicy, CircuitState, Endpoint, EndpointId, EndpointSecrets, EndpointStatus, RateLimit,
    RetryPolicy, Timestamp,
};
use serde::Serialize;

use super::auth;
use crate::Shared;
use crate::client_address::ClientAddress;

/// An endpoint as JSON.
#[derive(Serialize)]
pub(crate) struct EndpointView<'a> {
    id: EndpointId,
    name: &'a str,
    url: &'a str,
    ingest_url: String,
    status: &'static str,
    disabled_reason: Option<DisabledReason>,
    verification: VerificationView<'a>,
    idempotency: IdempotencyView<'a>,
    retry: RetryView<'a>,
    retry_statuses: &'a [u16],
    timeout_seconds: u32,
    max_in_flight: u32,
    rate_limit: Option<RateLimit>,
    ingest_rate_limit: Option<RateLimit>,
    circuit: CircuitPolicy,
    disable_after_seconds: Option<u32>,
    circuit_state: CircuitState,
    /// Until when nothing is sent, except to see whether the destination has recovered.
    blocked_until: Option<Timestamp>,
    /// Each with `null` for its value, which on `PUT` keeps the value: so what was read can be sent back.
    headers: BTreeMap<&'a str, ()>,
    signing_keys: Vec<SigningKeyView>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
    /// In the answer to its making alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<&'a str>,
}

#[derive(Serialize)]
struct VerificationView<'a> {
    #[serde(flatten)]
    scheme: &'a VerificationScheme,
    secret_count: usize,
}

#[derive(Serialize)]
pub(crate) struct IdempotencyView<'a> {
    #[serde(flatten)]
    mode: &'a IdempotencyMode,
    window_seconds: u32,
}

/// A key that signs what goes out.
#[derive(Serialize)]
struct SigningKeyView {
    /// The version of its signatures.
    version: &'static str,
    /// What signatures of `v1a` are checked with.
    public_key: Option<String>,
    /// Until when it signs beside its successor.
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum RetryView<'a> {
    Exponential { base_seconds: serde_json::Number, factor: f64, cap_seconds: serde_json::Number, max_attempts: u32 },
    Schedule { schedule: &'a [u32] },
}

impl<'a> EndpointView<'a> {
    /// Shows `endpoint` with its circuit as of `now`; its ingest URL begins with `base_url`.
    pub(crate) fn new(endpoint: &'a Endpoint, circuit: &Circuit, now: Timestamp, base_url: &str) -> Self {
        let Endpoint { id, config, secrets, status, created_at, updated_at, version, .. } = endpoint;
        let (status, disabled_reason) = match status {
            EndpointStatus::Enabled => ("enabled", None),
            EndpointStatus::Disabled(reason) => ("disabled", Some(*reason)),
        };
        EndpointView {
            id: *id,
            name: &config.name,
            url: config.url.as_str(),
            ingest_url: format!("{base_url}/ingest/{id}"),
            status,
            disabled_reason,
            verification: VerificationView { scheme: &config.verification, secret_count: secrets.verification.len() },
            idempotency: IdempotencyView::new(&config.idempotency),
            retry: RetryView::new(&config.retry),
            retry_statuses: &config.retry_statuses,
            timeout_seconds: config.timeout_seconds,
            max_in_flight: config.max_in_flight,
            rate_limit: config.rate_limit,
            ingest_rate_limit: config.ingest_rate_limit,
            circuit: config.circuit,
            disable_after_seconds: config.disable_after_seconds,
            circuit_state: circuit.state_at(now),
            blocked_until: circuit.blocked_until.filter(|until| now < *until),
            headers: secrets.headers.iter().map(|(name, _)| (name.as_str(), ())).collect(),
            signing_keys: SigningKeyView::all(secrets, now),
            created_at: *created_at,
            updated_at: *updated_at,
            version: *version,
            signing_secret: None,
        }
    }

    /// Shows the signing secret too, this once.
    pub(crate) fn with_signing_secret(self, signing_secret: Option<&'a str>) -> Self {
        EndpointView { signing_secret, ..self }
    }
}

impl<'a> IdempotencyView<'a> {
    /// Shows `policy` as it would be given.
    pub(crate) fn new(policy: &'a IdempotencyPolicy) -> Self {
        IdempotencyView { mode: &policy.mode, window_seconds: policy.window_seconds }
    }
}

impl SigningKeyView {
    /// Those that still sign at `now`, the newest first. A key that cannot be read is left out; nothing is signed with it.
    fn all(secrets: &EndpointSecrets, now: Timestamp) -> Vec<Self> {
        let is_live = |secret: &&SigningSecret| secret.expires_at.is_none_or(|end| now < end);
        let view = |secret: &SigningSecret| {
            let signer = OutboundSigner::new(std::slice::from_ref(secret)).ok()?;
            let public_key = signer.public_keys().into_iter().next();
            let version = if public_key.is_some() { "v1a" } else { "v1" };
            Some(SigningKeyView { version, public_key, expires_at: secret.expires_at })
        };
        secrets.signing.iter().filter(is_live).filter_map(view).collect()
    }
}

impl<'a> RetryView<'a> {
    /// Shows `policy` as it would be given.
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        match policy {
            RetryPolicy::Exponential { base_ms, factor, cap_ms, attempts_max } => RetryView::Exponential {
                base_seconds: seconds(*base_ms),
                factor: *factor,
                cap_seconds: seconds(*cap_ms),
                max_attempts: *attempts_max,
            },
            RetryPolicy::Schedule { waits_seconds } => RetryView::Schedule { schedule: waits_seconds },
        }
    }
}

/// Whole seconds without a fraction, others with.
fn seconds(millis: u64) -> serde_json::Number {
    let fraction = serde_json::Number::from_f64(std::time::Duration::from_millis(millis).as_secs_f64());
    match (millis % 1_000, fraction) {
        (1.., Some(fraction)) => fraction,
        _ => (millis / 1_000).into(),
    }
}

/// What ingest URLs begin with: as configured, else where this request was sent to. Without either, ingest URLs are
/// relative.
pub(crate) fn base_url(shared: &Shared, parts: &Parts) -> String {
    if let Some(url) = &shared.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let client = ClientAddress::of(parts);
    let scheme = client.map_or("http", |client| client.scheme(&parts.headers));
    // What a proxy tells is the address of the proxy; only our own host is known by two ports.
    if let Some(host) = client.and_then(|client| client.forwarded_host(&parts.headers)) {
        return format!("{scheme}://{host}");
    }
    match (auth::host(parts), shared.settings.ingest_port) {
        (Some(host), Some(port)) => format!("{scheme}://{}:{port}", host.host()),
        (Some(host), None) => format!("{scheme}://{host}"),
        (None, _) => String::new(),
    }
}
