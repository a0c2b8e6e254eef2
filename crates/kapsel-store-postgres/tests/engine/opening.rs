//! What a database has to be, and what is said of one that is not.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::SystemEntropy;
use kapsel_store::AdminStore as _;
use kapsel_store::schema::SchemaMismatch;
use kapsel_store_postgres::{OpenError, PostgresOptions, PostgresStore};
use test_harness::TestClock;
use test_harness::postgres::{PostgresCluster, shared};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{World, blocking, empty_database, migrated_database, open, options, options_at, psql};

/// The whole chain of causes, as the program prints it.
fn words(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn refusal(options: &PostgresOptions) -> (OpenError, String) {
    let error = open(options).await.unwrap_err();
    let words = words(&error);
    assert!(!format!("{words} {error:?}").contains("geheim"), "the password shows: {words}");
    (error, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_instances_may_start_at_once_on_an_empty_database() {
    let database = empty_database().await;
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let options = options(shared(), &database);
            tokio::spawn(async move { open(&options).await })
        })
        .collect();
    for store in opened {
        let store = store.await.unwrap().unwrap();
        store.ping().await.unwrap();
        store.close().await;
    }
    assert_eq!(psql(&database, "SELECT count(*) FROM schema_migrations WHERE version = 1").await, "1");
}

#[tokio::test]
async fn what_is_stored_is_there_after_opening_again() {
    let database = empty_database().await;
    let world = World::new();
    let store = open(&options(shared(), &database)).await.unwrap();
    let endpoint = world.endpoint(&store).await;
    store.close().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), endpoint);
    let other = store.clone();
    store.close().await;
    assert!(other.ping().await.is_err(), "calls after the end are refused");
}

#[tokio::test]
async fn a_newer_or_changed_schema_is_refused() {
    let database = migrated_database().await;
    let sql = "INSERT INTO schema_migrations VALUES (99, '0099_future', '')";
    psql(&database, sql).await;
    let (error, _) = refusal(&options(shared(), &database)).await;
    assert!(matches!(error, OpenError::Schema(SchemaMismatch::Newer { found: 99, .. })), "{error:?}");

    psql(&database, "DELETE FROM schema_migrations WHERE version = 99").await;
    psql(&database, "UPDATE schema_migrations SET checksum = '' WHERE version = 1").await;
    let (error, _) = refusal(&options(shared(), &database)).await;
    assert!(matches!(error, OpenError::Schema(SchemaMismatch::Changed { version: 1, .. })), "{error:?}");
}

#[tokio::test]
async fn a_wrong_login_is_told_at_once() {
    let database = empty_database().await;
    psql("postgres", "CREATE ROLE somebody LOGIN PASSWORD 'right'").await;
    // It would wait for a server that is away, but not for a password to become right.
    let patient = |url| PostgresOptions { wait_max: Duration::from_secs(600), ..options_at(url) };
    let (error, words) = refusal(&patient(shared().url_for("somebody", "geheim", &database))).await;
    assert!(matches!(error, OpenError::Login(_)), "{error:?}");
    assert!(words.contains("password authentication failed for user \"somebody\""), "{words}");

    let (error, words) = refusal(&patient(shared().url("no_such_database"))).await;
    assert!(matches!(error, OpenError::Login(_)), "{error:?}");
    assert!(words.contains("database \"no_such_database\" does not exist"), "{words}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_after_the_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (error, words) = refusal(&options_at(format!("postgres://u:geheim@127.0.0.1:{port}/db"))).await;
    assert!(matches!(error, OpenError::Unreachable(_)) && words.contains("refused"), "{words}");

    let (error, words) = refusal(&options_at("postgres://u:geheim@no-such-host.invalid/db".to_owned())).await;
    assert!(matches!(error, OpenError::Unreachable(_)) && words.contains("lookup"), "{words}");
}

/// Of a list of hosts, the first that takes writes is used.
#[tokio::test]
async fn a_dead_host_of_a_list_is_passed_over() {
    let database = migrated_database().await;
    let port = shared().port();
    let url = format!("postgres://postgres@127.0.0.1:1,127.0.0.1:{port}/{database}");
    let store = open(&options_at(url)).await.unwrap();
    store.ping().await.unwrap();
    store.close().await;
}

/// Answers as a server of version 12 does, up to the first question.
#[tokio::test]
async fn an_old_server_is_refused_by_its_version() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let length = socket.read_i32().await.unwrap();
        let mut startup = vec![0; usize::try_from(length).unwrap() - 4];
        socket.read_exact(&mut startup).await.unwrap();
        let mut hello = Vec::new();
        hello.extend_from_slice(b"R\0\0\0\x08\0\0\0\0");
        let version = b"server_version\x0012.22\0";
        hello.push(b'S');
        hello.extend_from_slice(&u32::try_from(version.len() + 4).unwrap().to_be_bytes());
        hello.extend_from_slice(version);
        hello.extend_from_slice(b"Z\0\0\0\x05I");
        socket.write_all(&hello).await.unwrap();
        // Every question is answered with "done".
        loop {
            let Ok(_kind) = socket.read_u8().await else { return };
            let length = socket.read_i32().await.unwrap();
            let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
            socket.read_exact(&mut rest).await.unwrap();
            let _ = socket.write_all(b"C\0\0\0\x08SET\0Z\0\0\0\x05I").await;
        }
    });
    let url = format!("postgres://u:geheim@127.0.0.1:{port}/db?sslmode=disable&target_session_attrs=any");
    let (error, words) = refusal(&options_at(url)).await;
    assert!(matches!(&error, OpenError::TooOld { found } if found == "12.22"), "{error:?}");
    assert!(words.contains("PostgreSQL 14 or newer"), "{words}");
    server.abort();
}

