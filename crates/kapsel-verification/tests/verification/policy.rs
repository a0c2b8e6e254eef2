//! Policy files (C2SP tlog-policy): how they are read, and when a quorum is met.

use std::fmt::Write as _;

use kapsel_verification::{
    HeadError, KeyError, KeyType, Policy, PolicyError, PolicyFault, ProofVerifier, VerifiedSignature,
};
use proptest::prelude::*;

use crate::fixture::{Key, Log, ORIGIN};

fn witness(seed: u8) -> Key {
    Key::new(&format!("witness.example/{seed}"), KeyType::CosignatureV1, seed)
}

/// The example of the specification, with keys.
fn example() -> String {
    let mut text = String::from("# a policy\n\n");
    let _ = writeln!(text, "log {} https://log.example/\n", Key::log(1).verifier);
    for (group, seeds, threshold) in [("X", 10..13, "2"), ("Y", 20..23, "any")] {
        for (index, seed) in seeds.clone().enumerate() {
            let _ = writeln!(text, "witness {group}{} \t {}  ", index + 1, witness(seed).verifier);
        }
        let _ = writeln!(text, " group {group}-witnesses {threshold} {group}1 {group}2 {group}3\n");
    }
    text + "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

fn signed(seeds: &[u8]) -> Vec<VerifiedSignature> {
    seeds.iter().map(|seed| VerifiedSignature { key: witness(*seed).verifier, time: Some(1) }).collect()
}

#[test]
fn the_example_of_the_specification_means_what_it_says() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    assert_eq!(policy.logs(), [Key::log(1).verifier]);
    assert_eq!(policy.witnesses().len(), 6);
    for (seeds, is_met) in [
        (&[10, 11, 20][..], true),
        (&[10, 12, 22], true),
        (&[10, 11, 12, 20, 21, 22], true),
        (&[10, 11, 12], false),
        (&[10, 20, 21, 22], false),
        (&[10, 10, 20], false),
        (&[], false),
        (&[30, 31, 32], false),
    ] {
        assert_eq!(policy.is_quorum_met(&signed(seeds)), is_met, "{seeds:?}");
    }
}

#[test]
fn a_quorum_may_be_one_witness_or_none() {
    let one = format!("witness w {}\nquorum w\n", witness(10).verifier);
    let policy = Policy::parse(one.as_bytes()).unwrap();
    assert!(policy.is_quorum_met(&signed(&[10])) && !policy.is_quorum_met(&signed(&[11])));
    assert!(policy.logs().is_empty());
    assert!(Policy::parse(b"quorum none\n").unwrap().is_quorum_met(&[]));
    // A witness of the same name with another key is another witness.
    let other = Key::new("witness.example/10", KeyType::CosignatureV1, 11).verifier;
    assert!(!policy.is_quorum_met(&[VerifiedSignature { key: other, time: Some(1) }]));
}

#[test]
fn a_verifier_asks_for_the_witnesses_of_its_policy() {
    let log = |witnesses: &[u8]| {
        let witnesses = witnesses.iter().map(|seed| witness(*seed));
        Log::signed_by(7, [Key::log(1), Key::clock(2)].into_iter().chain(witnesses).collect())
    };
    let verifier = ProofVerifier::with_policy(Policy::parse(example().as_bytes()).unwrap());
    let verified = verifier.verify_package(&log(&[10, 11, 20, 99]).package(2, 7)).unwrap();
    let witnesses: Vec<&str> = verified.head.witnessed_by.iter().map(|signature| signature.key.name()).collect();
    assert_eq!(witnesses, ["witness.example/10", "witness.example/11", "witness.example/20"]);
    assert_eq!(verifier.verify_signed_tree_head(&log(&[10, 20]).head(7)), Err(HeadError::Quorum));

    let only_other = example().replace(&Key::log(1).verifier.to_string(), &Key::log(9).verifier.to_string());
    let verifier = ProofVerifier::with_policy(Policy::parse(only_other.as_bytes()).unwrap());
    let not_by_log = HeadError::NotByLog { origin: ORIGIN.into() };
    assert_eq!(verifier.verify_signed_tree_head(&log(&[10, 11, 20]).head(7)), Err(not_by_log));
    // A log that is known from elsewhere.
    assert!(verifier.and_key(Key::log(1).verifier).verify_signed_tree_head(&log(&[10, 11, 20]).head(7)).is_ok());
}

