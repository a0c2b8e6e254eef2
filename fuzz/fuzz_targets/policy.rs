//! Policies: nothing makes the reader panic, and a quorum that is met without anybody is one of nobody.
#![no_main]

use kapsel_verification::{Policy, VerifiedSignature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(policy) = Policy::parse(data) else { return };
    let all: Vec<VerifiedSignature> =
        policy.witnesses().iter().map(|key| VerifiedSignature { key: key.clone(), time: Some(1) }).collect();
    // Every rule is met by all, and a rule that asks for somebody is not met by nobody.
    assert!(policy.is_quorum_met(&all));
    let asks_nobody = data.split(|&byte| byte == b'\n').any(|line| {
        let mut words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
        words.next() == Some(b"quorum") && words.next() == Some(b"none")
    });
    assert_eq!(policy.is_quorum_met(&[]), asks_nobody);
});
