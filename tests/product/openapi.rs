//! Schemathesis makes thousands of requests from the OpenAPI document of the running program, good and bad ones, one at a
//! time and one after the other, and judges the answers by the same document.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use test_harness::{Behaviour, Destination};
use tokio::process::Command;

use crate::program::{OPERATOR_KEY, Program, text};

/// How many cases there are for each operation and phase, at most.
const CASES_MAX: &str = "20";
/// Where chance begins, unless SCHEMATHESIS_SEED says otherwise: another number finds other things.
const SEED: &str = "1";
/// Fewer cases than this would mean that most of the document was passed over.
const CASES_MIN: u64 = 3_000;
/// It takes about a minute. A run that does not end is a failure.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Ids of things that are there, by what stands in front of them.
#[derive(Default)]
struct Objects(BTreeMap<String, Vec<String>>);

impl Objects {
    fn add(&mut self, prefix: &str, id: &Value) {
        self.0.entry(prefix.to_owned()).or_default().push(id.as_str().unwrap().to_owned());
    }
}

/// Things of a tenant that requests can be about: endpoints, events, attempts, a replay, a tenant, a key.
async fn make_objects(program: &Program, tenant: &str, destination: &Destination) -> Objects {
    let mut objects = Objects::default();
    for name in ["one", "two", "three"] {
        let body = json!({"name": name, "url": destination.url()});
        let endpoint = manage(program, tenant, Method::POST, "/v1/endpoints", Some(body)).await;
        objects.add("ep", &endpoint["id"]);
        for number in 0..3 {
            let url = endpoint["ingest_url"].as_str().unwrap();
            let received = program.post(url, &[], format!("{{\"number\":{number}}}")).await.expect(200).json();
            objects.add("evt", &received["event_id"]);
        }
    }
    for id in objects.0["evt"].clone() {
        let path = format!("/v1/events/{id}");
        let event = loop {
            let event = manage(program, tenant, Method::GET, &path, None).await;
            if event["status"] == "delivered" {
                break event;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // paced: polling an HTTP API
        };
        objects.add("da", &event["attempts"][0]["id"]);
        objects.add("hash", &event["attempts"][0]["leaf_hash"]);
    }
    for _ in 0..6 {
        // Paused, so that there is something to go on with or to end.
        let body = json!({"statuses": ["delivered"], "rate_per_second": 1});
        let replay = manage(program, tenant, Method::POST, "/v1/replays", Some(body)).await;
        objects.add("rpl", &replay["id"]);
        let path = format!("/v1/replays/{}/pause", replay["id"].as_str().unwrap());
        manage(program, tenant, Method::POST, &path, None).await;
    }
    let other = manage(program, tenant, Method::POST, "/v1/tenants", Some(json!({"name": "other"}))).await;
    objects.add("ten", &other["id"]);
    let key = json!({"scopes": ["read"]});
    let key = manage(program, tenant, Method::POST, "/v1/api-keys", Some(key)).await;
    objects.add("key", &key["id"]);
    objects
}

/// What the operator asks for a tenant.
async fn manage(program: &Program, tenant: &str, method: Method, path: &str, body: Option<Value>) -> Value {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", program.base))
        .header("authorization", format!("Bearer {OPERATOR_KEY}"))
        .header("kapsel-tenant", tenant)
        .body(http_body_util::Full::from(body.map(|body| body.to_string()).unwrap_or_default()))
        .unwrap();
    let answer = program.request(request).await.unwrap();
    assert!(answer.status.is_success(), "{path}: {}", text(&answer.body));
    answer.json()
}

/// Lets schemathesis at the program with this key, and fails with what it found.
async fn judge(program: &Program, key: &str, destination: &Destination, objects: &Objects) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (installed, scripts) = (root.join("target/judges/venv/bin/schemathesis"), root.join("tests/judges"));
    assert!(installed.exists(), "the judges are not installed: run `cargo xtask judges`");
    let folder = tempfile::tempdir().unwrap();
    let seed = std::env::var("SCHEMATHESIS_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("schemathesis: seed {seed}");
    let destination = destination.url();
    let run = Command::new(installed)
        .arg("--config-file")
        .arg(scripts.join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", program.base)])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--checks", "all", "--seed", &seed, "--max-examples", CASES_MAX, "--continue-on-failure"])
        .current_dir(folder.path())
        .env("PYTHONPATH", scripts)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("KAPSEL_DESTINATION", destination.trim_end_matches('/'))
        .env("KAPSEL_OBJECTS", json!(objects.0).to_string())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIME_MAX, run).await.expect("schemathesis ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let counted = said.lines().filter_map(|line| line.trim().split_once(" generated, "));
    let cases: Option<u64> = counted.filter_map(|(cases, _)| cases.replace(',', "").parse().ok()).next();
    let cases = cases.unwrap_or_else(|| panic!("how many cases? {said}"));
    assert!(cases >= CASES_MIN, "only {cases} cases: {said}");
    println!("schemathesis: {cases} cases, nothing found");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_with_the_key_of_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let objects = make_objects(&program, "ten_00000000000000000000000000", &destination).await;
    judge(&program, OPERATOR_KEY, &destination, &objects).await;
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_with_the_key_of_a_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let tenant = program.manage(Method::POST, "/v1/tenants", Some(json!({"name": "acme"}))).await.expect(201).json();
    let tenant = tenant["id"].as_str().unwrap();
    let objects = make_objects(&program, tenant, &destination).await;
    let key = json!({"scopes": ["write"]});
    let key = manage(&program, tenant, Method::POST, "/v1/api-keys", Some(key)).await;
    judge(&program, key["key"].as_str().unwrap(), &destination, &objects).await;
    assert!(program.terminate().await.success());
}
