//! Proofs from what is stored.
//!
//! A proof reads a handful of tiles. Those that are full never change and are kept in memory. Before it is handed out, each
//! proof is verified against the root that the stored head has: a damaged tile gives an error and not a proof that fails at
//! somebody else's desk.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use kapsel_core::leaf::response_sha256;
use kapsel_core::{AttemptId, EventId, LeafField, LeafSecret, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{Head, LeafName, LeafOpening, LogKey, StoredLeaf, TILE_HASHES, Tile, TileId};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::{
    AttemptLeaf, ConsistencyProof, Hash, InclusionProof, KeyType, Opening, Openings, ProofPackage, SignedCheckpoint,
    SignedTreeHead, VerifierKey, leaf_hash, verify_consistency,
};
use lru::LruCache;

use crate::error::AttestationError;
use crate::tiles::Tiles;
use crate::tree::{self, Range};

/// How many tiles are kept in memory: 8 MiB.
const TILES_KEPT: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// Makes proofs about one log.
pub struct Prover {
    store: Arc<dyn AttestationStore>,
    log_id: LogId,
    origin: String,
    full_tiles: Mutex<LruCache<TileId, Tile>>,
}

/// A proof, or why there is none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof<T> {
    /// The proof.
    Made(T),
    /// The leaf is stored and waits for its place in the tree.
    Pending,
    /// The leaf is in the tree, and no head that covers it is published yet.
    NotCovered,
}

/// A key of the log, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKeyView {
    /// The key with its name.
    pub key: VerifierKey,
    /// Since when it signs.
    pub created_at: Timestamp,
    /// Until when it signs, if another one has taken its place.
    pub signs_until: Option<Timestamp>,
}

impl Prover {
    /// Proofs about the log `log_id` of this name.
    pub fn new(store: Arc<dyn AttestationStore>, log_id: LogId, origin: String) -> Self {
        Prover { store, log_id, origin, full_tiles: Mutex::new(LruCache::new(TILES_KEPT)) }
    }

    /// The id of the log.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The last published head; `None` before the first one.
    ///
    /// # Errors
    /// [`AttestationError::Store`].
    pub async fn head(&self) -> Result<Option<Head>, AttestationError> {
        Ok(self.store.head_latest(self.log_id).await?)
    }

    /// A head as JSON shows it.
    ///
    /// # Errors
    /// [`AttestationError`]; the stored head is damaged, or of a key that the log does not know.
    pub async fn tree_head(&self, head: &Head) -> Result<SignedTreeHead, AttestationError> {
        let signed = SignedCheckpoint::parse(head.checkpoint.as_bytes())?;
        let keys = self.keys().await?;
        let lines = signed.note().signatures();
        // The present key signs first.
        let key = lines.iter().find_map(|line| {
            let is_line = |view: &&LogKeyView| {
                view.key.key_type() == KeyType::Ed25519 && view.key.name() == line.name && view.key.id() == line.key_id
            };
            keys.iter().find(is_line)
        });
        let key = key.ok_or_else(|| AttestationError::NoKey { verifier_key: format!("one of {}", self.origin) })?;
        Ok(SignedTreeHead::of_checkpoint(&head.checkpoint, &key.key)?)
    }

    /// All keys of the log, the oldest first.
    ///
    /// # Errors
    /// [`AttestationError::Store`]; a stored key that is none is [`StoreError::Corrupt`].
    pub async fn keys(&self) -> Result<Vec<LogKeyView>, AttestationError> {
        let view = |LogKey { verifier_key, created_at, signs_until, .. }: LogKey| {
            let key = verifier_key.parse().map_err(|error| StoreError::corrupt("a key of the log", error))?;
            Ok(LogKeyView { key, created_at, signs_until })
        };
        self.store.log_key_list(self.log_id).await?.into_iter().map(view).collect()
    }

