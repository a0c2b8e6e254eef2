//! The log of attempts as others see it: heads, proofs, keys, tiles; and who may see which.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request};
use kapsel_attestation::{LastHead, SecretKey, Sequencer, SequencerDeps, SequencerSettings};
use kapsel_core::settlement::Next;
use kapsel_core::{AttemptId, Clock as _, EndpointId, IdGenerator, SystemEntropy};
use kapsel_store::{AdminStore as _, AttestationStore as _, StoreError};
use kapsel_verification::{
    ConsistencyProof, Hash, InclusionProof, ProofPackage, ProofVerifier, SignedCheckpoint, SignedTreeHead, TlogProof,
    VerifierKey, leaf_hash,
};
use serde_json::{Value, json};
use test_harness::builders::LOG_ID;

use crate::manage_events::{answered, deliver, settle};
use crate::support::app::ORIGIN;
use crate::support::{Answer, App};

/// The log of an app, with somebody who adds to it.
pub(crate) struct Logger {
    sequencer: Sequencer,
    key: VerifierKey,
}

#[derive(Default)]
struct Memory(Mutex<Option<String>>);

#[async_trait]
impl LastHead for Memory {
    async fn last(&self) -> io::Result<Option<String>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn remember(&self, checkpoint: &str) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(checkpoint.to_owned());
        Ok(())
    }
}

impl Logger {
    pub(crate) async fn of(app: &App) -> Logger {
        app.store.log_open(app.clock.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
        let key = SecretKey::generate(ORIGIN, &SystemEntropy).unwrap();
        let deps = SequencerDeps {
            store: Arc::clone(&app.store) as _,
            keys: Arc::new(vec![key.clone()]),
            last_head: Arc::new(Memory::default()),
            clock: Arc::clone(&app.clock) as _,
            instance: IdGenerator::new(Arc::new(SystemEntropy)).next(app.clock.now()),
            log_id: LOG_ID,
        };
        let sequencer = Sequencer::new(deps, SequencerSettings::default());
        Logger { sequencer, key: key.verifier_key().clone() }
    }

    /// Takes everything in and publishes a head of it.
    pub(crate) async fn publish(&self, app: &App) -> u64 {
        app.clock.advance(Duration::from_secs(2));
        self.sequencer.run_once().await.unwrap().published.unwrap()
    }

    fn verifier(&self) -> ProofVerifier {
        ProofVerifier::new(self.key.clone())
    }
}

/// Delivers one webhook and says which attempt it was.
async fn attempt(app: &App, endpoint: EndpointId) -> (AttemptId, Hash) {
    let (event, claimed) = deliver(app, endpoint).await;
    settle(app, &claimed, answered(200, "thanks"), Next::Delivered).await;
    let delivery = claimed.delivery;
    let detail = app.store.event_get(delivery.tenant_id, delivery.event_id, app.clock.now()).await.unwrap();
    assert_eq!(detail.summary.id.to_string(), event);
    (detail.attempts[0].id, detail.leaf_hashes[0].unwrap())
}

/// Without a key.
async fn public(app: &App, path: &str) -> Answer {
    app.call(Request::get(path).body(axum::body::Body::empty()).unwrap()).await
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[track_caller]
fn expect_pending(answer: &Answer) -> String {
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, Some("1")), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"], "pending");
    body["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_proof_goes_from_waiting_to_proven() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    for path in ["/attestation/sth", "/checkpoint", "/attestation/consistency-proof?old_size=1"] {
        assert_eq!(expect_pending(&public(&app, path).await), "no head of the log has been signed yet");
    }
    let logger = Logger::of(&app).await;
    let (id, hash) = attempt(&app, endpoint).await;
    for path in [format!("/attestation/download-proof/{id}"), format!("/attestation/proof/{hash}")] {
        assert!(expect_pending(&app.get(&path).await).contains("waits"), "{path}");
    }
    // In the tree, and under no head yet.
    let log = app.store.log_get(LOG_ID).await.unwrap();
    assert_eq!(log.size, 0);
    logger.publish(&app).await;
    let (second, second_hash) = attempt(&app, endpoint).await;
    logger.sequencer.run_once().await.unwrap();
    assert_eq!(app.store.log_get(LOG_ID).await.unwrap().size, 2);
    for path in [format!("/attestation/download-proof/{second}"), format!("/attestation/proof/{second_hash}")] {
        assert!(expect_pending(&app.get(&path).await).contains("no signed head covers it"), "{path}");
    }
    assert_eq!(logger.publish(&app).await, 2);

    for prefix in ["", "/api/v1"] {
        let package: ProofPackage = read(&app.get(&format!("{prefix}/attestation/download-proof/{id}")).await);
        let verified = logger.verifier().verify_package(&package).unwrap();
        assert_eq!(verified.leaf.attempt_id, id.to_string());
        assert_eq!(package.leaf_hash, hash);
        let head: SignedTreeHead = read(&public(&app, &format!("{prefix}/attestation/sth")).await);
        assert_eq!(head, package.signed_tree_head);
        let proof: InclusionProof = read(&app.get(&format!("{prefix}/attestation/proof/{hash}")).await);
        logger.verifier().verify_inclusion_proof(&proof, &head).unwrap();
    }
}

#[tokio::test]
async fn a_package_opens_what_is_stored_and_only_that() {
    let app = App::new().await;
    let logger = Logger::of(&app).await;
    let endpoint = app.endpoint().await;
    let (id, _) = attempt(&app, endpoint).await;
    logger.publish(&app).await;
    let answer = app.get(&format!("/attestation/download-proof/{id}")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-disposition"), Some(format!("attachment; filename=\"{id}.json\"").as_str()));
    let package = answer.json();
    assert_eq!(package["openings"]["url"]["value"], "https://destination.example/hook");
    let names: Vec<&String> = package["openings"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["payload_sha256", "response_sha256", "url"]);
    let verified = logger.verifier().verify_package(&read(&answer)).unwrap();
    assert_eq!(verified.opened.url.as_deref(), Some("https://destination.example/hook"));
    // Of the leaf itself nothing can be read back.
    let leaf = app.get(&format!("/attestation/download-proof/{id}?format=leaf")).await;
    assert!(!leaf.text().contains("destination.example"), "{}", leaf.text());
    assert_eq!(package["leaf_hash"].as_str().unwrap(), leaf_hash(&leaf.body).to_string());

    let text = app.get(&format!("/attestation/download-proof/{id}?format=tlog-proof")).await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let proof = TlogProof::parse(&text.body).unwrap();
    logger.verifier().verify_tlog_proof(&proof, &leaf.body).unwrap();
    assert_eq!(app.get(&format!("/attestation/download-proof/{id}?format=pdf")).await.field_paths(), ["format"]);
}

