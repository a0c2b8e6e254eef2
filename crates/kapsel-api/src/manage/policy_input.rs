//! Input for the policies of an endpoint: `retry`, `retry_statuses`, `idempotency`.

use std::ops::RangeInclusive;
use std::time::Duration;

use kapsel_core::RetryPolicy;
use kapsel_core::idempotency::{IdempotencyMode, IdempotencyPolicy, WINDOW_SECONDS_DEFAULT, WINDOW_SECONDS_MAX};
use kapsel_core::retry::{ATTEMPTS_MAX, DELAY_MAX, InvalidRetryPolicy};

use super::fields::{Object, Problems};

const EXPONENTIAL: &[&str] = &["base_seconds", "factor", "cap_seconds", "max_attempts"];
pub(crate) const RETRY: &[&str] = &["base_seconds", "factor", "cap_seconds", "max_attempts", "schedule", "preset"];

pub(crate) const IDEMPOTENCY: &[&str] = &["mode", "header", "pointer", "window_seconds"];
/// The shortest wait, in seconds.
pub(crate) const SECONDS_MIN: f64 = 0.001;
/// What waits can grow by.
pub(crate) const FACTOR: RangeInclusive<f64> = 1.0..=100.0;

/// Reads `retry` or its short form `max_retries`.
pub(crate) fn retry(root: &Object<'_>, problems: &Problems) -> Option<RetryPolicy> {
    if !root.has("retry") {
        let Some(retries) = root.whole("max_retries", 0..=ATTEMPTS_MAX - 1) else {
            return Some(RetryPolicy::default());
        };
        return Some(exponential(None, None, None, Some(retries + 1)));
    }
    if root.has("max_retries") {
        root.refuse("max_retries", "is the short form of retry.max_attempts; give one of the two");
    }
    let retry = root.object("retry", RETRY)?;
    let forms = [retry.has("preset"), retry.has("schedule"), EXPONENTIAL.iter().any(|name| retry.has(name))];
    if forms.into_iter().filter(|is_given| *is_given).count() > 1 {
        problems.add(root.path_of("retry"), "give either preset, or schedule, or the fields of exponential waits");
    }
    let policy = if retry.has("preset") {
        retry.word("preset", &[("standard-webhooks", ())]).map(|()| RetryPolicy::standard_webhooks())
    } else if retry.has("schedule") {
        let longest = u32::try_from(DELAY_MAX.as_secs()).unwrap_or(u32::MAX);
        retry.wholes("schedule", 0..=longest).map(|waits_seconds| RetryPolicy::Schedule { waits_seconds })
    } else {
        let seconds = SECONDS_MIN..=DELAY_MAX.as_secs_f64();
        Some(exponential(
            retry.number("base_seconds", seconds.clone()),
            retry.number("factor", FACTOR),
            retry.number("cap_seconds", seconds),
            retry.whole("max_attempts", 1..=ATTEMPTS_MAX),
        ))
    };
    // What single fields do not show: the base against the cap, the form of a schedule.
    if let Some(policy) = policy.as_ref().filter(|_| problems.is_fine(&root.path_of("retry")))
        && let Err(error) = policy.validate()
    {
        let field = match (policy, &error) {
            (RetryPolicy::Schedule { .. }, _) => "schedule",
            (_, InvalidRetryPolicy::Attempts) => "max_attempts",
            (_, InvalidRetryPolicy::Factor) => "factor",
            (_, InvalidRetryPolicy::TooLong) => "cap_seconds",
            (_, InvalidRetryPolicy::Base | InvalidRetryPolicy::FirstWait) => "base_seconds",
        };
        retry.refuse(field, error);
    }
    policy
}

/// Exponential waits, with the defaults for what is not given.
fn exponential(base: Option<f64>, factor: Option<f64>, cap: Option<f64>, attempts: Option<u32>) -> RetryPolicy {
    let millis = |seconds: f64| {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(DELAY_MAX);
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    };
    let mut policy = RetryPolicy::default();
    if let RetryPolicy::Exponential { base_ms, factor: policy_factor, cap_ms, attempts_max } = &mut policy {
        *base_ms = base.map_or(*base_ms, millis);
        *policy_factor = factor.unwrap_or(*policy_factor);
        *cap_ms = cap.map_or(*cap_ms, millis);
        *attempts_max = attempts.unwrap_or(*attempts_max);
    }
    policy
}

/// Reads `retry_statuses`, in order and each once.
pub(crate) fn retry_statuses(root: &Object<'_>) -> Vec<u16> {
    let statuses = root.wholes("retry_statuses", 300..=599).unwrap_or_default();
    let mut statuses: Vec<u16> = statuses.into_iter().filter_map(|status| u16::try_from(status).ok()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// What names an idempotency mode.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Auto,
    Header,
    JsonPointer,
    ContentHash,
    ExplicitOnly,
}

const MODES: &[(&str, Mode)] = &[
    ("auto", Mode::Auto),
    ("header", Mode::Header),
    ("json_pointer", Mode::JsonPointer),
    ("content_hash", Mode::ContentHash),
    ("explicit_only", Mode::ExplicitOnly),
];

/// Reads `idempotency`.
pub(crate) fn idempotency(root: &Object<'_>, problems: &Problems) -> Option<IdempotencyPolicy> {
    if !root.has("idempotency") {
        return Some(IdempotencyPolicy::default());
    }
    let input = root.object("idempotency", IDEMPOTENCY)?;
    let window_seconds = input.whole("window_seconds", 1..=WINDOW_SECONDS_MAX).unwrap_or(WINDOW_SECONDS_DEFAULT);
    let mode = if input.has("mode") { input.word("mode", MODES) } else { Some(Mode::Auto) };
    for (field, owner, word) in [("header", Mode::Header, "header"), ("pointer", Mode::JsonPointer, "json_pointer")] {
        match mode {
            Some(mode) if mode == owner && !input.has(field) => {
                problems.add(input.path_of(field), format!("is required by the mode {word}"));
            }
            Some(mode) if mode != owner && input.has(field) => {
                input.refuse(field, format!("belongs to the mode {word}"));
            }
            _ => {}
        }
    }
    let mode = match mode? {
        Mode::Auto => IdempotencyMode::Auto,
        Mode::ContentHash => IdempotencyMode::ContentHash,
        Mode::ExplicitOnly => IdempotencyMode::ExplicitOnly,
        Mode::Header => IdempotencyMode::Header { header: input.text("header")?.to_ascii_lowercase() },
        Mode::JsonPointer => IdempotencyMode::JsonPointer { pointer: input.text("pointer")?.to_owned() },
    };
    let policy = IdempotencyPolicy { mode, window_seconds };
    if let Err(error) = policy.validate() {
        let text = error.to_string();
        input.refuse(error.field(), text.split_once(": ").map_or(text.as_str(), |(_, problem)| problem));
    }
    Some(policy)
}
