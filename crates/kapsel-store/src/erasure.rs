//! Jobs that erase what webhooks and their attempts held, step by step.
//!
//! What is erased of an event: body, headers, content type, idempotency key, and the hash of the body; of its attempts the
//! URL, what came back, and the secret that the salts of the leaf follow from, so that its commitments cannot be opened any
//! more. What stays is that there was such an event, its attempts with their numbers, times and outcomes, and every leaf.
//! What is queued of it ends as discarded, with the reason `erased`.
//!
//! As with replays there is no lease: any instance makes the next step, in one transaction that compares the version. An
//! event with an attempt under way is waited for: to take its payload from under the attempt would not bring it back, and
//! the attempt would be written afterwards.
//!
//! The job of a tenant is about all events in front of one id. It goes over them twice, the second time a while after it was
//! made: what another instance, or a replayed try, was just storing under an older id is found then. Events that a spool
//! still holds are not stored any more once the job is there ([`ErasureStore::erasure_covers`]).

use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::{ErasureId, ErasureState, EventId, Requester, TenantId, Timestamp};

use crate::error::StoreError;

/// How long after a job of a tenant was made its second look begins, at the earliest: longer than anybody takes to store
/// what was accepted before.
pub const SECOND_LOOK_AFTER: Duration = Duration::from_secs(60);

/// When to try again while an attempt is under way.
pub const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureSubject {
    /// One event.
    Event(EventId),
    /// All events of the tenant in front of this id.
    TenantBefore(EventId),
}

/// A job. It stays for ever, as the record of what was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Whose events.
    pub tenant_id: TenantId,
    /// Which ones.
    pub subject: ErasureSubject,
    /// Who wanted it.
    pub requested_by: Requester,
    /// Where it stands.
    pub state: ErasureState,
    /// What is left of this look lies behind this event.
    pub after: EventId,
    /// Whether the look is the second one.
    pub is_second_look: bool,
    /// How many events it has erased. Those that were erased already do not count.
    pub erased_count: u64,
    /// When its next step may be made.
    pub next_step_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was through.
    pub completed_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: u64,
}

impl Erasure {
    /// A job that begins at `now`.
    pub fn new(
        id: ErasureId,
        tenant_id: TenantId,
        subject: ErasureSubject,
        requested_by: Requester,
        now: Timestamp,
    ) -> Self {
        let after = match subject {
            ErasureSubject::Event(event_id) => event_id.predecessor(),
            ErasureSubject::TenantBefore(_) => EventId::MIN,
        };
        Erasure {
            id,
            tenant_id,
            subject,
            requested_by,
            state: ErasureState::Running,
            after,
            is_second_look: false,
            erased_count: 0,
            next_step_at: now,
            created_at: now,
            updated_at: now,
            completed_at: None,
            version: 1,
        }
    }

    /// The event, if it is about one alone.
    pub fn event_id(&self) -> Option<EventId> {
        match self.subject {
            ErasureSubject::Event(event_id) => Some(event_id),
            ErasureSubject::TenantBefore(_) => None,
        }
    }

    /// No event from here on is erased.
    pub fn end(&self) -> EventId {
        match self.subject {
            ErasureSubject::Event(event_id) => event_id.successor(),
            ErasureSubject::TenantBefore(end) => end,
        }
    }

    /// The job after a step: what engines store is decided here, once.
    #[must_use]
    pub fn after_step(self, now: Timestamp, look: ErasureLook) -> Self {
        let mut job = Erasure { updated_at: now, version: self.version + 1, ..self };
        job.erased_count += look.erased;
        if let Some(busy) = look.first_busy {
            job.after = busy.predecessor();
            job.next_step_at = now + BUSY_WAIT;
        } else if !look.is_end {
            job.after = look.looked_up_to;
            job.next_step_at = now;
        } else if job.is_second_look || job.event_id().is_some() {
            job.after = look.looked_up_to;
            job.state = ErasureState::Completed;
            job.completed_at = Some(now);
        } else {
            job.after = EventId::MIN;
            job.is_second_look = true;
            job.next_step_at = now.max(job.created_at + SECOND_LOOK_AFTER);
        }
        job
    }
}

/// What a step came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureLook {
    /// Events that it erased.
    pub erased: u64,
    /// The first event that it could not erase because an attempt is under way, or somebody is changing it.
    pub first_busy: Option<EventId>,
    /// The last event that was looked at; where the step began if there was none.
    pub looked_up_to: EventId,
    /// Whether nothing is left behind it.
    pub is_end: bool,
}

/// A step of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureStep {
    /// The owner of the job.
    pub tenant_id: TenantId,
    /// The job.
    pub id: ErasureId,
    /// The version that the caller has seen.
    pub expected_version: u64,
    /// After so many rows have been looked at, it is enough for one step.
    pub looks_max: usize,
}

/// Jobs whose next step can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueErasures {
    /// The jobs, the longest due first.
    pub due: Vec<Erasure>,
    /// When the first one that is not due becomes so.
    pub next_due_at: Option<Timestamp>,
}

