//! The outside judges: libraries by others that check what Kapsel signs and verifies (`tests/judges/README.md`).
//!
//! They are installed under `target/judges` at pinned versions. A stamp file keeps the pins that were installed; while
//! they are the same, there is nothing to do.

mod tools;

use std::fs::{self, File};
use std::path::Path;

use crate::error::{Error, io_error};
use crate::process;
use crate::workspace::Workspace;

/// Part of the stamp. To be raised when the way of installing changes, so that old installations are replaced.
const RECIPE: &str = "recipe 1";
const REQUIREMENTS: &str = "tests/judges/requirements.txt";
const PACKAGE: &str = "tests/judges/package.json";

/// Makes sure that the judges are installed.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let root = workspace.root();
    let folder = root.join("target/judges");
    fs::create_dir_all(&folder).map_err(io_error(|| "create target/judges".to_owned()))?;
    // Two test runs in one tree must not install at the same time. The lock ends with the file handle.
    let lock = File::create(folder.join("lock")).map_err(io_error(|| "create target/judges/lock".to_owned()))?;
    lock.lock().map_err(io_error(|| "lock target/judges/lock".to_owned()))?;

    let wanted = stamp(&read(root, REQUIREMENTS)?, &read(root, PACKAGE)?);
    let stamp_path = folder.join("stamp");
    if is_current(&folder, &wanted) {
        println!("the pinned versions are installed under target/judges");
        return Ok(());
    }
    // A stamp beside a half-made installation would make the next run believe in it.
    if stamp_path.exists() {
        fs::remove_file(&stamp_path).map_err(io_error(|| "remove target/judges/stamp".to_owned()))?;
    }
    let python = tools::require(root)?;
    install_python(root, &folder, python)?;
    install_node(root, &folder)?;
    fs::write(&stamp_path, wanted).map_err(io_error(|| "write target/judges/stamp".to_owned()))
}

/// The pins themselves, not a hash of them: equality is all that is asked, and a person can read them.
fn stamp(requirements: &str, package: &str) -> String {
    format!("{RECIPE}\n--- {REQUIREMENTS}\n{requirements}\n--- {PACKAGE}\n{package}")
}

/// Whether what is installed was installed for these pins and still has its interpreter (which is a link that breaks
/// when the system's Python goes away).
fn is_current(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join("stamp")).is_ok_and(|stamp| stamp == wanted)
        && folder.join("venv/bin/python").exists()
        && folder.join("node_modules/standardwebhooks").exists()
}

fn install_python(root: &Path, folder: &Path, python: &str) -> Result<(), Error> {
    let venv = folder.join("venv");
    println!("installing {REQUIREMENTS} into target/judges/venv");
    process::run(process::in_folder(python, root).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = process::in_folder(venv.join("bin/python"), root);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r", REQUIREMENTS]);
    process::run(&mut pip)
}

fn install_node(root: &Path, folder: &Path) -> Result<(), Error> {
    println!("installing {PACKAGE} into target/judges/node_modules");
    // npm installs beside the package file that it reads, and that place must not be the source tree.
    fs::copy(root.join(PACKAGE), folder.join("package.json"))
        .map_err(io_error(|| format!("copy {PACKAGE} to target/judges")))?;
    let modules = folder.join("node_modules");
    if modules.exists() {
        fs::remove_dir_all(&modules).map_err(io_error(|| "remove target/judges/node_modules".to_owned()))?;
    }
    let mut npm = process::in_folder("npm", folder);
    npm.args(["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(&mut npm)
}

fn read(root: &Path, path: &str) -> Result<String, Error> {
    fs::read_to_string(root.join(path)).map_err(io_error(|| format!("read {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pin_is_another_stamp() {
        let now = stamp("stripe==16.1.0\n", "{}");
        assert_ne!(now, stamp("stripe==16.1.1\n", "{}"));
        assert_ne!(now, stamp("stripe==16.1.0\n", "{ }"));
        assert_eq!(now, stamp("stripe==16.1.0\n", "{}"));
    }

    #[test]
    fn an_empty_folder_is_not_current() {
        assert!(!is_current(Path::new("no/such/folder"), &stamp("", "")));
    }
}
