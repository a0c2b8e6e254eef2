//! What happened, line by line, with the time since the beginning of the run.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines that are kept when nobody asked for the whole timeline: what led to a violation.
const LAST_LINES: usize = 60;

/// The timeline of one run.
#[derive(Debug)]
pub struct Timeline {
    begun: Instant,
    is_whole: bool,
    lines: Mutex<Vec<(Duration, String)>>,
    digest: Mutex<u64>,
}

impl Timeline {
    /// An empty one that begins now. Unless it is to be whole, only the last lines are kept.
    pub fn new(is_whole: bool) -> Self {
        Timeline { begun: Instant::now(), is_whole, lines: Mutex::default(), digest: Mutex::new(0xcbf2_9ce4_8422_2325) }
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Adds a line.
    pub fn add(&self, line: impl Display) {
        let at = self.elapsed();
        let line = line.to_string();
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        // FNV-1a: enough to tell two runs apart.
        for byte in at.as_micros().to_le_bytes().iter().chain(line.as_bytes()) {
            *digest = (*digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        drop(digest);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((at, line));
        if !self.is_whole && lines.len() >= 2 * LAST_LINES {
            lines.drain(..LAST_LINES);
        }
    }

    /// A number that is the same for the same lines at the same times.
    pub fn digest(&self) -> u64 {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines as they are printed.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|(at, line)| format!("{} {line}", clock(*at))).collect()
    }
}

/// `h:mm:ss.mmm`.
fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, at.subsec_millis())
}
