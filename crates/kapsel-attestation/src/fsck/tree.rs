//! The tree, built anew from the leaves and compared with what is stored.

use kapsel_core::AttemptId;
use kapsel_store::StoreError;
use kapsel_store::attestation::{LogEntry, TILE_HASHES, Tile, TileId};
use kapsel_verification::{Hash, leaf_hash};

use super::attempts::check_leaf;
use super::heads::Heads;
use super::{Check, Finding};
use crate::tiles::{Edge, root_of};

/// How many leaves are read at once: four tiles, which have one tile above them.
const PAGE: usize = 4 * TILE_HASHES;

/// A leaf as it is stored.
#[derive(Clone, Copy)]
struct Entry {
    attempt_id: AttemptId,
    hash: Option<Hash>,
}

/// Checks entries, tiles, the root, and the roots of heads. Returns up to which size there was something to look at.
pub(super) async fn check(check: &mut Check<'_>, heads: &mut Heads) -> Result<u64, StoreError> {
    let mut edge = Edge::default();
    let root = root(&edge)?;
    heads.reach(check, 0, &root).await?;
    let mut missing = None;
    while edge.size() < check.log.size {
        let from = edge.size();
        let entries = read_entries(check, from, &mut missing).await?;
        let tiles = read_tiles(check, from, entries.len()).await?;
        if tiles.is_empty() && entries.iter().all(Option::is_none) {
            // Nothing is left to build the tree from.
            break;
        }
        for row in entries.chunks(TILE_HASHES) {
            let hashes = choose(check, &edge, row, &tiles).await?;
            append(check, &mut edge, &hashes, heads).await?;
        }
    }
    let reached = edge.size();
    if let Some(from) = missing {
        check.found(Finding::EntriesMissing { from, until: check.log.size });
    }
    if reached < check.log.size {
        return Ok(reached);
    }
    for tile in edge.tiles().filter(|tile| tile.id.level > 0).collect::<Vec<_>>() {
        check_tile(check, &tile).await?;
    }
    if self::root(&edge)? != check.log.root {
        check.found(Finding::Root { size: reached });
    }
    if let Some(entry) = check.store.entry_list(check.log.id, reached, 1).await?.first()
        && entry.index >= check.store.log_get(check.log.id).await?.size
    {
        check.found(Finding::EntryBeyond { index: entry.index, size: reached });
    }
    Ok(reached)
}

fn root(edge: &Edge) -> Result<Hash, StoreError> {
    edge.root().map_err(|error| StoreError::corrupt("the tree", error))
}

