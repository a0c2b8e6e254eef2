//! Managing endpoints, learning of their changes, and queueing events anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::endpoint::{DisabledReason, SigningSecret};
use kapsel_core::idempotency::{IdempotencyMode, IdempotencyPolicy};
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{DeliveryState, Endpoint, EndpointStatus, FinalReason, RetryPolicy, TenantId};

use test_harness::EventBuilder;

use super::world::{ALL, LEASE, World, assert_conflict, assert_not_found};
use crate::{ChangeSeq, QueueUsage, Settled, StoreError};

/// A healthy store says so.
pub async fn store_gives_a_sign_of_life(world: World) {
    world.store.ping().await.unwrap();
}

/// Everything that an endpoint is reads back as it was written, secrets and all.
pub async fn endpoint_round_trips(world: World) {
    let plain = world.new_endpoint();
    let mut rich = world.new_endpoint();
    rich.config.name = "n\u{e4}me 'quoted' \u{1f980}".to_owned();
    rich.config.url = "https://destination.example:8443/a%20b?q=%C3%A4".parse().unwrap();
    rich.config.verification = VerificationScheme::Stripe { tolerance_seconds: 17 };
    let mode = IdempotencyMode::JsonPointer { pointer: "/data/id".to_owned() };
    rich.config.idempotency = IdempotencyPolicy { mode, window_seconds: 3 };
    rich.config.retry = RetryPolicy::Exponential { base_ms: 1, factor: 1.1, cap_ms: 9_999, attempts_max: 3 };
    rich.config.retry_statuses = vec![404, 409];
    rich.config.timeout_seconds = 7;
    rich.config.max_in_flight = 1;
    rich.secrets.verification = vec!["secret one".into(), "secret zwei \u{e4}".into()];
    let old = world.now() + Duration::from_micros(1);
    rich.secrets.signing = vec![
        SigningSecret { key: "whsec_new".into(), expires_at: None },
        SigningSecret { key: "whsec_old".into(), expires_at: Some(old) },
    ];
    rich.secrets.headers = vec![("authorization".to_owned(), "Bearer secret".into())];
    rich.status = EndpointStatus::Disabled(DisabledReason::Manual);
    rich.created_at = world.now() + Duration::from_micros(1);
    rich.updated_at = world.now() + Duration::from_micros(2);
    rich.version = 41;

    for endpoint in [&plain, &rich] {
        world.store.endpoint_insert(endpoint.clone()).await.unwrap();
        let stored = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        assert_eq!(stored, *endpoint);
    }
    assert_eq!(world.store.endpoint_list(TenantId::DEFAULT, None, ALL).await.unwrap(), [plain.clone(), rich.clone()]);

    // The other way round: everything of one becomes the other's.
    let changed = Endpoint { id: plain.id, tenant_id: plain.tenant_id, ..rich.clone() };
    world.store.endpoint_update_if_version(changed.clone(), plain.version).await.unwrap();
    let stored = world.store.endpoint_get(plain.tenant_id, plain.id).await.unwrap();
    assert_eq!(stored, Endpoint { created_at: plain.created_at, ..changed });
}

/// An id is used once and for all.
pub async fn endpoint_id_is_taken_once(world: World) {
    let endpoint = world.endpoint().await;
    assert_conflict(world.store.endpoint_insert(endpoint.clone()).await);
    let foreign = Endpoint { tenant_id: world.tenant_id(), ..endpoint.clone() };
    assert_conflict(world.store.endpoint_insert(foreign).await);
    world.delete(&endpoint).await;
    assert_conflict(world.store.endpoint_insert(endpoint.clone()).await);
    assert_not_found(world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await);
}

/// Of two changes made from the same version, one is told that it came too late.
pub async fn endpoint_update_needs_its_version(world: World) {
    let endpoint = world.endpoint().await;
    let renamed = |name: &str, version| {
        let mut changed = Endpoint { version, updated_at: world.now(), ..endpoint.clone() };
        changed.config.name = name.to_owned();
        changed
    };
    world.pass_seconds(1);
    world.store.endpoint_update_if_version(renamed("first", 2), 1).await.unwrap();
    assert_conflict(world.store.endpoint_update_if_version(renamed("second", 2), 1).await);
    assert_conflict(world.store.endpoint_update_if_version(renamed("from the future", 4), 3).await);
    let stored = world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    assert_eq!(stored, renamed("first", 2));

    // Versions may leap.
    world.store.endpoint_update_if_version(renamed("third", 10), 2).await.unwrap();
    world.store.endpoint_update_if_version(renamed("fourth", 11), 10).await.unwrap();

    assert_not_found(world.store.endpoint_update_if_version(world.new_endpoint(), 1).await);
    world.delete(&endpoint).await;
    assert_not_found(world.store.endpoint_update_if_version(renamed("too late", 12), 11).await);
    assert_not_found(world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await);
    assert_not_found(world.store.endpoint_delete(endpoint.tenant_id, endpoint.id, world.now()).await);
}

