//! The log: its state, its lease, the tree and its heads. Single leaves are looked up in `leaves.rs`.

use async_trait::async_trait;
use kapsel_core::{AttemptId, EventId, InstanceId, LogId, TenantId, Timestamp};
use kapsel_store::attestation::{
    AttemptPlace, AttemptTrace, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey, LogLease, PendingLeaf,
    StoredLeaf, Tile, TileId,
};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::empty_root;
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::leaves;
use crate::rows::{StoredId, bytes, count, hash, id, stored, stored_count, time, time_opt};
use crate::statements as sql;
use crate::store::SqliteStore;

/// The name of the one log that there is.
const LOG_NAME: &str = "default";

#[async_trait]
impl AttestationStore for SqliteStore {
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError> {
        let open = move |connection: &Connection| {
            let root = empty_root();
            let parameters = params![id.as_bytes(), LOG_NAME, origin, root.as_bytes(), now.unix_micros()];
            connection.prepare_cached(sql::LOG_CREATE)?.execute(parameters)?;
            let mut statement = connection.prepare_cached(sql::LOG_FIND)?;
            let mut rows = statement.query([LOG_NAME])?;
            log(rows.next()?.ok_or(StoreError::NotFound)?)
        };
        self.writer().write(Kind::Sure, Weight::ROW, open).await
    }

    async fn log_find(&self) -> Result<Option<Log>, StoreError> {
        let find = |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::LOG_FIND)?;
            let mut rows = statement.query([LOG_NAME])?;
            rows.next()?.map(log).transpose()
        };
        self.readers().read(find).await
    }

    async fn log_get(&self, id: LogId) -> Result<Log, StoreError> {
        self.readers().read(move |connection| read_log(connection, id)).await
    }

    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError> {
        let take = move |connection: &Connection| {
            let parameters = params![id.as_bytes(), owner.as_bytes(), until.unix_micros(), now.unix_micros()];
            let taken = connection.prepare_cached(sql::LOG_LEASE_TAKE)?.execute(parameters)?;
            let log = read_log(connection, id)?;
            Ok((taken > 0).then_some(log))
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, take).await
    }

    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError> {
        self.writer().write(Kind::Sure, Weight::ROW, move |connection| release_leases(connection, owner)).await
    }

    async fn leaves_pending(&self, log_id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::LEAF_PENDING_LIST)?;
            let mut rows = statement.query(params![log_id.as_bytes(), stored(limit)])?;
            let mut leaves = Vec::new();
            while let Some(row) = rows.next()? {
                leaves.push(PendingLeaf { attempt_id: id(row, 0)?, tenant_id: id(row, 1)?, hash: hash(row, 2)? });
            }
            Ok(leaves)
        };
        self.readers().read(list).await
    }

    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError> {
        let bytes = integration.tiles.iter().map(|tile| tile.hashes.len()).sum();
        let weight = Weight { rows: integration.leaves.len(), bytes };
        // What it does before it finds out that a leaf does not wait any more has to be undone.
        let integrate = move |connection: &Connection| integrate(connection, &integration);
        match self.writer().write(Kind::MayRefuse, weight, integrate).await {
            Err(StoreError::Conflict(_)) => Ok(false),
            result => result.map(|()| true),
        }
    }

    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError> {
        let publish = move |connection: &Connection| {
            let (log_id, size) = (head.log_id.as_bytes(), stored_count(head.size));
            let mut statement = connection.prepare_cached(sql::LOG_PUBLISH)?;
            if statement.execute(params![log_id, stored_count(epoch), size, head.root.as_bytes()])? == 0 {
                return Ok(false);
            }
            let mut statement = connection.prepare_cached(sql::HEAD_INSERT)?;
            let signed_at = head.signed_at.unix_micros();
            statement.execute(params![log_id, size, head.root.as_bytes(), signed_at, head.checkpoint])?;
            Ok(true)
        };
        self.writer().write(Kind::Sure, Weight::ROW, publish).await
    }

    async fn head_latest(&self, log_id: LogId) -> Result<Option<Head>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::HEAD_LATEST)?;
            let mut rows = statement.query([log_id.as_bytes()])?;
            rows.next()?.map(|row| head(row, log_id)).transpose()
        };
        self.readers().read(read).await
    }

    async fn head_list(&self, log_id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::HEAD_LIST)?;
            let after = after.map_or(-1, stored_count);
            let mut rows = statement.query(params![log_id.as_bytes(), after, stored(limit)])?;
            let mut heads = Vec::new();
            while let Some(row) = rows.next()? {
                heads.push(head(row, log_id)?);
            }
            Ok(heads)
        };
        self.readers().read(list).await
    }

    async fn tile_read(&self, log_id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::TILE_READ)?;
            let mut found = Vec::with_capacity(tiles.len());
            for tile in tiles {
                let mut rows = statement.query(params![log_id.as_bytes(), tile.level, stored_count(tile.index)])?;
                if let Some(row) = rows.next()? {
                    found.push(Tile::from_stored(tile, bytes(row, 0)?)?);
                }
            }
            Ok(found)
        };
        self.readers().read(read).await
    }

    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError> {
        let put = move |connection: &Connection| {
            let signs_until = key.signs_until.map(Timestamp::unix_micros);
            let mut statement = connection.prepare_cached(sql::LOG_KEY_PUT)?;
            let created_at = key.created_at.unix_micros();
            statement.execute(params![key.log_id.as_bytes(), key.verifier_key, created_at, signs_until])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, put).await
    }

    async fn log_key_list(&self, log_id: LogId) -> Result<Vec<LogKey>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::LOG_KEY_LIST)?;
            let mut rows = statement.query([log_id.as_bytes()])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                let (created_at, signs_until) = (time(row, 1)?, time_opt(row, 2)?);
                keys.push(LogKey { log_id, verifier_key: row.get(0)?, created_at, signs_until });
            }
            // A handful; the index has them by their text.
            keys.sort_by_key(|key| key.created_at);
            Ok(keys)
        };
        self.readers().read(list).await
    }

    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError> {
        self.readers().read(move |connection| leaves::get(connection, tenant_id, name)).await
    }

    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError> {
        self.readers().read(move |connection| leaves::opening(connection, tenant_id, event_id, attempt_id)).await
    }

    async fn entry_list(&self, log_id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.readers().read(move |connection| leaves::entries(connection, log_id, from, limit)).await
    }

    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError> {
        self.readers().read(move |connection| leaves::traces(connection, after, limit)).await
    }
}