/// The next page of leaves, one for each index from `from` on. `missing` is the first index of a gap that is still open.
async fn read_entries(
    check: &mut Check<'_>,
    from: u64,
    missing: &mut Option<u64>,
) -> Result<Vec<Option<Entry>>, StoreError> {
    let count = usize::try_from(check.log.size - from).unwrap_or(PAGE).min(PAGE);
    let mut entries = vec![None; count];
    for LogEntry { index, attempt_id, data } in check.store.entry_list(check.log.id, from, count).await? {
        let place = index.checked_sub(from).and_then(|place| usize::try_from(place).ok());
        let Some(place) = place else {
            check.found(Finding::EntryTwice { index });
            continue;
        };
        // What is behind the page is read again with the next one.
        let Some(entry) = entries.get_mut(place) else { break };
        if entry.is_some() {
            check.found(Finding::EntryTwice { index });
            continue;
        }
        *entry = Some(Entry { attempt_id, hash: data.as_deref().map(leaf_hash) });
        check.summary.entries += 1;
        match data {
            Some(data) => check_leaf(check, attempt_id, &data),
            None => check.found(Finding::LeafMissing { index, attempt_id }),
        }
    }
    for (index, entry) in (from..).zip(&entries) {
        match (entry, *missing) {
            (None, None) => *missing = Some(index),
            (Some(_), Some(from)) => {
                check.found(Finding::EntriesMissing { from, until: index });
                *missing = None;
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }
    Ok(entries)
}

/// The tiles of a page of leaves, and the one above them.
async fn read_tiles(check: &mut Check<'_>, from: u64, count: usize) -> Result<Vec<Tile>, StoreError> {
    let first = from / TILE_HASHES as u64;
    let tiles = count.div_ceil(TILE_HASHES) as u64;
    let own = (first..first + tiles).map(|index| TileId { level: 0, index });
    let above = TileId { level: 1, index: first / TILE_HASHES as u64 };
    check.tiles(own.chain([above]).collect()).await
}

/// The hashes of one tile of leaves. Where bytes and tile differ, those are taken that lead to what stands above, so that
/// one damage is one finding: a leaf's, or the tile's. Where a leaf has no bytes, the tile's hash takes its place.
async fn choose(
    check: &mut Check<'_>,
    edge: &Edge,
    row: &[Option<Entry>],
    tiles: &[Tile],
) -> Result<Vec<Hash>, StoreError> {
    let from = edge.size();
    let id = TileId { level: 0, index: from / TILE_HASHES as u64 };
    let tile = |id: TileId| tiles.iter().find(|tile| tile.id == id).map(|tile| &*tile.hashes);
    let in_tile: Vec<Option<Hash>> =
        (0..row.len()).map(|place| tile(id).and_then(|hashes| hash_at(hashes, place))).collect();
    let of_leaf = |place: usize| row[place].and_then(|entry| entry.hash);
    let nothing = Hash::from_bytes([0; Hash::LEN]);
    let pick = |first: Option<Hash>, second: Option<Hash>| first.or(second).unwrap_or(nothing);
    let of_leaves: Vec<Hash> = (0..row.len()).map(|place| pick(of_leaf(place), in_tile[place])).collect();
    check.summary.tiles += 1;
    let Some(stored) = tile(id) else {
        check.tile_missing(id);
        return Ok(of_leaves);
    };
    let Some(position) = (0..row.len()).find(|place| in_tile[*place] != Some(of_leaves[*place])) else {
        check.check_width(id, row.len(), stored.len()).await?;
        return Ok(of_leaves);
    };
    let of_tile: Vec<Hash> = (0..row.len()).map(|place| pick(in_tile[place], of_leaf(place))).collect();
    let said = tile(TileId { level: 1, index: id.index / TILE_HASHES as u64 })
        .and_then(|hashes| hash_at(hashes, usize::try_from(id.index % TILE_HASHES as u64).unwrap_or(0)));
    let is_confirmed = |hashes: &[Hash]| -> Result<bool, StoreError> {
        if row.len() == TILE_HASHES {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            return Ok(said == Some(root_of(&bytes)));
        }
        let mut edge = edge.clone();
        edge.append(hashes.iter().copied());
        Ok(root(&edge)? == check.log.root)
    };
    if in_tile.iter().any(Option::is_none) || is_confirmed(&of_leaves)? || !is_confirmed(&of_tile)? {
        check.found(Finding::TileDiffers { id, position });
        return Ok(of_leaves);
    }
    for (index, (entry, hash)) in (from..).zip(row.iter().zip(&of_tile)) {
        if let Some(Entry { attempt_id, hash: Some(of_leaf) }) = entry
            && of_leaf != hash
        {
            check.found(Finding::LeafHash { index, attempt_id: *attempt_id });
        }
    }
    Ok(of_tile)
}

fn hash_at(hashes: &[u8], place: usize) -> Option<Hash> {
    Hash::from_slice(hashes.get(place * Hash::LEN..(place + 1) * Hash::LEN)?)
}

/// Lets the tree grow, past the heads on the way.
async fn append(
    check: &mut Check<'_>,
    edge: &mut Edge,
    mut hashes: &[Hash],
    heads: &mut Heads,
) -> Result<(), StoreError> {
    while !hashes.is_empty() {
        let until_head = heads.next_size().and_then(|size| usize::try_from(size - edge.size()).ok());
        let (now, later) = hashes.split_at(until_head.unwrap_or(hashes.len()).min(hashes.len()));
        let full = edge.append(now.iter().copied());
        for tile in full.iter().filter(|tile| tile.id.level > 0 && tile.hashes.len() == TILE_HASHES * Hash::LEN) {
            check_tile(check, tile).await?;
        }
        if until_head.is_some_and(|until| until <= now.len()) {
            let root = root(edge)?;
            heads.reach(check, edge.size(), &root).await?;
        }
        hashes = later;
    }
    Ok(())
}

/// Compares a tile above level 0 with the stored one, which may be wider where the log has gone on.
async fn check_tile(check: &mut Check<'_>, expected: &Tile) -> Result<(), StoreError> {
    let id = expected.id;
    check.summary.tiles += 1;
    let Some(Tile { hashes, .. }) = check.tiles(vec![id]).await?.pop() else {
        check.tile_missing(id);
        return Ok(());
    };
    let width = expected.hashes.len() / Hash::LEN;
    let differs = |place: &usize| hash_at(&hashes, *place) != hash_at(&expected.hashes, *place);
    match (0..width).find(differs) {
        Some(position) => check.found(Finding::TileDiffers { id, position }),
        None => check.check_width(id, width, hashes.len()).await?,
    }
    Ok(())
}
