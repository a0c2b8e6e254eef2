//! Jobs that queue many events anew, step by step.
//!
//! A job has no lease: any instance may make its next step. A step is two calls. [`ReplayStore::replay_scan`] lists the
//! events that come next; [`ReplayStore::replay_advance_if_version`] queues them, moves the job on and says when the step
//! after it is due, in one transaction, unless somebody else has changed the job since it was read. So each step is made
//! exactly once, the rate holds over all instances, and whoever does not learn what became of a step reads the job and
//! goes on from there.

use async_trait::async_trait;
use kapsel_core::{DeliveryState, EndpointId, EventId, ReplayId, ReplayState, TenantId, Timestamp};

use crate::admin::{EventFilter, StatusSet};
use crate::error::StoreError;

/// How many events one call looks at while it counts.
const COUNT_LOOKS: usize = 1_000;

/// Which events a replay is about. Those that are being delivered are in none: nobody knows yet how that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayFilter {
    /// Sent to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// In one of these states when their turn comes.
    pub statuses: StatusSet,
    /// Received at this time or later, as event ids tell it.
    pub since: Option<Timestamp>,
    /// Received before this time, in the same sense.
    pub until: Option<Timestamp>,
}

impl ReplayFilter {
    /// Every state that an event can be replayed from.
    pub const STATUSES: StatusSet = StatusSet::ALL.without(DeliveryState::Delivering);

    /// Where the events come from and how far they go, if none from `end` on is wanted.
    pub fn range(&self, end: EventId) -> EventRange {
        // Behind the smallest id of its time there is every id of that time: no event has 62 random bits of zero.
        let after = self.since.map_or(EventId::MIN, EventId::lower_bound);
        EventRange { after, end: self.until.map_or(end, |until| end.min(EventId::lower_bound(until))) }
    }
}

/// Events from one id to another, neither of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRange {
    /// Behind this one.
    pub after: EventId,
    /// In front of this one.
    pub end: EventId,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Which events it is about.
    pub filter: ReplayFilter,
    /// What is left to look at. It ends in front of whatever was not there yet when the job was made.
    pub range: EventRange,
    /// How many events to queue in a second.
    pub rate_per_second: u32,
    /// Where it stands.
    pub state: ReplayState,
    /// How many events it was about when it was made, as far as they were counted.
    pub matched: ReplayCount,
    /// Events that it queued anew.
    pub replayed_count: u64,
    /// Events that it came to and could not queue.
    pub skipped_count: u64,
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

/// How many events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayCount {
    /// So many.
    pub count: u64,
    /// Whether there may be more: the count ended before it was through.
    pub is_capped: bool,
}

/// Jobs whose next step can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueReplays {
    /// The jobs, the longest due first.
    pub due: Vec<Replay>,
    /// When the first one that is not due becomes so.
    pub next_due_at: Option<Timestamp>,
}

/// Which events to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayScan {
    /// Their owner.
    pub tenant_id: TenantId,
    /// Sent to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// In one of these states.
    pub statuses: StatusSet,
    /// Within this range.
    pub range: EventRange,
    /// At most so many.
    pub matches_max: usize,
    /// After so many have been looked at, fitting or not, it is enough for one call.
    pub looks_max: usize,
}

impl ReplayScan {
    /// As a filter of lists, which knows where an engine with tables finds the events that can fit.
    pub fn as_filter(&self) -> EventFilter {
        EventFilter { status: self.statuses, endpoint_id: self.endpoint_id, ..EventFilter::default() }
    }
}

/// What a look at the next events found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPage {
    /// The events that fit, the oldest first.
    pub event_ids: Vec<EventId>,
    /// The last event that was looked at; where the range began if there was none.
    pub looked_up_to: EventId,
    /// Whether nothing is left behind it.
    pub is_end: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStep {
    /// The owner of the job.
    pub tenant_id: TenantId,
    /// The job.
    pub id: ReplayId,
    /// The version that the step was made up from.
    pub expected_version: u64,
    /// The events to queue anew, the oldest first.
    pub event_ids: Vec<EventId>,
    /// The last event that was looked at for it: what is left begins behind.
    pub looked_up_to: EventId,
    /// When the step after it may be made.
    pub next_step_at: Timestamp,
    /// Whether the job is through with it.
    pub is_last: bool,
}

/// The replay side of a store.
#[async_trait]
pub trait ReplayStore: Send + Sync {
    /// Stores a new job.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the id is taken, be it by another tenant's job.
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError>;

    /// Reads one job.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError>;

    /// Lists at most `limit` jobs, newest first, older than `before`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError>;

    /// Puts a job into a state if its stored version is `expected_version`, as a change made at `now`. Returns the job
    /// as it is afterwards.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] if it was changed meanwhile.
    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError>;

    /// At most `limit` running jobs, of all tenants, whose next step may be made at `now`. If it finds fewer, it says
    /// when the next one is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError>;

    /// Looks at the next events of a range, the oldest first. Which of those that do not fit an engine looks at is its
    /// own affair; that it is never more than `looks_max` keeps a call short.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError>;

