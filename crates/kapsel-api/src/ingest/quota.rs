//! How much of a tenant may be queued.
//!
//! Nobody counts the queue for a webhook. For each tenant that has a limit there is an estimate that is never too low as far
//! as this instance knows: what a look at the queue found, and what was taken in here since. Only when the estimate reaches
//! the limit, or has become old, is the queue looked at again, by one request at a time and no further than the limit. What
//! other instances take in shows at the next look.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kapsel_core::{TenantId, TenantLimits};
use kapsel_store::error::with_sources;
use kapsel_store::{AdminStore, QueueUsage};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old an estimate may become.
const ESTIMATE_KEPT: Duration = Duration::from_secs(60);
/// How long a look that found the limit reached is believed. Then somebody may have made room.
const REFUSAL_KEPT: Duration = Duration::from_secs(1);
/// At most this share of the time is spent on looking.
const SHARE: u32 = 50;

/// What is queued of the tenants that have a limit.
pub(crate) struct Quotas {
    store: Arc<dyn AdminStore>,
    tenants: RwLock<HashMap<TenantId, Arc<Mutex<Estimate>>>>,
}

/// What a tenant has queued, as far as is known here.
#[derive(Debug, Default)]
struct Estimate {
    usage: QueueUsage,
    looked_at: Option<Instant>,
    /// How long the last look took.
    look_time: Duration,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// So many events may be queued.
    Events(u64),
    /// So many bytes may be.
    Bytes(u64),
}

impl Quotas {
    pub(crate) fn new(store: Arc<dyn AdminStore>) -> Self {
        Quotas { store, tenants: RwLock::default() }
    }

    /// Whether one more event of `bytes` may be queued. If so, it counts as queued from now on.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) async fn take(&self, tenant_id: TenantId, limits: &TenantLimits, bytes: u64) -> Result<(), Reached> {
        if limits.queued_events_max.is_none() && limits.queued_bytes_max.is_none() {
            return Ok(());
        }
        let estimate = self.estimate(tenant_id);
        let mut estimate = estimate.lock().await;
        if estimate.is_old() || (refusal(&estimate.usage, limits, bytes).is_some() && estimate.may_look_again()) {
            self.look(tenant_id, limits, &mut estimate).await;
        }
        match refusal(&estimate.usage, limits, bytes) {
            Some(reached) => Err(reached),
            None => {
                estimate.usage.deliveries += 1;
                estimate.usage.bytes += bytes;
                Ok(())
            }
        }
    }

    async fn look(&self, tenant_id: TenantId, limits: &TenantLimits, estimate: &mut Estimate) {
        let began = Instant::now();
        // One more than the limit says that it is reached; how far beyond does not matter.
        let rows_max = limits.queued_events_max.map_or(i64::MAX.unsigned_abs(), |max| max.saturating_add(1));
        match self.store.queue_usage(tenant_id, rows_max).await {
            Ok(usage) => estimate.usage = usage,
            // A limit is no reason to refuse what could be taken in; a store that is away will say so itself.
            Err(error) => {
                tracing::warn!(%tenant_id, error = with_sources(&error), "cannot look how much a tenant has queued");
                estimate.usage = QueueUsage::default();
            }
        }
        estimate.looked_at = Some(Instant::now());
        estimate.look_time = began.elapsed();
    }

    fn estimate(&self, tenant_id: TenantId) -> Arc<Mutex<Estimate>> {
        // Nothing panics while it holds the lock.
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(&tenant_id).cloned();
        known.unwrap_or_else(|| {
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tenants.entry(tenant_id).or_default())
        })
    }
}

impl Estimate {
    fn is_old(&self) -> bool {
        self.age().is_none_or(|age| age >= ESTIMATE_KEPT.max(self.look_time * SHARE))
    }

    fn may_look_again(&self) -> bool {
        self.age().is_none_or(|age| age >= REFUSAL_KEPT.max(self.look_time * SHARE))
    }

    fn age(&self) -> Option<Duration> {
        self.looked_at.map(|at| at.elapsed())
    }
}

