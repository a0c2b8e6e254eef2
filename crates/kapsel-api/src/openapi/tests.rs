//! The document against the readers and against itself.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{described, document, json};
use crate::manage::{
    api_key_input, endpoint_actions, endpoint_input, erasures, events, export, limits_input, policy_input, query,
    replay_input, secret_input, statistics, tenant_input,
};

fn schema(document: &Value, name: &str) -> Value {
    document["components"]["schemas"][name].clone()
}

/// The names of all fields in all forms of an object.
fn names(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let forms = schema["anyOf"].as_array().into_iter().flatten().flat_map(names);
    own.chain(forms).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn bodies_have_the_fields_that_the_readers_know() {
    let document = document();
    let with_status = [endpoint_input::FIELDS, &["status"]].concat();
    for (name, known) in [
        ("EndpointInput", endpoint_input::FIELDS),
        ("EndpointReplacement", &with_status),
        ("EndpointPatch", &with_status),
        ("SecretRotation", endpoint_actions::ROTATION),
        ("TestEvent", endpoint_actions::TEST),
        ("ErasureInput", erasures::FIELDS),
        ("ReplayInput", replay_input::FIELDS),
        ("TenantInput", tenant_input::FIELDS),
        ("TenantPatch", tenant_input::FIELDS),
        ("ApiKeyInput", api_key_input::FIELDS),
    ] {
        let schema = schema(&document, name);
        assert_eq!(names(&schema), set(known), "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
    let endpoint = &schema(&document, "EndpointInput")["properties"];
    for (field, known) in [
        ("verification", secret_input::VERIFICATION),
        ("idempotency", policy_input::IDEMPOTENCY),
        ("retry", policy_input::RETRY),
        ("circuit", limits_input::CIRCUIT),
        ("rate_limit", limits_input::RATE_LIMIT),
        ("ingest_rate_limit", limits_input::RATE_LIMIT),
    ] {
        assert_eq!(names(&endpoint[field]), set(known), "{field}");
    }
    let tenant = &schema(&document, "TenantInput")["properties"];
    assert_eq!(names(&tenant["limits"]), set(tenant_input::LIMITS));
}

#[test]
fn lists_have_the_parameters_that_the_readers_know() {
    let document = document();
    let parameters = |path: &str| -> BTreeSet<String> {
        let list = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let of_query = list.iter().filter(|parameter| parameter["in"] == "query");
        of_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(parameters("/v1/endpoints"), set(query::PAGING));
    assert_eq!(parameters("/v1/events"), set(&[events::FILTERS, query::PAGING].concat()));
    assert_eq!(parameters("/v1/endpoints/{id}/stats"), set(statistics::PARAMETERS));
    assert_eq!(parameters("/v1/export"), set(export::PARAMETERS));
    assert_eq!(parameters("/v1/api-keys"), set(&[&["prefix"], query::PAGING].concat()));
}

#[test]
fn references_lead_somewhere_and_nothing_is_left_of_the_making() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| walk(document, value)),
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some_and(|found| !found.is_null()), "{reference}");
                }
                for (name, value) in map {
                    assert!(!name.starts_with("x-") || name == "x-request-id" || name == "x-tenant", "{name}");
                    walk(document, value);
                }
            }
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn operations_are_whole() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: its id is taken");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path: BTreeSet<_> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let named: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(in_path, named, "{at}");
            let is_guarded = path.starts_with("/v1/") || path.contains("proof/");
            assert_eq!(operation["security"].as_array().unwrap().is_empty(), !is_guarded, "{at}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{at}: no answer");
        }
    }
}

#[test]
fn the_same_document_is_made_each_time() {
    assert_eq!(serde_json::from_slice::<Value>(&json()).unwrap(), document());
}

#[test]
fn a_schema_takes_the_place_that_is_held_for_it() {
    let mut value = serde_json::json!({"a": [{"x-schema": {"type": "string"}, "description": "more"}]});
    described::fill(&mut value);
    assert_eq!(value, serde_json::json!({"a": [{"type": "string", "description": "more"}]}));
    let word = serde_json::json!({"type": "string", "enum": ["a"], "description": "said"});
    let expected = serde_json::json!({"type": ["string", "null"], "enum": ["a", null], "description": "said"});
    assert_eq!(described::or_null(word), expected);
}
