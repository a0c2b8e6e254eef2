//! Programs that end with the tool, however it ends.
//!
//! The kernel sends a process a signal when its parent dies, if the process has asked for it. A program that is to be
//! measured does not ask. So the tool starts itself under another command, asks, and becomes that program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

use crate::error::Error;

/// The hidden command of this tool.
pub(crate) const COMMAND: &str = "guarded";

/// A command that runs `program` as a child that does not outlive this process. It has none of this process's environment
/// but what programs need to be found.
pub(crate) fn guarded(program: &Path) -> Result<Command, Error> {
    let own = std::env::current_exe().map_err(Error::io("finding the own program"))?;
    let mut command = Command::new(own);
    command.arg(COMMAND).arg("--parent").arg(std::process::id().to_string()).arg("--").arg(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command.kill_on_drop(true);
    Ok(command)
}

/// Becomes the program. Returns only if it cannot.
pub(crate) fn become_program(parent: u32, program: &OsString, arguments: &[OsString]) -> Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::io("asking to end with the parent")(error.into());
    }
    // It may have died before it could be asked for.
    let is_alive = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()) == Some(parent);
    if !is_alive {
        return Error::Program("the tool that started this has ended".to_owned());
    }
    let error = std::process::Command::new(program).args(arguments).exec();
    Error::io(format!("starting {}", Path::new(program).display()))(error)
}
