//! The log: leaves come with their attempts, go into the tree once, and heads only grow.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::settlement::Next;
use kapsel_core::{AttemptId, EventId, FailureKind, FinalReason, LogId, TenantId};
use kapsel_verification::{AttemptLeaf, Hash, empty_root, leaf_hash};
use test_harness::builders::LOG_ID;

use super::world::{LEASE, World, answer, assert_not_found, no_answer};
use crate::attestation::{
    AttemptTrace, Head, Integration, LeafName, Log, LogKey, LogLease, PendingLeaf, TILE_HASHES, Tile, TileId,
};
use crate::{Settled, Settlement};

const ORIGIN: &str = "kapsel.example/log";

/// The lease of the world's log, for as long as any case takes.
async fn hold(world: &World) -> Log {
    world.store.log_open(world.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
    let until = world.now() + LEASE * 100;
    let owner = world.instance_id();
    world.store.log_lease_take(world.now(), LOG_ID, owner, until).await.unwrap().expect("nobody else holds it")
}

/// Settles `count` attempts on an endpoint of the default tenant; returns their settlements.
async fn settle_many(world: &World, count: usize) -> Vec<Settlement> {
    let endpoint = world.endpoint().await;
    world.accept_many(&endpoint, count).await;
    let claimed = world.claim_all(&endpoint).await;
    let settlements: Vec<_> = claimed.iter().map(|claimed| world.delivered(claimed)).collect();
    assert_eq!(world.settle_batch(settlements.clone()).await, vec![Settled::Written; count]);
    settlements
}

async fn pending(world: &World) -> Vec<PendingLeaf> {
    world.store.leaves_pending(LOG_ID, 10_000).await.unwrap()
}

/// What puts `leaves` behind the tree of `log`. The hashes of the tiles are not those of a tree; no engine looks at them.
fn integration(log: &Log, leaves: Vec<PendingLeaf>) -> Integration {
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.hash.as_bytes()).collect();
    let tile = Tile { id: TileId { level: 0, index: 0 }, hashes: hashes.into() };
    Integration {
        log_id: log.id,
        epoch: log.epoch,
        old_size: log.size,
        root: leaf_hash(b"root"),
        leaves,
        tiles: vec![tile],
    }
}

async fn integrate(world: &World, integration: Integration) -> bool {
    world.store.leaves_integrate_if_current(integration).await.unwrap()
}

async fn log(world: &World) -> Log {
    world.store.log_get(LOG_ID).await.unwrap()
}

fn head(world: &World, size: u64) -> Head {
    Head {
        log_id: LOG_ID,
        size,
        root: leaf_hash(&size.to_be_bytes()),
        signed_at: world.now(),
        checkpoint: format!("{ORIGIN}\n{size}\n\u{2014} signature\n"),
    }
}

/// An attempt and its leaf are stored together or not at all.
pub async fn leaf_exists_iff_settled(world: World) {
    hold(&world).await;
    let endpoint = world.endpoint().await;
    world.accept(&endpoint).await;
    let lost = world.claim_one(&endpoint).await;
    world.pass(LEASE);
    let holder = world.claim_one(&endpoint).await;
    let (stale, written) = (world.delivered(&lost), world.retry_at(&holder, world.now()));
    let batch = vec![stale.clone(), written.clone()];
    assert_eq!(world.settle_batch(batch).await, [Settled::Stale, Settled::Written]);

    let leaf_of = |settlement: &Settlement| LeafName::Attempt(settlement.attempt.id);
    assert_not_found(world.store.leaf_get(TenantId::DEFAULT, leaf_of(&stale)).await);
    assert_not_found(world.store.leaf_get(TenantId::DEFAULT, LeafName::Hash(stale.leaf.hash)).await);
    for name in [leaf_of(&written), LeafName::Hash(written.leaf.hash)] {
        let stored = world.store.leaf_get(TenantId::DEFAULT, name).await.unwrap();
        assert_eq!((stored.attempt_id, stored.log_id, stored.index), (written.attempt.id, LOG_ID, None));
        assert_eq!(stored.data, written.leaf.data);
        assert!(AttemptLeaf::from_canonical(&stored.data).is_ok());
    }
    let waiting = pending(&world).await;
    let hash = written.leaf.hash;
    assert_eq!(waiting, [PendingLeaf { attempt_id: written.attempt.id, tenant_id: TenantId::DEFAULT, hash }]);

    // Of the next attempt as well, however it ends.
    let claimed = world.claim_one(&endpoint).await;
    let failed = world.settlement(&claimed, no_answer(FailureKind::Dns), Next::Failed(FinalReason::AttemptsExhausted));
    world.settle(failed.clone()).await;
    let detail = world.detail(claimed.delivery).await;
    assert_eq!(detail.leaf_hashes, [Some(written.leaf.hash), Some(failed.leaf.hash)]);
    assert_eq!(pending(&world).await.len(), 2);
}

