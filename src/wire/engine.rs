//! Picks the storage engine and hides which one it is.

use std::sync::{Arc, OnceLock};

use kapsel_core::{Clock, Entropy, IdGenerator, InstanceId, Sealer, SystemEntropy};
use kapsel_delivery::SharedTerms;
use kapsel_store::sealing::{self, SealedStore, SealingError};
use kapsel_store::spool::{SpoolDrain, SpoolGauge, SpoolSettings, SpoolStore as _, SpooledStore};
use kapsel_store::{PoolUse, Retention, Store};
use kapsel_store_postgres::{OpenError, PostgresOptions, PostgresStore, Upkeep};
use kapsel_store_sqlite::{SpoolOptions, SqliteOptions, SqliteSpool, SqliteStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::told;
use crate::commands::Failure;
use crate::config::{ConfigError, DATABASE_URL, DatabaseConfig, StorageConfig};
use crate::identity::Identity;
use crate::keys::StoreKeys;

/// An open store.
pub(crate) struct Engine {
    store: Arc<dyn Store>,
    instance: InstanceId,
    kind: Kind,
}

enum Kind {
    Embedded(SqliteStore),
    Postgres { store: PostgresStore, spool: Option<Spool>, _identity: Identity },
}

/// A local spool in front of the database.
struct Spool {
    folder: SqliteSpool,
    store: Arc<SpooledStore>,
    /// Called after events were moved into the database; known once there is a dispatcher.
    moved: Arc<OnceLock<Arc<dyn Fn() + Send + Sync>>>,
}

impl Engine {
    /// Opens the configured store, its schema up to date, and frees what the last run of this instance left leased.
    ///
    /// # Errors
    /// What could not be opened.
    pub(crate) async fn open(
        config: &StorageConfig,
        keys: &StoreKeys,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        match &config.database {
            None => Engine::open_embedded(config, keys, clock, entropy).await,
            Some(database) => Engine::open_postgres(config, database, keys, clock, entropy).await,
        }
    }

    async fn open_embedded(
        config: &StorageConfig,
        keys: &StoreKeys,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        let store = open_folder(config, keys.sealer.clone()).await?;
        bring_secrets_up_to_date(&store, keys).await?;
        if let Some(spool) = left_in_spool(config).await? {
            let folder = config.folder.join(SPOOL_FOLDER);
            tracing::error!(folder = %folder.display(), "accepted events wait here for the database; set DATABASE_URL");
            spool.close().await;
        }
        let instance = IdGenerator::new(Arc::clone(entropy)).next(clock.now());
        let engine = Engine { store: Arc::new(store.clone()), instance, kind: Kind::Embedded(store) };
        // One process owns the folder: whoever held a lease is dead.
        engine.free_leases(clock, None).await?;
        Ok(engine)
    }

    async fn open_postgres(
        config: &StorageConfig,
        database: &DatabaseConfig,
        keys: &StoreKeys,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        let identity = Identity::take(&config.folder, Arc::clone(entropy), clock.now()).map_err(|error| {
            Failure::runtime("opening the data folder")(format!("{}: {error}", config.folder.display()).into())
        })?;
        // Before the database: what is spooled must not be overlooked because the folder cannot be used.
        let folder = match database.spool_bytes_max {
            Some(bytes_max) => Some(open_spool(config, bytes_max).await?),
            None => left_in_spool(config).await?.inspect(|_| {
                tracing::warn!(
                    "the spool is off, and events of an earlier run are in it; it is on until the next start"
                );
            }),
        };
        let store = connect(database, config.retention, keys.sealer.clone(), clock, entropy).await?;
        bring_secrets_up_to_date(&store, keys).await?;
        let instance = identity.id();
        let spool = folder.map(|folder| Spool::new(folder, store.clone()));
        let shared: Arc<dyn Store> = match &spool {
            None => Arc::new(store.clone()),
            Some(spool) => Arc::clone(&spool.store) as _,
        };
        let engine = Engine { store: shared, instance, kind: Kind::Postgres { store, spool, _identity: identity } };
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

    /// Says how busy the connections to the store are.
    pub(crate) fn pools(&self) -> Box<dyn Fn() -> Vec<PoolUse> + Send + Sync> {
        match &self.kind {
            Kind::Embedded(store) => {
                let store = store.clone();
                Box::new(move || store.pools())
            }
            Kind::Postgres { store, .. } => {
                let store = store.clone();
                Box::new(move || store.pools())
            }
        }
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

    /// Who removes what everybody keeps for the same time.
    pub(crate) fn shared_terms(&self) -> SharedTerms {
        match self.kind {
            Kind::Embedded(_) => SharedTerms::RowByRow,
            // Its partitions go as a whole.
            Kind::Postgres { .. } => SharedTerms::OfTheEngine,
        }
    }

    /// How the spool is doing, where there is one.
    pub(crate) fn spool_gauge(&self) -> Option<Arc<dyn SpoolGauge>> {
        self.spool().map(|spool| Arc::clone(&spool.store) as _)
    }

    fn spool(&self) -> Option<&Spool> {
        match &self.kind {
            Kind::Embedded(_) => None,
            Kind::Postgres { spool, .. } => spool.as_ref(),
        }
    }

    /// Starts what the engine does by itself, until it is told to stop. `wake_delivery` is called when there may be work
    /// that nobody knows of.
    pub(crate) fn start_upkeep(
        &self,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
        wake_delivery: Arc<dyn Fn() + Send + Sync>,
        stopped: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        if let Kind::Postgres { store, .. } = &self.kind {
            let version = env!("CARGO_PKG_VERSION");
            let upkeep = Upkeep::new(store.clone(), Arc::clone(clock), self.instance, version);
            let stopped = stopped.clone();
            tasks.push(tokio::spawn(async move { upkeep.run(told(stopped)).await }));
        }
        if let Some(spool) = self.spool() {
            // Set once: this is called once.
            let _ = spool.moved.set(wake_delivery);
            let drain = SpoolDrain::new(Arc::clone(&spool.store), Arc::clone(clock), Arc::clone(entropy));
            let stopped = stopped.clone();
            tasks.push(tokio::spawn(async move { drain.run(told(stopped)).await }));
        }
        tasks
    }

    /// Finishes what was begun and lets go.
    pub(crate) async fn close(self) {
        match self.kind {
            Kind::Embedded(store) => store.close().await,
            Kind::Postgres { store, spool, .. } => {
                if let Some(spool) = spool {
                    spool.folder.close().await;
                }
                store.close().await;
            }
        }
    }
}

impl Spool {
    fn new(folder: SqliteSpool, store: PostgresStore) -> Self {
        let moved: Arc<OnceLock<Arc<dyn Fn() + Send + Sync>>> = Arc::default();
        let wake = Arc::clone(&moved);
        let hook = Arc::new(move || {
            if let Some(wake) = wake.get() {
                wake();
            }
        });
        let (primary, spool) = (Arc::new(store), Arc::new(folder.clone()));
        let store = SpooledStore::new(primary, spool, SpoolSettings::default(), hook);
        Spool { folder, store: Arc::new(store), moved }
    }
}

/// Whether the settings of the store can be understood. Connects to nothing.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check(config: &StorageConfig) -> Result<(), Failure> {
    config.database.as_ref().map_or(Ok(()), |database| {
        let sealer = closed(&(Arc::new(SystemEntropy) as _));
        options(database, config.retention, sealer).check().map_err(unusable)
    })
}

fn options(database: &DatabaseConfig, retention: Retention, sealer: Sealer) -> PostgresOptions {
    PostgresOptions {
        url: database.url.clone(),
        connections_max: database.connections_max,
        wait_max: database.wait_max,
        allow_unsafe: database.allow_unsafe,
        retention,
        sealer,
    }
}

/// The configuration is at fault: one line that names the setting and not its value.
fn unusable(error: OpenError) -> Failure {
    let mut problem = String::from("cannot be used");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        problem = format!("{problem}: {cause}");
        source = cause.source();
    }
    Failure::Config(ConfigError::Secret { setting: DATABASE_URL, problem })
}

/// A store with nobody at work on it: no lease is freed, no name is taken.
pub(crate) enum Bare {
    Embedded(SqliteStore),
    Postgres(PostgresStore),
}

impl Bare {
    /// Opens the configured store, its schema up to date.
    ///
    /// # Errors
    /// What could not be opened.
    pub(crate) async fn open(
        config: &StorageConfig,
        clock: &dyn Clock,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        Ok(match &config.database {
            None => Bare::Embedded(open_folder(config, closed(entropy)).await?),
            Some(database) => {
                Bare::Postgres(connect(database, config.retention, closed(entropy), clock, entropy).await?)
            }
        })
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Bare::Embedded(store) => Arc::new(store.clone()),
            Bare::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// Lets go.
    pub(crate) async fn close(self) {
        match self {
            Bare::Embedded(store) => store.close().await,
            Bare::Postgres(store) => store.close().await,
        }
    }
}

/// For looking at a store without its secrets.
fn closed(entropy: &Arc<dyn Entropy>) -> Sealer {
    Sealer::new(Vec::new(), Arc::clone(entropy))
}

/// Makes sure that the secrets in the store can be read, and that they are sealed under the newest key.
async fn bring_secrets_up_to_date(store: &dyn SealedStore, keys: &StoreKeys) -> Result<(), Failure> {
    match sealing::bring_up_to_date(store, &keys.sealer).await {
        Ok(0) => Ok(()),
        Ok(endpoints) => {
            tracing::info!(endpoints, "secrets are sealed under the present master key now");
            Ok(())
        }
        Err(error @ SealingError::UnknownKey { .. }) => {
            keys.forget_new();
            let hint = "set KAPSEL_MASTER_KEY or KAPSEL_MASTER_KEY_FILE, or put the file master-key of the instance that \
                        has it into the data folder";
            Err(Failure::runtime("opening the secrets")(format!("{error}: {hint}").into()))
        }
        Err(error) => Err(Failure::runtime("opening the secrets")(error.into())),
    }
}

async fn open_folder(config: &StorageConfig, sealer: Sealer) -> Result<SqliteStore, Failure> {
    let options = SqliteOptions::new(config.folder.clone(), sealer);
    // Opening reads and may migrate: work for a thread that may block.
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
    opened
        .map_err(|error| Failure::runtime("opening the data folder")(error.into()))?
        .map_err(|error| Failure::runtime("opening the data folder")(error.into()))
}

/// The spool, if the last run had one and events are left in it: they are kept whatever the settings say now.
async fn left_in_spool(config: &StorageConfig) -> Result<Option<SqliteSpool>, Failure> {
    if !config.folder.join(SPOOL_FOLDER).exists() {
        return Ok(None);
    }
    let spool = open_spool(config, u64::MAX).await?;
    if spool.spool_size().events > 0 {
        return Ok(Some(spool));
    }
    spool.close().await;
    Ok(None)
}

async fn open_spool(config: &StorageConfig, bytes_max: u64) -> Result<SqliteSpool, Failure> {
    let options = SpoolOptions { folder: config.folder.join(SPOOL_FOLDER), bytes_max };
    let opened = tokio::task::spawn_blocking(move || SqliteSpool::open(options)).await;
    opened
        .map_err(|error| Failure::runtime("opening the spool")(error.into()))?
        .map_err(|error| Failure::runtime("opening the spool")(error.into()))
}

async fn connect(
    database: &DatabaseConfig,
    retention: Retention,
    sealer: Sealer,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
) -> Result<PostgresStore, Failure> {
    PostgresStore::open(&options(database, retention, sealer), Arc::clone(entropy), clock.now()).await.map_err(
        |error| match error {
            error @ (OpenError::Url(_) | OpenError::Tls { .. }) => unusable(error),
            error => Failure::runtime("opening the database")(error.into()),
        },
    )
}

/// Where the spool is, inside of the data folder.
const SPOOL_FOLDER: &str = "spool";

/// More commits at once share each less well, and the processor has to be shared too.
const POSTGRES_WRITERS: usize = 2;
