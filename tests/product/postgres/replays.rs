//! A replay belongs to no instance.

use http::Method;
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::replays::{all_delivered_at_the_second_attempt, fail_many, has_replayed, is_completed, wait_for_replay};

const EVENTS: usize = 40;

/// Made at one instance, watched at the other, and at its end though the first one is dead for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_finished_by_whoever_is_left() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 2).await;
    let destination = Destination::start(Behaviour::FailFirst(EVENTS, 404)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    let ids = fail_many(&fleet[0], &ingest_url(&fleet[0], &endpoint_id), EVENTS).await;

    let body = json!({"endpoint_id": endpoint_id, "rate_per_second": 10});
    let replay = fleet[1].manage(Method::POST, "/v1/replays", Some(body)).await.expect(201).json();
    assert_eq!(replay["matched_count"], EVENTS);
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    wait_for_replay(&fleet[0], &path, has_replayed(1)).await;
    fleet.kill(1).await;

    let replay = wait_for_replay(&fleet[0], &path, is_completed).await;
    assert_eq!((&replay["replayed_count"], &replay["skipped_count"]), (&json!(EVENTS), &json!(0)), "{replay}");
    // The dead one may have been at work on some.
    fleet.wait_until_delivered(&database).await;
    all_delivered_at_the_second_attempt(&fleet[0], &ids).await;
    assert!(destination.count() >= 2 * EVENTS);
    fleet.terminate().await;
}
