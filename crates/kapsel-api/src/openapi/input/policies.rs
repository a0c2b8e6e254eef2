//! The policies of an endpoint.

use kapsel_core::CircuitPolicy;
use kapsel_core::idempotency::{POINTER_BYTES_MAX, WINDOW_SECONDS_DEFAULT, WINDOW_SECONDS_MAX};
use kapsel_core::rate_limit::{BURST_MAX, PER_SECOND_MAX, PER_SECOND_MIN};
use kapsel_core::retry::{ATTEMPTS_MAX, DELAY_MAX};
use serde_json::{Value, json};

use crate::manage::{limits_input, policy_input};
use crate::openapi::described::{about, closed, or_null};
use crate::openapi::words;

/// What makes two incoming webhooks the same one.
pub(crate) fn idempotency() -> Value {
    let window = || {
        let mut window = or_null(words::whole(1, WINDOW_SECONDS_MAX.into()));
        window["default"] = WINDOW_SECONDS_DEFAULT.into();
        ("window_seconds", about("How long a key is remembered, in seconds.", window))
    };
    let of_mode = |mode: &str, field, schema| {
        closed(&["mode", field], vec![("mode", json!({"const": mode})), (field, schema), window()])
    };
    let pointer = json!({
        "type": "string",
        "maxLength": POINTER_BYTES_MAX,
        "pattern": "^(?:/(?:[^~/]|~[01])*)*$",
        "examples": ["/data/id"],
    });
    let plain = json!({"enum": ["auto", "content_hash", "explicit_only", null]});
    json!({
        "description": "What serves as the key where the sender gives none explicitly. By default `auto`: the provider's \
            own id.",
        "anyOf": [
            closed(&[], vec![("mode", plain), window()]),
            of_mode("header", "header", words::header_name()),
            of_mode("json_pointer", "pointer", pointer),
        ],
    })
}

/// When failed deliveries are tried again.
pub(crate) fn retry() -> Value {
    let seconds = |default: u32| {
        let longest = DELAY_MAX.as_secs();
        json!({"type": ["number", "null"], "minimum": policy_input::SECONDS_MIN, "maximum": longest, "default": default})
    };
    let (factor_min, factor_max) = (policy_input::FACTOR.start(), policy_input::FACTOR.end());
    let factor = json!({"type": ["number", "null"], "minimum": factor_min, "maximum": factor_max, "default": 2});
    let mut attempts = or_null(words::whole(1, ATTEMPTS_MAX.into()));
    attempts["default"] = 35.into();
    let exponential = closed(
        &[],
        vec![
            ("base_seconds", about("The wait before the second attempt, not longer than the cap.", seconds(1))),
            ("factor", about("What each further wait is multiplied by.", factor)),
            ("cap_seconds", about("The longest wait.", seconds(3_600))),
            ("max_attempts", about("How many attempts are made in all.", attempts)),
        ],
    );
    let schedule = json!({
        "type": "array",
        "description": "Seconds to wait before each attempt. The first is 0.",
        "prefixItems": [{"const": 0}],
        "items": words::whole(0, DELAY_MAX.as_secs()),
        "minItems": 1,
        "maxItems": ATTEMPTS_MAX,
        "examples": [[0, 5, 300]],
    });
    json!({
        "description": "When a failed delivery is tried again: after waits that grow, by a schedule, or by a preset.",
        "anyOf": [
            exponential,
            closed(&["schedule"], vec![("schedule", schedule)]),
            closed(&["preset"], vec![("preset", json!({"const": "standard-webhooks"}))]),
        ],
    })
}

/// A limit of rate.
pub(crate) fn rate_limit() -> Value {
    let per_second = json!({"type": "number", "minimum": PER_SECOND_MIN, "maximum": PER_SECOND_MAX});
    let burst = or_null(words::whole(1, BURST_MAX.into()));
    closed(
        &["per_second"],
        vec![
            ("per_second", about("So many in a second.", per_second)),
            ("burst", about("So many at once; without it, as many as in a second.", burst)),
        ],
    )
}

/// When a circuit opens and closes.
pub(crate) fn circuit() -> Value {
    let default = CircuitPolicy::default();
    let field = |name: &'static str, default: u32, description| {
        let range = CircuitPolicy::range(name).unwrap_or(0..=u32::MAX);
        let mut schema = or_null(words::whole((*range.start()).into(), (*range.end()).into()));
        schema["default"] = default.into();
        (name, about(description, schema))
    };
    let fields = vec![
        field("consecutive_failures", default.consecutive_failures, "So many failures in a row open it."),
        field("failure_percent", default.failure_percent, "So many of hundred of the last requests open it."),
        field("window_requests", default.window_requests, "How many of the last requests are looked at."),
        field("open_seconds", default.open_seconds, "How long it is open the first time."),
        field("open_seconds_max", default.open_seconds_max, "The longest time; not shorter than `open_seconds`."),
        field("probes", default.probes, "How many requests may be under way while it is half-open."),
        field("successes", default.successes, "So many successes close it."),
    ];
    debug_assert_eq!(fields.len(), limits_input::CIRCUIT.len());
    about("When nothing is sent for a while, because the destination fails.", closed(&[], fields))
}
