//! Checks whole proofs against the keys that somebody trusts.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use crate::cosignature::timestamp_name;
use crate::hash::{Hash, leaf_hash};
use crate::head::{HeadError, HeadTime, VerifiedHead};
use crate::inclusion::verify_inclusion;
use crate::key::{KeyType, PublicKey, VerifierKey};
use crate::leaf::AttemptLeaf;
use crate::opening::Opened;
use crate::package::ProofPackage;
use crate::policy::Policy;
use crate::proof::InclusionProof;
use crate::report::{Report, Step, StepError, StepReport, Verified, VerifyError};
use crate::signed_checkpoint::SignedCheckpoint;
use crate::tlog_proof::TlogProof;
use crate::tree_head::SignedTreeHead;

/// The keys that are trusted, and what is asked of witnesses.
///
/// A log's key is one of type 0x01 whose name is the origin of the checkpoint. A key without a name is tried as that,
/// and as the key with which the log signs its times. Named keys of type 0x04 verify cosignatures: that of
/// [`timestamp_name`] says when a head was made, others are witnesses. Which witnesses are needed, only a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProofVerifier {
    keys: Vec<PublicKey>,
    policy: Policy,
}

impl ProofVerifier {
    /// A verifier that trusts one key.
    pub fn new(key: impl Into<PublicKey>) -> Self {
        ProofVerifier::with_keys(vec![key.into()])
    }

    /// A verifier that trusts any of these keys.
    pub fn with_keys(keys: Vec<PublicKey>) -> Self {
        ProofVerifier { keys, policy: Policy::default() }
    }

    /// A verifier that trusts the logs of a policy and asks for its witnesses.
    pub fn with_policy(policy: Policy) -> Self {
        ProofVerifier { keys: Vec::new(), policy }
    }

    /// The same, and this key as well.
    #[must_use]
    pub fn and_key(mut self, key: impl Into<PublicKey>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Checks the signatures of a checkpoint.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn verify_checkpoint(&self, signed: &SignedCheckpoint) -> Result<VerifiedHead, HeadError> {
        self.open(signed).map(|(head, _)| head)
    }

    /// The head, and the times of it that known keys signed.
    fn open(&self, signed: &SignedCheckpoint) -> Result<(VerifiedHead, Vec<u64>), HeadError> {
        let checkpoint = signed.checkpoint();
        let origin = checkpoint.origin();
        let verified = signed
            .note()
            .open(&self.keys_for(origin))
            .map_err(|source| HeadError::Open { origin: origin.to_string(), source })?;
        if !self.policy.is_quorum_met(&verified) {
            return Err(HeadError::Quorum);
        }
        let of_log = |key: &VerifierKey| key.key_type() == KeyType::Ed25519 && key.name() == origin;
        let of_clock =
            |key: &VerifierKey| key.key_type() == KeyType::CosignatureV1 && key.name() == timestamp_name(origin);
        let signed_by: Vec<VerifierKey> = verified.iter().map(|v| &v.key).filter(|key| of_log(key)).cloned().collect();
        if signed_by.is_empty() {
            return Err(HeadError::NotByLog { origin: origin.to_string() });
        }
        let said = || signed.timestamps().map(|(_, seconds)| seconds).max();
        let known: Vec<u64> = verified.iter().filter(|v| of_clock(&v.key)).filter_map(|v| v.time).collect();
        let time = match known.iter().max() {
            Some(&unix_seconds) => Some(HeadTime { unix_seconds, is_verified: true }),
            None => said().map(|unix_seconds| HeadTime { unix_seconds, is_verified: false }),
        };
        let witnessed_by = verified.iter().filter(|v| v.time.is_some() && !of_clock(&v.key)).cloned().collect();
        let head = VerifiedHead {
            origin: origin.to_string(),
            tree_size: checkpoint.size(),
            root_hash: *checkpoint.root(),
            signed_by,
            time,
            witnessed_by,
        };
        Ok((head, known))
    }

    /// Checks a head in its JSON view: that it is one of its checkpoint, and the signatures of that.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn verify_signed_tree_head(&self, head: &SignedTreeHead) -> Result<VerifiedHead, HeadError> {
        self.verify_view(head, &head.read()?)
    }

