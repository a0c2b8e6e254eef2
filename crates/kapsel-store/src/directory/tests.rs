//! The directory over a store that others change, and that can fail.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use kapsel_core::endpoint::{DisabledReason, SigningSecret};
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{Event, EventId, IdGenerator, TenantId, Timestamp};
use test_harness::{EndpointBuilder, SeededEntropy};
use tokio::sync::watch;

use super::*;
use crate::{EndpointChange, EventDetail, EventFilter, EventSummary, MemoryStore, QueueUsage};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

struct Bench {
    store: Arc<MemoryStore>,
    directory: EndpointDirectory,
    ids: IdGenerator,
}

impl Bench {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let shared = Arc::clone(&store);
        let directory = EndpointDirectory::load(shared).await.unwrap();
        Bench { store, directory, ids: IdGenerator::new(Arc::new(SeededEntropy::new(0))) }
    }

    fn endpoint(&self) -> EndpointBuilder {
        EndpointBuilder::new(self.ids.next(NOW), "https://destination.example/", NOW)
    }

    async fn insert(&self, endpoint: EndpointBuilder) -> Endpoint {
        let endpoint = endpoint.build();
        self.store.endpoint_insert(endpoint.clone()).await.unwrap();
        endpoint
    }
}

#[tokio::test]
async fn refresh_sees_create_update_and_delete() {
    let bench = Bench::new().await;
    let endpoint = bench.insert(bench.endpoint()).await;
    let other = bench.insert(bench.endpoint()).await;
    assert!(bench.directory.get(endpoint.id).is_none(), "nothing is read without a refresh");
    bench.directory.refresh().await.unwrap();
    let active = bench.directory.get(endpoint.id).unwrap();
    assert_eq!(active.endpoint, endpoint);
    assert!(active.is_enabled() && active.verifier.is_some() && active.signer.is_some());

    let disabled = EndpointStatus::Disabled(DisabledReason::Manual);
    let changed = Endpoint { status: disabled, version: 2, ..endpoint.clone() };
    bench.store.endpoint_update_if_version(changed.clone(), 1).await.unwrap();
    bench.directory.refresh().await.unwrap();
    let now_disabled = bench.directory.get(endpoint.id).unwrap();
    assert_eq!(now_disabled.endpoint, changed);
    assert!(!now_disabled.is_enabled());
    assert!(active.is_enabled(), "who holds the former self keeps it");

    bench.store.endpoint_delete(endpoint.tenant_id, endpoint.id, NOW).await.unwrap();
    bench.directory.refresh().await.unwrap();
    assert!(bench.directory.get(endpoint.id).is_none());
    assert_eq!(bench.directory.get(other.id).unwrap().endpoint, other);
}

#[tokio::test]
async fn load_reads_what_is_there_however_much_it_is() {
    let bench = Bench::new().await;
    let mut last = bench.insert(bench.endpoint()).await;
    for _ in 0..PAGE {
        last = bench.insert(bench.endpoint()).await;
    }
    let shared = Arc::clone(&bench.store);
    let directory = EndpointDirectory::load(shared).await.unwrap();
    assert_eq!(directory.get(last.id).unwrap().endpoint, last);
    bench.directory.refresh().await.unwrap();
    assert_eq!(bench.directory.get(last.id).unwrap().endpoint, last);
}

#[tokio::test]
async fn broken_secrets_leave_an_endpoint_that_accepts_or_delivers_nothing() {
    let bench = Bench::new().await;
    let unverifiable = bench.insert(bench.endpoint().verification(VerificationScheme::Github, &[])).await;
    let damaged_key = vec![SigningSecret { key: "no key".into(), expires_at: None }];
    let unsignable = bench.insert(bench.endpoint().with(|endpoint| endpoint.secrets.signing = damaged_key)).await;
    bench.directory.refresh().await.unwrap();

    let active = bench.directory.get(unverifiable.id).unwrap();
    assert!(active.verifier.is_none() && active.signer.is_some());
    let active = bench.directory.get(unsignable.id).unwrap();
    assert!(active.verifier.is_some() && active.signer.is_none());
}

/// The changes of a memory engine; they can be held up, or fail. Nothing else works.
struct Changes {
    store: Arc<MemoryStore>,
    reads: watch::Sender<usize>,
    gate: watch::Sender<bool>,
    is_away: AtomicBool,
}

impl Changes {
    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn reads(&self) -> usize {
        *self.reads.borrow()
    }

    /// Waits until they were read `count` times in all.
    async fn read(&self, count: usize) {
        self.reads.subscribe().wait_for(|reads| *reads >= count).await.unwrap();
    }
}

