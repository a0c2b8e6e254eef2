//! The second wall: what the API's role sees when a statement forgets to ask for the tenant.

use kapsel_core::{SystemEntropy, Tenant, TenantId};
use kapsel_store::{AdminStore as _, DeliveryStore as _, ReplayStore as _, TenantStore as _};
use std::sync::Arc;
use test_harness::EndpointBuilder;
use test_harness::builders::api_key;
use test_harness::postgres::shared;
use tokio_postgres::{Client, NoTls};

use crate::support::{World, migrated_database, open, options};

const TABLES: [&str; 9] = [
    "endpoints",
    "events",
    "event_bodies",
    "queue",
    "delivery_attempts",
    "outcomes",
    "replays",
    "log_leaves",
    "api_keys",
];

/// A connection as the engine makes them for the API.
async fn as_api_role(database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&shared().url(database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET ROLE kapsel_api").await.unwrap();
    client
}

/// Which tenants a table shows, without any condition.
async fn tenants_in(client: &Client, table: &str) -> Vec<uuid::Uuid> {
    let rows = client.query(&format!("SELECT DISTINCT tenant_id FROM {table} ORDER BY 1"), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A database in which two tenants have a row in every table.
async fn two_tenants() -> (String, [TenantId; 2]) {
    let database = migrated_database().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    let world = World::new();
    let tenants: [TenantId; 2] = [world.ids.next(world.now()), world.ids.next(world.now())];
    for tenant_id in tenants {
        let mut endpoint = EndpointBuilder::new(world.ids.next(world.now()), "https://a.example/", world.now()).build();
        endpoint.tenant_id = tenant_id;
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        let lease = world.lease();
        let mut failing = world.event_with(&endpoint, vec![7; 100_000]);
        failing.deliveries[0].lease = Some(lease);
        world.insert(&store, vec![failing.clone(), world.event(&endpoint)]).await.unwrap();
        let settlement = world.failed(&failing, lease);
        store.delivery_settle_if_leased(world.now(), Arc::new(vec![settlement])).await.unwrap();
        store.replay_insert(world.replay(tenant_id)).await.unwrap();
        store.tenant_insert(Tenant { id: tenant_id, ..Tenant::default_at(world.now()) }).await.unwrap();
        let (key, _) = api_key(world.ids.next(world.now()), tenant_id, world.now(), &SystemEntropy);
        store.api_key_insert(key).await.unwrap();
    }
    store.close().await;
    (database, tenants)
}

#[tokio::test]
async fn a_statement_without_any_filter_shows_only_the_own_tenants_rows() {
    let (database, tenants) = two_tenants().await;
    let client = as_api_role(&database).await;
    for tenant_id in tenants {
        let id = uuid::Uuid::from_bytes(*tenant_id.as_bytes());
        client.batch_execute(&format!("BEGIN; SET LOCAL kapsel.tenant_id = '{id}'")).await.unwrap();
        for table in TABLES {
            assert_eq!(tenants_in(&client, table).await, [id], "{table}");
        }
        client.batch_execute("COMMIT").await.unwrap();
        // The setting ended with the transaction; whoever forgets it sees nothing at all.
        for table in TABLES {
            assert!(tenants_in(&client, table).await.is_empty(), "{table}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_can_be_neither_written_nor_removed() {
    let (database, [own, other]) = two_tenants().await;
    let client = as_api_role(&database).await;
    let [own, other] = [own, other].map(|id| uuid::Uuid::from_bytes(*id.as_bytes()));
    client.batch_execute(&format!("BEGIN; SET LOCAL kapsel.tenant_id = '{own}'")).await.unwrap();
    for statement in [
        format!("UPDATE endpoints SET version = 9 WHERE tenant_id = '{other}'"),
        format!("DELETE FROM queue WHERE tenant_id = '{other}'"),
        format!("DELETE FROM outcomes WHERE tenant_id = '{other}'"),
        format!("UPDATE replays SET version = 9 WHERE tenant_id = '{other}'"),
        format!("UPDATE api_keys SET revoked_at = 9 WHERE tenant_id = '{other}'"),
    ] {
        assert_eq!(client.execute(&statement, &[]).await.unwrap(), 0, "{statement}");
    }
    // Nor can an own row be given away.
    let given = client.execute(&format!("UPDATE endpoints SET tenant_id = '{other}'"), &[]).await.unwrap_err();
    assert!(format!("{given:?}").contains("row-level security"), "{given:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn the_role_reaches_no_table_by_another_way() {
    let (database, _) = two_tenants().await;
    let client = as_api_role(&database).await;
    for forbidden in [
        "SELECT * FROM events_default",
        "SELECT * FROM idempotency_keys",
        "SELECT * FROM instances",
        "DELETE FROM events",
        "DELETE FROM replays",
        "DELETE FROM api_keys",
        "UPDATE tenants SET status = 'active'",
        "UPDATE delivery_attempts SET number = 0",
        "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
        "DROP TABLE queue",
    ] {
        let error = client.batch_execute(forbidden).await.unwrap_err();
        let code = error.code().unwrap();
        assert_eq!(*code, tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE, "{forbidden}: {error:?}");
    }
}
