//! What `PATCH /v1/endpoints/{id}` makes of an endpoint: fields that it names are replaced as a whole, the others stay.
//!
//! The present settings are written as the input that would make them, the patch is laid over it, and what comes out is read
//! like any other input. So there is one set of rules.

use kapsel_core::EndpointConfig;
use serde_json::{Map, Value, json};

use super::endpoint_view::{IdempotencyView, RetryView};
use crate::problem::Problem;

/// The short forms, each with the field that it stands for.
const SHORT_FORMS: &[(&str, &str)] = &[("max_retries", "retry")];

/// The input that `patch` over the present settings is. What holds secrets is left out of it: left out, it stays.
///
/// # Errors
/// A defect, if the settings do not serialise.
pub(crate) fn over(present: &EndpointConfig, patch: Value) -> Result<Value, Problem> {
    let Value::Object(patch) = patch else {
        // The reader says what is wrong with it.
        return Ok(patch);
    };
    let mut input = as_input(present)?;
    for (short, long) in SHORT_FORMS {
        if patch.contains_key(*short) {
            input.remove(*long);
        }
    }
    input.extend(patch);
    Ok(Value::Object(input))
}

fn as_input(config: &EndpointConfig) -> Result<Map<String, Value>, Problem> {
    let EndpointConfig {
        name,
        url,
        verification: _,
        idempotency,
        retry,
        retry_statuses,
        timeout_seconds,
        max_in_flight,
        rate_limit,
        ingest_rate_limit,
        circuit,
        disable_after_seconds,
    } = config;
    let retry = serde_json::to_value(RetryView::new(retry)).map_err(unfit)?;
    let idempotency = serde_json::to_value(IdempotencyView::new(idempotency)).map_err(unfit)?;
    let input = json!({
        "name": name,
        "url": url.as_str(),
        "idempotency": idempotency,
        "retry": retry,
        "retry_statuses": retry_statuses,
        "timeout_seconds": timeout_seconds,
        "max_in_flight": max_in_flight,
        "rate_limit": rate_limit,
        "ingest_rate_limit": ingest_rate_limit,
        "circuit": circuit,
        "disable_after_seconds": disable_after_seconds,
    });
    match input {
        Value::Object(map) => Ok(map),
        _ => Err(Problem::internal("the settings of an endpoint are no object")),
    }
}

fn unfit(error: serde_json::Error) -> Problem {
    Problem::internal(format!("the settings of an endpoint do not serialise: {error}"))
}
