//! The log of attempts: leaves that wait, the tree in tiles, the heads that were signed.
//!
//! A leaf is stored with its attempt, in one transaction, and waits. Whoever holds the lease of the log lists what waits,
//! computes what the tree becomes, and writes it with [`AttestationStore::leaves_integrate_if_current`]. The lease only
//! keeps two from doing the same work. What keeps the log from forking is that each step names the size and the epoch it
//! was computed from: when the stored ones are others, nothing is written.
//!
//! The tree is stored as tiles (C2SP tlog-tiles): a tile of level 0 holds the hashes of 256 leaves, one of level `n + 1` the
//! roots of 256 full tiles of level `n`. Everything else follows from these.

use async_trait::async_trait;
use bytes::Bytes;
use kapsel_core::{AttemptId, DeliveryId, EventId, InstanceId, LeafSecret, LogId, TenantId, Timestamp};
use kapsel_verification::Hash;

use crate::error::StoreError;

/// How many hashes a full tile has.
pub const TILE_HASHES: usize = 256;

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its id.
    pub id: LogId,
    /// Its name in checkpoints (C2SP tlog-checkpoint: origin). Never changes.
    pub origin: String,
    /// How many leaves are in the tree.
    pub size: u64,
    /// The root of that tree.
    pub root: Hash,
    /// Grows whenever the lease goes to somebody else.
    pub epoch: u64,
    /// Who adds to it.
    pub lease: Option<LogLease>,
    /// Size and root of the last published head.
    pub published: Option<(u64, Hash)>,
    /// When it was made. Attempts before have no leaves.
    pub created_at: Timestamp,
}

/// The right of one instance to add to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLease {
    /// Who holds it.
    pub owner: InstanceId,
    /// When it ends.
    pub until: Timestamp,
}

/// A leaf that is not in the tree yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingLeaf {
    /// Its attempt.
    pub attempt_id: AttemptId,
    /// The owner of the attempt.
    pub tenant_id: TenantId,
    /// Its hash.
    pub hash: Hash,
}

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaves.
    pub level: u8,
    /// Counted from 0 within its level.
    pub index: u64,
}

/// A tile, full or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Which one.
    pub id: TileId,
    /// 1 to [`TILE_HASHES`] hashes of 32 bytes, one after the other.
    pub hashes: Bytes,
}

impl Tile {
    /// A tile as a store keeps it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the bytes are not 1 to [`TILE_HASHES`] whole hashes.
    pub fn from_stored(id: TileId, hashes: Bytes) -> Result<Tile, StoreError> {
        let is_whole = !hashes.is_empty() && hashes.len().is_multiple_of(Hash::LEN);
        if !is_whole || hashes.len() > TILE_HASHES * Hash::LEN {
            return Err(StoreError::corrupt("a tile of the log", format!("{id:?} has {} bytes", hashes.len())));
        }
        Ok(Tile { id, hashes })
    }
}

/// Leaves going into the tree.
#[derive(Debug, Clone)]
pub struct Integration {
    /// The log.
    pub log_id: LogId,
    /// The epoch of the lease under which it was computed.
    pub epoch: u64,
    /// The size that it was computed from; the first of the leaves gets this index.
    pub old_size: u64,
    /// The root of the tree with them.
    pub root: Hash,
    /// The leaves in their order. All of them wait.
    pub leaves: Vec<PendingLeaf>,
    /// Every tile that changes, whole.
    pub tiles: Vec<Tile>,
}

impl Integration {
    /// The size of the tree with the leaves.
    pub fn size(&self) -> u64 {
        self.old_size + self.leaves.len() as u64
    }
}

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log_id: LogId,
    /// The size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// When it was signed, to the second.
    pub signed_at: Timestamp,
    /// The checkpoint with its signatures (C2SP signed-note), as it was signed.
    pub checkpoint: String,
}

/// A key that a log is or was signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// The log.
    pub log_id: LogId,
    /// The key in the text form of C2SP signed-note: name, key id, type and public key.
    pub verifier_key: String,
    /// Since when it signs.
    pub created_at: Timestamp,
    /// Until when it signs, if another one has taken its place.
    pub signs_until: Option<Timestamp>,
}

/// How a leaf is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafName {
    /// By the attempt that it is about.
    Attempt(AttemptId),
    /// By its hash.
    Hash(Hash),
}

/// A stored leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Its attempt.
    pub attempt_id: AttemptId,
    /// Its log.
    pub log_id: LogId,
    /// Its index in the tree; none while it waits.
    pub index: Option<u64>,
    /// Its exact bytes.
    pub data: Bytes,
}

/// What the commitments of a leaf can be opened with, as far as it is still stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafOpening {
    /// The secret that the salts follow from.
    pub secret: LeafSecret,
    /// The URL of the attempt.
    pub url: String,
    /// The SHA-256 of the delivered body, while the event is stored.
    pub payload_sha256: Option<[u8; 32]>,
    /// What was kept of the response body, if an answer came.
    pub response_body: Option<Bytes>,
}

/// A leaf at its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its attempt.
    pub attempt_id: AttemptId,
    /// Its exact bytes; none if they are not stored any more.
    pub data: Option<Bytes>,
}

/// Where an attempt stands in the order of [`AttestationStore::attempt_traces`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptPlace {
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its event.
    pub event_id: EventId,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// Its number.
    pub number: u32,
    /// The attempt.
    pub attempt_id: AttemptId,
}

