//! What an instance does for the database now and then: it says that it lives, and one of all instances keeps the
//! partitions in order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, InstanceId, Timestamp};
use kapsel_store::StoreError;

use crate::partitions::{self, PartitionReport};
use crate::rows::StoredId;
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

/// How often an instance says that it lives.
const BEAT_PERIOD: Duration = Duration::from_secs(10);
/// An instance that was not heard of for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// How many beats lie between two looks at the partitions: ten minutes, and one where something is wrong.
const BEATS_BETWEEN_LOOKS: u32 = 60;
const BEATS_BETWEEN_LOOKS_IN_ALARM: u32 = 6;
/// How long the right to keep the partitions lasts.
const RIGHT: &str = "partitions";
const RIGHT_LASTS: Duration = Duration::from_secs(15 * 60);

/// Keeps the database in order on behalf of one instance.
pub struct Upkeep {
    store: PostgresStore,
    clock: Arc<dyn Clock>,
    instance: InstanceId,
    version: &'static str,
}

impl Upkeep {
    /// The upkeep of `store` by the instance `instance`, a program of this version.
    pub fn new(store: PostgresStore, clock: Arc<dyn Clock>, instance: InstanceId, version: &'static str) -> Self {
        Upkeep { store, clock, instance, version }
    }

    /// Says that this instance lives, and whether it is about to end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn beat(&self, is_draining: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (instance, version) = (self.instance.stored(), self.version);
        let beat = |session: Arc<Session>| async move {
            session.execute(&sql::INSTANCE_BEAT, &[&instance, &version, &now.unix_micros(), &is_draining]).await?;
            let long_ago = now - FORGOTTEN_AFTER;
            session.execute(&sql::INSTANCE_FORGET, &[&long_ago.unix_micros()]).await
        };
        self.store.work().with(beat).await?;
        Ok(())
    }

    /// Keeps the partitions in order if this instance has the right to, and looks how it stands with them in any case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn run_once(&self) -> Result<PartitionReport, StoreError> {
        let now = self.clock.now();
        let report = match self.has_right(now).await? {
            true => {
                let retention = self.store.retention();
                let keep_up =
                    |session: Arc<Session>| async move { partitions::keep_up(&session, now, retention, false).await };
                self.store.upkeep().with(keep_up).await?
            }
            false => {
                let look = |session: Arc<Session>| async move {
                    let mut report = PartitionReport::default();
                    partitions::look(&session, now, &mut report).await?;
                    Ok(report)
                };
                self.store.upkeep().with(look).await?
            }
        };
        if report.is_alarm() {
            tracing::error!(missing = ?report.missing, strays = ?report.strays, "partitions are missing");
        }
        self.store.set_partitions(report.clone());
        Ok(report)
    }

    async fn has_right(&self, now: Timestamp) -> Result<bool, StoreError> {
        let owner = self.instance.stored();
        let until = now + RIGHT_LASTS;
        let take = |session: Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&RIGHT, &owner, &until.unix_micros(), &now.unix_micros()];
            Ok(session.query_opt(&sql::LEASE_TAKE, &parameters).await?.is_some())
        };
        self.store.work().with(take).await
    }

    /// Does both regularly until `shutdown` is ready, and then says that this instance ends.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = self.run_for_ever() => {}
        }
        if let Err(error) = self.beat(true).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the database was not told of the end");
        }
    }

    async fn run_for_ever(&self) {
        let mut beats_to_look = BEATS_BETWEEN_LOOKS_IN_ALARM;
        loop {
            if let Err(error) = self.beat(false).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot say that this instance lives");
            }
            beats_to_look -= 1;
            if beats_to_look == 0 {
                beats_to_look = match self.run_once().await {
                    Ok(report) if !report.is_alarm() => BEATS_BETWEEN_LOOKS,
                    Ok(_) => BEATS_BETWEEN_LOOKS_IN_ALARM,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "cannot look after the partitions");
                        BEATS_BETWEEN_LOOKS_IN_ALARM
                    }
                };
            }
            tokio::time::sleep(BEAT_PERIOD).await;
        }
    }
}
