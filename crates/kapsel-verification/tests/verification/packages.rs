//! Proof packages: what they prove, and that every part of one is looked at.

use kapsel_verification::{
    LeafError, Opening, OpeningError, Openings, PackageFormError, ProofPackage, ProofVerifier, Report, Step, StepError,
    VerifyError, leaf_hash,
};

use crate::fixture::{Key, Log, ORIGIN, URL, leaf, openings};

fn verifier() -> ProofVerifier {
    ProofVerifier::new(Key::log(1).verifier).and_key(Key::clock(2).verifier)
}

fn failed(report: &Report) -> Vec<Step> {
    report.steps().iter().filter(|step| step.result.is_err()).map(|step| step.step).collect()
}

#[test]
fn a_package_proves_what_its_leaf_says() {
    let log = Log::new(7);
    for index in 0..7 {
        let verified = verifier().verify_package(&log.package(index, 7)).unwrap();
        let number = u32::try_from(index).unwrap();
        assert_eq!(verified.leaf, leaf(number));
        assert_eq!(verified.leaf.is_delivered(), index % 3 == 2);
        assert_eq!((verified.leaf_index, verified.leaf_hash), (index as u64, leaf_hash(&log.leaves[index])));
        assert_eq!(verified.opened.url.as_deref(), Some(URL));
        assert!(verified.opened.payload_sha256.is_some());
        assert_eq!(verified.opened.response_sha256.is_some(), index % 3 == 2);
        assert_eq!((verified.head.origin.as_str(), verified.head.tree_size), (ORIGIN, 7));
        assert!(verified.head.time.unwrap().is_verified);
    }
}

#[test]
fn every_step_is_reported_and_only_those_that_were_needed() {
    let package = Log::new(7).package(2, 7);
    let steps = |package: &ProofPackage| -> Vec<Step> {
        verifier().check_package(package).steps().iter().map(|step| step.step).collect()
    };
    assert_eq!(steps(&package), [Step::LeafHash, Step::InclusionPath, Step::Signature, Step::Openings]);
    let closed = ProofPackage { openings: Openings::default(), ..package };
    assert_eq!(steps(&closed), [Step::LeafHash, Step::InclusionPath, Step::Signature]);
    let verified = verifier().verify_package(&closed).unwrap();
    assert_eq!((verified.opened.url, verified.opened.payload_sha256), (None, None));
}

#[test]
fn each_step_fails_for_its_own_reason() {
    let log = Log::new(7);
    let package = log.package(2, 7);
    let check = |change: &dyn Fn(&mut ProofPackage)| {
        let mut package = package.clone();
        change(&mut package);
        let report = verifier().check_package(&package);
        assert!(report.verified().is_none());
        let first = failed(&report)[0];
        let VerifyError { step, source } = report.clone().into_result().unwrap_err();
        assert_eq!(step, first);
        (failed(&report), source)
    };
    use Step::{InclusionPath, LeafHash, Openings, Signature};

    let (steps, error) = check(&|package| package.leaf_data[20] ^= 1);
    assert_eq!(steps, [LeafHash, InclusionPath, Openings]);
    assert!(matches!(error, StepError::LeafHash { .. }));

    let (steps, error) = check(&|package| package.delivery_attempt_id = leaf(3).attempt_id);
    assert_eq!(steps, [LeafHash, Openings]);
    assert!(matches!(error, StepError::OtherAttempt { .. }));

    let (steps, error) = check(&|package| package.leaf_hash = leaf_hash(b""));
    assert_eq!(steps, [LeafHash, Openings]);
    assert!(matches!(error, StepError::LeafHash { .. }));

    let (steps, _) = check(&|package| package.inclusion_proof.leaf_index = 3);
    assert_eq!(steps, [InclusionPath]);
    let (steps, error) = check(&|package| package.inclusion_proof.leaf_hash = leaf_hash(b""));
    assert_eq!((steps, error), (vec![InclusionPath], StepError::Differs { field: "leaf_hash", from: "the leaf" }));
    let (steps, error) = check(&|package| package.inclusion_proof.tree_size = 8);
    assert_eq!((steps, error), (vec![InclusionPath], StepError::Differs { field: "tree_size", from: "the head" }));
    let (steps, error) = check(&|package| package.inclusion_proof.root_hash = leaf_hash(b""));
    assert_eq!((steps, error), (vec![InclusionPath], StepError::Differs { field: "root_hash", from: "the head" }));
    let (steps, _) = check(&|package| package.inclusion_proof.proof_hashes.truncate(1));
    assert_eq!(steps, [InclusionPath]);
    let (steps, _) = check(&|package| package.inclusion_proof = log.inclusion(2, 6));
    assert_eq!(steps, [InclusionPath]);

    let (steps, _) = check(&|package| package.signed_tree_head.timestamp += 1000);
    assert_eq!(steps, [InclusionPath, Signature]);
    // A sound head of the same log, but of another size.
    let (steps, _) = check(&|package| package.signed_tree_head = log.head(6));
    assert_eq!(steps, [InclusionPath]);

    let (steps, error) = check(&|package| package.openings.url = openings(3).url);
    assert_eq!((steps, error), (vec![Openings], OpeningError::Mismatch { field: "url" }.into()));
    let long = |package: &mut ProofPackage| {
        package.openings.url = Some(Opening { value: URL.into(), salt: vec![0; 65] });
    };
    let (steps, error) = check(&long);
    assert_eq!((steps, error), (vec![Openings], OpeningError::Salt { field: "url", length: 65 }.into()));
}

