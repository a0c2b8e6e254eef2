//! Published vectors; `tests/vectors/README.md` says whose.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kapsel_verification::{
    Checkpoint, Cosignature, Hash, KeyId, KeyType, Policy, ProofVerifier, SignatureLine, SignedCheckpoint,
    VerifiedSignature, VerifierKey, empty_root, leaf_hash, note, verify_consistency, verify_inclusion,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::reference::Tree;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Every JSON file below the folder, in order.
fn documents(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(documents(&path));
        } else {
            let document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            found.push((path, document));
        }
    }
    found
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// None where it has a wrong length: then there is nothing that could be asked.
fn hash(value: &Value) -> Option<Hash> {
    Hash::from_slice(&bytes(value))
}

/// A root of another length is none, but two of them may be the same: something that is equal exactly then.
fn root(value: &Value) -> Hash {
    hash(value).unwrap_or_else(|| leaf_hash(&bytes(value)))
}

/// A missing path is an empty one.
fn path(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().map(hash).collect()
}

#[test]
fn inclusion_vectors_agree() {
    let (mut sound, mut damaged, mut unaskable) = (0, 0, 0);
    for (file, vector) in documents(&vectors().join("rfc6962/inclusion")) {
        let (index, size) = (vector["leafIdx"].as_u64().unwrap(), vector["treeSize"].as_u64().unwrap());
        let asked = (hash(&vector["leafHash"]), path(&vector["proof"]));
        let is_accepted = match asked {
            (Some(leaf), Some(path)) => verify_inclusion(&leaf, index, size, &path, &root(&vector["root"])).is_ok(),
            _ => {
                unaskable += 1;
                false
            }
        };
        assert_eq!(is_accepted, !vector["wantErr"].as_bool().unwrap(), "{}", file.display());
        if is_accepted { sound += 1 } else { damaged += 1 }
    }
    assert_eq!((sound, damaged, unaskable), (3, 55, 13));
}

#[test]
fn consistency_vectors_agree() {
    let (mut sound, mut damaged, mut unaskable) = (0, 0, 0);
    for (file, vector) in documents(&vectors().join("rfc6962/consistency")) {
        let (old, new) = (vector["size1"].as_u64().unwrap(), vector["size2"].as_u64().unwrap());
        let (old_root, new_root) = (root(&vector["root1"]), root(&vector["root2"]));
        let is_accepted = match path(&vector["proof"]) {
            Some(path) => verify_consistency(old, &old_root, new, &new_root, &path).is_ok(),
            None => {
                unaskable += 1;
                false
            }
        };
        assert_eq!(is_accepted, !vector["wantErr"].as_bool().unwrap(), "{}", file.display());
        if is_accepted { sound += 1 } else { damaged += 1 }
    }
    assert_eq!((sound, damaged, unaskable), (4, 52, 4));
}

