//! Keeping answers of the management API.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::Timestamp;
use kapsel_store::reply::{REPLIES_PRUNED, REPLY_KEPT, REPLY_LOCK};
use kapsel_store::{KeptReply, ReplyClaim, ReplyState, ReplyStore, StoreError};

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, get, hash, stored, time};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl ReplyStore for PostgresStore {
    async fn reply_claim(&self, now: Timestamp, claim: ReplyClaim) -> Result<ReplyState, StoreError> {
        let work = |session: Arc<Session>| async move { self::claim(&session, now, &claim).await };
        self.in_tenant(claim.tenant_id, work).await
    }

    async fn reply_keep_if_claimed(&self, claim: ReplyClaim, reply: KeptReply) -> Result<(), StoreError> {
        let keep = |session: Arc<Session>| async move {
            let ReplyClaim { tenant_id, key_hash, token, .. } = &claim;
            let KeptReply { status, headers, body } = &reply;
            let parameters: &Parameters<'_> =
                &[&tenant_id.stored(), &key_hash.as_slice(), token, &i32::from(*status), headers, body];
            session.execute(&sql::REPLY_KEEP_IF_CLAIMED, parameters).await
        };
        self.in_tenant(claim.tenant_id, keep).await?;
        Ok(())
    }

    async fn reply_release_if_claimed(&self, claim: ReplyClaim) -> Result<(), StoreError> {
        let release = |session: Arc<Session>| async move {
            let ReplyClaim { tenant_id, key_hash, token, .. } = &claim;
            let parameters: &Parameters<'_> = &[&tenant_id.stored(), &key_hash.as_slice(), token];
            session.execute(&sql::REPLY_RELEASE_IF_CLAIMED, parameters).await
        };
        self.in_tenant(claim.tenant_id, release).await?;
        Ok(())
    }
}

async fn claim(session: &Session, now: Timestamp, claim: &ReplyClaim) -> Result<ReplyState, Failure> {
    let (tenant_id, key_hash) = (claim.tenant_id.stored(), claim.key_hash.as_slice());
    let request_hash = claim.request_hash.as_slice();
    let (lapses_at, expires_at) = ((now + REPLY_LOCK).unix_micros(), (now + REPLY_KEPT).unix_micros());
    let all: &Parameters<'_> = &[&tenant_id, &key_hash, &request_hash, &claim.token, &lapses_at, &expires_at];
    if session.execute(&sql::REPLY_INSERT, all).await? == 0 {
        let row = session.query_opt(&sql::REPLY_READ, &[&tenant_id, &key_hash]).await?;
        // It was released at this very moment.
        let Some(row) = row else { return Ok(ReplyState::Running) };
        let status: Option<i32> = get(&row, 3)?;
        let is_over = time(&row, 2)? <= now || (status.is_none() && time(&row, 1)? <= now);
        match status {
            _ if is_over => {}
            _ if hash(&row, 0)? != claim.request_hash => return Ok(ReplyState::Other),
            None => return Ok(ReplyState::Running),
            Some(status) => {
                let status = u16::try_from(status).map_err(|error| corrupt("the status of an answer", error))?;
                return Ok(ReplyState::Kept(KeptReply { status, headers: get(&row, 4)?, body: get(&row, 5)? }));
            }
        }
        session.execute(&sql::REPLY_RENEW, all).await?;
    }
    session.execute(&sql::REPLY_PRUNE, &[&tenant_id, &now.unix_micros(), &stored(REPLIES_PRUNED)]).await?;
    Ok(ReplyState::Claimed)
}
