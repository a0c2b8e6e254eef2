//! Settling attempts: written once, under the lease alone, with everything that follows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::attempt::RESPONSE_BODY_BYTES_MAX;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::settlement::Next;
use kapsel_core::{
    DeliveryState, Endpoint, EndpointStatus, FailureKind, FinalReason, HeaderBlock, Outcome, ResponseHead,
};

use super::world::{ALL, LEASE, World, answer, assert_not_found, no_answer};
use crate::{ChangeSeq, Settled};

/// A holder that lost its lease leaves no trace: no attempt, no state, no change to the endpoint.
pub async fn stale_token_writes_nothing(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let lost = world.claim_one(&endpoint).await;
    world.pass(LEASE);
    let holder = world.claim_one(&endpoint).await;
    let before = world.detail(delivery).await;

    let later = world.now() + Duration::from_secs(1);
    let batch = vec![
        world.delivered(&lost),
        world.retry_at(&lost, later),
        world.failed(&lost, FinalReason::Refused),
        world.gone(&lost),
    ];
    assert_eq!(world.settle_batch(batch).await, [Settled::Stale; 4]);
    assert_eq!(world.detail(delivery).await, before);
    let stored = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    assert_eq!(stored, endpoint);
    world.settle(world.delivered(&holder)).await;
    assert_eq!(world.detail(delivery).await.attempts.len(), 1);
}

/// A settlement that is repeated because its outcome was unknown writes nothing more.
pub async fn settle_twice_is_stale(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let retry = world.retry_at(&claimed, world.now());
    assert_eq!(world.settle_batch(vec![retry.clone(), retry.clone()]).await, [Settled::Written, Settled::Stale]);
    assert_eq!(world.settle_batch(vec![retry]).await, [Settled::Stale]);

    let claimed = world.claim_one(&endpoint).await;
    let delivered = world.delivered(&claimed);
    world.settle(delivered.clone()).await;
    let before = world.detail(delivery).await;
    assert_eq!(world.settle_batch(vec![delivered]).await, [Settled::Stale]);
    assert_eq!(world.detail(delivery).await, before);
    assert_eq!(before.attempts.len(), 2);
    assert_eq!(world.settle_batch(Vec::new()).await, []);
}

/// Many tries to settle at the same moment: one is written.
pub async fn concurrent_settlements_are_written_once(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let tries: Vec<_> = (0..16)
        .map(|_| {
            let (store, now) = (Arc::clone(&world.store), world.now());
            let batch = Arc::new(vec![world.retry_at(&claimed, now)]);
            tokio::spawn(async move { store.delivery_settle_if_leased(now, batch).await.unwrap()[0] })
        })
        .collect();
    let mut written = 0;
    for handle in tries {
        written += usize::from(handle.await.unwrap() == Settled::Written);
    }
    assert_eq!((written, world.detail(delivery).await.attempts.len()), (1, 1));
    assert_eq!(world.claim_one(&endpoint).await.attempts_made, 1);
}

/// The end of a lease lets others in; it does not make the holder's word untrue while nobody came.
pub async fn late_settlement_counts_until_somebody_else_claims(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.pass(LEASE + LEASE);
    assert_eq!(world.state(delivery).await, DeliveryState::Received);
    world.settle(world.delivered(&claimed)).await;
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
    assert!(world.claim_all(&endpoint).await.is_empty());
}

/// One stale settlement in a batch takes nothing away from its neighbours.
pub async fn settlements_of_a_batch_are_told_apart(world: World) {
    let endpoint = world.endpoint().await;
    let deliveries = world.accept_many(&endpoint, 5).await;
    let claimed = world.claim_all(&endpoint).await;
    world.store.delivery_release_if_leased(world.now(), vec![(claimed[2].delivery, claimed[2].lease)]).await.unwrap();
    let later = world.now() + Duration::from_secs(9);
    let batch = vec![
        world.failed(&claimed[4], FinalReason::AttemptsExhausted),
        world.delivered(&claimed[2]),
        world.delivered(&claimed[0]),
        world.retry_at(&claimed[3], later),
    ];
    let expected = [Settled::Written, Settled::Stale, Settled::Written, Settled::Written];
    assert_eq!(world.settle_batch(batch).await, expected);

    let mut states = Vec::new();
    for delivery in deliveries {
        states.push(world.state(delivery).await);
    }
    let expected = [
        DeliveryState::Delivered,
        DeliveryState::Delivering,
        DeliveryState::Received,
        DeliveryState::Pending,
        DeliveryState::Failed,
    ];
    assert_eq!(states, expected);
}

