//! What is done to Kapsel in a run.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::load::Pace;
use crate::load::schedule::Arrivals;

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// Nothing comes; memory at rest is looked at.
    Silent,
    /// Each connection sends its next request as soon as it has the answer.
    Closed,
    /// Requests start when they are intended to.
    Open {
        /// The mean rate.
        per_second: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

impl Source {
    /// The pace of a load, if there is one.
    pub(crate) fn pace(self) -> Option<Pace> {
        match self {
            Source::Silent => None,
            Source::Closed => Some(Pace::Closed),
            Source::Open { per_second, arrivals } => Some(Pace::Open { per_second, arrivals }),
        }
    }
}

/// The shape of a run. It is the same for each repetition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Workload {
    /// How requests come.
    pub(crate) source: Source,
    /// Connections of the source.
    pub(crate) connections: usize,
    /// How long it is measured.
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub(crate) window: Duration,
    /// How long the same load goes on before.
    #[serde(rename = "warm_up_seconds", serialize_with = "seconds")]
    pub(crate) warm_up: Duration,
    /// The size of each body.
    pub(crate) body_bytes: usize,
    /// How many endpoints take turns.
    pub(crate) endpoints: usize,
    /// Whether events are delivered, or stay queued.
    pub(crate) is_delivered: bool,
    /// Whether each request has an idempotency key.
    pub(crate) has_idempotency_keys: bool,
    /// So many events go through before.
    pub(crate) prefill: u64,
    /// How long the destination takes to answer.
    #[serde(rename = "destination_delay_seconds", serialize_with = "seconds")]
    pub(crate) destination_delay: Duration,
    /// How long the machine itself is measured, each time.
    #[serde(rename = "bare_seconds", serialize_with = "seconds")]
    pub(crate) bare: Duration,
}

impl Workload {
    /// What `kapsel-bench run` does when it is not told otherwise.
    pub(crate) const DEFAULT: Workload = Workload {
        source: Source::Closed,
        connections: 64,
        window: Duration::from_secs(10),
        warm_up: Duration::from_secs(3),
        body_bytes: 1_024,
        endpoints: 16,
        is_delivered: true,
        has_idempotency_keys: false,
        prefill: 0,
        destination_delay: Duration::ZERO,
        bare: Duration::from_secs(3),
    };

    /// In one line.
    pub(crate) fn words(&self) -> String {
        let source = match self.source {
            Source::Silent => "no load".to_owned(),
            Source::Closed => format!("closed loop, {} connections", self.connections),
            Source::Open { per_second, arrivals } => {
                let arrivals = if arrivals == Arrivals::Uniform { "" } else { ", at random" };
                format!("{per_second} events/s intended{arrivals}, {} connections", self.connections)
            }
        };
        let mut words = format!(
            "{source}, {} bytes each, {} endpoints, {}, {} s after {} s of warm-up",
            self.body_bytes,
            self.endpoints,
            if self.is_delivered { "delivered" } else { "not delivered" },
            self.window.as_secs_f64(),
            self.warm_up.as_secs_f64()
        );
        if self.has_idempotency_keys {
            words += ", with idempotency keys";
        }
        if self.prefill > 0 {
            words += &format!(", after {} events before", self.prefill);
        }
        if !self.destination_delay.is_zero() {
            words += &format!(", destination answers after {} ms", self.destination_delay.as_millis());
        }
        words
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_words_and_in_json() {
        let source = Source::Open { per_second: 50.0, arrivals: Arrivals::Poisson };
        let workload = Workload { source, prefill: 7, ..Workload::DEFAULT };
        let expected = "50 events/s intended, at random, 64 connections, 1024 bytes each, 16 endpoints, delivered, 10 s \
                        after 3 s of warm-up, after 7 events before";
        assert_eq!(workload.words(), expected);
        let json = serde_json::to_value(workload).unwrap();
        assert_eq!(json["window_seconds"], 10.0);
        assert_eq!(json["source"]["open"]["arrivals"], "poisson");
    }
}
