//! How long it takes from the arrival of an event at the destination to a signed head of the log that covers its attempt.
//!
//! From outside nobody can tell cheaply which leaf belongs to which event. So ranks are matched: the n-th request that came
//! to the destination counts as covered when a head was first seen with n leaves more than at the start. Leaves go into the
//! log in about, but not exactly, the order of arrivals; over many events the differences cancel out. The figure is an upper
//! bound for the time from the settling of an attempt, because the arrival comes before it, and because heads are
//! seen only when they are asked for, every few milliseconds.

/// A head of the log as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SeenHead {
    /// When it was first seen.
    pub(crate) at_us: u64,
    /// Leaves that it covers.
    pub(crate) tree_size: u64,
}

/// For each arrival of a window, how long it took until it was covered. Arrivals that never were are left out.
///
/// `arrivals_us` are all arrivals since the log had `size_at_start` leaves, in order; `heads` are in order as well.
pub(crate) fn lags_us(
    arrivals_us: &[u32],
    heads: &[SeenHead],
    size_at_start: u64,
    window_us: std::ops::Range<u64>,
) -> Vec<u64> {
    let mut heads = heads.iter();
    let mut head = heads.next();
    let mut lags = Vec::new();
    for (rank, arrival_us) in (size_at_start + 1..).zip(arrivals_us) {
        while head.is_some_and(|seen| seen.tree_size < rank) {
            head = heads.next();
        }
        let Some(seen) = head else { break };
        let arrival_us = u64::from(*arrival_us);
        if window_us.contains(&arrival_us) {
            // The head may have been seen before by a hair, as ranks are not identities.
            lags.push(seen.at_us.saturating_sub(arrival_us));
        }
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(seen: &[(u64, u64)]) -> Vec<SeenHead> {
        seen.iter().map(|(at_us, tree_size)| SeenHead { at_us: *at_us, tree_size: *tree_size }).collect()
    }

    #[test]
    fn the_first_head_that_is_large_enough_counts() {
        let heads = heads(&[(5, 10), (100, 12), (200, 12), (300, 15)]);
        assert_eq!(lags_us(&[10, 20, 30, 90, 95], &heads, 10, 0..1_000), [90, 80, 270, 210, 205]);
    }

    #[test]
    fn only_the_window_counts_and_ranks_go_on_before_it() {
        let heads = heads(&[(100, 2), (200, 4)]);
        assert_eq!(lags_us(&[10, 20, 110, 120], &heads, 0, 100..115), [90]);
    }

    #[test]
    fn what_no_head_covers_is_left_out() {
        assert_eq!(lags_us(&[10, 20], &heads(&[(100, 1)]), 0, 0..1_000), [90]);
        assert_eq!(lags_us(&[10], &[], 0, 0..1_000), [0_u64; 0]);
        assert_eq!(lags_us(&[150], &heads(&[(100, 1)]), 0, 0..1_000), [0]);
    }
}
