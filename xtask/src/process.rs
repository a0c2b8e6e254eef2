//! Starting programs.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, io_error};

/// What cargo sets for a program that it runs and that a person's shell does not have. They are taken away again, so
/// that a build started from here has the same fingerprint as one typed by hand, and nothing is compiled twice.
const SET_BY_CARGO_RUN: &[&str] =
    &["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PRIMARY_PACKAGE"];

/// A program to be started in this folder.
pub(crate) fn in_folder(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || SET_BY_CARGO_RUN.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}

/// The cargo that started us, with these arguments.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = in_folder(cargo, root);
    command.args(arguments);
    command
}

/// Runs a program whose output the user sees; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(io_error(|| format!("start `{}`", line(command))))?;
    if status.success() { Ok(()) } else { Err(Error::Found(format!("`{}` ended with {status}", line(command)))) }
}

/// Runs a program and returns what it printed.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String, Error> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(io_error(|| format!("start `{}`", line(command))))?;
    if !output.status.success() {
        return Err(Error::Found(format!("`{}` ended with {}", line(command), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the program is there and ends well. Its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// The command as a person would type it, near enough to find it again.
fn line(command: &Command) -> String {
    // Cargo gives us its full path; its name is enough for a reader.
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