/// Of many changes made from the same version at the same moment, one is let through.
pub async fn concurrent_updates_from_one_version_let_one_through(world: World) {
    let endpoint = world.endpoint().await;
    let updates: Vec<_> = (0..16)
        .map(|number| {
            let (store, mut changed) = (Arc::clone(&world.store), Endpoint { version: 2, ..endpoint.clone() });
            changed.config.name = format!("name {number}");
            tokio::spawn(async move { store.endpoint_update_if_version(changed.clone(), 1).await.map(|()| changed) })
        })
        .collect();
    let mut written = Vec::new();
    for update in updates {
        match update.await.unwrap() {
            Ok(changed) => written.push(changed),
            refused => assert_conflict(refused),
        }
    }
    assert_eq!(written, [world.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap()]);
}

/// Pages by `after` show each endpoint once, oldest first, deleted ones not at all.
pub async fn endpoint_list_pages_by_id(world: World) {
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(world.endpoint().await);
    }
    world.delete(&expected.remove(3)).await;
    world.disable(&expected[4]).await;
    expected[4] = world.store.endpoint_get(TenantId::DEFAULT, expected[4].id).await.unwrap();
    for limit in 1..=7 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.endpoint_list(TenantId::DEFAULT, after, limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            after = page.last().map(|endpoint| endpoint.id);
            seen.extend(page);
            assert!(seen.len() <= expected.len(), "an endpoint is shown twice");
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

/// Who reads on from the last change it saw has the same endpoints as the store; nothing is told twice unless it
/// changed again.
pub async fn endpoint_changes_are_ordered_and_complete(world: World) {
    assert!(world.store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap().is_empty());
    let (one, two) = (world.endpoint().await, world.endpoint_of(world.tenant_id()).await);
    let (three, four) = (world.endpoint().await, world.endpoint().await);
    let mut known = BTreeMap::new();
    let mut seen = ChangeSeq::default();
    let mut read = async |known: &mut BTreeMap<_, _>| {
        let mut told = Vec::new();
        loop {
            let changes = world.store.endpoint_changes(seen, 2).await.unwrap();
            for change in &changes {
                assert!(change.seq > seen, "{:?} after {seen:?}", change.seq);
                seen = change.seq;
                told.push(change.id);
                match &change.endpoint {
                    Some(endpoint) => known.insert(change.id, (**endpoint).clone()),
                    None => known.remove(&change.id),
                };
            }
            if changes.len() < 2 {
                return told;
            }
        }
    };
    assert_eq!(read(&mut known).await, [one.id, two.id, three.id, four.id]);
    assert!(read(&mut known).await.is_empty());

    world.disable(&one).await;
    world.delete(&three).await;
    world.enable(&one).await;
    world.disable(&four).await;
    assert_eq!(read(&mut known).await, [three.id, one.id, four.id]);
    let mut expected = world.store.endpoint_list(TenantId::DEFAULT, None, ALL).await.unwrap();
    expected.push(two.clone());
    expected.sort_by_key(|endpoint| endpoint.id);
    assert_eq!(known.values().cloned().collect::<Vec<_>>(), expected);

    // Refused calls are no changes, and work on the queue is none either.
    assert_conflict(world.store.endpoint_insert(one.clone()).await);
    assert_conflict(world.store.endpoint_update_if_version(one.clone(), 77).await);
    world.accept(&one).await;
    world.deliver(&one).await;
    assert!(read(&mut known).await.is_empty());

    // From the start, each endpoint is told once, in its present form, deleted ones as such.
    let all = world.store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap();
    assert_eq!(all.iter().map(|change| change.id).collect::<Vec<_>>(), [two.id, three.id, one.id, four.id]);
    assert_eq!(all[1].endpoint, None);
    assert_eq!(all[2].endpoint.as_deref(), known.get(&one.id));
}

/// The policy's attempts are counted from the start; numbers and history go on.
pub async fn requeue_starts_attempts_anew_and_keeps_history(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.retry_at(&claimed, world.now())).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.failed(&claimed, FinalReason::AttemptsExhausted)).await;

    world.pass_seconds(100);
    world.requeue(delivery).await.unwrap();
    let detail = world.detail(delivery).await;
    assert_eq!((detail.summary.status, detail.summary.reason), (DeliveryState::Pending, None));
    assert_eq!((detail.summary.attempts_total, detail.attempts.len()), (2, 2));
    assert_eq!(detail.summary.next_attempt_at, Some(world.now()));
    assert_eq!(world.list_in(DeliveryState::Failed).await, []);

    let claimed = world.claim_one(&endpoint).await;
    assert_eq!((claimed.attempts_total, claimed.attempts_made), (2, 0));
    world.settle(world.retry_at(&claimed, world.now())).await;
    let claimed = world.claim_one(&endpoint).await;
    assert_eq!((claimed.attempts_total, claimed.attempts_made), (3, 1));
    world.settle(world.delivered(&claimed)).await;
    let detail = world.detail(delivery).await;
    assert_eq!(detail.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((detail.summary.status, detail.summary.reason), (DeliveryState::Delivered, None));
}

