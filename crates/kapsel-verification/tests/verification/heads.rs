//! Tree heads: the JSON view, the times in them, and keys that come and go.

use kapsel_verification::{
    ConsistencyProof, HeadError, HeadTime, KeyType, OpenError, Policy, ProofVerifier, PublicKey, SignedCheckpoint,
    SignedTreeHead, Step, StepError, TreeHeadError, note, sth_id,
};

use crate::fixture::{Key, Log, ORIGIN, TIME};

fn bare(key: &Key) -> PublicKey {
    key.hex().parse().unwrap()
}

#[test]
fn a_head_is_verified_by_either_form_of_the_key() {
    let log = Log::new(5);
    let head = log.head(5);
    for key in [bare(&log.signers[0]), log.signers[0].verifier.clone().into()] {
        let verified = ProofVerifier::new(key).verify_signed_tree_head(&head).unwrap();
        assert_eq!((verified.origin.as_str(), verified.tree_size), (ORIGIN, 5));
        assert_eq!((verified.root_hash, verified.signed_by), (log.tree.root(5), vec![log.signers[0].verifier.clone()]));
        // The key for times was not given.
        assert_eq!(verified.time, Some(HeadTime { unix_seconds: TIME, is_verified: false }));
        assert!(verified.witnessed_by.is_empty());
    }
}

#[test]
fn a_time_counts_as_verified_with_the_key_for_times_only() {
    let log = Log::new(5);
    let head = log.head(5);
    let keys = |seed| vec![bare(&log.signers[0]), Key::clock(seed).verifier.into()];
    let time = |seed| ProofVerifier::with_keys(keys(seed)).verify_signed_tree_head(&head).unwrap().time.unwrap();
    assert_eq!(time(2), HeadTime { unix_seconds: TIME, is_verified: true });
    assert_eq!(time(9), HeadTime { unix_seconds: TIME, is_verified: false });
    // The key for times alone is not one of the log.
    let verifier = ProofVerifier::new(Key::clock(2).verifier);
    assert_eq!(verifier.verify_signed_tree_head(&head), Err(HeadError::NotByLog { origin: ORIGIN.into() }));
}

#[test]
fn one_key_for_both_is_possible() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::clock(1)]);
    let verified = ProofVerifier::new(bare(&Key::log(1))).verify_signed_tree_head(&log.head(5)).unwrap();
    assert_eq!(verified.time, Some(HeadTime { unix_seconds: TIME, is_verified: true }));
}

#[test]
fn a_head_of_strangers_is_refused() {
    let log = Log::new(5);
    let open = |source| HeadError::Open { origin: ORIGIN.into(), source };
    let verify = |key: PublicKey| ProofVerifier::new(key).verify_signed_tree_head(&log.head(5)).unwrap_err();
    assert_eq!(verify(bare(&Key::log(9))), open(OpenError::UnknownSigners));
    assert_eq!(verify(Key::log(9).verifier.into()), open(OpenError::UnknownSigners));
    // The right key under the name of another log.
    assert_eq!(
        verify(Key::new("example.com/other", KeyType::Ed25519, 1).verifier.into()),
        open(OpenError::UnknownSigners)
    );
    assert_eq!(
        ProofVerifier::default().verify_signed_tree_head(&log.head(5)).unwrap_err(),
        open(OpenError::UnknownSigners)
    );
}

/// A key that is trusted for one log says nothing for another, even where it signed.
#[test]
fn another_log_that_is_known_cannot_sign_for_this_one() {
    let other = || Key::new("example.com/other", KeyType::Ed25519, 6);
    let log = Log::signed_by(5, vec![other(), Key::log(1)]);
    let signed = SignedCheckpoint::parse(log.note(5).as_bytes()).unwrap();
    let verifier = ProofVerifier::new(other().verifier);
    assert_eq!(verifier.verify_checkpoint(&signed), Err(HeadError::NotByLog { origin: ORIGIN.into() }));
    let policy = format!("log {}\nquorum none\n", other().verifier);
    let verifier = ProofVerifier::with_policy(Policy::parse(policy.as_bytes()).unwrap());
    assert_eq!(verifier.verify_checkpoint(&signed), Err(HeadError::NotByLog { origin: ORIGIN.into() }));
    let both = verifier.and_key(bare(&Key::log(1)));
    assert_eq!(both.verify_checkpoint(&signed).unwrap().signed_by, [Key::log(1).verifier]);
}

