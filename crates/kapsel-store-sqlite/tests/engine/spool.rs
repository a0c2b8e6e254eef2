//! The spool from outside: what it keeps, in which order, how it tells duplicates, and when it is full.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::delivery::LeaseToken;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{
    Clock, Endpoint, EndpointId, EventId, FinalReason, HeaderBlock, IdGenerator, InstanceId, Lease, Timestamp,
};
use kapsel_store::spool::{SpoolSize, SpoolStore, SpooledEvent};
use kapsel_store::{Ingested, NewDelivery, NewEvent, StoreError};
use kapsel_store_sqlite::{OpenError, SpoolOptions, SqliteSpool};
use tempfile::TempDir;
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

const HOUR: Duration = Duration::from_secs(3_600);

/// Makes events; the clock stands still unless it is moved.
pub(crate) struct Source {
    pub(crate) clock: TestClock,
    pub(crate) endpoint: Endpoint,
    ids: IdGenerator,
}

impl Source {
    pub(crate) fn new() -> Self {
        let clock = TestClock::new();
        let ids = IdGenerator::new(Arc::new(SeededEntropy::new(7)));
        let endpoint_id: EndpointId = ids.next(clock.now());
        let endpoint = EndpointBuilder::new(endpoint_id, "https://destination.example/hook", clock.now()).build();
        Source { clock, endpoint, ids }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn event(&self, body: impl Into<Bytes>) -> NewEvent {
        let event = EventBuilder::new(self.ids.next(self.now()), &self.endpoint, self.now()).body(body).build();
        let delivery =
            NewDelivery { id: self.ids.next(self.now()), endpoint_id: self.endpoint.id, lease: None, ended: None };
        NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
    }

    /// With a key that the sender gave.
    pub(crate) fn keyed(&self, key: &str, body: impl Into<Bytes>) -> NewEvent {
        let mut new = self.event(body);
        let mut hash = [0; 32];
        hash[..key.len()].copy_from_slice(key.as_bytes());
        let mut event = kapsel_core::Event::clone(&new.event);
        event.idempotency_key = Some(key.to_owned());
        new.event = Arc::new(event);
        new.key = Some(IdempotencyKey { text: key.to_owned(), hash, explicit: true, window: HOUR });
        new
    }
}

/// With the key of a provider, whose word is taken for the same event whatever the body.
fn of_provider(mut new: NewEvent) -> NewEvent {
    new.key.as_mut().unwrap().explicit = false;
    new
}

pub(crate) fn open(folder: &Path, bytes_max: u64) -> SqliteSpool {
    SqliteSpool::open(SpoolOptions { folder: folder.join("spool"), bytes_max }).unwrap()
}

fn fresh(bytes_max: u64) -> (SqliteSpool, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path(), bytes_max), folder)
}

async fn insert(spool: &SqliteSpool, now: Timestamp, batch: Vec<NewEvent>) -> Vec<Ingested> {
    spool.spool_insert_batch(now, Arc::new(batch)).await.unwrap()
}

async fn read_all(spool: &SqliteSpool) -> Vec<SpooledEvent> {
    spool.spool_read(0, usize::MAX, usize::MAX).await.unwrap().events
}

fn ids_of(events: &[SpooledEvent]) -> Vec<EventId> {
    events.iter().map(|spooled| spooled.event.id).collect()
}

fn size_of(new: &NewEvent) -> u64 {
    u64::try_from(new.event.body.len() + new.event.headers.as_bytes().len()).unwrap()
}

