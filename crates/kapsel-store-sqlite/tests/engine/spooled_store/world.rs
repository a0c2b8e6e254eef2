//! A store with a spool whose parts fail on demand, and questions about what became of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kapsel_core::delivery::LeaseToken;
use kapsel_core::{EventId, InstanceId, Lease, TenantId, Timestamp};
use kapsel_store::spool::Drained;
use kapsel_store::{
    AdminStore as _, ClaimRequest, DeliveryStore as _, EventDetail, EventFilter, IngestStore as _, Ingested, LaneQuota,
    NewEvent, SpoolSettings, SpooledStore,
};
use kapsel_store_sqlite::SqliteSpool;
use tempfile::TempDir;

use super::shaky::{ShakySpool, ShakyStore};
use crate::spool::{Source, open};

pub(crate) struct World {
    pub(crate) source: Arc<Source>,
    pub(crate) primary: Arc<ShakyStore>,
    pub(crate) spool: Arc<ShakySpool<SqliteSpool>>,
    pub(crate) store: Arc<SpooledStore>,
    moves: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl World {
    /// How many events one step moves at most.
    pub(crate) const BATCH: usize = 8;

    pub(crate) async fn new() -> Self {
        World::with_spool_of(10_000_000).await
    }

    pub(crate) async fn with_spool_of(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Arc::new(Source::new());
        let primary = Arc::new(ShakyStore::new());
        primary.endpoint_insert(source.endpoint.clone()).await.unwrap();
        let spool = Arc::new(ShakySpool::new(open(folder.path(), bytes_max)));
        let moves = Arc::new(AtomicUsize::new(0));
        let store = Arc::new(spooled(&primary, &spool, &moves));
        World { source, primary, spool, store, moves, _folder: folder }
    }

    /// The same store and spool under a new process.
    pub(crate) fn restarted(self) -> Self {
        let store = Arc::new(spooled(&self.primary, &self.spool, &self.moves));
        World { store, ..self }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.source.now()
    }

    /// How often events were moved.
    pub(crate) fn moves(&self) -> usize {
        self.moves.load(Ordering::SeqCst)
    }

    pub(crate) async fn insert(&self, batch: Vec<NewEvent>) -> Vec<Ingested> {
        self.store.event_insert_batch(self.now(), Arc::new(batch)).await.unwrap()
    }

    pub(crate) async fn drain_step(&self) -> Drained {
        self.store.drain_once(self.now()).await.unwrap()
    }

    /// Step after step until there is nothing more to do.
    pub(crate) async fn drain(&self) {
        for _ in 0..1_000 {
            if !self.drain_step().await.has_more() {
                return;
            }
        }
        panic!("the spool does not come to an end");
    }

    /// Everything that is due, in the order in which it is delivered.
    pub(crate) async fn claim(&self) -> Vec<EventId> {
        let now = self.now();
        let request = ClaimRequest {
            lease: Lease { owner: InstanceId::MAX, token: LeaseToken(1), until: now + Duration::from_secs(3_600) },
            lanes: vec![LaneQuota::without_circuit(self.source.endpoint.id, 10_000)],
            body_bytes_max: usize::MAX,
        };
        let claimed = self.primary.delivery_claim_due(now, request).await.unwrap();
        claimed.iter().map(|claimed| claimed.delivery.event_id).collect()
    }

    pub(crate) async fn events(&self) -> Vec<EventId> {
        let events = self.primary.event_list(TenantId::DEFAULT, EventFilter::default(), 10_000, self.now()).await;
        events.unwrap().iter().map(|event| event.id).collect()
    }

    pub(crate) async fn detail(&self, id: EventId) -> EventDetail {
        self.primary.event_get(TenantId::DEFAULT, id, self.now()).await.unwrap()
    }

    /// Waits until the store was asked for a sign of life.
    pub(crate) async fn pinged(&self) {
        self.primary.pinged().await;
    }
}

fn spooled(primary: &Arc<ShakyStore>, spool: &Arc<ShakySpool<SqliteSpool>>, moves: &Arc<AtomicUsize>) -> SpooledStore {
    let settings = SpoolSettings { batch_rows_max: World::BATCH, ..SpoolSettings::default() };
    let moves = Arc::clone(moves);
    let moved = move || {
        moves.fetch_add(1, Ordering::SeqCst);
    };
    SpooledStore::new(Arc::clone(primary) as _, Arc::clone(spool) as _, settings, Arc::new(moved))
}

/// The event's id.
pub(crate) fn id_of(new: &NewEvent) -> EventId {
    new.event.id
}
