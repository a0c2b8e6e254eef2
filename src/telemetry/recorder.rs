//! The recorder of metrics: what they are called, and the bounds of their histograms.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::commands::Failure;

/// From a commit on a fast disk to the longest time limit of an attempt.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// From a lone leaf to the largest batch.
const LEAVES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0];

/// Installs the recorder for the whole process, once; the handle renders what was recorded.
///
/// # Errors
/// Somebody else has installed one, which would be a defect.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let failed = |error: metrics_exporter_prometheus::BuildError| Failure::runtime("setting up metrics")(error.into());
    let mut builder = PrometheusBuilder::new().set_buckets(SECONDS).map_err(failed)?;
    builder = builder.set_buckets_for_metric(Matcher::Full("merkle_batch_size".to_owned()), LEAVES).map_err(failed)?;
    let handle = builder.install_recorder().map_err(failed)?;
    describe();
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

fn describe() {
    describe_counter!("webhook_ingestion_total", "Webhooks that came in, by tenant and by what became of them.");
    describe_counter!("delivery_attempts_total", "Attempts, by endpoint and by what came of them.");
    describe_histogram!("ingestion_duration_seconds", "From the head of a webhook to its answer.");
    describe_histogram!("delivery_duration_seconds", "How long attempts took.");
    describe_histogram!("merkle_batch_size", "Leaves that went into the log together.");
    describe_histogram!("store_operation_duration_seconds", "How long calls of the store took, by operation.");
    describe_counter!("store_operation_errors_total", "Calls that the store did not answer, by operation.");
    let gauges = [
        ("circuit_breaker_state", "State of circuits: 0 closed, 1 half-open, 2 open. Of the others, the worst."),
        ("kapsel_circuits_open", "Endpoints whose circuit is open."),
        ("kapsel_circuits_half_open", "Endpoints whose circuit is half-open."),
        ("pending_events_total", "Deliveries that are queued, counted up to a bound; of all instances together."),
        ("kapsel_pending_events_capped", "Whether there are more than were counted."),
        ("oldest_pending_event_age_seconds", "Age of the oldest event that is queued; 0 if none is."),
        ("worker_pool_size", "Deliveries that can be under way at once."),
        ("worker_pool_busy", "Deliveries that are under way."),
        ("store_pool_size", "Connections to the store, by purpose."),
        ("store_pool_busy", "Connections to the store that are in use, by purpose."),
        ("kapsel_log_tree_size", "Leaves in the log of attempts."),
        ("kapsel_log_published_size", "Leaves that the last signed head covers."),
        ("kapsel_log_waiting_leaves", "Leaves that wait to go into the log, counted up to a batch."),
        ("kapsel_log_head_age_seconds", "Time since the last signed head."),
        ("kapsel_build_info", "1, with the version of the program as a label."),
        ("process_uptime_seconds", "Time since the start."),
        ("process_start_time_seconds", "When the program was started, in Unix seconds."),
        ("process_resident_memory_bytes", "Memory in use."),
        ("process_open_fds", "File descriptors in use."),
    ];
    for (name, help) in gauges {
        describe_gauge!(name, help);
    }
}