/// A cosignature that does not hold counts against the note, not only for nothing.
#[test]
fn a_false_cosignature_of_a_known_witness_spoils_the_head() {
    let log = Log::new(7);
    let text = log.text(7);
    let mut lines: Vec<_> = [Key::log(1), witness(10), witness(11), witness(12), witness(20)]
        .iter()
        .map(|key| key.sign(&text, 5))
        .collect();
    lines[3].signature[0] ^= 1;
    let note = kapsel_verification::note::format(&text, &lines).unwrap();
    let signed = kapsel_verification::SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let verifier = ProofVerifier::with_policy(Policy::parse(example().as_bytes()).unwrap());
    assert!(matches!(verifier.verify_checkpoint(&signed), Err(HeadError::Open { .. })));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let (log, one, two) = (Key::log(1).verifier, witness(10).verifier, witness(11).verifier);
    let renamed = Key::new("witness.example/other", KeyType::CosignatureV1, 10).verifier;
    let parse = |text: String| {
        let PolicyError { line, fault } = Policy::parse(text.as_bytes()).unwrap_err();
        (line, fault)
    };
    let base = format!("witness a {one}\nwitness b {two}\n");
    assert_eq!(parse(String::new()), (0, PolicyFault::NoQuorum));
    assert_eq!(parse("# nothing\n\n".into()), (2, PolicyFault::NoQuorum));
    assert_eq!(parse("quorum none".into()), (1, PolicyFault::Unterminated));
    assert_eq!(parse("quorum none\nquorum none\n".into()), (2, PolicyFault::SecondQuorum));
    assert_eq!(parse("quorum none\r\n".into()), (1, PolicyFault::ControlCharacter(b'\r')));
    assert_eq!(parse("quorum none # why\n".into()), (1, PolicyFault::Words));
    assert_eq!(parse("quorum\n".into()), (1, PolicyFault::Words));
    assert_eq!(parse("Quorum none\n".into()), (1, PolicyFault::Keyword));
    assert_eq!(parse("quorum a\nquorum none\n".into()), (1, PolicyFault::UnknownName));
    assert_eq!(parse(format!("quorum a\n{base}")), (1, PolicyFault::UnknownName));
    assert_eq!(parse(format!("log {log}\nlog {log}\nquorum none\n")), (2, PolicyFault::DuplicateKey));
    assert_eq!(parse(format!("witness a {one}\nwitness b {renamed}\n")), (2, PolicyFault::DuplicateKey));
    assert_eq!(parse(format!("witness a {one}\nwitness a {two}\n")), (2, PolicyFault::NameTaken));
    assert_eq!(parse(format!("witness none {one}\n")), (1, PolicyFault::NameTaken));
    assert_eq!(parse(format!("{base}group a any b\n")), (3, PolicyFault::NameTaken));
    assert_eq!(parse(format!("log {one}\n")), (1, PolicyFault::KeyType));
    assert_eq!(parse(format!("witness a {log}\n")), (1, PolicyFault::KeyType));
    assert_eq!(parse("log x\n".into()), (1, PolicyFault::Key(KeyError::Form)));
    assert_eq!(parse(format!("log {log} url more\n")), (1, PolicyFault::Words));
    assert_eq!(parse(format!("{base}group g any\n")), (3, PolicyFault::Words));
    assert_eq!(parse(format!("{base}group g any none\n")), (3, PolicyFault::UnknownName));
    assert_eq!(parse(format!("{base}group g any c\n")), (3, PolicyFault::UnknownName));
    assert_eq!(parse(format!("{base}group g any g\n")), (3, PolicyFault::UnknownName));
    assert_eq!(parse(format!("{base}group g any h\ngroup h any g\n")), (3, PolicyFault::UnknownName));
    assert_eq!(parse(format!("{base}group g 1 a a\n")), (3, PolicyFault::MemberTwice));
    assert_eq!(parse(format!("{base}group g any a\ngroup h any a b\n")), (4, PolicyFault::MemberTwice));
    for threshold in ["0", "3", "01", "-1", "+1", "1.0", "most", "18446744073709551616"] {
        let text = format!("{base}group g {threshold} a b\n");
        assert_eq!(parse(text), (3, PolicyFault::Threshold), "{threshold}");
    }
    assert_eq!(parse("#".repeat(512 * 1024 + 1)), (1, PolicyFault::TooLong(512 * 1024 + 1)));
}

#[test]
fn names_are_bytes() {
    let mut text = b"witness \xff\x80 ".to_vec();
    text.extend(format!("{}\nquorum \u{212a}\n", witness(10).verifier).bytes());
    assert_eq!(Policy::parse(&text).unwrap_err().fault, PolicyFault::UnknownName);
    let text: Vec<u8> = text.split(|&byte| byte == b'\n').next().unwrap().to_vec();
    assert!(Policy::parse(&[&text, &b"\nquorum \xff\x80\n"[..]].concat()).is_ok());
}

/// A chain of groups of any length is evaluated without nesting.
#[test]
fn a_long_chain_of_groups_is_no_deep_one() {
    let mut text = format!("witness g0 {}\n", witness(10).verifier);
    let mut last = 0;
    while text.len() < 500_000 {
        let _ = writeln!(text, "group g{} all g{last}", last + 1);
        last += 1;
    }
    let _ = writeln!(text, "quorum g{last}");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert!(policy.is_quorum_met(&signed(&[10])) && !policy.is_quorum_met(&[]));
}

proptest! {
    #[test]
    fn a_threshold_is_a_count(threshold in 1_usize..=8, seeds in prop::collection::btree_set(10_u8..18, 0..8)) {
        let mut text = String::new();
        for seed in 10..18 {
            let _ = writeln!(text, "witness w{seed} {}", witness(seed).verifier);
        }
        let names: Vec<String> = (10..18).map(|seed| format!("w{seed}")).collect();
        let _ = writeln!(text, "group g {threshold} {}\nquorum g", names.join(" "));
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let seeds: Vec<u8> = seeds.into_iter().collect();
        prop_assert_eq!(policy.is_quorum_met(&signed(&seeds)), seeds.len() >= threshold);
    }
}
