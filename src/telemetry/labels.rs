//! Which of many things get a series of their own.
//!
//! Every label value is a series that Prometheus keeps for months, so a service with a hundred thousand endpoints cannot have
//! one for each. The busiest have their own, the others share one.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Counts of things, `N` to each, under at most so many names of their own.
///
/// A counter must never go backwards. So a thing that has its own counts keeps them, and what was counted for it before,
/// among the others, stays there.
#[derive(Debug)]
pub(crate) struct LabelledCounts<K, const N: usize> {
    own_max: usize,
    own: BTreeMap<K, [u64; N]>,
    other: [u64; N],
    /// How much was counted for each thing without counts of its own.
    waiting: HashMap<K, u64>,
}

impl<K: Copy + Ord + Hash, const N: usize> LabelledCounts<K, N> {
    /// With room for `own_max` things.
    pub(crate) fn new(own_max: usize) -> Self {
        LabelledCounts { own_max, own: BTreeMap::new(), other: [0; N], waiting: HashMap::new() }
    }

    /// Adds what was counted since the last time; a thing may be named more than once.
    ///
    /// While there is room for everything that was ever seen, everything gets its own counts at once. Otherwise the busiest
    /// so far get a quarter of the room that is left, each time: whoever happens to be first does not take it all, and what
    /// is left is given by longer and longer experience.
    pub(crate) fn add(&mut self, counted: &[(K, [u64; N])]) {
        for (thing, counts) in counted {
            if !self.own.contains_key(thing) {
                *self.waiting.entry(*thing).or_default() += counts.iter().sum::<u64>();
            }
        }
        self.admit();
        for (thing, counts) in counted {
            let sums = self.own.get_mut(thing).unwrap_or(&mut self.other);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    fn admit(&mut self) {
        let free = self.own_max.saturating_sub(self.own.len());
        let count = if self.waiting.len() <= free { self.waiting.len() } else { free.div_ceil(4) };
        if count == 0 {
            return;
        }
        let mut busiest: Vec<(K, u64)> = self.waiting.iter().map(|(thing, traffic)| (*thing, *traffic)).collect();
        busiest.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then(a.cmp(b)));
        for (thing, _) in busiest.into_iter().take(count) {
            self.waiting.remove(&thing);
            self.own.insert(thing, [0; N]);
        }
    }

    /// Forgets how busy those were that are gone. Their counts stay.
    pub(crate) fn retain_waiting(&mut self, mut is_there: impl FnMut(&K) -> bool) {
        self.waiting.retain(|thing, _| is_there(thing));
    }

    /// The things with counts of their own.
    pub(crate) fn own(&self) -> &BTreeMap<K, [u64; N]> {
        &self.own
    }

    /// What was counted for all others together.
    pub(crate) fn other(&self) -> &[u64; N] {
        &self.other
    }

    /// Whether a thing has counts of its own.
    pub(crate) fn has_own(&self, thing: &K) -> bool {
        self.own.contains_key(thing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(counts: &LabelledCounts<u32, 1>) -> Vec<u32> {
        counts.own().keys().copied().collect()
    }

    #[test]
    fn few_things_all_have_their_own_counts_at_once() {
        let mut counts = LabelledCounts::new(3);
        counts.add(&[(1, [5]), (2, [0]), (1, [1]), (3, [2])]);
        assert_eq!(
            counts.own().iter().map(|(thing, [sum])| (*thing, *sum)).collect::<Vec<_>>(),
            [(1, 6), (2, 0), (3, 2)]
        );
        assert_eq!(counts.other(), &[0]);
    }

    #[test]
    fn of_many_the_busiest_come_first() {
        let mut counts = LabelledCounts::new(8);
        let round: Vec<_> = (1..=100).map(|thing| (thing, [u64::from(thing)])).collect();
        counts.add(&round);
        assert_eq!(names(&counts), [99, 100]);
        // One that was silent at first becomes the busiest of all and finds room.
        counts.add(&[(1, [1_000]), (2, [150])]);
        assert_eq!(names(&counts), [1, 2, 99, 100]);
        for _ in 0..10 {
            counts.add(&round);
        }
        assert_eq!(counts.own().len(), 8);
        assert!(counts.has_own(&98) && !counts.has_own(&50));
    }

    #[test]
    fn what_has_its_own_counts_keeps_them() {
        let mut counts = LabelledCounts::new(1);
        counts.add(&[(1, [1])]);
        for _ in 0..10 {
            counts.add(&[(2, [1_000])]);
        }
        assert_eq!(names(&counts), [1]);
        assert_eq!((counts.own()[&1], counts.other()), ([1], &[10_000]));
        counts.retain_waiting(|_| false);
        assert_eq!((names(&counts), counts.waiting.len()), (vec![1], 0));
    }

    #[test]
    fn without_room_everything_is_counted_together() {
        let mut counts = LabelledCounts::new(0);
        counts.add(&[(1, [1, 2]), (2, [10, 20])]);
        assert_eq!((counts.own().len(), counts.other()), (0, &[11, 22]));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_nothing_goes_backwards_and_there_are_never_too_many(
            own_max in 0_usize..6,
            rounds in prop::collection::vec(prop::collection::vec((0_u8..12, [0_u64..50, 0_u64..50]), 0..12), 0..20),
        ) {
            let mut counts = LabelledCounts::new(own_max);
            let mut total = [0, 0];
            for round in rounds {
                let (own, other) = (counts.own().clone(), *counts.other());
                counts.add(&round);
                for (_, [a, b]) in &round {
                    total = [total[0] + a, total[1] + b];
                }
                prop_assert!(counts.own().len() <= own_max);
                prop_assert!(own.iter().all(|(thing, former)| former.iter().zip(counts.own()[thing]).all(|(a, b)| *a <= b)));
                prop_assert!(other.iter().zip(counts.other()).all(|(former, present)| former <= present));
                let sums = counts.own().values().chain([counts.other()]);
                let sum = sums.fold([0, 0], |sum, counts| [sum[0] + counts[0], sum[1] + counts[1]]);
                prop_assert_eq!(sum, total);
            }
        }
    }
}