/// There is one log, and whoever opens it gets the same.
pub async fn log_is_made_once(world: World) {
    assert_not_found(world.store.log_get(LOG_ID).await);
    assert_eq!(world.store.log_find().await.unwrap(), None);
    let made = world.store.log_open(world.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
    let expected = Log {
        id: LOG_ID,
        origin: ORIGIN.to_owned(),
        size: 0,
        root: empty_root(),
        epoch: 0,
        lease: None,
        published: None,
        created_at: world.now(),
    };
    assert_eq!(made, expected);
    let later = world.pass_seconds(5);
    let other = world.store.log_open(later, LogId::MAX, "other.example".to_owned()).await.unwrap();
    assert_eq!(other, expected);
    assert_eq!(world.store.log_get(LOG_ID).await.unwrap(), expected);
    assert_eq!(world.store.log_find().await.unwrap(), Some(expected));
    assert_not_found(world.store.log_get(LogId::MAX).await);
    let (now, owner) = (world.now(), world.instance_id());
    assert_not_found(world.store.log_lease_take(now, LogId::MAX, owner, now + LEASE).await);
}

/// One holder at a time; who comes after somebody else gets another epoch.
pub async fn log_lease_is_exclusive(world: World) {
    world.store.log_open(world.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
    let (one, other) = (world.instance_id(), world.instance_id());
    let take = async |owner| {
        let until = world.now() + LEASE;
        let taken = world.store.log_lease_take(world.now(), LOG_ID, owner, until).await.unwrap();
        assert!(taken.as_ref().is_none_or(|log| log.lease == Some(LogLease { owner, until })));
        taken.map(|log| log.epoch)
    };
    assert_eq!(take(one).await, Some(1));
    world.pass(LEASE / 2);
    assert_eq!(take(other).await, None);
    assert_eq!(take(one).await, Some(1), "one's own is made longer");
    world.pass(LEASE / 2);
    assert_eq!(take(other).await, None, "it was made longer");
    world.pass(LEASE / 2);
    assert_eq!(take(other).await, Some(2), "it has ended");
    assert_eq!(take(one).await, None);

    // Given back by name.
    world.store.log_lease_release(Some(one)).await.unwrap();
    assert_eq!(take(one).await, None, "it was somebody else's");
    world.store.log_lease_release(Some(other)).await.unwrap();
    assert_eq!(take(one).await, Some(3));
    // By the start of an instance that knows the holder to be dead.
    world.store.lease_release_all(world.now(), Some(other)).await.unwrap();
    assert_eq!(take(other).await, None);
    world.store.lease_release_all(world.now(), Some(one)).await.unwrap();
    assert_eq!(take(other).await, Some(4));
    world.store.lease_release_all(world.now(), None).await.unwrap();
    assert_eq!(take(one).await, Some(5));
    world.store.log_lease_release(None).await.unwrap();
    assert_eq!(take(other).await, Some(6));
}

/// Leaves wait by the ids of their attempts, each for its log.
pub async fn leaves_wait_in_order(world: World) {
    hold(&world).await;
    let mut expected: Vec<_> = settle_many(&world, 30).await.iter().map(|one| one.attempt.id).collect();
    expected.sort_unstable();
    let ids = |leaves: &[PendingLeaf]| leaves.iter().map(|leaf| leaf.attempt_id).collect::<Vec<_>>();
    assert_eq!(ids(&pending(&world).await), expected);
    assert_eq!(ids(&world.store.leaves_pending(LOG_ID, 7).await.unwrap()), expected[..7]);
    assert_eq!(world.store.leaves_pending(LogId::MAX, 7).await.unwrap(), []);
}

/// Leaves get their places in the order given, and wait no longer.
pub async fn integration_moves_leaves_into_the_tree(world: World) {
    let before = hold(&world).await;
    settle_many(&world, 20).await;
    let waiting = pending(&world).await;
    let (mut first, rest) = (waiting[..12].to_vec(), waiting[12..].to_vec());
    first.reverse();
    assert!(integrate(&world, integration(&before, first.clone())).await);
    let after = log(&world).await;
    assert_eq!(after, Log { size: 12, root: leaf_hash(b"root"), ..before });
    assert_eq!(pending(&world).await, rest);
    assert!(integrate(&world, integration(&after, rest.clone())).await);
    assert_eq!(pending(&world).await, []);
    assert_eq!(log(&world).await.size, 20);

    let order: Vec<PendingLeaf> = first.into_iter().chain(rest).collect();
    let entries = world.store.entry_list(LOG_ID, 0, 100).await.unwrap();
    assert_eq!(entries.len(), order.len());
    for (index, (entry, leaf)) in (0..).zip(entries.iter().zip(&order)) {
        assert_eq!((entry.index, entry.attempt_id), (index, leaf.attempt_id));
        assert_eq!(entry.data.as_deref().map(leaf_hash), Some(leaf.hash));
        for name in [LeafName::Attempt(leaf.attempt_id), LeafName::Hash(leaf.hash)] {
            assert_eq!(world.store.leaf_get(leaf.tenant_id, name).await.unwrap().index, Some(index));
        }
    }
    assert_eq!(world.store.entry_list(LOG_ID, 18, 100).await.unwrap(), entries[18..]);
    assert_eq!(world.store.entry_list(LOG_ID, 3, 4).await.unwrap(), entries[3..7]);
    assert_eq!(world.store.entry_list(LOG_ID, 20, 4).await.unwrap(), []);
    assert_eq!(world.store.entry_list(LogId::MAX, 0, 4).await.unwrap(), []);
    assert!(integrate(&world, integration(&log(&world).await, Vec::new())).await, "nothing is a change as well");
}

/// What was computed from another tree, or under a lease that was lost, is not written.
pub async fn integration_from_another_size_or_epoch_does_nothing(world: World) {
    let before = hold(&world).await;
    settle_many(&world, 5).await;
    let waiting = pending(&world).await;
    let right = integration(&before, waiting[..2].to_vec());
    for wrong in [
        Integration { old_size: 1, ..right.clone() },
        Integration { epoch: right.epoch + 1, ..right.clone() },
        Integration { epoch: 0, ..right.clone() },
        Integration { log_id: LogId::MAX, ..right.clone() },
    ] {
        assert!(!integrate(&world, wrong).await);
        assert_eq!((log(&world).await, pending(&world).await), (before.clone(), waiting.clone()));
    }
    assert!(integrate(&world, right.clone()).await);
    // Repeated, because its outcome was unknown: the size tells.
    assert!(!integrate(&world, right).await);
    assert_eq!(log(&world).await.size, 2);
    assert_eq!(world.store.entry_list(LOG_ID, 0, 100).await.unwrap().len(), 2);
}

/// No leaf goes in twice, and none that nobody settled.
pub async fn integration_of_a_leaf_that_does_not_wait_does_nothing(world: World) {
    hold(&world).await;
    settle_many(&world, 5).await;
    let waiting = pending(&world).await;
    assert!(integrate(&world, integration(&log(&world).await, waiting[..2].to_vec())).await);
    let before = (log(&world).await, pending(&world).await);
    let stranger = PendingLeaf { attempt_id: AttemptId::MAX, ..waiting[3] };
    for wrong in [vec![waiting[2], waiting[0]], vec![waiting[2], stranger, waiting[3]]] {
        assert!(!integrate(&world, integration(&before.0, wrong)).await);
        assert_eq!((log(&world).await, pending(&world).await), before);
        assert_eq!(world.store.entry_list(LOG_ID, 0, 100).await.unwrap().len(), 2);
    }
}

/// Many that were computed from one tree: one is written.
pub async fn concurrent_integrations_let_one_through(world: World) {
    let before = hold(&world).await;
    settle_many(&world, 8).await;
    let waiting = pending(&world).await;
    let tries: Vec<_> = (0..8)
        .map(|place| {
            let store = Arc::clone(&world.store);
            let integration = integration(&before, vec![waiting[place], waiting[(place + 1) % 8]]);
            tokio::spawn(async move { store.leaves_integrate_if_current(integration).await.unwrap() })
        })
        .collect();
    let mut written = 0;
    for handle in tries {
        written += usize::from(handle.await.unwrap());
    }
    assert_eq!((written, log(&world).await.size, pending(&world).await.len()), (1, 2, 6));
}

/// Tiles are kept as they were last written.
pub async fn tiles_round_trip(world: World) {
    let mut log = hold(&world).await;
    let ids = [(0, 0), (0, 1), (0, u64::from(u32::MAX)), (1, 0), (5, 3)].map(|(level, index)| TileId { level, index });
    let tile = |id: TileId, hashes: usize| {
        let hashes: Vec<u8> = (0..=250).cycle().take(hashes * Hash::LEN).map(|byte: u8| byte ^ id.level).collect();
        Tile { id, hashes: hashes.into() }
    };
    for (round, width) in [1, 7, TILE_HASHES].into_iter().enumerate() {
        settle_many(&world, 1).await;
        let leaves = pending(&world).await;
        let tiles: Vec<Tile> = ids[..=round + 2].iter().map(|id| tile(*id, width)).collect();
        assert!(integrate(&world, Integration { tiles: tiles.clone(), ..integration(&log, leaves) }).await);
        log.size += 1;
        let mut read = world.store.tile_read(LOG_ID, ids.to_vec()).await.unwrap();
        read.sort_by_key(|tile| tile.id);
        assert_eq!(read, tiles);
    }
    assert_eq!(world.store.tile_read(LOG_ID, vec![TileId { level: 1, index: 1 }]).await.unwrap(), []);
    assert_eq!(world.store.tile_read(LogId::MAX, ids.to_vec()).await.unwrap(), []);
    assert_eq!(world.store.tile_read(LOG_ID, Vec::new()).await.unwrap(), []);
}

/// A head is published over a smaller one, for a tree that is there, by the holder of the lease.
pub async fn heads_only_grow(world: World) {
    let log = hold(&world).await;
    let publish = async |epoch, head| world.store.head_publish_if_current(epoch, head).await.unwrap();
    assert_eq!(world.store.head_latest(LOG_ID).await.unwrap(), None);
    assert!(!publish(log.epoch, head(&world, 1)).await, "the tree is empty");
    assert!(publish(log.epoch, head(&world, 0)).await);
    settle_many(&world, 9).await;
    let waiting = pending(&world).await;
    assert!(integrate(&world, integration(&log, waiting)).await);
    assert!(!publish(log.epoch + 1, head(&world, 4)).await, "another epoch");
    assert!(!publish(log.epoch, head(&world, 10)).await, "larger than the tree");
    assert!(publish(log.epoch, head(&world, 4)).await);
    let first = head(&world, 4);
    world.pass_seconds(7);
    assert!(!publish(log.epoch, head(&world, 4)).await, "of the same size");
    assert!(!publish(log.epoch, head(&world, 3)).await, "smaller");
    assert_eq!(world.store.head_latest(LOG_ID).await.unwrap(), Some(first.clone()));
    assert!(publish(log.epoch, head(&world, 9)).await);
    let last = head(&world, 9);
    assert_eq!(world.store.head_latest(LOG_ID).await.unwrap(), Some(last.clone()));
    let stored = world.store.log_get(LOG_ID).await.unwrap();
    assert_eq!(stored.published, Some((9, last.root)));
    let sizes = async |after, limit| {
        let heads = world.store.head_list(LOG_ID, after, limit).await.unwrap();
        heads.iter().map(|head| head.size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(None, 10).await, [0, 4, 9]);
    assert_eq!(sizes(Some(0), 1).await, [4]);
    assert_eq!(sizes(Some(4), 10).await, [9]);
    assert_eq!(world.store.head_list(LOG_ID, Some(0), 1).await.unwrap(), [first]);
    assert_eq!(world.store.head_list(LogId::MAX, None, 10).await.unwrap(), []);
}

/// Keys stay for ever; the end of their time can be written down.
pub async fn log_keys_round_trip(world: World) {
    hold(&world).await;
    let key = |text: &str| LogKey {
        log_id: LOG_ID,
        verifier_key: format!("{ORIGIN}+{text}"),
        created_at: world.now(),
        signs_until: None,
    };
    let old = key("b");
    world.store.log_key_put(old.clone()).await.unwrap();
    world.pass_seconds(1);
    let new = key("a");
    world.store.log_key_put(new.clone()).await.unwrap();
    assert_eq!(world.store.log_key_list(LOG_ID).await.unwrap(), [old.clone(), new.clone()]);
    let ended = LogKey { signs_until: Some(world.now() + Duration::from_secs(60)), ..old };
    world.store.log_key_put(ended.clone()).await.unwrap();
    world.store.log_key_put(new.clone()).await.unwrap();
    assert_eq!(world.store.log_key_list(LOG_ID).await.unwrap(), [ended, new]);
    assert_eq!(world.store.log_key_list(LogId::MAX).await.unwrap(), []);
}

/// What opens a leaf stands beside its attempt.
pub async fn leaf_opens_with_what_stands_beside_its_attempt(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let silent = world.settlement(&claimed, no_answer(FailureKind::Timeout), Next::RetryAt(world.now()));
    world.settle(silent.clone()).await;
    let claimed = world.claim_one(&endpoint).await;
    let answered = world.settlement(&claimed, answer(200), Next::Delivered);
    world.settle(answered.clone()).await;
    for (settlement, body) in [(silent, None), (answered, Some(Bytes::from_static(b"answer")))] {
        let id = settlement.attempt.id;
        let opening = world.store.leaf_opening(TenantId::DEFAULT, delivery.event_id, id).await.unwrap().unwrap();
        assert_eq!(opening.secret, settlement.leaf.secret);
        assert_eq!(opening.url, settlement.attempt.url);
        assert_eq!(opening.payload_sha256, Some(claimed.event.body_sha256));
        assert_eq!(opening.response_body, body);
        let other_tenant = world.tenant_id();
        let nothing = [
            world.store.leaf_opening(other_tenant, delivery.event_id, id).await.unwrap(),
            world.store.leaf_opening(TenantId::DEFAULT, EventId::MAX, id).await.unwrap(),
            world.store.leaf_opening(TenantId::DEFAULT, delivery.event_id, AttemptId::MAX).await.unwrap(),
        ];
        assert_eq!(nothing, [None, None, None]);
    }
}

/// A leaf is found by its owner alone, while it waits and afterwards.
pub async fn leaves_of_tenants_never_meet(world: World) {
    let log = hold(&world).await;
    let (one, other) = (TenantId::DEFAULT, world.tenant_id());
    let mut leaves = Vec::new();
    for tenant_id in [one, other] {
        let endpoint = world.endpoint_of(tenant_id).await;
        world.accept(&endpoint).await;
        let settlement = world.delivered(&world.claim_one(&endpoint).await);
        world.settle(settlement.clone()).await;
        leaves.push((tenant_id, settlement));
    }
    for is_integrated in [false, true] {
        for (owner, settlement) in &leaves {
            let stranger = if *owner == one { other } else { one };
            for name in [LeafName::Attempt(settlement.attempt.id), LeafName::Hash(settlement.leaf.hash)] {
                let leaf = world.store.leaf_get(*owner, name).await.unwrap();
                assert_eq!((leaf.data, leaf.index.is_some()), (settlement.leaf.data.clone(), is_integrated));
                assert_not_found(world.store.leaf_get(stranger, name).await);
            }
        }
        if !is_integrated {
            let waiting = pending(&world).await;
            assert!(integrate(&world, integration(&log, waiting)).await);
        }
    }
}

/// The traces name every attempt of everybody once, and say where its leaf is.
pub async fn attempt_traces_are_total(world: World) {
    let log = hold(&world).await;
    let mut settled: Vec<AttemptId> = settle_many(&world, 9).await.iter().map(|one| one.attempt.id).collect();
    let endpoint = world.endpoint_of(world.tenant_id()).await;
    world.accept_many(&endpoint, 3).await;
    for claimed in world.claim_all(&endpoint).await {
        let failed = world.failed(&claimed, FinalReason::Refused);
        settled.push(failed.attempt.id);
        world.settle(failed).await;
    }
    let first = pending(&world).await[..5].to_vec();
    let integrated: Vec<AttemptId> = first.iter().map(|leaf| leaf.attempt_id).collect();
    assert!(integrate(&world, integration(&log, first)).await);

    let mut traces: Vec<AttemptTrace> = Vec::new();
    loop {
        let after = traces.last().map(|trace| trace.place);
        let page = world.store.attempt_traces(after, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        traces.extend(page);
    }
    assert!(traces.is_sorted_by(|one, next| one.place < next.place));
    let mut found: Vec<AttemptId> = traces.iter().map(|trace| trace.place.attempt_id).collect();
    found.sort_unstable();
    settled.sort_unstable();
    assert_eq!(found, settled);
    for trace in traces {
        let is_in = integrated.contains(&trace.place.attempt_id);
        assert_eq!((trace.has_leaf, trace.is_pending, trace.is_integrated), (true, !is_in, is_in));
    }
}
