//! Says seldom that something does not work which is tried all the time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often it is said at most.
const PERIOD: Duration = Duration::from_mins(5);

/// What is to be said of one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// It failed, after so many failures about which nothing was said.
    Say {
        /// So many.
        unsaid: u32,
    },
    /// It was said a moment ago.
    Keep,
}

/// Remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said_at: Option<Instant>,
    unsaid: u32,
}

impl Complaints {
    /// It failed at `now`.
    pub(super) fn failed(&self, now: Instant) -> Complaint {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said_at.is_some_and(|said_at| now < said_at + PERIOD) {
            state.unsaid = state.unsaid.saturating_add(1);
            return Complaint::Keep;
        }
        state.said_at = Some(now);
        Complaint::Say { unsaid: std::mem::take(&mut state.unsaid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_in_a_while_with_what_was_not() {
        let complaints = Complaints::default();
        let now = Instant::now();
        assert_eq!(complaints.failed(now), Complaint::Say { unsaid: 0 });
        for second in 1..PERIOD.as_secs() {
            assert_eq!(complaints.failed(now + Duration::from_secs(second)), Complaint::Keep);
        }
        assert_eq!(complaints.failed(now + PERIOD), Complaint::Say { unsaid: 299 });
        assert_eq!(complaints.failed(now + PERIOD), Complaint::Keep);
    }
}
