//! Copying the log back into the database, beside the writer.
//!
//! A page that is written again and again is copied once for all of its versions in the log, so a long log means little
//! copying. But a long log takes long to copy, and SQLite does that inside of whichever commit comes by. So a thread of its
//! own copies while the writer goes on, round by round, until little is left. Only that last bit is copied by the writer,
//! between two transactions: then the whole log is copied, and the next transaction begins it anew.
//!
//! Nothing here matters for durability: what is committed is in the log, and stays there until it is in the database.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use crate::connection::WriterSource;

/// From so many pages on, the log is copied: 64 MB.
const LOG_PAGES: u32 = 8_000;
/// At so many pages the writer copies by itself, whatever it takes: the thread does not keep up, or has met an error.
const LOG_PAGES_MAX: u32 = 4 * LOG_PAGES;
/// What is left for the writer to copy: a few milliseconds of work.
const REST_PAGES: u32 = 250;
/// How many rounds the thread makes at most before it leaves the rest to the writer.
const ROUNDS_MAX: usize = 4;

/// The thread has nothing to do.
const IDLE: u8 = 0;
/// It copies.
const COPYING: u8 = 1;
/// It has copied what it could; the rest is the writer's.
const COPIED: u8 = 2;

/// The writer's end of the copying.
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    /// Closed to end the thread.
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    source: WriterSource,
    state: AtomicU8,
    /// The thread's own connection, held while it copies.
    connection: Mutex<Option<Connection>>,
}

/// How far a copying came, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    log: u32,
    copied: u32,
}

