//! Who this instance is, among those that share a database.
//!
//! The name is kept in the data folder, so that an instance that starts again after a crash knows its own leases and can
//! go on at once. A lock on the folder keeps a second process from taking the same name.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use kapsel_core::{Entropy, IdGenerator, InstanceId, Timestamp};

const FILE_NAME: &str = "instance-id";
const LOCK_NAME: &str = "instance.lock";

/// The name of this instance, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Identity {
    id: InstanceId,
    _lock: File,
}

impl Identity {
    /// The name that `folder` keeps, or a new one. The folder is made if there is none.
    ///
    /// # Errors
    /// The folder cannot be used, another process has it, or the file holds no name.
    pub(crate) fn take(folder: &Path, entropy: Arc<dyn Entropy>, now: Timestamp) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(LOCK_NAME))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::other("in use by another Kapsel process; give this one a folder of its own")
            }
            TryLockError::Error(error) => error,
        })?;
        let id = match read(&folder.join(FILE_NAME))? {
            Some(id) => id,
            None => create(folder, IdGenerator::new(entropy).next(now))?,
        };
        Ok(Identity { id, _lock: lock })
    }

    /// The name.
    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }
}

fn read(path: &Path) -> io::Result<Option<InstanceId>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let problem = |_| {
        let problem = format!("{} holds no instance id; delete it to have a new one made", path.display());
        io::Error::new(io::ErrorKind::InvalidData, problem)
    };
    text.trim().parse().map(Some).map_err(problem)
}

/// Written to a file beside, flushed, then renamed: a crash leaves either no name or a whole one.
fn create(folder: &Path, id: InstanceId) -> io::Result<InstanceId> {
    let path = folder.join(FILE_NAME);
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    std::fs::rename(&beside, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use kapsel_core::SystemEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

    fn take(folder: &Path) -> io::Result<Identity> {
        Identity::take(folder, Arc::new(SystemEntropy), NOW)
    }

    #[test]
    fn an_instance_keeps_its_name_and_nobody_else_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        assert!(take(folder.path()).unwrap_err().to_string().contains("in use"));
        let id = first.id();
        drop(first);
        assert_eq!(take(folder.path()).unwrap().id(), id);

        let other = tempfile::tempdir().unwrap();
        assert_ne!(take(other.path()).unwrap().id(), id);
        std::fs::write(other.path().join(FILE_NAME), "nonsense").unwrap();
        assert!(take(other.path()).unwrap_err().to_string().contains("holds no instance id"));
    }
}
