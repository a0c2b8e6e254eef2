//! What follows from the outcome of an attempt. Pure: the same outcome under the same policy at the same moment with
//! the same chance gives the same decision.

use crate::attempt::{FailureKind, Outcome};
use crate::delivery::FinalReason;
use crate::endpoint::DisabledReason;
use crate::retry::RetryPolicy;
use crate::retry_after;
use crate::time::Timestamp;

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is done.
    Delivered,
    /// It stays in the queue and is due again at this time.
    RetryAt(Timestamp),
    /// It is given up.
    Failed(FinalReason),
}

/// What becomes of the delivery and of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the delivery.
    pub next: Next,
    /// Why the endpoint is to be disabled, if it is.
    pub disable_endpoint: Option<DisabledReason>,
}

/// What a decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What came of the attempt.
    pub outcome: &'a Outcome,
    /// The endpoint's retry policy.
    pub retry: &'a RetryPolicy,
    /// Statuses outside of 408, 425, 429 and 5xx that the endpoint wants to have retried.
    pub retry_statuses: &'a [u16],
    /// How many attempts were made since the delivery was last queued, this one included.
    pub attempts_made: u32,
    /// Whether nothing but failures has come from the endpoint for longer than it may.
    pub is_given_up: bool,
    /// The present.
    pub now: Timestamp,
    /// A random number in `0.0 ..= 1.0`.
    pub jitter: f64,
}

/// Decides what follows from an outcome.
///
/// - 2xx: delivered.
/// - 410: the endpoint is disabled and the delivery waits in its parked queue (Standard Webhooks 1.0.0).
/// - 408, 425, 429, 5xx and every failure without an answer: retried after the policy's wait, which `Retry-After` on
///   429 and 503 may extend and never shortens.
/// - other statuses: failed at once, unless the endpoint lists them.
///
/// A failure that comes when the endpoint is given up disables it too; what else is queued for it waits there.
pub fn decide(inputs: Inputs<'_>) -> Decision {
    if inputs.outcome.is_success() {
        return Decision { next: Next::Delivered, disable_endpoint: None };
    }
    let keep = |next| Decision { next, disable_endpoint: inputs.is_given_up.then_some(DisabledReason::Failing) };
    let status = match inputs.outcome {
        Outcome::Response(head) => Some(head.status),
        Outcome::Failure { .. } => None,
    };
    if status == Some(410) && !inputs.retry_statuses.contains(&410) {
        // Due at once: the endpoint being disabled is what holds it back, until somebody enables it again.
        return Decision { next: Next::RetryAt(inputs.now), disable_endpoint: Some(DisabledReason::Gone) };
    }
    if status.is_some_and(|status| !is_retried(status, inputs.retry_statuses)) {
        return keep(Next::Failed(FinalReason::Refused));
    }
    let Some(wait) = inputs.retry.delay_after(inputs.attempts_made, inputs.jitter) else {
        return keep(Next::Failed(FinalReason::AttemptsExhausted));
    };
    let wait = wait.max(asked_wait(inputs.outcome, inputs.now).unwrap_or_default());
    keep(Next::RetryAt(inputs.now + wait))
}

/// Whether an answer with this status is tried again.
fn is_retried(status: u16, listed: &[u16]) -> bool {
    matches!(status, 408 | 425 | 429 | 500..600) || listed.contains(&status)
}

/// What `Retry-After` asks for, on the statuses on which it is honoured.
fn asked_wait(outcome: &Outcome, now: Timestamp) -> Option<std::time::Duration> {
    let head = outcome.head().filter(|head| matches!(head.status, 429 | 503))?;
    retry_after::parse(head.headers.get_str("retry-after")?, now)
}

