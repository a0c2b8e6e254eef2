//! A store, a memory of the last head and keys that fail at a chosen call, before or after it has taken effect. All of them
//! count together.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kapsel_attestation::{KeyRing, LastHead, LogSigner, SecretKey, SignError, Signer};
use kapsel_core::{AttemptId, EventId, InstanceId, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::VerifierKey;
use test_harness::SeededEntropy;

/// Where in a call it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing was done.
    Before,
    /// It was done, and nobody learns it.
    After,
}

/// What others do while a call stands still.
pub(crate) type Interlude = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Counts calls, and says which of them fail or stand still.
#[derive(Default)]
pub(crate) struct Script {
    calls: AtomicUsize,
    fault: Option<(usize, Side)>,
    fault_in: Option<(&'static str, Side)>,
    unsteady: Option<SeededEntropy>,
    interlude: Mutex<Option<(usize, Side, Interlude)>>,
    names: Mutex<Vec<&'static str>>,
    /// While set, every call fails.
    pub(crate) is_away: std::sync::atomic::AtomicBool,
}

impl Script {
    /// Fails once, at the `call`-th call from 0.
    pub(crate) fn failing(call: usize, side: Side) -> Arc<Self> {
        Arc::new(Script { fault: Some((call, side)), ..Script::default() })
    }

    /// Fails at every call of this name.
    pub(crate) fn failing_in(name: &'static str, side: Side) -> Arc<Self> {
        Arc::new(Script { fault_in: Some((name, side)), ..Script::default() })
    }

    /// Stands still once, at the `call`-th call from 0, until the interlude is over.
    pub(crate) fn standing_still(call: usize, side: Side, interlude: Interlude) -> Arc<Self> {
        Arc::new(Script { interlude: Mutex::new(Some((call, side, interlude))), ..Script::default() })
    }

    /// Whether it has come to the interlude.
    pub(crate) fn has_stood_still(&self) -> bool {
        self.interlude.lock().unwrap().is_none()
    }

    /// Fails at about every tenth call.
    pub(crate) fn unsteady(seed: u64) -> Arc<Self> {
        Arc::new(Script { unsteady: Some(SeededEntropy::new(seed)), ..Script::default() })
    }

    /// Never fails.
    pub(crate) fn smooth() -> Arc<Self> {
        Arc::default()
    }

    /// The name of the call that failed, if it has come to it.
    pub(crate) fn failed(&self) -> Option<&'static str> {
        let (call, _) = self.fault?;
        self.names.lock().unwrap().get(call).copied()
    }

    async fn call<T, E>(
        &self,
        name: &'static str,
        error: fn() -> E,
        run: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().push(name);
        let once = self.fault.filter(|(at, _)| *at == call).map(|(_, side)| side);
        let by_chance = self.unsteady.as_ref().and_then(|chance| match chance.below(20) {
            0 => Some(Side::Before),
            1 => Some(Side::After),
            _ => None,
        });
        let side = once.or(by_chance).or(self.fault_in.filter(|(of, _)| *of == name).map(|(_, side)| side));
        if side == Some(Side::Before) || self.is_away.load(Ordering::SeqCst) {
            return Err(error());
        }
        self.stand_still(call, Side::Before).await;
        let result = run.await;
        self.stand_still(call, Side::After).await;
        if side == Some(Side::After) { Err(error()) } else { result }
    }

    async fn stand_still(&self, call: usize, side: Side) {
        let here = |interlude: &mut (usize, Side, Interlude)| interlude.0 == call && interlude.1 == side;
        let interlude = self.interlude.lock().unwrap().take_if(here);
        if let Some((_, _, interlude)) = interlude {
            interlude.await;
        }
    }
}

/// A store that fails where its script says.
pub(crate) struct FaultyStore {
    inner: Mutex<Arc<dyn AttestationStore>>,
    script: Arc<Script>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn AttestationStore>, script: Arc<Script>) -> Self {
        FaultyStore { inner: Mutex::new(inner), script }
    }

    /// Puts another store in the place of the one behind it.
    pub(crate) fn exchange(&self, inner: Arc<dyn AttestationStore>) {
        *self.inner.lock().unwrap() = inner;
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { message: "scripted", cause: None }
}