    /// Checks a head that was read.
    fn verify_view(&self, head: &SignedTreeHead, signed: &SignedCheckpoint) -> Result<VerifiedHead, HeadError> {
        let (mut verified, known) = self.open(signed)?;
        // The view gives one of the times in the note, or one of its own where the note has none.
        let unix_seconds = head.timestamp / 1000;
        if !known.is_empty() && !known.contains(&unix_seconds) {
            return Err(HeadError::Time);
        }
        verified.time = Some(HeadTime { unix_seconds, is_verified: !known.is_empty() });
        Ok(verified)
    }

    /// Checks that a leaf stands in the tree of a head. What the leaf says is not looked at.
    ///
    /// # Errors
    /// [`VerifyError`], of the path or of the signature.
    pub fn verify_inclusion_proof(
        &self,
        proof: &InclusionProof,
        head: &SignedTreeHead,
    ) -> Result<VerifiedHead, VerifyError> {
        let at = |step| move |source| VerifyError { step, source };
        let verified = self.verify_signed_tree_head(head).map_err(StepError::from).map_err(at(Step::Signature))?;
        check_path(&proof.leaf_hash, proof, verified.tree_size, &verified.root_hash)
            .map_err(at(Step::InclusionPath))?;
        Ok(verified)
    }

    /// Checks that the tree of a head is continued by that of a newer one of the same log. It gives both.
    ///
    /// # Errors
    /// [`VerifyError`], of one of the signatures or of the path.
    pub fn verify_consistency(
        &self,
        old: &SignedTreeHead,
        new: &SignedTreeHead,
        proof_hashes: &[Hash],
    ) -> Result<(VerifiedHead, VerifiedHead), VerifyError> {
        let at = |step| move |source| VerifyError { step, source };
        let head = |head| self.verify_signed_tree_head(head).map_err(StepError::from);
        let old = head(old).map_err(at(Step::OldSignature))?;
        let new = head(new).map_err(at(Step::NewSignature))?;
        old.verify_continuation(&new, proof_hashes).map_err(at(Step::ConsistencyPath))?;
        Ok((old, new))
    }

    /// Checks a whole proof package and gives what it proves.
    ///
    /// # Errors
    /// [`VerifyError`] with the first step that does not hold.
    pub fn verify_package(&self, package: &ProofPackage) -> Result<Verified, VerifyError> {
        self.check_package(package).into_result()
    }

    /// Checks every step of a proof package, also after one that does not hold.
    pub fn check_package(&self, package: &ProofPackage) -> Report {
        let computed = leaf_hash(&package.leaf_data);
        let leaf = read_leaf(package, &computed);
        // The size and the root are those of the checkpoint itself, never those that stand beside it.
        let (path, head) = match package.signed_tree_head.read() {
            Ok(signed) => {
                let (proof, checkpoint) = (&package.inclusion_proof, signed.checkpoint());
                let path = check_path(&computed, proof, checkpoint.size(), checkpoint.root());
                (path, self.verify_view(&package.signed_tree_head, &signed))
            }
            Err(error) => (Err(StepError::Unchecked { needs: Step::Signature }), Err(error.into())),
        };
        let opened = match &leaf {
            Ok(leaf) => package.openings.verify(&leaf.commitments).map_err(StepError::from),
            Err(_) => Err(StepError::Unchecked { needs: Step::LeafHash }),
        };
        let leaf_index = package.inclusion_proof.leaf_index;
        let mut report = Draft { leaf, leaf_hash: computed, leaf_index, path, head, opened }.finish();
        if package.openings.is_empty() {
            report = report.without(Step::Openings);
        }
        report
    }

