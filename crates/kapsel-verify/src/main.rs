//! Checks a proof of delivery offline: `kapsel-verify --proof proof.json --public-key KEY`.
//!
//! Exit codes: 0 when everything that was claimed is proven, 1 when it is not, 2 when the input cannot be used.

mod arguments;
mod input;
mod instant;
mod json;
mod text;
mod verdict;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use input::{Input, InputError};
use verdict::Verdict;

const PROVEN: u8 = 0;
const NOT_PROVEN: u8 = 1;
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_json = arguments.is_json();
    let (code, output) = match judge(&arguments) {
        Ok(verdict) => {
            let code = if verdict.is_proven() { PROVEN } else { NOT_PROVEN };
            (code, if is_json { json::of_verdict(&verdict) } else { text::of_verdict(&verdict) })
        }
        Err(error) => {
            text::complain(&error);
            (UNUSABLE, if is_json { json::of_error(&error) } else { String::new() })
        }
    };
    match print(&output) {
        // Whoever reads the output has seen enough; what was found out stays true.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            text::complain(&error);
            ExitCode::from(UNUSABLE)
        }
        _ => ExitCode::from(code),
    }
}

fn judge(arguments: &Arguments) -> Result<Verdict, InputError> {
    let mut input = Input::default();
    match &arguments.command {
        Some(Command::Consistency(consistency)) => {
            let verifier = input.verifier(&consistency.trust)?;
            let (old, new) = (input.head(&consistency.old)?, input.head(&consistency.new)?);
            let proof = input.consistency_proof(&consistency.proof)?;
            Ok(Verdict::of_heads(&verifier, &old, &new, &proof))
        }
        None => {
            let verifier = input.verifier(&arguments.trust)?;
            let path = arguments.proof.as_deref().ok_or(InputError::NoProof)?;
            let proof = input.attempt_proof(path, arguments.leaf.as_deref())?;
            Ok(Verdict::of_attempt(&verifier, &proof))
        }
    }
}

fn print(output: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(output.as_bytes())?;
    stdout.flush()
}
