//! Keeping answers of the management API.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Entropy as _, SystemEntropy, TenantId};

use super::world::World;
use crate::reply::{REPLY_KEPT, REPLY_LOCK};
use crate::{KeptReply, ReplyClaim, ReplyState};

fn claim(key: u8, request: u8) -> ReplyClaim {
    let token = SystemEntropy.next_u64().cast_signed();
    ReplyClaim { tenant_id: TenantId::DEFAULT, key_hash: [key; 32], request_hash: [request; 32], token }
}

fn reply(body: &[u8]) -> KeptReply {
    KeptReply { status: 201, headers: vec![1, 2, 3], body: body.to_vec() }
}

async fn state(world: &World, claim: ReplyClaim) -> ReplyState {
    world.store.reply_claim(world.now(), claim).await.unwrap()
}

/// The second request under a key gets the answer of the first, for a day.
pub async fn reply_is_kept_for_its_key(world: World) {
    let first = claim(1, 1);
    assert_eq!(state(&world, first).await, ReplyState::Claimed);
    assert_eq!(state(&world, claim(1, 1)).await, ReplyState::Running);
    assert_eq!(state(&world, claim(1, 2)).await, ReplyState::Other);
    let kept = reply(b"\x00answer\xff");
    world.store.reply_keep_if_claimed(first, kept.clone()).await.unwrap();
    assert_eq!(state(&world, claim(1, 1)).await, ReplyState::Kept(kept.clone()));
    assert_eq!(state(&world, claim(1, 2)).await, ReplyState::Other);
    assert_eq!(state(&world, claim(2, 1)).await, ReplyState::Claimed, "another key");
    let other = ReplyClaim { tenant_id: world.tenant_id(), ..claim(1, 1) };
    assert_eq!(state(&world, other).await, ReplyState::Claimed, "another tenant");

    world.pass(REPLY_KEPT - Duration::from_micros(1));
    assert_eq!(state(&world, claim(1, 1)).await, ReplyState::Kept(kept));
    world.pass(Duration::from_micros(1));
    assert_eq!(state(&world, claim(1, 2)).await, ReplyState::Claimed, "as if it had never been used");
}

/// A claim that is given back, or of whose end nothing is known, holds nobody up for long.
pub async fn reply_claim_can_be_given_back_and_lapses(world: World) {
    let first = claim(1, 1);
    assert_eq!(state(&world, first).await, ReplyState::Claimed);
    world.store.reply_release_if_claimed(first).await.unwrap();
    let second = claim(1, 2);
    assert_eq!(state(&world, second).await, ReplyState::Claimed);
    world.store.reply_release_if_claimed(first).await.unwrap();
    assert_eq!(state(&world, claim(1, 2)).await, ReplyState::Running, "only its own claim is given back");

    world.pass(REPLY_LOCK - Duration::from_micros(1));
    assert_eq!(state(&world, claim(1, 2)).await, ReplyState::Running);
    world.pass(Duration::from_micros(1));
    let third = claim(1, 3);
    assert_eq!(state(&world, third).await, ReplyState::Claimed);
    // Who comes late keeps nothing.
    world.store.reply_keep_if_claimed(second, reply(b"late")).await.unwrap();
    assert_eq!(state(&world, claim(1, 3)).await, ReplyState::Running);
    world.store.reply_keep_if_claimed(third, reply(b"third")).await.unwrap();
    world.store.reply_release_if_claimed(third).await.unwrap();
    assert_eq!(state(&world, claim(1, 3)).await, ReplyState::Kept(reply(b"third")), "an answer is not given back");
}

/// Of many that claim a key at the same moment, one does.
pub async fn concurrent_reply_claims_let_one_through(world: World) {
    let now = world.now();
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { store.reply_claim(now, claim(1, 1)).await.unwrap() })
        })
        .collect();
    let mut claimed = 0;
    for one in claims {
        match one.await.unwrap() {
            ReplyState::Claimed => claimed += 1,
            other => assert_eq!(other, ReplyState::Running),
        }
    }
    assert_eq!(claimed, 1);
}