    /// Checks a proof of C2SP's text format for the bytes of a leaf.
    ///
    /// # Errors
    /// [`VerifyError`] with the first step that does not hold.
    pub fn verify_tlog_proof(&self, proof: &TlogProof, leaf_data: &[u8]) -> Result<Verified, VerifyError> {
        self.check_tlog_proof(proof, leaf_data).into_result()
    }

    /// Checks every step of a proof of C2SP's text format, also after one that does not hold.
    pub fn check_tlog_proof(&self, proof: &TlogProof, leaf_data: &[u8]) -> Report {
        let computed = leaf_hash(leaf_data);
        let draft = Draft {
            leaf: AttemptLeaf::from_canonical(leaf_data).map_err(StepError::from),
            leaf_hash: computed,
            leaf_index: proof.index(),
            path: proof.verify_path(&computed).map_err(StepError::from),
            head: self.verify_checkpoint(proof.checkpoint()),
            opened: Ok(Opened::default()),
        };
        draft.finish().without(Step::Openings)
    }

    /// The keys that may have signed a checkpoint of this log.
    fn keys_for(&self, origin: &str) -> Vec<VerifierKey> {
        let mut keys = [self.policy.logs(), self.policy.witnesses()].concat();
        for key in &self.keys {
            match key {
                PublicKey::Named(key) => keys.push(key.clone()),
                // An origin that cannot be a name of a key has no keys.
                PublicKey::Bare(key) => {
                    keys.extend(key.named(origin, KeyType::Ed25519));
                    keys.extend(key.named(&timestamp_name(origin), KeyType::CosignatureV1));
                }
            }
        }
        keys
    }
}

/// All that was found out about one attempt.
struct Draft {
    leaf: Result<AttemptLeaf, StepError>,
    leaf_hash: Hash,
    leaf_index: u64,
    path: Result<(), StepError>,
    head: Result<VerifiedHead, HeadError>,
    opened: Result<Opened, StepError>,
}

impl Draft {
    fn finish(self) -> Report {
        fn result<T>(found: &Result<T, impl Clone + Into<StepError>>) -> Result<(), StepError> {
            found.as_ref().map(|_| ()).map_err(|error| error.clone().into())
        }
        let steps = vec![
            StepReport { step: Step::LeafHash, result: result(&self.leaf) },
            StepReport { step: Step::InclusionPath, result: self.path },
            StepReport { step: Step::Signature, result: result(&self.head) },
            StepReport { step: Step::Openings, result: result(&self.opened) },
        ];
        let verified = match (self.leaf, self.head, self.opened) {
            (Ok(leaf), Ok(head), Ok(opened)) => {
                Some(Verified { leaf, leaf_hash: self.leaf_hash, leaf_index: self.leaf_index, opened, head })
            }
            _ => None,
        };
        Report::new(steps, verified)
    }
}

fn read_leaf(package: &ProofPackage, computed: &Hash) -> Result<AttemptLeaf, StepError> {
    if package.leaf_hash != *computed {
        return Err(StepError::LeafHash { claimed: package.leaf_hash, computed: *computed });
    }
    let leaf = AttemptLeaf::from_canonical(&package.leaf_data)?;
    if leaf.attempt_id != package.delivery_attempt_id {
        return Err(StepError::OtherAttempt { claimed: package.delivery_attempt_id.clone(), leaf: leaf.attempt_id });
    }
    Ok(leaf)
}

fn check_path(leaf_hash: &Hash, proof: &InclusionProof, size: u64, root: &Hash) -> Result<(), StepError> {
    let agree = |is_same: bool, field, from| if is_same { Ok(()) } else { Err(StepError::Differs { field, from }) };
    agree(proof.leaf_hash == *leaf_hash, "leaf_hash", "the leaf")?;
    agree(proof.tree_size == size, "tree_size", "the head")?;
    agree(proof.root_hash == *root, "root_hash", "the head")?;
    Ok(verify_inclusion(leaf_hash, proof.leaf_index, size, &proof.proof_hashes, root)?)
}
