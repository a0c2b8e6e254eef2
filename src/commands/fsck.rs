//! `kapsel fsck`: computes the whole log of attempts anew and says what is wrong where.

use std::io::Write as _;

use kapsel_attestation::fsck::{Finding, Summary};

use crate::commands::serve::start_log;
use crate::commands::{Failure, runtime};
use crate::config::{Args, Config};
use crate::wire;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    start_log(&config.log);
    let mut print = |finding: Finding| {
        // Whoever closed the pipe has seen enough; the exit code still says it.
        let _ = writeln!(std::io::stdout(), "{finding}");
    };
    let Some(summary) = runtime()?.block_on(wire::fsck(&config, &mut print))? else {
        println!("there is no log in this store yet");
        return Ok(());
    };
    let Summary { entries, tiles, keys, heads, pending, attempts, attempts_integrated, attempts_before, findings } =
        summary;
    println!("leaves in the tree   {entries}");
    println!("tiles                {tiles}");
    println!("published heads      {heads}, keys {keys}");
    println!("leaves that wait     {pending}");
    println!("attempts stored      {attempts}, {attempts_integrated} of them in the tree");
    if attempts_before > 0 {
        println!("older than the log   {attempts_before} attempts");
    }
    match findings {
        0 => {
            println!("Nothing is wrong.");
            Ok(())
        }
        1 => Err(Failure::runtime("fsck")("1 thing is wrong".into())),
        several => Err(Failure::runtime("fsck")(format!("{several} things are wrong").into())),
    }
}
