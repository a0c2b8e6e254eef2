//! The secrets of endpoints, as they are sealed.

use async_trait::async_trait;
use kapsel_core::EndpointId;
use kapsel_store::StoreError;
use kapsel_store::sealing::{SealedStore, SecretsRow};
use rusqlite::{Connection, params};

use crate::job::{Kind, Weight};
use crate::rows::{id, stored};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl SealedStore for SqliteStore {
    async fn master_key_claim(&self, first: String) -> Result<String, StoreError> {
        let claim = move |connection: &Connection| {
            connection.prepare_cached(sql::MASTER_KEY_CLAIM)?.execute([&first])?;
            Ok(connection.prepare_cached(sql::MASTER_KEY_READ)?.query_row([], |row| row.get(0))?)
        };
        self.writer().write(Kind::Sure, Weight::ROW, claim).await
    }

    async fn master_key_replace(&self, id: String) -> Result<(), StoreError> {
        let replace = move |connection: &Connection| {
            connection.prepare_cached(sql::MASTER_KEY_REPLACE)?.execute([&id])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, replace).await
    }

    async fn secrets_list(&self, after: EndpointId, limit: usize) -> Result<Vec<SecretsRow>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::SECRETS_LIST)?;
            let mut rows = statement.query(params![after.as_bytes(), stored(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(SecretsRow { id: id(row, 0)?, tenant_id: id(row, 1)?, stored: row.get(2)? });
            }
            Ok(found)
        };
        self.readers().read(list).await
    }

    async fn secrets_replace_if_same(&self, row: SecretsRow, stored: Vec<u8>) -> Result<(), StoreError> {
        let replace = move |connection: &Connection| {
            let SecretsRow { tenant_id, id, stored: former } = &row;
            let mut statement = connection.prepare_cached(sql::SECRETS_REPLACE_IF_SAME)?;
            statement.execute(params![tenant_id.as_bytes(), id.as_bytes(), former, stored])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, replace).await
    }
}