/// Gives back what `owner` holds, or everything.
pub(crate) fn release_leases(connection: &Connection, owner: Option<InstanceId>) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::LOG_LEASE_RELEASE)?;
    statement.execute([owner.as_ref().map(InstanceId::as_bytes)])?;
    Ok(())
}

fn read_log(connection: &Connection, id: LogId) -> Result<Log, Failure> {
    let mut statement = connection.prepare_cached(sql::LOG_READ)?;
    let mut rows = statement.query([id.as_bytes()])?;
    log(rows.next()?.ok_or(StoreError::NotFound)?)
}

fn integrate(connection: &Connection, integration: &Integration) -> Result<(), Failure> {
    let Integration { log_id, epoch, old_size, root, leaves, tiles } = integration;
    let log_id = log_id.as_bytes();
    let (old, new) = (stored_count(*old_size), stored_count(integration.size()));
    let mut grow = connection.prepare_cached(sql::LOG_GROW)?;
    if grow.execute(params![log_id, stored_count(*epoch), old, new, root.as_bytes()])? == 0 {
        return Err(StoreError::Conflict("the log has another size or another holder").into());
    }
    let mut delete = connection.prepare_cached(sql::LEAF_PENDING_DELETE)?;
    let mut insert = connection.prepare_cached(sql::ENTRY_INSERT)?;
    for (index, leaf) in (*old_size..).zip(leaves) {
        if delete.execute(params![log_id, leaf.attempt_id.as_bytes()])? == 0 {
            return Err(StoreError::Conflict("a leaf does not wait any more").into());
        }
        let prefix = leaf.hash.prefix().cast_signed();
        insert.execute(params![log_id, stored_count(index), leaf.attempt_id.as_bytes(), prefix])?;
    }
    let mut put = connection.prepare_cached(sql::TILE_PUT)?;
    for tile in tiles {
        put.execute(params![log_id, tile.id.level, stored_count(tile.id.index), tile.hashes.as_ref()])?;
    }
    Ok(())
}

/// The log in the columns of `log_read` and its like.
fn log(row: &Row<'_>) -> Result<Log, Failure> {
    let lease = match row.get::<_, Option<[u8; 16]>>(5)? {
        None => None,
        Some(owner) => Some(LogLease { owner: InstanceId::from_stored(owner), until: time(row, 6)? }),
    };
    let published = match row.get::<_, Option<i64>>(7)? {
        None => None,
        Some(_) => Some((count(row, 7)?, hash(row, 8)?)),
    };
    Ok(Log {
        id: id(row, 0)?,
        origin: row.get(1)?,
        size: count(row, 2)?,
        root: hash(row, 3)?,
        epoch: count(row, 4)?,
        lease,
        published,
        created_at: time(row, 9)?,
    })
}

/// The head in the columns of `head_latest` and its like.
fn head(row: &Row<'_>, log_id: LogId) -> Result<Head, Failure> {
    Ok(Head { log_id, size: count(row, 0)?, root: hash(row, 1)?, signed_at: time(row, 2)?, checkpoint: row.get(3)? })
}