#[tokio::test]
async fn another_encoding_is_refused() {
    let database = format!("{}_latin", empty_database().await);
    let sql = format!("CREATE DATABASE {database} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    psql("postgres", &sql).await;
    let (error, words) = refusal(&options(shared(), &database)).await;
    assert!(matches!(error, OpenError::Encoding { .. }) && words.contains("ENCODING 'UTF8'"), "{words}");
}

#[tokio::test]
async fn a_database_that_may_lose_commits_is_refused_unless_told_otherwise() {
    let cluster = Arc::new(blocking(|| PostgresCluster::start(&[("fsync", "off")])).await);
    let expect_refusal = async |setting: &str| {
        let (error, words) = refusal(&options(&cluster, "postgres")).await;
        assert!(matches!(error, OpenError::Unsafe { .. }) && words.contains(setting), "{words}");
        assert!(words.contains("KAPSEL_ALLOW_UNSAFE_DATABASE"), "{words}");
    };
    let set = async |sql: &'static str| {
        let cluster = Arc::clone(&cluster);
        // The reload reaches new connections a moment later, so it is awaited.
        blocking(move || {
            cluster.psql("postgres", sql);
            cluster.stop_fast();
            cluster.start_again();
        })
        .await;
    };
    expect_refusal("fsync=off").await;
    set("ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = off").await;
    expect_refusal("full_page_writes=off").await;
    set("ALTER SYSTEM SET full_page_writes = on; ALTER SYSTEM SET synchronous_commit = off").await;
    expect_refusal("synchronous_commit=off").await;

    let experiment = PostgresOptions { allow_unsafe: true, ..options(&cluster, "postgres") };
    open(&experiment).await.unwrap().close().await;
    set("ALTER SYSTEM SET synchronous_commit = local").await;
    open(&options(&cluster, "postgres")).await.unwrap().close().await;
}

/// An ordinary user needs no more than the rights that an administrator is told to give.
#[tokio::test]
async fn missing_rights_are_told_with_what_to_do_about_them() {
    // A cluster of its own: the role of the API belongs to all databases of one.
    let cluster = Arc::new(blocking(|| PostgresCluster::start(&[])).await);
    let run = async |database: &'static str, sql: &'static str| {
        let cluster = Arc::clone(&cluster);
        blocking(move || cluster.psql(database, sql)).await
    };
    run("postgres", "CREATE ROLE plain LOGIN PASSWORD 'geheim'; CREATE DATABASE shop").await;
    run("shop", "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let options = options_at(cluster.url_for("plain", "geheim", "shop"));

    let (error, words) = refusal(&options).await;
    assert!(matches!(error, OpenError::Rights { .. }) && words.contains("let plain create tables"), "{words}");

    run("shop", "GRANT CREATE ON SCHEMA public TO plain").await;
    let (error, words) = refusal(&options).await;
    assert!(matches!(error, OpenError::Rights { .. }), "{words}");
    assert!(words.contains("CREATE ROLE kapsel_api NOLOGIN; GRANT kapsel_api TO \"plain\""), "{words}");

    run("shop", "CREATE ROLE kapsel_api NOLOGIN; GRANT kapsel_api TO plain").await;
    let store = PostgresStore::open(&options, Arc::new(SystemEntropy), {
        use kapsel_core::Clock as _;
        TestClock::new().now()
    })
    .await
    .unwrap();
    let world = World::new();
    let endpoint = world.endpoint(&store).await;
    world.insert(&store, vec![world.event(&endpoint)]).await.unwrap();
    assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), endpoint);
    store.close().await;
}

/// Row-level security hides rows from whoever is not their owner instead of refusing them: what is queued would never be
/// delivered.
#[tokio::test]
async fn somebody_else_than_the_owner_of_the_tables_is_refused() {
    let database = migrated_database().await;
    psql("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'geheim'; GRANT kapsel_api TO stranger").await;
    let grant = "GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger; GRANT ALL ON SCHEMA public TO stranger";
    psql(&database, grant).await;
    let (error, words) = refusal(&options_at(shared().url_for("stranger", "geheim", &database))).await;
    assert!(matches!(error, OpenError::Rights { .. }) && words.contains("connect as their owner"), "{words}");
}

#[tokio::test]
async fn secrets_are_sealed() {
    let database = migrated_database().await;
    let open = async |sealer| {
        let options = PostgresOptions { sealer, ..options(shared(), &database) };
        crate::support::open(&options).await.unwrap()
    };
    kapsel_store::contract::sealing::secrets_are_sealed(open, PostgresStore::close).await;
}
