//! A store whose answers have been tampered with on their way.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kapsel_core::{AttemptId, EventId, InstanceId, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{AttestationStore, StoreError};

type Change<T> = Mutex<Option<Box<dyn Fn(&mut T) + Send>>>;

/// Hands on what another store answers, changed. The page of a list is changed before it is handed on, so a change looks at
/// what an answer holds, not at its place in it.
pub(crate) struct TamperedStore {
    inner: Arc<dyn AttestationStore>,
    log: Change<Log>,
    pending: Change<Vec<PendingLeaf>>,
    heads: Change<Vec<Head>>,
    tiles: Change<Result<Vec<Tile>, StoreError>>,
    keys: Change<Vec<LogKey>>,
    leaf: Change<Result<StoredLeaf, StoreError>>,
    entries: Change<Vec<LogEntry>>,
    traces: Change<Vec<AttemptTrace>>,
}

macro_rules! setters {
    ($($setter:ident, $field:ident: $type:ty;)*) => {
        impl TamperedStore {
            $(pub(crate) fn $setter(self: Arc<Self>, change: impl Fn(&mut $type) + Send + 'static) -> Arc<Self> {
                *self.$field.lock().unwrap() = Some(Box::new(change));
                self
            })*
        }
    };
}

setters! {
    change_log, log: Log;
    change_pending, pending: Vec<PendingLeaf>;
    change_heads, heads: Vec<Head>;
    change_tiles, tiles: Result<Vec<Tile>, StoreError>;
    change_keys, keys: Vec<LogKey>;
    change_leaf, leaf: Result<StoredLeaf, StoreError>;
    change_entries, entries: Vec<LogEntry>;
    change_traces, traces: Vec<AttemptTrace>;
}

impl TamperedStore {
    /// In front of a store; nothing is changed yet.
    pub(crate) fn new(inner: Arc<dyn AttestationStore>) -> Arc<Self> {
        Arc::new(TamperedStore {
            inner,
            log: Mutex::default(),
            pending: Mutex::default(),
            heads: Mutex::default(),
            tiles: Mutex::default(),
            keys: Mutex::default(),
            leaf: Mutex::default(),
            entries: Mutex::default(),
            traces: Mutex::default(),
        })
    }

    /// Flips the lowest bit of one byte of a tile.
    pub(crate) fn flip(self: Arc<Self>, id: TileId, byte: usize) -> Arc<Self> {
        self.change_tiles(move |tiles| {
            for tile in tiles.iter_mut().flatten().filter(|tile| tile.id == id) {
                let mut hashes = tile.hashes.to_vec();
                hashes[byte] ^= 1;
                tile.hashes = hashes.into();
            }
        })
    }
}

fn changed<T>(change: &Change<T>, mut value: T) -> T {
    if let Some(change) = &*change.lock().unwrap() {
        change(&mut value);
    }
    value
}

#[async_trait]
impl AttestationStore for TamperedStore {
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError> {
        self.inner.log_open(now, id, origin).await
    }

    async fn log_find(&self) -> Result<Option<Log>, StoreError> {
        self.inner.log_find().await
    }

    async fn log_get(&self, id: LogId) -> Result<Log, StoreError> {
        Ok(changed(&self.log, self.inner.log_get(id).await?))
    }

    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError> {
        Ok(self.inner.log_lease_take(now, id, owner, until).await?.map(|log| changed(&self.log, log)))
    }

    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError> {
        self.inner.log_lease_release(owner).await
    }

    async fn leaves_pending(&self, id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError> {
        Ok(changed(&self.pending, self.inner.leaves_pending(id, limit).await?))
    }

    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError> {
        self.inner.leaves_integrate_if_current(integration).await
    }

    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError> {
        self.inner.head_publish_if_current(epoch, head).await
    }

    async fn head_latest(&self, id: LogId) -> Result<Option<Head>, StoreError> {
        let head = self.inner.head_latest(id).await?;
        Ok(changed(&self.heads, head.into_iter().collect()).pop())
    }

    async fn head_list(&self, id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError> {
        Ok(changed(&self.heads, self.inner.head_list(id, after, limit).await?))
    }

    async fn tile_read(&self, id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        changed(&self.tiles, self.inner.tile_read(id, tiles).await)
    }

    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError> {
        self.inner.log_key_put(key).await
    }

    async fn log_key_list(&self, id: LogId) -> Result<Vec<LogKey>, StoreError> {
        Ok(changed(&self.keys, self.inner.log_key_list(id).await?))
    }

    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError> {
        changed(&self.leaf, self.inner.leaf_get(tenant_id, name).await)
    }

    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError> {
        self.inner.leaf_opening(tenant_id, event_id, attempt_id).await
    }

    async fn entry_list(&self, id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        Ok(changed(&self.entries, self.inner.entry_list(id, from, limit).await?))
    }

    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError> {
        Ok(changed(&self.traces, self.inner.attempt_traces(after, limit).await?))
    }
}
