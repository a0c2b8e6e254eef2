//! The answer for people.

use std::error::Error;
use std::fmt::{self, Write as _};

use kapsel_verification::{AttemptLeaf, StepReport, Verified, VerifiedHead};

use crate::instant::rfc3339;
use crate::verdict::Verdict;

/// A line is not longer than this many characters. URLs are shorter, and a leaf may hold 64 KiB of anything; JSON shows
/// it all.
const LINE_CHARACTERS_MAX: usize = 4096;

/// Lines of text. What comes out of a proof was written by somebody else, who may want to have the last word on a
/// terminal.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: impl fmt::Display) {
        let line = line.to_string();
        let mut rest = line.chars();
        for c in rest.by_ref().take(LINE_CHARACTERS_MAX) {
            if is_harmless(c) { self.0.push(c) } else { self.0.extend(c.escape_unicode()) }
        }
        if rest.next().is_some() {
            self.0.push_str("\u{2026} (cut off)");
        }
        self.0.push('\n');
    }

    fn field(&mut self, name: &str, value: impl fmt::Display) {
        self.line(format_args!("  {name:<17}{value}"));
    }

    fn steps(&mut self, steps: &[StepReport]) {
        for StepReport { step, result } in steps {
            match result {
                Ok(()) => self.line(format_args!("\u{2713} {step}")),
                Err(error) => self.line(format_args!("\u{2717} {step}: {}", with_causes(error))),
            }
        }
    }
}

/// Control characters move the cursor, and others turn the direction of writing round or cannot be seen.
fn is_harmless(c: char) -> bool {
    let is_invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !is_invisible
}

/// All that the verdict says.
pub(crate) fn of_verdict(verdict: &Verdict) -> String {
    let mut lines = Lines::default();
    lines.steps(verdict.steps());
    lines.line("");
    match verdict {
        Verdict::Attempt(report) => match report.verified() {
            Some(verified) => attempt(&mut lines, verified),
            None => lines.line("NOT PROVEN: nothing of what the document says counts."),
        },
        Verdict::Heads { proven: Some(proven), .. } => heads(&mut lines, &proven.0, &proven.1),
        Verdict::Heads { proven: None, .. } => {
            lines.line("NOT PROVEN: the two heads may be of logs that say different things.");
        }
    }
    lines.0
}

fn attempt(lines: &mut Lines, verified: &Verified) {
    let leaf = &verified.leaf;
    let opened = &verified.opened;
    lines.line(sentence(leaf));
    lines.line("");
    lines.field("destination", opened.url.as_deref().unwrap_or("not shown"));
    lines.field("event", &leaf.event_id);
    lines.field("attempt", format_args!("{}, number {}", leaf.attempt_id, leaf.attempt_number));
    lines.field("delivery", &leaf.delivery_id);
    lines.field("endpoint", &leaf.endpoint_id);
    lines.field("tenant", &leaf.tenant_id);
    lines.field("outcome", &leaf.outcome);
    match leaf.http_status {
        Some(status) => lines.field("HTTP status", status),
        None => lines.field("HTTP status", "none"),
    }
    lines.field("begun", &leaf.started_at);
    lines.field("took", format_args!("{} ms", leaf.duration_ms));
    for (name, hash) in [("payload SHA-256", opened.payload_sha256), ("response SHA-256", opened.response_sha256)] {
        if let Some(hash) = hash {
            lines.field(name, hash);
        }
    }
    lines.field("log", &verified.head.origin);
    lines.field("leaf", format_args!("{} at index {}", verified.leaf_hash, verified.leaf_index));
    head(lines, &verified.head);
}

/// What happened, in one sentence that cannot be taken for its contrary.
fn sentence(leaf: &AttemptLeaf) -> String {
    let mut sentence = String::from("PROVEN: ");
    // Writing to a string cannot fail.
    let _ = match (leaf.is_delivered(), leaf.http_status) {
        (true, Some(status)) => write!(sentence, "the attempt DELIVERED the event; the destination answered {status}."),
        (_, Some(status)) => {
            write!(sentence, "the attempt did NOT deliver the event; the destination answered {status}.")
        }
        (_, None) => write!(sentence, "the attempt did NOT deliver the event; no whole answer came."),
    };
    sentence
}

fn heads(lines: &mut Lines, old: &VerifiedHead, new: &VerifiedHead) {
    let (before, after) = (old.tree_size, new.tree_size);
    lines
        .line(format_args!("PROVEN: the log of {after} leaves continues that of {before}; nothing in it was changed."));
    lines.line("");
    lines.field("log", &new.origin);
    for (name, found) in [("old head", old), ("new head", new)] {
        lines.line(format_args!("  {name}"));
        head(lines, found);
    }
}

fn head(lines: &mut Lines, head: &VerifiedHead) {
    lines.field("tree size", head.tree_size);
    lines.field("root", head.root_hash);
    for key in &head.signed_by {
        lines.field("key id", key.id());
    }
    match head.time {
        Some(time) if time.is_verified => lines.field("head made", rfc3339(time.unix_seconds)),
        Some(time) => {
            let time = rfc3339(time.unix_seconds);
            lines.field("head made", format_args!("{time}, as it says; no known key signed the time"));
        }
        None => lines.field("head made", "it does not say when"),
    }
    for witness in &head.witnessed_by {
        let time = witness.time.map(rfc3339).unwrap_or_default();
        lines.field("witness", format_args!("{}, {time}", witness.key.name()));
    }
}

/// An error and what caused it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Says on the standard error why there is no answer.
pub(crate) fn complain(error: &dyn Error) {
    let mut lines = Lines::default();
    lines.line(format_args!("kapsel-verify: {}", with_causes(error)));
    // Where the standard error is closed, nobody is told; the exit code says it.
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), lines.0.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        let mut lines = Lines::default();
        lines.line("a\u{1b}[2Kb\n\u{202e}c\u{9b}\u{200b} ä✓");
        assert_eq!(lines.0, "a\\u{1b}[2Kb\\u{a}\\u{202e}c\\u{9b}\\u{200b} ä✓\n");
    }
    #[test]
    fn a_line_has_an_end() {
        let mut lines = Lines::default();
        lines.line("x".repeat(LINE_CHARACTERS_MAX));
        lines.line("y".repeat(LINE_CHARACTERS_MAX + 1));
        let (first, second) = lines.0.split_once('\n').unwrap();
        assert_eq!(first, "x".repeat(LINE_CHARACTERS_MAX));
        assert_eq!(second, "y".repeat(LINE_CHARACTERS_MAX) + "\u{2026} (cut off)\n");
    }
}
