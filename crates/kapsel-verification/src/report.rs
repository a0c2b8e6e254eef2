//! What came of a verification, step by step.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::consistency::ConsistencyError;
use crate::hash::Hash;
use crate::head::{HeadError, VerifiedHead};
use crate::inclusion::InclusionError;
use crate::leaf::{AttemptLeaf, LeafError};
use crate::opening::{Opened, OpeningError};

/// One thing that has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The bytes are a leaf of this attempt, and have this hash.
    LeafHash,
    /// The path leads from the hash to the root of the head.
    InclusionPath,
    /// The head is signed by a known log, and by witnesses where a policy asks for them.
    Signature,
    /// What is shown of the committed values is what the leaf commits to.
    Openings,
    /// The older of two heads is signed by a known log.
    OldSignature,
    /// The newer of two heads is signed by a known log.
    NewSignature,
    /// The newer tree continues the older one.
    ConsistencyPath,
}

/// Why a step does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The leaf's bytes have another hash.
    #[error("the leaf has the hash {computed}, not {claimed}")]
    LeafHash {
        /// The hash that the document gives.
        claimed: Hash,
        /// The hash of the bytes.
        computed: Hash,
    },
    /// The bytes are not the leaf of an attempt.
    #[error("the bytes are not the leaf of a delivery attempt")]
    Leaf(#[from] LeafError),
    /// The leaf is that of another attempt.
    #[error("the leaf is of the attempt {leaf:?}, not of {claimed:?}")]
    OtherAttempt {
        /// The attempt that the document is about.
        claimed: String,
        /// The attempt that the leaf is about.
        leaf: String,
    },
    /// A field of the proof says something else than leaf or head.
    #[error("{field} of the proof differs from {from}")]
    Differs {
        /// The name of the field.
        field: &'static str,
        /// What it differs from.
        from: &'static str,
    },
    /// The path does not lead to the root.
    #[error("the leaf is not in the tree")]
    Inclusion(#[from] InclusionError),
    /// The head is not one of a known log.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// An opening does not match.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The two heads are of different logs.
    #[error("the old head is of the log {old:?}, the new one of {new:?}")]
    OtherLog {
        /// The name of the first.
        old: String,
        /// The name of the second.
        new: String,
    },
    /// The path does not connect the trees.
    #[error("the new tree does not continue the old one")]
    Consistency(#[from] ConsistencyError),
    /// It cannot be looked at, because an earlier one failed.
    #[error("cannot be checked: {needs} does not hold")]
    Unchecked {
        /// The step that it needs.
        needs: Step,
    },
}

/// The first step that does not hold, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} does not hold")]
pub struct VerifyError {
    /// The step.
    pub step: Step,
    /// Why.
    #[source]
    pub source: StepError,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// Why it does not hold, if it does not.
    pub result: Result<(), StepError>,
}

/// What was proven about a delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the leaf says.
    pub leaf: AttemptLeaf,
    /// Its hash.
    pub leaf_hash: Hash,
    /// Where it stands in the log, from 0.
    pub leaf_index: u64,
    /// What was shown of the values that it commits to.
    pub opened: Opened,
    /// The head of the log that it stands under.
    pub head: VerifiedHead,
}

/// How all steps went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    steps: Vec<StepReport>,
    verified: Option<Verified>,
}

impl Report {
    /// Something is proven only where no step failed.
    pub(crate) fn new(steps: Vec<StepReport>, verified: Option<Verified>) -> Self {
        let is_whole = steps.iter().all(|step| step.result.is_ok());
        Report { steps, verified: verified.filter(|_| is_whole) }
    }

    /// The same without a step that there was nothing to do for.
    pub(crate) fn without(mut self, step: Step) -> Self {
        self.steps.retain(|report| report.step != step);
        self
    }

    /// Every step that was looked at, in order.
    pub fn steps(&self) -> &[StepReport] {
        &self.steps
    }

    /// What was proven; none where a step does not hold.
    pub fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }

    /// What was proven.
    ///
    /// # Errors
    /// [`VerifyError`] with the first step that does not hold.
    pub fn into_result(self) -> Result<Verified, VerifyError> {
        for StepReport { step, result } in self.steps {
            result.map_err(|source| VerifyError { step, source })?;
        }
        // Without a failed step there is always something that was proven.
        let unchecked = StepError::Unchecked { needs: Step::LeafHash };
        self.verified.ok_or(VerifyError { step: Step::LeafHash, source: unchecked })
    }
}

impl Step {
    /// A short name in lower case, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Step::LeafHash => "leaf_hash",
            Step::InclusionPath => "inclusion_path",
            Step::Signature => "signature",
            Step::Openings => "openings",
            Step::OldSignature => "old_signature",
            Step::NewSignature => "new_signature",
            Step::ConsistencyPath => "consistency_path",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::LeafHash => "the leaf and its hash",
            Step::InclusionPath => "the path to the root",
            Step::Signature => "the signature of the head",
            Step::Openings => "the values that are shown",
            Step::OldSignature => "the signature of the old head",
            Step::NewSignature => "the signature of the new head",
            Step::ConsistencyPath => "the path between the heads",
        })
    }
}
