//! The secrets of endpoints, as they are sealed.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::EndpointId;
use kapsel_store::StoreError;
use kapsel_store::sealing::{SealedStore, SecretsRow};

use crate::error::corrupt;
use crate::rows::{StoredId, get, id, stored};
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl SealedStore for PostgresStore {
    async fn master_key_claim(&self, first: String) -> Result<String, StoreError> {
        let claim = |session: Arc<Session>| async move {
            session.execute(&sql::MASTER_KEY_CLAIM, &[&first]).await?;
            let row = session.query_opt(&sql::MASTER_KEY_READ, &[]).await?;
            get(&row.ok_or_else(|| corrupt("the id of the master key", "its row is missing"))?, 0)
        };
        self.work().with(claim).await
    }

    async fn master_key_replace(&self, id: String) -> Result<(), StoreError> {
        let replace = |session: Arc<Session>| async move { session.execute(&sql::MASTER_KEY_REPLACE, &[&id]).await };
        self.work().with(replace).await?;
        Ok(())
    }

    async fn secrets_list(&self, after: EndpointId, limit: usize) -> Result<Vec<SecretsRow>, StoreError> {
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::SECRETS_LIST, &[&after.stored(), &stored(limit)]).await?;
            let row = |row| Ok(SecretsRow { id: id(row, 0)?, tenant_id: id(row, 1)?, stored: get(row, 2)? });
            rows.iter().map(row).collect()
        };
        self.work().with(list).await
    }

    async fn secrets_replace_if_same(&self, row: SecretsRow, stored: Vec<u8>) -> Result<(), StoreError> {
        let replace = |session: Arc<Session>| async move {
            let (tenant_id, id) = (row.tenant_id.stored(), row.id.stored());
            session.execute(&sql::SECRETS_REPLACE_IF_SAME, &[&tenant_id, &id, &row.stored, &stored]).await
        };
        self.work().with(replace).await?;
        Ok(())
    }
}
