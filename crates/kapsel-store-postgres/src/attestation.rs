//! The log: its state, its lease, the tree and its heads. Single leaves are looked up in `leaves.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{AttemptId, EventId, InstanceId, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, LogLease, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::{Hash, empty_root};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::leaves;
use crate::rows::{StoredId, bytes, get, hash, id, size, stored, stored_version, time, time_opt};
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

/// The name of the one log that there is.
pub(crate) const LOG_NAME: &str = "default";

#[async_trait]
impl AttestationStore for PostgresStore {
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError> {
        let origin = &origin;
        let open = |session: Arc<Session>| async move {
            let root = empty_root();
            let root = root.as_bytes().as_slice();
            session.execute(&sql::LOG_CREATE, &[&id.stored(), &LOG_NAME, origin, &root, &now.unix_micros()]).await?;
            let row = session.query_opt(&sql::LOG_FIND, &[&LOG_NAME]).await?;
            log(&row.ok_or(StoreError::NotFound)?)
        };
        self.work().with(open).await
    }

    async fn log_find(&self) -> Result<Option<Log>, StoreError> {
        let find = |session: Arc<Session>| async move {
            session.query_opt(&sql::LOG_FIND, &[&LOG_NAME]).await?.map(|row| log(&row)).transpose()
        };
        self.api().with(find).await
    }

    async fn log_get(&self, id: LogId) -> Result<Log, StoreError> {
        self.api().with(|session| async move { read_log(&session, id).await }).await
    }

    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError> {
        let take = |session: Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&id.stored(), &owner.stored(), &until.unix_micros(), &now.unix_micros()];
            match session.query_opt(&sql::LOG_LEASE_TAKE, &parameters).await? {
                Some(row) => log(&row).map(Some),
                // Somebody else holds it, or there is none.
                None => read_log(&session, id).await.map(|_| None),
            }
        };
        self.work().with(take).await
    }

    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError> {
        let owner = owner.map(|owner| owner.stored());
        let release =
            |session: Arc<Session>| async move { session.execute(&sql::LOG_LEASE_RELEASE, &[&owner, &LOG_NAME]).await };
        self.work().with(release).await?;
        Ok(())
    }

    async fn leaves_pending(&self, log_id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError> {
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::LEAF_PENDING_LIST, &[&log_id.stored(), &stored(limit)]).await?;
            let leaf = |row: &Row| {
                let hash = Hash::from_bytes(hash(row, 2)?);
                Ok(PendingLeaf { attempt_id: id(row, 0)?, tenant_id: id(row, 1)?, hash })
            };
            rows.iter().map(leaf).collect()
        };
        self.work().with(list).await
    }

    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError> {
        let columns = &Columns::new(&integration);
        let integrate =
            |session: Arc<Session>| async move { session.transaction("BEGIN", columns.integrate(&session)).await };
        match self.until_no_collision(self.work(), integrate).await {
            Err(StoreError::Conflict(_)) => Ok(false),
            result => result.map(|()| true),
        }
    }

    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError> {
        let head = &head;
        let publish =
            |session: Arc<Session>| async move { session.transaction("BEGIN", publish(&session, epoch, head)).await };
        self.work().with(publish).await
    }

    async fn head_latest(&self, log_id: LogId) -> Result<Option<Head>, StoreError> {
        let read = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::HEAD_LATEST, &[&log_id.stored()]).await?;
            row.map(|row| head(&row, log_id)).transpose()
        };
        self.api().with(read).await
    }

    async fn head_list(&self, log_id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError> {
        let after = after.map_or(-1, stored_version);
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::HEAD_LIST, &[&log_id.stored(), &after, &stored(limit)]).await?;
            rows.iter().map(|row| head(row, log_id)).collect()
        };
        self.api().with(list).await
    }

    async fn tile_read(&self, log_id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        let levels: Vec<i16> = tiles.iter().map(|tile| i16::from(tile.level)).collect();
        let indexes: Vec<i64> = tiles.iter().map(|tile| stored_version(tile.index)).collect();
        let read = |session: Arc<Session>| async move {
            let rows = session.query(&sql::TILE_READ, &[&log_id.stored(), &levels, &indexes]).await?;
            rows.iter().map(tile).collect()
        };
        self.api().with(read).await
    }

    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError> {
        let key = &key;
        let put = |session: Arc<Session>| async move {
            let signs_until = key.signs_until.map(Timestamp::unix_micros);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&key.log_id.stored(), &key.verifier_key, &key.created_at.unix_micros(), &signs_until];
            session.execute(&sql::LOG_KEY_PUT, &parameters).await
        };
        self.work().with(put).await?;
        Ok(())
    }

    async fn log_key_list(&self, log_id: LogId) -> Result<Vec<LogKey>, StoreError> {
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::LOG_KEY_LIST, &[&log_id.stored()]).await?;
            let key = |row: &Row| {
                let (created_at, signs_until) = (time(row, 1)?, time_opt(row, 2)?);
                Ok(LogKey { log_id, verifier_key: get(row, 0)?, created_at, signs_until })
            };
            let mut keys = rows.iter().map(key).collect::<Result<Vec<_>, Failure>>()?;
            // A handful; the index has them by their text.
            keys.sort_by(|one, other| {
                (one.created_at, &one.verifier_key).cmp(&(other.created_at, &other.verifier_key))
            });
            Ok(keys)
        };
        self.api().with(list).await
    }

    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError> {
        self.in_snapshot(tenant_id, |session| async move { leaves::get(&session, tenant_id, name).await }).await
    }

    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError> {
        let read =
            |session: Arc<Session>| async move { leaves::opening(&session, tenant_id, event_id, attempt_id).await };
        self.in_snapshot(tenant_id, read).await
    }

    async fn entry_list(&self, log_id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.work().with(|session| async move { leaves::entries(&session, log_id, from, limit).await }).await
    }

    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError> {
        self.work().with(|session| async move { leaves::traces(&session, after, limit).await }).await
    }
}

