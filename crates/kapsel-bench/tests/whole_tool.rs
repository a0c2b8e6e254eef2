//! The tool from end to end against the real program. Nothing here looks at how fast anything was: on a busy machine that
//! is chance. What has to hold is that counts agree, that nothing is lost, and that the files say so.

#![allow(clippy::expect_used, clippy::panic, reason = "test code: a failed expectation fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program that is measured, beside this tool. `cargo test --workspace` builds both; alone, it is built here.
fn kapsel() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_kapsel-bench")).with_file_name("kapsel");
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").expect("cargo runs the tests");
        let built = Command::new(cargo).args(["build", "--quiet", "--locked", "--package", "kapsel"]).status();
        assert!(built.expect("cargo starts").success());
    }
    assert!(program.is_file(), "no {}", program.display());
    program
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kapsel-bench")).args(arguments).output().expect("the tool starts")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A run of a second against the real program; its JSON, its page and its table.
fn run(arguments: &[&str]) -> (Value, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, html) = (folder.path().join("run.json"), folder.path().join("run.html"));
    let kapsel = kapsel();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let mut all = vec!["run", "--connections", "8", "--endpoints", "3", "--duration", "1s", "--warm-up", "300ms"];
    all.extend(["--kapsel", path(&kapsel), "--data-folder", path(&data)]);
    all.extend(["--json", path(&json), "--html", path(&html)]);
    all.extend(arguments);
    let output = bench(&all);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(&data).expect("a folder").count(), 0, "something was left behind");
    (serde_json::from_str(&text(&json)).expect("JSON"), text(&html), said)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer}"))
}

#[test]
fn a_closed_loop_is_delivered_and_covered_to_the_last_event() {
    let arguments = ["--bare-seconds", "300ms", "--prefill", "20", "--idempotency-keys", "--label", "a<b"];
    let (json, html, said) = run(&arguments);
    let totals = |name: &str| number(&json, &format!("/repetitions/0/totals/{name}"));
    assert!(totals("accepted") > 20 && totals("accepted_before") == 20);
    assert_eq!((totals("lost"), totals("duplicates"), totals("strangers")), (0, 0, 0));
    assert_eq!((totals("received"), totals("covered")), (totals("accepted"), totals("accepted")));
    assert_eq!(number(&json, "/repetitions/0/answers/statuses/200"), totals("accepted") - 20);
    assert_eq!(json["warnings"], Value::Array(Vec::new()));
    for pointer in [
        "/repetitions/0/durations/answer/count",
        "/repetitions/0/durations/sent_to_received/count",
        "/repetitions/0/durations/received_to_covered/count",
        "/repetitions/0/bare/ingest/latency/count",
        "/repetitions/0/bare/deliver/latency/count",
        "/repetitions/0/memory/idle_bytes",
    ] {
        assert!(number(&json, pointer) > 0, "{pointer}");
    }
    assert!(html.contains("<svg") && html.contains("a&lt;b") && !html.contains("a<b"));
    assert!(said.contains("accepted") && said.contains("lost"), "{said}");
}

#[test]
fn an_open_loop_leaves_events_queued_if_asked_to() {
    let arguments = ["--rate", "200", "--arrivals", "poisson", "--deliver", "false", "--bare-seconds", "0"];
    let (json, ..) = run(&arguments);
    // The first event of each of the three endpoints is delivered.
    assert_eq!(number(&json, "/repetitions/0/totals/received"), 3);
    assert_eq!(json.pointer("/repetitions/0/totals/lost"), Some(&Value::Null));
    assert!(number(&json, "/repetitions/0/totals/accepted") > 100);
    assert_eq!(json.pointer("/repetitions/0/bare"), Some(&Value::Null));
}

#[test]
fn figures_of_a_workload_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let kapsel = kapsel();
    let arguments = ["figures", "--quick", "--only", "idle-memory", "--repeat", "1", "--kapsel", path(&kapsel)];
    let output = bench(&[&arguments[..], &["--data-folder", path(folder.path()), "--out", path(&out)]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text(&out.join("figures.md")).contains("memory of Kapsel, at rest"));
    assert!(text(&out.join("idle-memory.html")).contains("</html>"));
    serde_json::from_str::<Value>(&text(&out.join("idle-memory.json"))).expect("JSON");
}

#[test]
fn servers_of_others_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "key").expect("a file");
    let output = bench(&["run", "--server", "http://192.0.2.1:80", "--operator-key-file", path(&key)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-remote"));
}
