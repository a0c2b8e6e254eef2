//! Exporting from outside.

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::{Program, post_request, send};

/// A few thousand events, while others come in: all that were there at the beginning are in it, once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_while_events_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    whole_export(&program, 2_000).await;
    assert!(program.terminate().await.success());
}

/// Exports while events come in, and checks that nothing is missing.
pub async fn whole_export(program: &Program, count: usize) {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = endpoint["ingest_url"].as_str().unwrap().to_owned();
    let accept = async |count: usize| {
        let mut ids = Vec::new();
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..count {
            let (client, url) = (program.client(), url.clone());
            under_way.spawn(async move {
                let request = post_request(&url, &[], format!("body {number}"));
                let answer = send(&client, request).await.unwrap().expect(200).json();
                answer["event_id"].as_str().unwrap().to_owned()
            });
            if under_way.len() >= 32 {
                ids.push(under_way.join_next().await.unwrap().unwrap());
            }
        }
        while let Some(id) = under_way.join_next().await {
            ids.push(id.unwrap());
        }
        ids
    };
    let mut before = accept(count).await;
    before.sort_unstable();
    let (export, _) = tokio::join!(program.manage(Method::GET, "/v1/export", None), accept(500));
    let text = String::from_utf8(export.expect(200).body.to_vec()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&Value> = lines.iter().filter(|line| line["type"] == "event").collect();
    let ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(lines.last().unwrap(), &json!({"type": "end", "events": ids.len()}));
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "once and in order");
    let found: std::collections::HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(before.iter().filter(|id| !found.contains(id.as_str())).count(), 0, "missing of {}", before.len());
    assert!(events.iter().all(|event| event["payload"].is_string() != event["erased_at"].is_string()));
}
