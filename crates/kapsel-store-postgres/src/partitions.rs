//! Partitions: made ahead, dropped by retention, and an alarm where one is missing.
//!
//! Each partitioned table has a default partition, so that a row whose partition is missing is stored all the same. Rows
//! in there are no loss but trouble: they can no longer be dropped by time. So they are moved when their partition is
//! made, and told until then.

use std::time::Duration;

use kapsel_core::{EventId, Timestamp};
use kapsel_store::Retention;
use tokio_postgres::error::SqlState;

use crate::calendar::{Period, Step};
use crate::error::Failure;
use crate::idempotency::bucket;
use crate::rows::{StoredId, get};
use crate::session::Session;
use crate::statements as sql;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long to wait for a lock at which everybody else would queue up behind us. What is not to be had is tried again at
/// the next round.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '500ms'";

/// How it stands with the partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionReport {
    /// Partitions of today and tomorrow that are not there.
    pub missing: Vec<String>,
    /// Default partitions that hold rows.
    pub strays: Vec<String>,
    /// How many were made this time.
    pub made: usize,
    /// How many were dropped this time.
    pub dropped: usize,
}

impl PartitionReport {
    /// Whether somebody should look.
    pub fn is_alarm(&self) -> bool {
        !self.missing.is_empty() || !self.strays.is_empty()
    }

    /// What there is to look at, a sentence each.
    pub fn alarms(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|partition| format!("the partition {partition} is missing"));
        let strays = self.strays.iter().map(|table| format!("{table} holds rows whose partition was missing"));
        missing.chain(strays).collect()
    }
}

/// What a table is partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// The column with an event's id, which begins with its time.
    EventId(&'static str),
    /// The day in which a use of an idempotency key expires.
    Bucket,
}

/// A partitioned table.
struct Table {
    name: &'static str,
    key: Key,
    step: Step,
    /// How far ahead partitions are made.
    ahead: Duration,
}

const TABLES: [Table; 5] = [
    Table { name: "events", key: Key::EventId("id"), step: Step::Day, ahead: Duration::from_secs(14 * 24 * 3_600) },
    Table {
        name: "event_bodies",
        key: Key::EventId("event_id"),
        step: Step::Day,
        ahead: Duration::from_secs(14 * 24 * 3_600),
    },
    Table {
        name: "delivery_attempts",
        key: Key::EventId("event_id"),
        step: Step::Month,
        ahead: Duration::from_secs(45 * 24 * 3_600),
    },
    Table {
        name: "outcomes",
        key: Key::EventId("event_id"),
        step: Step::Month,
        ahead: Duration::from_secs(45 * 24 * 3_600),
    },
    // Keys live for seven days at most.
    Table { name: "idempotency_keys", key: Key::Bucket, step: Step::Day, ahead: Duration::from_secs(10 * 24 * 3_600) },
];

impl Table {
    fn partition(&self, period: Period) -> String {
        format!("{}_p{}", self.name, self.step.suffix(period))
    }

    fn period_of(&self, partition: &str) -> Option<Period> {
        self.step.parse(partition.strip_prefix(self.name)?.strip_prefix("_p")?)
    }

    fn column(&self) -> &'static str {
        match self.key {
            Key::EventId(column) => column,
            Key::Bucket => "bucket",
        }
    }

    /// The bounds of a partition as SQL takes them.
    fn bounds(&self, period: Period) -> (String, String) {
        match self.key {
            Key::EventId(_) => {
                let bound = |time| format!("'{}'::uuid", EventId::lower_bound(time).stored());
                (bound(period.begin()), bound(period.end()))
            }
            Key::Bucket => (bucket(period.begin()).to_string(), bucket(period.end()).to_string()),
        }
    }

    /// Up to when everything may go that nobody waits for.
    fn cutoff(&self, now: Timestamp, retention: Retention) -> Timestamp {
        match self.name {
            "events" | "event_bodies" => now - retention.events,
            "delivery_attempts" | "outcomes" => now - retention.attempts,
            // A day more than needed, for clocks that differ.
            _ => now - DAY,
        }
    }
}

/// Makes what is missing, drops what has had its time, and says how it stands. Any number of instances may do this at
/// once. What one partition does not get because of others is left for the next time.
///
/// # Errors
/// Those of the looking; what cannot be made or dropped is in the report and in the log.
pub(crate) async fn keep_up(
    session: &Session,
    now: Timestamp,
    retention: Retention,
    is_start: bool,
) -> Result<PartitionReport, Failure> {
    let mut report = PartitionReport::default();
    // Yesterday's as well: an instance whose clock is behind still writes there.
    for table in &TABLES {
        let there = partitions_of(session, table).await?;
        for period in table.step.between(now - DAY, now + table.ahead) {
            let partition = table.partition(period);
            if there.contains(&partition) {
                continue;
            }
            match session.transaction("BEGIN", make(session, table, period, &partition)).await {
                Ok(()) => report.made += 1,
                Err(failure) => tracing::error!(?failure, partition, "a partition cannot be made"),
            }
        }
    }
    if !is_start {
        report.dropped = drop_old(session, now, retention).await?;
    }
    look(session, now, &mut report).await?;
    Ok(report)
}

