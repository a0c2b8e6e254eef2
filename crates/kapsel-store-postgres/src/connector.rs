//! Making connections: with limits on time, with the settings that the engine relies on, and with pauses that grow and
//! vary while the database is away, so that a hundred instances do not come back to it at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kapsel_core::Entropy;
use kapsel_store::StoreError;
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Failure;
use crate::session::Session;

/// How long making a connection may take, name resolution, TLS and settings included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The role of the management API, bound by row-level security.
pub(crate) const API_ROLE: &str = "kapsel_api";

/// Settings of every connection. What the engine asks goes by an index of its own, one row after the other; a planner
/// that has seen an empty table once must not keep to reading it whole. Databases that lack a setting do without.
pub(crate) const PLANNER_SETTINGS: &[&str] = &[
    "SET plan_cache_mode = force_generic_plan",
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET jit = off",
];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ingest, delivery, housekeeping.
    Work,
    /// The management API: short statements, under the role that sees one tenant.
    Api,
    /// Migrations and partitions, which may wait for others and take their time.
    Upkeep,
}

impl Purpose {
    /// The server ends a statement that takes longer, also if its caller is gone.
    fn statement_time_max(self) -> Duration {
        match self {
            Purpose::Work => Duration::from_secs(15),
            Purpose::Api => Duration::from_secs(5),
            Purpose::Upkeep => Duration::from_secs(60),
        }
    }
}

/// Makes connections to one database.
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    entropy: Arc<dyn Entropy>,
    pause: Mutex<Pause>,
}

/// When the next attempt may be made.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Connector {
    pub(crate) fn new(config: Config, tls: MakeRustlsConnect, entropy: Arc<dyn Entropy>) -> Self {
        Connector { config, tls, entropy, pause: Mutex::default() }
    }

    /// A new connection, ready for use.
    ///
    /// # Errors
    /// [`Failure`]; at once while the pause after the last failure lasts.
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Session, Failure> {
        if self.lock().until.is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Unavailable { message: "the database cannot be reached", cause: None }.into());
        }
        match self.connect_now(purpose).await {
            Ok(session) => {
                *self.lock() = Pause::default();
                Ok(session)
            }
            Err(failure) => {
                self.begin_pause();
                Err(failure)
            }
        }
    }

    /// The same without regard to pauses.
    pub(crate) async fn connect_now(&self, purpose: Purpose) -> Result<Session, Failure> {
        let connect = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            let server_version = connection.parameter("server_version").map(str::to_owned);
            // Ends when the client is dropped, or with the connection.
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a connection to the database ended");
                }
            });
            let session = Session::new(client, server_version);
            set_up(&session, purpose).await?;
            Ok(session)
        };
        let connected = tokio::time::timeout(CONNECT_TIME_MAX, connect).await;
        connected.unwrap_or(Err(Failure::TimedOut(CONNECT_TIME_MAX)))
    }

    /// Asks the server to stop what it does for a connection that was given up.
    pub(crate) fn cancel(&self, token: tokio_postgres::CancelToken) {
        let tls = self.tls.clone();
        tokio::spawn(async move {
            // If it cannot be told, its own time limit ends it.
            let _ = tokio::time::timeout(CONNECT_TIME_MAX, token.cancel_query(tls)).await;
        });
    }

    /// The name of the user who connects.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("")
    }

    fn begin_pause(&self) {
        let mut pause = self.lock();
        let doubled = PAUSE_FIRST.saturating_mul(1 << pause.failures.min(10)).min(PAUSE_MAX);
        // Half of it is fixed, half is chance.
        let wait = doubled.mul_f64(0.5 + self.entropy.unit() / 2.0);
        pause.failures = pause.failures.saturating_add(1);
        pause.until = Some(Instant::now() + wait);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pause> {
        // Nothing panics while it holds the lock.
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

async fn set_up(session: &Session, purpose: Purpose) -> Result<(), Failure> {
    let limit = purpose.statement_time_max().as_millis();
    let settings = format!(
        "SET statement_timeout = {limit}; SET lock_timeout = {limit}; \
         SET idle_in_transaction_session_timeout = {limit}; SET work_mem = '32MB'"
    );
    if purpose == Purpose::Upkeep {
        // Definitions of tables are not looked up by keys of ours; the planner does as it likes.
        return session.run(&settings).await;
    }
    session.run(&settings).await?;
    // One by one: a database that does not know one may know the next.
    let planner = PLANNER_SETTINGS.join("; ");
    if session.run(&planner).await.is_err() {
        for setting in PLANNER_SETTINGS {
            if let Err(failure) = session.run(setting).await {
                tracing::debug!(?failure, setting, "the database does not know a setting of the planner");
            }
        }
    }
    if purpose == Purpose::Api {
        session.run(&format!("SET ROLE {API_ROLE}")).await?;
    }
    Ok(())
}
