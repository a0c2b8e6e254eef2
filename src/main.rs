//! Kapsel: accepts webhooks, stores each durably before it answers, delivers it at least once.
//!
//! This file parses the command line and runs one command. The parts are put together in `wire.rs`.

mod commands;
mod config;
mod descriptors;
mod identity;
mod keys;
mod secret_file;
mod telemetry;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Malloc of glibc takes in a few percent fewer webhooks under load, and musl's is slow with several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Self-hosted webhook reliability service.
#[derive(Debug, Parser)]
#[command(name = "kapsel", version, about, long_about = None, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: config::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accept and deliver webhooks (the default command).
    Serve(config::Args),
    /// Receive webhooks, print them and check their signatures; can play a bad destination.
    Listen(commands::listen::Args),
    /// Show the whole way of real signed webhooks, with a destination that fails at first.
    Demo(commands::demo::Args),
    /// Bring the schema of the store up to date and end; `serve` does the same when it starts.
    Migrate(config::Args),
    /// Compute the whole log of attempts anew and say what is wrong where; exit code 1 if anything is.
    Fsck(config::Args),
    /// Show the keys that sign the log of attempts, or put a new one in the place of the present one.
    Keys(commands::keys::Args),
    /// Check the configuration and print what would be in force, secrets hidden.
    CheckConfig(config::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => commands::serve::run(&args),
        Command::Listen(args) => commands::listen::run(&args),
        Command::Demo(args) => commands::demo::run(&args),
        Command::Migrate(args) => commands::migrate::run(&args),
        Command::Fsck(args) => commands::fsck::run(&args),
        Command::Keys(args) => commands::keys::run(&args),
        Command::CheckConfig(args) => commands::check_config::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kapsel: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
