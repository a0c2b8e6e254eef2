//! A store in a temporary folder, and a way to hold its writer up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use kapsel_core::{Clock, Endpoint, EndpointId, IdGenerator, Timestamp};
use kapsel_store::{AdminStore, EventFilter, IngestStore, Ingested, NewDelivery, NewEvent, StoreError};
use tempfile::TempDir;
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use crate::job::{Kind, Weight};
use crate::store::{SqliteOptions, SqliteStore};

pub(super) struct World {
    pub(super) store: SqliteStore,
    pub(super) endpoint: Endpoint,
    ids: IdGenerator,
    clock: TestClock,
    folder: TempDir,
}

fn open(folder: &TempDir, unsorted_events_max: usize) -> SqliteStore {
    let options = SqliteOptions { unsorted_events_max, ..SqliteOptions::new(folder.path(), test_harness::sealer()) };
    SqliteStore::open(options).unwrap()
}

impl World {
    /// A fresh store with one endpoint.
    pub(super) async fn new() -> Self {
        Self::with_unsorted_events_max(usize::MAX).await
    }

    /// The same, which sorts its events when so many have come.
    pub(super) async fn with_unsorted_events_max(unsorted_events_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, unsorted_events_max);
        let clock = TestClock::new();
        let ids = IdGenerator::new(Arc::new(SeededEntropy::new(1)));
        let id: EndpointId = ids.next(clock.now());
        let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", clock.now()).build();
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        World { store, endpoint, ids, clock, folder }
    }

    /// The store as a later process finds it.
    pub(super) async fn reopened_with_unsorted_events_max(self, unsorted_events_max: usize) -> Self {
        self.store.close().await;
        World { store: open(&self.folder, unsorted_events_max), ..self }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn event(&self, body_bytes: usize) -> NewEvent {
        let event = EventBuilder::new(self.ids.next(self.now()), &self.endpoint, self.now());
        let delivery =
            NewDelivery { id: self.ids.next(self.now()), endpoint_id: self.endpoint.id, lease: None, ended: None };
        NewEvent { event: Arc::new(event.body(vec![7; body_bytes]).build()), key: None, deliveries: vec![delivery] }
    }

    pub(super) async fn insert(&self, new: NewEvent) -> Result<Vec<Ingested>, StoreError> {
        self.store.event_insert_batch(self.now(), Arc::new(vec![new])).await
    }

    pub(super) async fn event_count(&self) -> usize {
        let filter = EventFilter::default();
        self.store.event_list(self.endpoint.tenant_id, filter, usize::MAX, self.now()).await.unwrap().len()
    }

    /// Holds the writer up until the returned value is dropped. When this returns, it stands still.
    pub(super) async fn hold_up(&self) -> Hold {
        let (standing, is_standing) = tokio::sync::oneshot::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let store = self.store.clone();
        let mut standing = Some(standing);
        let block = move |_: &rusqlite::Connection| {
            standing.take().into_iter().for_each(|standing| standing.send(()).unwrap());
            // Ends with an error when the hold is dropped.
            let _over = wait.recv();
            Ok(())
        };
        let blocked = tokio::spawn(async move { store.writer().write(Kind::Sure, Weight::ROW, block).await });
        is_standing.await.unwrap();
        Hold { _go_on: go_on, _blocked: blocked }
    }
}

pub(super) struct Hold {
    _go_on: mpsc::Sender<()>,
    _blocked: tokio::task::JoinHandle<Result<(), StoreError>>,
}

/// A call that was begun: its command is queued.
pub(super) type Begun<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Begins a call without waiting for its answer.
pub(super) fn begin<'a, T>(call: impl Future<Output = T> + Send + 'a) -> Begun<'a, T> {
    let mut call: Begun<'a, T> = Box::pin(call);
    assert!(matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    call
}
