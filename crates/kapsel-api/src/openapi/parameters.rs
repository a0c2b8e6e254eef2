//! What stands in paths, queries and headers.

use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

use super::described::{about, held};
use super::{pages, words};
use crate::manage::auth::{Principal, Right};
use crate::manage::{cursor, query};

/// The header that stands for "this route asks for a key with one of these scopes", until `rules` makes a security
/// requirement of it. OpenAPI has the header itself reserved for that.
pub(super) const AUTHORIZATION: &str = "Authorization";

fn parameter(place: ParameterIn, name: &str, description: &str, schema: Value) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let mut schema = schema;
    let example = schema.get("examples").and_then(|list| list.get(0)).cloned();
    schema.as_object_mut().map(|map| map.remove("examples"));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(held(schema)))
        .example(example)
        .build()
}

fn path(name: &str, description: &str, schema: Value) -> Parameter {
    parameter(ParameterIn::Path, name, description, schema)
}

fn query(name: &str, description: &str, schema: Value) -> Parameter {
    parameter(ParameterIn::Query, name, description, schema)
}

fn required_query(name: &str, description: &str, schema: Value) -> Parameter {
    let mut parameter = query(name, description, schema);
    parameter.required = Required::True;
    parameter
}

fn header(name: &str, description: &str, schema: Value) -> Parameter {
    parameter(ParameterIn::Header, name, description, schema)
}

/// Types that stand for parameters: `Name = [parameter, …];`.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = [$($parameter:expr),* $(,)?];)*) => {
        $($(#[$doc])*
        pub(crate) struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),*]
            }
        })*
    };
}

