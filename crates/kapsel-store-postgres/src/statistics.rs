//! Keeping figures of endpoints.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{EndpointId, TenantId};
use kapsel_store::statistics::{STATISTICS_PRUNED, expired_before};
use kapsel_store::{Hour, Statistics, StatisticsChange, StatisticsStore, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Failure;
use crate::replays::stored_count;
use crate::rows::{StoredId, get, size, stored};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl StatisticsStore for PostgresStore {
    async fn statistics_add(&self, hour: Hour, changes: Vec<StatisticsChange>) -> Result<(), StoreError> {
        let column = |value: fn(&Statistics) -> u64| -> Vec<i64> {
            changes.iter().map(|change| stored_count(value(&change.added))).collect()
        };
        let endpoints: Vec<Uuid> = changes.iter().map(|change| change.endpoint_id.stored()).collect();
        let tenants: Vec<Uuid> = changes.iter().map(|change| change.tenant_id.stored()).collect();
        let (accepted, duplicates) = (column(|figures| figures.accepted), column(|figures| figures.duplicates));
        let (refused, delivered) = (column(|figures| figures.refused), column(|figures| figures.delivered));
        let failed = column(|figures| figures.failed);
        let add = |session: Arc<Session>| async move {
            let parameters: &Parameters<'_> =
                &[&hour.0, &endpoints, &tenants, &accepted, &duplicates, &refused, &delivered, &failed];
            session.execute(&sql::STATISTICS_ADD, parameters).await?;
            let pruned =
                &[&expired_before(hour).0 as &(dyn tokio_postgres::types::ToSql + Sync), &stored(STATISTICS_PRUNED)];
            session.execute(&sql::STATISTICS_PRUNE, pruned).await
        };
        self.work().with(add).await?;
        Ok(())
    }

    async fn statistics_list(
        &self,
        tenant_id: TenantId,
        endpoint_id: EndpointId,
        from: Hour,
        until: Hour,
    ) -> Result<Vec<(Hour, Statistics)>, StoreError> {
        let list = |session: Arc<Session>| async move {
            let parameters: &Parameters<'_> = &[&tenant_id.stored(), &endpoint_id.stored(), &from.0, &until.0];
            session.query(&sql::STATISTICS_LIST, parameters).await?.iter().map(hour).collect()
        };
        self.in_tenant(tenant_id, list).await
    }
}

fn hour(row: &Row) -> Result<(Hour, Statistics), Failure> {
    let figures = Statistics {
        accepted: size(row, 1)?,
        duplicates: size(row, 2)?,
        refused: size(row, 3)?,
        delivered: size(row, 4)?,
        failed: size(row, 5)?,
    };
    Ok((Hour(get(row, 0)?), figures))
}
