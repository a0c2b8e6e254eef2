//! The settings of an endpoint.

use kapsel_core::destination::URL_BYTES_MAX;
use kapsel_core::endpoint::{
    DISABLE_AFTER_SECONDS_DEFAULT, DISABLE_AFTER_SECONDS_MAX, DISABLE_AFTER_SECONDS_MIN, MAX_IN_FLIGHT_DEFAULT,
    MAX_IN_FLIGHT_MAX, TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX,
};
use kapsel_core::retry::ATTEMPTS_MAX;
use serde_json::{Value, json};

use super::{policies, verification};
use crate::manage::{endpoint_actions, fields, secret_input};
use crate::openapi::described::{about, closed, described, or_null};
use crate::openapi::words;

described! {
    /// A new endpoint. `null` is a field that is left out; what is left out has its default.
    EndpointInput = with_example(closed(&["url"], settings(Change::New)));
    /// All settings of an endpoint. What is left out gets its default, except what holds secrets: `verification`,
    /// `headers`, `signing_secret` and `status` stay as they are.
    EndpointReplacement = with_example(closed(&["url"], settings(Change::Present)));
    /// The settings that change, each as a whole; the others stay.
    EndpointPatch = {
        let mut schema = closed(&[], settings(Change::Present));
        schema["examples"] = json!([{"timeout_seconds": 10, "retry": {"max_attempts": 12}}]);
        schema
    };
    /// How the signing secret is replaced.
    SecretRotation = {
        let overlap = words::whole(0, endpoint_actions::OVERLAP_SECONDS_MAX.into());
        let mut overlap = about("For how long the former secrets sign beside the new one, in seconds.", or_null(overlap));
        overlap["default"] = endpoint_actions::OVERLAP_SECONDS_DEFAULT.into();
        let secret = about("The new secret; without it, one of the same kind is made.", verification::signing_secret());
        let mut schema = closed(&[], vec![("signing_secret", or_null(secret)), ("overlap_seconds", overlap)]);
        schema["examples"] = json!([{"overlap_seconds": 3600}]);
        schema
    };
    /// An event that is made up.
    TestEvent = {
        let payload = json!({"description": "What the destination gets, any JSON; without it, a made-up event."});
        let mut schema = closed(&[], vec![("payload", payload)]);
        schema["examples"] = json!([{"payload": {"type": "invoice.paid", "amount": 12}}]);
        schema
    };
}

/// What the input is for. A change keeps secrets that it does not name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Change {
    New,
    Present,
}

fn with_example(mut schema: Value) -> Value {
    schema["examples"] = json!([{
        "name": "orders",
        "url": "https://destination.example/hooks",
        "verification": {"scheme": "github", "secrets": ["a secret of both sides"]},
        "idempotency": {"mode": "json_pointer", "pointer": "/id", "window_seconds": 3600},
        "retry": {"base_seconds": 1, "factor": 2, "cap_seconds": 3600, "max_attempts": 35},
        "retry_statuses": [404],
        "timeout_seconds": 20,
        "max_in_flight": 16,
        "rate_limit": {"per_second": 50, "burst": 100},
        "ingest_rate_limit": {"per_second": 200},
        "circuit": {"consecutive_failures": 5, "open_seconds": 30},
        "disable_after_seconds": 432_000,
        "headers": {"x-tenant": "acme"},
    }]);
    schema
}

fn settings(change: Change) -> Vec<(&'static str, Value)> {
    let described = |description, schema| or_null(about(description, schema));
    let mut fields = vec![
        ("name", described("For people.", name())),
        ("url", url()),
        ("verification", or_null(verification::verification(change))),
        ("idempotency", or_null(policies::idempotency())),
        ("retry", or_null(policies::retry())),
        ("retry_statuses", described("Statuses that are retried besides 408, 425, 429 and 5xx.", statuses())),
        (
            "timeout_seconds",
            described("The time limit of a whole request, in seconds.", {
                with_default(words::whole(1, TIMEOUT_SECONDS_MAX.into()), TIMEOUT_SECONDS_DEFAULT)
            }),
        ),
        (
            "max_in_flight",
            described("How many requests may be under way at once.", {
                with_default(words::whole(1, MAX_IN_FLIGHT_MAX.into()), MAX_IN_FLIGHT_DEFAULT)
            }),
        ),
        (
            "rate_limit",
            described("How many requests may be begun in a time; none for as many as there are.", {
                policies::rate_limit()
            }),
        ),
        (
            "ingest_rate_limit",
            described("How fast webhooks are taken in; none for as fast as the tenant may.", policies::rate_limit()),
        ),
        ("circuit", or_null(policies::circuit())),
        (
            "disable_after_seconds",
            described("After so many seconds of nothing but failures it is disabled; `null` for never.", {
                let range = words::whole(DISABLE_AFTER_SECONDS_MIN.into(), DISABLE_AFTER_SECONDS_MAX.into());
                with_default(range, DISABLE_AFTER_SECONDS_DEFAULT)
            }),
        ),
        ("headers", or_null(custom_headers(change))),
        ("signing_secret", or_null(verification::signing_secret_or_text())),
        (
            "max_retries",
            described("The short form of `retry.max_attempts`: attempts less one. Not beside `retry`.", {
                words::whole(0, u64::from(ATTEMPTS_MAX) - 1)
            }),
        ),
        (
            "signature_header",
            described(
                "The short form of `verification`, not beside it: an HMAC-SHA256 in hex under this header, with \
             `signing_secret` as its secret.",
                words::header_name(),
            ),
        ),
    ];
    if change == Change::Present {
        fields.push(("status", described("Whether it takes part.", words::words(["enabled", "disabled"]))));
    }
    fields
}

/// A name for people.
pub(super) fn name() -> Value {
    json!({"type": "string", "maxLength": fields::NAME_CHARS_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})
}

fn with_default(mut schema: Value, default: u32) -> Value {
    schema["default"] = default.into();
    schema
}

fn url() -> Value {
    json!({
        "type": "string",
        "format": "uri",
        "description": "Where deliveries go: http or https, without credentials and fragment. Addresses that are not \
            public are refused unless the operator allows them.",
        "maxLength": URL_BYTES_MAX,
        "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\\\\\s]+(?:[/?][^#\\s]*)?$",
        "examples": ["https://destination.example/hooks"],
    })
}

fn statuses() -> Value {
    json!({"type": "array", "items": words::whole(300, 599), "default": []})
}

fn custom_headers(change: Change) -> Value {
    let mut value = json!({"type": "string", "maxLength": secret_input::HEADER_VALUE_BYTES_MAX, "pattern": "^[ -~]*$"});
    let mut description = "Headers that are added to each request, by name. Values are never shown again.".to_owned();
    if change == Change::Present {
        value = or_null(value);
        description.push_str(" `null` keeps the value that is stored.");
    }
    json!({
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": words::header_name()["pattern"]},
        "additionalProperties": value,
        "maxProperties": secret_input::HEADERS_MAX,
    })
}
