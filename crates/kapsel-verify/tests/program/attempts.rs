//! Proofs of attempts.

use serde_json::json;

use kapsel_verification::{KeyType, Openings, ProofPackage};

use crate::fixture::{Key, Log, URL, leaf};
use crate::program::{Folder, run, run_with};

fn package(index: usize) -> String {
    serde_json::to_string_pretty(&Log::new(7).package(index, 7)).unwrap()
}

#[test]
fn a_delivery_is_proven() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", package(2));
    for key in [Key::log(1).hex(), Key::log(1).hex().to_uppercase(), Key::log(1).verifier.to_string()] {
        let run = run(&["--proof", &proof, "--public-key", &key]);
        assert_eq!((run.code, run.marks().as_str(), run.stderr.as_str()), (0, "✓✓✓✓", ""), "{}", run.stdout);
        assert!(run.stdout.contains("PROVEN: the attempt DELIVERED the event; the destination answered 204."));
        assert_eq!(run.field("destination"), URL);
        assert_eq!(run.field("event"), leaf(2).event_id);
        assert_eq!(run.field("attempt"), format!("{}, number 3", leaf(2).attempt_id));
        assert_eq!(run.field("outcome"), "delivered");
        assert_eq!(run.field("HTTP status"), "204");
        assert_eq!(run.field("begun"), "2026-01-01T00:00:00.123Z");
        assert_eq!(run.field("log"), "example.com/kapsel");
        assert_eq!(run.field("tree size"), "7");
        assert_eq!(run.field("key id"), Key::log(1).verifier.id().to_string());
        assert_eq!(run.field("head made"), "2026-01-01T00:00:02Z, as it says; no known key signed the time");
    }
}

#[test]
fn a_failed_attempt_is_proven_to_have_failed() {
    let folder = Folder::new();
    for (index, sentence) in [
        (0, "PROVEN: the attempt did NOT deliver the event; no whole answer came."),
        (1, "PROVEN: the attempt did NOT deliver the event; the destination answered 503."),
    ] {
        let proof = folder.file("proof.json", package(index));
        let run = run(&["--proof", &proof, "--public-key", &Key::log(1).hex()]);
        assert_eq!(run.code, 0);
        assert!(run.stdout.contains(sentence), "{}", run.stdout);
        assert!(!run.stdout.contains("DELIVERED"));
    }
}

#[test]
fn a_time_is_verified_with_its_key() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", package(2));
    let (log, clock) = (Key::log(1).hex(), Key::clock(2).verifier.to_string());
    let run = run(&["--proof", &proof, "--public-key", &log, "--public-key", &clock]);
    assert_eq!((run.code, run.field("head made")), (0, "2026-01-01T00:00:02Z"));
}

#[test]
fn what_is_not_opened_is_not_shown() {
    let folder = Folder::new();
    let closed = ProofPackage { openings: Openings::default(), ..Log::new(7).package(2, 7) };
    let proof = folder.file("proof.json", serde_json::to_string(&closed).unwrap());
    let run = run(&["--proof", &proof, "--public-key", &Key::log(1).hex()]);
    assert_eq!((run.code, run.marks().as_str(), run.field("destination")), (0, "✓✓✓", "not shown"));
    assert!(!run.stdout.contains("SHA-256"));
}

