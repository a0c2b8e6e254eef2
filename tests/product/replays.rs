//! Many events that failed are sent anew, over pauses, kills and restarts.

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::{PATIENCE, Program};

const EVENTS: usize = 40;
/// So that the whole takes ten seconds, and a pause comes before the end.
const RATE_PER_SECOND: u32 = 4;

/// Sends so many webhooks and waits until each has failed. Returns the events' ids, the oldest first.
pub async fn fail_many(program: &Program, ingest_url: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let answer = program.post(ingest_url, &[], format!("number {number}")).await.expect(200).json();
        ids.push(answer["event_id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        program.wait_for_status(id, "failed").await;
    }
    ids
}

/// Waits until a replay is as wanted. The program offers no stream of them, so it is asked again and again.
pub async fn wait_for_replay(program: &Program, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let poll = async {
        loop {
            let replay = program.manage(Method::GET, path, None).await.expect(200).json();
            if wanted(&replay) {
                return replay;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{path} did not become as wanted"))
}

/// At least so many events of it have been queued.
pub fn has_replayed(count: u64) -> impl Fn(&Value) -> bool {
    move |replay| replay["replayed_count"].as_u64().unwrap() >= count
}

pub fn is_completed(replay: &Value) -> bool {
    replay["status"] == "completed"
}

/// Each of these failed at its first attempt and was delivered at its second, and no more than that is on record.
pub async fn all_delivered_at_the_second_attempt(program: &Program, ids: &[String]) {
    for id in ids {
        let event = program.wait_for_status(id, "delivered").await;
        let attempts = event["attempts"].as_array().unwrap();
        let history: Vec<_> =
            attempts.iter().map(|attempt| (&attempt["attempt_number"], &attempt["response_status"])).collect();
        assert_eq!(history, [(&json!(1), &json!(404)), (&json!(2), &json!(200))], "{event}");
    }
}

/// Which bodies arrived under which `webhook-id`, and how often.
fn arrived(destination: &Destination) -> HashMap<String, (Vec<u8>, usize)> {
    let mut arrived: HashMap<String, (Vec<u8>, usize)> = HashMap::new();
    for received in destination.received() {
        let id = received.header("webhook-id").unwrap().to_owned();
        let (body, times) = arrived.entry(id).or_insert_with(|| (received.body.to_vec(), 0));
        assert_eq!(body, &received.body);
        *times += 1;
    }
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_over_pause_kill_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    // It is well again once each has failed.
    let destination = Destination::start(Behaviour::FailFirst(EVENTS, 404)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let ids = fail_many(&program, endpoint["ingest_url"].as_str().unwrap(), EVENTS).await;

    let body = json!({"statuses": ["failed"], "rate_per_second": RATE_PER_SECOND});
    let preview = program.manage(Method::POST, "/v1/replays/preview", Some(body.clone())).await.expect(200).json();
    assert_eq!((&preview["count"], &preview["is_capped"]), (&json!(EVENTS), &json!(false)));
    let replay = program.manage(Method::POST, "/v1/replays", Some(body)).await.expect(201).json();
    assert_eq!((&replay["matched_count"], &replay["replayed_count"]), (&json!(EVENTS), &json!(0)));
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    // What fails afterwards is none of its business.
    let bad = Destination::start(Behaviour::Ok(404)).await;
    let other = program.create_endpoint(json!({"url": bad.url()})).await;
    let late = fail_many(&program, other["ingest_url"].as_str().unwrap(), 1).await;

    wait_for_replay(&program, &path, has_replayed(1)).await;
    let paused = program.manage(Method::POST, &format!("{path}/pause"), None).await.expect(200).json();
    let done = paused["replayed_count"].as_u64().unwrap();
    assert!(paused["status"] == "paused" && done < EVENTS as u64, "{paused}");
    program.kill().await;

    let program = Program::start(folder.path()).await;
    // What was queued goes out; nothing is added to it.
    for id in &ids[..usize::try_from(done).unwrap()] {
        program.wait_for_status(id, "delivered").await;
    }
    assert_eq!(program.manage(Method::GET, &path, None).await.json(), paused);
    assert_eq!(program.list_events("&status=failed").await.len(), EVENTS - usize::try_from(done).unwrap() + 1);
    program.manage(Method::POST, &format!("{path}/resume"), None).await.expect(200);
    wait_for_replay(&program, &path, has_replayed(done + 1)).await;
    program.kill().await;

    // Nobody asks it to go on.
    let program = Program::start(folder.path()).await;
    let replay = wait_for_replay(&program, &path, is_completed).await;
    assert_eq!((&replay["replayed_count"], &replay["skipped_count"]), (&json!(EVENTS), &json!(0)), "{replay}");
    assert_eq!(replay["progress"], 1.0);
    all_delivered_at_the_second_attempt(&program, &ids).await;
    let arrived = arrived(&destination);
    assert_eq!(arrived.len(), EVENTS);
    for (number, id) in ids.iter().enumerate() {
        let (body, times) = &arrived[id];
        assert_eq!(body, format!("number {number}").as_bytes());
        assert!(*times >= 2, "{id}");
    }
    assert_eq!(program.event(&late[0]).await["attempts"].as_array().unwrap().len(), 1);
    program.manage(Method::POST, &format!("{path}/pause"), None).await.expect(409);
    assert!(program.terminate().await.success());
}
