//! Keeping figures of endpoints.

use async_trait::async_trait;
use kapsel_core::{EndpointId, TenantId};
use kapsel_store::statistics::{STATISTICS_PRUNED, expired_before};
use kapsel_store::{Hour, Statistics, StatisticsChange, StatisticsStore, StoreError};
use rusqlite::{Connection, params};

use crate::job::{Kind, Weight};
use crate::rows::{count, stored, stored_count};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl StatisticsStore for SqliteStore {
    async fn statistics_add(&self, hour: Hour, changes: Vec<StatisticsChange>) -> Result<(), StoreError> {
        let weight = Weight { rows: changes.len(), bytes: 0 };
        let add = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::STATISTICS_ADD)?;
            for StatisticsChange { tenant_id, endpoint_id, added } in &changes {
                statement.execute(params![
                    endpoint_id.as_bytes(),
                    hour.0,
                    tenant_id.as_bytes(),
                    stored_count(added.accepted),
                    stored_count(added.duplicates),
                    stored_count(added.refused),
                    stored_count(added.delivered),
                    stored_count(added.failed),
                ])?;
            }
            let mut prune = connection.prepare_cached(sql::STATISTICS_PRUNE)?;
            prune.execute(params![expired_before(hour).0, stored(STATISTICS_PRUNED)])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, weight, add).await
    }

    async fn statistics_list(
        &self,
        tenant_id: TenantId,
        endpoint_id: EndpointId,
        from: Hour,
        until: Hour,
    ) -> Result<Vec<(Hour, Statistics)>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::STATISTICS_LIST)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), endpoint_id.as_bytes(), from.0, until.0])?;
            let mut hours = Vec::new();
            while let Some(row) = rows.next()? {
                let figures = Statistics {
                    accepted: count(row, 1)?,
                    duplicates: count(row, 2)?,
                    refused: count(row, 3)?,
                    delivered: count(row, 4)?,
                    failed: count(row, 5)?,
                };
                hours.push((Hour(row.get(0)?), figures));
            }
            Ok(hours)
        };
        self.readers().read(list).await
    }
}
