//! The log of the library's own tests, whose documents are the seeds, and the verifier that trusts it.

#![allow(clippy::unwrap_used, reason = "a fuzz target that cannot be set up may stop")]

#[allow(dead_code, reason = "the library's tests use the rest")]
#[path = "../../crates/kapsel-verification/tests/verification/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "the library's tests use the rest")]
#[path = "../../crates/kapsel-verification/tests/verification/reference.rs"]
mod reference;

use kapsel_verification::{KeyType, ProofVerifier, Verified};

use fixture::{Key, Log, URL, leaf};

/// How many leaves the log has.
const SIZE: usize = 5;

/// The seeds of each target.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let log = Log::new(5);
    let witness = Key::new("witness.example", KeyType::CosignatureV1, 7).verifier;
    let policy = format!("# a\nlog {}\nwitness a {witness} u\ngroup g 1 a\nquorum g\n", Key::log(1).verifier);
    let notes: Vec<Vec<u8>> = (0..=SIZE).map(|size| log.note(size).into_bytes()).collect();
    vec![
        ("note", notes.clone()),
        ("checkpoint", notes),
        ("package", (0..SIZE).map(|index| serde_json::to_vec(&log.package(index, SIZE)).unwrap()).collect()),
        (
            "tlog_proof",
            (0..SIZE)
                .map(|index| log.tlog_proof(index, SIZE, Some(log.leaves[index].clone())).to_text().into_bytes())
                .collect(),
        ),
        ("policy", vec![policy.into_bytes(), b"quorum none\n".to_vec()]),
    ]
}

/// A verifier that trusts the log.
pub fn verifier() -> ProofVerifier {
    ProofVerifier::new(Key::log(1).verifier).and_key(Key::clock(2).verifier)
}

/// Nobody can sign for the log. So whatever is proven is what it says.
pub fn assert_true(verified: &Verified) {
    let number = u32::try_from(verified.leaf_index).unwrap();
    assert!(number < 5);
    assert_eq!(verified.leaf, leaf(number));
    assert_eq!(verified.head.tree_size, 5);
    assert!(verified.opened.url.as_deref().is_none_or(|url| url == URL));
}
