//! The log of attempts in the simulated world: the store's side of it under the same weather, keys that tell what they sign,
//! and the second place for the last head, which an instance keeps over its deaths.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kapsel_attestation::{KeyRing, LastHead, LogSigner, SecretKey, SignError, Signer};
use kapsel_core::{AttemptId, EventId, InstanceId, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{AttestationStore, MemoryStore, StoreError};
use kapsel_verification::key::SIGNATURE_LEN;
use kapsel_verification::{Checkpoint, Hash, VerifierKey, empty_root, node_hash};
use test_harness::builders::LOG_ID;

use crate::faults::FaultyStore;
use crate::oracles::Oracles;

/// The name of the log.
pub const ORIGIN: &str = "simulated.example/log";

#[async_trait]
impl AttestationStore for FaultyStore {
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError> {
        self.under_fate("opening of the log", self.inner.log_open(now, id, origin)).await
    }

    async fn log_find(&self) -> Result<Option<Log>, StoreError> {
        self.under_fate("look for the log", self.inner.log_find()).await
    }

    async fn log_get(&self, id: LogId) -> Result<Log, StoreError> {
        self.under_fate("look at the log", self.inner.log_get(id)).await
    }

    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError> {
        self.under_fate("lease of the log", self.inner.log_lease_take(now, id, owner, until)).await
    }

    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError> {
        self.under_fate("end of the lease of the log", self.inner.log_lease_release(owner)).await
    }

    async fn leaves_pending(&self, id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError> {
        self.under_fate("look for leaves", self.inner.leaves_pending(id, limit)).await
    }

    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError> {
        self.under_fate("integration", async {
            let size = integration.size();
            let is_done = self.inner.leaves_integrate_if_current(integration).await?;
            if is_done {
                self.timeline.add(format_args!("{:?} makes the log {size} leaves long", self.vitals.life()));
            }
            Ok(is_done)
        })
        .await
    }

    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError> {
        self.under_fate("publication of a head", async {
            let size = head.size;
            let is_done = self.inner.head_publish_if_current(epoch, head).await?;
            if is_done {
                self.timeline.add(format_args!("{:?} publishes a head of {size} leaves", self.vitals.life()));
                self.count(|totals| totals.heads += 1);
            }
            Ok(is_done)
        })
        .await
    }

    async fn head_latest(&self, id: LogId) -> Result<Option<Head>, StoreError> {
        self.under_fate("look at the last head", self.inner.head_latest(id)).await
    }

    async fn head_list(&self, id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError> {
        self.under_fate("list of heads", self.inner.head_list(id, after, limit)).await
    }

    async fn tile_read(&self, id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        self.under_fate("reading of tiles", self.inner.tile_read(id, tiles)).await
    }

    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError> {
        self.under_fate("writing of a key", self.inner.log_key_put(key)).await
    }

    async fn log_key_list(&self, id: LogId) -> Result<Vec<LogKey>, StoreError> {
        self.under_fate("list of keys", self.inner.log_key_list(id)).await
    }

    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError> {
        self.under_fate("look at a leaf", self.inner.leaf_get(tenant_id, name)).await
    }

    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError> {
        self.under_fate("opening of a leaf", self.inner.leaf_opening(tenant_id, event_id, attempt_id)).await
    }

    async fn entry_list(&self, id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.under_fate("list of entries", self.inner.entry_list(id, from, limit)).await
    }

    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError> {
        self.under_fate("list of traces", self.inner.attempt_traces(after, limit)).await
    }
}

/// The one key of all instances. Whatever it signs, the oracles hear of, also what never gets out.
pub struct WatchedKeys {
    /// The key.
    pub key: SecretKey,
    /// Who is told.
    pub oracles: Arc<Oracles>,
}

struct WatchedSigner {
    inner: Arc<dyn Signer>,
    oracles: Arc<Oracles>,
}

#[async_trait]
impl KeyRing for WatchedKeys {
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError> {
        let LogSigner { checkpoint, timestamp } = self.key.signer()?;
        let checkpoint = Arc::new(WatchedSigner { inner: checkpoint, oracles: Arc::clone(&self.oracles) });
        Ok(vec![LogSigner { checkpoint, timestamp }])
    }
}

#[async_trait]
impl Signer for WatchedSigner {
    fn key(&self) -> &VerifierKey {
        self.inner.key()
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], SignError> {
        let checkpoint = Checkpoint::parse(std::str::from_utf8(message).unwrap()).unwrap();
        self.oracles.signed(checkpoint.size(), *checkpoint.root());
        self.inner.sign(message).await
    }
}

/// What an instance remembers beside the store: a disk that outlives its deaths.
pub type Disk = Arc<Mutex<Option<String>>>;

/// That disk as one life sees it, under the same weather as the store.
pub struct RememberedHead {
    /// The disk.
    pub disk: Disk,
    /// The weather.
    pub store: Arc<FaultyStore>,
}

#[async_trait]
impl LastHead for RememberedHead {
    async fn last(&self) -> io::Result<Option<String>> {
        let read = async { Ok(self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()) };
        self.store.under_fate("reading of the last head", read).await.map_err(io::Error::other)
    }

    async fn remember(&self, checkpoint: &str) -> io::Result<()> {
        let write = async {
            *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint.to_owned());
            Ok(())
        };
        self.store.under_fate("remembering of a head", write).await.map_err(io::Error::other)
    }
}

/// What is wrong with the log at rest, besides what `kapsel fsck` finds: heads that were signed for another tree, whether
/// they got out or not. The roots are computed here, in another way than the product does.
pub async fn wrong_heads(store: &MemoryStore, signed: &[(u64, Hash)]) -> Vec<String> {
    let entries = store.entry_list(LOG_ID, 0, usize::MAX).await.unwrap();
    let leaves = entries.iter().map(|entry| kapsel_verification::leaf_hash(entry.data.as_ref().unwrap()));
    // Full subtrees from the left, the largest first: those that a binary counter would have.
    let mut subtrees: Vec<(u64, Hash)> = Vec::new();
    let mut roots = vec![empty_root()];
    for leaf in leaves {
        subtrees.push((1, leaf));
        while let [.., (left_size, left), (right_size, right)] = subtrees.as_slice()
            && left_size == right_size
        {
            let joined = (left_size * 2, node_hash(left, right));
            subtrees.truncate(subtrees.len() - 2);
            subtrees.push(joined);
        }
        let root = subtrees.iter().rev().map(|(_, hash)| *hash).reduce(|right, left| node_hash(&left, &right));
        roots.extend(root);
    }
    let root_of = |size: u64| usize::try_from(size).ok().and_then(|size| roots.get(size));
    let wrong = |(size, root): &&(u64, Hash)| root_of(*size) != Some(root);
    signed
        .iter()
        .filter(wrong)
        .map(|(size, _)| format!("forked: a head of {size} leaves was signed for another tree"))
        .collect()
}