/// The tree that those vectors are about.
#[test]
fn the_tree_of_eight_has_its_root() {
    let leaves: [&[u8]; 8] =
        [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", b"PQRSTUVW", b"`abcdefghijklmno"];
    let tree = Tree::of(leaves);
    assert_eq!(tree.root(8).to_string(), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    for index in 0..8 {
        assert_eq!(verify_inclusion(tree.leaf(index), index as u64, 8, &tree.path(index, 8), &tree.root(8)), Ok(()));
    }
}

const VKEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

/// The entries of a bundle: each with its length before it, in two bytes (C2SP tlog-tiles, "Log entries").
fn entries(bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk() {
        let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = tail;
    }
    assert!(rest.is_empty());
    entries
}

#[test]
fn the_golden_log_opens_and_its_tiles_and_entries_agree() {
    let log = vectors().join("tlog-tiles/testdata/log");
    let read = |path: &str| fs::read(log.join(path)).unwrap();
    let key: VerifierKey = VKEY.parse().unwrap();
    let verifier = ProofVerifier::new(key.clone());
    let head = |size: usize| {
        let signed = SignedCheckpoint::parse(&read(&format!("checkpoint.{size}"))).unwrap();
        verifier.verify_checkpoint(&signed).unwrap()
    };
    let tree = Tree::of(entries(&read("tile/entries/000.p/15")));
    assert_eq!(read("checkpoint"), read("checkpoint.15"));
    assert_eq!(head(0).root_hash, empty_root());
    for size in 0..=15 {
        let head = head(size);
        assert_eq!((head.origin.as_str(), head.tree_size), ("example.com/log/testdata", size as u64));
        assert_eq!((head.root_hash, head.time), (tree.root(size), None));
        assert_eq!(head.signed_by, std::slice::from_ref(&key));
        if size == 0 {
            continue;
        }
        let (tile, bundle) = (read(&format!("tile/0/000.p/{size}")), read(&format!("tile/entries/000.p/{size}")));
        let entries = entries(&bundle);
        let hashes: Vec<u8> = entries.iter().flat_map(|entry| *leaf_hash(entry).as_bytes()).collect();
        assert_eq!((entries.len(), tile), (size, hashes));
    }
    assert_eq!(fs::read_dir(log.join("tile/0/000.p")).unwrap().count(), 15);
    assert_eq!(fs::read_dir(log.join("tile/entries/000.p")).unwrap().count(), 15);
    for (old, new) in (1..=15).flat_map(|new| (1..=new).map(move |old| (old, new))) {
        head(old).verify_continuation(&head(new), &tree.consistency(old, new)).unwrap();
    }
}

/// A log, a witness and a submitter that never heard of us: a proof that Sigsum's tools made. Its tree head is the text of a
/// C2SP checkpoint, and its cosignatures are those of C2SP.
#[test]
fn a_proof_of_sigsum_holds() {
    const LOG: &str = "ac26c0a855ac451a6539478e1a160388f024b385f1363efcda470170076c01e5";
    const WITNESS: &str = "cbe357e6b464049e703b7be6c89201193acc2a18c095b0691aaf50b9b1e1578a";
    // What was submitted: its hash is in the leaf.
    const MESSAGE: &[u8; 32] = b"                          foo-4\n";

    let file = fs::read_to_string(vectors().join("sigsum/proof.txt")).unwrap();
    let values = |name: &str| -> Vec<String> {
        let lines = file.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
    };
    let value = |name: &str| values(name).pop().unwrap();
    let unhex = |text: &str| hex::decode(text).unwrap();
    let key =
        |name: &str, key_type, text: &str| VerifierKey::new(name, key_type, &unhex(text).try_into().unwrap()).unwrap();

    let origin = format!("sigsum.org/v1/tree/{}", value("log"));
    let text = Checkpoint::new(&origin, 4, value("root_hash").parse().unwrap(), &[]).unwrap().to_text();
    let (log, witness) = (key(&origin, KeyType::Ed25519, LOG), key("w", KeyType::CosignatureV1, WITNESS));
    let cosignature = value("cosignature");
    let [_, time, signature] = cosignature.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let cosignature =
        Cosignature { time: time.parse().unwrap(), signature: unhex(signature).try_into().unwrap() }.to_bytes();
    let line = |key: &VerifierKey, signature: Vec<u8>| SignatureLine {
        name: key.name().to_owned(),
        key_id: KeyId::of(key.name(), key.key_type(), key.public_key()),
        signature,
    };
    let lines = [line(&log, unhex(&value("signature"))), line(&witness, cosignature.to_vec())];
    let signed = SignedCheckpoint::parse(note::format(&text, &lines).unwrap().as_bytes()).unwrap();

    let policy = format!("log {log}\nwitness w {witness}\nquorum w\n");
    let verifier = ProofVerifier::with_policy(Policy::parse(policy.as_bytes()).unwrap());
    let head = verifier.verify_checkpoint(&signed).unwrap();
    assert_eq!((head.tree_size, head.signed_by), (4, vec![log]));
    assert_eq!(head.witnessed_by, [VerifiedSignature { key: witness, time: Some(1_683_202_758) }]);

    let submitted = value("leaf");
    let (key_hash, signature) = submitted.split_once(' ').unwrap();
    let leaf = [Sha256::digest(MESSAGE).to_vec(), unhex(signature), unhex(key_hash)].concat();
    let path: Vec<Hash> = values("node_hash").iter().map(|hash| hash.parse().unwrap()).collect();
    assert_eq!(verify_inclusion(&leaf_hash(&leaf), 3, 4, &path, &head.root_hash), Ok(()));
}
