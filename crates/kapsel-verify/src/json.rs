//! The answer for programs. Everything but `proven`, `steps` and `error` is there only when it was proven.

use std::error::Error;

use kapsel_verification::{StepReport, Verified, VerifiedHead};
use serde_json::{Value, json};

use crate::instant::rfc3339;
use crate::text::with_causes;
use crate::verdict::Verdict;

/// All that the verdict says, in one line.
pub(crate) fn of_verdict(verdict: &Verdict) -> String {
    let steps: Vec<Value> = verdict.steps().iter().map(step).collect();
    let mut answer = json!({ "proven": verdict.is_proven(), "steps": steps });
    if let Some(verified) = verdict.attempt() {
        answer["attempt"] = attempt(verified);
        answer["log"] = head(&verified.head);
    }
    if let Verdict::Heads { proven: Some(proven), .. } = verdict {
        answer["old_head"] = head(&proven.0);
        answer["new_head"] = head(&proven.1);
    }
    format!("{answer}\n")
}

/// That there is no answer, in one line.
pub(crate) fn of_error(error: &dyn Error) -> String {
    format!("{}\n", json!({ "proven": false, "error": with_causes(error) }))
}

fn step(report: &StepReport) -> Value {
    let error = report.result.as_ref().err().map(|error| with_causes(error));
    json!({ "step": report.step.name(), "holds": report.result.is_ok(), "error": error })
}

fn attempt(verified: &Verified) -> Value {
    let (leaf, opened) = (&verified.leaf, &verified.opened);
    json!({
        "delivered": leaf.is_delivered(),
        "url": opened.url,
        "payload_sha256": opened.payload_sha256.map(|hash| hash.to_string()),
        "response_sha256": opened.response_sha256.map(|hash| hash.to_string()),
        "attempt_id": leaf.attempt_id,
        "attempt_number": leaf.attempt_number,
        "delivery_id": leaf.delivery_id,
        "endpoint_id": leaf.endpoint_id,
        "event_id": leaf.event_id,
        "tenant_id": leaf.tenant_id,
        "log_id": leaf.log_id,
        "outcome": leaf.outcome,
        "http_status": leaf.http_status,
        "started_at": leaf.started_at,
        "duration_ms": leaf.duration_ms,
        "leaf_hash": verified.leaf_hash.to_string(),
        "leaf_index": verified.leaf_index,
    })
}

fn head(head: &VerifiedHead) -> Value {
    let key_ids: Vec<String> = head.signed_by.iter().map(|key| key.id().to_string()).collect();
    let witness = |signature: &kapsel_verification::VerifiedSignature| {
        json!({
            "name": signature.key.name(),
            "key_id": signature.key.id().to_string(),
            "time": signature.time.map(rfc3339),
        })
    };
    let witnesses: Vec<Value> = head.witnessed_by.iter().map(witness).collect();
    json!({
        "origin": head.origin,
        "tree_size": head.tree_size,
        "root_hash": head.root_hash.to_string(),
        "key_ids": key_ids,
        "time": head.time.map(|time| rfc3339(time.unix_seconds)),
        "time_verified": head.time.is_some_and(|time| time.is_verified),
        "witnesses": witnesses,
    })
}
