//! Some tiles of a tree, and the hashes that follow from them.

use std::collections::BTreeMap;

use bytes::Bytes;
use kapsel_store::attestation::{TILE_HASHES, Tile, TileId};
use kapsel_verification::{Hash, empty_root, node_hash};

use crate::tree::{self, Node, Range};

/// Tiles in memory. A tile serves every tree in which it is at most as wide: the tile of a smaller tree is its beginning.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<TileId, Bytes>);

impl FromIterator<Tile> for Tiles {
    fn from_iter<I: IntoIterator<Item = Tile>>(tiles: I) -> Self {
        Tiles(tiles.into_iter().map(|tile| (tile.id, tile.hashes)).collect())
    }
}

/// A hash that was wanted is in none of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile {} of level {} is missing, or is too narrow", .0.index, .0.level)]
pub struct MissingTile(pub TileId);

impl Tiles {
    /// Adds a tile, in place of a former one.
    pub fn put(&mut self, tile: Tile) {
        self.0.insert(tile.id, tile.hashes);
    }

    /// The hash of a full subtree.
    fn node(&self, node: Node) -> Result<Hash, MissingTile> {
        let (id, offset, hashes) = node.place();
        let from = offset * Hash::LEN;
        let row = self.0.get(&id).and_then(|tile| tile.get(from..from + hashes * Hash::LEN));
        Ok(root_of(row.ok_or(MissingTile(id))?))
    }

    /// The hash over some leaves.
    pub(crate) fn range(&self, range: Range) -> Result<Hash, MissingTile> {
        let nodes: Vec<Node> = range.nodes().collect();
        let mut hash: Option<Hash> = None;
        for node in nodes.into_iter().rev() {
            let left = self.node(node)?;
            hash = Some(hash.map_or(left, |right| node_hash(&left, &right)));
        }
        Ok(hash.unwrap_or_else(empty_root))
    }

    /// The root of the tree of the first `size` leaves.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, MissingTile> {
        self.range(Range { start: 0, end: size })
    }

    /// The hashes of a path.
    pub fn path(&self, ranges: &[Range]) -> Result<Vec<Hash>, MissingTile> {
        ranges.iter().map(|range| self.range(*range)).collect()
    }
}

/// The root over a row of hashes whose number is a power of two.
pub(crate) fn root_of(row: &[u8]) -> Hash {
    let mut hashes: Vec<Hash> = row.chunks_exact(Hash::LEN).filter_map(Hash::from_slice).collect();
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.first().copied().unwrap_or_else(empty_root)
}

/// The right edge of a tree: the tiles that are not full. All that is needed to add leaves.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    /// From level 0 upwards: the hashes of the tile that is not full.
    levels: Vec<Vec<u8>>,
}

impl Edge {
    /// The edge of a tree of `size` leaves, from its tiles.
    ///
    /// # Errors
    /// [`MissingTile`].
    pub(crate) fn new(size: u64, tiles: &Tiles) -> Result<Self, MissingTile> {
        let mut levels = Vec::new();
        for (id, width) in tree::edge_tiles(size) {
            let hashes = tiles.0.get(&id).and_then(|tile| tile.get(..width * Hash::LEN)).ok_or(MissingTile(id))?;
            levels.resize(usize::from(id.level) + 1, Vec::new());
            levels[usize::from(id.level)] = hashes.to_vec();
        }
        Ok(Edge { size, levels })
    }

    /// How many leaves the tree has.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds leaves. Returns every tile that changes, as it is afterwards.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Tile> {
        let before = self.size;
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.size += 1;
            self.push(0, &leaf, &mut tiles);
        }
        for (id, _) in tree::edge_tiles(self.size) {
            // A level whose number of hashes is the same has not changed.
            let hashes = |size: u64| size >> (8 * u32::from(id.level));
            if hashes(before) != hashes(self.size)
                && let Some(row) = self.levels.get(usize::from(id.level))
            {
                tiles.push(Tile { id, hashes: Bytes::copy_from_slice(row) });
            }
        }
        tiles
    }

    /// The tiles that are not full, from level 0 upwards.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> {
        tree::edge_tiles(self.size).filter_map(|(id, _)| {
            let row = self.levels.get(usize::from(id.level))?;
            Some(Tile { id, hashes: Bytes::copy_from_slice(row) })
        })
    }

    /// Adds a hash to a level; a tile that becomes full goes out, and its root goes one level up.
    fn push(&mut self, level: u8, hash: &Hash, full: &mut Vec<Tile>) {
        let place = usize::from(level);
        if self.levels.len() <= place {
            self.levels.resize(place + 1, Vec::with_capacity(TILE_HASHES * Hash::LEN));
        }
        let row = &mut self.levels[place];
        row.extend_from_slice(hash.as_bytes());
        if row.len() == TILE_HASHES * Hash::LEN {
            let row = std::mem::take(row);
            let root = root_of(&row);
            // What was counted in is the last leaf of this tile.
            let index = (self.size - 1) >> (8 * (u32::from(level) + 1));
            full.push(Tile { id: TileId { level, index }, hashes: row.into() });
            self.push(level + 1, &root, full);
        }
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// [`MissingTile`], if the edge is not one.
    pub fn root(&self) -> Result<Hash, MissingTile> {
        let mut tiles = Tiles::default();
        for tile in self.tiles() {
            tiles.put(tile);
        }
        tiles.root(self.size)
    }
}