macro_rules! faulty {
    ($($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        #[async_trait]
        impl AttestationStore for FaultyStore {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                let inner = Arc::clone(&*self.inner.lock().unwrap());
                let run = inner.$method($($argument),*);
                self.script.call(stringify!($method), unavailable, run).await
            })*
        }
    };
}

faulty! {
    log_open(now: Timestamp, id: LogId, origin: String) -> Log;
    log_find() -> Option<Log>;
    log_get(id: LogId) -> Log;
    log_lease_take(now: Timestamp, id: LogId, owner: InstanceId, until: Timestamp) -> Option<Log>;
    log_lease_release(owner: Option<InstanceId>) -> ();
    leaves_pending(id: LogId, limit: usize) -> Vec<PendingLeaf>;
    leaves_integrate_if_current(integration: Integration) -> bool;
    head_publish_if_current(epoch: u64, head: Head) -> bool;
    head_latest(id: LogId) -> Option<Head>;
    head_list(id: LogId, after: Option<u64>, limit: usize) -> Vec<Head>;
    tile_read(id: LogId, tiles: Vec<TileId>) -> Vec<Tile>;
    log_key_put(key: LogKey) -> ();
    log_key_list(id: LogId) -> Vec<LogKey>;
    leaf_get(tenant_id: TenantId, name: LeafName) -> StoredLeaf;
    leaf_opening(tenant_id: TenantId, event_id: EventId, attempt_id: AttemptId) -> Option<LeafOpening>;
    entry_list(id: LogId, from: u64, limit: usize) -> Vec<LogEntry>;
    attempt_traces(after: Option<AttemptPlace>, limit: usize) -> Vec<AttemptTrace>;
}

/// A second place for the last head, in memory. It outlives the sequencer that it is given to.
#[derive(Default)]
pub(crate) struct MemoryHead {
    text: Mutex<Option<String>>,
}

impl MemoryHead {
    pub(crate) fn text(&self) -> Option<String> {
        self.text.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, text: Option<String>) {
        *self.text.lock().unwrap() = text;
    }
}

/// One that fails where its script says.
pub(crate) struct FaultyHead {
    pub(crate) inner: Arc<MemoryHead>,
    pub(crate) script: Arc<Script>,
}

fn disk_full() -> io::Error {
    io::Error::other("scripted")
}

#[async_trait]
impl LastHead for FaultyHead {
    async fn last(&self) -> io::Result<Option<String>> {
        self.script.call("last", disk_full, async { Ok(self.inner.text()) }).await
    }

    async fn remember(&self, checkpoint: &str) -> io::Result<()> {
        let write = async {
            self.inner.set(Some(checkpoint.to_owned()));
            Ok(())
        };
        self.script.call("remember", disk_full, write).await
    }
}

/// Every text that was ever signed, whatever became of it, in the order of signing.
pub(crate) type Signed = Arc<Mutex<Vec<String>>>;

/// Keys that write down what they sign, and fail where their script says.
pub(crate) struct FaultyKeys {
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) script: Arc<Script>,
    pub(crate) signed: Signed,
}

struct FaultySigner {
    inner: Arc<dyn Signer>,
    script: Arc<Script>,
    signed: Signed,
}

fn custodian() -> SignError {
    SignError::Custodian("scripted".into())
}

#[async_trait]
impl KeyRing for FaultyKeys {
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError> {
        let wrap = |inner| -> Arc<dyn Signer> {
            Arc::new(FaultySigner { inner, script: Arc::clone(&self.script), signed: Arc::clone(&self.signed) })
        };
        let signers = async {
            let signers: Result<Vec<LogSigner>, SignError> = self.keys.iter().map(SecretKey::signer).collect();
            let wrapped = |signer: LogSigner| LogSigner {
                checkpoint: wrap(signer.checkpoint),
                timestamp: wrap(signer.timestamp),
            };
            Ok(signers?.into_iter().map(wrapped).collect())
        };
        self.script.call("signers", custodian, signers).await
    }
}

#[async_trait]
impl Signer for FaultySigner {
    fn key(&self) -> &VerifierKey {
        self.inner.key()
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let sign = async {
            let signature = self.inner.sign(message).await;
            self.signed.lock().unwrap().push(String::from_utf8(message.to_vec()).unwrap());
            signature
        };
        self.script.call("sign", custodian, sign).await
    }
}