    /// That the leaf with this hash stands in the tree of `size` leaves, or in that of the last head. The leaf has to be
    /// one of the tenant's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another tenant's; [`StoreError::Conflict`] if the size is larger than that of
    /// the last head, or smaller than the index of the leaf.
    pub async fn inclusion(
        &self,
        tenant_id: TenantId,
        hash: Hash,
        size: Option<u64>,
    ) -> Result<Proof<InclusionProof>, AttestationError> {
        let leaf = self.store.leaf_get(tenant_id, LeafName::Hash(hash)).await?;
        let Some(index) = leaf.index else { return Ok(Proof::Pending) };
        let Some(head) = self.head().await?.filter(|head| head.size > index) else { return Ok(Proof::NotCovered) };
        let size = size.unwrap_or(head.size);
        if size > head.size {
            return Err(StoreError::Conflict("the tree of the last head is smaller than tree_size").into());
        }
        if size <= index {
            return Err(StoreError::Conflict("the leaf is not in a tree of tree_size yet").into());
        }
        self.prove(hash, index, size, &head).await.map(Proof::Made)
    }

    async fn prove(&self, hash: Hash, index: u64, size: u64, head: &Head) -> Result<InclusionProof, AttestationError> {
        let path = tree::inclusion_path(index, size);
        let ranges: Vec<Range> = path.iter().copied().chain(below_head(size, head)).collect();
        let tiles = self.tiles(&ranges, head.size).await?;
        let root_hash = self.root(&tiles, size, head)?;
        let proof_hashes = tiles.path(&path)?;
        let proof = InclusionProof { leaf_hash: hash, leaf_index: index, tree_size: size, proof_hashes, root_hash };
        proof.verify().map_err(|_| self.damaged(size))?;
        Ok(proof)
    }

    /// The root of an older tree, which the head is shown to continue: it would follow from a damaged tile just as well.
    fn root(&self, tiles: &Tiles, size: u64, head: &Head) -> Result<Hash, AttestationError> {
        if size == head.size {
            return Ok(head.root);
        }
        let root = tiles.root(size)?;
        let path = tiles.path(&tree::consistency_path(size, head.size))?;
        verify_consistency(size, &root, head.size, &head.root, &path).map_err(|_| self.damaged(size))?;
        Ok(root)
    }

    /// A tile is damaged. Those in memory are forgotten, so that it counts again what is stored.
    fn damaged(&self, size: u64) -> AttestationError {
        self.kept().clear();
        AttestationError::Root { size }
    }