#[test]
fn the_step_that_fails_is_named() {
    let folder = Folder::new();
    let sound = package(2);
    let check = |proof: &str, key: &Key| {
        let proof = folder.file("proof.json", proof);
        let run = run(&["--proof", &proof, "--public-key", &key.hex()]);
        assert_eq!(run.code, 1, "{}", run.stdout);
        assert!(run.stdout.ends_with("NOT PROVEN: nothing of what the document says counts.\n"));
        assert!(!run.stdout.contains(URL) && !run.stdout.contains("204"));
        (run.marks(), run.stdout)
    };
    let (marks, text) = check(&sound, &Key::log(9));
    assert_eq!(marks, "✓✓✗✓");
    assert!(text.contains(
        "✗ the signature of the head: the checkpoint of example.com/kapsel cannot be trusted: none of its \
         signatures is by a known key\n"
    ));
    let (marks, text) = check(&sound.replace("\"leaf_index\": 2", "\"leaf_index\": 3"), &Key::log(1));
    assert_eq!(marks, "✓✗✓✓");
    assert!(text.contains("✗ the path to the root: the leaf is not in the tree: the path leads to the root "));
    let (marks, _) = check(&sound.replace("destination.example", "destination.invalid"), &Key::log(1));
    assert_eq!(marks, "✓✓✓✗");
    let other = leaf(2).attempt_id.replace("da_", "da_0");
    let (marks, _) = check(&sound.replacen(&leaf(2).attempt_id, &other, 1), &Key::log(1));
    assert_eq!(marks, "✗✓✓✗");
}

#[test]
fn the_answer_in_json_has_its_fields() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", package(1));
    let (log, clock) = (Key::log(1).hex(), Key::clock(2).verifier.to_string());
    let proven = run(&["--proof", &proof, "--public-key", &log, "--public-key", &clock, "--json"]);
    assert_eq!(proven.code, 0);
    assert_eq!(proven.stdout.lines().count(), 1);
    let answer = proven.json();
    assert_eq!(answer["proven"], true);
    let steps = ["leaf_hash", "inclusion_path", "signature", "openings"];
    assert_eq!(answer["steps"], json!(steps.map(|step| json!({"step": step, "holds": true, "error": null}))));
    let attempt = &answer["attempt"];
    assert_eq!((&attempt["delivered"], &attempt["http_status"]), (&json!(false), &json!(503)));
    assert_eq!((&attempt["url"], &attempt["outcome"]), (&json!(URL), &json!("server_error")));
    assert_eq!((&attempt["response_sha256"], &attempt["leaf_index"]), (&json!(null), &json!(1)));
    let log = &answer["log"];
    assert_eq!((&log["origin"], &log["tree_size"]), (&json!("example.com/kapsel"), &json!(7)));
    assert_eq!(log["key_ids"], json!([Key::log(1).verifier.id().to_string()]));
    assert_eq!((&log["time"], &log["time_verified"]), (&json!("2026-01-01T00:00:02Z"), &json!(true)));

    let failed = run(&["--proof", &proof, "--public-key", &Key::log(9).hex(), "--json"]);
    assert_eq!(failed.code, 1);
    let answer = failed.json();
    assert_eq!((&answer["proven"], &answer["attempt"], &answer["log"]), (&json!(false), &json!(null), &json!(null)));
    assert_eq!((&answer["steps"][2]["step"], &answer["steps"][2]["holds"]), (&json!("signature"), &json!(false)));
    assert!(answer["steps"][2]["error"].as_str().unwrap().contains("known key"));

    let unusable = run(&["--proof", &folder.file("x", "{"), "--public-key", &Key::log(1).hex(), "--json"]);
    assert_eq!((unusable.code, &unusable.json()["proven"]), (2, &json!(false)));
    assert!(unusable.json()["error"].is_string());
}

#[test]
fn a_tlog_proof_needs_its_leaf() {
    let folder = Folder::new();
    let log = Log::new(7);
    let key = Key::log(1).hex();
    let proof = folder.file("p.tlog-proof", log.tlog_proof(2, 7, None).to_text());
    let (leaf, other) = (folder.file("leaf", &log.leaves[2]), folder.file("other", &log.leaves[3]));
    let proven = run(&["--proof", &proof, "--leaf", &leaf, "--public-key", &key]);
    assert_eq!((proven.code, proven.marks().as_str()), (0, "✓✓✓"), "{}", proven.stdout);
    assert!(proven.stdout.contains("DELIVERED"));
    assert_eq!(run(&["--proof", &proof, "--leaf", &other, "--public-key", &key]).code, 1);
    let alone = run(&["--proof", &proof, "--public-key", &key]);
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("--leaf"));

    let with_leaf = folder.file("q.tlog-proof", log.tlog_proof(2, 7, Some(log.leaves[2].clone())).to_text());
    assert_eq!(run(&["--proof", &with_leaf, "--public-key", &key]).code, 0);
    let with_other = folder.file("r.tlog-proof", log.tlog_proof(2, 7, Some(log.leaves[3].clone())).to_text());
    assert_eq!(run(&["--proof", &with_other, "--public-key", &key]).code, 1);
    let package = folder.file("proof.json", package(2));
    assert_eq!(run(&["--proof", &package, "--leaf", &leaf, "--public-key", &key]).code, 2);
}

