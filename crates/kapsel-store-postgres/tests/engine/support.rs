//! Fresh databases, and the few sentences that the tests here say over and over again.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Clock as _, DeliveryRef, Endpoint, EndpointId, Entropy as _, FinalReason, IdGenerator, Lease, LeaseToken,
    Outcome, ReplayState, ResponseHead, SystemEntropy, TenantId, Timestamp,
};
use kapsel_store::{
    AdminStore as _, IngestStore as _, Ingested, NewDelivery, NewEvent, Replay, ReplayCount, ReplayFilter, Settlement,
    StoreError,
};
use kapsel_store_postgres::{OpenError, PostgresOptions, PostgresStore};
use test_harness::builders::leaf_of;
use test_harness::postgres::{PostgresCluster, fresh_database_name, shared};
use test_harness::{EndpointBuilder, EventBuilder, TestClock};
use tokio::sync::OnceCell;

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Statements on a database of the shared cluster, as the superuser.
pub(crate) async fn psql(database: &str, sql: &str) -> String {
    let (database, sql) = (database.to_owned(), sql.to_owned());
    blocking(move || shared().psql(&database, &sql)).await
}

/// An empty database of the shared cluster.
pub(crate) async fn empty_database() -> String {
    blocking(|| {
        let name = fresh_database_name();
        shared().create_database(&name);
        name
    })
    .await
}

/// A database of the shared cluster with the schema in it, which is brought there once and copied.
pub(crate) async fn migrated_database() -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE
        .get_or_init(|| async {
            let name = empty_database().await;
            open(&options(shared(), &name)).await.unwrap().close().await;
            // A copy is refused while somebody is connected, and a closed connection takes a moment to go.
            let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
            while psql("postgres", &gone).await != "0" {}
            name
        })
        .await
        .clone();
    blocking(move || {
        let name = fresh_database_name();
        shared().create_database_from(&name, &template);
        name
    })
    .await
}

/// Few connections, because many tests run beside each other.
pub(crate) fn options(cluster: &PostgresCluster, database: &str) -> PostgresOptions {
    options_at(cluster.url(database))
}

pub(crate) fn options_at(url: String) -> PostgresOptions {
    PostgresOptions {
        connections_max: 7,
        wait_max: Duration::ZERO,
        ..PostgresOptions::new(url, test_harness::sealer())
    }
}

pub(crate) async fn open(options: &PostgresOptions) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(options, Arc::new(SystemEntropy), TestClock::new().now()).await
}

/// A store in a database of its own.
pub(crate) async fn fresh_store() -> PostgresStore {
    let database = migrated_database().await;
    open(&options(shared(), &database)).await.unwrap()
}

/// Makes ids, endpoints and events.
pub(crate) struct World {
    pub(crate) ids: IdGenerator,
    pub(crate) clock: TestClock,
}

impl World {
    pub(crate) fn new() -> Self {
        World { ids: IdGenerator::new(Arc::new(SystemEntropy)), clock: TestClock::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn endpoint(&self, store: &PostgresStore) -> Endpoint {
        let id: EndpointId = self.ids.next(self.now());
        let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", self.now()).build();
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        endpoint
    }

    pub(crate) fn event(&self, endpoint: &Endpoint) -> NewEvent {
        self.event_with(endpoint, "body")
    }

    pub(crate) fn event_with(&self, endpoint: &Endpoint, body: impl Into<bytes::Bytes>) -> NewEvent {
        let event = EventBuilder::new(self.ids.next(self.now()), endpoint, self.now()).body(body.into()).build();
        let delivery =
            NewDelivery { id: self.ids.next(self.now()), endpoint_id: endpoint.id, lease: None, ended: None };
        NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
    }

    pub(crate) fn lease(&self) -> Lease {
        let token = LeaseToken(SystemEntropy.next_u64().cast_signed());
        Lease { owner: self.ids.next(self.now()), token, until: self.now() + Duration::from_secs(60) }
    }

    /// The settlement of a delivery that was refused for good.
    pub(crate) fn failed(&self, new: &NewEvent, lease: Lease) -> Settlement {
        let delivery = DeliveryRef {
            id: new.deliveries[0].id,
            event_id: new.event.id,
            endpoint_id: new.deliveries[0].endpoint_id,
            tenant_id: new.event.tenant_id,
        };
        let attempt = Attempt {
            id: self.ids.next(self.now()),
            delivery,
            number: 1,
            url: "https://destination.example/hook".to_owned(),
            started_at: self.now(),
            duration: Duration::from_millis(1),
            outcome: Outcome::Response(ResponseHead { status: 400, ..ResponseHead::default() }),
        };
        let decision = Decision { next: Next::Failed(FinalReason::Refused), disable_endpoint: None };
        let leaf = leaf_of(&attempt, &new.event.body_sha256);
        Settlement { lease, attempt, decision, leaf }
    }

    /// The settlement of a delivery that arrived.
    pub(crate) fn delivered(&self, new: &NewEvent, lease: Lease) -> Settlement {
        let mut settlement = self.failed(new, lease);
        settlement.attempt.outcome = Outcome::Response(ResponseHead { status: 200, ..ResponseHead::default() });
        settlement.decision.next = Next::Delivered;
        settlement.leaf = leaf_of(&settlement.attempt, &new.event.body_sha256);
        settlement
    }

    /// A running job about everything that `tenant_id` has.
    pub(crate) fn replay(&self, tenant_id: TenantId) -> Replay {
        let filter = ReplayFilter { endpoint_id: None, statuses: ReplayFilter::STATUSES, since: None, until: None };
        let now = self.now();
        Replay {
            id: self.ids.next(now),
            tenant_id,
            filter,
            range: filter.range(self.ids.next(now)),
            rate_per_second: 100,
            state: ReplayState::Running,
            matched: ReplayCount::default(),
            replayed_count: 0,
            skipped_count: 0,
            next_step_at: now,
            created_at: now,
            updated_at: now,
            completed_at: None,
            version: 1,
        }
    }

    pub(crate) async fn insert(
        &self,
        store: &PostgresStore,
        batch: Vec<NewEvent>,
    ) -> Result<Vec<Ingested>, StoreError> {
        store.event_insert_batch(self.now(), Arc::new(batch)).await
    }
}

pub(crate) fn key(text: &str, window: Duration) -> IdempotencyKey {
    let mut hash = [0; 32];
    hash[..text.len()].copy_from_slice(text.as_bytes());
    IdempotencyKey { text: text.to_owned(), hash, explicit: true, window }
}
