//! One connection: its settings, its prepared statements, and whether it may be used again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::error::Failure;
use crate::statements::Statement;

/// The value of a parameter.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Values for the parameters of a statement.
pub(crate) type Parameters<'a> = [Parameter<'a>];

/// A connection. The task that drives it ends when this is dropped.
pub(crate) struct Session {
    client: Client,
    server_version: Option<String>,
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
}

impl Session {
    pub(crate) fn new(client: Client, server_version: Option<String>) -> Self {
        Session { client, server_version, prepared: Mutex::default() }
    }

    /// The version that the server named when the connection was made.
    pub(crate) fn server_version(&self) -> Option<&str> {
        self.server_version.as_deref()
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// How to have the server stop what it does for this connection.
    pub(crate) fn cancel_token(&self) -> tokio_postgres::CancelToken {
        self.client.cancel_token()
    }

    /// The rows of a statement.
    pub(crate) async fn query(
        &self,
        statement: &'static Statement,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let prepared = self.prepared(statement).await?;
        Ok(self.client.query(&prepared, parameters).await?)
    }

    /// The first row of a statement, if there is one.
    pub(crate) async fn query_opt(
        &self,
        statement: &'static Statement,
        parameters: &Parameters<'_>,
    ) -> Result<Option<Row>, Failure> {
        Ok(self.query(statement, parameters).await?.into_iter().next())
    }

    /// How many rows a statement touched.
    pub(crate) async fn execute(
        &self,
        statement: &'static Statement,
        parameters: &Parameters<'_>,
    ) -> Result<u64, Failure> {
        let prepared = self.prepared(statement).await?;
        Ok(self.client.execute(&prepared, parameters).await?)
    }

    /// Statements without parameters and rows, such as those that begin and end a transaction.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Does `work` in a transaction that `begin` begins, and ends it: a failure undoes everything and leaves the connection
    /// fit for use.
    pub(crate) async fn transaction<T>(
        &self,
        begin: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.run(begin).await?;
        let result = work.await;
        self.run(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        result
    }

    /// The first column of the first row of a statement that need not be fast.
    pub(crate) async fn text(&self, sql: &str) -> Result<Option<String>, Failure> {
        let messages = self.client.simple_query(sql).await?;
        let row = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(row.and_then(|row| row.get(0).map(str::to_owned)))
    }

    async fn prepared(&self, statement: &'static Statement) -> Result<tokio_postgres::Statement, Failure> {
        let known = self.lock().get(statement.name).cloned();
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let prepared = self.client.prepare_typed(statement.sql, statement.parameters).await?;
        self.lock().insert(statement.name, prepared.clone());
        Ok(prepared)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, tokio_postgres::Statement>> {
        // Nothing panics while it holds the lock.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
