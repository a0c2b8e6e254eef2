//! Circuit breakers: an endpoint whose destination fails is left alone for a while, and then tried with a few requests
//! before it gets all of them again.
//!
//! What is stored of an endpoint's circuit, for all instances, is a [`Circuit`]. It is written when it changes and not
//! with every request. What one instance counts between two changes is a [`Breaker`], in its memory. Both are pure:
//! who asks gives the present and the chance.
//!
//! The states and what leads from one to another (the numbers are those of [`CircuitPolicy`], with its defaults):
//!
//! - **closed**: requests pass. 5 failures in a row, or 5 of the last 10 requests, open it.
//! - **open**: nothing is sent for 30 s. Then it is **half-open**, without anybody's doing: the time says so.
//! - **half-open**: one instance wins the right to probe, by compare-and-swap, and has at most 2 requests under way.
//!   3 successes close the circuit. 1 failure opens it again, for twice as long as the time before.
//! - In any state, a destination that says it is busy ([`Signal::Busy`]) makes its lane *pause*: nothing is sent until
//!   the pause is over.
//!
//! After an opening and after a pause, the number of requests under way grows from 1 by doubling ([`ramp`]), so that a
//! destination which has just recovered is not run over by the backlog that has gathered meanwhile.

mod breaker;
mod policy;
pub mod ramp;
mod signal;
mod window;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::breaker::{Admission, Breaker, Report, Ticket};
pub use self::policy::{CircuitPolicy, InvalidCircuitPolicy};
pub use self::signal::Signal;
use crate::delivery::UnknownWord;
use crate::ids::InstanceId;
use crate::time::Timestamp;

/// Where a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Requests pass.
    #[default]
    Closed,
    /// Nothing is sent.
    Open,
    /// A few requests are sent to see whether the destination has recovered.
    HalfOpen,
}

impl CircuitState {
    /// Every state.
    pub const ALL: &'static [CircuitState] = &[CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CircuitState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = CircuitState::ALL.iter().find(|state| state.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// What all instances know of an endpoint's circuit. An endpoint without a stored one has the default: closed, version
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Circuit {
    /// The state that was last written. An open circuit whose time is over is half-open all the same; see
    /// [`Circuit::state_at`].
    pub state: CircuitState,
    /// Until when nothing is sent, except by the `prober`: the end of an opening, of a pause, or of the prober's right.
    pub blocked_until: Option<Timestamp>,
    /// Which instance has the right to probe until `blocked_until`, in the half-open state.
    pub prober: Option<InstanceId>,
    /// When it last opened; `None` while it is closed.
    pub opened_at: Option<Timestamp>,
    /// How often it opened since it was last closed.
    pub opened_times: u32,
    /// Since when there was no success, as far as that was worth writing down.
    pub failing_since: Option<Timestamp>,
    /// When it was last written.
    pub changed_at: Timestamp,
    /// Grows by one with each write; a write names the version it was made from.
    pub version: u64,
}

impl Circuit {
    /// The state at `now`: time alone makes an open circuit half-open.
    pub fn state_at(&self, now: Timestamp) -> CircuitState {
        match self.state {
            CircuitState::Open if !self.is_blocked(now) => CircuitState::HalfOpen,
            state => state,
        }
    }

    /// Whether nobody but the prober may send at `now`.
    pub fn is_blocked(&self, now: Timestamp) -> bool {
        self.blocked_until.is_some_and(|until| now < until)
    }

    /// Whether `instance` may not send at `now`.
    pub fn is_blocked_for(&self, instance: InstanceId, now: Timestamp) -> bool {
        self.is_blocked(now) && self.prober != Some(instance)
    }

    /// What is written when its prober gives its right up, or is known to be dead: anybody may probe from `now` on.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Circuit {
        let (state, blocked_until) = (CircuitState::Open, Some(now));
        Circuit { state, blocked_until, prober: None, changed_at: now, version: self.version + 1, ..*self }
    }

    /// What is written when somebody resets it: closed, as if nothing had happened, but from a low number of requests
    /// on.
    #[must_use]
    pub fn reset(&self, now: Timestamp) -> Circuit {
        Circuit { changed_at: now, version: self.version + 1, ..Circuit::default() }
    }
}

#[cfg(test)]
mod tests;