/// A retry waits for its time, is shown with it, and counts its attempt.
pub async fn retry_is_due_at_its_time(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    for made in 1..=3 {
        let claimed = world.claim_one(&endpoint).await;
        assert_eq!((claimed.attempts_total, claimed.attempts_made), (made - 1, made - 1));
        let due_at = world.now() + Duration::from_secs(30);
        world.settle(world.retry_at(&claimed, due_at)).await;

        let detail = world.detail(delivery).await;
        assert_eq!(detail.summary.status, DeliveryState::Pending);
        assert_eq!(detail.summary.next_attempt_at, Some(due_at));
        assert_eq!(detail.deliveries[0].next_attempt_at, Some(due_at));
        assert_eq!(detail.summary.attempts_total, made);
        assert_eq!(detail.attempts.len(), usize::try_from(made).unwrap());
        world.pass(Duration::from_secs(30) - Duration::from_micros(1));
        assert!(world.claim_all(&endpoint).await.is_empty());
        world.pass(Duration::from_micros(1));
    }
    assert_eq!(world.claim_one(&endpoint).await.attempts_made, 3);
}

/// What is given up leaves the queue and says why, with its attempts.
pub async fn failed_delivery_has_its_reason(world: World) {
    let endpoint = world.endpoint().await;
    for reason in [FinalReason::AttemptsExhausted, FinalReason::Refused] {
        let delivery = world.accept(&endpoint).await;
        let claimed = world.claim_one(&endpoint).await;
        world.settle(world.failed(&claimed, reason)).await;
        let detail = world.detail(delivery).await;
        assert_eq!((detail.summary.status, detail.summary.reason), (DeliveryState::Failed, Some(reason)));
        assert_eq!((detail.deliveries[0].state, detail.deliveries[0].reason), (DeliveryState::Failed, Some(reason)));
        assert_eq!((detail.summary.next_attempt_at, detail.summary.delivered_at), (None, None));
        assert_eq!(detail.attempts.len(), 1);
        world.pass(LEASE + LEASE);
        assert!(world.claim_all(&endpoint).await.is_empty());
    }
}

/// The time of success is when its answer was there; a later success after a manual retry does not change it.
pub async fn delivered_at_is_the_end_of_the_first_success(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.retry_at(&claimed, world.now())).await;
    // A head that said 200, and then no whole answer: that is no success.
    let head = Some(ResponseHead { status: 200, ..ResponseHead::default() });
    let broken = Outcome::Failure { kind: FailureKind::Connection, detail: "reset".to_owned(), head };
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.settlement(&claimed, broken, Next::RetryAt(world.now()))).await;
    assert_eq!(world.detail(delivery).await.summary.delivered_at, None);

    world.pass_seconds(3);
    let claimed = world.claim_one(&endpoint).await;
    let mut delivered = world.delivered(&claimed);
    delivered.attempt.duration = Duration::from_micros(1_234_567);
    let ended_at = world.now() + Duration::from_micros(1_234_567);
    world.pass_seconds(5);
    world.settle(delivered).await;
    let summary = world.detail(delivery).await.summary;
    assert_eq!((summary.status, summary.reason), (DeliveryState::Delivered, None));
    assert_eq!((summary.delivered_at, summary.next_attempt_at), (Some(ended_at), None));

    world.pass_seconds(100);
    world.requeue(delivery).await.unwrap();
    assert_eq!(world.detail(delivery).await.summary.delivered_at, Some(ended_at));
    world.deliver(&endpoint).await;
    assert_eq!(world.detail(delivery).await.summary.delivered_at, Some(ended_at));
}

/// A 410 disables the endpoint in the same breath; its queue waits untouched until somebody enables it again.
pub async fn gone_disables_the_endpoint_and_parks_its_queue(world: World) {
    let endpoint = world.endpoint().await;
    let deliveries = world.accept_many(&endpoint, 3).await;
    let claimed = world.claim(world.lease(), &[&endpoint], 1).await.remove(0);
    let seen = last_change(&world).await;
    world.pass_seconds(1);
    world.settle(world.gone(&claimed)).await;

    let stored = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    let expected = Endpoint {
        status: EndpointStatus::Disabled(DisabledReason::Gone),
        version: endpoint.version + 1,
        updated_at: world.now(),
        ..endpoint.clone()
    };
    assert_eq!(stored, expected);
    let changes = world.store.endpoint_changes(seen, ALL).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].endpoint.as_deref(), Some(&expected));

    assert_eq!(world.state(deliveries[0]).await, DeliveryState::Pending);
    assert_eq!(world.state(deliveries[1]).await, DeliveryState::Received);
    assert_eq!(world.lane_scan(world.now(), None, ALL).await, crate::LaneScan::default());
    assert!(world.claim_all(&endpoint).await.is_empty());
    assert_eq!(world.sweep().await, 0);

    world.pass_seconds(3_600);
    world.enable(&endpoint).await;
    let claimed = world.claim_all(&endpoint).await;
    assert_eq!(claimed.len(), 3);
    assert_eq!(claimed.iter().map(|claimed| claimed.attempts_total).max(), Some(1));
}

