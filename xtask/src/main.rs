//! One command for all checks of this repository: `cargo xtask test`.
//!
//! **Is:** the list of checks and the order they run in; the layers check, the tidy rules, and the preparation of the
//! outside judges and of PostgreSQL. Each check is a pure function over text or over a graph, with tests that show it
//! failing.
//!
//! **Is not:** part of the product, and no replacement for cargo: whatever it starts can be typed by hand, and it says
//! what to type when a step fails.
//!
//! Read first: `command.rs` (what can be asked) and `steps.rs` (what runs).

mod command;
mod debian;
mod error;
mod judges;
mod layers;
mod openapi;
mod postgres;
mod process;
mod sim;
mod steps;
mod tidy;
mod workspace;

use std::process::ExitCode;

use command::{Command, USAGE};
use workspace::Workspace;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Command::parse(&words) {
        Ok(Command::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(command) => match Workspace::locate().and_then(|workspace| carry_out(&workspace, &command)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("\n{}", error::chain(&error));
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            eprint!("{message}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(workspace: &Workspace, command: &Command) -> Result<(), error::Error> {
    match command {
        Command::Help => Ok(()),
        Command::Run(list) => steps::run(workspace, list),
        Command::Sim(words) => sim::run(workspace, words),
        Command::OpenApi => openapi::run(workspace),
        Command::Mutants(word) => sim::mutants::run(workspace, word),
    }
}
