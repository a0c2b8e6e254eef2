//! One changed byte, anywhere: either nothing is proven, or exactly the same. And bytes of chance: never a panic.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kapsel_verification::{
    AttemptLeaf, Checkpoint, Policy, ProofPackage, ProofVerifier, PublicKey, SignedCheckpoint, SignedNote,
    SignedTreeHead, TlogProof, Verified, VerifierKey,
};
use proptest::prelude::*;

use crate::fixture::{Key, Log};

fn verifier() -> ProofVerifier {
    ProofVerifier::new(Key::log(1).verifier).and_key(Key::clock(2).verifier)
}

fn of_package(json: &[u8]) -> Option<Verified> {
    verifier().verify_package(&ProofPackage::from_json(json).ok()?).ok()
}

fn of_tlog_proof(text: &[u8], leaf: &[u8]) -> Option<Verified> {
    verifier().verify_tlog_proof(&TlogProof::parse(text).ok()?, leaf).ok()
}

/// Whether it says nothing that the other does not say. Openings may be missing, and so may the signature under the
/// time: whoever hands a proof on may take them away, and a changed name of the field or of the signer does that.
fn proves_no_more(found: &Verified, sound: &Verified) -> bool {
    let mut less = sound.clone();
    if found.opened == Default::default() {
        less.opened = Default::default();
    }
    if found.head.time.is_none_or(|time| !time.is_verified) {
        less.head.time = found.head.time;
    }
    *found == less
}

/// Changes the document at every place, and gives the places at which that was accepted.
fn every_byte(document: &[u8], read: impl Fn(&[u8]) -> Option<Verified>) -> BTreeSet<usize> {
    let sound = read(document).expect("the document is sound");
    let mut accepted = BTreeSet::new();
    let mut look = |at: usize, changed: &[u8]| {
        if let Some(found) = read(changed) {
            assert!(proves_no_more(&found, &sound), "a change of byte {at} proves something else");
            accepted.insert(at);
        }
    };
    let mut changed = document.to_vec();
    for (at, &sound) in document.iter().enumerate() {
        // Each bit alone, and bytes with a meaning in one of the formats.
        for byte in (0..8).map(|bit| sound ^ (1 << bit)).chain(*b" \n\"\\,}=").filter(|&byte| byte != sound) {
            changed[at] = byte;
            look(at, &changed);
        }
        changed[at] = sound;
        // Left out, doubled, and cut off here.
        look(at, &[&document[..at], &document[at + 1..]].concat());
        look(at, &[&document[..=at], &document[at..]].concat());
        look(at, &document[..at]);
    }
    accepted
}

/// Where these bytes stand in the document.
fn place(document: &str, part: &str) -> RangeInclusive<usize> {
    let at = document.find(part).unwrap();
    at..=at + part.len() - 1
}

#[test]
fn a_changed_byte_of_a_package_proves_nothing_else() {
    let package = Log::new(5).package(2, 5);
    let json = serde_json::to_string(&package).unwrap();
    // What may change is the name of the field that may be missing.
    let name = place(&json, "openings");
    for at in every_byte(json.as_bytes(), of_package) {
        assert!(name.contains(&at), "byte {at} of {json}");
    }
    assert!(of_package(&serde_json::to_vec_pretty(&package).unwrap()).is_some());
}

#[test]
fn a_changed_byte_of_a_tlog_proof_proves_nothing_else() {
    let log = Log::new(5);
    let text = log.tlog_proof(2, 5, None).to_text();
    // The line with the time may become one of a stranger, or be cut off: then the time is no longer verified.
    let clock = place(&text, "\u{2014} example.com/kapsel/timestamp ");
    let clock = *clock.start()..=clock.end() + "AAAAAA".len();
    for at in every_byte(text.as_bytes(), |text| of_tlog_proof(text, &log.leaves[2])) {
        assert!(clock.contains(&at), "byte {at} of {text}");
    }
    let accepted = every_byte(&log.leaves[2], |leaf| of_tlog_proof(text.as_bytes(), leaf));
    assert_eq!(accepted, BTreeSet::new());
}

/// With a line by a stranger in the note, that line may be anything: nothing is said by it.
#[test]
fn a_changed_byte_of_a_strangers_line_changes_nothing() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::clock(2), Key::log(9)]);
    let text = log.tlog_proof(2, 5, None).to_text();
    let from = text.rfind('\u{2014}').unwrap();
    let sound = of_tlog_proof(text.as_bytes(), &log.leaves[2]).unwrap();
    let mut accepted = 0;
    for at in from..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1 << bit;
            if let Some(found) = of_tlog_proof(&changed, &log.leaves[2]) {
                assert_eq!(found, sound);
                accepted += 1;
            }
        }
    }
    assert!(accepted > 0);
}