#[tokio::test]
async fn what_was_spooled_is_read_back_as_it_was_but_for_the_lease() {
    let (spool, _folder) = fresh(10_000_000);
    let source = Source::new();
    let now = source.now();
    let mut full = source.keyed("key", vec![0xa5; 300_000]);
    let mut event = kapsel_core::Event::clone(&full.event);
    event.headers = HeaderBlock::from_pairs([("x-bytes", &b"\xff\x00"[..]), ("x-bytes", &b"again"[..])]);
    full.event = Arc::new(event);
    let owner = InstanceId::MAX;
    full.deliveries[0].lease = Some(Lease { owner, token: LeaseToken(1), until: now + HOUR });
    let ended = NewDelivery { ended: Some(FinalReason::Duplicate), id: source.ids.next(now), ..full.deliveries[0] };
    full.deliveries.push(NewDelivery { lease: None, ..ended });
    let bare = source.event(Bytes::new());
    assert_eq!(insert(&spool, now, vec![full.clone(), bare.clone()]).await, [Ingested::Spooled; 2]);

    let read = read_all(&spool).await;
    assert_eq!(read[0].event, full.event);
    let key = read[0].key.unwrap();
    assert_eq!((key.hash, key.explicit), (full.key.as_ref().unwrap().hash, true));
    assert_eq!(key.expires_at, now + HOUR);
    let deliveries: Vec<_> = read[0].deliveries.iter().map(|new| (new.id, new.endpoint_id, new.ended)).collect();
    let expected: Vec<_> = full.deliveries.iter().map(|new| (new.id, new.endpoint_id, new.ended)).collect();
    assert_eq!(deliveries, expected);
    assert!(read.iter().flat_map(|spooled| &spooled.deliveries).all(|delivery| delivery.lease.is_none()));
    assert_eq!((&read[1].event, read[1].key), (&bare.event, None));

    // The key goes on with what is left of its window.
    let later = now + Duration::from_secs(600);
    let key = read[0].to_store_at(later).key.unwrap();
    assert_eq!((key.text.as_str(), key.window), ("key", HOUR - Duration::from_secs(600)));
    assert_eq!(read[0].to_store_at(now + HOUR).key, None);
}

#[tokio::test]
async fn reopening_keeps_everything_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::new();
    let spool = open(folder.path(), 10_000_000);
    let mut expected = Vec::new();
    for number in 0..20_u8 {
        let new = source.keyed(&format!("k{number}"), vec![number; 100]);
        expected.push(new.event.id);
        insert(&spool, source.now(), vec![new]).await;
    }
    let size = spool.spool_size();
    let first = read_all(&spool).await[0].seq;
    spool.spool_remove(vec![first]).await.unwrap();
    expected.remove(0);
    // Not closed. The writer lets go of the folder once it has noticed that nobody holds it any more.
    drop(spool);
    let options = SpoolOptions { folder: folder.path().join("spool"), bytes_max: 10_000_000 };
    let reopened = async {
        loop {
            match SqliteSpool::open(options.clone()) {
                Err(OpenError::FolderInUse { .. }) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        }
    };
    let spool = tokio::time::timeout(Duration::from_secs(60), reopened).await.unwrap();
    assert_eq!(spool.spool_size().events, size.events - 1);
    assert_eq!(ids_of(&read_all(&spool).await), expected);
    let again = source.keyed("k5", vec![5; 100]);
    assert_eq!(insert(&spool, source.now(), vec![again]).await, [Ingested::Replay { original: expected[4] }]);
    spool.close().await;
}

#[tokio::test]
async fn reading_goes_by_number_and_ends_at_its_limits() {
    let (spool, _folder) = fresh(10_000_000);
    let source = Source::new();
    let batch: Vec<_> = (0..5).map(|_| source.event(vec![7; 1_000])).collect();
    let size = usize::try_from(size_of(&batch[0])).unwrap();
    insert(&spool, source.now(), batch).await;
    let all = read_all(&spool).await;
    let seqs: Vec<_> = all.iter().map(|spooled| spooled.seq).collect();
    assert!(seqs.is_sorted() && seqs[0] > 0);
    let read = async |after, limit, bytes_max| {
        let read = spool.spool_read(after, limit, bytes_max).await.unwrap().events;
        read.iter().map(|spooled| spooled.seq).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 2, usize::MAX).await, seqs[..2]);
    assert_eq!(read(seqs[1], 10, usize::MAX).await, seqs[2..]);
    assert_eq!(read(0, 10, 3 * size).await, seqs[..3]);
    assert_eq!(read(0, 10, 3 * size - 1).await, seqs[..2]);
    assert_eq!(read(0, 10, 0).await, seqs[..1], "the first whatever its size");
    assert!(read(seqs[4], 10, usize::MAX).await.is_empty());
}

#[tokio::test]
async fn a_number_is_never_used_again() {
    let (spool, _folder) = fresh(10_000);
    let source = Source::new();
    insert(&spool, source.now(), vec![source.event("a")]).await;
    let first = read_all(&spool).await[0].seq;
    spool.spool_remove(vec![first]).await.unwrap();
    insert(&spool, source.now(), vec![source.event("b")]).await;
    assert!(read_all(&spool).await[0].seq > first);
}

