//! What becomes of a data folder: kept over a restart, held against others, refused when it is not ours.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, AttemptId, Clock, DeliveryId, DeliveryState, Endpoint, EndpointId, HeaderBlock, IdGenerator, InstanceId,
    Lease, LeaseToken, Outcome, ResponseHead, SystemEntropy, TenantId,
};
use kapsel_store::schema::SchemaMismatch;
use kapsel_store::{
    AdminStore, ClaimRequest, DeliveryStore, EventFilter, IngestStore, Ingested, LaneQuota, NewDelivery, NewEvent,
    Settled, Settlement, StoreError,
};
use kapsel_store_sqlite::{OpenError, SqliteOptions, SqliteStore};
use test_harness::builders::leaf_of;
use test_harness::{EndpointBuilder, EventBuilder, TestClock};

fn open(folder: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(SqliteOptions::new(folder, test_harness::sealer()))
}

struct World {
    clock: TestClock,
    ids: IdGenerator,
}

impl World {
    fn new() -> Self {
        World { clock: TestClock::new(), ids: IdGenerator::new(Arc::new(SystemEntropy)) }
    }

    fn endpoint(&self) -> Endpoint {
        let id: EndpointId = self.ids.next(self.clock.now());
        EndpointBuilder::new(id, "https://destination.example/hook", self.clock.now()).build()
    }

    fn event(&self, endpoint: &Endpoint, body: Vec<u8>) -> NewEvent {
        let event = EventBuilder::new(self.ids.next(self.clock.now()), endpoint, self.clock.now()).body(body).build();
        let id: DeliveryId = self.ids.next(self.clock.now());
        NewEvent {
            event: Arc::new(event),
            key: None,
            deliveries: vec![NewDelivery { id, endpoint_id: endpoint.id, lease: None, ended: None }],
        }
    }
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let now = world.clock.now();
    let endpoint = world.endpoint();
    let delivered = world.event(&endpoint, b"delivered".to_vec());
    let key = IdempotencyKey { text: "k".into(), hash: [7; 32], explicit: true, window: Duration::from_secs(60) };
    let waiting = NewEvent { key: Some(key.clone()), ..world.event(&endpoint, vec![0xa5; 200_000]) };

    let store = open(folder.path()).unwrap();
    store.endpoint_insert(endpoint.clone()).await.unwrap();
    store.event_insert_batch(now, Arc::new(vec![delivered.clone()])).await.unwrap();
    let instance: InstanceId = world.ids.next(now);
    let lease = Lease { owner: instance, token: LeaseToken(1), until: now + Duration::from_secs(60) };
    let lanes = vec![LaneQuota::without_circuit(endpoint.id, 10)];
    let request = ClaimRequest { lease, lanes, body_bytes_max: usize::MAX };
    let claimed = store.delivery_claim_due(now, request.clone()).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let head = ResponseHead {
        status: 200,
        headers: HeaderBlock::from_pairs([("server", &b"x"[..])]),
        body: (&b"thanks"[..]).into(),
        body_truncated: false,
    };
    let id: AttemptId = world.ids.next(now);
    let attempt = Attempt {
        id,
        delivery: claimed[0].delivery,
        number: 1,
        url: "https://destination.example/hook".to_owned(),
        started_at: now,
        duration: Duration::from_millis(7),
        outcome: Outcome::Response(head),
    };
    let decision = Decision { next: Next::Delivered, disable_endpoint: None };
    let settlement = Settlement { lease, leaf: leaf_of(&attempt, &[0; 32]), attempt: attempt.clone(), decision };
    let settled = store.delivery_settle_if_leased(now, Arc::new(vec![settlement])).await.unwrap();
    assert_eq!(settled, [Settled::Written]);
    store.event_insert_batch(now, Arc::new(vec![waiting.clone()])).await.unwrap();
    store.close().await;

    let log = folder.path().join("kapsel.db-wal");
    assert!(!log.exists(), "closing copies the log into the database");

    let store = open(folder.path()).unwrap();
    assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), endpoint);
    let events = store.event_list(TenantId::DEFAULT, EventFilter::default(), 10, now).await.unwrap();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [waiting.event.id, delivered.event.id]);
    let detail = store.event_get(TenantId::DEFAULT, delivered.event.id, now).await.unwrap();
    assert_eq!(detail.summary.status, DeliveryState::Delivered);
    assert_eq!(detail.attempts, [attempt]);
    let claimed = store.delivery_claim_due(now, request).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event, waiting.event, "the whole body is there");
    let again = NewEvent { key: Some(key), ..world.event(&endpoint, b"other".to_vec()) };
    let answers = store.event_insert_batch(now, Arc::new(vec![again])).await.unwrap();
    assert_eq!(answers, [Ingested::Conflict { original: waiting.event.id }]);
    store.close().await;
}

#[tokio::test]
async fn files_are_for_the_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("some").join("where");
    let store = open(&folder).unwrap();
    store.ping().await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    store.close().await;
}

#[tokio::test]
async fn a_second_store_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::FolderInUse { folder: named } if named == folder.path()), "{error:?}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    first.close().await;
    open(folder.path()).unwrap().close().await;
}

#[tokio::test]
async fn calls_after_the_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let other = store.clone();
    store.close().await;
    for error in
        [other.ping().await.unwrap_err(), other.endpoint_get(TenantId::DEFAULT, EndpointId::MIN).await.unwrap_err()]
    {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    // A second end is harmless.
    other.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().await;
    change(folder.path(), "INSERT INTO schema_migrations VALUES (99, '0099_future', x'00')");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Schema(SchemaMismatch::Newer { found: 99, .. })), "{error:?}");
    assert!(error.to_string().contains("newer Kapsel"), "{error}");
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().await;
    change(folder.path(), "UPDATE schema_migrations SET checksum = zeroblob(32) WHERE version = 1");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Schema(SchemaMismatch::Changed { version: 1, .. })), "{error:?}");
    // The folder is not held by a store that could not be opened.
    change(folder.path(), "DELETE FROM schema_migrations");
    assert!(matches!(open(folder.path()), Err(OpenError::Sqlite { .. })));
}

#[tokio::test]
async fn something_else_than_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kapsel.db"), vec![b'x'; 10_000]).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Sqlite { .. }), "{error:?}");

    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = open(&file).unwrap_err();
    assert!(matches!(&error, OpenError::Folder { folder, .. } if *folder == file), "{error:?}");
}

fn change(folder: &Path, statement: &str) {
    rusqlite::Connection::open(folder.join("kapsel.db")).unwrap().execute_batch(statement).unwrap();
}

#[tokio::test]
async fn secrets_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |sealer| SqliteStore::open(SqliteOptions::new(folder.path(), sealer)).unwrap();
    kapsel_store::contract::sealing::secrets_are_sealed(open, SqliteStore::close).await;
}
