//! Which nodes of a tree a proof is made of (RFC 9162, section 2.1). Numbers only; hashes come from [`crate::tiles`].

use kapsel_store::attestation::{TILE_HASHES, TileId};

/// How many levels of the tree one tile stands for.
const TILE_HEIGHT: u32 = TILE_HASHES.ilog2();

/// Leaves from `start` on and before `end`, never none. Those of a proof begin where a full subtree of their size would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: u64,
    /// The first that does not belong to it.
    pub end: u64,
}

/// A full subtree: of `2^height` leaves, the `index`-th of its height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    /// So many levels stand below its root.
    pub(crate) height: u32,
    /// So many of its height stand before it.
    pub(crate) index: u64,
}

impl Node {
    /// The tile that it is computed from, and which of its hashes: so many from the given one on.
    pub(crate) fn place(self) -> (TileId, usize, usize) {
        let (level, rest) = (self.height / TILE_HEIGHT, self.height % TILE_HEIGHT);
        let first = self.index << rest;
        let id = TileId { level: u8::try_from(level).unwrap_or(u8::MAX), index: first / TILE_HASHES as u64 };
        let offset = usize::try_from(first % TILE_HASHES as u64).unwrap_or(0);
        (id, offset, 1 << rest)
    }
}

impl Range {
    /// The full subtrees that it is made of, the largest first. Their hashes are put together from the right.
    pub(crate) fn nodes(self) -> impl Iterator<Item = Node> {
        let Range { mut start, end } = self;
        std::iter::from_fn(move || {
            let height = (end - start).checked_ilog2()?;
            let node = Node { height, index: start >> height };
            start += 1 << height;
            Some(node)
        })
    }
}

/// The tiles that hold these subtrees, each once.
pub(crate) fn tiles_of(ranges: &[Range]) -> Vec<TileId> {
    let mut tiles: Vec<TileId> = ranges.iter().flat_map(|range| range.nodes()).map(|node| node.place().0).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The subtrees beside the way from the leaf `index` to the root of a tree of `size` leaves, from the leaf upwards
/// (RFC 9162, section 2.1.3.1). `index` is below `size`.
pub fn inclusion_path(index: u64, size: u64) -> Vec<Range> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(Range { start: middle, end });
            end = middle;
        } else {
            path.push(Range { start, end: middle });
            start = middle;
        }
    }
    path.reverse();
    path
}

/// The subtrees that connect the tree of the first `old` leaves with that of `new` (RFC 9162, section 2.1.4.1). `old` is at
/// least 1 and at most `new`.
pub(crate) fn consistency_path(old: u64, new: u64) -> Vec<Range> {
    let mut path = Vec::new();
    let (mut start, mut end, mut is_whole) = (0, new, true);
    while end > old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(Range { start: middle, end });
            end = middle;
        } else {
            path.push(Range { start, end: middle });
            start = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        path.push(Range { start, end });
    }
    path.reverse();
    path
}

/// The tiles in which the right edge of a tree of `size` leaves lies, those that are not full, from level 0 upwards.
pub(crate) fn edge_tiles(size: u64) -> impl Iterator<Item = (TileId, usize)> {
    let levels = (0_u8..8).map(move |level| (level, size >> (TILE_HEIGHT * u32::from(level))));
    levels.take_while(|(_, hashes)| *hashes > 0).filter_map(|(level, hashes)| {
        let width = usize::try_from(hashes % TILE_HASHES as u64).unwrap_or(0);
        (width > 0).then_some((TileId { level, index: hashes / TILE_HASHES as u64 }, width))
    })
}

/// How many hashes the tile `id` has in a tree of `size` leaves.
pub(crate) fn tile_width(id: TileId, size: u64) -> usize {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(id.level)).unwrap_or(0);
    let before = id.index.saturating_mul(TILE_HASHES as u64);
    usize::try_from(hashes.saturating_sub(before)).unwrap_or(usize::MAX).min(TILE_HASHES)
}

#[cfg(test)]
mod tests {
    use kapsel_verification::{consistency_path_length, inclusion_path_length};

    use super::*;

    #[test]
    fn paths_are_as_long_as_verifiers_expect() {
        for size in 1..600 {
            for index in 0..size {
                let path = inclusion_path(index, size);
                assert_eq!(Some(path.len()), inclusion_path_length(index, size), "{index} of {size}");
                let leaves: u64 = path.iter().map(|range| range.end - range.start).sum();
                assert_eq!(leaves, size - 1, "{index} of {size}: each leaf but one is below the path");
            }
            for old in 1..=size {
                let path = consistency_path(old, size);
                assert_eq!(Some(path.len()), consistency_path_length(old, size), "{old} to {size}");
            }
        }
    }

    #[test]
    fn a_range_is_made_of_full_subtrees() {
        for start in [0, 64, 256, 1 << 33] {
            for length in 1..64 {
                let range = Range { start, end: start + length };
                let mut next = range.start;
                for node in range.nodes() {
                    assert_eq!(node.index << node.height, next);
                    next += 1 << node.height;
                    let (id, offset, hashes) = node.place();
                    assert!(offset + hashes <= TILE_HASHES && id.level <= 4, "{node:?}");
                }
                assert_eq!(next, range.end);
            }
        }
    }

    #[test]
    fn the_largest_trees_do_not_overflow() {
        for size in [u64::MAX, 1 << 63, (1 << 63) + 1, 1 << 40] {
            for index in [0, 1, size / 2, size - 1] {
                assert_eq!(Some(inclusion_path(index, size).len()), inclusion_path_length(index, size));
                assert_eq!(Some(consistency_path(index + 1, size).len()), consistency_path_length(index + 1, size));
            }
            assert!(edge_tiles(size).all(|(id, width)| tile_width(id, size) == width));
            assert!(Range { start: 0, end: size }.nodes().count() <= 64);
        }
    }
}
