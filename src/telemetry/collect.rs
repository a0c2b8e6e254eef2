//! The page of metrics: what was recorded as it happened, and what is collected when somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kapsel_attestation::Sequencer;
use kapsel_core::{CircuitState, Clock, EndpointId, OutcomeClass, TenantId, Timestamp};
use kapsel_delivery::Dispatcher;
use kapsel_store::traffic::{INGEST_RESULTS, OUTCOME_CLASSES};
use kapsel_store::{EndpointDirectory, IngestResult, PoolUse, Statistics, StatisticsChange, TrafficCount};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;

use super::labels::LabelledCounts;
use super::process;
use super::queue_watch::{QueueWatch, ROWS_MAX};

/// The label of all that have no series of their own.
const OTHER: &str = "other";
/// The tenant of what came in for no known endpoint.
const NONE: &str = "none";

/// Where figures come from.
pub(crate) struct Origins {
    pub(crate) directory: Arc<EndpointDirectory>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) pools: Box<dyn Fn() -> Vec<PoolUse> + Send + Sync>,
    pub(crate) queue: Arc<QueueWatch>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Makes the page.
pub(crate) struct Collector {
    origins: Origins,
    recorded: PrometheusHandle,
    started_at: Timestamp,
    totals: Mutex<Totals>,
}

/// What was counted up to the last page.
struct Totals {
    last: HashMap<EndpointId, TrafficCount>,
    ingested: LabelledCounts<TenantId, INGEST_RESULTS>,
    attempted: LabelledCounts<EndpointId, OUTCOME_CLASSES>,
    /// What came to the figures of each endpoint since somebody took them.
    statistics: HashMap<EndpointId, StatisticsChange>,
}

impl Collector {
    /// With at most `labels_max` endpoints, and as many tenants, under their own names.
    pub(crate) fn new(origins: Origins, recorded: PrometheusHandle, labels_max: usize) -> Self {
        let totals = Totals {
            last: HashMap::new(),
            ingested: LabelledCounts::new(labels_max),
            attempted: LabelledCounts::new(labels_max),
            statistics: HashMap::new(),
        };
        let started_at = origins.clock.now();
        Collector { origins, recorded, started_at, totals: Mutex::new(totals) }
    }

    /// The page, in the text format of Prometheus.
    pub(crate) fn page(&self) -> String {
        // Held until the page is made: of two pages, none shows less than the one before.
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(self.origins.directory.traffic().read());
        totals.show(&self.origins.directory.traffic().unassigned());
        let now = self.origins.clock.now();
        self.circuits(&totals);
        self.queue(now);
        self.log(now);
        self.pools();
        self.process(now);
        self.recorded.render()
    }

    /// What came to the figures of each endpoint since the last call. The collector alone reads the counters: those of an
    /// endpoint that is gone show once.
    pub(crate) fn take_statistics(&self) -> Vec<StatisticsChange> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(self.origins.directory.traffic().read());
        std::mem::take(&mut totals.statistics).into_values().collect()
    }

    /// Empties the buffers in which histograms keep what they recorded, whether or not somebody asks for pages.
    pub(crate) fn tidy(&self) {
        self.recorded.run_upkeep();
    }

    fn circuits(&self, totals: &Totals) {
        let states: HashMap<EndpointId, CircuitState> =
            self.origins.dispatcher.circuits_not_closed().into_iter().collect();
        for endpoint_id in totals.attempted.own().keys() {
            let state = states.get(endpoint_id).copied().unwrap_or_default();
            gauge!("circuit_breaker_state", "endpoint" => endpoint_id.to_string()).set(level(state));
        }
        let others = states.iter().filter(|(endpoint_id, _)| !totals.attempted.has_own(endpoint_id));
        let worst = others.map(|(_, state)| level(*state)).fold(0.0, f64::max);
        gauge!("circuit_breaker_state", "endpoint" => OTHER).set(worst);
        for (name, wanted) in
            [("kapsel_circuits_open", CircuitState::Open), ("kapsel_circuits_half_open", CircuitState::HalfOpen)]
        {
            gauge!(name).set(float(states.values().filter(|state| **state == wanted).count()));
        }
    }

    fn queue(&self, now: Timestamp) {
        let Some(look) = self.origins.queue.last() else { return };
        gauge!("pending_events_total").set(float(look.queued));
        gauge!("kapsel_pending_events_capped").set(f64::from(u8::from(look.queued >= ROWS_MAX)));
        // Told by the present and not by the moment of the look: while the store is away, events grow older all the same.
        let age = look.oldest.map_or(0.0, |oldest| now.saturating_since(oldest.made_at()).as_secs_f64());
        gauge!("oldest_pending_event_age_seconds").set(age);
    }

    fn log(&self, now: Timestamp) {
        let figures = self.origins.sequencer.figures();
        gauge!("kapsel_log_tree_size").set(large(figures.tree_size));
        gauge!("kapsel_log_published_size").set(large(figures.published_size));
        gauge!("kapsel_log_waiting_leaves").set(float(figures.waiting));
        if let Some(signed_at) = figures.head_signed_at {
            gauge!("kapsel_log_head_age_seconds").set(now.saturating_since(signed_at).as_secs_f64());
        }
    }

    fn pools(&self) {
        let workers = self.origins.dispatcher.workers();
        gauge!("worker_pool_size").set(float(workers.size));
        gauge!("worker_pool_busy").set(float(workers.busy));
        for PoolUse { name, size, busy } in (self.origins.pools)() {
            gauge!("store_pool_size", "pool" => name).set(float(size));
            gauge!("store_pool_busy", "pool" => name).set(float(busy));
        }
    }

    fn process(&self, now: Timestamp) {
        gauge!("kapsel_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("process_uptime_seconds").set(now.saturating_since(self.started_at).as_secs_f64());
        let since_epoch = self.started_at.saturating_since(Timestamp::EPOCH);
        gauge!("process_start_time_seconds").set(since_epoch.as_secs_f64());
        let figures = process::read();
        if let Some(bytes) = figures.resident_bytes {
            gauge!("process_resident_memory_bytes").set(large(bytes));
        }
        if let Some(files) = figures.open_files {
            gauge!("process_open_fds").set(float(files));
        }
    }
}

