//! Two heads of one log.

use kapsel_verification::ConsistencyProof;
use serde_json::json;

use crate::fixture::{Key, Log};
use crate::program::{Folder, Run, run, run_with};

fn proof(log: &Log, old: usize, new: usize) -> String {
    let proof = ConsistencyProof {
        old_size: old as u64,
        new_size: new as u64,
        old_root: log.tree.root(old),
        new_root: log.tree.root(new),
        proof_hashes: log.consistency(old, new),
    };
    serde_json::to_string(&proof).unwrap()
}

fn check(old: &str, new: &str, proof: &str, more: &[&str]) -> Run {
    let key = Key::log(1).hex();
    let arguments = ["consistency", "--old", old, "--new", new, "--proof", proof, "--public-key", &key];
    run(&[&arguments[..], more].concat())
}

#[test]
fn heads_in_either_form_are_connected() {
    let folder = Folder::new();
    let log = Log::new(9);
    let forms = |size| {
        let view = serde_json::to_string(&log.head(size)).unwrap();
        [folder.file(&format!("{size}.json"), view), folder.file(&format!("{size}.note"), log.note(size))]
    };
    let path = folder.file("path.json", proof(&log, 5, 9));
    for (old, new) in forms(5).iter().flat_map(|old| forms(9).map(|new| (old.clone(), new))) {
        let run = check(&old, &new, &path, &[]);
        assert_eq!((run.code, run.marks().as_str()), (0, "✓✓✓"), "{}", run.stdout);
        assert!(run.stdout.contains("PROVEN: the log of 9 leaves continues that of 5; nothing in it was changed."));
        assert_eq!(run.field("log"), "example.com/kapsel");
        let answer = check(&old, &new, &path, &["--json"]).json();
        assert_eq!((&answer["proven"], &answer["steps"][2]["step"]), (&json!(true), &json!("consistency_path")));
        assert_eq!((&answer["old_head"]["tree_size"], &answer["new_head"]["tree_size"]), (&json!(5), &json!(9)));
    }
    let [_, old] = forms(5);
    let arguments = ["consistency", "--old", "-", "--new", &forms(9)[0], "--proof", &path, "--public-key"];
    let run = run_with(&[&arguments[..], &[&Key::log(1).hex()]].concat(), &std::fs::read(old).unwrap());
    assert_eq!(run.code, 0);
}

#[test]
fn heads_that_are_not_connected_prove_nothing() {
    let folder = Folder::new();
    let log = Log::new(9);
    let note = |log: &Log, size: usize, name: &str| folder.file(name, log.note(size));
    let (old, new) = (note(&log, 5, "old"), note(&log, 9, "new"));
    let path = |old, new| folder.file("path.json", proof(&log, old, new));
    let swapped = check(&new, &old, &path(5, 9), &[]);
    assert_eq!((swapped.code, swapped.marks().as_str()), (1, "✓✓✗"));
    assert_eq!(check(&old, &new, &path(4, 9), &[]).marks(), "✓✓✗");
    let flipped = proof(&log, 5, 9).replacen("\"proof_hashes\":[\"", "\"proof_hashes\":[\"0", 1);
    assert_eq!(check(&old, &new, &folder.file("flipped", flipped), &[]).code, 2);

    // The same sizes and the same key, but another log: it forked.
    let mut fork = Log::new(9);
    fork.leaves.swap(0, 1);
    fork.tree = crate::reference::Tree::of(&fork.leaves);
    let forked = check(&old, &note(&fork, 9, "fork"), &path(5, 9), &[]);
    assert_eq!((forked.code, forked.marks().as_str()), (1, "✓✓✗"));
    assert!(forked.stdout.contains("NOT PROVEN"));
    let forked = check(&old, &note(&fork, 9, "fork"), &folder.file("fork-path", proof(&fork, 5, 9)), &["--json"]);
    assert_eq!((forked.code, &forked.json()["old_head"]), (1, &json!(null)));

    let strangers = Log::signed_by(9, vec![Key::log(9)]);
    let run = check(&old, &note(&strangers, 9, "strangers"), &path(5, 9), &[]);
    assert_eq!((run.code, run.marks().as_str()), (1, "✓✗✗"));
}

#[test]
fn from_an_empty_log_nothing_is_proven() {
    let folder = Folder::new();
    let log = Log::new(9);
    let (old, new) = (folder.file("old", log.note(0)), folder.file("new", log.note(9)));
    let empty = proof(&log, 9, 9).replace("\"old_size\":9", "\"old_size\":0");
    let empty = empty.replacen(&log.tree.root(9).to_string(), &log.tree.root(0).to_string(), 1);
    let run = check(&old, &new, &folder.file("path", empty), &[]);
    assert_eq!(run.code, 1);
    assert!(
        run.stdout.contains("the old tree is empty; every tree continues it, and nothing is proven"),
        "{}",
        run.stdout
    );
}
