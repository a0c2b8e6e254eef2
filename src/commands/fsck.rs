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
    let mut said = format!(
        "leaves in the tree   {entries}\n\
         tiles                {tiles}\n\
         published heads      {heads}, keys {keys}\n\
         leaves that wait     {pending}\n\
         attempts stored      {attempts}, {attempts_integrated} of them in the tree\n"
    );
    if attempts_before > 0 {
        said.push_str(&format!("older than the log   {attempts_before} attempts\n"));
    }
    if findings == 0 {
        said.push_str("Nothing is wrong.\n");
    }
    let _ = std::io::stdout().write_all(said.as_bytes());
    match findings {
        0 => Ok(()),
        1 => Err(Failure::runtime("fsck")("1 thing is wrong".into())),
        several => Err(Failure::runtime("fsck")(format!("{several} things are wrong").into())),
    }
}
