//! A secret that is made once and kept in the data folder, for its owner alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

/// A secret and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct KeptSecret {
    /// The secret.
    pub(crate) secret: SecretString,
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
}

/// Reads the secret in the file `name` of `folder`, or has one made. Both are made where there is none; of several
/// processes that do so at once, all get the secret of the first.
///
/// # Errors
/// The file cannot be read or written, or holds nothing.
pub(crate) fn load_or_create(folder: &Path, name: &str, make: impl FnOnce() -> SecretString) -> io::Result<KeptSecret> {
    let path = folder.join(name);
    if let Some(secret) = read(&path)? {
        return Ok(KeptSecret { secret, path, is_new: false });
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let made = make();
    let is_new = create(folder, &path, &made)?;
    let secret = if is_new { Some(made) } else { read(&path)? };
    let secret = secret.ok_or_else(|| io::Error::other(format!("{} was removed just now", path.display())))?;
    Ok(KeptSecret { secret, path, is_new })
}

fn read(path: &Path) -> io::Result<Option<SecretString>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let secret = text.trim();
    if secret.is_empty() {
        let problem = format!("{} is empty; delete it to have a new key made", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(Some(SecretString::from(secret)))
}

/// Writes the secret to a file beside, flushed, and gives it its name, unless another process was faster. A crash leaves
/// either no secret or a whole one.
fn create(folder: &Path, path: &Path, secret: &SecretString) -> io::Result<bool> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // Unlike a renaming, this never puts one file in the place of another.
    let is_new = match std::fs::hard_link(&beside, path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    std::fs::remove_file(&beside)?;
    File::open(folder)?.sync_all()?;
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_the_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let first = load_or_create(&folder, "a-key", || "one".into()).unwrap();
        assert!(first.is_new);
        assert_eq!(std::fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

        let second = load_or_create(&folder, "a-key", || "two".into()).unwrap();
        assert_eq!((second.is_new, second.secret.expose_secret()), (false, "one"));
        // Nor does somebody who looked before the first was there take its place.
        assert!(!create(&folder, &first.path, &"two".into()).unwrap());
        assert_eq!(std::fs::read_to_string(&first.path).unwrap(), "one\n");
        assert_eq!(folder.read_dir().unwrap().count(), 1, "nothing is left beside");

        std::fs::write(&first.path, "\n").unwrap();
        let problem = load_or_create(&folder, "a-key", || "two".into()).unwrap_err().to_string();
        assert!(problem.contains("a-key is empty"), "{problem}");
    }
}
