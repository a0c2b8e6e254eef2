//! Where the repository is, and which files belong to it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, io_error};
use crate::process;

/// The checked-out repository.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace whose xtask this is, as cargo tells it at run time. The path that was true at compile time would be
    /// wrong after the folder moved.
    pub(crate) fn locate() -> Result<Workspace, Error> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        match package.as_deref().and_then(Path::parent) {
            Some(root) => Ok(Workspace { root: root.to_owned() }),
            None => Err(Error::Found("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask`".to_owned())),
        }
    }

    /// The folder that holds the root `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The files that a commit of everything would hold: tracked, or new and not ignored. Paths are relative to the
    /// root, with `/`, in byte order.
    pub(crate) fn files(&self) -> Result<Vec<String>, Error> {
        let mut git = process::in_folder("git", &self.root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = process::stdout_of(&mut git)?;
        // A file deleted but not yet committed is still in the index.
        let mut paths: Vec<String> =
            listed.split('\0').filter(|path| self.root.join(path).is_file()).map(str::to_owned).collect();
        paths.sort_unstable();
        paths.dedup(); // in the middle of a merge, the index has a file more than once
        Ok(paths)
    }

    /// The text of a file, or `None` when it is not UTF-8 (and so nothing that a text rule could judge).
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let bytes = fs::read(self.root.join(path)).map_err(io_error(|| format!("read {path}")))?;
        Ok(String::from_utf8(bytes).ok())
    }
}
