//! **Is:** a tool that measures a Kapsel from outside: how much it accepts, how fast it answers and delivers, what that
//! costs, and that nothing is lost.
//!
//! **Is not:** part of Kapsel, or anything that knows how it works. It knows the path of a program and an HTTP API.
//!
//! ```sh
//! cargo build --release -p kapsel -p kapsel-bench
//! target/release/kapsel-bench run --connections 256 --repeat 3 --html run.html --json run.json
//! target/release/kapsel-bench run --rate 1000 --duration 20s --database-url postgres://postgres@127.0.0.1/postgres
//! target/release/kapsel-bench figures --quick --out figures
//! ```
//!
//! # How it is measured
//!
//! One process is source (`load`) and destination (`destination`), each on a thread of its own. Every event has a number,
//! which travels in a header that Kapsel passes on. A `ledger` in memory has a row for each: when it was to be sent, when it
//! was answered with 200, when its last byte came to the destination. Everything that is told afterwards is computed from
//! the ledger (`run/evidence.rs`): rates, latencies, the backlog, what was lost and what came twice. So no figure is a
//! sample, and "nothing lost" means that each single event was found again.
//!
//! A repetition goes through these phases (`run/phases.rs`):
//!
//! 1. The bare machine (`bare`): the same load against a server that checks signatures and stores nothing, and straight to
//!    the destination. Figures of Kapsel are told as ratios to it too.
//! 2. A fresh Kapsel is started in a data folder, or a database, of its own, and endpoints are made in it.
//! 3. If wanted, a number of events goes through it before.
//! 4. Warm-up, then the window, under one and the same load.
//! 5. The drain: everything that was accepted has to arrive. What does not is lost, and the exit code is 1.
//! 6. The log: a published head has to cover every arrival.
//!
//! Latencies count from the *intended* start of a request. With `--rate`, that is its place in a schedule which does not
//! wait for anybody, so a server that pauses is seen to pause. Processor time is read from the kernel for each process and
//! thread, so the tool's own share is told and not mixed into Kapsel's. How each single figure is taken stands in
//! `report/definitions.rs`, in `kapsel-bench run --help` and in the page that `--html` writes.
//!
//! What it cannot see: which leaf belongs to which event (`analysis/covered.rs` says what is done instead), and what the
//! kernel does for others, such as the network work that it adds to whoever sends.
//!
//! Exit codes: 0, everything was delivered; 1, something that had been accepted was not; 2, it could not be measured; 130,
//! interrupted.

#![warn(missing_docs)]

mod analysis;
mod arguments;
mod bare;
mod chance;
mod clock;
mod descriptors;
mod destination;
mod error;
mod figures;
mod http;
mod interrupt;
mod kapsel;
mod ledger;
mod load;
mod machine;
mod postgres;
mod proc;
mod progress;
mod report;
mod rounding;
mod run;
mod thread;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command, FiguresArguments, RunArguments};
use error::{EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOST, EXIT_OK, Error};
use interrupt::Interrupt;
use progress::Progress;
use report::{html, json, table};

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => on_runtime(run(&arguments)),
        Command::Figures(arguments) => on_runtime(figures(&arguments)),
        Command::BareServer => bare::server::run().map(|()| EXIT_OK),
        Command::Guarded(arguments) => Err(match arguments.program.split_first() {
            Some((program, rest)) => kapsel::guard::become_program(arguments.parent, program, rest),
            None => Error::Usage("no program is named".to_owned()),
        }),
    };
    let code = done.unwrap_or_else(|error| {
        eprintln!("kapsel-bench: {error}");
        if matches!(error, Error::Interrupted) { EXIT_INTERRUPTED } else { EXIT_FAILED }
    });
    ExitCode::from(code)
}

/// One thread does everything that is neither source nor destination. It has to be the one that lives as long as the
/// process: children end when the thread ends that started them.
fn on_runtime(work: impl Future<Output = Result<u8, Error>>) -> Result<u8, Error> {
    descriptors::make_room();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("starting"))?.block_on(work)
}

async fn run(arguments: &RunArguments) -> Result<u8, Error> {
    let (subject, terms) = (arguments.subject.subject()?, arguments.subject.terms()?);
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    let report =
        run::run("run", &arguments.workload(), arguments.repeat, &subject, &terms, &interrupt, &progress).await;
    progress.end();
    let report = report?;
    println!("{}", table::text(&report));
    if let Some(path) = &arguments.json {
        write(path, &format!("{:#}\n", json::value(&report)))?;
    }
    if let Some(path) = &arguments.html {
        write(path, &html::page(&report)?)?;
    }
    Ok(match () {
        () if report.has_lost() => EXIT_LOST,
        () if interrupt.is_raised() => EXIT_INTERRUPTED,
        () => EXIT_OK,
    })
}

async fn figures(arguments: &FiguresArguments) -> Result<u8, Error> {
    let (subject, terms) = (arguments.subject.subject()?, arguments.subject.terms()?);
    let selection = figures::Selection {
        only: arguments.only.clone(),
        is_quick: arguments.quick,
        end_to_end_per_second: arguments.end_to_end_rate,
        repeat: arguments.repeat,
    };
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    let has_lost = figures::run(&selection, &subject, &terms, &arguments.out, &interrupt, &progress).await;
    progress.end();
    Ok(if has_lost? { EXIT_LOST } else { EXIT_OK })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file(path))
}
