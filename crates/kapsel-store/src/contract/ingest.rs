//! Accepting events: stored once, byte-exact, under one key.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{DeliveryState, Event, EventId, FinalReason, HeaderBlock, TenantId};
use test_harness::EventBuilder;

use super::world::{ALL, World, events_of, key, only_delivery, with_body, with_key};
use crate::{Ingested, NewEvent};

/// The second event under a key is told the first one's id, is not stored, and causes no delivery.
pub async fn same_key_twice_is_one_event(world: World) {
    let endpoint = world.endpoint().await;
    let first = with_key(world.new_event(&endpoint), "key");
    let second = with_key(world.new_event(&endpoint), "key");
    let (first_id, second_id) = (first.event.id, second.event.id);

    assert_eq!(world.insert(vec![first]).await, [Ingested::Created]);
    world.pass_seconds(10);
    assert_eq!(world.insert(vec![second]).await, [Ingested::Replay { original: first_id }]);

    assert_eq!(world.event_count().await, 1);
    assert_eq!(events_of(&world.claim_all(&endpoint).await), [first_id]);
    super::world::assert_not_found(world.store.event_get(TenantId::DEFAULT, second_id, world.now()).await);
}

/// The first of a batch wins, and the others are told so in their places.
pub async fn duplicate_within_a_batch_is_one_event(world: World) {
    let endpoint = world.endpoint().await;
    let first = with_key(world.new_event(&endpoint), "key");
    let original = first.event.id;
    let batch = vec![
        world.new_event(&endpoint),
        first,
        with_key(world.new_event(&endpoint), "other key"),
        with_key(world.new_event(&endpoint), "key"),
        with_body(with_key(world.new_event(&endpoint), "key"), "other body"),
        world.new_event(&endpoint),
    ];

    let expected = [
        Ingested::Created,
        Ingested::Created,
        Ingested::Created,
        Ingested::Replay { original },
        Ingested::Conflict { original },
        Ingested::Created,
    ];
    assert_eq!(world.insert(batch).await, expected);
    assert_eq!(world.event_count().await, 4);
    assert_eq!(world.claim_all(&endpoint).await.len(), 4);
}

/// Many tries at the same moment, each in its own batch: one is stored, the others name it.
pub async fn concurrent_same_key_is_one_event(world: World) {
    let endpoint = world.endpoint().await;
    let tries: Vec<_> = (0..32)
        .map(|_| with_key(world.new_event(&endpoint), "key"))
        .map(|new| {
            let (store, now, id) = (Arc::clone(&world.store), world.now(), new.event.id);
            tokio::spawn(async move { (id, store.event_insert_batch(now, Arc::new(vec![new])).await.unwrap()[0]) })
        })
        .collect();
    let mut results = Vec::new();
    for handle in tries {
        results.push(handle.await.unwrap());
    }

    let created: Vec<EventId> =
        results.iter().filter(|(_, ingested)| *ingested == Ingested::Created).map(|(id, _)| *id).collect();
    assert_eq!(created.len(), 1, "{results:?}");
    let original = created[0];
    for (id, ingested) in results {
        assert!(id == original || ingested == Ingested::Replay { original }, "{ingested:?}");
    }
    assert_eq!(world.event_count().await, 1);
    assert_eq!(events_of(&world.claim_all(&endpoint).await), [original]);
}

/// A sender that gives a key says that the bytes are the same; if they are not, something is wrong on its side.
pub async fn explicit_key_with_other_body_conflicts(world: World) {
    let endpoint = world.endpoint().await;
    let first = with_key(world.new_event(&endpoint), "key");
    let original = first.event.id;
    world.insert(vec![first]).await;

    let other = with_body(with_key(world.new_event(&endpoint), "key"), "other body");
    assert_eq!(world.insert(vec![other]).await, [Ingested::Conflict { original }]);
    let same = with_key(world.new_event(&endpoint), "key");
    assert_eq!(world.insert(vec![same]).await, [Ingested::Replay { original }]);
    assert_eq!(world.event_count().await, 1);
}

/// A provider's own id is taken at its word: some change the body between tries.
pub async fn provider_id_with_other_body_replays(world: World) {
    let endpoint = world.endpoint().await;
    let by_provider = |new: NewEvent| NewEvent { key: Some(key("id", false)), ..new };
    let first = by_provider(world.new_event(&endpoint));
    let original = first.event.id;
    world.insert(vec![first]).await;

    let other = with_body(by_provider(world.new_event(&endpoint)), "other body");
    assert_eq!(world.insert(vec![other]).await, [Ingested::Replay { original }]);
    assert_eq!(world.event_count().await, 1);
}