async fn read_log(session: &Session, id: LogId) -> Result<Log, Failure> {
    let row = session.query_opt(&sql::LOG_READ, &[&id.stored()]).await?;
    log(&row.ok_or(StoreError::NotFound)?)
}

async fn publish(session: &Session, epoch: u64, head: &Head) -> Result<bool, Failure> {
    let (log_id, size, root) = (head.log_id.stored(), stored_version(head.size), head.root.as_bytes().as_slice());
    if session.execute(&sql::LOG_PUBLISH, &[&log_id, &stored_version(epoch), &size, &root]).await? == 0 {
        return Ok(false);
    }
    let signed_at = head.signed_at.unix_micros();
    session.execute(&sql::HEAD_INSERT, &[&log_id, &size, &root, &signed_at, &head.checkpoint]).await?;
    Ok(true)
}

/// An integration column by column, as the statements take it.
struct Columns<'a> {
    log_id: Uuid,
    epoch: i64,
    old_size: i64,
    size: i64,
    root: &'a [u8],
    attempt_id: Vec<Uuid>,
    hash_prefix: Vec<i64>,
    level: Vec<i16>,
    tile_index: Vec<i64>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn new(integration: &'a Integration) -> Self {
        let Integration { log_id, epoch, old_size, root, leaves, tiles } = integration;
        Columns {
            log_id: log_id.stored(),
            epoch: stored_version(*epoch),
            old_size: stored_version(*old_size),
            size: stored_version(integration.size()),
            root: root.as_bytes(),
            attempt_id: leaves.iter().map(|leaf| leaf.attempt_id.stored()).collect(),
            hash_prefix: leaves.iter().map(|leaf| leaf.hash.prefix().cast_signed()).collect(),
            level: tiles.iter().map(|tile| i16::from(tile.id.level)).collect(),
            tile_index: tiles.iter().map(|tile| stored_version(tile.id.index)).collect(),
            hashes: tiles.iter().map(|tile| tile.hashes.as_ref()).collect(),
        }
    }

    async fn integrate(&self, session: &Session) -> Result<(), Failure> {
        let Columns { log_id, epoch, old_size, size, root, attempt_id, .. } = self;
        // First: it locks the row of the log, so that whoever is second waits here and then finds another size.
        if session.execute(&sql::LOG_GROW, &[log_id, epoch, old_size, size, root]).await? == 0 {
            return Err(StoreError::Conflict("the log has another size or another holder").into());
        }
        let taken = session.execute(&sql::LEAF_PENDING_DELETE, &[log_id, attempt_id]).await?;
        if taken != attempt_id.len() as u64 {
            return Err(StoreError::Conflict("a leaf does not wait any more").into());
        }
        session.execute(&sql::ENTRY_INSERT, &[log_id, old_size, attempt_id, &self.hash_prefix]).await?;
        session.execute(&sql::TILE_PUT, &[log_id, &self.level, &self.tile_index, &self.hashes]).await?;
        Ok(())
    }
}

/// The log in the columns of `log_read` and its like.
fn log(row: &Row) -> Result<Log, Failure> {
    let lease = match get::<Option<Uuid>>(row, 5)? {
        None => None,
        Some(owner) => Some(LogLease { owner: InstanceId::from(owner), until: time(row, 6)? }),
    };
    let published = match get::<Option<i64>>(row, 7)? {
        None => None,
        Some(_) => Some((size(row, 7)?, Hash::from_bytes(hash(row, 8)?))),
    };
    Ok(Log {
        id: id(row, 0)?,
        origin: get(row, 1)?,
        size: size(row, 2)?,
        root: Hash::from_bytes(hash(row, 3)?),
        epoch: size(row, 4)?,
        lease,
        published,
        created_at: time(row, 9)?,
    })
}

/// The head in the columns of `head_latest` and its like.
fn head(row: &Row, log_id: LogId) -> Result<Head, Failure> {
    let (root, signed_at) = (Hash::from_bytes(hash(row, 1)?), time(row, 2)?);
    Ok(Head { log_id, size: size(row, 0)?, root, signed_at, checkpoint: get(row, 3)? })
}

fn tile(row: &Row) -> Result<Tile, Failure> {
    let level: i16 = get(row, 0)?;
    let level = u8::try_from(level).map_err(|error| corrupt("the level of a tile", error))?;
    let id = TileId { level, index: size(row, 1)? };
    Ok(Tile::from_stored(id, bytes(row, 2)?)?)
}