#[tokio::test]
async fn duplicates_are_told_by_the_keys_of_what_is_in_the_spool() {
    let (spool, _folder) = fresh(10_000_000);
    let source = Source::new();
    let now = source.now();
    let original = source.keyed("k", "body");
    let id = original.event.id;
    assert_eq!(insert(&spool, now, vec![original.clone()]).await, [Ingested::Spooled]);
    assert_eq!(insert(&spool, now, vec![original.clone()]).await, [Ingested::Spooled], "the same id changes nothing");
    assert_eq!(insert(&spool, now, vec![source.keyed("k", "body")]).await, [Ingested::Replay { original: id }]);
    assert_eq!(insert(&spool, now, vec![source.keyed("k", "other")]).await, [Ingested::Conflict { original: id }]);
    let provider = of_provider(source.keyed("k", "other"));
    assert_eq!(insert(&spool, now, vec![provider]).await, [Ingested::Replay { original: id }]);
    assert_eq!(spool.spool_size().events, 1);

    // Within a batch the first one wins.
    let (first, second, other) = (source.keyed("b", "1"), source.keyed("b", "1"), source.keyed("b", "2"));
    let winner = first.event.id;
    assert_eq!(
        insert(&spool, now, vec![first, second, other]).await,
        [Ingested::Spooled, Ingested::Replay { original: winner }, Ingested::Conflict { original: winner },]
    );

    // Another endpoint's keys are its own.
    let mut elsewhere = source.keyed("k", "other");
    let mut event = kapsel_core::Event::clone(&elsewhere.event);
    event.endpoint_id = EndpointId::MAX;
    elsewhere.event = Arc::new(event);
    assert_eq!(insert(&spool, now, vec![elsewhere]).await, [Ingested::Spooled]);

    // After the window it is as if the key had never been used.
    let last_moment = now + HOUR - Duration::from_micros(1);
    assert_eq!(insert(&spool, last_moment, vec![source.keyed("k", "body")]).await, [Ingested::Replay { original: id }]);
    let anew = source.keyed("k", "body");
    let anew_id = anew.event.id;
    assert_eq!(insert(&spool, now + HOUR, vec![anew]).await, [Ingested::Spooled]);
    let again = insert(&spool, now + HOUR, vec![source.keyed("k", "body")]).await;
    assert_eq!(again, [Ingested::Replay { original: anew_id }]);
    assert_eq!(
        insert(&spool, now + HOUR, vec![original]).await,
        [Ingested::Spooled],
        "it is there, whoever has its key"
    );
    assert_eq!(spool.spool_size().events, 4);
}

#[tokio::test]
async fn the_key_of_what_was_removed_is_free() {
    let (spool, _folder) = fresh(10_000);
    let source = Source::new();
    insert(&spool, source.now(), vec![source.keyed("k", "body")]).await;
    spool.spool_remove(vec![read_all(&spool).await[0].seq]).await.unwrap();
    assert_eq!(insert(&spool, source.now(), vec![source.keyed("k", "other")]).await, [Ingested::Spooled]);
}

#[tokio::test]
async fn a_full_spool_takes_nothing_of_a_batch_and_something_again_when_there_is_room() {
    let source = Source::new();
    let now = source.now();
    let event = || source.event(vec![7; 1_000]);
    let size = size_of(&event());
    let (spool, _folder) = fresh(3 * size);
    let (first, second) = (event(), event());
    insert(&spool, now, vec![first.clone(), second]).await;
    let two = vec![event(), event()];
    let error = spool.spool_insert_batch(now, Arc::new(two.clone())).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { message: "the spool is full", .. }), "{error:?}");
    assert_eq!(spool.spool_size(), SpoolSize { events: 2, bytes: 2 * size, bytes_max: 3 * size });
    assert_eq!(read_all(&spool).await.len(), 2);

    insert(&spool, now, vec![two[0].clone()]).await;
    assert_eq!(insert(&spool, now, vec![first]).await, [Ingested::Spooled], "what is in it takes no more room");
    spool.spool_insert_batch(now, Arc::new(vec![two[1].clone()])).await.unwrap_err();
    let oldest = read_all(&spool).await[0].seq;
    // Twice, and one that was never there.
    spool.spool_remove(vec![oldest, oldest, 1_000]).await.unwrap();
    assert_eq!(spool.spool_size(), SpoolSize { events: 2, bytes: 2 * size, bytes_max: 3 * size });
    insert(&spool, now, vec![two[1].clone()]).await;
    assert_eq!(ids_of(&read_all(&spool).await)[1..], [two[0].event.id, two[1].event.id]);
}

#[tokio::test]
async fn a_spool_is_held_by_one() {
    let (spool, folder) = fresh(10_000);
    let options = SpoolOptions { folder: folder.path().join("spool"), bytes_max: 1 };
    assert!(matches!(SqliteSpool::open(options.clone()), Err(OpenError::FolderInUse { .. })));
    spool.close().await;
    SqliteSpool::open(options).unwrap().close().await;
}