    /// Makes a step in one durable transaction, if the stored version of the job is still the expected one: queues each
    /// event anew as [`event_requeue`](crate::AdminStore::event_requeue) does, due at `now`; counts those that it queued
    /// and those that it did not; moves the job on. Returns the job as it is afterwards, or `None`, and then nothing was
    /// done: somebody else made this step, or has paused or ended the job.
    ///
    /// An event is passed over and counted as skipped if it is in none of the job's states any more, is not there any
    /// more, or cannot be queued: an attempt is under way, or an endpoint of its deliveries is disabled or deleted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether the step was made is unknown; the version of the stored job tells.
    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError>;

    /// Counts the events of a range that fit, in short calls. It ends at `matches_max` of them, or after it has looked
    /// at `looks_max` events, and then says that there may be more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn replay_count(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayCount, StoreError> {
        let (mut range, mut count, mut looks_left) = (scan.range, 0_usize, scan.looks_max);
        loop {
            let matches_max = scan.matches_max - count;
            if matches_max == 0 || looks_left == 0 {
                return Ok(ReplayCount { count: count as u64, is_capped: true });
            }
            let looks_max = looks_left.min(COUNT_LOOKS);
            let page = self.replay_scan(now, ReplayScan { range, matches_max, looks_max, ..scan }).await?;
            count += page.event_ids.len();
            if page.is_end {
                return Ok(ReplayCount { count: count as u64, is_capped: false });
            }
            range.after = page.looked_up_to;
            looks_left -= looks_max;
        }
    }
}

/// Implements [`ReplayStore`] for a store in front of another one that has nothing to say about replays: every call goes
/// to the field named.
#[macro_export]
macro_rules! delegate_replay_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::ReplayStore for $store {
            async fn replay_insert(&self, replay: $crate::Replay) -> Result<(), $crate::StoreError> {
                self.$inner.replay_insert(replay).await
            }

            async fn replay_get(
                &self,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::ReplayId,
            ) -> Result<$crate::Replay, $crate::StoreError> {
                self.$inner.replay_get(tenant_id, id).await
            }

            async fn replay_list(
                &self,
                tenant_id: kapsel_core::TenantId,
                before: Option<kapsel_core::ReplayId>,
                limit: usize,
            ) -> Result<Vec<$crate::Replay>, $crate::StoreError> {
                self.$inner.replay_list(tenant_id, before, limit).await
            }

            async fn replay_set_state_if_version(
                &self,
                now: kapsel_core::Timestamp,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::ReplayId,
                state: kapsel_core::ReplayState,
                expected_version: u64,
            ) -> Result<$crate::Replay, $crate::StoreError> {
                self.$inner.replay_set_state_if_version(now, tenant_id, id, state, expected_version).await
            }

            async fn replay_due(
                &self,
                now: kapsel_core::Timestamp,
                limit: usize,
            ) -> Result<$crate::DueReplays, $crate::StoreError> {
                self.$inner.replay_due(now, limit).await
            }

            async fn replay_scan(
                &self,
                now: kapsel_core::Timestamp,
                scan: $crate::ReplayScan,
            ) -> Result<$crate::ReplayPage, $crate::StoreError> {
                self.$inner.replay_scan(now, scan).await
            }

            async fn replay_advance_if_version(
                &self,
                now: kapsel_core::Timestamp,
                step: $crate::ReplayStep,
            ) -> Result<Option<$crate::Replay>, $crate::StoreError> {
                self.$inner.replay_advance_if_version(now, step).await
            }
        }
    };
}

/// The states of a set, as text that a column keeps.
pub fn stored_statuses(statuses: StatusSet) -> String {
    let words: Vec<&str> = statuses.iter().map(DeliveryState::as_str).collect();
    words.join(",")
}

/// The set that [`stored_statuses`] wrote.
///
/// # Errors
/// The word that names no state.
pub fn statuses_from_stored(text: &str) -> Result<StatusSet, kapsel_core::delivery::UnknownWord> {
    text.split(',').filter(|word| !word.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statuses_come_back_from_their_text() {
        for bits in 0..1_u8 << DeliveryState::ALL.len() {
            let is_in = |(place, _): &(usize, &DeliveryState)| bits & (1 << place) != 0;
            let set: StatusSet = DeliveryState::ALL.iter().enumerate().filter(is_in).map(|(_, state)| *state).collect();
            assert_eq!(statuses_from_stored(&stored_statuses(set)).unwrap(), set);
        }
        assert_eq!(stored_statuses(ReplayFilter::STATUSES), "received,pending,delivered,failed,discarded");
        assert!(statuses_from_stored("failed,lost").is_err());
    }

    #[test]
    fn a_range_ends_at_the_earlier_of_its_two_ends() {
        let time = Timestamp::from_unix_seconds(1_000);
        let later = time + Duration::from_secs(1);
        let end = EventId::lower_bound(later);
        let filter = ReplayFilter { endpoint_id: None, statuses: StatusSet::ALL, since: None, until: None };
        assert_eq!(filter.range(end), EventRange { after: EventId::MIN, end });
        let bounded = ReplayFilter { since: Some(time), until: Some(later + Duration::from_secs(1)), ..filter };
        assert_eq!(bounded.range(end), EventRange { after: EventId::lower_bound(time), end });
        let early = ReplayFilter { until: Some(time), ..filter };
        assert_eq!(early.range(end).end, EventId::lower_bound(time));
    }
}