impl Checkpoints {
    /// Starts the thread.
    pub(crate) fn start(source: WriterSource) -> std::io::Result<Self> {
        // One request is all that there is at a time.
        let (requests, requested) = sync_channel(1);
        let shared = Arc::new(Shared { source, state: AtomicU8::new(IDLE), connection: Mutex::default() });
        let copying = Arc::clone(&shared);
        let run = move || {
            while requested.recv().is_ok() {
                copying.copy();
                copying.state.store(COPIED, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("kapsel-copy".to_owned()).spawn(run)?;
        Ok(Checkpoints { shared, requests, thread })
    }

    /// To be called by the writer between two transactions: has the log copied when it is long enough, and copies the rest
    /// when the thread is through.
    pub(crate) fn after_commit(&self, writer: &Connection) {
        let state = &self.shared.state;
        let pages = self.shared.source.log_pages.load(Ordering::Relaxed);
        if pages < LOG_PAGES {
            return;
        }
        if state.load(Ordering::Acquire) == COPIED || pages >= LOG_PAGES_MAX {
            match copy_once(writer) {
                Ok(progress) => tracing::trace!(?progress, "the log was copied"),
                Err(error) => tracing::warn!(%error, "the log could not be copied into the database"),
            }
            // A thread that is still at it will say so again.
            let _still_copying = state.compare_exchange(COPIED, IDLE, Ordering::AcqRel, Ordering::Acquire);
        } else if state.compare_exchange(IDLE, COPYING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // Without the thread, the writer copies at the upper limit.
            let _gone = self.requests.try_send(());
        }
    }

    /// Closes the thread's connection, after what it is at.
    pub(crate) fn close_connection(&self) {
        self.shared.close_connection();
    }

    /// Ends the thread after what it is at.
    pub(crate) fn stop(self) {
        drop(self.requests);
        if self.thread.join().is_err() {
            tracing::error!("the thread that copies the log met a defect");
        }
    }
}

impl Shared {
    /// Copies until the rest is small, or as often as makes sense beside a writer that writes on.
    fn copy(&self) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ROUNDS_MAX {
            let result = match &mut *connection {
                Some(connection) => copy_once(connection),
                None => self.source.open_copier().and_then(|opened| copy_once(connection.insert(opened))),
            };
            match result {
                Ok(Progress { copied, .. }) => {
                    if self.source.log_pages.load(Ordering::Relaxed).saturating_sub(copied) <= REST_PAGES {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the log could not be copied into the database beside the writer");
                    *connection = None;
                    return;
                }
            }
        }
    }

    fn close_connection(&self) {
        // A connection that was used during a panic is closed like any other.
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Copies what is in the log and needed by no reader any more, without waiting for anybody.
fn copy_once(connection: &Connection) -> rusqlite::Result<Progress> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    // Minus one where there is no log, or somebody else is at it.
    let pages = |number: i64| u32::try_from(number).unwrap_or(0);
    statement.query_row([], |row| Ok(Progress { log: pages(row.get(1)?), copied: pages(row.get(2)?) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MIGRATIONS;

    const PAGE_BYTES: u32 = 8 * 1024;

    struct Database {
        source: WriterSource,
        writer: Connection,
        _folder: tempfile::TempDir,
    }

    impl Database {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("test.db");
            std::fs::write(&file, "").unwrap();
            let source = WriterSource::new(&file, 1024 * 1024, MIGRATIONS);
            let writer = source.open().unwrap();
            writer.execute_batch("CREATE TABLE filling (bytes BLOB)").unwrap();
            Database { source, writer, _folder: folder }
        }

        fn write(&self, pages: u32) {
            let bytes = pages * PAGE_BYTES;
            self.writer.execute("INSERT INTO filling VALUES (zeroblob(?1))", [bytes]).unwrap();
        }

        fn log_pages(&self) -> u32 {
            self.source.log_pages.load(Ordering::Relaxed)
        }

        fn file_pages(&self) -> u64 {
            std::fs::metadata(&self.source.file).unwrap().len() / u64::from(PAGE_BYTES)
        }
    }

    #[test]
    fn a_long_log_is_copied_beside_the_writer_and_begun_anew() {
        let database = Database::new();
        let checkpoints = Checkpoints::start(database.source.clone()).unwrap();
        let mut longest = 0;
        // Several times as much as a log that is copied in time has.
        for _ in 0..3 * LOG_PAGES / 100 {
            database.write(100);
            longest = longest.max(database.log_pages());
            checkpoints.after_commit(&database.writer);
            if checkpoints.shared.state.load(Ordering::Acquire) == COPYING {
                // The thread has as much time as it needs, whatever else the machine is at.
                while checkpoints.shared.state.load(Ordering::Acquire) == COPYING {
                    thread::yield_now();
                }
                assert!(database.file_pages() > u64::from(LOG_PAGES) / 2, "copied by the thread");
            }
        }
        assert!(longest >= LOG_PAGES, "it was long");
        assert!(longest < 2 * LOG_PAGES, "it was begun anew: {longest}");
        checkpoints.stop();
    }

    #[test]
    fn without_the_thread_the_writer_copies_at_the_upper_limit() {
        let database = Database::new();
        let mut checkpoints = Checkpoints::start(database.source.clone()).unwrap();
        // Nobody hears the requests.
        let (deaf, _) = sync_channel(1);
        checkpoints.requests = deaf;
        database.write(LOG_PAGES);
        checkpoints.after_commit(&database.writer);
        assert!(database.file_pages() < u64::from(LOG_PAGES) / 2, "nobody has copied");
        database.write(LOG_PAGES_MAX - LOG_PAGES);
        checkpoints.after_commit(&database.writer);
        assert!(database.file_pages() >= u64::from(LOG_PAGES_MAX), "the writer has");
        database.write(1);
        assert!(database.log_pages() < 100, "and the log begins anew");
        checkpoints.stop();
    }

    #[test]
    fn a_reader_delays_the_copying_and_loses_nothing() {
        let database = Database::new();
        let checkpoints = Checkpoints::start(database.source.clone()).unwrap();
        let reader = crate::connection::open_reader(&database.source.file, 1024 * 1024).unwrap();
        database.write(1);
        let snapshot = reader.unchecked_transaction().unwrap();
        let rows = |connection: &Connection| -> u32 {
            connection.query_row("SELECT count(*) FROM filling", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(rows(&snapshot), 1);
        for _ in 0..2 * LOG_PAGES / 1_000 {
            database.write(1_000);
            checkpoints.after_commit(&database.writer);
        }
        assert_eq!(rows(&snapshot), 1, "what it saw stays");
        snapshot.finish().unwrap();
        let written = 2 * LOG_PAGES / 1_000 + 1;
        assert_eq!(rows(&reader), written);
        checkpoints.stop();
        database.writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        assert_eq!(rows(&database.writer), written);
    }
}