/// A person may want it sent once more; if that fails, the failure is shown, and the earlier success stays known.
pub async fn requeue_brings_back_what_was_delivered(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    world.deliver(&endpoint).await;
    let delivered_at = world.detail(delivery).await.summary.delivered_at;
    world.pass_seconds(1);
    world.requeue(delivery).await.unwrap();
    assert_eq!(world.state(delivery).await, DeliveryState::Pending);
    let claimed = world.claim_one(&endpoint).await;
    assert_eq!((claimed.attempts_total, claimed.attempts_made), (1, 0));
    world.settle(world.failed(&claimed, FinalReason::Refused)).await;

    let summary = world.detail(delivery).await.summary;
    assert_eq!((summary.status, summary.reason), (DeliveryState::Failed, Some(FinalReason::Refused)));
    assert_eq!(summary.delivered_at, delivered_at);
    assert_eq!(world.list_in(DeliveryState::Delivered).await, []);

    world.requeue(delivery).await.unwrap();
    world.deliver(&endpoint).await;
    assert_eq!(world.list_in(DeliveryState::Failed).await, []);
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
}

/// What waits for its retry need not wait longer, and its attempts count anew. An ended lease does not hold it back,
/// and is worth nothing afterwards.
pub async fn requeue_makes_a_waiting_delivery_due_now(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    let later = world.now() + Duration::from_secs(3_600);
    world.settle(world.retry_at(&claimed, later)).await;
    world.pass_seconds(1);
    world.requeue(delivery).await.unwrap();
    let claimed = world.claim_one(&endpoint).await;
    assert_eq!((claimed.attempts_total, claimed.attempts_made), (1, 0));

    world.pass(LEASE);
    world.requeue(delivery).await.unwrap();
    assert_eq!(world.settle_batch(vec![world.delivered(&claimed)]).await, [Settled::Stale]);
    assert_eq!(world.detail(delivery).await.summary.next_attempt_at, Some(world.now()));
    world.deliver(&endpoint).await;
}

/// While a request is under way nobody can know how it ends.
pub async fn requeue_refuses_while_delivering(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    assert_conflict_text(world.requeue(delivery).await, "an attempt is under way");
    world.disable(&endpoint).await;
    assert_conflict_text(world.requeue(delivery).await, "an attempt is under way");
    world.enable(&endpoint).await;
    world.settle(world.delivered(&claimed)).await;
    assert_eq!(world.detail(delivery).await.attempts.len(), 1);
    world.requeue(delivery).await.unwrap();

    assert_not_found(world.store.event_requeue(TenantId::DEFAULT, world.event_id(), world.now()).await);
}

/// A delivery that could not start is not queued: the caller learns what to do first.
pub async fn requeue_refuses_without_an_enabled_endpoint(world: World) {
    let endpoint = world.endpoint().await;
    let waiting = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.failed(&claimed, FinalReason::Refused)).await;
    world.disable(&endpoint).await;
    let before = world.detail(waiting).await;
    assert_conflict_text(world.requeue(waiting).await, "the endpoint is disabled; enable it first");
    assert_eq!(world.detail(waiting).await, before);
    world.delete(&endpoint).await;
    assert_conflict_text(world.requeue(waiting).await, "the endpoint is deleted");
    assert_eq!(world.detail(waiting).await, before);
}

/// Everything that is queued counts, due or not and leased or not, for its tenant alone and up to the bound.
pub async fn queue_usage_is_that_of_the_tenant(world: World) {
    let (ours, theirs) = (world.endpoint().await, world.endpoint_of(world.tenant_id()).await);
    let usage = async |tenant_id, rows_max| world.store.queue_usage(tenant_id, rows_max).await.unwrap();
    assert_eq!(usage(ours.tenant_id, 10).await, QueueUsage::default());
    world.accept_many(&theirs, 5).await;
    let sized = |bytes: usize| {
        let event = EventBuilder::new(world.event_id(), &ours, world.now()).body(vec![b'x'; bytes]).build();
        world.new_event_of(event, &[&ours])
    };
    world.insert(vec![sized(100), sized(0), sized(100_000)]).await;
    assert_eq!(usage(ours.tenant_id, 10).await, QueueUsage { deliveries: 3, bytes: 100_100 });
    assert_eq!(usage(ours.tenant_id, 2).await.deliveries, 2);
    let claimed = world.claim_all(&ours).await;
    assert_eq!(usage(ours.tenant_id, 10).await.deliveries, 3);
    world.settle(world.retry_at(&claimed[0], world.now() + LEASE)).await;
    world.settle(world.delivered(&claimed[2])).await;
    assert_eq!(usage(ours.tenant_id, 10).await, QueueUsage { deliveries: 2, bytes: 100 });
    assert_eq!(usage(world.tenant_id(), 10).await, QueueUsage::default());
}

/// People read these words in the API's answer.
#[track_caller]
fn assert_conflict_text<T: std::fmt::Debug>(result: Result<T, StoreError>, expected: &str) {
    assert!(matches!(result, Err(StoreError::Conflict(text)) if text == expected), "{result:?} is not {expected:?}");
}
