//! Answers of the management API that are kept for a while, so that a request that is sent again under its idempotency key
//! gets the answer of the first time and does nothing.

use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::{TenantId, Timestamp};

use crate::error::StoreError;

/// How long an answer is kept.
pub const REPLY_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How long a request is waited for that was begun and of whose end nothing is known. Longer than any takes.
pub const REPLY_LOCK: Duration = Duration::from_secs(60);
/// How many expired answers of the tenant go with each new one.
pub const REPLIES_PRUNED: usize = 16;

/// A request with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyClaim {
    /// Who sends it.
    pub tenant_id: TenantId,
    /// A hash of the key.
    pub key_hash: [u8; 32],
    /// A hash of everything that it asks for.
    pub request_hash: [u8; 32],
    /// Tells this claim from every other one.
    pub token: i64,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyState {
    /// It is claimed now: the request is to be carried out, and its answer to be kept.
    Claimed,
    /// A request under it is being carried out.
    Running,
    /// It was used for another request.
    Other,
    /// This is the answer.
    Kept(KeptReply),
}

/// An answer as it is kept. The body is sealed: it can hold a secret that is shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// The HTTP status.
    pub status: u16,
    /// Headers, as a stored header block.
    pub headers: Vec<u8>,
    /// The sealed body.
    pub body: Vec<u8>,
}

/// The store of kept answers.
#[async_trait]
pub trait ReplyStore: Send + Sync {
    /// Claims a key for a request, unless it is in use. Of several that do so at the same moment, one claims it. A claim
    /// whose answer was not kept within [`REPLY_LOCK`] lapses; an answer is forgotten after [`REPLY_KEPT`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn reply_claim(&self, now: Timestamp, claim: ReplyClaim) -> Result<ReplyState, StoreError>;

    /// Keeps the answer to a request, unless somebody else has claimed its key meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn reply_keep_if_claimed(&self, claim: ReplyClaim, reply: KeptReply) -> Result<(), StoreError>;

    /// Gives a claim back, so that the key is as if it had never been used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn reply_release_if_claimed(&self, claim: ReplyClaim) -> Result<(), StoreError>;
}

/// Implements [`ReplyStore`] for a store in front of another one that has nothing to say about answers: every call goes to
/// the field named.
#[macro_export]
macro_rules! delegate_reply_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::ReplyStore for $store {
            async fn reply_claim(
                &self,
                now: kapsel_core::Timestamp,
                claim: $crate::ReplyClaim,
            ) -> Result<$crate::ReplyState, $crate::StoreError> {
                self.$inner.reply_claim(now, claim).await
            }

            async fn reply_keep_if_claimed(
                &self,
                claim: $crate::ReplyClaim,
                reply: $crate::KeptReply,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.reply_keep_if_claimed(claim, reply).await
            }

            async fn reply_release_if_claimed(&self, claim: $crate::ReplyClaim) -> Result<(), $crate::StoreError> {
                self.$inner.reply_release_if_claimed(claim).await
            }
        }
    };
}
