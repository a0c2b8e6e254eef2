//! `kapsel migrate`: brings the schema of the store up to date.

use crate::commands::serve::start_log;
use crate::commands::{Failure, runtime};
use crate::config::{Args, Config};
use crate::wire;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    start_log(&config.log);
    runtime()?.block_on(wire::migrate(&config))?;
    println!("the schema is up to date");
    Ok(())
}
