//! The text forms of C2SP: what is read is written back as it was, and nothing else is read.

use kapsel_verification::{
    AttemptLeaf, ProofVerifier, SignedCheckpoint, SignedNote, Step, StepError, TlogProof, TlogProofError, leaf_hash,
};

use crate::fixture::{Key, Log, leaf};

#[test]
fn a_tlog_proof_comes_back_and_proves_its_leaf() {
    let log = Log::new(9);
    let verifier = ProofVerifier::new(Key::log(1).verifier);
    for index in 0..9 {
        for extra in [None, Some(log.leaves[index].clone())] {
            let proof = log.tlog_proof(index, 9, extra.clone());
            let text = proof.to_text();
            assert_eq!(TlogProof::parse(text.as_bytes()).unwrap(), proof);
            assert_eq!(
                (proof.index(), proof.path(), proof.extra()),
                (index as u64, &*log.tree.path(index, 9), extra.as_deref())
            );
            assert_eq!(proof.verify_path(&leaf_hash(&log.leaves[index])), Ok(()));
            let verified = verifier.verify_tlog_proof(&proof, &log.leaves[index]).unwrap();
            assert_eq!(verified.leaf, leaf(u32::try_from(index).unwrap()));
            let error = verifier.verify_tlog_proof(&proof, &log.leaves[(index + 1) % 9]).unwrap_err();
            assert_eq!(error.step, Step::InclusionPath);
            let error = verifier.verify_tlog_proof(&proof, b"no leaf").unwrap_err();
            assert!(matches!(error.source, StepError::Leaf(_)));
        }
    }
    let strangers = ProofVerifier::new(Key::log(9).verifier);
    let error = strangers.verify_tlog_proof(&log.tlog_proof(0, 9, None), &log.leaves[0]).unwrap_err();
    assert_eq!(error.step, Step::Signature);
}

#[test]
fn a_tlog_proof_has_the_lines_of_the_specification() {
    let log = Log::new(3);
    let text = log.tlog_proof(2, 3, Some(b"extra".to_vec())).to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra ZXh0cmE=", "index 2"]);
    assert_eq!((lines[3].len(), lines[4]), (44, ""));
    assert_eq!(text.split_once("\n\n").unwrap().1, log.note(3));
    let alone = Log::new(1).tlog_proof(0, 1, None).to_text();
    assert!(alone.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nexample.com/kapsel\n1\n"));
}

#[test]
fn other_forms_of_a_tlog_proof_are_refused() {
    let text = Log::new(9).tlog_proof(2, 9, Some(b"extra".to_vec())).to_text();
    let parse = |text: &str| TlogProof::parse(text.as_bytes()).unwrap_err();
    let replaced = |from: &str, to: &str| parse(&text.replacen(from, to, 1));
    assert_eq!(parse(""), TlogProofError::Header);
    assert_eq!(replaced("@v1", "@v2"), TlogProofError::Header);
    assert_eq!(replaced("c2sp", " c2sp"), TlogProofError::Header);
    assert_eq!(replaced("@v1\n", "@v1 \n"), TlogProofError::Header);
    assert_eq!(replaced("extra ZXh0cmE=", "extra "), TlogProofError::Extra);
    assert_eq!(replaced("extra ZXh0cmE=", "extra"), TlogProofError::Extra);
    assert_eq!(replaced("extra ZXh0cmE=", "extra ZXh0cmF="), TlogProofError::Extra);
    assert_eq!(replaced("extra ZXh0cmE=", "extra  ZXh0cmE="), TlogProofError::Extra);
    assert_eq!(replaced("extra ZXh0cmE=\n", "extra ZXh0cmE=\nextra ZXh0cmE=\n"), TlogProofError::Index);
    for index in
        ["index  2", "index 02", "index -2", "index +2", "index 2 ", "index", "Index 2", "index 18446744073709551616"]
    {
        assert_eq!(replaced("index 2", index), TlogProofError::Index, "{index}");
    }
    assert_eq!(replaced("index 2\n", "index 2\nAAAA\n"), TlogProofError::PathHash(1));
    assert_eq!(replaced("=\n\n", "=\r\n\n"), TlogProofError::PathHash(4));
    let hash = format!("index 2\n{}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(61));
    assert_eq!(replaced("index 2\n", &hash), TlogProofError::PathLength);
    assert_eq!(parse(text.split_once("\n\n").unwrap().0), TlogProofError::NoCheckpoint);
    assert!(matches!(parse(&text[..text.len() - 1]), TlogProofError::Checkpoint(_)));
    assert!(matches!(replaced("\n\n", "\n\n\n"), TlogProofError::Checkpoint(_)));
    assert_eq!(TlogProof::parse(b"\xff"), Err(TlogProofError::NotUtf8));
    assert_eq!(parse(&"c".repeat(300_000)), TlogProofError::TooLong(300_000));

    let checkpoint = SignedCheckpoint::parse(Log::new(1).note(1).as_bytes()).unwrap();
    let new = |path, extra| TlogProof::new(0, path, checkpoint.clone(), extra);
    assert_eq!(new(Vec::new(), Some(Vec::new())), Err(TlogProofError::Extra));
    assert_eq!(new(vec![leaf_hash(b""); 65], None), Err(TlogProofError::PathLength));
    assert!(matches!(new(Vec::new(), Some(vec![0; 200_000])), Err(TlogProofError::TooLong(_))));
    assert!(new(vec![leaf_hash(b""); 64], Some(vec![0; kapsel_verification::leaf::LEAF_BYTES_MAX])).is_ok());
}

#[test]
fn a_checkpoint_of_any_kind_of_key_is_written_back() {
    let log = Log::signed_by(5, vec![Key::log(1), Key::log(3), Key::clock(2)]);
    for size in 0..=5 {
        let note = log.note(size);
        assert_eq!(SignedNote::parse(note.as_bytes()).unwrap().to_text(), note);
        assert_eq!(SignedCheckpoint::parse(note.as_bytes()).unwrap().checkpoint().to_text(), log.text(size));
    }
}

#[test]
fn leaves_with_unusual_characters_come_back() {
    for id in
        ["", "\"", "\\", "\u{0}\u{8}\u{c}\n\r\t\u{1f}", "\u{7f}\u{80}\u{2028}\u{10ffff}", "/<>&'", "\u{e4}\u{212a}"]
    {
        let leaf = AttemptLeaf { event_id: id.into(), ..leaf(0) };
        let bytes = leaf.to_canonical();
        assert_eq!(AttemptLeaf::from_canonical(&bytes).unwrap(), leaf);
    }
}
