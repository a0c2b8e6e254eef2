//! How many webhooks came in for each endpoint and how many attempts went out, counted since the process started.
//!
//! Whoever takes a webhook in or makes an attempt has the endpoint in hand, and its counters with it: counting is one
//! addition, without a lock, a look-up or a text. What becomes of the figures, and under how many names they are shown, is
//! for those to say who read them, now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kapsel_core::{EndpointId, OutcomeClass, TenantId};

/// What became of a webhook that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IngestResult {
    /// It is stored.
    Accepted,
    /// It is in the spool.
    Spooled,
    /// Its key was used before; it was answered as the first time.
    Duplicate,
    /// Its explicit key was used before with another body.
    Conflict,
    /// Its signature is missing or wrong.
    InvalidSignature,
    /// It is larger than the limit.
    TooLarge,
    /// It is not well-formed, or broke off.
    BadRequest,
    /// It did not arrive in time.
    TimedOut,
    /// There is no such endpoint.
    UnknownEndpoint,
    /// Its endpoint is disabled.
    Disabled,
    /// Its tenant is suspended.
    Suspended,
    /// It came faster than a limit allows, or its tenant has too much queued.
    Limited,
    /// Too much was waiting to be stored.
    QueueFull,
    /// The program was being stopped.
    Stopping,
    /// The store did not confirm it, or could not be asked for its endpoint.
    StoreUnavailable,
    /// A defect kept it out.
    Internal,
}

impl IngestResult {
    /// Every result.
    pub const ALL: [IngestResult; 16] = [
        IngestResult::Accepted,
        IngestResult::Spooled,
        IngestResult::Duplicate,
        IngestResult::Conflict,
        IngestResult::InvalidSignature,
        IngestResult::TooLarge,
        IngestResult::BadRequest,
        IngestResult::TimedOut,
        IngestResult::UnknownEndpoint,
        IngestResult::Disabled,
        IngestResult::Suspended,
        IngestResult::Limited,
        IngestResult::QueueFull,
        IngestResult::Stopping,
        IngestResult::StoreUnavailable,
        IngestResult::Internal,
    ];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            IngestResult::Accepted => "accepted",
            IngestResult::Spooled => "spooled",
            IngestResult::Duplicate => "duplicate",
            IngestResult::Conflict => "conflict",
            IngestResult::InvalidSignature => "invalid_signature",
            IngestResult::TooLarge => "too_large",
            IngestResult::BadRequest => "bad_request",
            IngestResult::TimedOut => "timed_out",
            IngestResult::UnknownEndpoint => "unknown_endpoint",
            IngestResult::Disabled => "disabled",
            IngestResult::Suspended => "suspended",
            IngestResult::Limited => "limited",
            IngestResult::QueueFull => "queue_full",
            IngestResult::Stopping => "stopping",
            IngestResult::StoreUnavailable => "store_unavailable",
            IngestResult::Internal => "internal",
        }
    }
}

/// How many results there are.
pub const INGEST_RESULTS: usize = IngestResult::ALL.len();
/// How many classes of outcomes there are.
pub const OUTCOME_CLASSES: usize = OutcomeClass::ALL.len();

/// The counters of all endpoints of a process.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Those that had any traffic.
    counted: Mutex<Vec<Arc<Counters>>>,
    /// What came in for no endpoint that is known.
    unassigned: [AtomicU64; INGEST_RESULTS],
}

/// The counters of one endpoint. They are made with its first traffic: most of many endpoints are silent.
#[derive(Debug)]
pub struct EndpointTraffic {
    endpoint_id: EndpointId,
    tenant_id: TenantId,
    counters: OnceLock<Arc<Counters>>,
    all: Arc<Traffic>,
}

#[derive(Debug)]
struct Counters {
    endpoint_id: EndpointId,
    tenant_id: TenantId,
    ingested: [AtomicU64; INGEST_RESULTS],
    attempted: [AtomicU64; OUTCOME_CLASSES],
}

/// What was counted for one endpoint so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficCount {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Webhooks, in the order of [`IngestResult::ALL`].
    pub ingested: [u64; INGEST_RESULTS],
    /// Attempts, in the order of [`OutcomeClass::ALL`].
    pub attempted: [u64; OUTCOME_CLASSES],
}