/// While keys are replaced, a note has a line of each, and lines of strangers may stand beside them.
#[test]
fn a_rotation_needs_no_flag_day() {
    let stranger = Key::new("witness.example", KeyType::CosignatureV1, 7);
    let log = Log::signed_by(8, vec![Key::log(1), Key::log(3), Key::clock(2), Key::clock(4), stranger]);
    for signer in [0, 1] {
        let head = log.head_by(8, signer);
        for trusted in [1, 3] {
            let verified = ProofVerifier::new(bare(&Key::log(trusted))).verify_signed_tree_head(&head).unwrap();
            assert_eq!(verified.signed_by, [Key::log(trusted).verifier]);
        }
        let both = ProofVerifier::with_keys(vec![bare(&Key::log(1)), Key::log(3).verifier.into()]);
        assert_eq!(both.verify_signed_tree_head(&head).unwrap().signed_by.len(), 2);
        let witnessed = both.and_key(Key::new("witness.example", KeyType::CosignatureV1, 7).verifier);
        let verified = witnessed.verify_signed_tree_head(&head).unwrap();
        assert_eq!(verified.witnessed_by.len(), 1);
        assert_eq!(verified.witnessed_by[0].time, Some(TIME));
    }
}

#[test]
fn a_known_key_whose_line_is_false_spoils_the_note() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::log(3)]);
    let text = log.text(5);
    let mut lines: Vec<_> = log.signers.iter().map(|key| key.sign(&text, TIME)).collect();
    lines[1].signature[7] ^= 1;
    let signed = SignedCheckpoint::parse(note::format(&text, &lines).unwrap().as_bytes()).unwrap();
    assert!(ProofVerifier::new(bare(&Key::log(1))).verify_checkpoint(&signed).is_ok());
    let both = ProofVerifier::with_keys(vec![bare(&Key::log(1)), bare(&Key::log(3))]);
    let error = both.verify_checkpoint(&signed).unwrap_err();
    assert!(matches!(error, HeadError::Open { source: OpenError::Signature { .. }, .. }), "{error:?}");
}

#[test]
fn the_view_made_of_a_checkpoint_is_the_one_expected() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::log(3), Key::clock(2)]);
    for signer in [0, 1] {
        let view = SignedTreeHead::of_checkpoint(&log.note(5), &log.signers[signer].verifier).unwrap();
        assert_eq!(view, log.head_by(5, signer));
    }
    let absent = SignedTreeHead::of_checkpoint(&log.note(5), &Key::log(9).verifier);
    assert_eq!(absent, Err(TreeHeadError::Differs { field: "key_id" }));
    let timeless = Log::signed_by(5, vec![Key::log(1)]);
    let view = SignedTreeHead::of_checkpoint(&timeless.note(5), &Key::log(1).verifier);
    assert_eq!(view, Err(TreeHeadError::NoTime));
}

