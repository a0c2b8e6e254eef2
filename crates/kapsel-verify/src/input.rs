//! Reads what the arguments name, up to a bound, and takes it apart.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kapsel_verification::{
    ConsistencyProof, PackageFormError, Policy, PolicyError, ProofPackage, ProofVerifier, SignedCheckpoint,
    SignedCheckpointError, SignedTreeHead, TlogProof, TlogProofError,
};

use crate::arguments::Trust;

/// Nothing that can be proven is longer: the library takes packages of 1 MiB, and all else is smaller.
const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why the input cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("no proof was named")]
    NoProof,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is longer than {INPUT_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("only one of the files can be the standard input")]
    StdinTwice,
    #[error("{} cannot be used", path.display())]
    Package { path: PathBuf, source: PackageFormError },
    #[error("{} cannot be used", path.display())]
    TlogProof { path: PathBuf, source: TlogProofError },
    #[error("{} cannot be used", path.display())]
    Checkpoint { path: PathBuf, source: SignedCheckpointError },
    #[error("{} is not {what}", path.display())]
    Json { path: PathBuf, what: &'static str, source: serde_json::Error },
    #[error("{} cannot be used", path.display())]
    Policy { path: PathBuf, source: PolicyError },
    #[error("the policy names no log: give its key with --public-key as well")]
    NoLog,
    #[error("the proof does not hold the leaf: give its bytes with --leaf")]
    NoLeaf,
    #[error("the package holds its leaf: --leaf is for a .tlog-proof")]
    LeafTwice,
}

/// A proof of an attempt, in one of its forms.
#[derive(Debug)]
pub(crate) enum AttemptProof {
    Package(Box<ProofPackage>),
    Tlog { proof: Box<TlogProof>, leaf: Vec<u8> },
}

/// A tree head, in one of its forms.
#[derive(Debug)]
pub(crate) enum Head {
    View(Box<SignedTreeHead>),
    Checkpoint(Box<SignedCheckpoint>),
}

/// Reads files. It remembers whether the standard input has been read, because that works once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    is_stdin_read: bool,
}

impl Input {
    pub(crate) fn verifier(&mut self, trust: &Trust) -> Result<ProofVerifier, InputError> {
        let verifier = match &trust.policy {
            Some(path) => {
                let source = |source| InputError::Policy { path: path.clone(), source };
                let policy = Policy::parse(&self.bytes(path)?).map_err(source)?;
                if policy.logs().is_empty() && trust.public_keys.is_empty() {
                    return Err(InputError::NoLog);
                }
                ProofVerifier::with_policy(policy)
            }
            None => ProofVerifier::default(),
        };
        Ok(trust.public_keys.iter().cloned().fold(verifier, ProofVerifier::and_key))
    }

    pub(crate) fn attempt_proof(&mut self, path: &Path, leaf: Option<&Path>) -> Result<AttemptProof, InputError> {
        let bytes = self.bytes(path)?;
        if is_json(&bytes) {
            let source = |source| InputError::Package { path: path.into(), source };
            let package = ProofPackage::from_json(&bytes).map_err(source)?;
            return if leaf.is_some() { Err(InputError::LeafTwice) } else { Ok(AttemptProof::Package(package.into())) };
        }
        let proof = TlogProof::parse(&bytes).map_err(|source| InputError::TlogProof { path: path.into(), source })?;
        let leaf = match leaf {
            Some(path) => self.bytes(path)?,
            // What stands beside a proof is not signed, but neither is a file: the hash of it decides.
            None => proof.extra().ok_or(InputError::NoLeaf)?.to_vec(),
        };
        Ok(AttemptProof::Tlog { proof: proof.into(), leaf })
    }

    pub(crate) fn head(&mut self, path: &Path) -> Result<Head, InputError> {
        let bytes = self.bytes(path)?;
        if is_json(&bytes) {
            let view = serde_json::from_slice(&bytes).map_err(not_json(path, "a tree head"))?;
            return Ok(Head::View(Box::new(view)));
        }
        let checkpoint = SignedCheckpoint::parse(&bytes);
        let checkpoint = checkpoint.map_err(|source| InputError::Checkpoint { path: path.into(), source })?;
        Ok(Head::Checkpoint(checkpoint.into()))
    }

    pub(crate) fn consistency_proof(&mut self, path: &Path) -> Result<ConsistencyProof, InputError> {
        serde_json::from_slice(&self.bytes(path)?).map_err(not_json(path, "a consistency proof"))
    }

    fn bytes(&mut self, path: &Path) -> Result<Vec<u8>, InputError> {
        let reader: Box<dyn Read> = if path == Path::new("-") {
            if std::mem::replace(&mut self.is_stdin_read, true) {
                return Err(InputError::StdinTwice);
            }
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(path).map_err(|source| InputError::Read { path: path.into(), source })?)
        };
        let mut bytes = Vec::new();
        let read = reader.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|source| InputError::Read { path: path.into(), source })?;
        let is_whole = u64::try_from(bytes.len()).is_ok_and(|length| length <= INPUT_BYTES_MAX);
        if is_whole { Ok(bytes) } else { Err(InputError::TooLong { path: path.into() }) }
    }
}

/// Of all forms only JSON begins with a brace.
fn is_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

fn not_json(path: &Path, what: &'static str) -> impl FnOnce(serde_json::Error) -> InputError {
    move |source| InputError::Json { path: path.into(), what, source }
}
