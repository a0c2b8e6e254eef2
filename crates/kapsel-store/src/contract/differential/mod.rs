//! Comparing engines with each other: one random list of operations, applied to each of them, with the same answers
//! expected after every step and the same content at intervals.
//!
//! The contract suite says what is right in the cases that somebody thought of; this finds the others. Everything
//! follows from the seed, so that a failure is replayed by its number. `script` makes up the operations, `operation`
//! applies them, and `dump` looks at everything that is stored.

mod dump;
mod operation;
mod removal;
mod replays;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use dump::Dump;
use operation::Engine;
use script::Script;

use crate::Store;

/// How many steps lie between two full comparisons.
const DUMP_INTERVAL: usize = 50;

/// How often each operation had each kind of result, such as `event_insert_batch: replay`.
pub type Tally = BTreeMap<String, usize>;

/// Applies `steps` operations that follow from `seed` to every engine, and compares what each of them answers with what
/// the first one does. The stores are empty at the start. Returns what occurred, so that a test can tell whether the
/// comparison was worth something.
///
/// # Panics
/// If two engines differ. The message names the seed, the step and the operation.
pub async fn run(seed: u64, steps: usize, engines: &[(&str, Arc<dyn Store>)]) -> Tally {
    let mut engines: Vec<_> = engines.iter().map(|(name, store)| Engine::new(name, Arc::clone(store))).collect();
    let mut script = Script::new(seed);
    let mut tally = Tally::new();
    for step in 1..=steps {
        let operation = script.next(&*engines[0].store).await;
        let now = script.now();
        let expected = operation.apply(&mut engines[0], now).await;
        let reference = engines[0].name.clone();
        for engine in &mut engines[1..] {
            let observed = operation.apply(engine, now).await;
            assert!(
                observed == expected,
                "seed {seed}, step {step}: {} and {reference} differ after {operation:?} at {now} ({} µs)\n\
                 {}: {observed:?}\n{reference}: {expected:?}",
                engine.name,
                now.unix_micros(),
                engine.name,
            );
        }
        for mark in operation.marks(&expected) {
            *tally.entry(mark).or_default() += 1;
        }
        script.learn(&operation, &expected);
        if step % DUMP_INTERVAL == 0 || step == steps {
            compare_content(&engines, &script, &format!("seed {seed}, step {step}")).await;
        }
    }
    tally
}

async fn compare_content(engines: &[Engine], script: &Script, place: &str) {
    let [reference, others @ ..] = engines else { return };
    let expected = Dump::of(reference, script).await;
    expected.check(place);
    for engine in others {
        let observed = Dump::of(engine, script).await;
        if let Some(difference) = observed.difference(&expected) {
            panic!("{place}: the content of {} and {} differs: {difference}", engine.name, reference.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    /// Results that a run has to see before its silence means anything.
    const EXPECTED: &[&str] = &[
        "circuit_changes: none",
        "circuit_changes: some",
        "circuit_list: none",
        "circuit_list: some",
        "circuit_put_if_version: refused",
        "circuit_put_if_version: written",
        "circuit_read: some",
        "circuit_reset: done",
        "delivery_claim_due: none",
        "delivery_claim_due: some",
        "delivery_discard_of_deleted: none",
        "delivery_discard_of_deleted: some",
        "delivery_release_claim: none",
        "delivery_release_claim: some",
        "delivery_release_if_leased: done",
        "delivery_settle_if_leased: stale",
        "delivery_settle_if_leased: written delivered",
        "delivery_settle_if_leased: written failed",
        "delivery_settle_if_leased: written gone",
        "delivery_settle_if_leased: written retry",
        "endpoint_changes: deleted",
        "endpoint_changes: none",
        "endpoint_changes: some",
        "endpoint_delete: done",
        "endpoint_delete: not found",
        "endpoint_get: disabled",
        "endpoint_get: enabled",
        "endpoint_get: not found",
        "endpoint_insert: conflict",
        "endpoint_insert: done",
        "endpoint_list: none",
        "endpoint_list: some",
        "endpoint_update_if_version: conflict",
        "endpoint_update_if_version: done",
        "endpoint_update_if_version: not found",
        "erasure_advance_if_version: completed",
        "erasure_covers: none",
        "erasure_covers: some",
        "erasure_insert: completed",
        "erasure_insert: erased",
        "erasure_insert: not found",
        "erasure_insert: waits",
        "event_get: delivered",
        "event_get: delivering",
        "event_get: discarded",
        "event_get: failed",
        "event_get: not found",
        "event_get: pending",
        "event_get: received",
        "event_insert_batch: conflict",
        "event_insert_batch: created",
        "event_insert_batch: replay",
        "event_list: none",
        "event_list: some",
        "event_requeue: conflict",
        "event_requeue: done",
        "event_requeue: not found",
        "idempotency_prune: none",
        "idempotency_prune: some",
        "lane_scan: due",
        "lane_scan: next due time",
        "lane_scan: none",
        "lease_release_all: none",
        "lease_release_all: some",
        "ping: done",
        "replay_advance_if_version: none",
        "replay_advance_if_version: replayed",
        "replay_advance_if_version: skipped",
        "replay_advance_if_version: some",
        "replay_count: none",
        "replay_count: some",
        "replay_due: next due time",
        "replay_due: none",
        "replay_due: some",
        "replay_get: not found",
        "replay_get: some",
        "replay_insert: conflict",
        "replay_insert: done",
        "replay_list: none",
        "replay_list: some",
        "replay_scan: none",
        "replay_scan: some",
        "replay_set_state_if_version: conflict",
        "replay_set_state_if_version: not found",
        "replay_set_state_if_version: some",
        "retention_remove: none",
        "retention_remove: some",
    ];

    #[tokio::test]
    async fn memory_agrees_with_itself_on_everything_of_interest() {
        let mut tally = Tally::new();
        for seed in 0..6 {
            let engines: [(&str, Arc<dyn Store>); 2] =
                [("memory", Arc::new(MemoryStore::new())), ("other memory", Arc::new(MemoryStore::new()))];
            for (mark, count) in run(seed, 1_000, &engines).await {
                *tally.entry(mark).or_default() += count;
            }
        }
        let missing: Vec<_> = EXPECTED.iter().filter(|mark| !tally.contains_key(**mark)).collect();
        assert!(missing.is_empty(), "{missing:?} never occurred in {tally:#?}");
    }

    #[tokio::test]
    async fn the_same_seed_is_the_same_run() {
        let mut tallies = Vec::new();
        for _ in 0..2 {
            let engines: [(&str, Arc<dyn Store>); 1] = [("memory", Arc::new(MemoryStore::new()))];
            tallies.push(run(7, 300, &engines).await);
        }
        assert_eq!(tallies[0], tallies[1]);
    }
}
