//! The key of the management API: from the configuration, or generated once into the data folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use kapsel_core::Entropy;
use secrecy::SecretString;

const FILE_NAME: &str = "operator-key";
const KEY_BYTES: usize = 32;

/// Where the operator key came from.
#[derive(Debug, Clone)]
pub(crate) enum OperatorKeyOrigin {
    /// The configuration.
    Configured,
    /// The data folder.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it was made at this start.
        created: bool,
    },
}

/// Reads the key of the data folder, or makes one.
///
/// # Errors
/// The file cannot be read or written, or holds no key.
pub(crate) fn load_or_create(folder: &Path, entropy: &dyn Entropy) -> io::Result<(SecretString, OperatorKeyOrigin)> {
    let path = folder.join(FILE_NAME);
    match File::open(&path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let key = text.trim();
            if key.is_empty() {
                let problem = format!("{} is empty; delete it to have a new key made", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            Ok((SecretString::from(key), OperatorKeyOrigin::File { path, created: false }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = create(folder, &path, entropy)?;
            Ok((key, OperatorKeyOrigin::File { path, created: true }))
        }
        Err(error) => Err(error),
    }
}

/// Writes a new key: to a file beside, flushed, then renamed, so that a crash leaves either no key or a whole one.
fn create(folder: &Path, path: &Path, entropy: &dyn Entropy) -> io::Result<SecretString> {
    let mut bytes = [0; KEY_BYTES];
    entropy.fill(&mut bytes);
    let key = format!("kapsel_{}", hex::encode(bytes));
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(key.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()?;
    Ok(SecretString::from(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use kapsel_core::SystemEntropy;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (first, origin) = load_or_create(folder.path(), &SystemEntropy).unwrap();
        let OperatorKeyOrigin::File { path, created: true } = origin else { panic!("{origin:?}") };
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(first.expose_secret().len() >= 64);

        let (second, origin) = load_or_create(folder.path(), &SystemEntropy).unwrap();
        assert!(matches!(origin, OperatorKeyOrigin::File { created: false, .. }));
        assert_eq!(first.expose_secret(), second.expose_secret());

        std::fs::write(&path, "\n").unwrap();
        let problem = load_or_create(folder.path(), &SystemEntropy).unwrap_err().to_string();
        assert!(problem.contains("operator-key is empty"), "{problem}");
    }
}
