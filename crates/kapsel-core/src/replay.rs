//! A replay: a job that queues many events anew, step by step. What may be done with it, and how fast it goes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::delivery::UnknownWord;
use crate::time::Timestamp;

/// The rate of a replay that names none. A destination that has just come back takes this beside its ordinary load.
pub const RATE_PER_SECOND_DEFAULT: u32 = 100;
/// The highest rate. Every step is a transaction; with more of them the store would do little else.
pub const RATE_PER_SECOND_MAX: u32 = 10_000;
/// A step takes at most so many events: it is one transaction, and others wait for it.
pub const STEP_EVENTS_MAX: usize = 250;

/// How far steps lie apart where their size allows it. Shorter would be smoother and cost more transactions.
const STEP_PERIOD: Duration = Duration::from_millis(500);

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// Its next step is made when it is due.
    Running,
    /// It stands still until somebody resumes it.
    Paused,
    /// Somebody ended it before it was through.
    Cancelled,
    /// It has looked at every event that it is about.
    Completed,
}

/// What somebody wants of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayCommand {
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
    /// End for good.
    Cancel,
}

impl ReplayState {
    /// Every state, in the order of a life.
    pub const ALL: &'static [ReplayState] =
        &[ReplayState::Running, ReplayState::Paused, ReplayState::Cancelled, ReplayState::Completed];

    /// The word that the API shows and stores keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReplayState::Running => "running",
            ReplayState::Paused => "paused",
            ReplayState::Cancelled => "cancelled",
            ReplayState::Completed => "completed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, ReplayState::Cancelled | ReplayState::Completed)
    }

    /// The state after `command`; `None` where it cannot be followed any more. What is so already stays so: whoever got
    /// no answer to a command may repeat it.
    pub const fn after(self, command: ReplayCommand) -> Option<ReplayState> {
        match (self, command) {
            (ReplayState::Running | ReplayState::Paused, ReplayCommand::Pause) => Some(ReplayState::Paused),
            (ReplayState::Running | ReplayState::Paused, ReplayCommand::Resume) => Some(ReplayState::Running),
            (ReplayState::Running | ReplayState::Paused | ReplayState::Cancelled, ReplayCommand::Cancel) => {
                Some(ReplayState::Cancelled)
            }
            (ReplayState::Cancelled, ReplayCommand::Pause | ReplayCommand::Resume) | (ReplayState::Completed, _) => {
                None
            }
        }
    }
}

impl fmt::Display for ReplayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReplayState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ReplayState::ALL.iter().find(|state| state.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// How fast a replay goes: so many events a second on average, in steps.
///
/// The time of the next step is stored with the job, so the rate holds over all instances that make steps, and over
/// restarts. Steps that come late are caught up with for one period and no further: within any second never more than
/// twice the rate (and one event) is queued, also after a long pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    rate_per_second: u32,
}

impl Pace {
    /// At most `rate_per_second` events; none is as good as one, since a job has to end.
    pub const fn new(rate_per_second: u32) -> Self {
        Pace { rate_per_second: if rate_per_second == 0 { 1 } else { rate_per_second } }
    }

    /// How many events a step may take at `now` when it is due at `next_step_at`.
    pub fn events_max(self, next_step_at: Timestamp, now: Timestamp) -> usize {
        if now < next_step_at {
            return 0;
        }
        let in_a_period = u128::from(self.rate_per_second) * STEP_PERIOD.as_micros();
        let events = in_a_period.div_ceil(1_000_000);
        usize::try_from(events).unwrap_or(STEP_EVENTS_MAX).clamp(1, STEP_EVENTS_MAX)
    }

