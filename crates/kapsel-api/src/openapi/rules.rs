//! What holds for every route of a kind, so that no handler has to say it: keys, errors, headers.
//!
//! This works on the document as JSON, after the generator has put it together.

use kapsel_core::ErrorCode;
use serde_json::{Map, Value, json};
use utoipa::IntoParams as _;

use super::parameters::{AUTHORIZATION, IdempotencyKey};
use super::refusals::{CHANGED, DEFECT, NOT_FOUND, Refusal, UNAVAILABLE, codes_in};
use super::{described, words};

/// The names of the security schemes.
pub(super) const OPERATOR_KEY: &str = "operator_key";
pub(super) const TENANT_KEY: &str = "tenant_key";

const REQUEST_ID: &str = "x-request-id";

/// What follows for an operation from what it takes.
struct Kind {
    /// Whether it asks for a key.
    is_guarded: bool,
    has_query: bool,
    has_path: bool,
    /// Whether it reads JSON of ours; a webhook's body is not.
    has_json: bool,
    has_if_match: bool,
    /// Whether it is carried out once for an `Idempotency-Key`.
    is_once: bool,
}

/// Completes every operation of the document.
pub(super) fn complete(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths.iter_mut() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete_operation(path, method, operation);
            }
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let mut parameters = operation.remove("parameters").unwrap_or_else(|| json!([]));
    let is_once = method == "post" && path.starts_with("/v1/");
    if let (true, Some(list)) = (is_once, parameters.as_array_mut()) {
        list.extend(idempotency_key());
    }
    let scopes = take_scopes(&mut parameters);
    let has = |place: &str, name: Option<&str>| {
        let is_it = |p: &Value| p["in"] == place && name.is_none_or(|name| p["name"] == name);
        parameters.as_array().is_some_and(|list| list.iter().any(is_it))
    };
    let kind = Kind {
        is_guarded: scopes.is_some(),
        has_query: has("query", None),
        has_path: has("path", None),
        has_json: operation.get("requestBody").is_some_and(|body| body["content"].get("application/json").is_some()),
        has_if_match: has("header", Some("If-Match")),
        is_once,
    };
    if operation.get("description").is_some_and(|said| said == "") {
        operation.remove("description");
    }
    if let Some(content) = operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut()) {
        content.values_mut().for_each(|form| unwrap_optional(&mut form["schema"]));
    }
    if parameters != json!([]) {
        operation.insert("parameters".to_owned(), parameters);
    }
    operation.insert("security".to_owned(), security(scopes.as_deref()));
    let is_ingest = path.starts_with("/ingest/");
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for refusal in refusals(&kind, is_ingest) {
        refusal.add_to(responses);
    }
    for (status, response) in responses.iter_mut() {
        complete_response(status, response);
        if kind.is_once && status.starts_with('2') {
            let said = "`true` if this is the answer of the first time, and nothing was done.";
            let header = json!({"description": said, "schema": {"const": "true"}});
            response["headers"]["Kapsel-Idempotent-Replay"] = header;
        }
    }
}

fn idempotency_key() -> Vec<Value> {
    let parameters = IdempotencyKey::into_params(|| None);
    let mut parameters: Vec<Value> = parameters.iter().filter_map(|one| serde_json::to_value(one).ok()).collect();
    parameters.iter_mut().for_each(described::fill);
    parameters
}

/// A body that need not be there is not required; `null` is no body.
fn unwrap_optional(schema: &mut Value) {
    let forms = schema["oneOf"].as_array();
    let inner = forms.and_then(|forms| forms.iter().find(|form| form.get("$ref").is_some())).cloned();
    if let Some(inner) = inner {
        *schema = inner;
    } else if schema["oneOf"].is_null() {
        schema.as_object_mut().map(|schema| schema.remove("oneOf"));
    }
}

/// The scopes that the pseudo-header names, which is taken out.
fn take_scopes(parameters: &mut Value) -> Option<Vec<String>> {
    let list = parameters.as_array_mut()?;
    let place = list.iter().position(|parameter| parameter["name"] == AUTHORIZATION)?;
    let scopes = list.remove(place)["schema"]["enum"].take();
    let words = scopes.as_array().into_iter().flatten().filter_map(Value::as_str);
    Some(words.map(str::to_owned).collect())
}

/// Any of these will do. Without a guard, nothing is asked for.
fn security(scopes: Option<&[String]>) -> Value {
    let Some(scopes) = scopes else { return json!([]) };
    let tenant_keys = scopes.iter().map(|scope| json!({TENANT_KEY: [scope]}));
    std::iter::once(json!({OPERATOR_KEY: []})).chain(tenant_keys).collect()
}

