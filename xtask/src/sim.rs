//! The simulator: one run, many runs, or the deliberate bugs that it has to find.

pub(crate) mod mutants;

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

/// Builds the simulator with optimisation and hands it these words.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<(), Error> {
    let mut arguments = vec!["run", "--quiet", "--release", "--locked", "--package", "simulator", "--"];
    arguments.extend(words.iter().map(String::as_str));
    process::run(&mut process::cargo(workspace.root(), &arguments))
}
