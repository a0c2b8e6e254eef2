//! Erasing and exporting where instances share a database.

use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::erasure::{PERSONAL, deliver_personal, erase_and_verify};
use crate::export::whole_export;

/// Delivered by one instance, erased by way of the other; no row holds it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_erased_whichever_instance_is_asked() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 2).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    let ids = deliver_personal(&fleet[0], &ingest_url(&fleet[0], &endpoint_id)).await;
    let held = format!(
        "SELECT count(*) FROM events WHERE position('{0}'::bytea IN headers) > 0 OR position('{0}'::bytea IN body) > 0",
        PERSONAL.replace('\'', "''")
    );
    assert_ne!(database.sql(&held).await, "0");
    erase_and_verify(&fleet[1], &ids).await;
    assert_eq!(database.sql(&held).await, "0");
    assert_eq!(database.sql("SELECT count(*) FROM event_bodies").await, "0");
    assert_eq!(database.sql("SELECT count(*) FROM delivery_attempts WHERE leaf_secret IS NOT NULL").await, "0");
    whole_export(&fleet[0], 500).await;
    fleet.terminate().await;
}