#[test]
fn every_bit_of_key_and_signature_counts() {
    let log = Log::new(5);
    let key = Key::log(1).verifier;
    for bit in 0..256 {
        let mut bytes = *key.public_key();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(other) = VerifierKey::new(key.name(), key.key_type(), &bytes) else { continue };
        assert!(ProofVerifier::new(other).verify_signed_tree_head(&log.head(5)).is_err());
    }
    let (text, line) = (log.text(5), log.signers[0].sign(&log.text(5), 0));
    assert_eq!(key.verify(&text, &line.signature), Ok(None));
    for bit in 0..512 {
        let mut signature = line.signature.clone();
        signature[bit / 8] ^= 1 << (bit % 8);
        assert!(key.verify(&text, &signature).is_err(), "bit {bit}");
    }
    let (clock, line) = (Key::clock(2).verifier, Key::clock(2).sign(&text, 5));
    assert_eq!(clock.verify(&text, &line.signature), Ok(Some(5)));
    for bit in 0..576 {
        let mut signature = line.signature.clone();
        signature[bit / 8] ^= 1 << (bit % 8);
        assert!(clock.verify(&text, &signature).is_err(), "bit {bit}");
    }
    // A signature of one type is none of the other.
    assert!(Key::new(key.name(), clock.key_type(), 1).verifier.verify(&text, &line.signature).is_err());
}

/// A signature with the group's order added to its second half would pass a careless verifier (RFC 8032, section 8.4).
#[test]
fn a_signature_has_one_form() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let log = Log::new(5);
    let text = log.text(5);
    let mut signature = log.signers[0].sign(&text, 0).signature;
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert!(Key::log(1).verifier.verify(&text, &signature).is_err());
}

/// Everything that reads bytes from outside.
fn read_all(bytes: &[u8]) {
    if let Ok(note) = SignedNote::parse(bytes) {
        assert_eq!(note.to_text().as_bytes(), bytes);
        let _ = note.open(&[Key::log(1).verifier]);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_text(), text);
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        let _ = text.parse::<PublicKey>();
    }
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_text().as_bytes(), bytes);
    }
    if let Ok(leaf) = AttemptLeaf::from_canonical(bytes) {
        assert_eq!(leaf.to_canonical(), bytes);
    }
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        let _ = verifier().verify_checkpoint(&signed);
    }
    if let Ok(head) = serde_json::from_slice::<SignedTreeHead>(bytes) {
        let _ = verifier().verify_signed_tree_head(&head);
    }
    if let Ok(policy) = Policy::parse(bytes) {
        let _ = policy.is_quorum_met(&[]);
    }
    let _ = of_package(bytes);
}

/// A sound document of each form.
fn sound() -> Vec<Vec<u8>> {
    let log = Log::new(5);
    let policy = format!(
        "log {}\nwitness a {}\ngroup g any a\nquorum g\n",
        Key::log(1).verifier,
        Key::new("w", kapsel_verification::KeyType::CosignatureV1, 4).verifier
    );
    vec![
        serde_json::to_vec(&log.package(2, 5)).unwrap(),
        serde_json::to_vec(&log.head(5)).unwrap(),
        log.tlog_proof(2, 5, Some(vec![1])).to_text().into_bytes(),
        log.note(5).into_bytes(),
        log.text(5).into_bytes(),
        log.leaves[2].clone(),
        Key::log(1).verifier.to_string().into_bytes(),
        policy.into_bytes(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bytes_of_chance_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        read_all(&bytes);
        read_all(text.as_bytes());
    }

    /// Pieces of sound documents cut out, doubled, overwritten and put together.
    #[test]
    fn pieces_of_sound_documents_never_panic(
        pieces in prop::collection::vec((any::<prop::sample::Index>(), any::<[prop::sample::Index; 2]>(), any::<u8>()), 1..6),
    ) {
        let sound = sound();
        let mut document = Vec::new();
        for (which, [from, to], byte) in pieces {
            let source = which.get(&sound);
            let (from, to) = (from.index(source.len()), to.index(source.len()));
            document.extend(&source[from.min(to)..from.max(to)]);
            if byte.is_multiple_of(2) {
                document.push(byte);
            }
        }
        read_all(&document);
    }

    /// Some bytes of a sound document are changed: it proves the same or nothing.
    #[test]
    fn several_changed_bytes_prove_nothing_else(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5), which in 0_usize..8,
    ) {
        let mut document = sound().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(document.len());
            document[at] = byte;
        }
        read_all(&document);
        if let (0, Some(found)) = (which, of_package(&document)) {
            prop_assert!(proves_no_more(&found, &of_package(&sound()[0]).unwrap()));
        }
    }
}