fn refusals(kind: &Kind, is_ingest: bool) -> Vec<Refusal> {
    let new = Refusal::new;
    let mut refusals = vec![DEFECT];
    if kind.is_guarded {
        refusals.extend([
            new(ErrorCode::BadRequest, "a header is malformed, or the Host is not one that the API answers to"),
            new(ErrorCode::Unauthenticated, "no key, a wrong one, a revoked or an expired one"),
            new(ErrorCode::Forbidden, "the scope is missing, or the tenant is another one than the key's"),
            new(ErrorCode::TenantSuspended, "the tenant is suspended"),
            new(ErrorCode::RateLimited, "more requests than the tenant may make"),
            NOT_FOUND,
            UNAVAILABLE,
        ]);
    }
    if kind.has_path && !is_ingest {
        refusals.push(NOT_FOUND);
    }
    if kind.has_query {
        refusals.extend([
            new(ErrorCode::BadRequest, "the query cannot be read, or the cursor is none of this list"),
            new(ErrorCode::ValidationFailed, "parameters are not acceptable; each is listed"),
        ]);
    }
    if kind.has_json {
        refusals.extend([
            new(ErrorCode::BadRequest, "the body is not JSON"),
            new(ErrorCode::ValidationFailed, "fields are not acceptable; each is listed"),
        ]);
    }
    if kind.has_json || kind.is_once {
        refusals.extend([
            new(ErrorCode::RequestTimeout, "the body did not arrive in time"),
            new(ErrorCode::PayloadTooLarge, "the body is larger than 1 MiB"),
            new(ErrorCode::QueueFull, "the memory for bodies is used up"),
        ]);
    }
    if kind.is_once {
        refusals.extend([
            new(ErrorCode::DuplicateEvent, "the idempotency key was used for another request"),
            new(ErrorCode::StateConflict, "a request with the same idempotency key is being carried out"),
        ]);
    }
    if kind.has_if_match {
        refusals.extend([CHANGED, new(ErrorCode::BadRequest, "`If-Match` is malformed")]);
    }
    refusals
}

/// The headers of an answer; and for an error its body.
fn complete_response(status: &str, response: &mut Value) {
    let codes = codes_in(response["description"].as_str().unwrap_or_default());
    let header =
        |description: &str, schema: Value| json!({"description": description, "required": true, "schema": schema});
    let mut headers = response["headers"].as_object().cloned().unwrap_or_default();
    headers.insert(
        REQUEST_ID.to_owned(),
        header("The id of the request, as the log names it.", words::id(kapsel_core::ids::RequestId::PREFIX)),
    );
    let is_pending = status == "202" && response["content"].to_string().contains("/NotYet");
    if matches!(status, "429" | "503") || is_pending {
        headers.insert("Retry-After".to_owned(), header("After so many seconds.", words::whole(0, 86_400)));
    }
    if codes.contains(&ErrorCode::RateLimited) {
        // Other limits have the same status, and no rate.
        for (name, description, schema) in [
            ("RateLimit-Limit", "How many requests may come at once.", words::whole(1, u32::MAX.into())),
            ("RateLimit-Remaining", "How many may still come at once.", words::whole(0, 0)),
            ("RateLimit-Reset", "After so many seconds one more may come.", words::whole(0, 86_400)),
        ] {
            let mut header = header(description, schema);
            header["required"] = false.into();
            headers.insert(name.to_owned(), header);
        }
    }
    if status == "401" && codes.contains(&ErrorCode::Unauthenticated) {
        headers.insert("WWW-Authenticate".to_owned(), header("Always `Bearer`.", json!({"const": "Bearer"})));
    }
    response["headers"] = headers.into();
    if !codes.is_empty() {
        let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let schema = json!({
            "allOf": [
                {"$ref": "#/components/schemas/Error"},
                {"type": "object", "properties": {"error": {"type": "object", "properties": {"code": {"enum": words}}}}},
            ],
        });
        let examples: Map<String, Value> = codes.iter().map(|code| (code.to_string(), example(*code))).collect();
        response["content"] = json!({"application/json": {"schema": schema, "examples": examples}});
    }
}

fn example(code: ErrorCode) -> Value {
    let mut error = json!({
        "code": code,
        "message": code.title(),
        "retryable": code.retryable(),
        "request_id": format!("req_{}", words::EXAMPLE_ID),
    });
    if code == ErrorCode::ValidationFailed {
        error["fields"] =
            json!([{"path": "timeout_seconds", "problem": "must be a whole number from 1 to 45", "given": 0}]);
    }
    json!({"summary": code.title(), "value": {"error": error}})
}
