//! Waiting, the same in each phase: it looks after the child, and tells how far the phase is.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::kapsel::child::KapselChild;
use crate::ledger::Ledger;
use crate::progress::Progress;

/// How often is looked whether a phase is over, and its bar drawn.
const LOOK: Duration = Duration::from_millis(20);
/// The rate that is shown is that of about this time.
const RATE_OVER_US: u64 = 1_000_000;

/// Waits for the ends of phases.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    pub(super) child: Option<&'a mut KapselChild>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) progress: &'a Progress,
}

impl Wait<'_> {
    /// Waits until something is so, at most until `end_us`. Whether it is so.
    pub(super) async fn until(
        &mut self,
        name: &str,
        end_us: Option<u64>,
        mut is_over: impl FnMut(&Ledger) -> bool,
    ) -> Result<bool, Error> {
        let clock = self.ledger.clock();
        let begin_us = clock.now_us();
        self.progress.phase(name, end_us.map(|end_us| Duration::from_micros(end_us.saturating_sub(begin_us))));
        let mut rate = Rate { since_us: begin_us, counts: counts(&self.ledger), text: String::new() };
        loop {
            if let Some(child) = &mut self.child {
                child.check()?;
            }
            if is_over(&self.ledger) {
                return Ok(true);
            }
            let now_us = clock.now_us();
            if end_us.is_some_and(|end_us| now_us >= end_us) {
                return Ok(false);
            }
            rate.look(now_us, &self.ledger);
            self.progress.advance(Duration::from_micros(now_us - begin_us), || rate.text.clone());
            let left_us = end_us.map_or(u64::MAX, |end_us| end_us - now_us);
            tokio::time::sleep(LOOK.min(Duration::from_micros(left_us))).await;
        }
    }

    /// Waits for a moment.
    pub(super) async fn until_time(&mut self, name: &str, end_us: u64) -> Result<(), Error> {
        self.until(name, Some(end_us), |_| false).await.map(|_| ())
    }
}

/// Accepted and received.
fn counts(ledger: &Ledger) -> (u64, u64) {
    (ledger.accepted_count(), ledger.received_count())
}

struct Rate {
    since_us: u64,
    counts: (u64, u64),
    text: String,
}

impl Rate {
    fn look(&mut self, now_us: u64, ledger: &Ledger) {
        let passed_us = now_us - self.since_us;
        if passed_us < RATE_OVER_US {
            return;
        }
        let (accepted, received) = counts(ledger);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1e6 / passed_us as f64;
        let (accepted_rate, received_rate) = (rate(accepted, self.counts.0), rate(received, self.counts.1));
        self.text = format!(
            "{accepted_rate:.0} accepted/s, {received_rate:.0} received/s, {} accepted and not received",
            accepted.saturating_sub(received)
        );
        self.since_us = now_us;
        self.counts = (accepted, received);
    }
}
