//! Tenants and keys.

use kapsel_core::tenant::{ENDPOINTS_MAX, QUEUED_BYTES_MAX, QUEUED_EVENTS_MAX, RETENTION_DAYS_MAX};
use kapsel_core::{Scope, Tier};
use serde_json::{Value, json};

use super::{endpoint, rate_limit};
use crate::openapi::described::{about, closed, described, or_null};
use crate::openapi::words;

described! {
    /// A new tenant.
    TenantInput = {
        let mut schema = closed(&["name"], tenant(name_with_letters()));
        schema["examples"] = json!([{"name": "acme", "tier": "standard", "limits": {"endpoints_max": 5}}]);
        schema
    };
    /// What changes of a tenant; what is left out stays.
    TenantPatch = {
        let mut schema = closed(&[], tenant(or_null(name_with_letters())));
        schema["examples"] = json!([{"tier": "free"}]);
        schema
    };
    /// A new API key.
    ApiKeyInput = {
        let scopes = words::words(Scope::ALL.iter().map(|scope| scope.as_str()));
        let scopes = json!({"type": "array", "items": scopes, "minItems": 1});
        let expires_at = about("From when on it opens nothing; a time that lies ahead.", words::time_input());
        let mut schema = closed(&["scopes"], vec![
            ("name", or_null(about("For people.", endpoint::name()))),
            ("scopes", about("What it opens.", scopes)),
            ("expires_at", or_null(expires_at)),
            ("tenant_id", or_null(about("Whose it is; otherwise the tenant's that the request names.", {
                words::id(kapsel_core::TenantId::PREFIX)
            }))),
        ]);
        schema["examples"] = json!([{"name": "ci", "scopes": ["read"], "expires_at": "2036-01-02T03:04:05Z"}]);
        schema
    };
}

fn tenant(name: Value) -> Vec<(&'static str, Value)> {
    vec![
        ("name", about("For people; not blank.", name)),
        (
            "tier",
            or_null(about("What it may use, unless `limits` says otherwise.", {
                let mut tier = words::words(Tier::ALL.iter().map(|tier| tier.as_str()));
                tier["default"] = Tier::Standard.as_str().into();
                tier
            })),
        ),
        ("limits", or_null(about("Limits that differ from those of the tier; replaced as a whole.", limits()))),
    ]
}

/// A name that is not blank.
fn name_with_letters() -> Value {
    let mut name = endpoint::name();
    name["minLength"] = 1.into();
    name["pattern"] =
        "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
            .into();
    name
}

fn limits() -> Value {
    let days = || or_null(words::whole(1, RETENTION_DAYS_MAX.into()));
    closed(
        &[],
        vec![
            ("ingest_rate", or_null(about("How fast webhooks are taken in.", rate_limit()))),
            ("api_rate", or_null(about("How fast the management API is called.", rate_limit()))),
            ("endpoints_max", or_null(words::whole(0, ENDPOINTS_MAX.into()))),
            ("queued_events_max", or_null(words::whole(0, QUEUED_EVENTS_MAX))),
            ("queued_bytes_max", or_null(words::whole(0, QUEUED_BYTES_MAX))),
            ("event_retention_days", days()),
            ("attempt_retention_days", days()),
        ],
    )
}
