//! A small log that makes everything a verifier may be shown. The CLI's tests use this file too.

use ed25519_dalek::{Signer as _, SigningKey};
use kapsel_verification::tree_head::sth_id;
use kapsel_verification::{
    AttemptLeaf, Checkpoint, Commitments, Cosignature, Hash, InclusionProof, KeyType, Opening, Openings, ProofPackage,
    SignatureLine, SignedCheckpoint, SignedTreeHead, TlogProof, VerifierKey, commitment, cosigned_message, leaf_hash,
    note, timestamp_name,
};

use crate::reference::Tree;

pub(crate) const ORIGIN: &str = "example.com/kapsel";
pub(crate) const URL: &str = "https://destination.example/hook?a=\u{e4}";
/// 2026-01-01T00:00:02Z.
pub(crate) const TIME: u64 = 1_767_225_602;

/// A key that can sign. Its seed is 32 times the same byte.
pub(crate) struct Key {
    signing: SigningKey,
    pub(crate) verifier: VerifierKey,
}

impl Key {
    pub(crate) fn new(name: &str, key_type: KeyType, seed: u8) -> Key {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let verifier = VerifierKey::new(name, key_type, signing.verifying_key().as_bytes()).unwrap();
        Key { signing, verifier }
    }

    /// The key with which the log signs checkpoints.
    pub(crate) fn log(seed: u8) -> Key {
        Key::new(ORIGIN, KeyType::Ed25519, seed)
    }

    /// The key with which the log signs times.
    pub(crate) fn clock(seed: u8) -> Key {
        Key::new(&timestamp_name(ORIGIN), KeyType::CosignatureV1, seed)
    }

    pub(crate) fn hex(&self) -> String {
        hex(self.verifier.public_key())
    }

    /// The line under a checkpoint. The time counts for cosignatures only.
    pub(crate) fn sign(&self, text: &str, time: u64) -> SignatureLine {
        let sign = |message: &str| self.signing.sign(message.as_bytes()).to_bytes();
        let signature = match self.verifier.key_type() {
            KeyType::Ed25519 => sign(text).to_vec(),
            KeyType::CosignatureV1 => {
                Cosignature { time, signature: sign(&cosigned_message(time, text)) }.to_bytes().to_vec()
            }
        };
        SignatureLine { name: self.verifier.name().to_owned(), key_id: self.verifier.id(), signature }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The leaf of the attempt with this number. Every third delivers.
pub(crate) fn leaf(number: u32) -> AttemptLeaf {
    let is_delivered = number % 3 == 2;
    let id = |prefix: &str| format!("{prefix}_01jcqv7x5eff5v3fgsrq{number:06}");
    AttemptLeaf {
        attempt_id: id("da"),
        attempt_number: number + 1,
        commitments: Commitments {
            payload_sha256: commitment(&salt(number, 1), PAYLOAD_SHA256.as_bytes()),
            response_sha256: is_delivered.then(|| commitment(&salt(number, 2), PAYLOAD_SHA256.as_bytes())),
            url: commitment(&salt(number, 0), URL.as_bytes()),
        },
        delivery_id: id("dlv"),
        duration_ms: 37,
        endpoint_id: id("ep"),
        event_id: id("evt"),
        http_status: match number % 3 {
            0 => None,
            1 => Some(503),
            _ => Some(204),
        },
        log_id: "log_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
        nonce: format!("{number:032x}"),
        outcome: ["timed_out", "server_error", "delivered"][number as usize % 3].into(),
        started_at: "2026-01-01T00:00:00.123Z".into(),
        tenant_id: "ten_01jcqv7x5eff5v3fgsrqmmvb8d".into(),
        v: 1,
    }
}

const PAYLOAD_SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn salt(number: u32, field: u8) -> [u8; 32] {
    let mut salt = [field; 32];
    salt[..4].copy_from_slice(&number.to_be_bytes());
    salt
}

/// All that may be shown of that leaf.
pub(crate) fn openings(number: u32) -> Openings {
    let opening = |field, value: &str| Opening { value: value.into(), salt: salt(number, field).into() };
    let has_response = leaf(number).commitments.response_sha256.is_some();
    Openings {
        url: Some(opening(0, URL)),
        payload_sha256: Some(opening(1, PAYLOAD_SHA256)),
        response_sha256: has_response.then(|| opening(2, PAYLOAD_SHA256)),
    }
}

/// A log of some attempts, with the keys that sign its heads.
pub(crate) struct Log {
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) tree: Tree,
    pub(crate) signers: Vec<Key>,
}

impl Log {
    /// A log whose heads are signed by the log's key of seed 1 and the clock's key of seed 2.
    pub(crate) fn new(size: u32) -> Log {
        Log::signed_by(size, vec![Key::log(1), Key::clock(2)])
    }

    pub(crate) fn signed_by(size: u32, signers: Vec<Key>) -> Log {
        let leaves: Vec<Vec<u8>> = (0..size).map(|number| leaf(number).to_canonical()).collect();
        Log { tree: Tree::of(&leaves), leaves, signers }
    }

    pub(crate) fn text(&self, size: usize) -> String {
        Checkpoint::new(ORIGIN, size as u64, self.tree.root(size), &[]).unwrap().to_text()
    }

    /// The signed checkpoint of the first leaves.
    pub(crate) fn note(&self, size: usize) -> String {
        let text = self.text(size);
        let lines: Vec<SignatureLine> = self.signers.iter().map(|key| key.sign(&text, TIME)).collect();
        note::format(&text, &lines).unwrap()
    }

    /// Its JSON view, which names the first signer.
    pub(crate) fn head(&self, size: usize) -> SignedTreeHead {
        self.head_by(size, 0)
    }

    /// The view that names another of the signers.
    pub(crate) fn head_by(&self, size: usize, signer: usize) -> SignedTreeHead {
        let (text, checkpoint) = (self.text(size), self.note(size));
        let key = &self.signers[signer];
        SignedTreeHead {
            tree_size: size as u64,
            root_hash: self.tree.root(size),
            timestamp: TIME * 1000,
            signature: key.sign(&text, TIME).signature.try_into().unwrap(),
            public_key: *key.verifier.public_key(),
            sth_id: sth_id(&checkpoint),
            key_id: key.verifier.id(),
            checkpoint,
        }
    }

    pub(crate) fn inclusion(&self, index: usize, size: usize) -> InclusionProof {
        InclusionProof {
            leaf_hash: *self.tree.leaf(index),
            leaf_index: index as u64,
            tree_size: size as u64,
            proof_hashes: self.tree.path(index, size),
            root_hash: self.tree.root(size),
        }
    }

    /// The whole package of one attempt, with everything opened.
    pub(crate) fn package(&self, index: usize, size: usize) -> ProofPackage {
        let number = u32::try_from(index).unwrap();
        ProofPackage {
            delivery_attempt_id: leaf(number).attempt_id,
            leaf_data: self.leaves[index].clone(),
            leaf_hash: leaf_hash(&self.leaves[index]),
            inclusion_proof: self.inclusion(index, size),
            signed_tree_head: self.head(size),
            openings: openings(number),
        }
    }

    /// The same in C2SP's text format.
    pub(crate) fn tlog_proof(&self, index: usize, size: usize, extra: Option<Vec<u8>>) -> TlogProof {
        let checkpoint = SignedCheckpoint::parse(self.note(size).as_bytes()).unwrap();
        TlogProof::new(index as u64, self.tree.path(index, size), checkpoint, extra).unwrap()
    }

    pub(crate) fn consistency(&self, old: usize, new: usize) -> Vec<Hash> {
        self.tree.consistency(old, new)
    }
}
