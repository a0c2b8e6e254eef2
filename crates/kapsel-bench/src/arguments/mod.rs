//! The command line.

mod duration;
mod run;
mod subject;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::figures;
use crate::report::definitions;
pub(crate) use run::RunArguments;
pub(crate) use subject::SubjectArguments;

/// Measures a Kapsel from outside.
#[derive(Debug, Parser)]
#[command(name = "kapsel-bench", version, about, long_about = LONG_ABOUT)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG_ABOUT: &str = "Measures a Kapsel from outside: how much it accepts, how fast it answers and delivers, what that \
costs, and that nothing is lost.\n\n\
The tool is source and destination at once. It numbers each event, so it knows of each when it was to be sent, when it was \
accepted and when it arrived. Kapsel is a process of its own, known by its API alone. Before each measurement the bare \
machine is measured in the same way: figures of Kapsel stand beside what this machine could do at all.\n\n\
Everything is on this machine: it is a tool for one's own servers. Source, destination and Kapsel share its processors, and \
their processor time is told apart.";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One workload, repeated, with a table, and JSON and a page if wanted.
    #[command(after_long_help = definitions::explanation())]
    Run(Box<RunArguments>),
    /// The list of workloads that describe a Kapsel, with a summary.
    #[command(after_long_help = figures::explanation())]
    Figures(Box<FiguresArguments>),
    /// The server that Kapsel is compared with: checks signatures, stores nothing.
    #[command(hide = true)]
    BareServer,
    /// Runs a program that ends with this tool.
    #[command(hide = true)]
    Guarded(GuardedArguments),
}

/// Which workloads, and where their figures go.
#[derive(Debug, Args)]
pub(crate) struct FiguresArguments {
    #[command(flatten)]
    pub(crate) subject: SubjectArguments,
    /// Folder for a JSON file and a page of each workload, and figures.md
    #[arg(long, value_name = "FOLDER", default_value = "kapsel-figures")]
    pub(crate) out: PathBuf,
    /// Shorter windows and a hundredth of the events before, for a first look
    #[arg(long)]
    pub(crate) quick: bool,
    /// Names of workloads, by commas; without it, all
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Events in a second of the workload end-to-end; soak has half of it
    #[arg(long, value_name = "RATE", default_value_t = 5_000.0, value_parser = run::rate)]
    pub(crate) end_to_end_rate: f64,
    /// How often each workload is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = run::positive)]
    pub(crate) repeat: usize,
}

/// A program and what it is started with.
#[derive(Debug, Args)]
pub(crate) struct GuardedArguments {
    #[arg(long)]
    pub(crate) parent: u32,
    #[arg(last = true, required = true)]
    pub(crate) program: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
