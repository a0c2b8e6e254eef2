//! Claims whose answer was lost: the store may have taken them, and nobody works on what they took.
//!
//! Without this, such deliveries would wait for the end of their lease. Their tokens are known, so they are given back as
//! soon as the store answers again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kapsel_core::{Lease, Timestamp};
use kapsel_store::{DeliveryStore, StoreError};
use tokio::time::Instant;

/// A claim that a store was still at work on when its caller lost it ends within this time. Until then it may take
/// something after it was looked for.
const STILL_AT_WORK_MAX: Duration = Duration::from_secs(20);
/// How often it is looked for meanwhile.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// More than this are not remembered; what they took comes back when the leases end.
const REMEMBERED_MAX: usize = 64;

/// Leases under which something may have been claimed that nobody knows of.
#[derive(Debug, Default)]
pub(super) struct LostClaims(Mutex<Vec<LostClaim>>);

#[derive(Debug, Clone, Copy)]
struct LostClaim {
    lease: Lease,
    since: Instant,
    looked_at: Option<Instant>,
}

impl LostClaims {
    /// Watches over a claim under `lease` that is about to be made.
    pub(super) fn watch(&self, lease: Lease) -> Watched<'_> {
        Watched { claims: self, lease, is_answered: false }
    }

    fn remember(&self, lease: Lease) {
        let mut claims = self.lock();
        if claims.len() < REMEMBERED_MAX {
            claims.push(LostClaim { lease, since: Instant::now(), looked_at: None });
        }
    }

    /// Gives back what was claimed under the remembered leases. Costs nothing when there are none.
    ///
    /// # Errors
    /// Those of the store; what was not given back stays remembered.
    pub(super) async fn give_back(&self, store: &dyn DeliveryStore, now: Timestamp) -> Result<(), StoreError> {
        let due: Vec<LostClaim> = {
            let mut claims = self.lock();
            claims.retain(|claim| claim.lease.until > now);
            let is_due = |claim: &&LostClaim| claim.looked_at.is_none_or(|at| at.elapsed() >= LOOK_PERIOD);
            claims.iter().filter(is_due).copied().collect()
        };
        for claim in due {
            let released = store.delivery_release_claim(now, claim.lease).await?;
            if released > 0 {
                tracing::info!(deliveries = released, "gave a claim back whose answer was lost");
            }
            let is_over = released > 0 || claim.since.elapsed() > STILL_AT_WORK_MAX;
            let mut claims = self.lock();
            claims.retain(|known| known.lease.token != claim.lease.token || !is_over);
            for known in claims.iter_mut().filter(|known| known.lease.token == claim.lease.token) {
                known.looked_at = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<LostClaim>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim that is being made. Unless it is answered, be it that it fails or that its caller goes away, it may have been
/// carried out all the same.
pub(super) struct Watched<'a> {
    claims: &'a LostClaims,
    lease: Lease,
    is_answered: bool,
}

impl Watched<'_> {
    /// The answer is here.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.claims.remember(self.lease);
        }
    }
}
