//! Partitions of a real database: made ahead, filled, missed, dropped.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock as _, EventId, SystemEntropy, Timestamp};
use kapsel_store::{AdminStore as _, Ingested, Retention};
use kapsel_store_postgres::{PostgresStore, Upkeep};
use test_harness::TestClock;
use test_harness::postgres::shared;

use crate::support::{World, migrated_database, open, options, psql};

const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Bench {
    database: String,
    store: PostgresStore,
    world: World,
    clock: Arc<TestClock>,
    upkeep: Upkeep,
}

impl Bench {
    async fn new() -> Self {
        let database = migrated_database().await;
        let store = open(&options(shared(), &database)).await.unwrap();
        let world = World::new();
        let clock = Arc::new(TestClock::new());
        let shared_clock = Arc::clone(&clock);
        let upkeep = Upkeep::new(store.clone(), shared_clock, world.ids.next(world.now()), "1.2.3");
        Bench { database, store, world, clock, upkeep }
    }

    async fn count(&self, table: &str) -> usize {
        psql(&self.database, &format!("SELECT count(*) FROM {table}")).await.parse().unwrap()
    }

    async fn has(&self, table: &str) -> bool {
        psql(&self.database, &format!("SELECT to_regclass('{table}') IS NOT NULL")).await == "t"
    }
}

#[tokio::test]
async fn rows_go_to_the_partition_of_their_day() {
    let bench = Bench::new().await;
    assert!(!bench.store.partitions().is_alarm(), "{:?}", bench.store.partitions());
    let endpoint = bench.world.endpoint(&bench.store).await;
    bench.world.insert(&bench.store, vec![bench.world.event_with(&endpoint, vec![1; 70_000])]).await.unwrap();
    bench.world.clock.advance(13 * DAY);
    bench.world.insert(&bench.store, vec![bench.world.event(&endpoint)]).await.unwrap();
    for (table, rows) in [
        ("events_p20260101", 1),
        ("event_bodies_p20260101", 1),
        ("events_p20260114", 1),
        ("events_default", 0),
        ("event_bodies_default", 0),
    ] {
        assert_eq!(bench.count(table).await, rows, "{table}");
    }
}

#[tokio::test]
async fn a_missing_partition_refuses_nothing_is_told_and_is_mended() {
    let bench = Bench::new().await;
    let endpoint = bench.world.endpoint(&bench.store).await;
    psql(&bench.database, "DROP TABLE events_p20260101; DROP TABLE delivery_attempts_p202601").await;
    let new = bench.world.event(&endpoint);
    assert_eq!(bench.world.insert(&bench.store, vec![new.clone()]).await.unwrap(), [Ingested::Created]);
    assert_eq!(bench.count("events_default").await, 1);

    // Another instance has the right to mend it at first: this one only tells.
    let other =
        Upkeep::new(bench.store.clone(), Arc::new(TestClock::new()), bench.world.ids.next(bench.world.now()), "1");
    psql(&bench.database, "INSERT INTO leases VALUES ('partitions', gen_random_uuid(), 1, 9000000000000000)").await;
    let report = other.run_once().await.unwrap();
    assert_eq!(report.missing, ["events_p20260101", "delivery_attempts_p202601"]);
    assert_eq!(report.strays, ["events_default"]);
    assert!(report.is_alarm() && bench.store.partitions().is_alarm());

    psql(&bench.database, "DELETE FROM leases").await;
    let report = bench.upkeep.run_once().await.unwrap();
    assert_eq!((report.made, report.is_alarm()), (2, false), "{report:?}");
    assert!(!bench.store.partitions().is_alarm());
    assert_eq!((bench.count("events_default").await, bench.count("events_p20260101").await), (0, 1));
    let detail = bench.store.event_get(endpoint.tenant_id, new.event.id, bench.world.now()).await.unwrap();
    assert_eq!(detail.summary.id, new.event.id);
}

#[tokio::test]
async fn old_partitions_go_unless_something_in_them_is_undelivered() {
    let bench = Bench::new().await;
    let endpoint = bench.world.endpoint(&bench.store).await;
    let new = bench.world.event(&endpoint);
    bench.world.insert(&bench.store, vec![new.clone()]).await.unwrap();

    bench.clock.set(bench.world.now() + 40 * DAY);
    let report = bench.upkeep.run_once().await.unwrap();
    assert!(report.made > 40 && !report.is_alarm(), "{report:?}");
    assert!(bench.has("events_p20260101").await, "it holds an undelivered event");
    assert!(!bench.has("events_p20260102").await, "others do not stay because of it");
    assert!(!bench.has("idempotency_keys_p20260101").await);
    assert!(!bench.has("events_p20251231").await);

    psql(&bench.database, "DELETE FROM queue").await;
    let report = bench.upkeep.run_once().await.unwrap();
    assert_eq!(report.dropped, 2, "{report:?}");
    assert!(!bench.has("events_p20260101").await && !bench.has("event_bodies_p20260110").await);
    assert!(bench.has("events_p20260112").await, "thirty days are kept");
    assert!(bench.has("delivery_attempts_p202601").await, "attempts are kept longer");
    assert!(bench.store.event_get(endpoint.tenant_id, new.event.id, bench.world.now()).await.is_err());
}

#[tokio::test]
async fn instances_say_that_they_live_and_are_forgotten_after_a_day() {
    let bench = Bench::new().await;
    bench.upkeep.beat(false).await.unwrap();
    let row = "SELECT version, last_seen_at - started_at, is_draining FROM instances";
    assert_eq!(psql(&bench.database, row).await, "1.2.3|0|f");
    bench.clock.advance(Duration::from_secs(10));
    bench.upkeep.beat(true).await.unwrap();
    assert_eq!(psql(&bench.database, row).await, "1.2.3|10000000|t");
    bench.clock.advance(DAY + Duration::from_secs(1));
    let (clock, other) = (Arc::clone(&bench.clock), bench.world.ids.next(bench.world.now()));
    let other = Upkeep::new(bench.store.clone(), clock, other, "1.2.4");
    other.beat(false).await.unwrap();
    assert_eq!(psql(&bench.database, "SELECT version FROM instances").await, "1.2.4");
}

/// Nothing waits for a partition: the one of the moment is made when the store is opened.
#[tokio::test]
async fn opening_makes_what_the_moment_calls_for() {
    let database = migrated_database().await;
    let later = Timestamp::from_unix_seconds(1_798_761_600); // 2027-01-01
    let opened = options(shared(), &database);
    let store = PostgresStore::open(&opened, Arc::new(SystemEntropy), later).await.unwrap();
    assert!(!store.partitions().is_alarm());
    for table in ["events_p20270101", "events_p20270115", "outcomes_p202702", "idempotency_keys_p20270110"] {
        assert_eq!(psql(&database, &format!("SELECT to_regclass('{table}') IS NOT NULL")).await, "t", "{table}");
    }
    assert!(EventId::lower_bound(later) > EventId::lower_bound(TestClock::new().now()));
    assert_eq!(opened.retention, Retention::default());
}
