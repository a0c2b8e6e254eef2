//! Uses of idempotency keys, kept in buckets by the day in which they expire.

use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{EndpointId, Event, EventId, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::error::Failure;
use crate::rows::{id, stored, time};
use crate::statements as sql;

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Rows of the present bucket that one call of [`prune`] looks at: a few milliseconds of the writer's time.
const SLICE_ROWS: usize = 10_000;

/// The day in which something expires, counted from the epoch.
fn bucket(expires_at: Timestamp) -> i64 {
    expires_at.unix_micros().div_euclid(DAY_MICROS)
}

/// What a look-up found.
pub(crate) enum Use {
    /// The key was used within its window.
    Live {
        /// By this event.
        original: EventId,
        /// With this body.
        body_sha256: [u8; 32],
    },
    /// It was not.
    Free {
        /// The bucket of an expired use that is still stored.
        expired_in: Option<i64>,
    },
}

/// Look-ups and new uses for one batch.
pub(crate) struct Keys<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// The buckets that can hold live uses, found out at the first look-up.
    buckets: Option<Buckets<'a>>,
}

struct Buckets<'a> {
    numbers: Vec<i64>,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Keys { connection, now, buckets: None }
    }

    /// Whether `key` was used at `endpoint_id` within its window.
    pub(crate) fn find(&mut self, endpoint_id: EndpointId, key: &IdempotencyKey) -> Result<Use, Failure> {
        let now = self.now;
        let Buckets { numbers, find, .. } = self.buckets()?;
        let mut expired_in = None;
        for bucket in numbers.iter() {
            let mut rows = find.query(params![bucket, endpoint_id.as_bytes(), key.hash])?;
            if let Some(row) = rows.next()? {
                if now < time(row, 2)? {
                    return Ok(Use::Live { original: id(row, 0)?, body_sha256: row.get(1)? });
                }
                expired_in = Some(*bucket);
            }
        }
        Ok(Use::Free { expired_in })
    }

    /// Remembers that `event` used `key`, in the place of a use that expired.
    pub(crate) fn put(&mut self, event: &Event, key: &IdempotencyKey, expired_in: Option<i64>) -> Result<(), Failure> {
        let endpoint_id = event.endpoint_id.as_bytes();
        if let Some(bucket) = expired_in {
            let mut delete = self.connection.prepare_cached(sql::IDEMPOTENCY_DELETE)?;
            delete.execute(params![bucket, endpoint_id, key.hash])?;
        }
        let expires_at = self.now + key.window;
        let bucket = bucket(expires_at);
        let Buckets { numbers, insert, .. } = self.buckets()?;
        let expires_at = expires_at.unix_micros();
        insert.execute(params![bucket, endpoint_id, key.hash, event.id.as_bytes(), event.body_sha256, expires_at])?;
        if !numbers.contains(&bucket) {
            numbers.push(bucket);
        }
        Ok(())
    }

    fn buckets(&mut self) -> Result<&mut Buckets<'a>, Failure> {
        let buckets = match self.buckets.take() {
            Some(buckets) => buckets,
            None => Buckets::load(self.connection, self.now)?,
        };
        Ok(self.buckets.insert(buckets))
    }
}

impl<'a> Buckets<'a> {
    fn load(connection: &'a Connection, now: Timestamp) -> Result<Self, Failure> {
        let mut numbers = Vec::new();
        let mut next = next_bucket(connection, bucket(now))?;
        while let Some(number) = next {
            numbers.push(number);
            next = next_bucket(connection, number + 1)?;
        }
        let find = connection.prepare_cached(sql::IDEMPOTENCY_FIND)?;
        let insert = connection.prepare_cached(sql::IDEMPOTENCY_INSERT)?;
        Ok(Buckets { numbers, find, insert })
    }
}

/// Where in the present bucket the next look begins: behind this endpoint and key.
pub(crate) type Position = Option<([u8; 16], [u8; 32])>;

/// Forgets at most `limit` uses that have expired. Days that have passed go as a whole; of the present one a part is
/// looked at, behind `from`. Returns how many, and where the next look begins.
pub(crate) fn prune(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
    from: Position,
) -> Result<(usize, Position), Failure> {
    let today = bucket(now);
    let mut slice = Slice { connection, now, rows_left: SLICE_ROWS, uses_left: limit };
    let mut past = next_bucket(connection, i64::MIN)?;
    while let Some(bucket) = past.filter(|bucket| *bucket < today) {
        if slice.prune(bucket, None)?.is_some() {
            return Ok((limit - slice.uses_left, from));
        }
        past = next_bucket(connection, bucket + 1)?;
    }
    let mut position = slice.prune(today, from)?;
    if position.is_none() && from.is_some() {
        // The end was reached; what stands before the place where it began comes next.
        position = slice.prune(today, None)?;
    }
    Ok((limit - slice.uses_left, position))
}

/// The first bucket from `from` on.
fn next_bucket(connection: &Connection, from: i64) -> Result<Option<i64>, Failure> {
    let mut next = connection.prepare_cached(sql::IDEMPOTENCY_BUCKET_NEXT)?;
    Ok(next.query_row([from], |row| row.get(0)).optional()?)
}

/// What one call may still do.
struct Slice<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// How many more rows to look at.
    rows_left: usize,
    /// How many more expired uses to forget.
    uses_left: usize,
}

impl Slice<'_> {
    /// Forgets expired uses in `bucket` behind `from` until there are no more, or enough was done. `None` says that the
    /// end of the bucket was reached, otherwise where to go on.
    fn prune(&mut self, bucket: i64, from: Position) -> Result<Position, Failure> {
        let (endpoint_id, key_hash) =
            from.map_or((Vec::new(), Vec::new()), |(endpoint, key)| (endpoint.into(), key.into()));
        let mut slice = self.connection.prepare_cached(sql::IDEMPOTENCY_BUCKET_SLICE)?;
        // One more than is looked at tells whether there is more.
        let mut rows = slice.query(params![bucket, endpoint_id, key_hash, stored(self.rows_left) + 1])?;
        let mut position = from;
        let mut expired: Vec<([u8; 16], [u8; 32])> = Vec::new();
        while let Some(row) = rows.next()? {
            if self.rows_left == 0 || self.uses_left == 0 {
                drop(rows);
                self.forget(bucket, &expired)?;
                return Ok(Some(position.unwrap_or_default()));
            }
            let key = (row.get(0)?, row.get(1)?);
            position = Some(key);
            self.rows_left -= 1;
            if time(row, 2)? <= self.now {
                expired.push(key);
                self.uses_left -= 1;
            }
        }
        drop(rows);
        self.forget(bucket, &expired)?;
        Ok(None)
    }

    fn forget(&self, bucket: i64, expired: &[([u8; 16], [u8; 32])]) -> Result<(), Failure> {
        let mut delete = self.connection.prepare_cached(sql::IDEMPOTENCY_DELETE)?;
        for (endpoint_id, key_hash) in expired {
            delete.execute(params![bucket, endpoint_id, key_hash])?;
        }
        Ok(())
    }
}
