//! The last signed head, kept in a second place beside the store.
//!
//! A database that is restored from a backup has forgotten what was signed after the backup was made, and with it that
//! others may hold those heads. Whoever signs looks here first.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

/// Remembers one signed head, outside of the store.
#[async_trait]
pub trait LastHead: Send + Sync {
    /// The head that was remembered last, as it was signed.
    ///
    /// # Errors
    /// It cannot be read.
    async fn last(&self) -> io::Result<Option<String>>;

    /// Remembers a head, durably, in place of the one before.
    ///
    /// # Errors
    /// It cannot be written; then the head must not be published.
    async fn remember(&self, checkpoint: &str) -> io::Result<()>;
}

/// A file in the data folder.
#[derive(Debug, Clone)]
pub struct LastHeadFile {
    path: PathBuf,
}

impl LastHeadFile {
    /// The head in this file. There need not be one yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        LastHeadFile { path: path.into() }
    }
}

#[async_trait]
impl LastHead for LastHeadFile {
    async fn last(&self) -> io::Result<Option<String>> {
        let path = self.path.clone();
        let read = move || match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        tokio::task::spawn_blocking(read).await?
    }

    async fn remember(&self, checkpoint: &str) -> io::Result<()> {
        let (path, text) = (self.path.clone(), checkpoint.to_owned());
        tokio::task::spawn_blocking(move || replace(&path, &text)).await?
    }
}

/// Puts `text` into the file as a whole: a crash leaves the former text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("the file has no folder"))?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_one_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = LastHeadFile::new(folder.path().join("last-head"));
        assert_eq!(file.last().await.unwrap(), None);
        for text in ["one\n", "a longer one\n", "two\n"] {
            file.remember(text).await.unwrap();
            assert_eq!(file.last().await.unwrap().as_deref(), Some(text));
        }
        let nowhere = LastHeadFile::new(folder.path().join("no/such/folder"));
        assert!(nowhere.remember("x").await.is_err());
        assert!(LastHeadFile::new(folder.path()).last().await.is_err(), "a folder is no file");
    }
}