    /// That the tree of `new` leaves continues that of `old`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if they are not between 1 and the size of the last head, the smaller one first.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, AttestationError> {
        let head = self.head().await?.filter(|head| 0 < old && old <= new && new <= head.size);
        let Some(head) = head else {
            let rule = "the sizes have to be 1 <= old_size <= new_size <= that of the last head";
            return Err(StoreError::Conflict(rule).into());
        };
        let path = tree::consistency_path(old, new);
        let roots = [old, new].into_iter().flat_map(|size| below_head(size, &head));
        let ranges: Vec<Range> = path.iter().copied().chain(roots).collect();
        let tiles = self.tiles(&ranges, head.size).await?;
        let (old_root, new_root) = (self.root(&tiles, old, &head)?, self.root(&tiles, new, &head)?);
        let proof_hashes = tiles.path(&path)?;
        let proof = ConsistencyProof { old_size: old, new_size: new, old_root, new_root, proof_hashes };
        proof.verify().map_err(|_| self.damaged(new))?;
        Ok(proof)
    }

    /// Everything that is needed to check one attempt offline. The attempt has to be one of the tenant's. What can be opened
    /// of its commitments is; what has been erased is left out.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another tenant's.
    pub async fn package(
        &self,
        tenant_id: TenantId,
        attempt_id: AttemptId,
    ) -> Result<Proof<ProofPackage>, AttestationError> {
        let StoredLeaf { index, data, .. } = self.store.leaf_get(tenant_id, LeafName::Attempt(attempt_id)).await?;
        let Some(index) = index else { return Ok(Proof::Pending) };
        let Some(head) = self.head().await?.filter(|head| head.size > index) else { return Ok(Proof::NotCovered) };
        let leaf_hash = leaf_hash(&data);
        let inclusion_proof = self.prove(leaf_hash, index, head.size, &head).await?;
        Ok(Proof::Made(ProofPackage {
            delivery_attempt_id: attempt_id.to_string(),
            openings: self.openings(tenant_id, attempt_id, &data).await?,
            leaf_data: data.to_vec(),
            leaf_hash,
            inclusion_proof,
            signed_tree_head: self.tree_head(&head).await?,
        }))
    }

    async fn openings(
        &self,
        tenant_id: TenantId,
        attempt_id: AttemptId,
        data: &[u8],
    ) -> Result<Openings, AttestationError> {
        let leaf = AttemptLeaf::from_canonical(data).map_err(|error| StoreError::corrupt("a leaf", error))?;
        let event_id: EventId = leaf.event_id.parse().map_err(|error| StoreError::corrupt("a leaf", error))?;
        let opening = self.store.leaf_opening(tenant_id, event_id, attempt_id).await?;
        Ok(opening.map_or_else(Openings::default, openings))
    }

    /// A tile as it is in the tree of the last head, if it is in there with at least `width` hashes.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub async fn tile(&self, id: TileId, width: usize) -> Result<Option<Tile>, AttestationError> {
        let size = self.head().await?.map_or(0, |head| head.size);
        if width == 0 || width > tree::tile_width(id, size) {
            return Ok(None);
        }
        let found = self.read(vec![id], size).await?.pop();
        let cut = |tile: Tile| {
            (tile.hashes.len() >= width * Hash::LEN)
                .then(|| Tile { hashes: tile.hashes.slice(..width * Hash::LEN), ..tile })
        };
        Ok(found.and_then(cut))
    }

    /// The tiles that hold these subtrees.
    async fn tiles(&self, ranges: &[Range], size: u64) -> Result<Tiles, AttestationError> {
        Ok(self.read(tree::tiles_of(ranges), size).await?.into_iter().collect())
    }

    /// Reads tiles, those that are full from memory where they are there.
    async fn read(&self, wanted: Vec<TileId>, size: u64) -> Result<Vec<Tile>, AttestationError> {
        let mut found = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        {
            let mut kept = self.kept();
            for id in wanted {
                match kept.get(&id) {
                    Some(tile) => found.push(tile.clone()),
                    None => missing.push(id),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let read = self.store.tile_read(self.log_id, missing).await?;
        let mut kept = self.kept();
        for tile in read {
            let is_full = tile.hashes.len() == TILE_HASHES * Hash::LEN;
            if is_full && tree::tile_width(tile.id, size) == TILE_HASHES {
                kept.put(tile.id, tile.clone());
            }
            found.push(tile);
        }
        Ok(found)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, LruCache<TileId, Tile>> {
        // Nothing panics while it holds the lock.
        self.full_tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subtrees from which the root of an older tree follows, and that the head continues it.
fn below_head(size: u64, head: &Head) -> impl Iterator<Item = Range> {
    let path = (size != head.size).then(|| tree::consistency_path(size, head.size));
    path.into_iter().flatten().chain([Range { start: 0, end: size }])
}

fn openings(opening: LeafOpening) -> Openings {
    let LeafOpening { secret, url, payload_sha256, response_body } = opening;
    let open =
        |field: LeafField, value: String| Some(Opening { value, salt: LeafSecret::salt(&secret, field).to_vec() });
    Openings {
        url: open(LeafField::Url, url),
        payload_sha256: payload_sha256.and_then(|hash| open(LeafField::PayloadSha256, hex::encode(hash))),
        response_sha256: response_body.and_then(|body| open(LeafField::ResponseSha256, response_sha256(&body))),
    }
}