#[tokio::test]
async fn trees_of_all_heads_continue_each_other() {
    let app = App::new().await;
    let logger = Logger::of(&app).await;
    let endpoint = app.endpoint().await;
    let mut heads: Vec<SignedTreeHead> = Vec::new();
    let mut hashes = Vec::new();
    for count in [1, 2, 4, 7] {
        for _ in 0..count {
            hashes.push(attempt(&app, endpoint).await.1);
        }
        logger.publish(&app).await;
        heads.push(read(&public(&app, "/attestation/sth").await));
    }
    assert_eq!(heads.iter().map(|head| head.tree_size).collect::<Vec<_>>(), [1, 3, 7, 14]);
    for (place, old) in heads.iter().enumerate() {
        for new in &heads[place..] {
            let path = format!("/attestation/consistency-proof?old_size={}&new_size={}", old.tree_size, new.tree_size);
            let proof: ConsistencyProof = read(&public(&app, &path).await);
            logger.verifier().verify_consistency(old, new, &proof.proof_hashes).unwrap();
        }
        // Of a leaf, in every tree that has it.
        let path = format!("/attestation/proof/{}?tree_size={}", hashes[0], old.tree_size);
        let proof: InclusionProof = read(&app.get(&path).await);
        logger.verifier().verify_inclusion_proof(&proof, old).unwrap();
    }
    let to_the_last = public(&app, "/attestation/consistency-proof?old_size=3").await;
    assert_eq!(read::<ConsistencyProof>(&to_the_last).new_size, 14);

    for (path, fields) in [
        ("/attestation/consistency-proof", vec!["old_size"]),
        ("/attestation/consistency-proof?old_size=0&new_size=x", vec!["old_size", "new_size"]),
        ("/attestation/consistency-proof?old_size=1&limit=3", vec!["limit"]),
        ("/attestation/sth?tree_size=3", vec!["tree_size"]),
    ] {
        assert_eq!(public(&app, path).await.field_paths(), fields, "{path}");
    }
    for path in ["old_size=3&new_size=2", "old_size=1&new_size=15"] {
        public(&app, &format!("/attestation/consistency-proof?{path}")).await.expect_error(409, "E1011");
    }
    let last = hashes.last().unwrap();
    app.get(&format!("/attestation/proof/{last}?tree_size=13")).await.expect_error(409, "E1011");
    app.get(&format!("/attestation/proof/{last}?tree_size=15")).await.expect_error(409, "E1011");
}

