//! Opening connections with the settings that durability and speed rest on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kapsel_store::schema::Migration;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::time::Instant;

use crate::migrate::{self, MigrateError};
use crate::open_error::OpenError;

/// SQLite before 3.51.3 can damage a database in WAL mode when two connections write and checkpoint at once.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Rows of a webhook of 1 KiB fill pages of 4 KiB badly, and each page costs two system calls on its way through the log:
/// pages of 8 KiB took a tenth less processor time for each event. With 16 KiB it was a little less again, but every key
/// that is written at a random place then weighs twice as much in the log.
const PAGE_BYTES: u32 = 8_192;

/// The log is copied back into the database every so many pages: 8 MB, a few milliseconds of work. Longer logs give
/// higher rates and longer pauses.
const CHECKPOINT_PAGES: u32 = 1_000;

/// What a log that had to grow is cut back to.
const LOG_BYTES_KEPT: u64 = 64 * 1024 * 1024;

/// How long to wait for another connection of this process, which holds locks for moments only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two attempts to open the database after trouble. They are made when commands come in.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// After trouble, the database is looked over for at most so long: better a check in part than an outage of minutes.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);
const CHECK_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK: i32 = 10_000;

/// How the writer's connection is opened, the first time and after trouble.
#[derive(Debug, Clone)]
pub(crate) struct WriterSource {
    /// The database file.
    pub(crate) file: PathBuf,
    /// Memory for pages, in bytes.
    pub(crate) cache_bytes: usize,
    /// The schema to bring it to.
    pub(crate) migrations: &'static [Migration],
    /// The pause between two attempts to open it after trouble.
    pub(crate) reopen_pause: Duration,
    /// Trouble made by tests.
    #[cfg(test)]
    pub(crate) faults: crate::faults::Faults,
}

impl WriterSource {
    /// The database in `file` with the schema of `migrations`.
    pub(crate) fn new(file: &Path, cache_bytes: usize, migrations: &'static [Migration]) -> Self {
        WriterSource {
            file: file.to_owned(),
            cache_bytes,
            migrations,
            // Tests do not wait.
            reopen_pause: if cfg!(test) { Duration::ZERO } else { REOPEN_PAUSE },
            #[cfg(test)]
            faults: crate::faults::Faults::default(),
        }
    }

    /// Opens the connection that writes, and brings the schema up to date.
    pub(crate) fn open(&self) -> Result<Connection, OpenError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(OpenError::OldSqlite { found: rusqlite::version() });
        }
        let failed = |source| OpenError::Sqlite { file: self.file.clone(), source };
        let mut connection = self.connect().map_err(failed)?;
        migrate::migrate(&mut connection, self.migrations).map_err(|error| match error {
            MigrateError::Schema(mismatch) => OpenError::Schema(mismatch),
            MigrateError::Sqlite(source) => failed(source),
        })?;
        Ok(connection)
    }

    /// The same after trouble with the disk; the database is looked over as well.
    pub(crate) fn reopen(&self) -> Result<Connection, OpenError> {
        let failed = |source| OpenError::Sqlite { file: self.file.clone(), source };
        #[cfg(test)]
        if self.faults.is_reopening_broken() {
            return Err(failed(crate::faults::disk_error()));
        }
        let mut connection = self.open()?;
        match quick_check(&mut connection).map_err(failed)? {
            Check::Sound => tracing::info!("the database was opened anew and found sound"),
            Check::Unfinished => tracing::warn!("the database was opened anew; the part that was checked is sound"),
            Check::Damaged(finding) => return Err(OpenError::Damaged { file: self.file.clone(), finding }),
        }
        Ok(connection)
    }

    /// Ends a transaction durably.
    pub(crate) fn commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        #[cfg(test)]
        match self.faults.of_this_commit() {
            Some(crate::faults::CommitFault::NothingStored) => return Err(crate::faults::disk_error()),
            Some(crate::faults::CommitFault::AllStored) => {
                connection.execute_batch("COMMIT")?;
                return Err(crate::faults::disk_error());
            }
            None => {}
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        set_up(&connection, self.cache_bytes)?;
        // Has an effect on a database that is still empty only, and must come before the WAL.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT.cast_signed())?;
        // What is removed or erased shall not be found in the free parts of the file. It costs writes where large bodies go,
        // and that is retention, which has the time.
        connection.pragma_update(None, "secure_delete", "ON")?;
        // Held in the handlers; the look-ups would cost each insert.
        connection.pragma_update(None, "foreign_keys", "OFF")?;
        Ok(connection)
    }
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(file: &Path, cache_bytes: usize) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    set_up(&connection, cache_bytes)?;
    Ok(connection)
}

fn set_up(connection: &Connection, cache_bytes: usize) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative: in KiB instead of pages.
    let cache_kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -cache_kib)
}

enum Check {
    Sound,
    Unfinished,
    Damaged(String),
}

fn quick_check(connection: &mut Connection) -> rusqlite::Result<Check> {
    let end = Instant::now() + CHECK_TIME_MAX;
    connection.progress_handler(CHECK_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK, Some(move || Instant::now() > end))?;
    let finding: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match finding {
        Ok(finding) if finding == "ok" => Ok(Check::Sound),
        Ok(finding) => Ok(Check::Damaged(finding)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(Check::Unfinished),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::migrate::MIGRATIONS;

    fn fresh(folder: &Path) -> WriterSource {
        let file = folder.join("test.db");
        std::fs::write(&file, "").unwrap();
        WriterSource::new(&file, 1024 * 1024, MIGRATIONS)
    }

    #[test]
    fn the_settings_are_the_durable_ones() {
        let folder = tempfile::tempdir().unwrap();
        let connection = fresh(folder.path()).open().unwrap();
        let number =
            |pragma: &str| -> i64 { connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap() };
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(number("synchronous"), 2, "FULL");
        assert_eq!(number("wal_autocheckpoint"), i64::from(CHECKPOINT_PAGES));
        assert_eq!(number("page_size"), i64::from(PAGE_BYTES));
        assert_eq!(number("journal_size_limit"), LOG_BYTES_KEPT.cast_signed());
        assert_eq!(number("mmap_size"), 0);
        assert_eq!(number("secure_delete"), 1);
        assert_eq!(number("foreign_keys"), 0);
        assert_eq!(number("temp_store"), 2, "memory");
        assert_eq!(number("cache_size"), -1024);
    }

    #[test]
    fn a_damaged_database_is_not_opened_after_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let source = fresh(folder.path());
        let connection = source.open().unwrap();
        for _ in 0..500 {
            let row = "INSERT INTO outcomes VALUES (randomblob(16), randomblob(16), x'', x'', 'refused', 0)";
            connection.execute(row, []).unwrap();
        }
        drop(connection);
        drop(source.reopen().unwrap());

        let file = OpenOptions::new().write(true).open(&source.file).unwrap();
        let pages = file.metadata().unwrap().len() / u64::from(PAGE_BYTES);
        file.write_all_at(&[0x5a; 4_000], (pages - 2) * u64::from(PAGE_BYTES)).unwrap();
        let error = source.reopen().unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}
