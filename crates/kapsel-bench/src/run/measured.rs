//! What one repetition brought out.

use serde::Serialize;

use crate::analysis::distribution::Distribution;
use crate::bare::measure::Bare;
use crate::load::outcome::Counts;

/// Everything measured in one repetition.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    /// What the bare machine could do, if it was asked.
    pub(crate) bare: Option<Bare>,
    /// How long the phases took.
    pub(crate) phases: PhaseSeconds,
    /// Answers to the load, warm-up included, by kind.
    pub(crate) answers: Counts,
    /// What became of all events, prefill included.
    pub(crate) totals: Totals,
    /// What happened in the window, if there was a load.
    pub(crate) window: Option<Window>,
    /// Durations.
    pub(crate) durations: Durations,
    /// Processor time in the window.
    pub(crate) cpu_in_window: CpuSeconds,
    /// Processor time from the beginning of the load, warm-up included, until everything was delivered and covered.
    pub(crate) cpu_to_the_end: CpuSeconds,
    /// Memory.
    pub(crate) memory: Memory,
    /// Bytes written from the beginning of the load until everything was delivered and covered.
    pub(crate) written: Written,
    /// The run second by second, from the start of Kapsel on.
    pub(crate) series: Vec<Second>,
    /// When the window began and ended, in seconds of the series.
    pub(crate) window_at_seconds: (f64, f64),
}

/// How long the phases took.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct PhaseSeconds {
    /// Making the endpoints.
    pub(crate) endpoints: f64,
    /// The events before the load.
    pub(crate) prefill: f64,
    /// From the end of the load until everything accepted had arrived.
    pub(crate) drain: Option<f64>,
    /// From then on until the log covered every arrival; nothing if that did not happen in time.
    pub(crate) cover: Option<f64>,
}

/// What became of all events.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Totals {
    /// Requests that were begun.
    pub(crate) issued: u64,
    /// Answered with 200.
    pub(crate) accepted: u64,
    /// Of these, before the load.
    pub(crate) accepted_before: u64,
    /// Different events that the destination has.
    pub(crate) received: u64,
    /// Accepted, and not at the destination at the end. Nothing where events are to stay queued.
    pub(crate) lost: Option<u64>,
    /// Requests to the destination with an event that it had.
    pub(crate) duplicates: u64,
    /// Requests to the destination that were no event of this run.
    pub(crate) strangers: u64,
    /// Leaves that the log got.
    pub(crate) covered: u64,
}

impl Totals {
    /// Accepted by the load itself.
    pub(crate) fn accepted_by_load(&self) -> u64 {
        self.accepted.saturating_sub(self.accepted_before)
    }
}

/// What happened in the window.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Window {
    /// Its length.
    pub(crate) seconds: f64,
    /// Events answered with 200 in it.
    pub(crate) accepted: u64,
    /// Events that arrived at the destination in it.
    pub(crate) received: u64,
    /// The slope of the backlog.
    pub(crate) backlog_per_second: Option<f64>,
    /// The largest backlog.
    pub(crate) backlog_max: Option<f64>,
}

/// Durations of events that were intended to start in the window.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Durations {
    /// Intended start → answer 200.
    pub(crate) answer: Option<Distribution>,
    /// Intended start → last byte at the destination.
    pub(crate) sent_to_received: Option<Distribution>,
    /// Answer 200 → last byte at the destination.
    pub(crate) accepted_to_received: Option<Distribution>,
    /// Last byte at the destination → a signed head that covers the attempt; of those that arrived in the window.
    pub(crate) received_to_covered: Option<Distribution>,
}

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct CpuSeconds {
    /// Of Kapsel.
    pub(crate) kapsel: Option<f64>,
    /// Of PostgreSQL, all processes.
    pub(crate) postgres: Option<f64>,
    /// Of the thread that sends.
    pub(crate) load: f64,
    /// Of the thread that receives.
    pub(crate) destination: f64,
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    /// Of Kapsel before the load.
    pub(crate) idle_bytes: Option<u64>,
    /// The most from the beginning of the load on.
    pub(crate) peak_bytes: Option<u64>,
    /// At the end.
    pub(crate) end_bytes: Option<u64>,
    /// How it grew over the second half of the window.
    pub(crate) slope_bytes_per_second: Option<f64>,
    /// The most that was seen of PostgreSQL.
    pub(crate) postgres_peak_bytes: Option<u64>,
}

/// Bytes written.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Written {
    /// By Kapsel to storage.
    pub(crate) kapsel_bytes: Option<u64>,
    /// By PostgreSQL to storage.
    pub(crate) postgres_bytes: Option<u64>,
    /// By PostgreSQL into its write-ahead log.
    pub(crate) wal_bytes: Option<u64>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Second {
    /// Events accepted in it.
    pub(crate) accepted: u64,
    /// Events received in it.
    pub(crate) received: u64,
    /// Accepted and not received at its end.
    pub(crate) backlog: i64,
    /// Leaves covered at its end, since the start.
    pub(crate) covered: u64,
    /// Memory of Kapsel at its end.
    pub(crate) resident_bytes: Option<u64>,
    /// Memory of PostgreSQL, as it was seen last.
    pub(crate) postgres_bytes: Option<u64>,
}

impl Measured {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        let Some(window) = &self.window else { return "no load".to_owned() };
        let mut words = format!("{:.0} accepted/s", window.accepted as f64 / window.seconds);
        if let Some(lost) = self.totals.lost {
            words += &format!(", {:.0} received/s, {lost} lost", window.received as f64 / window.seconds);
        }
        let errors = self.answers.errors_in_words();
        if !errors.is_empty() {
            words += &format!("; errors: {errors}");
        }
        words
    }
}
