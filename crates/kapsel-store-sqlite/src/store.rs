//! The store as its users hold it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kapsel_core::Sealer;
use kapsel_store::PoolUse;

use crate::connection::WriterSource;
use crate::folder::DataFolder;
use crate::idempotency::Position;
use crate::lapse::Lapse;
use crate::migrate::MIGRATIONS;
use crate::open_error::OpenError;
use crate::readers::Readers;
use crate::sorting::{self, Sorting};
use crate::stats::{Counters, WriteStats};
use crate::unsorted;
use crate::writer::Writer;

/// The database in the data folder.
const DATABASE_FILE: &str = "kapsel.db";

/// Memory for pages that a reading connection keeps.
const READER_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The data folder. It is made if there is none.
    pub folder: PathBuf,
    /// How many connections may read at once.
    pub readers_max: u32,
    /// Memory for pages that the writing connection keeps, in bytes. It should hold what one transaction changes.
    pub writer_cache_bytes: usize,
    /// So many events are kept in the order of their arrival before they are sorted by endpoint. A list of an endpoint's
    /// events looks through all of them.
    pub unsorted_events_max: usize,
    /// What the secrets of endpoints are sealed with.
    pub sealer: Sealer,
}

impl SqliteOptions {
    /// The defaults, with the data in `folder`.
    pub fn new(folder: impl Into<PathBuf>, sealer: Sealer) -> Self {
        SqliteOptions {
            folder: folder.into(),
            readers_max: 4,
            writer_cache_bytes: 16 * 1024 * 1024,
            unsorted_events_max: sorting::EVENTS_MAX,
            sealer,
        }
    }
}

/// The embedded engine. Clones share one store.
///
/// End it with [`close`](SqliteStore::close); when the last clone is dropped instead, the writer finishes what is queued
/// and ends by itself a moment later, or when the sorting under way is done.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    readers: Arc<Readers>,
    counters: Arc<Counters>,
    prune_position: Mutex<Position>,
    lapse: Arc<Lapse>,
    sorting: Sorting,
    sealer: Sealer,
    #[cfg(test)]
    faults: crate::faults::Faults,
}

impl SqliteStore {
    /// Opens the data folder, brings its schema up to date and starts the writer. Blocks while it does. The store's calls
    /// need a Tokio runtime around them; this one does not.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let folder = DataFolder::take(&options.folder, DATABASE_FILE)?;
        let source = WriterSource::new(folder.database(), options.writer_cache_bytes, MIGRATIONS);
        #[cfg(test)]
        let faults = source.faults.clone();
        let connection = source.open()?;
        let failed = |source| OpenError::Sqlite { file: folder.database().to_owned(), source };
        let waiting = unsorted::count(&connection).map_err(failed)?;
        let readers = Arc::new(Readers::new(folder.database(), options.readers_max, READER_CACHE_BYTES));
        let counters = Arc::new(Counters::default());
        let writer = Writer::start(folder, source, connection, Arc::clone(&readers), Arc::clone(&counters))?;
        let prune_position = Mutex::default();
        let inner = Inner {
            writer,
            readers,
            counters,
            prune_position,
            lapse: Arc::default(),
            sorting: Sorting::new(options.unsorted_events_max, waiting),
            sealer: options.sealer,
            #[cfg(test)]
            faults,
        };
        Ok(SqliteStore(Arc::new(inner)))
    }

    /// Finishes what was begun, copies the log into the database and lets go of the folder. Calls on other clones fail
    /// from now on.
    pub async fn close(self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// What the writer did so far.
    pub fn stats(&self) -> WriteStats {
        self.0.counters.stats()
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// How busy its connections are; the one that writes is left aside, because it always is while there is work.
    pub fn pools(&self) -> Vec<PoolUse> {
        vec![self.0.readers.use_now()]
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    pub(crate) fn readers(&self) -> &Arc<Readers> {
        &self.0.readers
    }

    /// When leases end. Whoever stores one tells it.
    pub(crate) fn lapse(&self) -> &Arc<Lapse> {
        &self.0.lapse
    }

    /// When new events are sorted by endpoint.
    pub(crate) fn sorting(&self) -> &Sorting {
        &self.0.sorting
    }

    /// Where the next look for expired idempotency keys begins.
    pub(crate) fn prune_position(&self) -> Position {
        *self.0.prune_position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_prune_position(&self, position: Position) {
        *self.0.prune_position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// Trouble for the writer.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &crate::faults::Faults {
        &self.0.faults
    }
}
