//! How many events were accepted and received up to each moment, and the backlog between the two.

use crate::ledger::Event;
use crate::rounding::{count, index};

/// The steps in which it is counted.
const STEP_US: u64 = 100_000;
/// Steps of one second.
const STEPS_PER_SECOND: usize = 10;

/// What happened in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Step {
    accepted: u64,
    received: u64,
}

/// Counts over time.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    steps: Vec<Step>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SecondOfFlow {
    /// Events accepted in it.
    pub(crate) accepted: u64,
    /// Events received in it.
    pub(crate) received: u64,
    /// Accepted and not received at its end. Below zero where events arrive before their answers.
    pub(crate) backlog: i64,
}

impl Flow {
    /// Counts events.
    pub(crate) fn of(events: impl Iterator<Item = Event>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut add = |time_us: u32, count: fn(&mut Step) -> &mut u64| {
            let step = index(u64::from(time_us) / STEP_US);
            if steps.len() <= step {
                steps.resize(step + 1, Step::default());
            }
            if let Some(step) = steps.get_mut(step) {
                *count(step) += 1;
            }
        };
        for event in events {
            // An event that was received and never accepted (its answer was lost) is no part of a backlog.
            let Some(answered_us) = event.answered_us else { continue };
            add(answered_us, |step| &mut step.accepted);
            if let Some(received_us) = event.received_us {
                add(received_us, |step| &mut step.received);
            }
        }
        Flow { steps }
    }

    /// The run, second by second.
    pub(crate) fn seconds(&self) -> Vec<SecondOfFlow> {
        let mut backlog = 0;
        let second = |steps: &[Step]| {
            let accepted: u64 = steps.iter().map(|step| step.accepted).sum();
            let received: u64 = steps.iter().map(|step| step.received).sum();
            backlog += signed(accepted) - signed(received);
            SecondOfFlow { accepted, received, backlog }
        };
        self.steps.chunks(STEPS_PER_SECOND).map(second).collect()
    }

    /// The backlog at the end of each step that ends in a window: seconds since the beginning, events.
    pub(crate) fn backlog(&self, window_us: std::ops::Range<u64>) -> Vec<(f64, f64)> {
        let mut backlog = 0;
        let mut points = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            backlog += signed(step.accepted) - signed(step.received);
            let end_us = (count(number) + 1) * STEP_US;
            if window_us.contains(&end_us) {
                points.push((end_us as f64 / 1e6, backlog as f64));
            }
        }
        points
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(answered_us: Option<u32>, received_us: Option<u32>) -> Event {
        Event { intended_us: 1, answered_us, received_us }
    }

    #[test]
    fn seconds_add_up() {
        let events = [
            event(Some(50_000), Some(40_000)),
            event(Some(150_000), Some(1_200_000)),
            event(Some(999_999), Some(1_200_000)),
            event(Some(2_000_000), None),
            event(None, Some(300_000)),
        ];
        let flow = Flow::of(events.into_iter());
        let second = |accepted, received, backlog| SecondOfFlow { accepted, received, backlog };
        assert_eq!(flow.seconds(), [second(3, 1, 2), second(0, 2, 0), second(1, 0, 1)]);
        let backlog = flow.backlog(900_000..1_150_000);
        assert_eq!(backlog, [(0.9, 1.0), (1.0, 2.0), (1.1, 2.0)]);
    }
}