#[cfg(test)]
mod tests {
    use kapsel_verification::{leaf_hash, verify_consistency, verify_inclusion};

    use super::*;

    fn leaves(from: u64, to: u64) -> impl Iterator<Item = Hash> {
        (from..to).map(|index| leaf_hash(&index.to_be_bytes()))
    }

    /// RFC 9162, section 2.1.1, word by word.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
                node_hash(&reference(left), &reference(right))
            }
        }
    }

    /// A tree that grew in steps of these sizes.
    fn grown(steps: impl IntoIterator<Item = u64>) -> (Tiles, Edge) {
        let (mut tiles, mut edge) = (Tiles::default(), Edge::default());
        for step in steps {
            let size = edge.size();
            for tile in edge.append(leaves(size, size + step)) {
                tiles.put(tile);
            }
        }
        (tiles, edge)
    }

    #[test]
    fn roots_are_those_of_the_rfc() {
        let all: Vec<Hash> = leaves(0, 1_200).collect();
        let (mut tiles, mut edge) = grown([]);
        assert_eq!(edge.root().unwrap(), empty_root());
        for (size, leaf) in (1..).zip(all.iter().take(600)) {
            for tile in edge.append([*leaf]) {
                tiles.put(tile);
            }
            let expected = reference(&all[..usize::try_from(size).unwrap()]);
            assert_eq!((edge.root().unwrap(), tiles.root(size).unwrap()), (expected, expected), "{size}");
        }
        // Of every smaller tree as well, from the tiles of a larger one.
        for size in 0..600 {
            assert_eq!(tiles.root(size).unwrap(), reference(&all[..usize::try_from(size).unwrap()]), "{size}");
        }
    }

    #[test]
    fn a_tree_is_the_same_in_whatever_steps_it_grew() {
        let (_, one) = grown([70_000]);
        for steps in [vec![1; 700], vec![255, 2, 255, 188], vec![256, 256, 188]] {
            let (_, other) = grown(steps.into_iter().chain([69_300]));
            assert_eq!(other.levels, one.levels);
        }
        let (tiles, _) = grown([70_000]);
        let again = Edge::new(70_000, &tiles).unwrap();
        assert_eq!(again.levels, one.levels);
        assert_eq!(again.root().unwrap(), tiles.root(70_000).unwrap());
    }

    #[test]
    fn every_leaf_is_provable_in_every_tree() {
        let all: Vec<Hash> = leaves(0, 300).collect();
        let (tiles, _) = grown([300]);
        for size in 1..=300 {
            let root = tiles.root(size).unwrap();
            // All of them in small trees, and in larger ones more and more of them left out.
            let step = 1 + usize::try_from(size / 40).unwrap();
            for index in (0..size).rev().step_by(step) {
                let path = tiles.path(&tree::inclusion_path(index, size)).unwrap();
                let leaf = all[usize::try_from(index).unwrap()];
                verify_inclusion(&leaf, index, size, &path, &root).unwrap();
                assert!(verify_inclusion(&leaf_hash(b"other"), index, size, &path, &root).is_err());
            }
            for old in (1..=size).rev().step_by(step) {
                let path = tiles.path(&tree::consistency_path(old, size)).unwrap();
                verify_consistency(old, &tiles.root(old).unwrap(), size, &root, &path).unwrap();
            }
        }
    }

    #[test]
    fn large_trees_are_provable() {
        let (tiles, edge) = grown([200_000]);
        let size = edge.size();
        let root = edge.root().unwrap();
        for index in [0, 1, 255, 256, 65_535, 65_536, 131_072, 199_999] {
            let path = tiles.path(&tree::inclusion_path(index, size)).unwrap();
            verify_inclusion(&leaf_hash(&index.to_be_bytes()), index, size, &path, &root).unwrap();
        }
        for old in [1, 256, 65_536, 65_537, 199_999, 200_000] {
            let path = tiles.path(&tree::consistency_path(old, size)).unwrap();
            verify_consistency(old, &tiles.root(old).unwrap(), size, &root, &path).unwrap();
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let (mut tiles, _) = grown([600]);
        assert!(tiles.root(600).is_ok());
        assert_eq!(tiles.root(601), Err(MissingTile(TileId { level: 0, index: 2 })));
        tiles.0.remove(&TileId { level: 1, index: 0 });
        assert_eq!(tiles.root(600), Err(MissingTile(TileId { level: 1, index: 0 })));
        assert_eq!(Edge::new(600, &tiles).err(), Some(MissingTile(TileId { level: 1, index: 0 })));
    }
}
