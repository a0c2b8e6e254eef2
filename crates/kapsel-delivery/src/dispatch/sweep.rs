//! The way round all lanes: each look at the store goes on behind the lane where the last one stopped, so that every
//! lane has its turn however many there are.

use kapsel_core::{EndpointId, Timestamp};
use kapsel_store::{DeliveryStore, Lane, StoreError};

/// How many due lanes are read at once.
const PAGE: usize = 256;
/// How many pages one look takes at most. It then ends where it is and goes on there the next time.
const PAGES_MAX: usize = 8;

/// What a look over the lanes saw.
pub(super) struct Seen {
    /// The lanes that are due, in the order of the round.
    pub due: Vec<Lane>,
    /// Whether every due lane is among them.
    pub is_complete: bool,
    /// When the first of the other lanes becomes due, if all were seen.
    pub next_due_at: Option<Timestamp>,
}

/// Looks over the lanes behind `start`, and from the beginning up to it, until `is_enough` of what was found, the round
/// is complete, or it has taken long enough.
pub(super) async fn sweep(
    store: &dyn DeliveryStore,
    now: Timestamp,
    start: Option<EndpointId>,
    mut is_enough: impl FnMut(&[Lane]) -> bool,
) -> Result<Seen, StoreError> {
    let mut seen = Seen { due: Vec::new(), is_complete: false, next_due_at: None };
    let mut after = start;
    let mut is_second_part = start.is_none();
    for _ in 0..PAGES_MAX {
        let mut page = store.lane_scan(now, after, PAGE).await?;
        let is_end = page.due.len() < PAGE;
        let last = page.due.last().map(|lane| lane.endpoint_id);
        seen.next_due_at = [seen.next_due_at, page.next_due_at].into_iter().flatten().min();
        let mut is_round = is_end && is_second_part;
        if let (true, Some(start)) = (is_second_part, start) {
            let before = page.due.len();
            page.due.retain(|lane| lane.endpoint_id <= start);
            is_round |= page.due.len() < before;
        }
        let is_enough = is_enough(&page.due);
        seen.due.append(&mut page.due);
        if is_round {
            seen.is_complete = true;
            break;
        }
        if is_enough {
            break;
        }
        after = if is_end { None } else { last };
        is_second_part |= is_end;
    }
    if !seen.is_complete {
        // Some other lane may be due already.
        seen.next_due_at = None;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kapsel_core::{DeliveryId, EventId};
    use kapsel_store::{AdminStore, IngestStore, MemoryStore, NewDelivery, NewEvent};
    use test_harness::{EndpointBuilder, EventBuilder};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

    fn bytes(number: u16) -> [u8; 16] {
        let [high, low] = number.to_be_bytes();
        [high, low, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]
    }

    fn endpoint_id(number: u16) -> EndpointId {
        EndpointId::from_bytes(bytes(number))
    }

    /// A store in which the endpoints 0 to `count` - 1 have one delivery each that is due.
    async fn store_of(count: u16) -> MemoryStore {
        let store = MemoryStore::new();
        for number in 0..count {
            let endpoint = EndpointBuilder::new(endpoint_id(number), "http://a.example/", NOW).build();
            store.endpoint_insert(endpoint.clone()).await.unwrap();
            let event = EventBuilder::new(EventId::from_bytes(bytes(number)), &endpoint, NOW).build();
            let delivery = NewDelivery {
                id: DeliveryId::from_bytes(bytes(number)),
                endpoint_id: endpoint.id,
                lease: None,
                ended: None,
            };
            let new = NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] };
            store.event_insert_batch(NOW, Arc::new(vec![new])).await.unwrap();
        }
        store
    }

    fn numbers(numbers: impl Iterator<Item = u16>) -> Vec<EndpointId> {
        numbers.map(endpoint_id).collect()
    }

    fn due(seen: &Seen) -> Vec<EndpointId> {
        seen.due.iter().map(|lane| lane.endpoint_id).collect()
    }

    #[tokio::test]
    async fn a_round_sees_each_lane_once_wherever_it_begins() {
        let store = store_of(600).await;
        let seen = sweep(&store, NOW, None, |_| false).await.unwrap();
        assert!(seen.is_complete);
        assert_eq!(due(&seen), numbers(0..600));
        for start in [0, 1, 255, 256, 300, 598, 599] {
            let seen = sweep(&store, NOW, Some(endpoint_id(start)), |_| false).await.unwrap();
            assert!(seen.is_complete, "{start}");
            assert_eq!(due(&seen), numbers((start + 1..600).chain(0..=start)), "{start}");
        }
        let seen = sweep(&store, NOW, Some(EndpointId::MAX), |_| false).await.unwrap();
        assert_eq!(due(&seen), numbers(0..600));
    }

    #[tokio::test]
    async fn it_ends_when_there_is_enough_or_it_took_long_enough() {
        let store = store_of(2_100).await;
        let seen = sweep(&store, NOW, None, |_| true).await.unwrap();
        assert!(!seen.is_complete);
        assert_eq!(due(&seen), numbers(0..256));
        let seen = sweep(&store, NOW, None, |_| false).await.unwrap();
        assert!(!seen.is_complete);
        assert_eq!(due(&seen), numbers(0..2_048));
    }

    #[tokio::test]
    async fn an_empty_queue_is_a_complete_round() {
        for start in [None, Some(endpoint_id(7))] {
            let seen = sweep(&MemoryStore::new(), NOW, start, |_| false).await.unwrap();
            assert!(seen.is_complete && seen.due.is_empty() && seen.next_due_at.is_none());
        }
    }
}
