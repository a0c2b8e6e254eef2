//! `kapsel keys`: the keys that sign the log of attempts.
//!
//! Both commands work on the key folder alone, beside a running server: it looks there before it signs. A new key in the
//! folder takes the place of the present one, which signs beside it for a week.

use std::io::Write as _;

use kapsel_attestation::KeyFolder;
use kapsel_core::SystemEntropy;

use crate::commands::Failure;
use crate::config::{self, Config, ConfigError};

/// Show the keys that sign the log, or put a new one in the place of the present one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the public keys of the key folder, one a line.
    List(config::Args),
    /// Make a new key and print its public half. A running server signs the next head with it; old proofs stay valid.
    Rotate(config::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list(&folder(args)?),
        Command::Rotate(args) => rotate(&folder(args)?),
    }
}

fn folder(args: &config::Args) -> Result<KeyFolder, Failure> {
    let config = Config::load(args)?.attestation;
    if config.keys.is_some() {
        // Whoever keeps keys elsewhere makes them there.
        return Err(Failure::Config(ConfigError::Secret {
            setting: config::ATTESTATION_KEY,
            problem: "is set, so the keys are not in a folder; put the new key in front of the present one there"
                .to_owned(),
        }));
    }
    Ok(KeyFolder::new(config.key_folder))
}

fn list(folder: &KeyFolder) -> Result<(), Failure> {
    let keys = folder.keys().map_err(|error| Failure::runtime("reading the keys of the log")(error.into()))?;
    for key in keys {
        // Whoever closed the pipe has seen enough.
        if writeln!(std::io::stdout(), "{}", key.verifier_key()).is_err() {
            break;
        }
    }
    Ok(())
}

fn rotate(folder: &KeyFolder) -> Result<(), Failure> {
    let failed = |error: kapsel_attestation::SignError| Failure::runtime("making a key")(error.into());
    let keys = folder.keys().map_err(failed)?;
    let Some(present) = keys.first() else {
        let problem = "there is none yet in the key folder; the first one is made when the server starts";
        return Err(Failure::runtime("making a key")(problem.into()));
    };
    let key = folder.create(present.verifier_key().name(), &SystemEntropy).map_err(failed)?;
    // The key is made, whether anybody reads its name or not.
    let _ = writeln!(std::io::stdout(), "{}", key.verifier_key());
    Ok(())
}
