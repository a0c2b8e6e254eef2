//! Schemas of single values: ids, times, hashes, and the words that the API knows.

use kapsel_core::{DeliveryState, ErasureState, ErrorCode, FinalReason, Scope, Tier};
use serde_json::{Value, json};

use super::described::described;

/// The time that the examples are of.
pub(super) const EXAMPLE_TIME: &str = "2026-01-02T03:04:05.678Z";
/// What stands behind the prefix in the ids of the examples.
pub(super) const EXAMPLE_ID: &str = "01h455vb4pex5vsknk084sn02q";

/// An id of the TypeID form: 26 characters carry 130 bits, so the first has three bits alone.
pub(super) fn id(prefix: &str) -> Value {
    json!({
        "type": "string",
        "minLength": prefix.len() + 27,
        "maxLength": prefix.len() + 27,
        "pattern": format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"),
        "examples": [format!("{prefix}_{EXAMPLE_ID}")],
    })
}

/// A moment, as it is shown.
pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time", "examples": [EXAMPLE_TIME]})
}

/// A moment, as it is taken: with any offset and any number of decimals.
pub(super) fn time_input() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "description": "An RFC 3339 time with an offset.",
        "examples": [EXAMPLE_TIME],
    })
}

/// So many bytes in lower-case hexadecimal digits.
pub(super) fn hex(bytes: usize) -> Value {
    let digits = 2 * bytes;
    json!({"type": "string", "minLength": digits, "maxLength": digits, "pattern": format!("^[0-9a-f]{{{digits}}}$")})
}

/// One of these words.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

/// A whole number within these bounds.
pub(super) fn whole(min: u64, max: u64) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max})
}

/// A whole number from 0 on, as it is shown.
pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// The name of a header, in any case.
pub(super) fn header_name() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": kapsel_core::headers::NAME_BYTES_MAX,
        "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        "examples": ["x-signature"],
    })
}

described! {
    /// The id of an API key.
    ApiKeyId = id(kapsel_core::ApiKeyId::PREFIX);
    /// The id of an attempt: one HTTP request to a destination.
    AttemptId = id(kapsel_core::AttemptId::PREFIX);
    /// The id of a delivery: the whole effort for one event.
    DeliveryId = id(kapsel_core::DeliveryId::PREFIX);
    /// The id of an endpoint.
    EndpointId = id(kapsel_core::EndpointId::PREFIX);
    /// The id of an erasure.
    ErasureId = id(kapsel_core::ErasureId::PREFIX);
    /// The id of an event.
    EventId = id(kapsel_core::EventId::PREFIX);
    /// The id of a log of attempts.
    LogId = id(kapsel_core::LogId::PREFIX);
    /// The id of a replay.
    ReplayId = id(kapsel_core::ReplayId::PREFIX);
    /// The id of a tenant.
    TenantId = id(kapsel_core::TenantId::PREFIX);
    /// A moment: RFC 3339 in UTC with milliseconds.
    Time = time();
    /// A SHA-256 hash, in lower-case hexadecimal digits.
    Hash = hex(32);
    /// The id of a key of the log: four bytes in lower-case hexadecimal digits (C2SP signed-note).
    LogKeyId = hex(4);
    /// The first characters of an API key, by which it is found and named.
    KeyPrefix = json!({"type": "string", "pattern": "^kps_[0-9A-Za-z]{8}$", "examples": ["kps_4Fz0aB3k"]});
    /// What an API key opens.
    ScopeWord = words(Scope::ALL.iter().map(|scope| scope.as_str()));
    /// How much a tenant may use.
    TierWord = words(Tier::ALL.iter().map(|tier| tier.as_str()));
    /// Whether anything is done for a tenant at present.
    TenantStatusWord = words(["active", "suspended"]);
    /// Where an event or a delivery stands.
    StateWord = words(DeliveryState::ALL.iter().map(|state| state.as_str()));
    /// Why nothing more is done for an event.
    ReasonWord = words(FinalReason::ALL.iter().map(|reason| reason.as_str()));
    /// What failed in an attempt; see the page of the code.
    AttemptErrorCode = words(codes(|code| code.as_str().starts_with("E2") || *code == ErrorCode::Internal));
    /// Where an erasure stands.
    ErasureStateWord = words(ErasureState::ALL.iter().map(|state| state.as_str()));
    /// Where a replay stands.
    ReplayStateWord = words(["running", "paused", "completed", "cancelled"]);
    /// What figures are counted by.
    IntervalWord = words(["hour", "day"]);
    /// Whether an endpoint takes part.
    EndpointStatusWord = words(["enabled", "disabled"]);
    /// Why an endpoint is disabled.
    DisabledReasonWord = words(["manual", "gone", "failing"]);
    /// What is sent to the destination at present: everything, nothing, or probes.
    CircuitStateWord = words(["closed", "open", "half_open"]);
}

fn codes(is_meant: impl Fn(&ErrorCode) -> bool) -> Vec<&'static str> {
    ErrorCode::ALL.iter().copied().filter(is_meant).map(ErrorCode::as_str).collect()
}
