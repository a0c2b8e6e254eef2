//! Which keys sign a head, and how a new one takes the place of the one before.
//!
//! There is one present key. A key that the log does not know yet becomes it; the former one signs beside it for a while,
//! so that whoever has not heard of the new one still finds a signature. A key that has had its time does not come back,
//! whatever lies in a folder.

use std::collections::BTreeSet;
use std::time::Duration;

use kapsel_core::Timestamp;
use kapsel_store::AttestationStore;
use kapsel_store::attestation::{Log, LogKey};
use kapsel_verification::{KeyType, VerifierKey};

use crate::error::AttestationError;
use crate::signer::LogSigner;

/// Those of an instance's own keys that sign, the present one first. Keys that the log does not know yet are made known.
///
/// # Errors
/// [`AttestationError::NoKey`], if the present key is not among them.
pub(crate) async fn signers(
    store: &dyn AttestationStore,
    log: &Log,
    mut own: Vec<LogSigner>,
    now: Timestamp,
    overlap: Duration,
) -> Result<Vec<LogSigner>, AttestationError> {
    let mut seen = BTreeSet::new();
    // A key may stand in two files; it signs once.
    own.retain(|signer| signer.checkpoint.key().name() == log.origin && seen.insert(name(signer)));
    let mut known = store.log_key_list(log.id).await?;
    for signer in &own {
        if !known.iter().any(|key| key.verifier_key == name(signer)) {
            make_known(store, log, &mut known, signer, now, overlap).await?;
        }
    }
    let is_of_checkpoints =
        |key: &&LogKey| key.verifier_key.parse::<VerifierKey>().is_ok_and(|key| key.key_type() == KeyType::Ed25519);
    let present = known.iter().filter(is_of_checkpoints).rfind(|key| key.signs_until.is_none());
    let present = present.map_or_else(|| format!("a key named {}", log.origin), |key| key.verifier_key.clone());
    let Some(place) = own.iter().position(|signer| name(signer) == present) else {
        return Err(AttestationError::NoKey { verifier_key: present });
    };
    let first = own.swap_remove(place);
    own.retain(|signer| {
        let signs_still = |key: &LogKey| key.signs_until.is_some_and(|until| until > now);
        known.iter().any(|key| key.verifier_key == name(signer) && signs_still(key))
    });
    own.insert(0, first);
    Ok(own)
}

fn name(signer: &LogSigner) -> String {
    signer.checkpoint.key().to_string()
}

/// Makes a key the present one. The time of the former ones ends first: should this break off in between, the new key is
/// still unknown, and all of it is done again.
async fn make_known(
    store: &dyn AttestationStore,
    log: &Log,
    known: &mut Vec<LogKey>,
    signer: &LogSigner,
    now: Timestamp,
    overlap: Duration,
) -> Result<(), AttestationError> {
    tracing::info!(key = name(signer), "a new key signs the log");
    for key in known.iter_mut().filter(|key| key.signs_until.is_none()) {
        key.signs_until = Some(now + overlap);
        store.log_key_put(key.clone()).await?;
    }
    for verifier_key in [signer.timestamp.key().to_string(), name(signer)] {
        let key = LogKey { log_id: log.id, verifier_key, created_at: now, signs_until: None };
        store.log_key_put(key.clone()).await?;
        known.push(key);
    }
    Ok(())
}
