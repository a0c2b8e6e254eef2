//! `kapsel check-config`: the effective configuration, with secrets hidden.

use crate::commands::Failure;
use crate::config::{Args, Config};
use crate::wire;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    wire::check(&config)?;
    print!("{}", config.report());
    Ok(())
}