/// The erasing side of a store.
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Stores a new job.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is about one event and nothing of that is stored; [`StoreError::Conflict`] if the id
    /// is taken, be it by another tenant's job.
    async fn erasure_insert(&self, erasure: Erasure) -> Result<(), StoreError>;

    /// Reads one job of a tenant, or of anybody.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn erasure_get(&self, tenant_id: Option<TenantId>, id: ErasureId) -> Result<Erasure, StoreError>;

    /// Lists at most `limit` jobs of a tenant, or of everybody, newest first, older than `before`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn erasure_list(
        &self,
        tenant_id: Option<TenantId>,
        before: Option<ErasureId>,
        limit: usize,
    ) -> Result<Vec<Erasure>, StoreError>;

    /// At most `limit` running jobs, of all tenants, whose next step may be made at `now`. If it finds fewer, it says when
    /// the next one is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn erasure_due(&self, now: Timestamp, limit: usize) -> Result<DueErasures, StoreError>;

    /// Makes a step in one durable transaction, if the stored version of the job is still the expected one and it is running:
    /// erases what comes next, but for what is under way, and moves the job on ([`Erasure::after_step`]). Returns the job as
    /// it is afterwards, or `None`, and then nothing was done.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether the step was made is unknown; the version of the stored job tells.
    async fn erasure_advance_if_version(
        &self,
        now: Timestamp,
        step: ErasureStep,
    ) -> Result<Option<Erasure>, StoreError>;

    /// Which of these events, each with its owner, are covered by the job of a tenant, whatever its state: they have to be
    /// forgotten and not stored.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn erasure_covers(&self, events: Vec<(TenantId, EventId)>) -> Result<Vec<EventId>, StoreError>;
}

/// Implements [`ErasureStore`] for a store in front of another one that has nothing to say about erasures: every call goes
/// to the field named.
#[macro_export]
macro_rules! delegate_erasure_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::ErasureStore for $store {
            async fn erasure_insert(&self, erasure: $crate::Erasure) -> Result<(), $crate::StoreError> {
                self.$inner.erasure_insert(erasure).await
            }

            async fn erasure_get(
                &self,
                tenant_id: Option<kapsel_core::TenantId>,
                id: kapsel_core::ErasureId,
            ) -> Result<$crate::Erasure, $crate::StoreError> {
                self.$inner.erasure_get(tenant_id, id).await
            }

            async fn erasure_list(
                &self,
                tenant_id: Option<kapsel_core::TenantId>,
                before: Option<kapsel_core::ErasureId>,
                limit: usize,
            ) -> Result<Vec<$crate::Erasure>, $crate::StoreError> {
                self.$inner.erasure_list(tenant_id, before, limit).await
            }

            async fn erasure_due(
                &self,
                now: kapsel_core::Timestamp,
                limit: usize,
            ) -> Result<$crate::DueErasures, $crate::StoreError> {
                self.$inner.erasure_due(now, limit).await
            }

            async fn erasure_advance_if_version(
                &self,
                now: kapsel_core::Timestamp,
                step: $crate::ErasureStep,
            ) -> Result<Option<$crate::Erasure>, $crate::StoreError> {
                self.$inner.erasure_advance_if_version(now, step).await
            }

            async fn erasure_covers(
                &self,
                events: Vec<(kapsel_core::TenantId, kapsel_core::EventId)>,
            ) -> Result<Vec<kapsel_core::EventId>, $crate::StoreError> {
                self.$inner.erasure_covers(events).await
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

    fn job(subject: ErasureSubject) -> Erasure {
        Erasure::new(ErasureId::MIN, TenantId::DEFAULT, subject, Requester::Operator, NOW)
    }

    fn look(first_busy: Option<EventId>, is_end: bool) -> ErasureLook {
        ErasureLook { erased: 2, first_busy, looked_up_to: EventId::lower_bound(NOW), is_end }
    }

    #[test]
    fn a_job_about_one_event_is_about_that_one_alone() {
        let event_id = EventId::lower_bound(NOW);
        let job = job(ErasureSubject::Event(event_id));
        assert!(job.after < event_id && event_id < job.end());
        assert_eq!((job.after.successor(), job.end().predecessor()), (event_id, event_id));
        let after = job.clone().after_step(NOW, look(Some(event_id), true));
        assert_eq!((after.state, after.next_step_at, after.after), (ErasureState::Running, NOW + BUSY_WAIT, job.after));
        assert_eq!(after.after_step(NOW, look(None, true)).completed_at, Some(NOW));
    }

    #[test]
    fn a_tenant_is_looked_over_twice() {
        let job = job(ErasureSubject::TenantBefore(EventId::MAX));
        let on = job.after_step(NOW, look(None, false));
        assert_eq!((on.after, on.next_step_at, on.version), (EventId::lower_bound(NOW), NOW, 2));
        let second = on.after_step(NOW, look(None, true));
        assert_eq!((second.after, second.is_second_look), (EventId::MIN, true));
        assert_eq!((second.state, second.next_step_at), (ErasureState::Running, NOW + SECOND_LOOK_AFTER));
        let late = NOW + SECOND_LOOK_AFTER * 2;
        let done = second.after_step(late, look(None, true));
        assert_eq!((done.state, done.completed_at, done.erased_count), (ErasureState::Completed, Some(late), 6));
    }
}