impl Totals {
    /// Takes in what the counters of the endpoints say now.
    fn add(&mut self, counts: Vec<TrafficCount>) {
        let (mut ingested, mut attempted) = (Vec::new(), Vec::new());
        for count in &counts {
            let former = self.last.get(&count.endpoint_id);
            let since = |present: u64, former: Option<u64>| present.saturating_sub(former.unwrap_or(0));
            let new_ingested: [u64; INGEST_RESULTS] =
                std::array::from_fn(|at| since(count.ingested[at], former.map(|former| former.ingested[at])));
            let new_attempted: [u64; OUTCOME_CLASSES] =
                std::array::from_fn(|at| since(count.attempted[at], former.map(|former| former.attempted[at])));
            let added = statistics(&new_ingested, &new_attempted);
            if added != Statistics::default() {
                let TrafficCount { tenant_id, endpoint_id, .. } = *count;
                let unsaved = StatisticsChange { tenant_id, endpoint_id, added: Statistics::default() };
                self.statistics.entry(endpoint_id).or_insert(unsaved).added += added;
            }
            ingested.push((count.tenant_id, new_ingested));
            attempted.push((count.endpoint_id, new_attempted));
        }
        self.ingested.add(&ingested);
        self.attempted.add(&attempted);
        // Those that are gone are not in it any more.
        self.last = counts.into_iter().map(|count| (count.endpoint_id, count)).collect();
        let last = &self.last;
        self.attempted.retain_waiting(|endpoint_id| last.contains_key(endpoint_id));
        let tenants: HashSet<TenantId> = last.values().map(|count| count.tenant_id).collect();
        self.ingested.retain_waiting(|tenant_id| tenants.contains(tenant_id));
    }

    fn show(&self, unassigned: &[u64; INGEST_RESULTS]) {
        let named = self.ingested.own().iter().map(|(tenant_id, counts)| (tenant_id.to_string(), counts));
        let shared = [(OTHER.to_owned(), self.ingested.other()), (NONE.to_owned(), unassigned)];
        for (tenant, counts) in named.chain(shared) {
            for (result, count) in IngestResult::ALL.iter().zip(counts).filter(|(_, count)| **count > 0) {
                let labels = [("tenant", tenant.clone()), ("status", result.as_str().to_owned())];
                counter!("webhook_ingestion_total", &labels).absolute(*count);
            }
        }
        let named = self.attempted.own().iter().map(|(endpoint_id, counts)| (endpoint_id.to_string(), counts));
        for (endpoint, counts) in named.chain([(OTHER.to_owned(), self.attempted.other())]) {
            for (class, count) in OutcomeClass::ALL.iter().zip(counts).filter(|(_, count)| **count > 0) {
                let labels = [("endpoint", endpoint.clone()), ("result", class.as_str().to_owned())];
                counter!("delivery_attempts_total", &labels).absolute(*count);
            }
        }
    }
}

/// Counts as the figures of an endpoint.
fn statistics(ingested: &[u64; INGEST_RESULTS], attempted: &[u64; OUTCOME_CLASSES]) -> Statistics {
    let mut figures = Statistics::default();
    for (result, count) in IngestResult::ALL.iter().zip(ingested) {
        match result {
            IngestResult::Accepted | IngestResult::Spooled => figures.accepted += count,
            IngestResult::Duplicate => figures.duplicates += count,
            _ => figures.refused += count,
        }
    }
    for (class, count) in OutcomeClass::ALL.iter().zip(attempted) {
        match class {
            OutcomeClass::Delivered => figures.delivered += count,
            _ => figures.failed += count,
        }
    }
    figures
}

/// The state of a circuit as a number, the worst being the largest.
fn level(state: CircuitState) -> f64 {
    match state {
        CircuitState::Closed => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open => 2.0,
    }
}

fn float(count: usize) -> f64 {
    large(u64::try_from(count).unwrap_or(u64::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float, which is exact up to nine quadrillion")]
fn large(count: u64) -> f64 {
    count as f64
}
