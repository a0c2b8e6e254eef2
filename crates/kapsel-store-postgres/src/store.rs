//! The store as its users hold it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kapsel_core::{Entropy, Sealer, TenantId, Timestamp};
use kapsel_store::{PoolUse, Retention, StoreError};

use crate::connector::{Connector, Purpose};
use crate::error::Failure;
use crate::idempotency::Position;
use crate::lapse::Lapse;
use crate::open_error::OpenError;
use crate::options::PostgresOptions;
use crate::partitions::PartitionReport;
use crate::pool::Pool;
use crate::rows::StoredId;
use crate::session::Session;
use crate::{guard, migrate, partitions};

/// How long a call may take, the wait for a connection included. Shorter than the leases, so that an answer that comes
/// is still worth something.
const WORK_TIME_MAX: Duration = Duration::from_secs(10);
const API_TIME_MAX: Duration = Duration::from_secs(5);
/// After how many collisions with others a transaction is given up.
const COLLISIONS_MAX: u32 = 10;
/// Partitions are made behind locks that others may hold for a while.
const UPKEEP_TIME_MAX: Duration = Duration::from_secs(60);

/// The engine on PostgreSQL. Clones share one store; any number of processes share one database.
#[derive(Debug, Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    ingest: Arc<Pool>,
    settle: Arc<Pool>,
    claim: Arc<Pool>,
    work: Arc<Pool>,
    upkeep: Arc<Pool>,
    api: Arc<Pool>,
    entropy: Arc<dyn Entropy>,
    prune_position: Mutex<Position>,
    lapse: Lapse,
    partitions: Mutex<PartitionReport>,
    retention: Retention,
    sealer: Sealer,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, checks that the database is one that keeps what it confirms, brings the schema up to date and makes the
    /// partitions that `now` calls for. Waits up to `options.wait_max` for a database that cannot be reached.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(options: &PostgresOptions, entropy: Arc<dyn Entropy>, now: Timestamp) -> Result<Self, OpenError> {
        let (config, tls) = options.connection()?;
        let connector = Arc::new(Connector::new(config, tls, Arc::clone(&entropy)));
        let session = guard::first_session(&connector, options).await?;
        migrate::migrate(&session, connector.user(), migrate::MIGRATIONS).await?;
        let report = partitions::keep_up(&session, now, options.retention, true).await.map_err(OpenError::database)?;
        drop(session);

        let shares = Shares::of(options.connections_max);
        let pool = |purpose, size, time_max| Pool::new(Arc::clone(&connector), purpose, size, time_max);
        let work = pool(Purpose::Work, shares.work, WORK_TIME_MAX);
        let own = |size: usize| match size {
            // Too few connections for one of its own: it shares.
            0 => Arc::clone(&work),
            size => pool(Purpose::Work, size, WORK_TIME_MAX),
        };
        let store = PostgresStore(Arc::new(Inner {
            ingest: own(shares.ingest),
            settle: own(shares.settle),
            claim: own(shares.claim),
            upkeep: pool(Purpose::Upkeep, 1, UPKEEP_TIME_MAX),
            api: pool(Purpose::Api, shares.api, API_TIME_MAX),
            work,
            entropy,
            prune_position: Mutex::default(),
            lapse: Lapse::default(),
            partitions: Mutex::new(report),
            retention: options.retention,
            sealer: options.sealer.clone(),
        }));
        // A role that cannot be taken on should be found now and not at the first request.
        store.in_tenant(TenantId::DEFAULT, |_| async { Ok(()) }).await.map_err(OpenError::api_role)?;
        Ok(store)
    }

    /// Waits for what is under way and closes all connections. Calls on other clones fail from now on.
    pub async fn close(self) {
        let Inner { ingest, settle, claim, work, upkeep, api, .. } = &*self.0;
        for pool in [ingest, settle, claim, work, upkeep, api] {
            pool.close().await;
        }
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// How busy its connections are. Purposes that share connections are told as `work`.
    pub fn pools(&self) -> Vec<PoolUse> {
        let Inner { ingest, settle, claim, work, upkeep, api, .. } = &*self.0;
        let own = [("ingest", ingest), ("settle", settle), ("claim", claim), ("upkeep", upkeep), ("api", api)];
        let own = own.into_iter().filter(|(_, pool)| !Arc::ptr_eq(pool, work));
        own.chain([("work", work)]).map(|(name, pool)| pool.use_now(name)).collect()
    }

    pub(crate) fn ingest(&self) -> &Arc<Pool> {
        &self.0.ingest
    }

    pub(crate) fn settle(&self) -> &Arc<Pool> {
        &self.0.settle
    }

    pub(crate) fn claim(&self) -> &Arc<Pool> {
        &self.0.claim
    }

    pub(crate) fn work(&self) -> &Arc<Pool> {
        &self.0.work
    }

    pub(crate) fn api(&self) -> &Arc<Pool> {
        &self.0.api
    }

    pub(crate) fn upkeep(&self) -> &Arc<Pool> {
        &self.0.upkeep
    }

    pub(crate) fn lapse(&self) -> &Lapse {
        &self.0.lapse
    }

    pub(crate) fn retention(&self) -> Retention {
        self.0.retention
    }

    /// Does `work` in a transaction that sees the rows of one tenant, under the role of the management API.
    pub(crate) async fn in_tenant<T, W, F>(&self, tenant_id: TenantId, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        self.in_transaction("BEGIN", tenant_id, work).await
    }

    /// The same for work that locks many rows and may collide with others who do.
    pub(crate) async fn in_tenant_anew<T, W, F>(&self, tenant_id: TenantId, work: W) -> Result<T, StoreError>
    where
        W: Fn(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let transact = |session: Arc<Session>| transact(session, "BEGIN", tenant_id, &work);
        self.until_no_collision(&self.0.api, transact).await
    }

    /// The same for reading, all of it as of one moment.
    pub(crate) async fn in_snapshot<T, W, F>(&self, tenant_id: TenantId, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        self.in_transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", tenant_id, work).await
    }

    /// Does `work`, which is a transaction, on a connection of `pool`. One that collided with somebody else's was undone
    /// as a whole and is done anew, at most a few times.
    pub(crate) async fn until_no_collision<T, W, F>(&self, pool: &Arc<Pool>, work: W) -> Result<T, StoreError>
    where
        W: Fn(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let (work, mut collisions) = (&work, 0_u32);
        loop {
            let attempt = |session: Arc<Session>| async move {
                match work(session).await {
                    // The connection stays with us.
                    Err(failure) if failure.is_collision() && collisions + 1 < COLLISIONS_MAX => Ok(None),
                    result => result.map(Some),
                }
            };
            if let Some(done) = pool.with(attempt).await? {
                return Ok(done);
            }
            collisions += 1;
            tokio::time::sleep(self.collision_wait(collisions)).await;
        }
    }

    async fn in_transaction<T, W, F>(&self, begin: &str, tenant_id: TenantId, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        self.0.api.with(|session| transact(session, begin, tenant_id, work)).await
    }

    /// How long to wait before a transaction that collided is tried again: longer each time, and never for as long as the
    /// other one waits.
    fn collision_wait(&self, collisions: u32) -> Duration {
        Duration::from_millis(1_u64 << collisions.min(8)).mul_f64(0.5 + self.0.entropy.unit())
    }

    /// Where the next look for expired idempotency keys begins.
    pub(crate) fn prune_position(&self) -> Position {
        self.0.prune_position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_prune_position(&self, position: Position) {
        *self.0.prune_position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// How it stands with the partitions, as of the last look.
    pub fn partitions(&self) -> PartitionReport {
        self.0.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_partitions(&self, report: PartitionReport) {
        *self.0.partitions.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

/// Does `work` in a transaction for one tenant, and ends it.
async fn transact<T, W, F>(session: Arc<Session>, begin: &str, tenant_id: TenantId, work: W) -> Result<T, Failure>
where
    W: FnOnce(Arc<Session>) -> F,
    F: Future<Output = Result<T, Failure>>,
{
    // In one round trip. The id is an id and nothing else, so it cannot end the text.
    let tenant_id = tenant_id.stored();
    let begin = format!("{begin}; SELECT set_config('kapsel.tenant_id', '{tenant_id}', true)");
    session.transaction(&begin, work(Arc::clone(&session))).await
}

/// How many connections each kind of work has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    ingest: usize,
    settle: usize,
    claim: usize,
    work: usize,
    api: usize,
}

impl Shares {
    /// Shares out `connections_max` connections. One is kept for the upkeep. With few, kinds of work share.
    fn of(connections_max: usize) -> Self {
        match connections_max {
            ..=3 => Shares { ingest: 0, settle: 0, claim: 0, work: 1, api: 1 },
            4 => Shares { ingest: 1, settle: 0, claim: 0, work: 1, api: 1 },
            5 => Shares { ingest: 1, settle: 1, claim: 0, work: 1, api: 1 },
            6 => Shares { ingest: 2, settle: 1, claim: 0, work: 1, api: 1 },
            more => Shares { ingest: 2, settle: 1, claim: 1, work: 1, api: more - 6 },
        }
    }

    #[cfg(test)]
    fn sum(self) -> usize {
        self.ingest + self.settle + self.claim + self.work + self.api + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_made_than_allowed() {
        for connections_max in crate::options::CONNECTIONS_MIN..50 {
            let shares = Shares::of(connections_max);
            assert_eq!(shares.sum(), connections_max, "{shares:?}");
        }
    }
}
