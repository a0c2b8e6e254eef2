//! `kapsel check-config`: the effective configuration, with secrets hidden.

use crate::commands::Failure;
use crate::config::{Args, Config};

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    print!("{}", config.report());
    Ok(())
}
