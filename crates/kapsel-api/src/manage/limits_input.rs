//! Input for what protects a destination: `circuit`, `rate_limit`, `disable_after_seconds`.

use kapsel_core::endpoint::{DISABLE_AFTER_SECONDS_DEFAULT, DISABLE_AFTER_SECONDS_MAX, DISABLE_AFTER_SECONDS_MIN};
use kapsel_core::rate_limit::{BURST_MAX, PER_SECOND_MAX, PER_SECOND_MIN};
use kapsel_core::{CircuitPolicy, RateLimit};

use super::fields::{Object, Problems};

pub(crate) const CIRCUIT: &[&str] = &[
    "consecutive_failures",
    "failure_percent",
    "window_requests",
    "open_seconds",
    "open_seconds_max",
    "probes",
    "successes",
];

pub(crate) const RATE_LIMIT: &[&str] = &["per_second", "burst"];

/// Reads `circuit`; what is left out of it has its default.
pub(crate) fn circuit(root: &Object<'_>, problems: &Problems) -> Option<CircuitPolicy> {
    let default = CircuitPolicy::default();
    if !root.has("circuit") {
        return Some(default);
    }
    let input = root.object("circuit", CIRCUIT)?;
    let number = |name, default| {
        let range = CircuitPolicy::range(name).unwrap_or(0..=u32::MAX);
        input.whole(name, range).unwrap_or(default)
    };
    let open_seconds = number("open_seconds", default.open_seconds);
    let policy = CircuitPolicy {
        consecutive_failures: number("consecutive_failures", default.consecutive_failures),
        failure_percent: number("failure_percent", default.failure_percent),
        window_requests: number("window_requests", default.window_requests),
        open_seconds,
        // Whoever asks for a longer first opening need not know of the longest.
        open_seconds_max: number("open_seconds_max", default.open_seconds_max.max(open_seconds)),
        probes: number("probes", default.probes),
        successes: number("successes", default.successes),
    };
    if problems.is_fine(&root.path_of("circuit"))
        && let Err(error) = policy.validate()
    {
        input.refuse(error.field(), error);
    }
    Some(policy)
}

/// Reads the field `name` as a limit of rate. Without `burst`, as many at once as in a second.
pub(crate) fn rate_limit(root: &Object<'_>, name: &str, problems: &Problems) -> Option<RateLimit> {
    let input = root.object(name, RATE_LIMIT)?;
    if !input.has("per_second") {
        problems.add(input.path_of("per_second"), "is required");
    }
    let burst = input.whole("burst", 1..=BURST_MAX);
    let per_second = input.number("per_second", PER_SECOND_MIN..=PER_SECOND_MAX)?;
    // Within the range of the burst, as its own range says.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies within 1 and BURST_MAX")]
    let second = per_second.ceil().clamp(1.0, f64::from(BURST_MAX)) as u32;
    Some(RateLimit { per_second, burst: burst.unwrap_or(second) })
}

/// Reads `disable_after_seconds`; `null` is never.
pub(crate) fn disable_after_seconds(root: &Object<'_>) -> Option<u32> {
    const NAME: &str = "disable_after_seconds";
    if root.is_null(NAME) {
        return None;
    }
    let given = root.whole(NAME, DISABLE_AFTER_SECONDS_MIN..=DISABLE_AFTER_SECONDS_MAX);
    Some(given.unwrap_or(DISABLE_AFTER_SECONDS_DEFAULT))
}
