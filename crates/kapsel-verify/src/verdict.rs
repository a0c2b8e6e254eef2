//! What was found out.

use kapsel_verification::{
    ConsistencyProof, ProofVerifier, Report, Step, StepError, StepReport, Verified, VerifiedHead,
};

use crate::input::{AttemptProof, Head};

/// The answer, before it is put into words.
#[derive(Debug)]
pub(crate) enum Verdict {
    Attempt(Box<Report>),
    Heads { steps: Vec<StepReport>, proven: Option<Box<(VerifiedHead, VerifiedHead)>> },
}

impl Verdict {
    pub(crate) fn of_attempt(verifier: &ProofVerifier, proof: &AttemptProof) -> Verdict {
        Verdict::Attempt(Box::new(match proof {
            AttemptProof::Package(package) => verifier.check_package(package),
            AttemptProof::Tlog { proof, leaf } => verifier.check_tlog_proof(proof, leaf),
        }))
    }

    pub(crate) fn of_heads(verifier: &ProofVerifier, old: &Head, new: &Head, proof: &ConsistencyProof) -> Verdict {
        let (old, new) = (verify_head(verifier, old), verify_head(verifier, new));
        let path = match (&old, &new) {
            (Ok(old), Ok(new)) => old.verify_continuation_by(new, proof),
            (Err(_), _) => Err(StepError::Unchecked { needs: Step::OldSignature }),
            (_, Err(_)) => Err(StepError::Unchecked { needs: Step::NewSignature }),
        };
        let is_connected = path.is_ok();
        let steps = vec![
            StepReport { step: Step::OldSignature, result: old.as_ref().map(drop).map_err(Clone::clone) },
            StepReport { step: Step::NewSignature, result: new.as_ref().map(drop).map_err(Clone::clone) },
            StepReport { step: Step::ConsistencyPath, result: path },
        ];
        let proven = old.ok().zip(new.ok()).filter(|_| is_connected).map(Box::new);
        Verdict::Heads { steps, proven }
    }

    /// Whether every step holds.
    pub(crate) fn is_proven(&self) -> bool {
        match self {
            Verdict::Attempt(report) => report.verified().is_some(),
            Verdict::Heads { proven, .. } => proven.is_some(),
        }
    }

    /// Every step, in order.
    pub(crate) fn steps(&self) -> &[StepReport] {
        match self {
            Verdict::Attempt(report) => report.steps(),
            Verdict::Heads { steps, .. } => steps,
        }
    }

    /// What was proven about an attempt.
    pub(crate) fn attempt(&self) -> Option<&Verified> {
        match self {
            Verdict::Attempt(report) => report.verified(),
            Verdict::Heads { .. } => None,
        }
    }
}

fn verify_head(verifier: &ProofVerifier, head: &Head) -> Result<VerifiedHead, StepError> {
    Ok(match head {
        Head::View(view) => verifier.verify_signed_tree_head(view)?,
        Head::Checkpoint(checkpoint) => verifier.verify_checkpoint(checkpoint)?,
    })
}
