//! The shape of one workload, on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::SubjectArguments;
use super::duration::duration;
use crate::load::bodies::BODY_BYTES_MIN;
use crate::load::schedule::Arrivals;
use crate::rounding::index;
use crate::workload::{Source, Workload};

/// One workload.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Events in a second, started on schedule whatever becomes of those before (open loop). Above 2,000, starts are on a
    /// grid of half a millisecond, several at once, since being woken costs processor time. Without a rate, each
    /// connection sends its next as soon as it has the answer (closed loop)
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// How the starts of --rate are spread
    #[arg(long, value_enum, default_value_t = Arrivals::Uniform, requires = "rate")]
    arrivals: Arrivals,
    /// Connections of the source
    #[arg(long, value_name = "N", default_value_t = Workload::DEFAULT.connections, value_parser = positive)]
    connections: usize,
    /// The window in which it is measured
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The same load before it
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    warm_up: Duration,
    /// The size of each body: JSON that looks random, 64 different ones in turn
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(BODY_BYTES_MIN..=10_485_760))]
    body_bytes: u64,
    /// Endpoints, which take turns. Each checks an HMAC-SHA256 signature
    #[arg(long, value_name = "N", default_value_t = Workload::DEFAULT.endpoints, value_parser = positive)]
    endpoints: usize,
    /// Whether events are delivered. With false they stay queued: endpoints are made with the lowest rate of deliveries
    /// that there is (0.0001 in a second), so each delivers its first event and no other
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    deliver: bool,
    /// Gives each request an Idempotency-Key of its own
    #[arg(long)]
    idempotency_keys: bool,
    /// So many events are accepted, delivered and covered before the warm-up
    #[arg(long, value_name = "N", default_value_t = 0)]
    prefill: u64,
    /// How long the destination takes to answer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    destination_delay_ms: u64,
    /// How long each of the measurements of the bare machine takes; 0 leaves them out
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = duration)]
    bare_seconds: Duration,
    /// How often everything is done, each time on a fresh Kapsel and a fresh look at the bare machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) repeat: usize,
    /// Writes everything into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes a page with the table and plots into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) subject: SubjectArguments,
}

impl RunArguments {
    /// The workload.
    pub(crate) fn workload(&self) -> Workload {
        let open = |per_second| Source::Open { per_second, arrivals: self.arrivals };
        Workload {
            source: self.rate.map_or(Source::Closed, open),
            connections: self.connections,
            window: self.duration,
            warm_up: self.warm_up,
            body_bytes: index(self.body_bytes),
            endpoints: self.endpoints,
            is_delivered: self.deliver,
            has_idempotency_keys: self.idempotency_keys,
            prefill: self.prefill,
            destination_delay: Duration::from_millis(self.destination_delay_ms),
            bare: self.bare_seconds,
        }
    }
}

/// A rate that can be kept.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.replace(['_', ','], "").parse().map_err(|_| "a rate is a number".to_owned())?;
    if (0.01..=1e6).contains(&rate) { Ok(rate) } else { Err("a rate is between 0.01 and 1,000,000".to_owned()) }
}

/// At least one.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number of at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!((rate("10_000"), rate("0.5")), (Ok(10_000.0), Ok(0.5)));
        assert!(rate("0").is_err() && rate("nan").is_err() && rate("-1").is_err());
        assert_eq!(positive("3"), Ok(3));
        assert!(positive("0").is_err());
    }
}
