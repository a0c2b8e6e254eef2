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