/// A key counts for the window of its first use, to the microsecond; duplicates do not prolong it.
pub async fn key_is_forgotten_after_its_window(world: World) {
    let endpoint = world.endpoint().await;
    let with_window = |seconds| {
        let window = Duration::from_secs(seconds);
        NewEvent {
            key: Some(kapsel_core::idempotency::IdempotencyKey { window, ..key("key", true) }),
            ..world.new_event(&endpoint)
        }
    };
    let first = with_window(100);
    let original = first.event.id;
    assert_eq!(world.insert(vec![first]).await, [Ingested::Created]);

    world.pass_seconds(50);
    assert_eq!(world.insert(vec![with_window(1_000)]).await, [Ingested::Replay { original }]);
    world.pass(Duration::from_secs(50) - Duration::from_micros(1));
    assert_eq!(world.insert(vec![with_window(1_000)]).await, [Ingested::Replay { original }]);
    world.pass(Duration::from_micros(1));

    let second = with_body(with_window(1_000), "another body is no conflict now");
    let original = second.event.id;
    assert_eq!(world.insert(vec![second]).await, [Ingested::Created]);
    world.pass_seconds(999);
    assert_eq!(world.insert(vec![with_window(1)]).await, [Ingested::Conflict { original }]);
    assert_eq!(world.event_count().await, 2);
}

/// Two endpoints may see the same key; neither learns of the other's.
pub async fn keys_are_scoped_to_the_endpoint(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    let batch = vec![with_key(world.new_event(&one), "key"), with_key(world.new_event(&two), "key")];
    assert_eq!(world.insert(batch).await, [Ingested::Created, Ingested::Created]);
    assert_eq!(world.event_count().await, 2);
}

/// Pruning takes all of the keys whose window has passed, in steps, and none of the others.
pub async fn idempotency_prune_forgets_only_expired_keys(world: World) {
    let endpoint = world.endpoint().await;
    let with_window = |text: &str, seconds| {
        let window = Duration::from_secs(seconds);
        NewEvent {
            key: Some(kapsel_core::idempotency::IdempotencyKey { window, ..key(text, true) }),
            ..world.new_event(&endpoint)
        }
    };
    let short: Vec<_> = ["a", "b", "c", "d", "e"].map(|text| with_window(text, 10)).into();
    world.insert(short).await;
    let long = with_window("long", 1_000);
    let original = long.event.id;
    world.insert(vec![long]).await;

    assert_eq!(world.store.idempotency_prune(world.now(), ALL).await.unwrap(), 0);
    world.pass_seconds(10);
    let mut pruned = 0;
    loop {
        let step = world.store.idempotency_prune(world.now(), 2).await.unwrap();
        pruned += step;
        assert!(pruned <= 5, "more is forgotten than was there");
        if step == 0 {
            break;
        }
    }
    assert_eq!(pruned, 5);
    assert_eq!(world.insert(vec![with_window("long", 1)]).await, [Ingested::Replay { original }]);
    assert_eq!(world.insert(vec![with_window("a", 1)]).await, [Ingested::Created]);
    assert_eq!(world.event_count().await, 7);
}

/// What is sent again because its outcome was unknown is stored once: with and without keys, in the same words.
pub async fn repeated_batch_changes_nothing(world: World) {
    let endpoint = world.endpoint().await;
    let first = with_key(world.new_event(&endpoint), "key");
    let original = first.event.id;
    let batch = vec![first, world.new_event(&endpoint), with_key(world.new_event(&endpoint), "key")];
    let expected = [Ingested::Created, Ingested::Created, Ingested::Replay { original }];

    assert_eq!(world.insert(batch.clone()).await, expected);
    let before = world.list(crate::EventFilter::default()).await;
    world.pass_seconds(1);
    assert_eq!(world.insert(batch.clone()).await, expected);
    assert_eq!(world.list(crate::EventFilter::default()).await, before);

    // A batch that repeats itself in part, beside something new.
    let mixed = vec![batch[1].clone(), world.new_event(&endpoint), batch[0].clone()];
    assert_eq!(world.insert(mixed).await, [Ingested::Created; 3]);
    assert_eq!(world.event_count().await, 3);
    assert_eq!(world.claim_all(&endpoint).await.len(), 3);
}

/// The repeated try may come after the first one's delivery; the event stays delivered.
pub async fn repeated_batch_after_delivery_does_not_requeue(world: World) {
    let endpoint = world.endpoint().await;
    let new = with_key(world.new_event(&endpoint), "key");
    world.insert(vec![new.clone()]).await;
    world.deliver(&endpoint).await;

    assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Created]);
    assert_eq!(world.state(only_delivery(&new)).await, DeliveryState::Delivered);
    assert!(world.claim_all(&endpoint).await.is_empty());
}

/// The id speaks before the key: by the time of the repeated try, the key may belong to another event.
pub async fn repeated_event_is_created_though_its_key_moved_on(world: World) {
    let endpoint = world.endpoint().await;
    let first = with_key(world.new_event(&endpoint), "key");
    world.insert(vec![first.clone()]).await;
    world.pass_seconds(3_600);
    let second = with_body(with_key(world.new_event(&endpoint), "key"), "other body");
    let original = second.event.id;
    assert_eq!(world.insert(vec![second]).await, [Ingested::Created]);

    assert_eq!(world.insert(vec![first]).await, [Ingested::Created]);
    let third = with_key(world.new_event(&endpoint), "key");
    assert_eq!(world.insert(vec![third]).await, [Ingested::Conflict { original }]);
    assert_eq!(world.event_count().await, 2);
}