/// The outcome of an attempt that a defect in Kapsel broke off. It spends an attempt, so that an event which trips the
/// defect each time ends visibly instead of cycling for ever.
pub fn defect(detail: impl Into<String>) -> Outcome {
    Outcome::Failure { kind: FailureKind::Internal, detail: detail.into(), head: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::attempt::ResponseHead;
    use crate::headers::HeaderBlock;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn answer(status: u16, retry_after: Option<&str>) -> Outcome {
        let headers = HeaderBlock::from_pairs(retry_after.iter().map(|value| ("retry-after", value.as_bytes())));
        Outcome::Response(ResponseHead { status, headers, ..ResponseHead::default() })
    }

    fn decide_for(outcome: &Outcome, attempts_made: u32) -> Decision {
        let retry = RetryPolicy::default();
        decide(Inputs {
            outcome,
            retry: &retry,
            retry_statuses: &[],
            attempts_made,
            is_given_up: false,
            now: NOW,
            jitter: 0.5,
        })
    }

    #[test]
    fn statuses_by_table() {
        let retried = Next::RetryAt(NOW + Duration::from_secs(1));
        let refused = Next::Failed(FinalReason::Refused);
        let cases = [
            (200, Next::Delivered),
            (204, Next::Delivered),
            (299, Next::Delivered),
            (301, refused),
            (302, refused),
            (304, refused),
            (308, refused),
            (400, refused),
            (401, refused),
            (404, refused),
            (422, refused),
            (408, retried),
            (425, retried),
            (429, retried),
            (500, retried),
            (502, retried),
            (503, retried),
            (504, retried),
            (599, retried),
            (100, refused),
            (600, refused),
            (999, refused),
        ];
        for (status, expected) in cases {
            let decision = decide_for(&answer(status, None), 1);
            assert_eq!(decision, Decision { next: expected, disable_endpoint: None }, "{status}");
        }
    }

    #[test]
    fn gone_disables_the_endpoint_and_keeps_the_delivery() {
        let decision = decide_for(&answer(410, None), 35);
        assert_eq!(decision.next, Next::RetryAt(NOW));
        assert_eq!(decision.disable_endpoint, Some(DisabledReason::Gone));
    }

    #[test]
    fn an_endpoint_that_is_given_up_is_disabled_by_its_next_failure() {
        let decide_when_given_up = |status, attempts_made| {
            let outcome = answer(status, None);
            let retry = RetryPolicy::default();
            decide(Inputs {
                outcome: &outcome,
                retry: &retry,
                retry_statuses: &[],
                attempts_made,
                is_given_up: true,
                now: NOW,
                jitter: 0.5,
            })
        };
        assert_eq!(decide_when_given_up(200, 1), Decision { next: Next::Delivered, disable_endpoint: None });
        let failing = Some(DisabledReason::Failing);
        let cases = [
            (500, 1, Next::RetryAt(NOW + Duration::from_secs(1)), failing),
            (500, 35, Next::Failed(FinalReason::AttemptsExhausted), failing),
            (404, 1, Next::Failed(FinalReason::Refused), failing),
            (410, 1, Next::RetryAt(NOW), Some(DisabledReason::Gone)),
        ];
        for (status, attempts_made, next, disable_endpoint) in cases {
            assert_eq!(decide_when_given_up(status, attempts_made), Decision { next, disable_endpoint }, "{status}");
        }
    }

    #[test]
    fn an_endpoint_can_have_more_statuses_retried() {
        let retry = RetryPolicy::default();
        let outcome = answer(404, None);
        let inputs = Inputs {
            outcome: &outcome,
            retry: &retry,
            retry_statuses: &[404],
            attempts_made: 1,
            is_given_up: false,
            now: NOW,
            jitter: 0.5,
        };
        assert_eq!(decide(inputs).next, Next::RetryAt(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn every_kind_of_failure_is_retried_until_the_attempts_are_spent() {
        let kinds = [
            FailureKind::Connection,
            FailureKind::Timeout,
            FailureKind::Dns,
            FailureKind::Tls,
            FailureKind::Blocked,
            FailureKind::Protocol,
            FailureKind::Internal,
        ];
        for kind in kinds {
            let outcome = Outcome::Failure { kind, detail: String::new(), head: None };
            assert_eq!(decide_for(&outcome, 1).next, Next::RetryAt(NOW + Duration::from_secs(1)), "{kind:?}");
            assert_eq!(decide_for(&outcome, 35).next, Next::Failed(FinalReason::AttemptsExhausted), "{kind:?}");
        }
    }

    #[test]
    fn a_success_head_with_a_broken_body_is_retried() {
        let head = ResponseHead { status: 200, ..ResponseHead::default() };
        let outcome = Outcome::Failure { kind: FailureKind::Timeout, detail: String::new(), head: Some(head) };
        assert_eq!(decide_for(&outcome, 1).next, Next::RetryAt(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn retry_after_counts_on_429_and_503_alone() {
        let after = |status| decide_for(&answer(status, Some("100")), 1).next;
        assert_eq!(after(429), Next::RetryAt(NOW + Duration::from_secs(100)));
        assert_eq!(after(503), Next::RetryAt(NOW + Duration::from_secs(100)));
        assert_eq!(after(500), Next::RetryAt(NOW + Duration::from_secs(1)));
        assert_eq!(after(408), Next::RetryAt(NOW + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn retry_after_only_extends(seconds in 0_u64..200_000, made in 1_u32..34, jitter in 0.0_f64..=1.0) {
            let retry = RetryPolicy::default();
            let decide_with = |outcome: &Outcome| {
                let inputs = Inputs {
                    outcome,
                    retry: &retry,
                    retry_statuses: &[],
                    attempts_made: made,
                    is_given_up: false,
                    now: NOW,
                    jitter,
                };
                match decide(inputs).next {
                    Next::RetryAt(at) => at,
                    other => panic!("{other:?}"),
                }
            };
            let plain = decide_with(&answer(503, None));
            let asked = decide_with(&answer(503, Some(&seconds.to_string())));
            prop_assert!(asked >= plain);
            prop_assert_eq!(asked, plain.max(NOW + Duration::from_secs(seconds.min(86_400))));
        }
    }
}