parameters! {
    /// `{id}` of an endpoint.
    EndpointPath = [path("id", "Which endpoint.", words::id(kapsel_core::EndpointId::PREFIX))];
    /// `{endpoint_id}` of an ingest URL.
    IngestPath = [path("endpoint_id", "Which endpoint.", words::id(kapsel_core::EndpointId::PREFIX))];
    /// `{id}` of an event.
    EventPath = [path("id", "Which event.", words::id(kapsel_core::EventId::PREFIX))];
    /// `{attempt_id}` beside it.
    AttemptPath = [path("attempt_id", "Which attempt.", words::id(kapsel_core::AttemptId::PREFIX))];
    /// `{id}` of a replay.
    ReplayPath = [path("id", "Which replay.", words::id(kapsel_core::ReplayId::PREFIX))];
    /// `{id}` of an erasure.
    ErasurePath = [path("id", "Which erasure.", words::id(kapsel_core::ErasureId::PREFIX))];
    /// `{id}` of a tenant.
    TenantPath = [path("id", "Which tenant.", words::id(kapsel_core::TenantId::PREFIX))];
    /// `{id}` of a key.
    ApiKeyPath = [path("id", "Which key.", words::id(kapsel_core::ApiKeyId::PREFIX))];
    /// The leaf of a proof.
    LeafPath = [path("leaf_hash", "The hash of the leaf, as the attempt shows it.", words::hex(32))];
    /// The attempt of a package.
    PackagePath = [
        path("delivery_attempt_id", "Which attempt.", words::id(kapsel_core::AttemptId::PREFIX)),
    ];
    /// The place of a tile (C2SP tlog-tiles).
    TilePath = [
        path("level", "The level of the tile.", json!({"type": "integer", "minimum": 0, "maximum": 63, "examples": [0]})),
        path("index", "The index of a whole tile in three digits. From 1,000 on it goes over several segments (`x001/234`), and \
            one that is not full ends on `.p/` and its width; a path parameter has no place for these slashes.", json!({
            "type": "string",
            "pattern": "^[0-9]{3}$",
            "examples": ["000"],
        })),
    ];
    /// A file of the documentation.
    PagePath = [path("file", "Which file.", words::words(pages::FILES.iter().map(|(name, _)| *name)))];

    /// Which page of a list.
    Paging = [
        query("limit", "How many are shown.", {
            let mut limit = words::whole(1, query::LIMIT_MAX as u64);
            limit["default"] = query::LIMIT_DEFAULT.into();
            limit
        }),
        query("cursor", "The `next_cursor` of the page before; not beside `page`.", cursor_text()),
        query("page", "The number of the page, for the first 10,000 rows.", {
            words::whole(1, query::PAGED_ROWS_MAX as u64)
        }),
    ];
    /// Which events.
    EventFilters = [
        query("status", "Those in this state; `undelivered` is all but `delivered`.", {
            let states = kapsel_core::DeliveryState::ALL.iter().map(|state| state.as_str());
            words::words(states.chain(["undelivered"]))
        }),
        query("endpoint_id", "Those of this endpoint.", words::id(kapsel_core::EndpointId::PREFIX)),
        query("since", "Those that were accepted from then on.", words::time_input()),
        query("until", "Those that were accepted before.", words::time_input()),
    ];
    /// Which figures.
    StatisticsRange = [
        query("since", "From then on; without it, from a day before `until`. At most 90 days before `until`.", {
            words::time_input()
        }),
        query("until", "Up to then; without it, up to now.", words::time_input()),
        query("interval", "By the hour, or by the day (in UTC).", {
            let mut interval = words::words(["hour", "day"]);
            interval["default"] = "hour".into();
            interval
        }),
    ];
    /// What is exported.
    ExportRange = [
        query("since", "Events that were accepted from then on.", words::time_input()),
        query("until", "Events that were accepted before.", words::time_input()),
        query("include_payload", "Whether with their payloads.", json!({"type": "boolean", "default": true})),
    ];
    /// Which keys.
    KeyFilters = [
        query("prefix", "The one key that begins so.", json!({
            "type": "string",
            "pattern": "^kps_[0-9A-Za-z]{8}$",
            "examples": ["kps_4Fz0aB3k"],
        })),
    ];
    /// In which tree.
    TreeSize = [query("tree_size", "In the tree of this size; without it, in that of the last head.", size())];
    /// From which tree to which.
    TreeSizes = [
        required_query("old_size", "The size of the older tree.", size()),
        query("new_size", "The size of the newer tree; without it, that of the last head.", size()),
    ];
    /// In which form.
    ProofFormat = [
        query("format", "`tlog-proof` is the text form of C2SP, `leaf` the bytes of the leaf that go with it.", {
            let mut formats = words::words(["json", "tlog-proof", "leaf"]);
            formats["default"] = "json".into();
            formats
        }),
    ];

    /// The version that a change is made from.
    IfMatchHeader = [
        header("If-Match", "The `ETag` of the version that the change is made from, or `*`.", json!({
            "type": "string",
            "minLength": 1,
            "pattern": "^(?:\\*|\"[0-9]{1,19}\")$",
            "examples": ["*"],
        })),
    ];
    /// What makes two requests the same one.
    IdempotencyKey = [
        header("Idempotency-Key", "Sent again with the same key and the same content, a request does nothing and gets the \
            answer of the first time, for a day: 1 to 255 printable characters.", explicit_key()),
        header("X-Idempotency-Key", "The same under another name; if both are there, they have to agree.", explicit_key()),
    ];
    /// What a source sends besides the body.
    SourceHeaders = [
        header("Idempotency-Key", "What makes two webhooks the same one: 1 to 255 printable characters.", explicit_key()),
        header("X-Idempotency-Key", "The same under another name; if both are there, they have to agree.", explicit_key()),
        header("Content-Type", "Kept and passed on; any will do.", json!({"type": "string"})),
        header("Stripe-Signature", "Of the scheme `stripe`: `t=…,v1=…`.", text()),
        header("X-Hub-Signature-256", "Of the scheme `github`: `sha256=…`.", text()),
        header("X-GitHub-Delivery", "GitHub's id of a webhook.", text()),
        header("X-Shopify-Hmac-Sha256", "Of the scheme `shopify`.", text()),
        header("X-Shopify-Webhook-Id", "Shopify's id of a webhook.", text()),
        header("X-Slack-Signature", "Of the scheme `slack`: `v0=…`.", text()),
        header("X-Slack-Request-Timestamp", "Of the scheme `slack`: when it was signed, in Unix seconds.", text()),
        header("webhook-id", "Of the scheme `standard-webhooks`, as the two after it; or all three as `svix-…`.", text()),
        header("webhook-timestamp", "When it was signed, in Unix seconds.", text()),
        header("webhook-signature", "`v1,…` and `v1a,…`, parted by spaces.", text()),
    ];
}

fn size() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": u64::MAX, "examples": [1]})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn explicit_key() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": kapsel_core::idempotency::KEY_BYTES_MAX,
        "pattern": "^[!-~](?:[ -~]*[!-~])?$",
        "examples": ["order-4711"],
    })
}

/// The text of a cursor: base64 for URLs without padding, so the last character has bits that are zero.
fn cursor_text() -> Value {
    // 19 bytes are six groups of four characters, and two for the last byte.
    let groups = cursor::CURSOR_BYTES / 3;
    json!({"type": "string", "pattern": format!("^(?:[A-Za-z0-9_-]{{4}}){{{groups}}}[A-Za-z0-9_-][AQgw]$")})
}

impl<R: Right> IntoParams for Principal<R> {
    /// The headers that say who asks, and for whom.
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let scopes: Vec<&str> = R::SCOPES.iter().map(|scope| scope.as_str()).collect();
        let tenant =
            "For whom the operator asks: the default tenant without it. Beside the key of a tenant, that tenant.";
        vec![
            header(AUTHORIZATION, "", about("", json!({"enum": scopes}))),
            header("Kapsel-Tenant", tenant, words::id(kapsel_core::TenantId::PREFIX)),
        ]
    }
}