/// How it stands, without changing anything.
pub(crate) async fn look(session: &Session, now: Timestamp, report: &mut PartitionReport) -> Result<(), Failure> {
    for table in &TABLES {
        let there = partitions_of(session, table).await?;
        for period in table.step.between(now, now + DAY) {
            let partition = table.partition(period);
            if !there.contains(&partition) {
                report.missing.push(partition);
            }
        }
        let default = format!("{}_default", table.name);
        let has_rows = session.text(&format!("SELECT 1 FROM {default} LIMIT 1")).await?.is_some();
        if has_rows {
            report.strays.push(default);
        }
    }
    Ok(())
}

async fn partitions_of(session: &Session, table: &Table) -> Result<Vec<String>, Failure> {
    let rows = session.query(&sql::PARTITION_LIST, &[&table.name]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Makes a table, moves into it what belongs there, and attaches it: unlike `CREATE TABLE … PARTITION OF`, that keeps
/// nobody from writing to the other partitions meanwhile.
async fn make(session: &Session, table: &Table, period: Period, partition: &str) -> Result<(), Failure> {
    session.run(LOCK_WAIT).await?;
    // One instance at a time; it may have been made while we waited.
    session.query(&sql::MIGRATION_LOCK, &[]).await?;
    if session.text(&format!("SELECT to_regclass('{partition}')")).await?.is_some() {
        return Ok(());
    }
    let (name, column) = (table.name, table.column());
    let (from, to) = table.bounds(period);
    session
        .run(&format!(
            "CREATE TABLE {partition} (LIKE {name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
             LOCK TABLE {name}_default IN ACCESS EXCLUSIVE MODE;
             WITH moved AS (DELETE FROM {name}_default WHERE {column} >= {from} AND {column} < {to} RETURNING *)
             INSERT INTO {partition} SELECT * FROM moved;
             ALTER TABLE {name} ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({to})"
        ))
        .await
}

async fn drop_old(session: &Session, now: Timestamp, retention: Retention) -> Result<usize, Failure> {
    let mut dropped = 0;
    for table in &TABLES {
        let cutoff = table.cutoff(now, retention);
        for partition in partitions_of(session, table).await? {
            let Some(period) = table.period_of(&partition).filter(|period| period.end() <= cutoff) else { continue };
            match session.transaction("BEGIN", drop_one(session, table, period, &partition)).await {
                Ok(true) => {
                    tracing::info!(partition, "dropped a partition that has had its time");
                    dropped += 1;
                }
                Ok(false) => tracing::debug!(partition, "something in it is undelivered; it stays"),
                Err(failure) if is_lock(&failure) => tracing::debug!(partition, "in use; dropped another time"),
                Err(failure) => tracing::error!(?failure, partition, "a partition cannot be dropped"),
            }
        }
    }
    Ok(dropped)
}

/// Drops a partition unless something in it is queued, and says whether it did. The lock comes first: who queues an old
/// event anew holds one that keeps it out until the commit, and is then seen.
async fn drop_one(session: &Session, table: &Table, period: Period, partition: &str) -> Result<bool, Failure> {
    session.run(LOCK_WAIT).await?;
    session.run(&format!("LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")).await?;
    if let Key::EventId(_) = table.key {
        let (from, to) = table.bounds(period);
        let queued = format!("SELECT 1 FROM queue WHERE event_id >= {from} AND event_id < {to} LIMIT 1");
        if session.text(&queued).await?.is_some() {
            return Ok(false);
        }
    }
    session.run(&format!("DROP TABLE {partition}")).await?;
    Ok(true)
}

fn is_lock(failure: &Failure) -> bool {
    matches!(failure, Failure::Postgres(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-15T12:00:00Z
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_768_478_400);

    #[test]
    fn names_and_bounds_of_partitions_fit_together() {
        for table in &TABLES {
            for period in table.step.between(NOW, NOW + table.ahead) {
                assert_eq!(table.period_of(&table.partition(period)), Some(period));
            }
            assert_eq!(table.period_of(&format!("{}_default", table.name)), None);
        }
        let day = Step::Day.around(NOW).unwrap();
        assert_eq!(TABLES[0].partition(day), "events_p20260115");
        let (from, to) = TABLES[0].bounds(day);
        assert!(from < to, "{from} {to}");
        assert_eq!(TABLES[4].bounds(day), ("20468".to_owned(), "20469".to_owned()));
    }
}
