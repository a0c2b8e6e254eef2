//! `GET /v1/endpoints/{id}/stats`: figures of an endpoint, by the hour or by the day.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use kapsel_core::{EndpointId, Timestamp};
use kapsel_store::{Hour, Statistics};
use serde::Serialize;

use super::auth::{Principal, ReadEndpoints};
use super::events::time;
use super::fields::TIME_PROBLEM;
use super::path_part;
use super::query::Query;
use crate::Shared;
use crate::problem::{self, Problem, Reply};

const HOUR_SECONDS: u64 = 3_600;
const DAY_HOURS: i64 = 24;
/// How far back a request looks unless it says: a day.
const LOOK_BACK: Duration = Duration::from_secs(24 * HOUR_SECONDS);
/// The longest time that one request can ask for: as long as figures are kept.
const RANGE_MAX: Duration = Duration::from_secs(90 * 24 * HOUR_SECONDS);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interval {
    Hour,
    Day,
}

impl Interval {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "hour" => Some(Interval::Hour),
            "day" => Some(Interval::Day),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Interval::Hour => "hour",
            Interval::Day => "day",
        }
    }

    /// The interval that an hour lies in, by its first hour. Days are those of UTC.
    fn of(self, hour: Hour) -> Hour {
        match self {
            Interval::Hour => hour,
            Interval::Day => Hour(hour.0.div_euclid(DAY_HOURS) * DAY_HOURS),
        }
    }
}

/// Figures of an endpoint.
#[derive(Serialize)]
pub(crate) struct StatisticsView {
    endpoint_id: EndpointId,
    interval: &'static str,
    since: Timestamp,
    until: Timestamp,
    total: FiguresView,
    data: Vec<IntervalView>,
}

#[derive(Serialize)]
struct IntervalView {
    begin: Timestamp,
    #[serde(flatten)]
    figures: FiguresView,
}

#[derive(Serialize)]
struct FiguresView {
    accepted: u64,
    duplicates: u64,
    refused: u64,
    attempts_delivered: u64,
    attempts_failed: u64,
}

impl From<Statistics> for FiguresView {
    fn from(figures: Statistics) -> Self {
        FiguresView {
            accepted: figures.accepted,
            duplicates: figures.duplicates,
            refused: figures.refused,
            attempts_delivered: figures.delivered,
            attempts_failed: figures.failed,
        }
    }
}

/// `GET /v1/endpoints/{id}/stats`.
pub(crate) async fn show(
    principal: Principal<ReadEndpoints>,
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read_alone(request.uri(), &["since", "until", "interval"])?;
    let since = query.parsed("since", TIME_PROBLEM, time);
    let until = query.parsed("until", TIME_PROBLEM, time);
    let interval = query.parsed("interval", "must be hour or day", Interval::parse).unwrap_or(Interval::Hour);
    let until = until.unwrap_or(shared.clock.now());
    let since = since.unwrap_or(until - LOOK_BACK);
    if until <= since {
        query.refuse("since", "must be earlier than until");
    } else if until.saturating_since(since) > RANGE_MAX {
        query.refuse("since", "must lie at most 90 days before until");
    }
    query.end()?;

    let endpoint_id: EndpointId = path_part(request.uri().path(), 3)?;
    shared.store.endpoint_get(principal.tenant_id, endpoint_id).await?;
    let from = interval.of(Hour::of(since));
    // The hour that `until` lies in has begun before it.
    let end = Hour(Hour::of(until - Duration::from_micros(1)).0 + 1);
    let hours = shared.statistics.statistics_list(principal.tenant_id, endpoint_id, from, end).await?;

    let mut total = Statistics::default();
    let mut intervals: Vec<(Hour, Statistics)> = Vec::new();
    for (hour, figures) in hours {
        total += figures;
        let begin = interval.of(hour);
        match intervals.last_mut() {
            Some((last, sum)) if *last == begin => *sum += figures,
            _ => intervals.push((begin, figures)),
        }
    }
    let view = StatisticsView {
        endpoint_id,
        interval: interval.as_str(),
        since: from.begin(),
        until,
        total: total.into(),
        data: intervals
            .into_iter()
            .map(|(begin, figures)| IntervalView { begin: begin.begin(), figures: figures.into() })
            .collect(),
    };
    Ok(problem::json(Reply::Ok, &view))
}
