//! What a person sees while it runs: a bar on stderr, if that is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    is_seen: bool,
}

impl Progress {
    /// A bar, or something unseen.
    pub(crate) fn new() -> Self {
        let is_seen = std::io::stderr().is_terminal();
        let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{prefix:>24} [{bar:30}] {elapsed:>4} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar, is_seen }
    }

    /// A new phase begins; with the time that it takes, if that is known.
    pub(crate) fn phase(&self, name: &str, length: Option<Duration>) {
        self.bar.reset();
        self.bar.set_prefix(name.to_owned());
        self.bar.set_message(String::new());
        self.bar.set_length(length.map_or(1, millis));
        self.bar.set_position(0);
    }

    /// How far the phase is, and what can be told of it.
    pub(crate) fn advance(&self, passed: Duration, message: impl FnOnce() -> String) {
        if self.is_seen {
            self.bar.set_position(millis(passed));
            self.bar.set_message(message());
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.is_seen {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
