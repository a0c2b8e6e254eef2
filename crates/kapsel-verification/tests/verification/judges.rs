//! Libraries of PyPI as judges: one builds the same trees, one writes the same leaves. See `tests/judges/README.md`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kapsel_verification::leaf::NUMBER_MAX;
use kapsel_verification::{AttemptLeaf, Hash, verify_consistency, verify_inclusion};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::fixture::leaf;
use crate::reference::Tree;

/// A script of `tests/judges` that answers one line for each.
struct Judge {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Judge {
    fn start(script: &str) -> Judge {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join("target/judges/venv/bin/python");
        assert!(python.exists(), "the judges are not installed: run `cargo xtask judges`");
        let mut child = Command::new(python)
            .arg(root.join("tests/judges").join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Judge { child, stdin, stdout }
    }

    fn ask(&mut self, question: &Value) -> Value {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{question}").expect("the judge reads: is it an older one? run `cargo xtask judges`");
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the judge answers: is it an older one? run `cargo xtask judges`")
    }

    fn path(&mut self, question: &Value) -> Vec<Hash> {
        let answer = self.ask(question);
        let path = answer["path"].as_array().unwrap_or_else(|| panic!("{answer}"));
        path.iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It ends when there are no more questions.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_judge_builds_the_same_trees_and_proofs() {
    const SIZE_MAX: usize = 300;
    let data = |index: usize| format!("leaf {index}").into_bytes();
    let tree = Tree::of((0..SIZE_MAX).map(data));
    let mut judge = Judge::start("merkle_tree.py");
    let (mut paths, mut connections) = (0, 0);
    for size in 1..=SIZE_MAX {
        let answer = judge.ask(&json!({ "append": STANDARD.encode(data(size - 1)) }));
        assert_eq!(answer, json!({ "size": size, "root": tree.root(size).to_string() }));
        // All of the small trees, and some places in the larger ones.
        let is_asked = |at: usize| size <= 40 || at < 2 || at + 2 > size || at % 61 == size % 61;
        let root = tree.root(size);
        for index in (0..size).filter(|&index| is_asked(index)) {
            let path = judge.path(&json!({ "inclusion": index, "size": size }));
            assert_eq!(path, tree.path(index, size), "{index} of {size}");
            assert_eq!(verify_inclusion(tree.leaf(index), index as u64, size as u64, &path, &root), Ok(()));
            paths += 1;
        }
        for old in (1..=size).filter(|&old| is_asked(old)) {
            let path = judge.path(&json!({ "consistency": old, "size": size }));
            assert_eq!(path, tree.consistency(old, size), "{old} to {size}");
            assert_eq!(verify_consistency(old as u64, &tree.root(old), size as u64, &root, &path), Ok(()));
            connections += 1;
        }
    }
    assert!(paths > 2000 && connections > 2000, "{paths} paths, {connections} connections");
    assert!(judge.ask(&json!({ "inclusion": 300, "size": 300 }))["error"].is_string());
}

/// Its tree depends on every leaf: a judge that only says yes is none.
#[test]
fn the_judge_of_trees_sees_a_changed_leaf() {
    let root = |leaves: [&str; 2]| {
        let mut judge = Judge::start("merkle_tree.py");
        let answers = leaves.map(|leaf| judge.ask(&json!({ "append": STANDARD.encode(leaf) })));
        answers[1]["root"].clone()
    };
    assert_eq!(root(["a", "b"]), Tree::of(["a", "b"]).root(2).to_string());
    assert_ne!(root(["a", "c"]), Tree::of(["a", "b"]).root(2).to_string());
    assert_ne!(root(["b", "a"]), Tree::of(["a", "b"]).root(2).to_string());
}

/// Strings of every kind, and numbers up to the largest that are allowed.
fn any_leaf() -> impl Strategy<Value = AttemptLeaf> {
    let text = || prop_oneof!["[a-z0-9_]{0,30}", "\\PC{0,20}", "[\\x00-\\x7f]{0,20}", any::<String>()];
    let texts = (text(), text(), text(), text(), text());
    (0_u32..100, texts, 0..=NUMBER_MAX, any::<u32>(), any::<Option<u16>>()).prop_map(
        |(number, (attempt_id, event_id, outcome, nonce, started_at), duration_ms, attempt_number, http_status)| {
            let leaf = leaf(number);
            let texts = AttemptLeaf { attempt_id, event_id, outcome, nonce, started_at, ..leaf };
            AttemptLeaf { duration_ms, attempt_number, http_status, ..texts }
        },
    )
}

#[test]
fn the_judge_writes_the_same_leaves() {
    let mut judge = Judge::start("canonical_json.py");
    let mut runner = TestRunner::deterministic();
    let made = (0..500).map(|_| any_leaf().new_tree(&mut runner).unwrap().current());
    for leaf in (0..20).map(leaf).chain(made) {
        let bytes = leaf.to_canonical();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let answer = judge.ask(&json!({ "value": value }));
        assert_eq!(answer, json!({ "canonical": STANDARD.encode(&bytes) }), "{leaf:?}");
        assert_eq!(AttemptLeaf::from_canonical(&bytes).unwrap(), leaf);
    }
}

/// What we do not write, it does not write either.
#[test]
fn the_judge_of_leaves_refuses_what_has_no_canonical_form() {
    let mut judge = Judge::start("canonical_json.py");
    assert!(judge.ask(&json!({ "value": NUMBER_MAX }))["canonical"].is_string());
    assert!(judge.ask(&json!({ "value": NUMBER_MAX + 1 }))["error"].is_string());
    let sorted = judge.ask(&json!({ "value": { "b": 1, "a": "\u{e4}\u{1}/" } }));
    assert_eq!(sorted["canonical"], STANDARD.encode("{\"a\":\"\u{e4}\\u0001/\",\"b\":1}"));
}