impl Traffic {
    /// Counters of an endpoint that has none yet.
    pub fn of_endpoint(self: &Arc<Self>, endpoint_id: EndpointId, tenant_id: TenantId) -> EndpointTraffic {
        EndpointTraffic { endpoint_id, tenant_id, counters: OnceLock::new(), all: Arc::clone(self) }
    }

    /// A webhook came in for an endpoint that is not known.
    pub fn ingested_unassigned(&self, result: IngestResult) {
        add(&self.unassigned, IngestResult::ALL.iter().position(|known| *known == result));
    }

    /// What came in for no known endpoint, in the order of [`IngestResult::ALL`].
    pub fn unassigned(&self) -> [u64; INGEST_RESULTS] {
        read(&self.unassigned)
    }

    /// The counts of all endpoints that had any traffic. Those of an endpoint that is gone are in it once more and then no
    /// longer, so one reader alone sees everything.
    pub fn read(&self) -> Vec<TrafficCount> {
        // Nothing panics while it holds the lock.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before they are read: who lets go of the last one has counted before that.
        let is_held: Vec<bool> = counted.iter().map(|counters| Arc::strong_count(counters) > 1).collect();
        let counts = counted.iter().map(|counters| counters.count()).collect();
        let mut is_held = is_held.into_iter();
        counted.retain(|_| is_held.next().unwrap_or(true));
        counts
    }
}

impl EndpointTraffic {
    /// A webhook came in.
    pub fn ingested(&self, result: IngestResult) {
        add(&self.counters().ingested, IngestResult::ALL.iter().position(|known| *known == result));
    }

    /// An attempt came to its end.
    pub fn attempted(&self, class: OutcomeClass) {
        add(&self.counters().attempted, OutcomeClass::ALL.iter().position(|known| *known == class));
    }

    fn counters(&self) -> &Counters {
        self.counters.get_or_init(|| {
            let counters = Arc::new(Counters {
                endpoint_id: self.endpoint_id,
                tenant_id: self.tenant_id,
                ingested: Default::default(),
                attempted: Default::default(),
            });
            let mut counted = self.all.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.push(Arc::clone(&counters));
            counters
        })
    }
}

impl Counters {
    fn count(&self) -> TrafficCount {
        let Counters { endpoint_id, tenant_id, ingested, attempted } = self;
        TrafficCount {
            endpoint_id: *endpoint_id,
            tenant_id: *tenant_id,
            ingested: read(ingested),
            attempted: read(attempted),
        }
    }
}

fn add(counters: &[AtomicU64], place: Option<usize>) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn read<const N: usize>(counters: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|place| counters[place].load(Ordering::Acquire))
}

#[cfg(test)]
mod tests {
    use kapsel_core::FailureKind;

    use super::*;

    fn total(counts: &[u64]) -> u64 {
        counts.iter().sum()
    }

    #[test]
    fn what_is_counted_is_read_under_its_word() {
        let traffic = Arc::new(Traffic::default());
        let endpoint = traffic.of_endpoint(EndpointId::MAX, TenantId::DEFAULT);
        assert!(traffic.read().is_empty(), "a silent endpoint costs nothing");
        for (times, result) in IngestResult::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| endpoint.ingested(result));
        }
        let classes: std::collections::HashSet<_> = OutcomeClass::ALL.iter().map(|class| class.as_str()).collect();
        assert_eq!(classes.len(), OUTCOME_CLASSES);
        for kind in FailureKind::ALL {
            endpoint.attempted(OutcomeClass::Failure(*kind));
        }
        traffic.ingested_unassigned(IngestResult::UnknownEndpoint);

        let [count] = traffic.read().try_into().unwrap();
        assert_eq!((count.endpoint_id, count.tenant_id), (EndpointId::MAX, TenantId::DEFAULT));
        assert_eq!(count.ingested, std::array::from_fn(|place| place as u64 + 1));
        assert_eq!(total(&count.attempted), FailureKind::ALL.len() as u64);
        assert_eq!(total(&traffic.unassigned()), 1);
    }

    #[test]
    fn counts_of_an_endpoint_that_is_gone_are_read_once_more() {
        let traffic = Arc::new(Traffic::default());
        let endpoint = traffic.of_endpoint(EndpointId::MAX, TenantId::DEFAULT);
        endpoint.ingested(IngestResult::Accepted);
        assert_eq!(traffic.read().len(), 1);
        endpoint.ingested(IngestResult::Accepted);
        drop(endpoint);
        assert_eq!(total(&traffic.read()[0].ingested), 2);
        assert!(traffic.read().is_empty());
    }
}