#[tokio::test]
async fn a_proof_is_for_the_owner_of_the_attempt() {
    let app = App::new().await;
    let logger = Logger::of(&app).await;
    let stranger = app.tenant().await;
    let theirs = app.endpoint_with(|builder| builder.with(|endpoint| endpoint.tenant_id = stranger)).await;
    let (id, hash) = attempt(&app, theirs).await;
    for is_published in [false, true] {
        if is_published {
            logger.publish(&app).await;
        }
        let absent = AttemptId::MAX;
        let nothing = leaf_hash(b"nothing");
        for (foreign, missing) in [
            (format!("/attestation/download-proof/{id}"), format!("/attestation/download-proof/{absent}")),
            (format!("/attestation/proof/{hash}"), format!("/attestation/proof/{nothing}")),
        ] {
            let message = app.get(&foreign).await.expect_error(404, "E1008");
            assert_eq!(app.get(&missing).await.expect_error(404, "E1008"), message);
            public(&app, &foreign).await.expect_error(401, "E1007");
        }
    }
    let (own, _) = attempt(&app, app.endpoint().await).await;
    logger.publish(&app).await;
    assert_eq!(app.get(&format!("/attestation/download-proof/{own}")).await.status, 200);
    for path in ["/attestation/proof/abc", "/attestation/download-proof/evt_x", "/attestation/download-proof/"] {
        app.get(path).await.expect_error(404, "E1008");
    }
    app.manage(Method::POST, "/attestation/sth", Some(json!({}))).await.expect_error(405, "E1010");
}

#[tokio::test]
async fn everybody_can_follow_the_public_log() {
    let app = App::new().await;
    let logger = Logger::of(&app).await;
    let endpoint = app.endpoint().await;
    let mut hashes = Vec::new();
    for _ in 0..5 {
        hashes.push(attempt(&app, endpoint).await.1);
    }
    logger.publish(&app).await;
    let checkpoint = public(&app, "/checkpoint").await;
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    let signed = SignedCheckpoint::parse(&checkpoint.body).unwrap();
    assert_eq!((signed.checkpoint().origin(), signed.checkpoint().size()), (ORIGIN, 5));
    logger.verifier().verify_checkpoint(&signed).unwrap();

    let tile = public(&app, "/tile/0/000.p/5").await;
    assert_eq!(tile.status, 200);
    assert_eq!(tile.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(tile.header("content-type"), Some("application/octet-stream"));
    let expected: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    assert_eq!(tile.body, expected);
    assert_eq!(public(&app, "/tile/0/000.p/3").await.body, expected[..96]);
    for path in ["/tile/0/000", "/tile/0/000.p/6", "/tile/0/001.p/1", "/tile/1/000.p/1", "/tile/entries/000.p/5"] {
        public(&app, path).await.expect_error(404, "E1008");
    }

    let keys = public(&app, "/attestation/keys").await.json();
    assert_eq!((&keys["log_id"], &keys["origin"]), (&json!(LOG_ID), &json!(ORIGIN)));
    let purposes: Vec<&Value> = keys["keys"].as_array().unwrap().iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes.len(), 2);
    assert!(purposes.contains(&&json!("checkpoint")) && purposes.contains(&&json!("timestamp")));
    // What the list says is enough to verify with, the time included.
    let mut verifier = logger.verifier();
    for key in keys["keys"].as_array().unwrap() {
        let key: VerifierKey = key["verifier_key"].as_str().unwrap().parse().unwrap();
        verifier = verifier.and_key(key);
    }
    let head: SignedTreeHead = read(&public(&app, "/attestation/sth").await);
    assert!(verifier.verify_signed_tree_head(&head).is_ok());
    assert_eq!(head.timestamp % 1_000, 0);
}

#[tokio::test]
async fn an_attempt_shows_the_hash_of_its_leaf() {
    let app = App::new().await;
    Logger::of(&app).await;
    let endpoint = app.endpoint().await;
    let (id, hash) = attempt(&app, endpoint).await;
    let event = app.events().await[0].id;
    let shown = app.get(&format!("/v1/events/{event}")).await.json();
    assert_eq!(shown["attempts"][0]["id"], json!(id));
    assert_eq!(shown["attempts"][0]["leaf_hash"], json!(hash));
}

#[tokio::test]
async fn a_log_that_stands_still_is_shown_and_keeps_nobody_out() {
    let app = App::new().await;
    *app.log_alarm.lock().unwrap() = Some("the log stands still".to_owned());
    let answer = public(&app, "/health/ready").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["checks"]["alarms"], json!(["the log stands still"]));
    let page = public(&app, "/metrics").await.text();
    assert!(page.contains("\nkapsel_attestation_alarm 1\n"), "{page}");
    assert!(matches!(app.store.log_get(LOG_ID).await, Err(StoreError::NotFound)));
}
