//! Removing what has had its time, step by step.
//!
//! Events go with their bodies, attempts with why deliveries ended, each kind by its own age; ids tell how old an event
//! is. What is queued stays whatever its age, and what happened to an event stays at least as long as the event itself: an
//! event without its attempts would look as if it had gone nowhere. Leaves, tiles and heads of the log are never touched.

use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::{EventId, TenantId, TenantLimits, Timestamp};

use crate::error::StoreError;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long rows are kept. Undelivered events stay longer, whatever their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events with their bodies.
    pub events: Duration,
    /// Attempts, and why deliveries ended without success.
    pub attempts: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { events: 30 * DAY, attempts: 90 * DAY }
    }
}

impl Retention {
    /// What a tenant with these limits gets: never more than everybody, and attempts for no shorter time than events.
    #[must_use]
    pub fn within(self, limits: &TenantLimits) -> Self {
        let shorter = |days: Option<u32>, own: Duration| days.map_or(own, |days| own.min(DAY * days));
        let events = shorter(limits.event_retention_days, self.events);
        Retention { events, attempts: shorter(limits.attempt_retention_days, self.attempts).max(events) }
    }

    /// How long rows of this kind are kept.
    pub fn of(self, kind: RetainedKind) -> Duration {
        match kind {
            RetainedKind::Events => self.events,
            RetainedKind::Attempts => self.attempts,
        }
    }
}

/// What is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainedKind {
    /// Events with their bodies and headers.
    Events,
    /// Attempts and outcomes of events that are no longer kept.
    Attempts,
}

impl RetainedKind {
    /// Both, in the order in which they have to go: attempts wait for their event.
    pub const ALL: &'static [RetainedKind] = &[RetainedKind::Events, RetainedKind::Attempts];
}

/// A part of what has had its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionStep {
    /// Whose.
    pub tenant_id: TenantId,
    /// Of which kind.
    pub kind: RetainedKind,
    /// Of events behind this one.
    pub after: EventId,
    /// And in front of this one, which is the first that has its time still.
    pub end: EventId,
    /// After so many rows have been looked at, it is enough for one call.
    pub looks_max: usize,
}

impl RetentionStep {
    /// The first step of what a tenant has kept for longer than `kept` at `now`.
    pub fn first(now: Timestamp, tenant_id: TenantId, kind: RetainedKind, kept: Duration, looks_max: usize) -> Self {
        RetentionStep { tenant_id, kind, after: EventId::MIN, end: EventId::lower_bound(now - kept), looks_max }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPage {
    /// Of so many events something was removed.
    pub removed: usize,
    /// The last event that was looked at; where the step began if there was none.
    pub looked_up_to: EventId,
    /// Whether nothing is left behind it.
    pub is_end: bool,
}

/// The side of a store that forgets.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Removes a part of what has had its time, the oldest first, in one short transaction. What is queued, or is being
    /// queued anew, is passed over, and so is what another call works on. Where there is nothing to remove it writes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it was removed is unknown; repeat.
    async fn retention_remove(&self, step: RetentionStep) -> Result<RetentionPage, StoreError>;
}

/// Implements [`RetentionStore`] for a store in front of another one that has nothing to say about it: the call goes to
/// the field named.
#[macro_export]
macro_rules! delegate_retention_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::RetentionStore for $store {
            async fn retention_remove(
                &self,
                step: $crate::RetentionStep,
            ) -> Result<$crate::RetentionPage, $crate::StoreError> {
                self.$inner.retention_remove(step).await
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_gets_what_is_shorter_and_attempts_outlive_events() {
        let days = |events: u32, attempts: u32| Retention { events: DAY * events, attempts: DAY * attempts };
        // Own limits, what follows from 30 and 90 days.
        let table = [
            ((None, None), days(30, 90)),
            ((Some(7), None), days(7, 90)),
            ((Some(7), Some(30)), days(7, 30)),
            ((Some(60), Some(3_650)), days(30, 90)),
            ((None, Some(10)), days(30, 30)),
            ((Some(5), Some(1)), days(5, 5)),
        ];
        for ((event_retention_days, attempt_retention_days), expected) in table {
            let limits = TenantLimits { event_retention_days, attempt_retention_days, ..TenantLimits::default() };
            assert_eq!(Retention::default().within(&limits), expected, "{limits:?}");
        }
    }
}
