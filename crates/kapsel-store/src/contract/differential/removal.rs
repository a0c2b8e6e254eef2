//! Operations that take something away: erasing an event or a tenant's events, and removing what has had its time.

use std::time::Duration;

use kapsel_core::{ErasureState, EventId, Requester, TenantId, Timestamp};

use super::operation::{Observation, Operation};
use super::script::Script;
use crate::contract::world::ALL;
use crate::{Erasure, ErasureStep, ErasureSubject, RetainedKind, RetentionStep, Store, StoreError};

/// A call, or a few of them that belong together.
#[derive(Debug)]
pub(super) enum Removal {
    /// Makes a job and its first step.
    Erase(Erasure),
    /// Makes the next step of a job that is due.
    EraseOn,
    /// Until nothing is left. Both kinds, so that an event that is stored once more begins anew in every engine.
    RemoveOld {
        tenant_id: TenantId,
        kept: Duration,
        looks_max: usize,
    },
    Covers(Vec<(TenantId, EventId)>),
}

impl Removal {
    pub(super) async fn apply(&self, store: &dyn Store, now: Timestamp) -> Result<Observation, StoreError> {
        Ok(match self {
            Removal::Erase(erasure) => {
                store.erasure_insert(erasure.clone()).await?;
                let step = step_of(erasure);
                Observation::Erasures(store.erasure_advance_if_version(now, step).await?.into_iter().collect())
            }
            Removal::EraseOn => {
                let due = store.erasure_due(now, ALL).await?.due;
                let mut after = Vec::new();
                for erasure in &due {
                    after.extend(store.erasure_advance_if_version(now, step_of(erasure)).await?);
                }
                Observation::Erasures(after)
            }
            Removal::RemoveOld { tenant_id, kept, looks_max } => {
                let mut removed = 0;
                for kind in RetainedKind::ALL {
                    let mut step = RetentionStep::first(now, *tenant_id, *kind, *kept, *looks_max);
                    loop {
                        let page = store.retention_remove(step).await?;
                        removed += page.removed;
                        if page.is_end {
                            break;
                        }
                        step.after = page.looked_up_to;
                    }
                }
                Observation::Count(removed)
            }
            Removal::Covers(events) => {
                let mut covered = store.erasure_covers(events.clone()).await?;
                covered.sort_unstable();
                covered.dedup();
                Observation::EventIds(covered)
            }
        })
    }

    pub(super) fn method(&self) -> &'static str {
        match self {
            Removal::Erase(_) => "erasure_insert",
            Removal::EraseOn => "erasure_advance_if_version",
            Removal::RemoveOld { .. } => "retention_remove",
            Removal::Covers(_) => "erasure_covers",
        }
    }
}

fn step_of(erasure: &Erasure) -> ErasureStep {
    ErasureStep { tenant_id: erasure.tenant_id, id: erasure.id, expected_version: erasure.version, looks_max: ALL }
}

/// Names what became of the steps.
pub(super) fn marks(erasures: &[Erasure]) -> Vec<&'static str> {
    let is_any = |is: fn(&Erasure) -> bool, mark| erasures.iter().any(is).then_some(mark);
    let erased = is_any(|job| job.erased_count > 0, "erased");
    let completed = is_any(|job| job.state == ErasureState::Completed, "completed");
    let waits = is_any(|job| job.state == ErasureState::Running && !job.is_second_look, "waits");
    let again = is_any(|job| job.is_second_look, "looks again");
    erased.into_iter().chain(completed).chain(waits).chain(again).collect()
}

impl Script {
    pub(super) fn removal(&self) -> Operation {
        Operation::Removal(match self.below(10) {
            0..4 => {
                let (tenant_id, event_id) = self.known_event();
                let subject = match self.chance(80) {
                    true => ErasureSubject::Event(event_id),
                    false => ErasureSubject::TenantBefore(event_id),
                };
                let id = self.ids.next(self.now());
                Removal::Erase(Erasure::new(id, tenant_id, subject, Requester::Operator, self.now()))
            }
            4..7 => Removal::EraseOn,
            7..9 => {
                let kept = Duration::from_secs(30) + self.micros(120);
                Removal::RemoveOld { tenant_id: self.any_tenant(), kept, looks_max: 1 + self.index(4) }
            }
            _ => Removal::Covers((0..self.index(40)).map(|_| self.known_event()).collect()),
        })
    }
}
