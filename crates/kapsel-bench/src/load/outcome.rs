//! What became of the requests of a load, counted by kind.

use std::collections::BTreeMap;

use serde::Serialize;

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended while the answer was awaited.
    Reset,
    /// The answer did not come in time.
    Timeout,
    /// What came was no answer that can be understood.
    Malformed,
}

impl Failure {
    fn words(self) -> &'static str {
        match self {
            Failure::Connect => "no connection",
            Failure::Reset => "connection ended",
            Failure::Timeout => "no answer in time",
            Failure::Malformed => "answer not understood",
        }
    }
}

/// The counts of one load.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    /// Answers, by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Intended requests of an open loop for which no connection became free before the end.
    pub(crate) unsent: u64,
    /// The first answer that was not 200, for a person to read.
    pub(crate) first_refusal: Option<String>,
}

impl Counts {
    /// Notes an answer; `text` gives its bytes if it is the first refusal.
    pub(super) fn answer(&mut self, status: u16, text: impl FnOnce() -> String) {
        *self.statuses.entry(status).or_default() += 1;
        if status != 200 && self.first_refusal.is_none() {
            self.first_refusal = Some(text());
        }
    }

    /// Notes a request without an answer.
    pub(super) fn failure(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Everything that was not answered with 200.
    pub(crate) fn error_count(&self) -> u64 {
        let refused = self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count);
        refused.chain(self.failures.values()).sum()
    }

    /// The kinds of errors with their counts, in words; empty if there were none.
    pub(crate) fn errors_in_words(&self) -> String {
        let refused = self.statuses.iter().filter(|(status, _)| **status != 200);
        let refused = refused.map(|(status, count)| format!("{count} × {status}"));
        let failed = self.failures.iter().map(|(failure, count)| format!("{count} × {}", failure.words()));
        let unsent = (self.unsent > 0).then(|| format!("{} × not sent for want of a free connection", self.unsent));
        refused.chain(failed).chain(unsent).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_told() {
        let mut counts = Counts::default();
        counts.answer(200, || "never asked".to_owned());
        counts.answer(503, || "first".to_owned());
        counts.answer(429, || "second".to_owned());
        counts.failure(Failure::Timeout);
        assert_eq!(counts.error_count(), 3);
        assert_eq!(counts.first_refusal.as_deref(), Some("first"));
        assert_eq!(counts.errors_in_words(), "1 × 429, 1 × 503, 1 × no answer in time");
        assert_eq!(Counts::default().errors_in_words(), "");
    }
}
