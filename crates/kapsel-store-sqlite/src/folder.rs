//! The data folder: made on first use, for the owner's eyes only, and held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::open_error::OpenError;

const LOCK_FILE: &str = "kapsel.lock";

/// A data folder that this process holds. The lock ends with the value, and with the process however it dies.
#[derive(Debug)]
pub(crate) struct DataFolder {
    database: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Makes the folder and the database file `database` in it if they are not there, and takes the folder's lock.
    ///
    /// # Errors
    /// [`OpenError::FolderInUse`] if another store has it open, here or in another process; [`OpenError::Folder`] if it
    /// cannot be made or written.
    pub(crate) fn take(folder: &Path, database: &str) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = private_file(&folder.join(LOCK_FILE)).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::FolderInUse { folder: folder.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let database = folder.join(database);
        // SQLite would make the file readable for everybody; the write-ahead log takes its mode from it.
        private_file(&database).map_err(failed)?;
        // The names of the new files are durable only once the folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(DataFolder { database, lock })
    }

    /// The database file.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing the file is not enough at once: a child process that is just being started shares it for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the data folder could not be unlocked");
        }
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