/// What a delivery gets is what came in: every byte, every header, in their order.
pub async fn body_and_headers_are_byte_exact(world: World) {
    let endpoint = world.endpoint().await;
    let pattern = |len: usize| -> Vec<u8> { (0..len).map(|at| (at.wrapping_mul(31) >> 3).to_le_bytes()[0]).collect() };
    let bodies = [
        Vec::new(),
        vec![0],
        b"\x00\xff\xfe\r\n\x1a'\"\\\x00 binary".to_vec(),
        "text in UTF-8: \u{e4}\u{1f980}".into(),
        b"\xc3\x28\xed\xa0\x80 not UTF-8".to_vec(),
        pattern(300 * 1024),
        pattern(1024 * 1024),
    ];
    let headers = HeaderBlock::from_pairs([
        ("x-twice", &b"one"[..]),
        ("content-type", b"application/octet-stream"),
        ("x-twice", b"two"),
        ("x-raw", b"\xff\x80\x00"),
        ("x-empty", b""),
        ("x-twice", b"one"),
    ]);
    let mut events: Vec<Event> = Vec::new();
    for body in bodies {
        let mut event = EventBuilder::new(world.event_id(), &endpoint, world.now()).body(body).build();
        event.headers = headers.clone();
        event.idempotency_key = Some("key '\u{e4}'".to_owned());
        events.push(event);
    }
    let bare = EventBuilder::new(world.event_id(), &endpoint, world.now()).headers(&[]).build();
    events.push(bare);

    let batch = events.iter().map(|event| world.new_event_of(event.clone(), &[&endpoint])).collect();
    world.insert(batch).await;
    let claimed = world.claim_all(&endpoint).await;
    assert_eq!(claimed.len(), events.len());
    for (claimed, event) in claimed.iter().zip(&events) {
        // Compared by parts first: a difference in a megabyte is better not printed.
        assert!(claimed.event.body == event.body, "the body of {} bytes changed", event.body.len());
        assert!(claimed.event.headers == event.headers, "the headers changed: {:?}", claimed.event.headers);
        assert!(*claimed.event == *event, "something else changed");
        let summary = world.detail(claimed.delivery).await.summary;
        assert_eq!(summary.size_bytes, u64::try_from(event.body.len()).unwrap());
        assert_eq!(summary.content_type.as_deref(), event.content_type());
        assert_eq!(summary.idempotency_key, event.idempotency_key);
    }
}

/// The ingesting instance starts such a delivery itself; if it dies, others find it when the lease ends.
pub async fn event_stored_under_a_lease_is_due_at_its_end(world: World) {
    let endpoint = world.endpoint().await;
    let lease = world.lease();
    let mut new = world.new_event(&endpoint);
    new.deliveries[0].lease = Some(lease);
    let delivery = only_delivery(&new);
    assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Created]);
    assert_eq!(world.state(delivery).await, DeliveryState::Delivering);
    assert!(world.claim_all(&endpoint).await.is_empty());

    // The lease is as good as a claimed one.
    let claimed = crate::ClaimedDelivery { delivery, event: new.event, lease, attempts_total: 0, attempts_made: 0 };
    let retry_at = world.now() + Duration::from_secs(5);
    world.settle(world.retry_at(&claimed, retry_at)).await;
    world.pass_seconds(5);
    assert_eq!(world.claim_one(&endpoint).await.attempts_total, 1);

    let mut abandoned = world.new_event(&endpoint);
    let until = world.now() + Duration::from_secs(7);
    abandoned.deliveries[0].lease = Some(kapsel_core::Lease { until, ..world.lease() });
    let delivery = only_delivery(&abandoned);
    world.insert(vec![abandoned]).await;
    world.pass_seconds(7);
    assert_eq!(world.state(delivery).await, DeliveryState::Received);
    assert_eq!(world.claim_one(&endpoint).await.delivery, delivery);
}

/// What turned out to be a duplicate after it was accepted stays visible with its reason. It is not queued, and a person
/// may send it all the same.
pub async fn event_that_ended_before_it_began_is_not_queued(world: World) {
    let endpoint = world.endpoint().await;
    let mut new = world.new_event(&endpoint);
    new.deliveries[0].ended = Some(FinalReason::Duplicate);
    let delivery = only_delivery(&new);
    assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Created]);
    assert_eq!(world.insert(vec![new]).await, [Ingested::Created]);

    let detail = world.detail(delivery).await;
    assert_eq!(
        (detail.summary.status, detail.summary.reason),
        (DeliveryState::Discarded, Some(FinalReason::Duplicate))
    );
    assert_eq!(detail.deliveries.len(), 1);
    assert!(world.claim_all(&endpoint).await.is_empty());
    world.requeue(delivery).await.unwrap();
    world.deliver(&endpoint).await;
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
}
