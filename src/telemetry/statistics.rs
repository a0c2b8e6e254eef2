//! Adds what was counted to the figures in the store, now and then: a webhook or an attempt costs no write for being
//! counted. What was counted since the last time is lost when the program is killed; no event ever is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, EndpointId};
use kapsel_store::error::with_sources;
use kapsel_store::{Hour, StatisticsChange, StatisticsStore};
use tokio::sync::Mutex;

use super::collect::Collector;

/// How often figures are added. They lag behind by as much.
const PERIOD: Duration = Duration::from_secs(10);
/// How many endpoints go in one step.
const STEP_ENDPOINTS: usize = 1_000;

/// Takes figures from the collector to the store.
pub(crate) struct StatisticsSaver {
    collector: Arc<Collector>,
    store: Arc<dyn StatisticsStore>,
    clock: Arc<dyn Clock>,
    /// What could not be added yet.
    unsaved: Mutex<HashMap<EndpointId, StatisticsChange>>,
}

impl StatisticsSaver {
    pub(crate) fn new(collector: Arc<Collector>, store: Arc<dyn StatisticsStore>, clock: Arc<dyn Clock>) -> Self {
        StatisticsSaver { collector, store, clock, unsaved: Mutex::default() }
    }

    /// Adds everything that was counted so far.
    pub(crate) async fn run_once(&self) {
        let mut unsaved = self.unsaved.lock().await;
        for change in self.collector.take_statistics() {
            let waiting = unsaved.entry(change.endpoint_id);
            waiting.and_modify(|waiting| waiting.added += change.added).or_insert(change);
        }
        let hour = Hour::of(self.clock.now());
        while !unsaved.is_empty() {
            let step: Vec<StatisticsChange> = unsaved.values().take(STEP_ENDPOINTS).copied().collect();
            if let Err(error) = self.store.statistics_add(hour, step.clone()).await {
                // Tried again with the next ones. That the store is away is told by others.
                tracing::debug!(error = with_sources(&error), "figures of endpoints are added later");
                return;
            }
            for change in step {
                unsaved.remove(&change.endpoint_id);
            }
        }
    }

    /// Does so again and again, for ever.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.run_once().await;
        }
    }
}
