//! What is told of a run: a table, JSON, a page.

pub(crate) mod definitions;
mod escape;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod markdown;
mod plot;
pub(crate) mod summary;
pub(crate) mod table;

use crate::machine::Machine;
use crate::run::measured::Measured;
use crate::run::repetition::Facts;
use crate::workload::Workload;
use summary::Row;

/// A run with everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the run is called.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) workload: Workload,
    /// What it was made on.
    pub(crate) machine: Machine,
    /// What the person who measured called it.
    pub(crate) label: Option<String>,
    /// When it began.
    pub(crate) date: String,
    /// What was measured.
    pub(crate) facts: Option<Facts>,
    /// Each repetition.
    pub(crate) repetitions: Vec<Measured>,
}

impl Report {
    /// One of a run that begins now.
    pub(crate) fn new(name: &str, workload: Workload, machine: Machine, label: Option<String>) -> Self {
        let date = crate::clock::date();
        Report { name: name.to_owned(), workload, machine, label, date, facts: None, repetitions: Vec::new() }
    }

    /// Adds a repetition.
    pub(crate) fn add(&mut self, facts: Facts, measured: Measured) {
        self.facts = Some(facts);
        self.repetitions.push(measured);
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.repetitions.is_empty()
    }

    /// Whether something that had been accepted was not delivered in any of the repetitions.
    pub(crate) fn has_lost(&self) -> bool {
        self.repetitions.iter().any(|measured| measured.totals.lost.is_some_and(|lost| lost > 0))
    }

    /// Its figures.
    pub(crate) fn rows(&self) -> Vec<Row> {
        summary::rows(&self.repetitions)
    }

    /// What stands above its figures: names and what they are, in words.
    pub(crate) fn header(&self) -> Vec<(&'static str, String)> {
        let mut header = vec![("run", self.name.clone()), ("date", self.date.clone())];
        header.extend(self.label.clone().map(|label| ("label", label)));
        header.push(("load", self.workload.words()));
        if let Some(facts) = &self.facts {
            header.push(("Kapsel", format!("{}, {}", facts.kapsel_version, facts.engine)));
            if !facts.settings.is_empty() {
                let settings: Vec<_> = facts.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
                header.push(("settings", settings.join(" ")));
            }
        }
        header.push(("machine", self.machine.words()));
        header
    }

    /// What a reader has to know before believing the figures.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (number, measured) in (1..).zip(&self.repetitions) {
            let errors = measured.answers.errors_in_words();
            if !errors.is_empty() {
                let first = measured.answers.first_refusal.as_deref().map(last_line);
                let first = first.map(|first| format!("; the first: {first}")).unwrap_or_default();
                warnings.push(format!("repetition {number}: {errors}{first}"));
            }
            if measured.totals.strangers > 0 {
                let strangers = measured.totals.strangers;
                warnings.push(format!("repetition {number}: {strangers} requests to the destination were no event"));
            }
            if measured.window.is_some() && measured.phases.cover.is_none() {
                warnings.push(format!("repetition {number}: the log did not cover every arrival in time"));
            }
            if measured.totals.lost.is_some_and(|lost| lost > 0) {
                warnings.push(format!("repetition {number}: accepted events did not arrive"));
            }
        }
        if self.machine.file_system == "tmpfs" {
            warnings.push("the data folder is in memory (tmpfs): nothing was flushed to a disk".to_owned());
        }
        warnings
    }
}

/// Of an answer, what stands in its body.
fn last_line(answer: &str) -> &str {
    answer.lines().next_back().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