/// Of several attempts that meet a 410, the first disables the endpoint; the others find it done. A person's word
/// stays, and what is deleted stays deleted.
pub async fn gone_leaves_a_disabled_or_deleted_endpoint_as_it_is(world: World) {
    let endpoint = world.endpoint().await;
    world.accept_many(&endpoint, 4).await;
    let claimed = world.claim_all(&endpoint).await;

    world.disable(&endpoint).await;
    let manual = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    let seen = last_change(&world).await;
    world.pass_seconds(1);
    world.settle(world.gone(&claimed[0])).await;
    assert_eq!(world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), manual);
    assert_eq!(last_change(&world).await, seen);

    world.enable(&endpoint).await;
    let batch = vec![world.gone(&claimed[1]), world.gone(&claimed[2])];
    assert_eq!(world.settle_batch(batch).await, [Settled::Written; 2]);
    let stored = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    assert_eq!(stored.version, manual.version + 2);
    assert_eq!(stored.status, EndpointStatus::Disabled(DisabledReason::Gone));

    world.delete(&endpoint).await;
    let seen = last_change(&world).await;
    world.settle(world.gone(&claimed[3])).await;
    assert_eq!(last_change(&world).await, seen);
    assert_not_found(world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await);
}

async fn last_change(world: &World) -> ChangeSeq {
    let changes = world.store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap();
    changes.last().map(|change| change.seq).unwrap_or_default()
}

/// Every form of outcome reads back as it was written, whatever bytes the destination sent.
pub async fn attempt_round_trips_every_outcome(world: World) {
    let endpoint = world.endpoint().await;
    let headers = HeaderBlock::from_pairs([
        ("set-cookie", &b"one"[..]),
        ("x-raw", b"\xff\x00\r"),
        ("set-cookie", b"two"),
        ("retry-after", b"120"),
    ]);
    let head = |status, len: usize, body_truncated| {
        let body = Bytes::from(vec![0xc3; len]);
        ResponseHead { status, headers: headers.clone(), body, body_truncated }
    };
    let mut outcomes = vec![
        Outcome::Response(ResponseHead { status: 204, ..ResponseHead::default() }),
        Outcome::Response(head(200, 3, false)),
        Outcome::Response(head(302, 0, false)),
        Outcome::Response(head(404, 1, false)),
        Outcome::Response(head(599, RESPONSE_BODY_BYTES_MAX, true)),
        Outcome::Response(head(999, RESPONSE_BODY_BYTES_MAX, false)),
        answer(100),
    ];
    let kinds = [
        FailureKind::Connection,
        FailureKind::Timeout,
        FailureKind::Dns,
        FailureKind::Tls,
        FailureKind::Blocked,
        FailureKind::Protocol,
        FailureKind::Internal,
    ];
    for kind in kinds {
        outcomes.push(no_answer(kind));
        let detail = format!("{kind:?}: 'quoted' \u{e4} \u{1f980}\n");
        outcomes.push(Outcome::Failure { kind, detail, head: Some(head(200, 7, true)) });
        let detail = String::new();
        outcomes.push(Outcome::Failure { kind, detail, head: Some(ResponseHead::default()) });
    }

    let delivery = world.accept(&endpoint).await;
    let mut written = Vec::new();
    for (step, outcome) in (0_u64..).zip(outcomes) {
        let claimed = world.claim_one(&endpoint).await;
        let mut settlement = world.settlement(&claimed, outcome, Next::RetryAt(world.now()));
        settlement.attempt.url = format!("https://destination.example/{step}?q=%C3%A4");
        // From no time at all to more than a minute, to the microsecond.
        settlement.attempt.duration = Duration::from_micros(step * 4_000_001);
        written.push(settlement.attempt.clone());
        world.settle(settlement).await;
        world.pass(Duration::from_micros(1));
    }
    let detail = world.detail(delivery).await;
    assert_eq!(detail.attempts, written);
    assert_eq!(detail.summary.delivered_at, Some(written[0].ended_at()));
}
