//! Opens the log of attempts: its name, its keys, who adds to it and who makes proofs from it.

use std::sync::Arc;

use kapsel_attestation::fsck::{self, Finding, Summary};
use kapsel_attestation::{
    KeyFolder, KeyRing, LastHeadFile, Prover, SecretKey, Sequencer, SequencerDeps, SequencerSettings,
};
use kapsel_core::{Clock, Entropy, IdGenerator, InstanceId, LogId};
use kapsel_store::attestation::Log;
use kapsel_store::{Store, StoreError};
use kapsel_verification::leaf_hash;

use crate::commands::Failure;
use crate::config::{AttestationConfig, Config};

/// The log, ready.
pub(super) struct OpenLog {
    pub(super) id: LogId,
    pub(super) sequencer: Arc<Sequencer>,
    pub(super) prover: Arc<Prover>,
}

/// Opens the log, making it and its first key where there are none yet.
///
/// # Errors
/// The store, or keys that are not those of this log.
pub(super) async fn open(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    instance: InstanceId,
) -> Result<OpenLog, Failure> {
    let new_id: LogId = IdGenerator::new(Arc::clone(entropy)).next(clock.now());
    let wanted = wanted_origin(&config.attestation);
    let origin = wanted.clone().unwrap_or_else(|| format!("kapsel/{new_id}"));
    let log = store
        .log_open(clock.now(), new_id, origin)
        .await
        .map_err(|error| Failure::runtime("opening the log of attempts")(error.into()))?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != log.origin) {
        let problem = format!("it is called {} for ever, and the configuration calls it {wanted}", log.origin);
        return Err(Failure::runtime("opening the log of attempts")(problem.into()));
    }
    let keys = keys(&config.attestation, store, &log, &**entropy).await?;
    let deps = SequencerDeps {
        store: Arc::clone(store) as _,
        keys,
        last_head: Arc::new(LastHeadFile::new(config.storage.folder.join(last_head_name(&log.origin)))),
        clock: Arc::clone(clock),
        instance,
        log_id: log.id,
    };
    Ok(OpenLog {
        id: log.id,
        sequencer: Arc::new(Sequencer::new(deps, SequencerSettings::default())),
        prover: Arc::new(Prover::new(Arc::clone(store) as _, log.id, log.origin)),
    })
}

/// Checks the log of a store, if it has one.
pub(super) async fn check(
    store: &dyn Store,
    on_finding: &mut (dyn FnMut(Finding) + Send),
) -> Result<Option<Summary>, StoreError> {
    match store.log_find().await? {
        Some(log) => fsck::check(store, log.id, on_finding).await.map(Some),
        None => Ok(None),
    }
}

/// What the configuration calls the log. A key says it as well, because it signs under that name.
fn wanted_origin(config: &AttestationConfig) -> Option<String> {
    let of_key = || {
        let key = config.keys.as_ref()?.first()?;
        Some(key.verifier_key().name().to_owned())
    };
    config.origin.clone().or_else(of_key)
}

/// One file for each name: under another name, a log may begin anew.
fn last_head_name(origin: &str) -> String {
    let hash = leaf_hash(origin.as_bytes()).to_string();
    format!("attestation-head-{}", &hash[..16])
}

async fn keys(
    config: &AttestationConfig,
    store: &Arc<dyn Store>,
    log: &Log,
    entropy: &dyn Entropy,
) -> Result<Arc<dyn KeyRing>, Failure> {
    let failed = |error: kapsel_attestation::SignError| Failure::runtime("reading the keys of the log")(error.into());
    let is_of_log = |key: &SecretKey| key.verifier_key().name() == log.origin;
    if let Some(keys) = &config.keys {
        if !keys.iter().all(is_of_log) {
            let problem = format!("KAPSEL_ATTESTATION_KEY has a key of another log; this one is called {}", log.origin);
            return Err(Failure::runtime("reading the keys of the log")(problem.into()));
        }
        return Ok(Arc::new(keys.clone()));
    }
    let folder = KeyFolder::new(&config.key_folder);
    let known = store
        .log_key_list(log.id)
        .await
        .map_err(|error| Failure::runtime("reading the keys of the log")(error.into()))?;
    // Where the log has a key already, this is one more instance, or a folder that was lost: a key that is made now would
    // take the place of that one without anybody having asked for it.
    if known.is_empty() && !folder.keys().map_err(failed)?.iter().any(is_of_log) {
        let key = folder.create(&log.origin, entropy).map_err(failed)?;
        tracing::info!(key = %key.verifier_key(), "made a key that signs the log");
    }
    Ok(Arc::new(folder))
}
