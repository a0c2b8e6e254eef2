//! `kapsel-bench figures`: the list of workloads, one after the other.

mod list;

use std::path::Path;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::report::{Report, html, json, markdown};
use crate::run::subject::Subject;
use crate::run::{self, Terms};
use list::{LIST, Named};

/// What of the list is done, and how.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Names, or nothing for all.
    pub(crate) only: Vec<String>,
    /// Shorter, for a first look.
    pub(crate) is_quick: bool,
    /// The rate that is to be sustained.
    pub(crate) end_to_end_per_second: f64,
    /// How often each is done.
    pub(crate) repeat: usize,
}

/// The list as a text for `--help`.
pub(crate) fn explanation() -> String {
    let mut text = String::from("The workloads:\n");
    for named in LIST {
        let workload = named.workload(5_000.0, false);
        text += &format!("\n  {}: {}\n      {}\n", named.name, named.what, workload.words());
    }
    text + "\nThe rates of end-to-end and soak follow --end-to-end-rate. What each figure means: kapsel-bench run --help.\n"
}

/// Does them, and writes a JSON and an HTML file of each and a summary of all into `folder`. Returns whether something was
/// lost.
pub(crate) async fn run(
    selection: &Selection,
    subject: &Subject,
    terms: &Terms,
    folder: &Path,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<bool, Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let mut reports: Vec<Report> = Vec::new();
    for named in selected(&selection.only)? {
        let workload = named.workload(selection.end_to_end_per_second, selection.is_quick);
        let report = run::run(named.name, &workload, selection.repeat, subject, terms, interrupt, progress).await?;
        write(folder, &format!("{}.json", named.name), &json::value(&report).to_string())?;
        write(folder, &format!("{}.html", named.name), &html::page(&report)?)?;
        reports.push(report);
        // After each, so that what was measured is there when a later one fails.
        write(folder, "figures.md", &markdown::text(&reports))?;
        if interrupt.is_raised() {
            return Err(Error::Interrupted);
        }
    }
    println!("{}", markdown::text(&reports));
    Ok(reports.iter().any(Report::has_lost))
}

fn selected(only: &[String]) -> Result<Vec<&'static Named>, Error> {
    if let Some(unknown) = only.iter().find(|name| LIST.iter().all(|named| named.name != **name)) {
        let names: Vec<_> = LIST.iter().map(|named| named.name).collect();
        return Err(Error::Usage(format!("there is no workload {unknown}; there are {}", names.join(", "))));
    }
    Ok(LIST.iter().filter(|named| only.is_empty() || only.iter().any(|name| name == named.name)).collect())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(Error::file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            selected(&only).map(|selected| selected.iter().map(|named| named.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), LIST.len());
        assert_eq!(names(&["soak", "ingest"]).unwrap(), ["ingest", "soak"]);
        assert!(names(&["nonsense"]).is_err());
        assert!(explanation().contains("endpoints-10000"));
    }
}
