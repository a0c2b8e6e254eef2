//! The way round all lanes: each look at the store goes on behind the lane where the last one stopped, so that every
//! lane has its turn however many there are.

use kapsel_core::{EndpointId, InstanceId, Timestamp};
use kapsel_store::{DeliveryStore, Lane, StoreError};

/// How many due lanes are read at once.
const PAGE: usize = 256;
/// How many pages one look takes at most. It then ends where it is and goes on there the next time.
const PAGES_MAX: usize = 8;

/// A look over the lanes: those behind the place where it starts, and then from the beginning up to that place.
pub(super) struct Sweep {
    start: Option<EndpointId>,
    after: Option<EndpointId>,
    is_second_part: bool,
    pages: usize,
    seen: Seen,
}

/// What a look over the lanes saw.
#[derive(Default)]
pub(super) struct Seen {
    /// The lanes that are due, in the order of the round.
    pub due: Vec<Lane>,
    /// Whether every due lane is among them.
    pub is_complete: bool,
    /// When the first of the other lanes becomes due, if all were seen.
    pub next_due_at: Option<Timestamp>,
}

impl Sweep {
    /// A look that starts behind `start`.
    pub(super) fn behind(start: Option<EndpointId>) -> Self {
        Sweep { start, after: start, is_second_part: start.is_none(), pages: 0, seen: Seen::default() }
    }

    /// The next page of lanes that are due for `viewer`. `None` if the round is complete, or has taken long enough.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn next(
        &mut self,
        store: &dyn DeliveryStore,
        now: Timestamp,
        viewer: InstanceId,
    ) -> Result<Option<&[Lane]>, StoreError> {
        if self.seen.is_complete || self.pages == PAGES_MAX {
            return Ok(None);
        }
        self.pages += 1;
        let seen = &mut self.seen;
        let mut page = store.lane_scan(now, viewer, self.after, PAGE).await?;
        let is_end = page.due.len() < PAGE;
        let last = page.due.last().map(|lane| lane.endpoint_id);
        seen.next_due_at = [seen.next_due_at, page.next_due_at].into_iter().flatten().min();
        seen.is_complete = is_end && self.is_second_part;
        if let (true, Some(start)) = (self.is_second_part, self.start) {
            let before = page.due.len();
            page.due.retain(|lane| lane.endpoint_id <= start);
            seen.is_complete |= page.due.len() < before;
        }
        self.after = if is_end { None } else { last };
        self.is_second_part |= is_end;
        let first = seen.due.len();
        seen.due.append(&mut page.due);
        Ok(Some(&seen.due[first..]))
    }

    /// What was seen.
    pub(super) fn end(mut self) -> Seen {
        if !self.seen.is_complete {
            // Some other lane may be due already.
            self.seen.next_due_at = None;
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kapsel_core::{DeliveryId, EventId};
    use kapsel_store::{AdminStore, IngestStore, MemoryStore, NewDelivery, NewEvent};
    use test_harness::{EndpointBuilder, EventBuilder};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);
    const VIEWER: InstanceId = InstanceId::MIN;
    const ALL: usize = usize::MAX;

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

    /// Looks at pages until there are as many lanes as are `enough`.
    async fn sweep(store: &MemoryStore, start: Option<EndpointId>, enough: usize) -> Seen {
        let mut sweep = Sweep::behind(start);
        let mut count = 0;
        while count < enough
            && let Some(page) = sweep.next(store, NOW, VIEWER).await.unwrap()
        {
            count += page.len();
        }
        sweep.end()
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
        let seen = sweep(&store, None, ALL).await;
        assert!(seen.is_complete);
        assert_eq!(due(&seen), numbers(0..600));
        for start in [0, 1, 255, 256, 300, 598, 599] {
            let seen = sweep(&store, Some(endpoint_id(start)), ALL).await;
            assert!(seen.is_complete, "{start}");
            assert_eq!(due(&seen), numbers((start + 1..600).chain(0..=start)), "{start}");
        }
        let seen = sweep(&store, Some(EndpointId::MAX), ALL).await;
        assert_eq!(due(&seen), numbers(0..600));
    }

    #[tokio::test]
    async fn it_ends_when_there_is_enough_or_it_took_long_enough() {
        let store = store_of(2_100).await;
        let seen = sweep(&store, None, 1).await;
        assert!(!seen.is_complete);
        assert_eq!(due(&seen), numbers(0..256));
        let seen = sweep(&store, None, ALL).await;
        assert!(!seen.is_complete);
        assert_eq!(due(&seen), numbers(0..2_048));
    }

    #[tokio::test]
    async fn an_empty_queue_is_a_complete_round() {
        for start in [None, Some(endpoint_id(7))] {
            let seen = sweep(&MemoryStore::new(), start, ALL).await;
            assert!(seen.is_complete && seen.due.is_empty() && seen.next_due_at.is_none());
        }
    }
}
