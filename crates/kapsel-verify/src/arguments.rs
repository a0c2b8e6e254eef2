//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kapsel_verification::PublicKey;

/// Checks a proof of delivery offline, with nothing but the keys that you trust.
///
/// Exit codes: 0 when everything that was claimed is proven, 1 when it is not, 2 when the input cannot be used.
#[derive(Debug, Parser)]
#[command(name = "kapsel-verify", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The proof: a package in JSON, or a .tlog-proof; - for the standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) proof: Option<PathBuf>,

    /// The bytes of the leaf, for a .tlog-proof that does not hold them itself; - for the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) leaf: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// What else can be checked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks that a log continued an older state of itself, without a change to what was in it
    Consistency(Consistency),
}

/// Two heads and the path between them.
#[derive(Debug, Args)]
pub(crate) struct Consistency {
    /// The older head: in JSON, or the signed checkpoint itself; - for the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) old: PathBuf,

    /// The newer head, in one of the same forms
    #[arg(long, value_name = "FILE")]
    pub(crate) new: PathBuf,

    /// The consistency proof in JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: PathBuf,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Whom to believe, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// A key that is trusted: 64 hexadecimal digits, or a vkey of C2SP (name+id+base64). May be given several times
    #[arg(long = "public-key", value_name = "KEY", required_unless_present = "policy")]
    pub(crate) public_keys: Vec<PublicKey>,

    /// A policy file (C2SP tlog-policy): which logs are trusted, and which witnesses have to have cosigned
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    /// Whether the answer is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        match &self.command {
            Some(Command::Consistency(consistency)) => consistency.trust.json,
            None => self.trust.json,
        }
    }
}