#[async_trait]
impl AdminStore for Changes {
    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        let changes = self.store.endpoint_changes(since, limit).await;
        self.reads.send_modify(|reads| *reads += 1);
        self.gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable { message: "the test says so", cause: None }),
            false => changes,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }

    async fn endpoint_insert(&self, _: Endpoint) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }

    async fn endpoint_get(&self, _: TenantId, _: EndpointId) -> Result<Endpoint, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn endpoint_list(&self, _: TenantId, _: Option<EndpointId>, _: usize) -> Result<Vec<Endpoint>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn endpoint_update_if_version(&self, _: Endpoint, _: u64) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }

    async fn endpoint_delete(&self, _: TenantId, _: EndpointId, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }

    async fn event_get(&self, _: TenantId, _: EventId, _: Timestamp) -> Result<EventDetail, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn event_list(
        &self,
        _: TenantId,
        _: EventFilter,
        _: usize,
        _: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn queue_usage(&self, _: TenantId, _: u64) -> Result<QueueUsage, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn event_read(&self, _: TenantId, _: EventId) -> Result<Event, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn event_requeue(&self, _: TenantId, _: EventId, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }
}

/// A directory of what a bench stores, over changes that can fail.
async fn over_changes(bench: &Bench) -> (Arc<EndpointDirectory>, Arc<Changes>) {
    let store = Arc::clone(&bench.store);
    let gate = watch::Sender::new(true);
    let changes = Arc::new(Changes { store, reads: watch::Sender::new(0), gate, is_away: AtomicBool::new(false) });
    let directory = EndpointDirectory::load(Arc::clone(&changes) as Arc<dyn AdminStore>).await.unwrap();
    assert_eq!(changes.reads(), 1);
    (Arc::new(directory), changes)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_another_instance_made_is_found_at_once() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        let endpoint = bench.insert(bench.endpoint()).await;
        assert!(bench.directory.get(endpoint.id).is_none());
        let active = bench.directory.get_or_refresh(endpoint.id).await.unwrap().unwrap();
        assert_eq!(active.endpoint, endpoint);
    }
    assert!(bench.directory.get_or_refresh(EndpointId::MAX).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn many_unknown_ids_are_few_looks_at_the_store() {
    let bench = Bench::new().await;
    let known = bench.insert(bench.endpoint()).await;
    let (directory, changes) = over_changes(&bench).await;
    let start = Instant::now();
    let found = Arc::new(AtomicUsize::new(0));
    let asks: Vec<_> = (0..1_000)
        .map(|_| {
            let (directory, found) = (Arc::clone(&directory), Arc::clone(&found));
            let id = bench.ids.next(NOW);
            tokio::spawn(async move {
                if directory.get_or_refresh(id).await.unwrap().is_some() {
                    found.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for ask in asks {
        ask.await.unwrap();
    }
    assert_eq!(found.load(Ordering::SeqCst), 0);
    assert_eq!(changes.reads() - 1, 2, "one for the first, one for all that came meanwhile");
    for asked in 1..=10 {
        assert!(directory.get_or_refresh(bench.ids.next(NOW)).await.unwrap().is_none());
        assert_eq!(changes.reads() - 3, asked);
    }
    assert!(start.elapsed() >= 11 * MISS_PAUSE, "made-up ids wait");
    directory.get_or_refresh(known.id).await.unwrap().unwrap();
    assert_eq!(changes.reads(), 13, "known ones ask nobody");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_not_denied_while_the_store_is_away() {
    let bench = Bench::new().await;
    let known = bench.insert(bench.endpoint()).await;
    let (directory, changes) = over_changes(&bench).await;
    changes.set_away(true);
    assert!(directory.get_or_refresh(known.id).await.unwrap().is_some());
    let ask = |id| {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { directory.get_or_refresh(id).await.map(|found| found.is_some()) })
    };
    // The first asks the store, the second waits, the third shares what the second hears.
    let asks = [1, 2, 3].map(|_| ask(bench.ids.next(NOW)));
    for answer in asks {
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    assert_eq!(changes.reads() - 1, 2);

    // One that hangs is away too.
    changes.set_away(false);
    changes.gate.send_replace(false);
    let answer = ask(EndpointId::MAX).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    changes.gate.send_replace(true);
    assert!(!ask(EndpointId::MAX).await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_the_question_does_not_answer_it() {
    for goes_away in [false, true] {
        let bench = Bench::new().await;
        let (directory, changes) = over_changes(&bench).await;
        changes.gate.send_replace(false);
        let ask = |id| {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { directory.get_or_refresh(id).await.unwrap().is_some() })
        };
        let first = ask(EndpointId::MAX);
        changes.read(2).await;
        // Made after the look, which is still under way.
        let endpoint = bench.insert(bench.endpoint()).await;
        let second = ask(endpoint.id);
        tokio::task::yield_now().await;
        if goes_away {
            first.abort();
        }
        changes.gate.send_replace(true);
        assert!(second.await.unwrap(), "who asked first goes away: {goes_away}");
        assert_eq!(changes.reads(), 3);
    }
}