#[test]
fn every_field_of_the_view_has_to_agree() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::log(3), Key::clock(2)]);
    let head = log.head(5);
    assert!(head.read().is_ok());
    let read = |change: &dyn Fn(&mut SignedTreeHead)| {
        let mut head = head.clone();
        change(&mut head);
        head.read().unwrap_err()
    };
    let differs = |field| TreeHeadError::Differs { field };
    assert_eq!(read(&|head| head.tree_size = 4), differs("tree_size"));
    assert_eq!(read(&|head| head.root_hash = log.tree.root(4)), differs("root_hash"));
    assert_eq!(read(&|head| head.timestamp += 1000), differs("timestamp"));
    assert_eq!(read(&|head| head.timestamp += 1), TreeHeadError::WholeSecond(TIME * 1000 + 1));
    assert_eq!(read(&|head| head.signature[0] ^= 1), differs("signature"));
    assert_eq!(read(&|head| head.sth_id = log.tree.root(5)), differs("sth_id"));
    assert_eq!(read(&|head| head.key_id = Key::log(3).verifier.id()), differs("key_id"));
    assert_eq!(read(&|head| head.public_key = *Key::log(3).verifier.public_key()), differs("key_id"));
    assert_eq!(read(&|head| head.checkpoint = log.note(4)), differs("sth_id"));
    assert!(matches!(read(&|head| head.checkpoint.truncate(60)), TreeHeadError::Checkpoint(_)));
    assert!(matches!(read(&|head| head.public_key = [0; 32]), TreeHeadError::Key(_)));
    // A key and its id, but the signature of the other key: a line for it has to be there.
    let mixed = read(&|head| {
        head.public_key = *Key::log(3).verifier.public_key();
        head.key_id = Key::log(3).verifier.id();
    });
    assert_eq!(mixed, differs("signature"));
}

/// A view may name a key whose own line in the note is false: then it is none of this log.
#[test]
fn the_named_key_has_to_have_signed() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::log(3)]);
    let text = log.text(5);
    let mut lines: Vec<_> = log.signers.iter().map(|key| key.sign(&text, TIME)).collect();
    lines[1].signature[7] ^= 1;
    let checkpoint = note::format(&text, &lines).unwrap();
    let named = &Key::log(3).verifier;
    let head = SignedTreeHead {
        signature: lines[1].signature.clone().try_into().unwrap(),
        public_key: *named.public_key(),
        key_id: named.id(),
        sth_id: sth_id(&checkpoint),
        checkpoint,
        ..log.head(5)
    };
    assert!(matches!(head.read(), Err(TreeHeadError::Signature(_))));
    assert!(ProofVerifier::new(bare(&Key::log(1))).verify_signed_tree_head(&head).is_err());
}

#[test]
fn a_time_without_a_line_is_whole_and_unverified() {
    let log = Log::signed_by(5, vec![Key::log(1)]);
    let verifier = ProofVerifier::with_keys(vec![bare(&Key::log(1)), Key::clock(2).verifier.into()]);
    let mut head = log.head(5);
    head.timestamp = 5000;
    let verified = verifier.verify_signed_tree_head(&head).unwrap();
    assert_eq!(verified.time, Some(HeadTime { unix_seconds: 5, is_verified: false }));
    head.timestamp = 5001;
    assert!(verifier.verify_signed_tree_head(&head).is_err());
    let signed = SignedCheckpoint::parse(log.note(5).as_bytes()).unwrap();
    assert_eq!(verifier.verify_checkpoint(&signed).unwrap().time, None);
}

/// Somebody may add a line with a time of their own. The view may then say so, but not against a key that is known.
#[test]
fn a_foreign_time_does_not_stand_against_a_known_one() {
    let log = Log::new(5);
    let text = log.text(5);
    let lines = [log.signers[0].sign(&text, 0), log.signers[1].sign(&text, TIME), Key::clock(9).sign(&text, TIME + 60)];
    let checkpoint = note::format(&text, &lines).unwrap();
    let head = |time| SignedTreeHead {
        timestamp: time * 1000,
        sth_id: sth_id(&checkpoint),
        checkpoint: checkpoint.clone(),
        ..log.head(5)
    };
    let verifier = ProofVerifier::with_keys(vec![bare(&log.signers[0]), Key::clock(2).verifier.into()]);
    assert!(verifier.verify_signed_tree_head(&head(TIME)).is_ok());
    assert_eq!(verifier.verify_signed_tree_head(&head(TIME + 60)), Err(HeadError::Time));
    let naive = ProofVerifier::new(bare(&log.signers[0]));
    let time = naive.verify_signed_tree_head(&head(TIME + 60)).unwrap().time;
    assert_eq!(time, Some(HeadTime { unix_seconds: TIME + 60, is_verified: false }));
}

