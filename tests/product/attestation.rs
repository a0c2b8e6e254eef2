//! The log of attempts from outside: proofs are checked by the separate verifier, which knows nothing of the server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::Method;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::program::{PATIENCE, Program, run, text};

/// What the verifier said.
pub struct Verdict {
    pub code: Option<i32>,
    pub said: String,
}

/// Runs the verifier that was built beside the server, with `input` on its stdin.
pub async fn verify(arguments: &[&str], input: &[u8]) -> Verdict {
    let program = Path::new(env!("CARGO_BIN_EXE_kapsel")).with_file_name("kapsel-verify");
    let mut child = Command::new(&program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{}: {error}; build it with: cargo build --workspace --bins", program.display())
        });
    let mut stdin = child.stdin.take().unwrap();
    // It may have seen enough before the end.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    Verdict { code: output.status.code(), said: text(&output.stdout) + &text(&output.stderr) }
}

/// `kapsel fsck` with these settings.
pub async fn fsck(settings: &[(&str, &str)]) -> Verdict {
    let output = run(&["fsck"], settings).await;
    Verdict { code: output.status.code(), said: text(&output.stdout) + &text(&output.stderr) }
}

impl Verdict {
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.said);
        self.said
    }
}

/// A number behind a word in what fsck prints.
pub fn figure(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {said}"));
    let digits: String = line.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Asks for something of the log until it is there.
pub async fn ready(program: &Program, path: &str) -> Value {
    let poll = async {
        loop {
            let answer = program.manage(Method::GET, path, None).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert_eq!(answer.status, 202, "{path}: {answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{path} stays pending"))
}

/// The package of the only attempt of an event.
pub async fn package(program: &Program, event_id: &str) -> Value {
    let event = program.event(event_id).await;
    let attempt = event["attempts"][0]["id"].as_str().unwrap();
    ready(program, &format!("/attestation/download-proof/{attempt}")).await
}

/// The public keys that sign checkpoints, the oldest first.
async fn checkpoint_keys(program: &Program) -> Vec<Value> {
    let keys = program.manage(Method::GET, "/attestation/keys", None).await.expect(200).json();
    let of_checkpoints = |key: &&Value| key["purpose"] == "checkpoint";
    keys["keys"].as_array().unwrap().iter().filter(of_checkpoints).cloned().collect()
}

fn public_key(key: &Value) -> &str {
    key["public_key"].as_str().unwrap()
}

/// Delivers a webhook and returns its event's id.
async fn deliver(program: &Program, endpoint: &Value, status: &str) -> String {
    let url = endpoint["ingest_url"].as_str().unwrap();
    let answer = program.post(url, &[], "{\"amount\":12}").await.expect(200).json();
    let id = answer["event_id"].as_str().unwrap().to_owned();
    program.wait_for_status(&id, status).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_convinces_a_program_that_trusts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let id = deliver(&program, &endpoint, "delivered").await;
    let package = package(&program, &id).await;
    let keys = checkpoint_keys(&program).await;
    let hex = public_key(&keys[0]);
    let arguments = ["--proof", "-", "--public-key", hex];

    let said = verify(&arguments, package.to_string().as_bytes()).await.expect(0);
    for shown in ["DELIVERED", &destination.url(), &id, "200"] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
    assert!(!said.contains('✗'), "{said}");
    let vkey = keys[0]["verifier_key"].as_str().unwrap();
    verify(&["--proof", "-", "--public-key", vkey], package.to_string().as_bytes()).await.expect(0);

    // Whatever is changed in what it rests on.
    let other_hash = "00".repeat(32);
    for (path, value) in [
        ("/leaf_hash", json!(other_hash)),
        ("/inclusion_proof/root_hash", json!(other_hash)),
        ("/inclusion_proof/leaf_index", json!(1)),
        ("/signed_tree_head/tree_size", json!(7)),
        ("/signed_tree_head/timestamp", json!(0)),
        ("/openings/url/value", json!("https://elsewhere.example/")),
        ("/delivery_attempt_id", json!("da_00000000000000000000000000")),
    ] {
        let mut changed = package.clone();
        *changed.pointer_mut(path).unwrap() = value;
        let said = verify(&arguments, changed.to_string().as_bytes()).await.expect(1);
        assert!(said.contains('✗') && !said.contains("PROVEN: the attempt"), "{path}: {said}");
    }
    let foreign = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    verify(&["--proof", "-", "--public-key", foreign], package.to_string().as_bytes()).await.expect(1);
    for unusable in ["", "{", "[]", &package.to_string()[..300]] {
        verify(&arguments, unusable.as_bytes()).await.expect(2);
    }
    assert!(program.terminate().await.success());
}

/// A proof of an attempt that failed proves just that.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_a_failure_does_not_claim_a_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(404)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let id = deliver(&program, &endpoint, "failed").await;
    let package = package(&program, &id).await;
    let keys = checkpoint_keys(&program).await;
    let arguments = ["--json", "--proof", "-", "--public-key", public_key(&keys[0])];
    let said = verify(&arguments, package.to_string().as_bytes()).await.expect(0);
    assert!(said.contains("client_error") && said.contains("404"), "{said}");
    let said = verify(&arguments[1..], package.to_string().as_bytes()).await.expect(0);
    assert!(said.contains("NOT") && !said.contains("DELIVERED the event"), "{said}");
}

/// A new key takes the place of the old one while the server runs. What the old one signed stays proven.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_string_lossy().into_owned();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let id = deliver(&program, &endpoint, "delivered").await;
    let before = package(&program, &id).await;
    let head_before = ready(&program, "/attestation/sth").await;

    let settings = [("KAPSEL_DATA_DIR", data.as_str())];
    let rotated = run(&["keys", "rotate"], &settings).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let new_key = text(&rotated.stdout).trim().to_owned();
    let id = deliver(&program, &endpoint, "delivered").await;
    let after = package(&program, &id).await;
    let keys = checkpoint_keys(&program).await;
    assert_eq!(keys.len(), 2);
    let (old, new) = (&keys[0], &keys[1]);
    assert_eq!(new["verifier_key"], json!(new_key));
    assert!(old["signs_until"].is_string() && new["signs_until"].is_null());
    assert_eq!(after["signed_tree_head"]["key_id"], new["key_id"]);
    assert_eq!(before["signed_tree_head"]["key_id"], old["key_id"]);
    let listed = text(&run(&["keys", "list"], &settings).await.stdout);
    assert!(listed.contains(&new_key) && listed.lines().count() == 2, "{listed}");

    // The old proof verifies with the old key alone, the one from the overlap with either.
    for (package, key, code) in [(&before, old, 0), (&before, new, 1), (&after, old, 0), (&after, new, 0)] {
        let arguments = ["--proof", "-", "--public-key", public_key(key)];
        verify(&arguments, package.to_string().as_bytes()).await.expect(code);
    }
    // And the log goes on: the new head continues the old one.
    let head_after = ready(&program, "/attestation/sth").await;
    let path = format!("/attestation/consistency-proof?old_size={}", head_before["tree_size"]);
    let proof = ready(&program, &path).await;
    let write = |name: &str, value: &Value| -> PathBuf {
        let file = folder.path().join(name);
        std::fs::write(&file, value.to_string()).unwrap();
        file
    };
    let [old_file, new_file, proof_file] =
        [("old", &head_before), ("new", &head_after), ("proof", &proof)].map(|(name, value)| write(name, value));
    let [old_file, new_file, proof_file] = [&old_file, &new_file, &proof_file].map(|file| file.to_str().unwrap());
    let files = ["--old", old_file, "--new", new_file, "--proof", proof_file];
    let key = ["--public-key", public_key(old)];
    verify(&[&["consistency"], &files[..], &key].concat(), b"").await.expect(0);
    let swapped = ["--old", new_file, "--new", old_file, "--proof", proof_file];
    verify(&[&["consistency"], &swapped[..], &key].concat(), b"").await.expect(1);
    assert!(program.terminate().await.success());
    fsck(&settings).await.expect(0);
}

