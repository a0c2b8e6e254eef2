//! A run: the same workload again and again, each time on a fresh Kapsel, right after a look at what the bare machine does.
//!
//! `repetition.rs` has the phases of one repetition in order; `usage.rs` what is read at their borders; `measured.rs` what
//! comes out.

mod evidence;
pub(crate) mod measured;
mod phases;
pub(crate) mod repetition;
mod samples;
pub(crate) mod subject;
mod usage;
mod wait;

use std::time::Duration;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::Report;
use crate::workload::Workload;
use subject::Subject;

/// Limits and labels that are the same for all workloads.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// How long after the load everything may take to be delivered and covered.
    pub(crate) drain_limit: Duration,
    /// How long one repetition may take.
    pub(crate) overall_limit: Duration,
    /// How long an answer may take.
    pub(crate) request_timeout: Duration,
    /// What the person who measures calls this, such as a commit.
    pub(crate) label: Option<String>,
}

/// Makes a run. What was measured before an interruption is kept; if nothing was, that is an error.
pub(crate) async fn run(
    name: &str,
    workload: &Workload,
    repeat: usize,
    subject: &Subject,
    terms: &Terms,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Report, Error> {
    let mut report = Report::new(name, *workload, Machine::look(subject.data_folder()), terms.label.clone());
    for number in 1..=repeat {
        let measured = repetition::repeat(workload, subject, terms, interrupt, progress).await;
        match measured {
            Ok((facts, measured)) => {
                progress.line(&format!("{name}, {number} of {repeat}: {}", measured.words()));
                report.add(facts, measured);
            }
            Err(Error::Interrupted) if !report.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}
