//! The check of a whole store: does everything in it agree with everything else?
//!
//! The tree is built anew from the bytes of the leaves, in order, and compared on the way with every tile, with the root of
//! the log and with every head that was published. Nothing is trusted because it is stored, and the tree is never held:
//! what is in memory is its right edge and a page of each list. The store may be in use meanwhile; what comes behind the
//! size that the log had at the beginning is left to the next check.
//!
//! What it does not see: a store that was brought back whole from an older copy agrees with itself. For that, whoever signs
//! remembers its last head elsewhere ([`crate::last_head`]).

mod attempts;
mod finding;
mod heads;
mod tree;

use std::collections::BTreeSet;

use kapsel_core::LogId;
use kapsel_store::attestation::{Log, Tile, TileId};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::Hash;

pub use finding::Finding;
use heads::Heads;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Leaves in the tree.
    pub entries: u64,
    /// Tiles, the right edge included.
    pub tiles: u64,
    /// Keys of the log.
    pub keys: u64,
    /// Published heads.
    pub heads: u64,
    /// Leaves that wait.
    pub pending: u64,
    /// Attempts since the log was made.
    pub attempts: u64,
    /// Those of them whose leaf is in the tree.
    pub attempts_integrated: u64,
    /// Attempts that are older than the log, which need no leaf.
    pub attempts_before: u64,
    /// What was found.
    pub findings: u64,
}

/// Checks everything that the store has of a log. Each thing that is wrong is handed out when it is found.
///
/// # Errors
/// [`StoreError`]; then the rest was not looked at. [`StoreError::NotFound`] if there is no such log.
pub async fn check(
    store: &dyn AttestationStore,
    log_id: LogId,
    on_finding: &mut (dyn FnMut(Finding) + Send),
) -> Result<Summary, StoreError> {
    let log = store.log_get(log_id).await?;
    let mut check = Check { store, log, on_finding, summary: Summary::default(), unreadable: BTreeSet::new() };
    let mut heads = Heads::new(&mut check).await?;
    let reached = tree::check(&mut check, &mut heads).await?;
    heads.finish(&mut check, reached).await?;
    attempts::check_pending(&mut check).await?;
    attempts::check_traces(&mut check).await?;
    Ok(check.summary)
}

/// A check under way.
struct Check<'a> {
    store: &'a dyn AttestationStore,
    /// The log as it was at the beginning.
    log: Log,
    on_finding: &'a mut (dyn FnMut(Finding) + Send),
    summary: Summary,
    /// Tiles that cannot be read, each of which is found once.
    unreadable: BTreeSet<TileId>,
}

impl Check<'_> {
    fn found(&mut self, finding: Finding) {
        self.summary.findings += 1;
        (self.on_finding)(finding);
    }

    /// Reads tiles. One that cannot be read at all is a finding and no reason to stop.
    async fn tiles(&mut self, wanted: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        match self.store.tile_read(self.log.id, wanted.clone()).await {
            Err(StoreError::Corrupt { .. }) => {}
            result => return result,
        }
        let mut found = Vec::new();
        for id in wanted {
            match self.store.tile_read(self.log.id, vec![id]).await {
                Err(StoreError::Corrupt { .. }) => {
                    if self.unreadable.insert(id) {
                        self.found(Finding::TileUnreadable(id));
                    }
                }
                result => found.extend(result?),
            }
        }
        Ok(found)
    }

    fn tile_missing(&mut self, id: TileId) {
        if !self.unreadable.contains(&id) {
            self.found(Finding::TileMissing(id));
        }
    }

    /// Looks whether a tile of `width` hashes has more bytes than that, though the log has not gone on meanwhile.
    async fn check_width(&mut self, id: TileId, width: usize, bytes: usize) -> Result<(), StoreError> {
        if bytes > width * Hash::LEN && self.store.log_get(self.log.id).await?.size == self.log.size {
            self.found(Finding::TileDiffers { id, position: width });
        }
        Ok(())
    }
}
