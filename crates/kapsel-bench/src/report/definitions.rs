//! Every figure that is shown: its name, its unit, how it is taken, and from what. Tables, pages, JSON and `--help` are
//! all made from this one list.

use crate::analysis::distribution::Distribution;
use crate::bare::measure::BareRun;
use crate::rounding::per;
use crate::run::measured::{CpuSeconds, Measured, Window};

/// A figure.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its name in JSON.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) label: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// How it is taken, in a sentence or two.
    pub(crate) how: &'static str,
    /// Its value in one repetition; nothing where it does not exist.
    pub(crate) value: fn(&Measured) -> Option<f64>,
    /// The same of the bare machine, if there is such a thing.
    pub(crate) bare: Option<fn(&Measured) -> Option<f64>>,
}

const MIB: f64 = 1_048_576.0;

/// All of them, in the order in which they are shown.
pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition {
        key: "accepted_per_second",
        label: "accepted",
        unit: "events/s",
        digits: 0,
        how: "Events answered with 200 in the window, divided by its length. The bare figure is the rate of a server that \
              reads the body, checks the signature and stores nothing, under a closed loop of as many connections.",
        value: |measured| window(measured).map(|window| window.accepted as f64 / window.seconds),
        bare: Some(|measured| Some(measured.bare.as_ref()?.ingest.per_second)),
    },
    Definition {
        key: "answer_p50_ms",
        label: "answer, p50",
        unit: "ms",
        digits: 2,
        how: "From the intended start of a request to the end of its answer, of accepted events that were to start in the \
              window. In an open loop the intended start is that of the schedule, whether a connection was free or not. The \
              bare figure is that of the server that stores nothing, under the same load.",
        value: |measured| at(measured.durations.answer.as_ref(), 50.0),
        bare: Some(|measured| at(bare_answer(measured)?.latency.as_ref(), 50.0)),
    },
    Definition {
        key: "answer_p95_ms",
        label: "answer, p95",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.answer.as_ref(), 95.0),
        bare: Some(|measured| at(bare_answer(measured)?.latency.as_ref(), 95.0)),
    },
    Definition {
        key: "answer_p99_ms",
        label: "answer, p99",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.answer.as_ref(), 99.0),
        bare: Some(|measured| at(bare_answer(measured)?.latency.as_ref(), 99.0)),
    },
    Definition {
        key: "answer_p999_ms",
        label: "answer, p99.9",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.answer.as_ref(), 99.9),
        bare: Some(|measured| at(bare_answer(measured)?.latency.as_ref(), 99.9)),
    },
    Definition {
        key: "answer_max_ms",
        label: "answer, longest",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| Some(measured.durations.answer.as_ref()?.milliseconds_max()),
        bare: Some(|measured| Some(bare_answer(measured)?.latency.as_ref()?.milliseconds_max())),
    },
    Definition {
        key: "received_per_second",
        label: "received at the destination",
        unit: "events/s",
        digits: 0,
        how: "Different events whose last byte came to the destination in the window, divided by its length. The bare figure \
              is the rate of the load generator straight to the destination, closed loop, as many connections.",
        value: |measured| delivered_window(measured).map(|window| window.received as f64 / window.seconds),
        bare: Some(|measured| Some(measured.bare.as_ref()?.deliver.per_second)),
    },
    Definition {
        key: "sent_to_received_p50_ms",
        label: "sent to received, p50",
        unit: "ms",
        digits: 2,
        how: "From the intended start of the request to Kapsel until the destination has the last byte of Kapsel's request, \
              of accepted events that were to start in the window.",
        value: |measured| at(measured.durations.sent_to_received.as_ref(), 50.0),
        bare: None,
    },
    Definition {
        key: "sent_to_received_p95_ms",
        label: "sent to received, p95",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.sent_to_received.as_ref(), 95.0),
        bare: None,
    },
    Definition {
        key: "sent_to_received_p99_ms",
        label: "sent to received, p99",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.sent_to_received.as_ref(), 99.0),
        bare: None,
    },
    Definition {
        key: "sent_to_received_p999_ms",
        label: "sent to received, p99.9",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.sent_to_received.as_ref(), 99.9),
        bare: None,
    },
    Definition {
        key: "accepted_to_received_p50_ms",
        label: "accepted to received, p50",
        unit: "ms",
        digits: 2,
        how: "From the end of the answer 200 until the destination has the last byte. Where the event arrived before its \
              answer did, this counts as 0.",
        value: |measured| at(measured.durations.accepted_to_received.as_ref(), 50.0),
        bare: None,
    },
    Definition {
        key: "accepted_to_received_p99_ms",
        label: "accepted to received, p99",
        unit: "ms",
        digits: 2,
        how: "As above.",
        value: |measured| at(measured.durations.accepted_to_received.as_ref(), 99.0),
        bare: None,
    },
    Definition {
        key: "received_to_covered_p50_ms",
        label: "received to covered, p50",
        unit: "ms",
        digits: 0,
        how: "From the last byte at the destination to a published head of the log that covers the attempt. The head is asked \
              for every 10 ms, and ranks are matched: the n-th arrival is covered when a head was first seen with n leaves \
              more than at the start. An upper bound of the time from the settling of the attempt, which comes after the \
              arrival. Of arrivals in the window.",
        value: |measured| at(measured.durations.received_to_covered.as_ref(), 50.0),
        bare: None,
    },
    Definition {
        key: "received_to_covered_p99_ms",
        label: "received to covered, p99",
        unit: "ms",
        digits: 0,
        how: "As above.",
        value: |measured| at(measured.durations.received_to_covered.as_ref(), 99.0),
        bare: None,
    },
    Definition {
        key: "received_to_covered_max_ms",
        label: "received to covered, longest",
        unit: "ms",
        digits: 0,
        how: "As above.",
        value: |measured| Some(measured.durations.received_to_covered.as_ref()?.milliseconds_max()),
        bare: None,
    },
    Definition {
        key: "backlog_per_second",
        label: "growth of the backlog",
        unit: "events/s",
        digits: 1,
        how: "The slope of the straight line through the backlog (accepted and not received, ten times a second) over the \
              window. Around 0, deliveries keep up.",
        value: |measured| delivered_window(measured)?.backlog_per_second,
        bare: None,
    },
    Definition {
        key: "backlog_max",
        label: "largest backlog",
        unit: "events",
        digits: 0,
        how: "The most events that were accepted and not received, seen ten times a second in the window.",
        value: |measured| delivered_window(measured)?.backlog_max,
        bare: None,
    },
    Definition {
        key: "drain_seconds",
        label: "drain",
        unit: "s",
        digits: 2,
        how: "From the last answer until everything that was accepted had arrived.",
        value: |measured| measured.phases.drain,
        bare: None,
    },
    Definition {
        key: "errors",
        label: "errors",
        unit: "requests",
        digits: 0,
        how: "Requests of the load, warm-up included, that were not answered with 200: refusals such as 429 and 503, ended \
              connections, answers that did not come in time. None is repeated.",
        value: |measured| window(measured).map(|_| measured.answers.error_count() as f64),
        bare: None,
    },
    Definition {
        key: "unsent",
        label: "not sent",
        unit: "requests",
        digits: 0,
        how: "Requests of an open loop for which no connection was free until a second after the window: the load was more \
              than what is measured can take, and latencies lack these.",
        value: |measured| window(measured).map(|_| measured.answers.unsent as f64),
        bare: None,
    },
    Definition {
        key: "lost",
        label: "lost",
        unit: "events",
        digits: 0,
        how: "Events that were answered with 200 and had not come to the destination when the drain was over, of all events \
              of the repetition. Anything but 0 makes the exit code 1.",
        value: |measured| measured.totals.lost.map(|lost| lost as f64),
        bare: None,
    },
    Definition {
        key: "duplicates",
        label: "duplicates",
        unit: "requests",
        digits: 0,
        how: "Requests to the destination with an event that it had already.",
        value: |measured| window(measured).map(|_| measured.totals.duplicates as f64),
        bare: None,
    },
    Definition {
        key: "kapsel_cores",
        label: "processors used by Kapsel",
        unit: "cores",
        digits: 2,
        how: "Processor time of Kapsel's process in the window (/proc/PID/stat), divided by its length.",
        value: |measured| per(measured.cpu_in_window.kapsel?, window(measured)?.seconds),
        bare: None,
    },
    Definition {
        key: "kapsel_cpu_us_per_event",
        label: "CPU of Kapsel, to the end",
        unit: "µs/event",
        digits: 1,
        how: "Processor time of Kapsel from the beginning of the load, warm-up included, until everything had arrived and was \
              covered, divided by the events accepted in that time. So all work for an event is in it, however late.",
        value: |measured| cpu_to_the_end(measured, |cpu| cpu.kapsel),
        bare: None,
    },
    Definition {
        key: "kapsel_cpu_us_per_event_in_window",
        label: "CPU of Kapsel, window",
        unit: "µs/event",
        digits: 1,
        how: "Processor time of Kapsel in the window, divided by the events accepted in it. Where deliveries do not keep up, \
              part of the work comes later and is missing here.",
        value: |measured| cpu_in_window(measured, |cpu| cpu.kapsel),
        bare: None,
    },
    Definition {
        key: "postgres_cpu_us_per_event",
        label: "CPU of PostgreSQL, to the end",
        unit: "µs/event",
        digits: 1,
        how: "The same of all processes of the PostgreSQL server, if it is on this machine: of all its databases, those that \
              ended included.",
        value: |measured| cpu_to_the_end(measured, |cpu| cpu.postgres),
        bare: None,
    },
    Definition {
        key: "load_cpu_us_per_event",
        label: "CPU of the load generator",
        unit: "µs/event",
        digits: 1,
        how: "Processor time of the thread that sends, in the window, for an event accepted in it. It is taken away from what \
              is measured where both share processors. The bare figure is that against the bare server.",
        value: |measured| cpu_in_window(measured, |cpu| Some(cpu.load)),
        bare: Some(|measured| measured.bare.as_ref()?.ingest.load_cpu_us_per_event),
    },
    Definition {
        key: "destination_cpu_us_per_event",
        label: "CPU of the destination",
        unit: "µs/event",
        digits: 1,
        how: "Processor time of the thread that receives, in the window, for an event received in it.",
        value: |measured| per(measured.cpu_in_window.destination * 1e6, delivered_window(measured)?.received as f64),
        bare: Some(|measured| measured.bare.as_ref()?.deliver.destination_cpu_us_per_event),
    },
    Definition {
        key: "memory_idle_mib",
        label: "memory of Kapsel, at rest",
        unit: "MiB",
        digits: 1,
        how: "Resident memory of Kapsel (VmRSS) before the load, with its endpoints made; without a load, at the end of the \
              window.",
        value: |measured| Some(measured.memory.idle_bytes? as f64 / MIB),
        bare: None,
    },
    Definition {
        key: "memory_peak_mib",
        label: "memory of Kapsel, most",
        unit: "MiB",
        digits: 1,
        how: "The most that it had from the beginning of the load on (VmHWM, begun anew at that moment where that is allowed, \
              otherwise since its start).",
        value: |measured| Some(measured.memory.peak_bytes? as f64 / MIB),
        bare: None,
    },
    Definition {
        key: "memory_end_mib",
        label: "memory of Kapsel, at the end",
        unit: "MiB",
        digits: 1,
        how: "Resident memory when everything was delivered and covered.",
        value: |measured| Some(measured.memory.end_bytes? as f64 / MIB),
        bare: None,
    },
    Definition {
        key: "memory_growth_mib_per_minute",
        label: "growth of memory",
        unit: "MiB/min",
        digits: 2,
        how: "The slope of the straight line through the resident memory, once a second, over the second half of the window, \
              if that has 10 s or more.",
        value: |measured| Some(measured.memory.slope_bytes_per_second? * 60.0 / MIB),
        bare: None,
    },
    Definition {
        key: "postgres_memory_peak_mib",
        label: "memory of PostgreSQL, most",
        unit: "MiB",
        digits: 1,
        how: "The sum of the proportional memory of all processes of the server (Pss of smaps_rollup: shared pages count \
              once), looked at every 2 s.",
        value: |measured| Some(measured.memory.postgres_peak_bytes? as f64 / MIB),
        bare: None,
    },
    Definition {
        key: "kapsel_written_bytes_per_event",
        label: "written by Kapsel",
        unit: "bytes/event",
        digits: 0,
        how: "Bytes that Kapsel caused to be written to storage (write_bytes of /proc/PID/io, whole pages) from the beginning \
              of the load to the very end, divided by the events accepted in that time.",
        value: |measured| written(measured, measured.written.kapsel_bytes),
        bare: None,
    },
    Definition {
        key: "postgres_wal_bytes_per_event",
        label: "write-ahead log of PostgreSQL",
        unit: "bytes/event",
        digits: 0,
        how: "How far the server's write-ahead log moved on in the same time (pg_current_wal_lsn, all databases).",
        value: |measured| written(measured, measured.written.wal_bytes),
        bare: None,
    },
    Definition {
        key: "postgres_written_bytes_per_event",
        label: "written by PostgreSQL",
        unit: "bytes/event",
        digits: 0,
        how: "Bytes that all its processes handed to the file system in the same time, the log included.",
        value: |measured| written(measured, measured.written.postgres_bytes),
        bare: None,
    },
];