#[test]
fn the_standard_input_can_be_one_of_the_files() {
    let folder = Folder::new();
    let log = Log::new(7);
    let key = Key::log(1).hex();
    assert_eq!(run_with(&["--proof", "-", "--public-key", &key], package(2).as_bytes()).code, 0);
    let proof = folder.file("p.tlog-proof", log.tlog_proof(2, 7, None).to_text());
    assert_eq!(run_with(&["--proof", &proof, "--leaf", "-", "--public-key", &key], &log.leaves[2]).code, 0);
    let twice = run_with(&["--proof", "-", "--leaf", "-", "--public-key", &key], proof.as_bytes());
    assert_eq!(twice.code, 2);
}

#[test]
fn a_policy_stands_in_for_the_keys() {
    let folder = Folder::new();
    let witness = |seed| Key::new(&format!("witness.example/{seed}"), KeyType::CosignatureV1, seed);
    let policy = |log: &Key| {
        let (one, two) = (witness(11).verifier, witness(12).verifier);
        format!("log {}\nwitness a {one}\nwitness b {two}\ngroup g all a b\nquorum g\n", log.verifier)
    };
    let file = folder.file("policy", policy(&Key::log(1)));
    let proof = |witnesses: &[u8]| {
        let signers = [Key::log(1), Key::clock(2)].into_iter().chain(witnesses.iter().map(|seed| witness(*seed)));
        let log = Log::signed_by(7, signers.collect());
        folder.file("proof.json", serde_json::to_string(&log.package(2, 7)).unwrap())
    };
    let both = run(&["--proof", &proof(&[11, 12]), "--policy", &file]);
    assert_eq!((both.code, both.field("witness")), (0, "witness.example/11, 2026-01-01T00:00:02Z"), "{}", both.stdout);
    let one = run(&["--proof", &proof(&[11]), "--policy", &file]);
    assert_eq!(one.code, 1);
    assert!(one.stdout.contains("the witnesses that the policy asks for have not all cosigned"));
    let stranger = folder.file("stranger", policy(&Key::log(9)));
    assert_eq!(run(&["--proof", &proof(&[11, 12]), "--policy", &stranger]).code, 1);

    let no_log = folder.file("no-log", "quorum none\n");
    assert_eq!(run(&["--proof", &proof(&[]), "--policy", &no_log]).code, 2);
    assert_eq!(run(&["--proof", &proof(&[]), "--policy", &no_log, "--public-key", &Key::log(1).hex()]).code, 0);
    let broken = run(&["--proof", &proof(&[]), "--policy", &folder.file("broken", "quorum x\n")]);
    assert_eq!(broken.code, 2);
    assert!(broken.stderr.contains("line 1 of the policy: the name is not defined above this line"));
}

#[test]
fn keys_may_be_replaced_and_strangers_may_sign_as_well() {
    let folder = Folder::new();
    let stranger = Key::new("stranger.example", KeyType::CosignatureV1, 50);
    let log = Log::signed_by(7, vec![Key::log(1), Key::log(3), stranger, Key::clock(2)]);
    let proof = folder.file("proof.json", serde_json::to_string(&log.package(2, 7)).unwrap());
    for seed in [1, 3] {
        let run = run(&["--proof", &proof, "--public-key", &Key::log(seed).hex()]);
        assert_eq!((run.code, run.field("key id")), (0, Key::log(seed).verifier.id().to_string().as_str()));
    }
    let neither = run(&["--proof", &proof, "--public-key", &Key::log(4).hex()]);
    assert_eq!(neither.code, 1);
}
