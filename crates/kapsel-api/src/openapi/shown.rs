//! Schemas of what is shown and whose types belong to crates that know nothing of documentation.

use kapsel_core::ErrorCode;
use serde_json::{Map, Value, json};

use super::described::{about, described, or_null};
use super::words::{self, count, hex, words};
use crate::manage::{limits_input, tenant_input};

/// An object that has all of these fields, and may get more.
fn open(fields: Vec<(&str, Value)>) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

described! {
    /// The one shape of errors.
    Error = open(vec![("error", {
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str()).filter(|code| !code.starts_with("E2"));
        let field = open(vec![
            ("path", about("Where it stands, such as `retry.factor`; empty for the whole body.", json!({"type": "string"}))),
            ("problem", about("What is wrong with it.", json!({"type": "string"}))),
        ]);
        let mut error = open(vec![
            ("code", about("See the page of the code.", words(codes))),
            ("message", about("For people.", json!({"type": "string"}))),
            ("retryable", about("Whether the unchanged request may succeed later.", json!({"type": "boolean"}))),
            ("request_id", words::id(kapsel_core::ids::RequestId::PREFIX)),
        ]);
        let mut fields = json!({"type": "array", "items": field, "minItems": 1});
        fields["items"]["properties"]["given"] = about("What was given, unless it could be a secret.", json!({}));
        error["properties"]["fields"] = about("With E1009: every field that is not acceptable.", fields);
        error
    })]);
    /// The verification of an endpoint, without its secrets.
    VerificationShown = json!({
        "type": "object",
        "properties": {
            "scheme": words(["none", "hmac", "stripe", "github", "shopify", "slack", "standard-webhooks"]),
            "secret_count": about("How many secrets there are.", count()),
            "algorithm": words(["sha1", "sha256", "sha512"]),
            "header": words::header_name(),
            "encoding": words(["hex", "base64"]),
            "prefix": {"type": "string"},
            "tolerance_seconds": count(),
        },
        "required": ["scheme", "secret_count"],
    });
    /// What makes two incoming webhooks the same one.
    IdempotencyShown = json!({
        "type": "object",
        "properties": {
            "mode": words(["auto", "header", "json_pointer", "content_hash", "explicit_only"]),
            "header": words::header_name(),
            "pointer": {"type": "string"},
            "window_seconds": count(),
        },
        "required": ["mode", "window_seconds"],
    });
    /// When a failed delivery is tried again.
    RetryShown = json!({"anyOf": [
        open(vec![
            ("base_seconds", json!({"type": "number"})),
            ("factor", json!({"type": "number"})),
            ("cap_seconds", json!({"type": "number"})),
            ("max_attempts", count()),
        ]),
        open(vec![("schedule", json!({"type": "array", "items": count()}))]),
    ]});
    /// A limit of rate.
    RateLimitShown = rate_limit();
    /// When the circuit of an endpoint opens and closes.
    CircuitShown = open(limits_input::CIRCUIT.iter().map(|name| (*name, count())).collect());
    /// The custom headers of an endpoint: names with `null` for the value, which on `PUT` keeps it.
    HeadersShown = json!({"type": "object", "additionalProperties": {"type": "null"}});
    /// The headers of an answer by name; one that came several times has several values.
    ResponseHeaders = json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}});
    /// Limits of a tenant; `null` is none, or in `limits` that of the tier.
    LimitsShown = open(tenant_input::LIMITS.iter().map(|name| {
        (*name, or_null(if name.ends_with("_rate") { rate_limit() } else { count() }))
    }).collect());
    /// What a webhook's source is told.
    Received = open(vec![("event_id", words::id(kapsel_core::EventId::PREFIX)), ("status", json!({"const": "received"}))]);
    /// The bytes of something.
    Bytes = json!({"type": "string", "format": "binary"});
    /// Text.
    Text = json!({"type": "string"});
    /// A signed head of the log.
    TreeHead = head();
    /// That a leaf stands in a tree.
    InclusionProof = inclusion();
    /// That a tree continues an older one.
    ConsistencyProof = open(vec![
        ("old_size", count()),
        ("new_size", count()),
        ("old_root", hex(32)),
        ("new_root", hex(32)),
        ("proof_hashes", about("The path, in the order of RFC 9162, section 2.1.4.1.", hashes())),
    ]);
    /// What `format` asks for: the package, or the leaf.
    ProofDownload = json!({"anyOf": [package(), leaf()]});
}

/// Everything for checking an attempt offline.
fn package() -> Value {
    let salt = json!({"type": "string", "pattern": "^[0-9a-f]*$"});
    let opening = open(vec![("value", json!({"type": "string"})), ("salt", salt)]);
    let mut package = open(vec![
        ("delivery_attempt_id", words::id(kapsel_core::AttemptId::PREFIX)),
        ("leaf_data", about("The exact bytes of the leaf.", json!({"type": "string", "contentEncoding": "base64"}))),
        ("leaf_hash", hex(32)),
        ("inclusion_proof", inclusion()),
        ("signed_tree_head", head()),
    ]);
    package["properties"]["openings"] = json!({
        "type": "object",
        "description": "What the leaf commits to, as far as it is shown; what has been erased is not there.",
        "properties": {"url": opening, "payload_sha256": opening, "response_sha256": opening},
    });
    package
}

/// The bytes of a leaf: canonical JSON (RFC 8785).
fn leaf() -> Value {
    let id = words::id;
    open(vec![
        ("v", count()),
        ("attempt_id", id(kapsel_core::AttemptId::PREFIX)),
        ("attempt_number", count()),
        ("commitments", json!({"type": "object"})),
        ("delivery_id", id(kapsel_core::DeliveryId::PREFIX)),
        ("duration_ms", count()),
        ("endpoint_id", id(kapsel_core::EndpointId::PREFIX)),
        ("event_id", id(kapsel_core::EventId::PREFIX)),
        ("http_status", or_null(count())),
        ("log_id", id(kapsel_core::LogId::PREFIX)),
        ("nonce", json!({"type": "string"})),
        ("outcome", json!({"type": "string"})),
        ("started_at", words::time()),
        ("tenant_id", id(kapsel_core::TenantId::PREFIX)),
    ])
}

fn rate_limit() -> Value {
    open(vec![("per_second", json!({"type": "number"})), ("burst", count())])
}

fn hashes() -> Value {
    json!({"type": "array", "items": hex(32)})
}

fn head() -> Value {
    open(vec![
        ("tree_size", about("How many leaves the tree has.", count())),
        ("root_hash", hex(32)),
        ("timestamp", about("When the head was made, in milliseconds of the Unix epoch.", count())),
        ("signature", hex(64)),
        ("public_key", hex(32)),
        ("sth_id", about("The SHA-256 of `checkpoint`.", hex(32))),
        ("key_id", hex(4)),
        ("checkpoint", about("The signed note (C2SP tlog-checkpoint).", json!({"type": "string"}))),
    ])
}

fn inclusion() -> Value {
    open(vec![
        ("leaf_hash", hex(32)),
        ("leaf_index", about("Where it stands, from 0.", count())),
        ("tree_size", count()),
        ("proof_hashes", about("The path, from the sibling of the leaf to the child of the root.", hashes())),
        ("root_hash", hex(32)),
    ])
}
