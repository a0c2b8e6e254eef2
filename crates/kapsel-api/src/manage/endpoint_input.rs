//! What `POST /v1/endpoints` and `PUT /v1/endpoints/{id}` take.
//!
//! Fields that are left out get their default, with one exception: what holds secrets (`verification`, `headers`,
//! `signing_secret`) is kept on `PUT` as it is. Nobody can read a secret back to send it again, and an endpoint should
//! not stop checking signatures because an update did not mention them.
//!
//! Short forms: `max_retries` (attempts less one) for `retry`, and `signature_header` for `verification`. With
//! `signature_header`, `signing_secret` is the secret of the *incoming* HMAC-SHA256 in hex under that header, and the
//! key of outgoing signatures is generated; without it, `signing_secret` is the key of outgoing signatures.

use kapsel_core::destination::InvalidUrl;
use kapsel_core::endpoint::{MAX_IN_FLIGHT_DEFAULT, MAX_IN_FLIGHT_MAX, TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX};
use kapsel_core::signature::outbound::generate_secret;
use kapsel_core::{AddressPolicy, DestinationUrl, Endpoint, EndpointConfig, EndpointSecrets, Entropy, ErrorCode};
use serde_json::Value;

use super::fields::{Object, Problems};
use super::{limits_input, policy_input, secret_input};
use crate::problem::Problem;

const FIELDS: &[&str] = &[
    "name",
    "url",
    "verification",
    "idempotency",
    "retry",
    "retry_statuses",
    "timeout_seconds",
    "max_in_flight",
    "rate_limit",
    "ingest_rate_limit",
    "circuit",
    "disable_after_seconds",
    "headers",
    "signing_secret",
    "max_retries",
    "signature_header",
];

/// What the input is read with.
pub(crate) struct Context<'a> {
    /// Which literal addresses may be configured.
    pub(crate) address_policy: &'a AddressPolicy,
    /// For a signing key where none is given.
    pub(crate) entropy: &'a dyn Entropy,
}

/// An endpoint as the input wants it.
pub(crate) struct Draft {
    /// The part that may be shown.
    pub(crate) config: EndpointConfig,
    /// The part that must not.
    pub(crate) secrets: EndpointSecrets,
    /// Whether it is to take part; `None` leaves it as it is.
    pub(crate) is_enabled: Option<bool>,
}

/// Reads the input for a new endpoint, or for the `present` one.
///
/// # Errors
/// 422 with every field that is not acceptable.
pub(crate) fn read(body: &Value, present: Option<&Endpoint>, context: &Context<'_>) -> Result<Draft, Problem> {
    let problems = Problems::default();
    let mut known = FIELDS.to_vec();
    if present.is_some() {
        known.push("status");
    }
    let draft = Object::root(body, &known, &problems).and_then(|root| read_root(&root, &problems, present, context));
    problems.into_result()?;
    draft.ok_or_else(|| Problem::internal("the input of an endpoint was refused without a reason"))
}

fn read_root(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&Endpoint>,
    context: &Context<'_>,
) -> Option<Draft> {
    let name = root.name("name");
    let url = read_url(root, problems, context.address_policy);
    let present_secrets = present.map(|endpoint| &endpoint.secrets);
    let verification = secret_input::verification(root, problems, present);
    let idempotency = policy_input::idempotency(root, problems);
    let retry = policy_input::retry(root, problems);
    let retry_statuses = policy_input::retry_statuses(root);
    let timeout_seconds = root.whole("timeout_seconds", 1..=TIMEOUT_SECONDS_MAX);
    let max_in_flight = root.whole("max_in_flight", 1..=MAX_IN_FLIGHT_MAX);
    let rate_limit = limits_input::rate_limit(root, "rate_limit", problems);
    let ingest_rate_limit = limits_input::rate_limit(root, "ingest_rate_limit", problems);
    let circuit = limits_input::circuit(root, problems);
    let disable_after_seconds = limits_input::disable_after_seconds(root);
    let headers = secret_input::headers(root, problems, present_secrets);
    let signing = secret_input::signing(root, problems, present_secrets, || generate_secret(context.entropy));
    let is_enabled = root.word("status", &[("enabled", true), ("disabled", false)]);

    let (verification, verification_secrets) = verification?;
    Some(Draft {
        config: EndpointConfig {
            name: name.unwrap_or_default(),
            url: url?,
            verification,
            idempotency: idempotency?,
            retry: retry?,
            retry_statuses,
            timeout_seconds: timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
            max_in_flight: max_in_flight.unwrap_or(MAX_IN_FLIGHT_DEFAULT),
            rate_limit,
            ingest_rate_limit,
            circuit: circuit?,
            disable_after_seconds,
        },
        secrets: EndpointSecrets { verification: verification_secrets, signing, headers },
        is_enabled,
    })
}

fn read_url(root: &Object<'_>, problems: &Problems, policy: &AddressPolicy) -> Option<DestinationUrl> {
    if !root.has("url") {
        problems.add(root.path_of("url"), "is required");
        return None;
    }
    let text = root.text("url")?;
    let url: DestinationUrl = match text.parse() {
        Ok(url) => url,
        // A password may be in it, also in one that is too broken to tell.
        Err(error @ InvalidUrl::Credentials) => {
            problems.add(root.path_of("url"), error);
            return None;
        }
        Err(error) if text.contains('@') => {
            problems.add(root.path_of("url"), error);
            return None;
        }
        Err(error) => {
            root.refuse("url", error);
            return None;
        }
    };
    if let Err(blocked) = url.check_literal(policy) {
        let code = ErrorCode::AddressBlocked;
        root.refuse("url", format!("{blocked} ({code}); KAPSEL_ALLOW_DESTINATIONS can allow it"));
    }
    Some(url)
}
