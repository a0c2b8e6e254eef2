//! Real webhooks: every example payload that GitHub's own package holds goes in, signed as GitHub signs, and comes out
//! byte-exact, with a signature that the official Standard Webhooks libraries accept.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use test_harness::destination::{Behaviour, Destination, Received};

use crate::judges::{Judge, output};
use crate::program::Program;

const SECRET: &str = "It's a Secret to Everybody";

/// What the official libraries are asked about a request that arrived.
pub fn question(secret: &str, received: &Received) -> Value {
    let headers: HashMap<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name, received.header(name).unwrap()))
        .collect();
    json!({"secret": secret, "headers": headers, "body_base64": STANDARD.encode(&received.body)})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_github_payload_arrives_byte_exact_and_validly_signed() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = Program::start(folder.path()).await;
    let endpoint = program
        .create_endpoint(json!({
            "url": destination.url(),
            "verification": {"scheme": "github", "secrets": [SECRET]},
        }))
        .await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let payloads = output("octokit_payloads.js").await;
    assert!(payloads.len() >= 300, "hundreds of real payloads: {}", payloads.len());

    let mut sent = HashMap::new();
    for (number, payload) in payloads.iter().enumerate() {
        let body = payload["body"].as_str().unwrap().to_owned();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let delivery = format!("00000000-0000-4000-8000-{number:012x}");
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", payload["event"].as_str().unwrap()),
            ("x-github-delivery", delivery.as_str()),
            ("x-hub-signature-256", signature.as_str()),
        ];
        let answer = program.post(url, &headers, body.clone()).await.expect(200).json();
        sent.insert(answer["event_id"].as_str().unwrap().to_owned(), (body, signature));
    }
    assert_eq!(sent.len(), payloads.len(), "each payload is an event of its own");

    let arrived = destination.wait_for(payloads.len()).await;
    let ids: HashSet<_> = arrived.iter().map(|received| received.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), payloads.len());
    let mut python = Judge::start("verify_standard.py");
    let mut javascript = Judge::start("verify_standard.js");
    for received in &arrived {
        let (body, signature) = &sent[received.header("webhook-id").unwrap()];
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("x-hub-signature-256"), Some(signature.as_str()));
        let question = question(endpoint["signing_secret"].as_str().unwrap(), received);
        for judge in [&mut python, &mut javascript] {
            assert_eq!(judge.ask(&question).await, json!({"ok": true}), "{:?}", received.header("x-github-event"));
        }
    }

    // The judges can say no.
    let mut changed = question(endpoint["signing_secret"].as_str().unwrap(), &arrived[0]);
    changed["body_base64"] = json!(STANDARD.encode(b"{}"));
    for judge in [&mut python, &mut javascript] {
        assert_eq!(judge.ask(&changed).await["ok"], false);
    }
}
