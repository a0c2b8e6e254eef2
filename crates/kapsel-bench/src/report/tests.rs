//! A made-up report of two repetitions.

use super::*;
use crate::analysis::distribution::Distribution;
use crate::bare::measure::{Bare, BareRun};
use crate::load::outcome::Counts;
use crate::run::measured::{Durations, Second, Totals, Window};

/// The report.
pub(crate) fn report() -> Report {
    let machine = Machine {
        processor: "<Fast> & cheap".to_owned(),
        cores: 2,
        kernel: "6.1".to_owned(),
        memory_bytes: Some(1 << 30),
        data_folder: "/tmp".to_owned(),
        file_system: "ext4".to_owned(),
        device: "/dev/vda".to_owned(),
    };
    let mut report = Report::new("made-up", Workload::DEFAULT, machine, Some("abc123".to_owned()));
    let facts = Facts {
        kapsel_version: "0.1.0".to_owned(),
        engine: "embedded".to_owned(),
        server: None,
        settings: vec![("A".to_owned(), "b".to_owned())],
    };
    report.add(facts.clone(), measured(10_000));
    let mut second = measured(10_000);
    second.answers.statuses.insert(503, 3);
    second.answers.first_refusal = Some("HTTP/1.1 503 Service Unavailable\r\n\r\nbusy".to_owned());
    report.add(facts, second);
    report
}

fn measured(accepted: u64) -> Measured {
    let times = || Distribution::of((1..1_000).map(|time| time * 100));
    let bare_run = BareRun {
        per_second: 2_000.0,
        latency: times(),
        load_cpu_us_per_event: Some(5.0),
        destination_cpu_us_per_event: None,
        error_count: 0,
    };
    Measured {
        bare: Some(Bare { ingest: bare_run.clone(), ingest_at_rate: None, deliver: bare_run }),
        answers: Counts { statuses: [(200, accepted)].into(), ..Counts::default() },
        totals: Totals { issued: accepted, accepted, received: accepted, lost: Some(0), ..Totals::default() },
        window: Some(Window {
            seconds: 10.0,
            accepted,
            received: accepted,
            backlog_per_second: Some(0.0),
            backlog_max: Some(7.0),
        }),
        durations: Durations { answer: times(), sent_to_received: times(), ..Durations::default() },
        series: (0..12)
            .map(|second| Second {
                accepted: 1_000,
                received: 1_000,
                backlog: second,
                covered: 900,
                resident_bytes: Some(50 << 20),
                postgres_bytes: None,
            })
            .collect(),
        window_at_seconds: (1.0, 11.0),
        ..Measured::default()
    }
}

#[test]
fn what_was_lost_is_noticed() {
    let mut report = report();
    assert!(!report.has_lost());
    report.repetitions[1].totals.lost = Some(1);
    assert!(report.has_lost());
}