#[test]
fn a_sound_package_of_a_stranger_proves_nothing() {
    let log = Log::signed_by(7, vec![Key::log(9), Key::clock(8)]);
    let report = verifier().check_package(&log.package(2, 7));
    assert_eq!(failed(&report), [Step::Signature]);
    assert!(report.verified().is_none());
}

/// A node of the tree is no leaf, though a path leads from it to the root.
#[test]
fn a_leaf_has_to_be_that_of_an_attempt() {
    let mut log = Log::new(4);
    log.leaves[1] = b"{\"v\":1}".to_vec();
    log.tree = crate::reference::Tree::of(&log.leaves);
    let report = verifier().check_package(&log.package(1, 4));
    assert_eq!(failed(&report), [Step::LeafHash, Step::Openings]);
    assert!(matches!(report.steps()[0].result, Err(StepError::Leaf(LeafError::Form(_)))));
}

#[test]
fn the_smallest_and_a_larger_log_work() {
    assert!(verifier().verify_package(&Log::new(1).package(0, 1)).is_ok());
    let log = Log::new(200);
    for (index, size) in [(0, 200), (199, 200), (127, 128), (128, 129), (5, 6)] {
        assert!(verifier().verify_package(&log.package(index, size)).is_ok(), "{index} of {size}");
    }
}

#[test]
fn an_inclusion_proof_and_a_head_are_enough_for_a_hash() {
    let log = Log::new(7);
    let verified = verifier().verify_inclusion_proof(&log.inclusion(3, 7), &log.head(7)).unwrap();
    assert_eq!(verified.tree_size, 7);
    assert_eq!(log.inclusion(3, 7).verify(), Ok(()));
    let error = verifier().verify_inclusion_proof(&log.inclusion(3, 6), &log.head(7)).unwrap_err();
    assert_eq!(error.step, Step::InclusionPath);
    let stranger = ProofVerifier::new(Key::log(9).verifier);
    let error = stranger.verify_inclusion_proof(&log.inclusion(3, 7), &log.head(7)).unwrap_err();
    assert_eq!(error.step, Step::Signature);
}

#[test]
fn a_package_comes_back_from_its_json() {
    let package = Log::new(7).package(2, 7);
    let json = serde_json::to_string(&package).unwrap();
    assert_eq!(ProofPackage::from_json(json.as_bytes()).unwrap(), package);
    let without = serde_json::to_string(&ProofPackage { openings: Openings::default(), ..package }).unwrap();
    assert!(!without.contains("openings"));
    for openings in ["null", "{}", "{\"url\":null}"] {
        let json = without.replacen('{', &format!("{{\"openings\":{openings},\"more\":{{}},"), 1);
        assert!(ProofPackage::from_json(json.as_bytes()).unwrap().openings.is_empty(), "{openings}");
    }
}

#[test]
fn hostile_json_is_refused() {
    let package = Log::new(7).package(2, 7);
    let json = serde_json::to_string(&package).unwrap();
    let parse = |json: &str| ProofPackage::from_json(json.as_bytes());
    let cases = [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        "[".repeat(100_000),
        "{\"leaf_data\":".repeat(10_000),
        json[..json.len() - 1].into(),
        json.clone() + "}",
        json.replacen('{', "{\"leaf_hash\":\"\",", 1),
        json.replacen('{', "{\"openings\":{},", 1),
        json.replacen("\"openings\":{", "\"openings\":{\"headers\":{\"value\":\"\",\"salt\":\"\"},", 1),
        json.replacen("\"leaf_index\":2", "\"leaf_index\":2.0", 1),
        json.replacen("\"leaf_index\":2", "\"leaf_index\":-2", 1),
        json.replacen("\"leaf_index\":2", "\"leaf_index\":1e400", 1),
        json.replacen("\"leaf_index\":2", "\"leaf_index\":99999999999999999999999", 1),
        json.replacen("\"leaf_data\":\"", "\"leaf_data\":\" ", 1),
        json.replacen("\"leaf_hash\":\"", "\"leaf_hash\":\"00", 1),
        json.replacen("\"proof_hashes\":[", "\"proof_hashes\":[null,", 1),
    ];
    for case in cases {
        assert!(matches!(parse(&case), Err(PackageFormError::Json(_))), "{}", &case[..case.len().min(300)]);
    }
    // What is ignored is not read: its depth and its numbers do not matter.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&json.replacen('{', &format!("{{\"more\":{deep},"), 1)).is_ok());
    let huge = " ".repeat(1024 * 1024 + 1);
    assert!(matches!(parse(&huge), Err(PackageFormError::TooLong(_))));
    let hashes = format!("\"proof_hashes\":[{}", format!("\"{}\",", leaf_hash(b"")).repeat(5000));
    let long = parse(&json.replacen("\"proof_hashes\":[", &hashes, 1)).unwrap();
    assert_eq!(failed(&verifier().check_package(&long)), [Step::InclusionPath]);
}
