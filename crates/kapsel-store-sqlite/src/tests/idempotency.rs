//! Buckets of idempotency keys: found wherever they are, forgotten in steps.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{EventId, Timestamp};
use kapsel_store::{DeliveryStore, IngestStore, Ingested, NewEvent};

use super::world::World;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn use_key(world: &World, now: Timestamp, number: u8, window: Duration) -> (EventId, Ingested) {
    let key = IdempotencyKey { text: number.to_string(), hash: [number; 32], explicit: true, window };
    let new = NewEvent { key: Some(key), ..world.event(10) };
    let id = new.event.id;
    let answers = world.store.event_insert_batch(now, Arc::new(vec![new])).await.unwrap();
    (id, answers[0])
}

#[tokio::test]
async fn a_key_is_found_in_whichever_day_its_window_ends() {
    let world = World::new().await;
    let now = world.now();
    let mut originals = Vec::new();
    for days in 0..=7_u8 {
        let window = DAY * u32::from(days) + Duration::from_secs(1);
        let (id, answer) = use_key(&world, now, days, window).await;
        assert_eq!(answer, Ingested::Created);
        originals.push((days, window, id));
    }
    for (number, window, original) in originals {
        // The window that a repetition brings along does not matter.
        let last_moment = now + window - Duration::from_micros(1);
        assert_eq!(use_key(&world, last_moment, number, DAY).await.1, Ingested::Replay { original });
        assert_eq!(use_key(&world, now + window, number, DAY).await.1, Ingested::Created);
        let again = use_key(&world, now + window, number, DAY).await.1;
        assert!(matches!(again, Ingested::Replay { original: second } if second != original), "{again:?}");
    }
}

#[tokio::test]
async fn expired_keys_are_forgotten_in_steps_and_live_ones_are_not() {
    let world = World::new().await;
    let now = world.now();
    for number in 0..30 {
        let window = if number % 2 == 0 { Duration::from_secs(1) } else { DAY * 2 };
        use_key(&world, now, number, window).await;
    }
    let prune = async |now, limit| world.store.idempotency_prune(now, limit).await.unwrap();
    assert_eq!(prune(now, 100).await, 0);
    let later = now + Duration::from_secs(1);
    for expected in [6, 6, 3, 0] {
        assert_eq!(prune(later, 6).await, expected);
    }
    assert!(matches!(use_key(&world, later, 1, DAY).await.1, Ingested::Replay { .. }));
    // Whole days that have passed, then what expired meanwhile in the present one.
    let much_later = now + DAY * 3;
    use_key(&world, much_later, 100, Duration::from_secs(1)).await;
    let after = much_later + Duration::from_secs(2);
    for expected in [10, 6, 0] {
        assert_eq!(prune(after, 10).await, expected);
    }
}