#[test]
fn the_view_comes_back_from_its_json() {
    let head = Log::new(5).head(5);
    let json = serde_json::to_string(&head).unwrap();
    assert_eq!(serde_json::from_str::<SignedTreeHead>(&json).unwrap(), head);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["timestamp"], TIME * 1000);
    assert_eq!(value["signature"].as_str().unwrap().len(), 128);
    assert_eq!(value["public_key"].as_str().unwrap().len(), 64);
    assert_eq!(value["key_id"].as_str().unwrap().len(), 8);
    let parse = |json: &str| serde_json::from_str::<SignedTreeHead>(json);
    assert!(parse(&json.replacen('{', "{\"more\":[1],", 1)).is_ok());
    for (from, to) in [
        ("\"tree_size\":5", "\"tree_size\":5.0"),
        ("\"tree_size\":5", "\"tree_size\":-5"),
        ("\"tree_size\":5", "\"tree_size\":5e0"),
        ("\"tree_size\":5", "\"tree_size\":\"5\""),
        ("\"tree_size\":5", "\"tree_size\":18446744073709551616"),
        ("\"tree_size\":5", "\"tree_size\":5,\"tree_size\":5"),
        ("\"tree_size\":5,", ""),
    ] {
        assert!(parse(&json.replacen(from, to, 1)).is_err(), "{to}");
    }
}

#[test]
fn heads_of_one_log_are_connected() {
    let log = Log::new(20);
    let verifier = ProofVerifier::new(bare(&log.signers[0]));
    for (old, new) in [(1, 1), (1, 20), (7, 20), (8, 16), (19, 20), (20, 20)] {
        let path = log.consistency(old, new);
        let (one, two) = verifier.verify_consistency(&log.head(old), &log.head(new), &path).unwrap();
        assert_eq!((one.tree_size, two.tree_size), (old as u64, new as u64));
        let proof = ConsistencyProof {
            old_size: old as u64,
            new_size: new as u64,
            old_root: log.tree.root(old),
            new_root: log.tree.root(new),
            proof_hashes: path,
        };
        assert_eq!(proof.verify(), Ok(()));
        assert_eq!(one.verify_continuation_by(&two, &proof), Ok(()));
        let other = ConsistencyProof { new_size: new as u64 + 1, ..proof };
        assert!(matches!(one.verify_continuation_by(&two, &other), Err(StepError::Differs { field: "new_size", .. })));
    }
    let error = verifier.verify_consistency(&log.head(8), &log.head(16), &log.consistency(7, 16)).unwrap_err();
    assert_eq!(error.step, Step::ConsistencyPath);
    let error = verifier.verify_consistency(&log.head(16), &log.head(8), &[]).unwrap_err();
    assert_eq!(error.step, Step::ConsistencyPath);
    let stranger = ProofVerifier::new(bare(&Key::log(9)));
    let error = stranger.verify_consistency(&log.head(8), &log.head(16), &log.consistency(8, 16)).unwrap_err();
    assert_eq!(error.step, Step::OldSignature);
}

/// Two logs may have the same leaves and even the same key.
#[test]
fn heads_of_two_logs_are_not_connected() {
    let log = Log::new(8);
    let other = Key::new("example.com/other", KeyType::Ed25519, 1);
    let text = log.text(8).replace(ORIGIN, "example.com/other");
    let checkpoint = note::format(&text, &[other.sign(&text, 0)]).unwrap();
    let signed = SignedCheckpoint::parse(checkpoint.as_bytes()).unwrap();
    let verifier = ProofVerifier::new(bare(&log.signers[0]));
    let one = verifier.verify_signed_tree_head(&log.head(5)).unwrap();
    let two = verifier.verify_checkpoint(&signed).unwrap();
    let path = log.consistency(5, 8);
    assert!(matches!(one.verify_continuation(&two, &path), Err(StepError::OtherLog { .. })));
}
