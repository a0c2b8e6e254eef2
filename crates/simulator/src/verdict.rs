//! What is wrong with the history of one event, once the world is at rest.

use std::time::Duration;

use kapsel_core::circuit::Signal;
use kapsel_core::retry::JITTER;
use kapsel_core::{Attempt, DeliveryState, EndpointConfig, FinalReason, Outcome, RetryPolicy};
use kapsel_store::EventDetail;

/// By how much two instances' clocks may differ, twice: attempts are noted with the time of whoever made them.
const SKEW: Duration = Duration::from_secs(8);

/// Compares what is stored of an event with its policy and with what was seen of it: whether a destination answered 2xx,
/// how many requests were made, and how often it was queued by hand.
pub fn of(detail: &EventDetail, config: &EndpointConfig, seen: (bool, u32, u32)) -> Vec<String> {
    let (was_answered_2xx, requests, requeued) = seen;
    let id = detail.summary.id;
    let attempts = &detail.attempts;
    let mut found = Vec::new();
    let stored = u32::try_from(attempts.len()).unwrap();
    if stored > requests {
        found.push(format!("attempts: {id} has {stored} attempts of {requests} requests"));
    }
    if attempts.iter().map(|attempt| attempt.number).ne(1..=stored) {
        found.push(format!("attempts: those of {id} are not numbered one by one"));
    }
    let attempts_max = config.retry.attempts_max();
    // A 410 gives nothing up: it parks the delivery, also after the last attempt.
    let is_gone = |attempt: &&Attempt| attempt.outcome.status() == Some(410);
    let parked = u32::try_from(attempts.iter().filter(is_gone).count()).unwrap();
    if stored - parked > attempts_max * (requeued + 1) {
        found.push(format!("attempts: {id} has {stored}, {attempts_max} are allowed, queued by hand {requeued} times"));
    }
    match (detail.summary.status, detail.summary.reason) {
        (DeliveryState::Delivered, _) if !was_answered_2xx => {
            found.push(format!("lost: {id} counts as delivered, and nobody answered 2xx to it"));
        }
        (DeliveryState::Delivered, _) => {}
        (DeliveryState::Failed, Some(FinalReason::AttemptsExhausted)) => {
            if stored < attempts_max || (requeued == 0 && parked == 0 && stored != attempts_max) {
                found.push(format!("attempts: {id} is given up after {stored} of {attempts_max}"));
            }
        }
        (DeliveryState::Failed, Some(FinalReason::Refused)) => {
            let last = attempts.last().and_then(|attempt| attempt.outcome.status());
            if !matches!(last, Some(status) if (300..500).contains(&status) && !matches!(status, 408 | 425 | 429)) {
                found.push(format!("lost: {id} counts as refused after {last:?}"));
            }
        }
        (state, reason) => found.push(format!("lost: {id} ended as {state} because of {reason:?}")),
    }
    if requeued == 0 {
        found.extend(attempts.windows(2).filter_map(|pair| too_soon(&pair[0], &pair[1], &config.retry)));
    }
    found
}

fn too_soon(before: &Attempt, after: &Attempt, retry: &RetryPolicy) -> Option<String> {
    let nominal = match retry {
        RetryPolicy::Exponential { base_ms, factor, cap_ms, .. } => {
            let steps = i32::try_from(before.number - 1).unwrap();
            Duration::from_millis(*base_ms).mul_f64(factor.powi(steps).min(1e6)).min(Duration::from_millis(*cap_ms))
        }
        RetryPolicy::Schedule { waits_seconds } => {
            // Behind the last one is only what a 410 has parked.
            let wait = waits_seconds.get(usize::try_from(before.number).unwrap());
            Duration::from_secs(u64::from(wait.copied().unwrap_or(0)))
        }
    };
    // 410 parks the delivery; it goes on when its endpoint is enabled again.
    let is_parked = before.outcome.status() == Some(410);
    let asked = match Signal::of(&before.outcome, &[], before.ended_at()) {
        Signal::Busy(wait) if matches!(before.outcome, Outcome::Response(_)) => asked_wait(&before.outcome, wait),
        _ => Duration::ZERO,
    };
    let wait = nominal.mul_f64(1.0 - JITTER).max(asked);
    let waited = after.started_at.saturating_since(before.ended_at());
    let is_too_soon = !is_parked && waited + SKEW < wait;
    is_too_soon.then(|| {
        format!("too soon: attempt {} of {} after {waited:?}, {wait:?} are due", after.number, after.delivery.event_id)
    })
}

/// What `Retry-After` asked for; a 429 without one asks the delivery for nothing.
fn asked_wait(outcome: &Outcome, wait: Duration) -> Duration {
    let header = outcome.head().and_then(|head| head.headers.get_str("retry-after"));
    if header.is_some_and(|value| value != "0") { wait } else { Duration::ZERO }
}
