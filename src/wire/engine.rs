//! Picks the storage engine and hides which one it is.

use std::sync::Arc;

use kapsel_core::{Clock, Entropy, IdGenerator, InstanceId};
use kapsel_store::Store;
use kapsel_store_postgres::{PostgresOptions, PostgresStore, Retention, Upkeep};
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::told;
use crate::commands::Failure;
use crate::config::{DatabaseConfig, StorageConfig};
use crate::identity::Identity;

/// An open store.
pub(crate) struct Engine {
    store: Arc<dyn Store>,
    instance: InstanceId,
    kind: Kind,
}

enum Kind {
    Embedded(SqliteStore),
    Postgres { store: PostgresStore, _identity: Identity },
}

impl Engine {
    /// Opens the configured store, its schema up to date, and frees what the last run of this instance left leased.
    ///
    /// # Errors
    /// What could not be opened.
    pub(crate) async fn open(
        config: &StorageConfig,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        match &config.database {
            None => Engine::open_embedded(config, clock, entropy).await,
            Some(database) => Engine::open_postgres(config, database, clock, entropy).await,
        }
    }

    async fn open_embedded(
        config: &StorageConfig,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        let store = open_folder(config).await?;
        let instance = IdGenerator::new(Arc::clone(entropy)).next(clock.now());
        let engine = Engine { store: Arc::new(store.clone()), instance, kind: Kind::Embedded(store) };
        // One process owns the folder: whoever held a lease is dead.
        engine.free_leases(clock, None).await?;
        Ok(engine)
    }

    async fn open_postgres(
        config: &StorageConfig,
        database: &DatabaseConfig,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        let identity = Identity::take(&config.folder, Arc::clone(entropy), clock.now()).map_err(|error| {
            Failure::runtime("opening the data folder")(format!("{}: {error}", config.folder.display()).into())
        })?;
        let store = connect(database, clock, entropy).await?;
        let instance = identity.id();
        let kind = Kind::Postgres { store: store.clone(), _identity: identity };
        let engine = Engine { store: Arc::new(store), instance, kind };
        engine.free_leases(clock, Some(instance)).await?;
        Ok(engine)
    }

    async fn free_leases(&self, clock: &dyn Clock, owner: Option<InstanceId>) -> Result<(), Failure> {
        let freed = self
            .store
            .lease_release_all(clock.now(), owner)
            .await
            .map_err(|error| Failure::runtime("freeing the leases of the last run")(error.into()))?;
        if freed > 0 {
            tracing::info!(deliveries = freed, "interrupted deliveries go on");
        }
        Ok(())
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Under which name this instance holds leases.
    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }

    /// How many tasks commit webhooks at the same time.
    pub(crate) fn ingest_writers(&self) -> usize {
        match self.kind {
            // It has one writer by itself.
            Kind::Embedded(_) => 1,
            Kind::Postgres { .. } => POSTGRES_WRITERS,
        }
    }

    /// Starts what the engine does by itself, until it is told to stop.
    pub(crate) fn start_upkeep(&self, clock: &Arc<dyn Clock>, stopped: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        match &self.kind {
            Kind::Embedded(_) => Vec::new(),
            Kind::Postgres { store, .. } => {
                let version = env!("CARGO_PKG_VERSION");
                let upkeep = Upkeep::new(store.clone(), Arc::clone(clock), self.instance, version);
                let stopped = stopped.clone();
                vec![tokio::spawn(async move { upkeep.run(told(stopped)).await })]
            }
        }
    }

    /// Finishes what was begun and lets go.
    pub(crate) async fn close(self) {
        match self.kind {
            Kind::Embedded(store) => store.close().await,
            Kind::Postgres { store, .. } => store.close().await,
        }
    }
}

/// Brings the schema of the configured store up to date.
///
/// # Errors
/// What could not be opened.
pub(crate) async fn migrate(
    config: &StorageConfig,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
) -> Result<(), Failure> {
    match &config.database {
        None => open_folder(config).await?.close().await,
        Some(database) => connect(database, clock, entropy).await?.close().await,
    }
    Ok(())
}

async fn open_folder(config: &StorageConfig) -> Result<SqliteStore, Failure> {
    let options = SqliteOptions::new(config.folder.clone());
    // Opening reads and may migrate: work for a thread that may block.
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
    opened
        .map_err(|error| Failure::runtime("opening the data folder")(error.into()))?
        .map_err(|error| Failure::runtime("opening the data folder")(error.into()))
}

async fn connect(
    database: &DatabaseConfig,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
) -> Result<PostgresStore, Failure> {
    let options = PostgresOptions {
        url: database.url.clone(),
        connections_max: database.connections_max,
        wait_max: database.wait_max,
        allow_unsafe: database.allow_unsafe,
        retention: Retention { events: database.event_retention, attempts: database.attempt_retention },
    };
    PostgresStore::open(&options, Arc::clone(entropy), clock.now())
        .await
        .map_err(|error| Failure::runtime("opening the database")(error.into()))
}

/// More commits at once share each less well, and the processor has to be shared too.
const POSTGRES_WRITERS: usize = 2;
