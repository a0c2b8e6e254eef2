//! Keeping answers of the management API.

use async_trait::async_trait;
use kapsel_core::Timestamp;
use kapsel_store::reply::{REPLIES_PRUNED, REPLY_KEPT, REPLY_LOCK};
use kapsel_store::{KeptReply, ReplyClaim, ReplyState, ReplyStore, StoreError};
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::rows::{stored, time};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl ReplyStore for SqliteStore {
    async fn reply_claim(&self, now: Timestamp, claim: ReplyClaim) -> Result<ReplyState, StoreError> {
        let work = move |connection: &Connection| self::claim(connection, now, &claim);
        self.writer().write(Kind::Sure, Weight::ROW, work).await
    }

    async fn reply_keep_if_claimed(&self, claim: ReplyClaim, reply: KeptReply) -> Result<(), StoreError> {
        let weight = Weight { rows: 1, bytes: reply.body.len() };
        let keep = move |connection: &Connection| {
            let ReplyClaim { tenant_id, key_hash, token, .. } = &claim;
            let KeptReply { status, headers, body } = &reply;
            let mut statement = connection.prepare_cached(sql::REPLY_KEEP_IF_CLAIMED)?;
            statement.execute(params![tenant_id.as_bytes(), key_hash, token, status, headers, body])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, weight, keep).await
    }

    async fn reply_release_if_claimed(&self, claim: ReplyClaim) -> Result<(), StoreError> {
        let release = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::REPLY_RELEASE_IF_CLAIMED)?;
            statement.execute(params![claim.tenant_id.as_bytes(), claim.key_hash, claim.token])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, release).await
    }
}

fn claim(connection: &Connection, now: Timestamp, claim: &ReplyClaim) -> Result<ReplyState, Failure> {
    let (tenant_id, key_hash) = (claim.tenant_id.as_bytes(), claim.key_hash);
    let (lapses_at, expires_at) = ((now + REPLY_LOCK).unix_micros(), (now + REPLY_KEPT).unix_micros());
    let all = params![tenant_id, key_hash, claim.request_hash, claim.token, lapses_at, expires_at];
    if connection.prepare_cached(sql::REPLY_INSERT)?.execute(all)? == 0 {
        let mut statement = connection.prepare_cached(sql::REPLY_READ)?;
        let mut rows = statement.query(params![tenant_id, key_hash])?;
        let row = rows.next()?.ok_or(StoreError::NotFound)?;
        let request_hash: [u8; 32] = row.get(0)?;
        let status: Option<u16> = row.get(3)?;
        let is_over = time(row, 2)? <= now || (status.is_none() && time(row, 1)? <= now);
        match status {
            _ if is_over => {}
            _ if request_hash != claim.request_hash => return Ok(ReplyState::Other),
            None => return Ok(ReplyState::Running),
            Some(status) => {
                return Ok(ReplyState::Kept(KeptReply { status, headers: row.get(4)?, body: row.get(5)? }));
            }
        }
        connection.prepare_cached(sql::REPLY_RENEW)?.execute(all)?;
    }
    let mut prune = connection.prepare_cached(sql::REPLY_PRUNE)?;
    prune.execute(params![tenant_id, now.unix_micros(), stored(REPLIES_PRUNED)])?;
    Ok(ReplyState::Claimed)
}
