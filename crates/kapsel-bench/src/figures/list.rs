//! The workloads whose figures describe a Kapsel.

use std::time::Duration;

use crate::load::schedule::Arrivals;
use crate::workload::{Source, Workload};

/// How the requests of a named workload come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rate {
    /// None come.
    Silent,
    /// As fast as they are answered.
    Closed,
    /// So many in a second.
    PerSecond(f64),
    /// This share of `--end-to-end-rate`.
    OfEndToEnd(f64),
}

/// A workload with a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) name: &'static str,
    /// What its figures show.
    pub(super) what: &'static str,
    rate: Rate,
    connections: usize,
    seconds: u64,
    /// With `--quick`.
    quick_seconds: u64,
    endpoints: usize,
    is_delivered: bool,
    prefill: u64,
}

const CLOSED: Named = Named {
    name: "",
    what: "",
    rate: Rate::Closed,
    connections: 256,
    seconds: 10,
    quick_seconds: 5,
    endpoints: 16,
    is_delivered: true,
    prefill: 0,
};

/// A rate that every machine bears, so that costs for an event can be compared.
const STEADY: Named = Named { rate: Rate::PerSecond(3_000.0), ..CLOSED };

/// All of them.
pub(super) const LIST: &[Named] = &[
    Named { name: "ingest", what: "how much is accepted at most", is_delivered: false, ..CLOSED },
    Named { name: "ingest-delivered", what: "how much is accepted at most while it is delivered", ..CLOSED },
    Named {
        name: "open-10k",
        what: "how fast answers are at 10,000 events/s",
        rate: Rate::PerSecond(10_000.0),
        is_delivered: false,
        ..CLOSED
    },
    Named {
        name: "delivery-50",
        what: "how fast deliveries are when little happens",
        rate: Rate::PerSecond(50.0),
        seconds: 20,
        ..CLOSED
    },
    Named {
        name: "delivery-1k",
        what: "how fast deliveries are at 1,000 events/s",
        rate: Rate::PerSecond(1_000.0),
        seconds: 20,
        ..CLOSED
    },
    Named {
        name: "end-to-end",
        what: "whether a rate is sustained from source to destination",
        rate: Rate::OfEndToEnd(1.0),
        seconds: 300,
        quick_seconds: 20,
        ..CLOSED
    },
    Named { name: "idle-memory", what: "memory at rest", rate: Rate::Silent, ..CLOSED },
    Named {
        name: "soak",
        what: "whether memory stays flat at half of the sustained rate",
        rate: Rate::OfEndToEnd(0.5),
        seconds: 600,
        quick_seconds: 20,
        ..CLOSED
    },
    Named { name: "endpoints-1", what: "costs with one endpoint", endpoints: 1, ..STEADY },
    Named { name: "endpoints-100", what: "costs with 100 endpoints", endpoints: 100, ..STEADY },
    Named { name: "endpoints-10000", what: "costs with 10,000 endpoints", endpoints: 10_000, ..STEADY },
    Named { name: "rows-0", what: "costs with an empty store and log", ..STEADY },
    Named { name: "rows-1m", what: "costs after a million events and leaves", prefill: 1_000_000, ..STEADY },
    Named { name: "rows-5m", what: "costs after five million events and leaves", prefill: 5_000_000, ..STEADY },
];

/// With `--quick`, so much less is there before.
const QUICK_PREFILL_SHARE: u64 = 100;

impl Named {
    /// Its workload.
    pub(super) fn workload(&self, end_to_end_per_second: f64, is_quick: bool) -> Workload {
        let open = |per_second| Source::Open { per_second, arrivals: Arrivals::Uniform };
        Workload {
            source: match self.rate {
                Rate::Silent => Source::Silent,
                Rate::Closed => Source::Closed,
                Rate::PerSecond(per_second) => open(per_second),
                Rate::OfEndToEnd(share) => open(end_to_end_per_second * share),
            },
            connections: self.connections,
            window: Duration::from_secs(if is_quick { self.quick_seconds } else { self.seconds }),
            endpoints: self.endpoints,
            is_delivered: self.is_delivered,
            prefill: if is_quick { self.prefill / QUICK_PREFILL_SHARE } else { self.prefill },
            ..Workload::DEFAULT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_quick_is_quicker() {
        let names: std::collections::BTreeSet<_> = LIST.iter().map(|named| named.name).collect();
        assert_eq!(names.len(), LIST.len());
        assert!(LIST.iter().all(|named| named.quick_seconds <= named.seconds));
        assert!(LIST.iter().all(|named| !named.what.is_empty()));
    }

    #[test]
    fn shares_are_of_the_given_rate() {
        let soak = LIST.iter().find(|named| named.name == "soak").unwrap().workload(5_000.0, false);
        assert_eq!(soak.source, Source::Open { per_second: 2_500.0, arrivals: Arrivals::Uniform });
        assert_eq!(soak.window, Duration::from_secs(600));
    }
}