fn window(measured: &Measured) -> Option<&Window> {
    measured.window.as_ref()
}

/// The window of a run whose events are delivered.
fn delivered_window(measured: &Measured) -> Option<&Window> {
    measured.totals.lost.and(measured.window.as_ref())
}

fn at(distribution: Option<&Distribution>, percentile: f64) -> Option<f64> {
    distribution?.milliseconds_at(percentile)
}

fn bare_answer(measured: &Measured) -> Option<&BareRun> {
    Some(measured.bare.as_ref()?.ingest_alike())
}

fn cpu_in_window(measured: &Measured, of: fn(&CpuSeconds) -> Option<f64>) -> Option<f64> {
    per(of(&measured.cpu_in_window)? * 1e6, window(measured)?.accepted as f64)
}

fn cpu_to_the_end(measured: &Measured, of: fn(&CpuSeconds) -> Option<f64>) -> Option<f64> {
    per(of(&measured.cpu_to_the_end)? * 1e6, measured.totals.accepted_by_load() as f64)
}

fn written(measured: &Measured, bytes: Option<u64>) -> Option<f64> {
    per(bytes? as f64, measured.totals.accepted_by_load() as f64)
}

/// The list as a text for `--help`.
pub(crate) fn explanation() -> String {
    let mut text = String::from("The figures and how each is taken:\n");
    for definition in DEFINITIONS {
        text += &format!("\n  {} ({})\n      {}\n", definition.label, definition.unit, definition.how);
    }
    text + "\nDelivered figures are left out with --deliver false; of Kapsel's process and of PostgreSQL, those that cannot \
            be seen from here.\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_unique_and_everything_is_explained() {
        let keys: BTreeSet<_> = DEFINITIONS.iter().map(|definition| definition.key).collect();
        assert_eq!(keys.len(), DEFINITIONS.len());
        assert!(DEFINITIONS.iter().all(|definition| definition.how.ends_with('.') && !definition.unit.is_empty()));
        assert!(explanation().contains("Events answered with 200"));
    }

    #[test]
    fn without_a_load_nothing_is_divided() {
        let nothing = Measured::default();
        for definition in DEFINITIONS {
            assert_eq!((definition.value)(&nothing), None, "{}", definition.key);
        }
    }

    #[test]
    fn events_divide_what_was_used_for_them() {
        let mut measured = Measured::default();
        measured.totals.accepted = 3_000;
        measured.totals.accepted_before = 1_000;
        measured.cpu_to_the_end.kapsel = Some(0.1);
        measured.written.kapsel_bytes = Some(4_000_000);
        let value = |key: &str| {
            DEFINITIONS
                .iter()
                .find(|definition| definition.key == key)
                .and_then(|definition| (definition.value)(&measured))
        };
        assert_eq!(value("kapsel_cpu_us_per_event"), Some(50.0));
        assert_eq!(value("kapsel_written_bytes_per_event"), Some(2_000.0));
    }
}
