//! How a replay is shown.

use kapsel_core::{EndpointId, ReplayId, ReplayState, Timestamp};
use kapsel_store::{Replay, ReplayCount};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::words;

/// A job, with the fields that it was made from under their own names.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayView {
    #[schema(value_type = words::ReplayId)]
    id: ReplayId,
    #[schema(value_type = words::ReplayStateWord)]
    status: &'static str,
    #[schema(value_type = Option<words::EndpointId>, required = true)]
    endpoint_id: Option<EndpointId>,
    #[schema(value_type = Vec<words::StateWord>)]
    statuses: Vec<&'static str>,
    #[schema(value_type = Option<words::Time>, required = true)]
    since: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, required = true)]
    until: Option<Timestamp>,
    rate_per_second: u32,
    matched_count: u64,
    is_matched_count_capped: bool,
    replayed_count: u64,
    skipped_count: u64,
    #[schema(value_type = Option<f64>, required = true)]
    progress: Option<f64>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = words::Time)]
    updated_at: Timestamp,
    #[schema(value_type = Option<words::Time>, required = true)]
    completed_at: Option<Timestamp>,
}

/// What a replay would be about.
#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewView {
    count: u64,
    is_capped: bool,
    rate_per_second: u32,
    estimated_seconds: u64,
}

impl From<Replay> for ReplayView {
    fn from(replay: Replay) -> Self {
        ReplayView {
            id: replay.id,
            status: replay.state.as_str(),
            endpoint_id: replay.filter.endpoint_id,
            statuses: replay.filter.statuses.iter().map(|state| state.as_str()).collect(),
            since: replay.filter.since,
            until: replay.filter.until,
            rate_per_second: replay.rate_per_second,
            matched_count: replay.matched.count,
            is_matched_count_capped: replay.matched.is_capped,
            replayed_count: replay.replayed_count,
            skipped_count: replay.skipped_count,
            progress: progress(&replay),
            created_at: replay.created_at,
            updated_at: replay.updated_at,
            completed_at: replay.completed_at,
        }
    }
}

/// How much of what was counted at the start is done, from 0 to 1. Nobody knows where the count ended early.
fn progress(replay: &Replay) -> Option<f64> {
    let done = replay.replayed_count + replay.skipped_count;
    match replay.matched {
        _ if replay.state == ReplayState::Completed => Some(1.0),
        ReplayCount { is_capped: true, .. } => None,
        ReplayCount { count: 0, .. } => Some(0.0),
        // More may fit by now than did at the start.
        ReplayCount { count, .. } => Some((done as f64 / count as f64).min(1.0)),
    }
}

impl PreviewView {
    /// So many events at this rate.
    pub(crate) fn new(found: ReplayCount, rate_per_second: u32) -> Self {
        let estimated_seconds = found.count.div_ceil(u64::from(rate_per_second.max(1)));
        PreviewView { count: found.count, is_capped: found.is_capped, rate_per_second, estimated_seconds }
    }
}
