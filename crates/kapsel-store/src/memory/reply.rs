//! Keeping answers of the API in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kapsel_core::{TenantId, Timestamp};

use super::MemoryStore;
use crate::error::StoreError;
use crate::reply::{KeptReply, REPLIES_PRUNED, REPLY_KEPT, REPLY_LOCK, ReplyClaim, ReplyState, ReplyStore};

/// Answers by tenant and key.
pub(super) type Replies = BTreeMap<(TenantId, [u8; 32]), StoredReply>;

/// A claim and what came of it.
pub(super) struct StoredReply {
    request_hash: [u8; 32],
    token: i64,
    lapses_at: Timestamp,
    expires_at: Timestamp,
    reply: Option<KeptReply>,
}

#[async_trait]
impl ReplyStore for MemoryStore {
    async fn reply_claim(&self, now: Timestamp, claim: ReplyClaim) -> Result<ReplyState, StoreError> {
        let mut state = self.lock();
        let place = (claim.tenant_id, claim.key_hash);
        if let Some(stored) = state.replies.get(&place) {
            let is_over = stored.expires_at <= now || (stored.reply.is_none() && stored.lapses_at <= now);
            if !is_over {
                return Ok(match &stored.reply {
                    _ if stored.request_hash != claim.request_hash => ReplyState::Other,
                    None => ReplyState::Running,
                    Some(reply) => ReplyState::Kept(reply.clone()),
                });
            }
        }
        let expired = state.replies.iter().filter(|(_, stored)| stored.expires_at <= now).map(|(place, _)| *place);
        let expired: Vec<_> = expired.filter(|(tenant_id, _)| *tenant_id == claim.tenant_id).collect();
        for place in expired.into_iter().take(REPLIES_PRUNED) {
            state.replies.remove(&place);
        }
        let stored = StoredReply {
            request_hash: claim.request_hash,
            token: claim.token,
            lapses_at: now + REPLY_LOCK,
            expires_at: now + REPLY_KEPT,
            reply: None,
        };
        state.replies.insert(place, stored);
        Ok(ReplyState::Claimed)
    }

    async fn reply_keep_if_claimed(&self, claim: ReplyClaim, reply: KeptReply) -> Result<(), StoreError> {
        let mut state = self.lock();
        let stored = state.replies.get_mut(&(claim.tenant_id, claim.key_hash));
        if let Some(stored) = stored.filter(|stored| stored.token == claim.token) {
            stored.reply = Some(reply);
        }
        Ok(())
    }

    async fn reply_release_if_claimed(&self, claim: ReplyClaim) -> Result<(), StoreError> {
        let mut state = self.lock();
        let place = (claim.tenant_id, claim.key_hash);
        if state.replies.get(&place).is_some_and(|stored| stored.token == claim.token && stored.reply.is_none()) {
            state.replies.remove(&place);
        }
        Ok(())
    }
}
