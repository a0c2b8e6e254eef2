//! Keys of the log in files of the data folder, one each, readable by their owner alone.
//!
//! Every file with a key in it takes part. A key that the log does not know yet takes the place of the one that signed
//! before: that is all there is to a rotation.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use kapsel_core::Entropy;
use secrecy::ExposeSecret as _;

use crate::secret_key::SecretKey;
use crate::signer::{KeyRing, LogSigner, SignError};

const EXTENSION: &str = "key";

/// A folder of keys. There need not be one yet.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// The keys of this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        KeyFolder { path: path.into() }
    }

    /// All keys in it, by the name of their files.
    ///
    /// # Errors
    /// [`SignError`]; one file that holds no key makes it fail, because it may have held the one that signs.
    pub fn keys(&self) -> Result<Vec<SecretKey>, SignError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SignError::File { path, source }
        };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.path)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&self.path))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(path);
            }
        }
        files.sort();
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).map_err(failed(&path))?;
            SecretKey::parse(&text, &path.display().to_string())
        };
        files.into_iter().map(read).collect()
    }

    /// Makes a key for the log `name` and puts it into the folder: to a file beside, flushed, then renamed, so that a crash
    /// leaves either no key or a whole one.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn create(&self, name: &str, entropy: &dyn Entropy) -> Result<SecretKey, SignError> {
        let key = SecretKey::generate(name, entropy)?;
        let path = self.path.join(format!("{}.{EXTENSION}", key.verifier_key().id()));
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
            let beside = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(key.to_text().expose_secret().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            fs::File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| SignError::File { path: path.clone(), source })?;
        Ok(key)
    }
}

#[async_trait]
impl KeyRing for KeyFolder {
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError> {
        let folder = self.clone();
        let read = move || folder.keys()?.iter().map(SecretKey::signer).collect();
        let failed = |error: tokio::task::JoinError| SignError::File { path: self.path.clone(), source: error.into() };
        tokio::task::spawn_blocking(read).await.map_err(failed)?
    }
}

/// Keys that were configured; what a test or a setting gives.
#[async_trait]
impl KeyRing for Vec<SecretKey> {
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError> {
        self.iter().map(SecretKey::signer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use test_harness::SeededEntropy;

    use super::*;

    #[tokio::test]
    async fn keys_are_files_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("log-keys"));
        assert!(keys.keys().unwrap().is_empty(), "there is no folder yet");
        let entropy = SeededEntropy::new(3);
        let mut made =
            vec![keys.create("log.example", &entropy).unwrap(), keys.create("log.example", &entropy).unwrap()];
        made.sort_by_key(|key| key.verifier_key().id());
        let text = |keys: &[SecretKey]| keys.iter().map(|key| key.verifier_key().to_string()).collect::<Vec<_>>();
        assert_eq!(text(&keys.keys().unwrap()), text(&made));
        for entry in fs::read_dir(folder.path().join("log-keys")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mode = fs::metadata(folder.path().join("log-keys")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(keys.signers().await.unwrap().len(), 2);
        fs::write(folder.path().join("log-keys/damaged.key"), "PRIVATE+KEY+x").unwrap();
        let error = keys.keys().unwrap_err().to_string();
        assert!(error.contains("damaged.key"), "{error}");
    }
}
