//! Erasing from outside: the bytes are gone from the files, and the proof still convinces.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::attestation::{fsck, package, verify};
use crate::program::{MASTER_KEY, PATIENCE, Program};

/// What must not be found anywhere afterwards.
pub const PERSONAL: &str = "ada.lovelace@example.org lives at 12 St James's Square";

/// Waits until an erasure is completed.
pub async fn wait_for_erasure(program: &Program, erasure: &Value) -> Value {
    let path = format!("/v1/erasures/{}", erasure["id"].as_str().unwrap());
    let poll = async {
        loop {
            let shown = program.manage(Method::GET, &path, None).await.expect(200).json();
            if shown["status"] == "completed" {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.expect("it is completed")
}

/// Delivers a webhook whose payload, and one whose large payload, are personal. Returns the ids.
pub async fn deliver_personal(program: &Program, ingest_url: &str) -> Vec<String> {
    let large = format!("{PERSONAL}{}", "x".repeat(200_000));
    let mut ids = Vec::new();
    for body in [PERSONAL.to_owned(), large] {
        let key = format!("{PERSONAL}{}", ids.len());
        let headers = [("x-person", PERSONAL), ("x-idempotency-key", key.as_str())];
        let answer = program.post(ingest_url, &headers, body).await.expect(200).json();
        let id = answer["event_id"].as_str().unwrap().to_owned();
        program.wait_for_status(&id, "delivered").await;
        ids.push(id);
    }
    ids
}

/// Has these events erased and checks what is left of them: their proofs convince, without openings.
pub async fn erase_and_verify(program: &Program, ids: &[String]) {
    let keys = program.manage(Method::GET, "/attestation/keys", None).await.expect(200).json();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["purpose"] == "checkpoint").unwrap();
    let key = key["public_key"].as_str().unwrap();
    for id in ids {
        let before = package(program, id).await;
        assert!(before["openings"]["payload_sha256"].is_object(), "{before}");
        let body = json!({"event_id": id});
        let erasure = program.manage(Method::POST, "/v1/erasures", Some(body)).await.expect(202).json();
        assert_eq!(wait_for_erasure(program, &erasure).await["erased_count"], 1);

        let event = program.event(id).await;
        assert!(event["erased_at"].is_string() && event["status"] == "delivered", "{event}");
        let payload = format!("/v1/events/{id}/payload");
        assert_eq!(program.manage(Method::GET, &payload, None).await.expect(410).code(), "E1008");
        let retry = format!("/v1/events/{id}/retry");
        assert_eq!(program.manage(Method::POST, &retry, None).await.expect(409).code(), "E1011");

        let after = package(program, id).await;
        assert_eq!(after["leaf_data"], before["leaf_data"]);
        assert!(after["openings"].as_object().is_none_or(serde_json::Map::is_empty), "{after}");
        let arguments = ["--proof", "-", "--public-key", key];
        verify(&arguments, after.to_string().as_bytes()).await.expect(0);
    }
}

/// The files below a folder that hold `wanted`.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if std::fs::read(&path).unwrap().windows(wanted.len()).any(|bytes| bytes == wanted) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_bytes_are_in_no_file_and_the_proof_stands() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let ids = deliver_personal(&program, endpoint["ingest_url"].as_str().unwrap()).await;
    let kept = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "to be kept").await.expect(200).json();
    program.wait_for_status(kept["event_id"].as_str().unwrap(), "delivered").await;
    assert!(!files_with(folder.path(), PERSONAL.as_bytes()).is_empty(), "it is there before");
    erase_and_verify(&program, &ids).await;
    // At its end the program copies the log of the database into it, and cuts it off.
    assert!(program.terminate().await.success());
    assert_eq!(files_with(folder.path(), PERSONAL.as_bytes()), Vec::<String>::new());
    assert!(!files_with(folder.path(), b"to be kept").is_empty());

    let settings = [("KAPSEL_DATA_DIR", folder.path().to_str().unwrap()), ("KAPSEL_MASTER_KEY", MASTER_KEY)];
    fsck(&settings).await.expect(0);
    // It stays so over a restart.
    let program = Program::start(folder.path()).await;
    assert!(program.event(&ids[0]).await["erased_at"].is_string());
    assert!(program.terminate().await.success());
}