/// Why one more event of `bytes` is not to be queued beside `usage`.
fn refusal(usage: &QueueUsage, limits: &TenantLimits, bytes: u64) -> Option<Reached> {
    let events = limits.queued_events_max.filter(|max| usage.deliveries >= *max).map(Reached::Events);
    let is_full = |max: &u64| usage.bytes.saturating_add(bytes) > *max;
    events.or(limits.queued_bytes_max.filter(is_full).map(Reached::Bytes))
}

#[cfg(test)]
mod tests {
    use kapsel_core::{Clock as _, Endpoint, EndpointId};
    use kapsel_store::{IngestStore as _, MemoryStore, NewDelivery, NewEvent};
    use test_harness::{EndpointBuilder, EventBuilder, TestClock};

    use super::*;

    struct Bench {
        store: Arc<MemoryStore>,
        quotas: Quotas,
        endpoint: Endpoint,
        stored: u8,
    }

    impl Bench {
        fn new() -> Self {
            let store = Arc::new(MemoryStore::new());
            let endpoint = EndpointBuilder::new(EndpointId::MAX, "https://a.example/", TestClock::new().now()).build();
            Bench { quotas: Quotas::new(Arc::clone(&store) as _), store, endpoint, stored: 0 }
        }

        /// Puts an event of ten bytes into the queue, by another instance.
        async fn queue(&mut self) {
            self.stored += 1;
            let now = TestClock::new().now();
            let event = EventBuilder::new(kapsel_core::EventId::from_bytes([self.stored; 16]), &self.endpoint, now);
            let event = Arc::new(event.body(vec![b'x'; 10]).build());
            let id = kapsel_core::DeliveryId::from_bytes([self.stored; 16]);
            let delivery = NewDelivery { id, endpoint_id: self.endpoint.id, lease: None, ended: None };
            let new = NewEvent { event, key: None, deliveries: vec![delivery] };
            self.store.event_insert_batch(now, Arc::new(vec![new])).await.unwrap();
        }

        async fn take(&self, limits: &TenantLimits) -> Result<(), Reached> {
            self.quotas.take(TenantId::DEFAULT, limits, 10).await
        }
    }

    fn events(max: u64) -> TenantLimits {
        TenantLimits { queued_events_max: Some(max), ..TenantLimits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_queued_counts_and_what_was_delivered_does_not() {
        let mut bench = Bench::new();
        bench.queue().await;
        // Two more, which are delivered at once, so that the queue never shows them.
        assert_eq!((bench.take(&events(3)).await, bench.take(&events(3)).await), (Ok(()), Ok(())));
        assert_eq!(bench.take(&events(3)).await, Err(Reached::Events(3)));
        // A second later somebody looks, and there is room.
        tokio::time::advance(REFUSAL_KEPT).await;
        assert_eq!(bench.take(&events(3)).await, Ok(()));

        bench.queue().await;
        bench.queue().await;
        tokio::time::advance(REFUSAL_KEPT).await;
        assert_eq!(bench.take(&events(3)).await, Ok(()), "what others took in is not seen yet");
        assert_eq!(bench.take(&events(3)).await, Err(Reached::Events(3)));
        tokio::time::advance(ESTIMATE_KEPT).await;
        assert_eq!(bench.take(&events(3)).await, Err(Reached::Events(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_have_a_limit_of_their_own() {
        let mut bench = Bench::new();
        bench.queue().await;
        let bytes = |max| TenantLimits { queued_bytes_max: Some(max), ..TenantLimits::default() };
        assert_eq!(bench.take(&bytes(20)).await, Ok(()));
        assert_eq!(bench.take(&bytes(20)).await, Err(Reached::Bytes(20)));
        assert_eq!(bench.take(&bytes(30)).await, Ok(()), "a limit that was raised holds at once");
        assert_eq!(bench.quotas.take(TenantId::DEFAULT, &bytes(5), 10).await, Err(Reached::Bytes(5)));
    }

    #[tokio::test]
    async fn without_a_limit_nobody_looks() {
        let bench = Bench::new();
        assert_eq!(bench.take(&TenantLimits::default()).await, Ok(()));
        assert!(bench.quotas.tenants.read().unwrap().is_empty());
        assert_eq!(bench.take(&events(0)).await, Err(Reached::Events(0)));
    }
}
