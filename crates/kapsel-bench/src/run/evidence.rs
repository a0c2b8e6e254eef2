//! What was written down during a repetition, and the figures that follow from it.

use std::ops::Range;

use super::measured::{Durations, Measured, Memory, Second, Totals, Window};
use super::samples::Sample;
use crate::analysis::covered::{SeenHead, lags_us};
use crate::analysis::distribution::Distribution;
use crate::analysis::flow::Flow;
use crate::analysis::slope::slope;
use crate::ledger::{Event, Ledger};
use crate::rounding::count;
use crate::workload::{Source, Workload};

/// A growth of memory is told of so many samples, one a second; over less, it would be chance.
const SAMPLES_MIN: usize = 10;

/// What was written down.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) window_us: Range<u64>,
    pub(super) heads: Vec<SeenHead>,
    pub(super) size_at_start: u64,
    pub(super) covered: u64,
    pub(super) samples: Vec<Sample>,
    /// How many events were accepted before the load.
    pub(super) accepted_before: u64,
    pub(super) memory: Memory,
}

impl Evidence<'_> {
    /// Adds what follows from it to what was measured directly.
    pub(super) fn measured(self, direct: Measured, workload: &Workload) -> Measured {
        let flow = Flow::of(self.ledger.events());
        let has_load = workload.source != Source::Silent;
        Measured {
            totals: self.totals(workload.is_delivered),
            window: has_load.then(|| self.window(&flow)),
            durations: self.durations(),
            memory: self.memory(),
            series: self.series(&flow),
            window_at_seconds: (self.window_us.start as f64 / 1e6, self.window_us.end as f64 / 1e6),
            ..direct
        }
    }

    fn is_in_window(&self, time_us: u32) -> bool {
        self.window_us.contains(&u64::from(time_us))
    }

    fn totals(&self, is_delivered: bool) -> Totals {
        Totals {
            issued: self.ledger.issued_count(),
            accepted: self.ledger.accepted_count(),
            accepted_before: self.accepted_before,
            received: self.ledger.received_count(),
            lost: is_delivered.then(|| self.ledger.missing_count()),
            duplicates: count(self.ledger.repetitions_us().len()),
            strangers: self.ledger.stranger_count(),
            covered: self.covered,
        }
    }

    fn window(&self, flow: &Flow) -> Window {
        let times = |of: fn(&Event) -> Option<u32>| {
            count(self.ledger.events().filter_map(|event| of(&event)).filter(|time| self.is_in_window(*time)).count())
        };
        let backlog = flow.backlog(self.window_us.clone());
        Window {
            seconds: (self.window_us.end - self.window_us.start) as f64 / 1e6,
            accepted: times(|event| event.answered_us),
            received: times(|event| event.received_us),
            backlog_per_second: slope(&backlog),
            backlog_max: backlog.iter().map(|(_, backlog)| *backlog).reduce(f64::max),
        }
    }

    fn durations(&self) -> Durations {
        // Only what was accepted counts: a refusal is quick, and would make a server that refuses look good.
        let events = || {
            let accepted = self.ledger.events().filter(|event| self.is_in_window(event.intended_us));
            accepted.filter_map(|event| Some((event.intended_us, event.answered_us?, event.received_us)))
        };
        let between = |from: u32, to: u32| u64::from(to.saturating_sub(from));
        let mut arrivals: Vec<u32> = self.ledger.events().filter_map(|event| event.received_us).collect();
        arrivals.extend(self.ledger.repetitions_us());
        arrivals.sort_unstable();
        Durations {
            answer: Distribution::of(events().map(|(intended, answered, _)| between(intended, answered))),
            sent_to_received: Distribution::of(
                events().filter_map(|(intended, _, received)| Some(between(intended, received?))),
            ),
            accepted_to_received: Distribution::of(
                events().filter_map(|(_, answered, received)| Some(between(answered, received?))),
            ),
            received_to_covered: Distribution::of(lags_us(
                &arrivals,
                &self.heads,
                self.size_at_start,
                self.window_us.clone(),
            )),
        }
    }

    fn memory(&self) -> Memory {
        let middle_us = self.window_us.start.midpoint(self.window_us.end);
        let second_half = self.samples.iter().filter(|sample| (middle_us..self.window_us.end).contains(&sample.at_us));
        let points: Vec<(f64, f64)> =
            second_half.filter_map(|sample| Some((sample.at_us as f64 / 1e6, sample.resident_bytes? as f64))).collect();
        let postgres_peak_bytes = self.samples.iter().filter_map(|sample| sample.postgres_bytes).max();
        let is_long = points.len() >= SAMPLES_MIN;
        Memory { slope_bytes_per_second: slope(&points).filter(|_| is_long), postgres_peak_bytes, ..self.memory }
    }

    fn series(&self, flow: &Flow) -> Vec<Second> {
        let flow = flow.seconds();
        let last_us = self.samples.last().map_or(0, |sample| sample.at_us).max(self.window_us.end);
        let seconds = count(flow.len()).max(last_us / 1_000_000 + 1);
        let (mut samples, mut heads) = (self.samples.iter().peekable(), self.heads.iter().peekable());
        let mut second = Second::default();
        let mut series = Vec::new();
        for (number, flow) in (0..seconds).zip(flow.iter().map(Some).chain(std::iter::repeat(None))) {
            let end_us = (number + 1) * 1_000_000;
            while let Some(sample) = samples.next_if(|sample| sample.at_us < end_us) {
                second.resident_bytes = sample.resident_bytes;
                second.postgres_bytes = sample.postgres_bytes;
            }
            while let Some(head) = heads.next_if(|head| head.at_us < end_us) {
                second.covered = head.tree_size - self.size_at_start;
            }
            second.accepted = flow.map_or(0, |flow| flow.accepted);
            second.received = flow.map_or(0, |flow| flow.received);
            // Nothing happens behind the last event, so the backlog stays as it was.
            second.backlog = flow.map_or(second.backlog, |flow| flow.backlog);
            series.push(second);
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four events; the first before the window, the last lost.
    fn ledger() -> Ledger {
        let ledger = Ledger::new();
        for (intended_us, answered_us, received_us) in [
            (500_000, 600_000, Some(700_000)),
            (1_000_000, 1_010_000, Some(1_005_000)),
            (1_500_000, 1_700_000, Some(2_500_000)),
            (1_600_000, 1_800_000, None),
        ] {
            let sequence = ledger.issue(intended_us).unwrap();
            ledger.answered(sequence, answered_us);
            if let Some(received_us) = received_us {
                ledger.received(sequence, received_us);
            }
        }
        ledger.received(0, 2_600_000);
        ledger
    }

    fn measured(is_delivered: bool) -> Measured {
        let ledger = ledger();
        let sample = |at_us, bytes| Sample { at_us, resident_bytes: Some(bytes), postgres_bytes: None };
        let growing = (1..=10).map(|step| sample(2_000_000 + step * 10_000, step * 10));
        let head = |at_us, tree_size| SeenHead { at_us, tree_size };
        let evidence = Evidence {
            ledger: &ledger,
            window_us: 1_000_000..3_000_000,
            heads: vec![head(900_000, 11), head(2_900_000, 14)],
            size_at_start: 10,
            covered: 4,
            samples: [sample(100, 10)].into_iter().chain(growing).collect(),
            accepted_before: 1,
            memory: Memory { idle_bytes: Some(5), ..Memory::default() },
        };
        evidence.measured(Measured::default(), &Workload { is_delivered, ..Workload::DEFAULT })
    }

    #[test]
    fn the_window_has_its_events() {
        let measured = measured(true);
        let window = measured.window.unwrap();
        assert_eq!((window.accepted, window.received, window.seconds), (3, 2, 2.0));
        assert_eq!(window.backlog_max, Some(2.0));
        let durations = measured.durations;
        assert_eq!(durations.answer.as_ref().map(|answer| answer.count), Some(3));
        // Received before it was answered: no time at all.
        assert_eq!(durations.accepted_to_received.as_ref().map(|times| (times.count, times.min_us)), Some((2, 0)));
        assert_eq!(durations.sent_to_received.as_ref().map(|times| times.count), Some(2));
        // Two events and the repetition came in the window; the second head covers them all.
        assert_eq!(durations.received_to_covered.as_ref().map(|times| times.count), Some(3));
    }

    #[test]
    fn what_is_missing_is_lost_only_where_it_should_have_come() {
        assert_eq!(measured(true).totals.lost, Some(1));
        let totals = measured(false).totals;
        assert_eq!((totals.lost, totals.duplicates, totals.accepted_by_load()), (None, 1, 3));
    }

    #[test]
    fn memory_and_series_are_taken_from_samples() {
        let measured = measured(true);
        assert_eq!(measured.memory.idle_bytes, Some(5));
        assert!((measured.memory.slope_bytes_per_second.unwrap() - 1_000.0).abs() < 1e-6);
        let covered: Vec<u64> = measured.series.iter().map(|second| second.covered).collect();
        assert_eq!(covered, [1, 1, 4, 4]);
        let backlogs: Vec<i64> = measured.series.iter().map(|second| second.backlog).collect();
        assert_eq!(backlogs, [0, 2, 1, 1]);
        assert_eq!(measured.series[0].resident_bytes, Some(10));
    }
}
