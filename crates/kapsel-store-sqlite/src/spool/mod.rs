//! A spool on SQLite: where accepted events wait for a store that is away.
//!
//! The same writer and the same settings as the engine's, over a database and a folder of its own. What
//! [`SpoolStore::spool_insert_batch`] answers after its commit survives the death of the process and of the machine.

mod insert;
mod rows;
mod totals;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::Timestamp;
use kapsel_store::spool::{SpoolPage, SpoolSize, SpoolStore};
use kapsel_store::{Ingested, NewEvent, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::connection::WriterSource;
use crate::error::Failure;
use crate::folder::DataFolder;
use crate::job::{Kind, Weight};
use crate::migrate::SPOOL_MIGRATIONS;
use crate::open_error::OpenError;
use crate::readers::Readers;
use crate::rows::stored;
use crate::statements as sql;
use crate::stats::Counters;
use crate::writer::Writer;
use totals::{Gauge, Totals};

/// The database in the spool's folder.
const DATABASE_FILE: &str = "spool.db";
/// Rows are written once, read once and removed: keeping pages is worth little.
const WRITER_CACHE_BYTES: usize = 8 * 1024 * 1024;
const READER_CACHE_BYTES: usize = 1024 * 1024;
/// Only the drain reads.
const READERS_MAX: u32 = 2;

/// How to open a spool.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The folder, for the spool alone. It is made if there is none.
    pub folder: PathBuf,
    /// How many bytes of bodies and headers it takes at most. The database file is larger than what it holds, and keeps
    /// its size when it is emptied.
    pub bytes_max: u64,
}

/// The spool. Clones share one.
///
/// End it with [`close`](SqliteSpool::close); when the last clone is dropped instead, the writer finishes what is queued
/// and ends by itself a moment later.
#[derive(Debug, Clone)]
pub struct SqliteSpool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    readers: Arc<Readers>,
    gauge: Gauge,
    bytes_max: u64,
    #[cfg(test)]
    faults: crate::faults::Faults,
}

impl SqliteSpool {
    /// Opens the folder, brings its schema up to date and starts the writer. Blocks while it does. The spool's calls
    /// need a Tokio runtime around them; this one does not.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: SpoolOptions) -> Result<Self, OpenError> {
        let folder = DataFolder::take(&options.folder, DATABASE_FILE)?;
        let source = WriterSource::new(folder.database(), WRITER_CACHE_BYTES, SPOOL_MIGRATIONS);
        #[cfg(test)]
        let faults = source.faults.clone();
        let connection = source.open()?;
        let totals = Totals::read(&connection)
            .map_err(|source| OpenError::Sqlite { file: folder.database().to_owned(), source })?;
        let readers = Arc::new(Readers::new(folder.database(), READERS_MAX, READER_CACHE_BYTES));
        let writer = Writer::start(folder, source, connection, Arc::clone(&readers), Arc::new(Counters::default()))?;
        let inner = Inner {
            writer,
            readers,
            gauge: Gauge::new(totals),
            bytes_max: options.bytes_max,
            #[cfg(test)]
            faults,
        };
        Ok(SqliteSpool(Arc::new(inner)))
    }

    /// Finishes what was begun, copies the log into the database and lets go of the folder. Calls on other clones fail
    /// from now on.
    pub async fn close(self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// Trouble for the writer.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &crate::faults::Faults {
        &self.0.faults
    }
}

#[async_trait]
impl SpoolStore for SqliteSpool {
    async fn spool_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let weight = Weight { rows: batch.len(), bytes: batch.iter().map(|new| new.event.weight()).sum() };
        let bytes_max = self.0.bytes_max;
        // A full spool says no, and what was written of the batch until then has to be undone.
        let work = move |connection: &Connection| insert::insert_batch(connection, now, &batch, bytes_max);
        let (answers, totals) = self.0.writer.write(Kind::MayRefuse, weight, work).await?;
        self.0.gauge.show(totals);
        Ok(answers)
    }

    async fn spool_read(&self, after: i64, limit: usize, bytes_max: usize) -> Result<SpoolPage, StoreError> {
        let read = move |connection: &Connection| {
            Ok((rows::read(connection, after, limit, bytes_max)?, Totals::read(connection)?))
        };
        let (page, totals) = self.0.readers.read(read).await?;
        // After a commit whose outcome was unknown, this is how it comes to be known.
        self.0.gauge.show(totals);
        Ok(page)
    }

    async fn spool_remove(&self, seqs: Vec<i64>) -> Result<(), StoreError> {
        let weight = Weight { rows: seqs.len(), bytes: 0 };
        let totals = self.0.writer.write(Kind::Sure, weight, move |connection| remove(connection, &seqs)).await?;
        self.0.gauge.show(totals);
        Ok(())
    }

    fn spool_size(&self) -> SpoolSize {
        let Totals { events, bytes, .. } = self.0.gauge.shown();
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        SpoolSize { events: count(events), bytes: count(bytes), bytes_max: self.0.bytes_max }
    }
}

fn remove(connection: &Connection, seqs: &[i64]) -> Result<Totals, Failure> {
    let mut statement = connection.prepare_cached(sql::SPOOL_REMOVE)?;
    let (mut events, mut bytes) = (0_usize, 0_i64);
    for seq in seqs {
        let removed: Option<i64> = statement.query_row(params![seq], |row| row.get(0)).optional()?;
        if let Some(size_bytes) = removed {
            events += 1;
            bytes += size_bytes;
        }
    }
    Ok(Totals::add(connection, -stored(events), -bytes)?)
}
