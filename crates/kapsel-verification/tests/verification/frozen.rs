//! Proofs that have been given away are verified for ever. These files are never written again: where a change of ours
//! makes one of these tests fail, the change is wrong.

use std::fs;
use std::path::Path;

use kapsel_verification::{
    ConsistencyProof, HeadTime, ProofPackage, ProofVerifier, PublicKey, SignedCheckpoint, SignedTreeHead, TlogProof,
};

const LOG: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
const LOG_VKEY: &str = "example.com/kapsel+6e3b34cf+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const CLOCK: &str = "example.com/kapsel/timestamp+cbcb6733+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";

fn frozen(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen").join(name)).unwrap()
}

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

#[test]
fn a_package_of_version_1_is_verified() {
    let package = ProofPackage::from_json(&frozen("package.json")).unwrap();
    for log in [LOG, LOG_VKEY] {
        let verified = ProofVerifier::new(key(log)).and_key(key(CLOCK)).verify_package(&package).unwrap();
        assert_eq!(verified.leaf.attempt_id, "da_01jcqv7x5eff5v3fgsrq000001");
        assert_eq!((verified.leaf.http_status, verified.leaf.is_delivered()), (Some(503), false));
        assert_eq!(verified.opened.url.as_deref(), Some("https://destination.example/hook?a=\u{e4}"));
        assert_eq!((verified.leaf_index, verified.head.tree_size), (1, 7));
        assert_eq!(verified.head.time, Some(HeadTime { unix_seconds: 1_767_225_602, is_verified: true }));
    }
    // It is written today as it was then.
    let written = serde_json::to_string_pretty(&package).unwrap() + "\n";
    assert_eq!(written.as_bytes(), frozen("package.json"));
}

#[test]
fn a_proof_of_the_shared_format_is_verified() {
    let proof = TlogProof::parse(&frozen("delivered.tlog-proof")).unwrap();
    let verified = ProofVerifier::new(key(LOG)).verify_tlog_proof(&proof, &frozen("delivered.leaf")).unwrap();
    assert_eq!((verified.leaf.http_status, verified.leaf.is_delivered()), (Some(204), true));
    assert_eq!(proof.to_text().as_bytes(), frozen("delivered.tlog-proof"));
}

#[test]
fn two_heads_are_connected() {
    let verifier = ProofVerifier::new(key(LOG));
    let old = SignedCheckpoint::parse(&frozen("old.checkpoint")).unwrap();
    let new: SignedTreeHead = serde_json::from_slice(&frozen("new-head.json")).unwrap();
    let proof: ConsistencyProof = serde_json::from_slice(&frozen("consistency.json")).unwrap();
    let old = verifier.verify_checkpoint(&old).unwrap();
    let new = verifier.verify_signed_tree_head(&new).unwrap();
    assert_eq!((old.tree_size, new.tree_size), (5, 7));
    assert_eq!(old.verify_continuation_by(&new, &proof), Ok(()));
}
