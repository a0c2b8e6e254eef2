//! What is checked before a head is signed, and the signing.
//!
//! A log that has signed two heads which do not continue each other is worth nothing any more, whatever the reason. So a
//! head is signed only after its root was computed anew from what is stored, every tile that has changed since the last
//! head was found to be the one that the tile above it says, and the head was shown to continue both the last one in the
//! store and the last one that this instance remembers elsewhere.

use kapsel_core::{LogId, Timestamp};
use kapsel_store::AttestationStore;
use kapsel_store::attestation::{Head, Log, TILE_HASHES, Tile, TileId};
use kapsel_verification::{
    Checkpoint, Cosignature, Hash, SignatureLine, SignedCheckpoint, VerifierKey, cosigned_message, note,
    verify_consistency,
};

use crate::error::AttestationError;
use crate::signer::LogSigner;
use crate::tiles::{MissingTile, Tiles, root_of};
use crate::tree::{self, Range};

/// How many tiles are read at once: half a megabyte.
const TILES_AT_ONCE: usize = 64;

/// Reads the tiles that hold these subtrees.
pub(crate) async fn read_tiles(
    store: &dyn AttestationStore,
    log_id: LogId,
    ranges: &[Range],
) -> Result<Tiles, AttestationError> {
    Ok(store.tile_read(log_id, tree::tiles_of(ranges)).await?.into_iter().collect())
}

/// The root of the first `size` leaves, from what is stored.
pub(crate) async fn stored_root(
    store: &dyn AttestationStore,
    log_id: LogId,
    size: u64,
) -> Result<Hash, AttestationError> {
    let whole = Range { start: 0, end: size };
    Ok(read_tiles(store, log_id, &[whole]).await?.root(size)?)
}

/// Checks every tile that has changed since the tree had `from` leaves: a full one is what the tile above it says. Together
/// with the root, which is computed from those that are not full, that is every hash of the new part.
pub(crate) async fn check_tiles(
    store: &dyn AttestationStore,
    log_id: LogId,
    from: u64,
    size: u64,
) -> Result<(), AttestationError> {
    for level in 0_u8..7 {
        let shift = 8 * (u32::from(level) + 1);
        let (mut index, end) = (from >> shift, size >> shift);
        while index < end {
            let next = end.min(index + TILES_AT_ONCE as u64);
            check_full_tiles(store, log_id, level, index..next).await?;
            index = next;
        }
    }
    Ok(())
}

async fn check_full_tiles(
    store: &dyn AttestationStore,
    log_id: LogId,
    level: u8,
    indexes: std::ops::Range<u64>,
) -> Result<(), AttestationError> {
    let above = level + 1;
    let parents = indexes.start / TILE_HASHES as u64..=(indexes.end - 1) / TILE_HASHES as u64;
    let own = indexes.clone().map(|index| TileId { level, index });
    let wanted: Vec<TileId> = own.chain(parents.map(|index| TileId { level: above, index })).collect();
    let found = store.tile_read(log_id, wanted).await?;
    let tile = |id: TileId| found.iter().find(|tile| tile.id == id).ok_or(MissingTile(id));
    for index in indexes {
        let id = TileId { level, index };
        let Tile { hashes, .. } = tile(id)?;
        let place = usize::try_from(index % TILE_HASHES as u64).unwrap_or(0) * Hash::LEN;
        let parent = TileId { level: above, index: index / TILE_HASHES as u64 };
        let said = tile(parent)?.hashes.get(place..place + Hash::LEN).ok_or(MissingTile(parent))?;
        if hashes.len() != TILE_HASHES * Hash::LEN || root_of(hashes).as_bytes().as_slice() != said {
            return Err(AttestationError::DamagedTile(id));
        }
    }
    Ok(())
}

/// Checks that the log, as it is stored, continues a head that was signed.
pub(crate) async fn check_continues(
    store: &dyn AttestationStore,
    log: &Log,
    signed: &Checkpoint,
) -> Result<(), AttestationError> {
    if signed.size() > log.size {
        return Err(AttestationError::Behind { size: log.size, signed_size: signed.size() });
    }
    let forked = || AttestationError::Forked { signed: Box::new(signed.clone()) };
    if signed.origin() != log.origin {
        return Err(forked());
    }
    if signed.size() == 0 {
        // Every log continues the empty one.
        return Ok(());
    }
    let path = tree::consistency_path(signed.size(), log.size);
    let hashes = read_tiles(store, log.id, &path).await?.path(&path)?;
    verify_consistency(signed.size(), signed.root(), log.size, &log.root, &hashes).map_err(|_| forked())
}

/// Checks what is stored since the tree had `from` leaves, and that the root is the one that follows from it.
pub(crate) async fn check_growth(store: &dyn AttestationStore, log: &Log, from: u64) -> Result<(), AttestationError> {
    check_tiles(store, log.id, from, log.size).await?;
    if stored_root(store, log.id, log.size).await? == log.root {
        Ok(())
    } else {
        Err(AttestationError::Root { size: log.size })
    }
}

/// Signs a head of the log as it stands, by all of these keys, the first of which is the present one, and verifies what was
/// signed. The time is never before those of former heads, published or not.
pub(crate) async fn sign(
    log: &Log,
    signers: &[LogSigner],
    now: Timestamp,
    former: impl Iterator<Item = &SignedCheckpoint>,
) -> Result<Head, AttestationError> {
    let text = Checkpoint::new(&log.origin, log.size, log.root, &[])?.to_text();
    let former = former.flat_map(SignedCheckpoint::timestamps).map(|(_, time)| time);
    let time = former.chain(u64::try_from(now.unix_seconds()).ok()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut keys: Vec<VerifierKey> = Vec::new();
    for LogSigner { checkpoint, timestamp } in signers {
        let signature = checkpoint.sign(text.as_bytes()).await?.to_vec();
        lines.push(line(checkpoint.key(), signature));
        let signature = timestamp.sign(cosigned_message(time, &text).as_bytes()).await?;
        lines.push(line(timestamp.key(), Cosignature { time, signature }.to_bytes().to_vec()));
        keys.extend([checkpoint.key().clone(), timestamp.key().clone()]);
    }
    let checkpoint = note::format(&text, &lines)?;
    // A signature that went wrong, in a faulty memory or at a custodian's, must not get out.
    SignedCheckpoint::parse(checkpoint.as_bytes())?.note().open(&keys)?;
    Ok(Head {
        log_id: log.id,
        size: log.size,
        root: log.root,
        signed_at: Timestamp::from_unix_seconds(i64::try_from(time).unwrap_or(i64::MAX)),
        checkpoint,
    })
}

fn line(key: &VerifierKey, signature: Vec<u8>) -> SignatureLine {
    SignatureLine { name: key.name().to_owned(), key_id: key.id(), signature }
}