/// What an attempt left in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptTrace {
    /// Which one.
    pub place: AttemptPlace,
    /// Whether the bytes of its leaf are stored.
    pub has_leaf: bool,
    /// Whether the leaf waits.
    pub is_pending: bool,
    /// Whether the leaf is in a tree.
    pub is_integrated: bool,
}

/// The attestation side of a store.
#[async_trait]
pub trait AttestationStore: Send + Sync {
    /// The log of this deployment. If there is none yet, `id` and `origin` become its id and name, as of `now`. Whoever
    /// comes second gets what the first one made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError>;

    /// The log of this deployment, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn log_find(&self) -> Result<Option<Log>, StoreError>;

    /// Reads a log.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn log_get(&self, id: LogId) -> Result<Log, StoreError>;

    /// Takes the lease of a log, or makes one's own longer. Returns the log as it is then, or `None` while somebody else
    /// holds it. Unless it was one's own, the epoch grows.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError>;

    /// Gives the leases of logs back that `owner` holds, or all of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError>;

    /// At most `limit` leaves that wait for this log, by attempt id, which is about the order in which they were settled.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn leaves_pending(&self, id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError>;

    /// Puts leaves into the tree in one durable transaction, if size and epoch of the log are those it was computed from
    /// and every leaf still waits. Says whether it was done.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it was done is unknown; the size of the log tells.
    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError>;

    /// Publishes a head in one durable transaction, if the epoch of the log is `epoch`, the tree has at least the size of
    /// the head, and the last published head is smaller. Says whether it was done.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it was done is unknown; the published head tells.
    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError>;

    /// The last published head.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn head_latest(&self, id: LogId) -> Result<Option<Head>, StoreError>;

    /// At most `limit` published heads, the smallest first, larger than `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn head_list(&self, id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError>;

    /// Reads tiles, in any order. Those that are not stored are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] if one does not hold whole hashes, or too many.
    async fn tile_read(&self, id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError>;

    /// Stores a key, or the end of a key's time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError>;

    /// All keys of a log, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn log_key_list(&self, id: LogId) -> Result<Vec<LogKey>, StoreError>;

    /// Reads a leaf of a tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another tenant's.
    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError>;

    /// What the leaf of an attempt on this event can be opened with; `None` if the attempt is not stored any more, or its
    /// secret is not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError>;

    /// At most `limit` leaves of a tree in its order, from `from` on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn entry_list(&self, id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// What attempts left in the log, for a check of the whole store: at most `limit` of everybody's, behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError>;
}

/// Implements [`AttestationStore`] for a store in front of another one that has nothing to say about the log: every call
/// goes to the field named.
#[macro_export]
macro_rules! delegate_attestation_store {
    ($store:ty, $inner:ident) => {
        $crate::delegate_attestation_store! {
            @methods $store, $inner,
            log_open(now: kapsel_core::Timestamp, id: kapsel_core::LogId, origin: String) -> $crate::attestation::Log;
            log_find() -> Option<$crate::attestation::Log>;
            log_get(id: kapsel_core::LogId) -> $crate::attestation::Log;
            log_lease_take(
                now: kapsel_core::Timestamp,
                id: kapsel_core::LogId,
                owner: kapsel_core::InstanceId,
                until: kapsel_core::Timestamp
            ) -> Option<$crate::attestation::Log>;
            log_lease_release(owner: Option<kapsel_core::InstanceId>) -> ();
            leaves_pending(id: kapsel_core::LogId, limit: usize) -> Vec<$crate::attestation::PendingLeaf>;
            leaves_integrate_if_current(integration: $crate::attestation::Integration) -> bool;
            head_publish_if_current(epoch: u64, head: $crate::attestation::Head) -> bool;
            head_latest(id: kapsel_core::LogId) -> Option<$crate::attestation::Head>;
            head_list(id: kapsel_core::LogId, after: Option<u64>, limit: usize) -> Vec<$crate::attestation::Head>;
            tile_read(id: kapsel_core::LogId, tiles: Vec<$crate::attestation::TileId>) -> Vec<$crate::attestation::Tile>;
            log_key_put(key: $crate::attestation::LogKey) -> ();
            log_key_list(id: kapsel_core::LogId) -> Vec<$crate::attestation::LogKey>;
            leaf_get(
                tenant_id: kapsel_core::TenantId,
                name: $crate::attestation::LeafName
            ) -> $crate::attestation::StoredLeaf;
            leaf_opening(
                tenant_id: kapsel_core::TenantId,
                event_id: kapsel_core::EventId,
                attempt_id: kapsel_core::AttemptId
            ) -> Option<$crate::attestation::LeafOpening>;
            entry_list(id: kapsel_core::LogId, from: u64, limit: usize) -> Vec<$crate::attestation::LogEntry>;
            attempt_traces(
                after: Option<$crate::attestation::AttemptPlace>,
                limit: usize
            ) -> Vec<$crate::attestation::AttemptTrace>;
        }
    };
    (
        @methods $store:ty, $inner:ident,
        $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*
    ) => {
        #[async_trait::async_trait]
        impl $crate::AttestationStore for $store {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$result, $crate::StoreError> {
                self.$inner.$method($($argument),*).await
            })*
        }
    };
}