/// A data folder whose database comes from a backup goes on delivering, and signs nothing that would fork the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_from_a_backup_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = Program::start(&data).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let id = deliver(&program, &endpoint, "delivered").await;
    package(&program, &id).await;
    assert!(program.terminate().await.success());
    let database = data.join("kapsel.db");
    let backup = folder.path().join("backup.db");
    std::fs::copy(&database, &backup).unwrap();

    let program = Program::start(&data).await;
    let url = |program: &Program| json!({"ingest_url": format!("{}/ingest/{}", program.base, endpoint["id"].as_str().unwrap())});
    for _ in 0..3 {
        let id = deliver(&program, &url(&program), "delivered").await;
        package(&program, &id).await;
    }
    let signed = ready(&program, "/attestation/sth").await["tree_size"].as_u64().unwrap();
    assert!(program.terminate().await.success());
    for beside in ["kapsel.db-wal", "kapsel.db-shm"] {
        let _ = std::fs::remove_file(data.join(beside));
    }
    std::fs::copy(&backup, &database).unwrap();

    let program = Program::start(&data).await;
    let id = deliver(&program, &url(&program), "delivered").await;
    let alarm = program.wait_for_alarm().await;
    assert!(alarm.contains("older copy") && alarm.contains(&signed.to_string()), "{alarm}");
    let page = program.manage(Method::GET, "/metrics", None).await.expect(200);
    assert!(text(&page.body).contains("\nkapsel_attestation_alarm 1\n"));
    let head = ready(&program, "/attestation/sth").await;
    assert_eq!(head["tree_size"], 1, "nothing was signed");
    let attempt = program.event(&id).await["attempts"][0]["id"].as_str().unwrap().to_owned();
    program.manage(Method::GET, &format!("/attestation/download-proof/{attempt}"), None).await.expect(202);
    assert!(program.terminate().await.success());
    // The log itself is whole; what is wrong is that it is an old one.
    let data = data.to_string_lossy().into_owned();
    fsck(&[("KAPSEL_DATA_DIR", &data)]).await.expect(0);
}