    /// When the step after one that was due at `next_step_at` and took `taken` events at `now` may be made.
    pub fn next_step_at(self, next_step_at: Timestamp, now: Timestamp, taken: usize) -> Timestamp {
        let taken = u64::try_from(taken).unwrap_or(u64::MAX);
        let micros = taken.saturating_mul(1_000_000).div_ceil(u64::from(self.rate_per_second));
        next_step_at.max(now - STEP_PERIOD) + Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_parse_back() {
        for state in ReplayState::ALL {
            assert_eq!(state.as_str().parse::<ReplayState>().unwrap(), *state);
            assert_eq!(state.to_string(), state.as_str());
        }
        assert!("stopped".parse::<ReplayState>().is_err());
    }

    #[test]
    fn commands_lead_from_state_to_state() {
        use ReplayCommand::{Cancel, Pause, Resume};
        use ReplayState::{Cancelled, Completed, Paused, Running};
        let table = [
            (Running, Pause, Some(Paused)),
            (Running, Resume, Some(Running)),
            (Running, Cancel, Some(Cancelled)),
            (Paused, Pause, Some(Paused)),
            (Paused, Resume, Some(Running)),
            (Paused, Cancel, Some(Cancelled)),
            (Cancelled, Pause, None),
            (Cancelled, Resume, None),
            (Cancelled, Cancel, Some(Cancelled)),
            (Completed, Pause, None),
            (Completed, Resume, None),
            (Completed, Cancel, None),
        ];
        for (state, command, expected) in table {
            assert_eq!(state.after(command), expected, "{command:?} while {state}");
            // What has ended stays ended, whatever anybody wants.
            assert!(!state.is_final() || expected.is_none_or(|after| after == state));
        }
    }

    #[test]
    fn steps_take_half_a_second_of_the_rate() {
        let due = Timestamp::from_unix_seconds(1_000);
        // Rate, events of a step, time to the next one in microseconds.
        let table = [
            (0, 1, 1_000_000),
            (1, 1, 1_000_000),
            (2, 1, 500_000),
            (3, 2, 666_667),
            (100, 50, 500_000),
            (500, 250, 500_000),
            (1_000, 250, 250_000),
            (10_000, 250, 25_000),
            (u32::MAX, 250, 1),
        ];
        for (rate, events, micros) in table {
            let pace = Pace::new(rate);
            assert_eq!(pace.events_max(due, due), events, "at {rate}");
            assert_eq!(pace.next_step_at(due, due, events), due + Duration::from_micros(micros), "at {rate}");
            assert_eq!(pace.events_max(due, due - Duration::from_micros(1)), 0, "before it is due");
            assert_eq!(pace.next_step_at(due, due, 0), due, "a step that found nothing costs no time");
        }
    }

    #[test]
    fn a_late_step_is_caught_up_with_for_one_period_only() {
        let (pace, due) = (Pace::new(100), Timestamp::from_unix_seconds(1_000));
        let millis = Duration::from_millis;
        for (late, ahead) in [(0, 500), (100, 400), (500, 0), (501, 0), (3_600_000, 0)] {
            let now = due + millis(late);
            assert_eq!(pace.next_step_at(due, now, 50), now + millis(ahead), "{late} ms late");
        }
    }

    proptest! {
        /// Whenever steps are made, and however many events each finds.
        #[test]
        fn the_rate_holds(
            rate in 1_u32..=RATE_PER_SECOND_MAX,
            steps in prop::collection::vec((0_u64..3_000_000, 0_usize..=100), 1..200),
        ) {
            let pace = Pace::new(rate);
            let mut due = Timestamp::from_unix_seconds(1_000);
            let mut made: Vec<(Timestamp, usize)> = Vec::new();
            let mut now = due;
            for (late, percent) in steps {
                now = now.max(due + Duration::from_micros(late));
                let events_max = pace.events_max(due, now);
                prop_assert!((1..=STEP_EVENTS_MAX).contains(&events_max));
                let taken = events_max * percent / 100;
                made.push((now, taken));
                let next = pace.next_step_at(due, now, taken);
                prop_assert!(next >= due);
                due = next;
            }
            for (index, (first, _)) in made.iter().enumerate() {
                let second = made[index..].iter().take_while(|(at, _)| *at < *first + Duration::from_secs(1));
                let events: usize = second.map(|(_, taken)| taken).sum();
                prop_assert!(events as u64 <= 2 * u64::from(rate) + 1, "{events} in a second at {rate}");
            }
        }

        /// Somebody who makes each step when it is due gets the whole rate, up to the rounding.
        #[test]
        fn the_rate_is_reached(rate in 1_u32..=RATE_PER_SECOND_MAX) {
            let pace = Pace::new(rate);
            let start = Timestamp::from_unix_seconds(1_000);
            let (mut due, mut events) = (start, 0_usize);
            while due < start + Duration::from_secs(10) {
                let taken = pace.events_max(due, due);
                events += taken;
                due = pace.next_step_at(due, due, taken);
            }
            prop_assert!(events as u64 * 10 >= 99 * u64::from(rate), "{events} in ten seconds at {rate}");
        }
    }
}
