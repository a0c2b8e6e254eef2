//! Leases that have ended: their deliveries go back into their lanes.
//!
//! What is leased is in no lane, so somebody has to notice the end of a lease. Each look over the lanes and each claim
//! does so first, for the leases that have ended since the last time. That is a range of an index with hardly anything in
//! it; from the beginning it is looked at now and then only, because there stand the remains of all that was delivered
//! until they are vacuumed away.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kapsel_core::Timestamp;
use tokio::time::Instant;

use crate::error::Failure;
use crate::rows::stored;
use crate::session::Session;
use crate::statements as sql;

/// How far behind the last look the next one begins. A lease ends long after it was written, so what ended before that
/// look was there to be seen; this is for what somebody else had locked at that moment.
const OVERLAP: Duration = Duration::from_secs(2);
/// How often everything is looked at.
const WHOLE_PERIOD: Duration = Duration::from_secs(60);
/// How many are put back at once.
const ROWS_MAX: usize = 1_000;

/// Up to where ended leases were looked for.
#[derive(Debug, Default)]
pub(crate) struct Lapse(Mutex<Looked>);

#[derive(Debug, Default)]
struct Looked {
    /// Everything that ended up to this time was put back.
    up_to: Option<Timestamp>,
    /// When everything was looked at.
    whole_at: Option<Instant>,
}

impl Lapse {
    /// Puts back what has ended by `now`.
    pub(crate) async fn run(&self, session: &Session, now: Timestamp) -> Result<(), Failure> {
        let from = {
            let mut looked = self.lock();
            let is_whole = looked.whole_at.is_none_or(|at| at.elapsed() >= WHOLE_PERIOD);
            match looked.up_to {
                Some(up_to) if !is_whole && up_to <= now => (up_to - OVERLAP).unix_micros(),
                None if !is_whole => (now - WHOLE_PERIOD).unix_micros(),
                _ => {
                    // Before it is done: one that fails must not be repeated by every look and claim.
                    looked.whole_at = Some(Instant::now());
                    i64::MIN
                }
            }
        };
        loop {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&from, &now.unix_micros(), &stored(ROWS_MAX)];
            let put_back = session.execute(&sql::LEASE_LAPSE, &parameters).await?;
            if put_back > 0 {
                tracing::debug!(deliveries = put_back, "leases have ended");
            }
            if put_back < ROWS_MAX as u64 {
                break;
            }
        }
        self.lock().up_to = Some(now);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Looked> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
