//! Removes what has had its time, tenant by tenant.
//!
//! A sweep goes over all tenants, deleted ones too, and over the two kinds that are kept for times of their own. Nothing of
//! it is stored: a sweep that is broken off begins anew, and whoever comes second finds nothing left. Where the engine
//! drops old partitions by itself, only tenants that keep less than everybody are looked at.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy, Tenant};
use kapsel_store::{ChangeSeq, RetainedKind, Retention, RetentionStep, RetentionStore, StoreError, TenantStore};
use tokio::sync::Mutex;

use crate::backoff::jittered;
use crate::jobs;

/// How many rows a step looks at. At a kilobyte each that is a transaction of a few milliseconds.
const LOOKS_MAX: usize = 200;
/// How many steps one run makes.
const STEPS_MAX: usize = 20;
/// How many tenants are read at once.
const TENANTS_PAGE: usize = 200;
/// The pause between two steps that remove something: webhooks have the store for most of the time.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause between two sweeps.
const SWEEP_PERIOD: Duration = Duration::from_secs(600);
/// The pause in front of the first one; the start has enough to do.
const FIRST_WAIT: Duration = Duration::from_secs(20);

/// Who removes what everybody keeps for the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedTerms {
    /// The engine, by itself.
    OfTheEngine,
    /// This one, row by row.
    RowByRow,
}

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionReport {
    /// Of so many events something was removed.
    pub removed: usize,
    /// Whether the sweep is not through yet.
    pub has_more: bool,
}

/// Removes what has had its time.
pub struct RetentionRunner {
    store: Arc<dyn RetentionStore>,
    tenants: Arc<dyn TenantStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    retention: Retention,
    shared_terms: SharedTerms,
    sweep: Mutex<Sweep>,
}

/// How far a sweep has come.
#[derive(Default)]
struct Sweep {
    /// Tenants up to this change were read. Who changes meanwhile is read again; that does no harm.
    seen: ChangeSeq,
    tenants: VecDeque<Tenant>,
    steps: VecDeque<RetentionStep>,
}

impl RetentionRunner {
    /// A runner over this store that keeps what tenants have no shorter limits for as long as `retention` says.
    pub fn new(
        store: Arc<dyn RetentionStore>,
        tenants: Arc<dyn TenantStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        retention: Retention,
        shared_terms: SharedTerms,
    ) -> Self {
        RetentionRunner { store, tenants, clock, entropy, retention, shared_terms, sweep: Mutex::default() }
    }

    /// Makes a number of steps and ends early after one that removed something. Any number of calls at any time, by any
    /// number of instances, is fine.
    ///
    /// # Errors
    /// Those of the store; the sweep goes on where it was.
    pub async fn run_once(&self) -> Result<RetentionReport, StoreError> {
        let mut sweep = self.sweep.lock().await;
        for _ in 0..STEPS_MAX {
            let Some(step) = self.next_step(&mut sweep).await? else {
                *sweep = Sweep::default();
                return Ok(RetentionReport { removed: 0, has_more: false });
            };
            let page = self.store.retention_remove(step).await?;
            match page.is_end {
                true => drop(sweep.steps.pop_front()),
                false => {
                    if let Some(next) = sweep.steps.front_mut() {
                        next.after = page.looked_up_to;
                    }
                }
            }
            if page.removed > 0 {
                return Ok(RetentionReport { removed: page.removed, has_more: true });
            }
        }
        Ok(RetentionReport { removed: 0, has_more: true })
    }

    /// The step that comes next; `None` at the end of the sweep.
    async fn next_step(&self, sweep: &mut Sweep) -> Result<Option<RetentionStep>, StoreError> {
        loop {
            if let Some(step) = sweep.steps.front() {
                return Ok(Some(*step));
            }
            match sweep.tenants.pop_front() {
                Some(tenant) => sweep.steps.extend(self.steps_for(&tenant)),
                None => {
                    let changes = self.tenants.tenant_changes(sweep.seen, TENANTS_PAGE).await?;
                    let Some(last) = changes.last() else { return Ok(None) };
                    sweep.seen = last.seq;
                    sweep.tenants.extend(changes.into_iter().map(|change| change.tenant));
                }
            }
        }
    }

    fn steps_for(&self, tenant: &Tenant) -> impl Iterator<Item = RetentionStep> + use<> {
        let (now, id, shared, kept) =
            (self.clock.now(), tenant.id, self.retention, self.retention.within(&tenant.limits()));
        let is_done_by_the_engine = self.shared_terms == SharedTerms::OfTheEngine;
        let kinds = RetainedKind::ALL.iter().copied();
        kinds
            .filter(move |kind| !is_done_by_the_engine || kept.of(*kind) < shared.of(*kind))
            .map(move |kind| RetentionStep::first(now, id, kind, kept.of(kind), LOOKS_MAX))
    }

    /// Sweeps now and then until `shutdown` is ready.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        jobs::until(shutdown, self.run_for_ever()).await;
    }

    async fn run_for_ever(&self) {
        let (mut wait, mut removed) = (FIRST_WAIT, 0_usize);
        loop {
            tokio::time::sleep(jittered(wait, &*self.entropy)).await;
            wait = match self.run_once().await {
                Ok(report) => {
                    removed += report.removed;
                    if !report.has_more && removed > 0 {
                        tracing::info!(events = removed, "removed what has had its time");
                        removed = 0;
                    }
                    if report.has_more { PAUSE } else { SWEEP_PERIOD }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove what has had its time");
                    SWEEP_PERIOD
                }
            };
        }
    }
}
