//! The API as an OpenAPI 3.1 document, made from the routes themselves.
//!
//! Every route is added with the annotation of its handler (`utoipa_axum::routes!`), so none is without documentation.
//! What an annotation names is here: `parameters`, `input` for bodies, `words` and `shown` for what is answered beside the
//! views, `refusals` for errors. What holds for every route of a kind is added at the end by `rules`.
//!
//! `openapi/kapsel.json` is the document as it was last written (`cargo xtask openapi`); a test compares.

pub(crate) mod described;
pub(crate) mod input;
mod once;
pub(crate) mod pages;
pub(crate) mod parameters;
pub(crate) mod refusals;
mod rules;
pub(crate) mod shown;
pub(crate) mod words;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::UtoipaMethodRouter;

/// The document as it is served. Made at the first request for it.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&document());
    // A tree of texts and numbers: this cannot fail.
    Bytes::from(text.unwrap_or_default() + "\n")
});

/// The OpenAPI document of everything that the program serves.
pub(crate) fn json() -> Bytes {
    DOCUMENT.clone()
}

/// The same routes under a prefix, each documented anew.
pub(crate) fn under<S>(prefix: &str, (schemas, mut paths, router): UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    let old = std::mem::take(&mut paths.paths);
    paths.paths = old.into_iter().map(|(path, item)| (format!("{prefix}{path}"), item)).collect();
    (schemas, paths, router)
}

fn document() -> Value {
    let (_, generated) = crate::all_routes().split_for_parts();
    // What the generator holds is made to be written.
    let mut document = serde_json::to_value(generated).unwrap_or_default();
    document["components"]["schemas"]["Error"] = serde_json::to_value(shown::Error::schema()).unwrap_or_default();
    debug_assert_eq!(shown::Error::name(), "Error");
    described::fill(&mut document);
    mend_paths(&mut document);
    rules::complete(&mut document);
    once::write_once(&mut document);
    let info = json!({
        "title": "Kapsel",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Webhooks are accepted, stored durably, delivered at least once, and every attempt is proven.\n\n\
            Times are RFC 3339 in UTC; durations name their unit; unknown fields and parameters are refused. Every error \
            has one shape, with a code that has a page in `docs/errors`. In bodies, `null` is a field that is left out.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    let parts = document.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut whole = Map::new();
    whole.insert("openapi".to_owned(), "3.1.0".into());
    whole.insert("info".to_owned(), info);
    whole.insert("tags".to_owned(), tags());
    whole.extend(parts.into_iter().filter(|(name, _)| name == "paths" || name == "components"));
    let mut whole = Value::Object(whole);
    whole["components"]["securitySchemes"] = security_schemes();
    sorted(whole)
}

/// OpenAPI knows no `*` in paths, and wants the name of each operation once.
fn mend_paths(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in std::mem::take(paths) {
        paths.insert(path.replace("{*", "{"), item);
    }
    for (path, item) in paths.iter_mut() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let Some(name) = operation["operationId"].as_str() else { continue };
            if path.starts_with("/api/v1/") {
                operation["operationId"] = format!("{name}_under_api_v1").into();
            }
        }
    }
}

fn tags() -> Value {
    json!([
        {"name": "ingest", "description": "Where webhooks come in."},
        {"name": "endpoints", "description": "Destinations and their settings."},
        {"name": "events", "description": "What came in, and what became of it."},
        {"name": "replays", "description": "Queueing many events anew."},
        {"name": "erasures", "description": "What has to go, and what somebody has a right to have."},
        {"name": "tenants", "description": "Owners of endpoints. For the operator."},
        {"name": "api-keys", "description": "Keys of tenants. For the operator."},
        {"name": "attestation", "description": "The log of attempts: heads, proofs, keys, tiles."},
        {"name": "operation", "description": "Health, figures, and this document. No key is needed."},
    ])
}

fn security_schemes() -> Value {
    json!({
        rules::OPERATOR_KEY: {
            "type": "http",
            "scheme": "bearer",
            "description": "The operator's key opens everything, for the tenant that `Kapsel-Tenant` names.",
        },
        rules::TENANT_KEY: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "kps_…",
            "description": "The key of a tenant opens what its scopes say, for its own tenant alone: `read`, `write`, \
                `ingest-admin`. Any of the scopes that are listed as alternatives is enough.",
        },
    })
}

/// With the fields of every object in one order, whatever features of the JSON library a build has switched on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            fields.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
