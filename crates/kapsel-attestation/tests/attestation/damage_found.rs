//! The check of a whole store: each kind of damage is found and named, and nothing else is.

use std::collections::BTreeSet;
use std::sync::Arc;

use kapsel_attestation::fsck::{self, Summary};
use kapsel_attestation::{Finding, SequencerSettings};
use kapsel_core::LogId;
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::{LeafError, NoteError};
use test_harness::builders::LOG_ID;

use crate::damage_cases::{SIZE, Whole, attempt_cases, entry_cases, head_cases, tile_cases, tile_id};
use crate::scripted::Script;
use crate::world::{World, findings, key, settings};

/// Names each kind. A new one has to be named here, and needs a case.
fn kind(finding: &Finding) -> &'static str {
    match finding {
        Finding::EntriesMissing { .. } => "EntriesMissing",
        Finding::EntryTwice { .. } => "EntryTwice",
        Finding::EntryBeyond { .. } => "EntryBeyond",
        Finding::LeafMissing { .. } => "LeafMissing",
        Finding::LeafForm { .. } => "LeafForm",
        Finding::LeafDiffers { .. } => "LeafDiffers",
        Finding::LeafHash { .. } => "LeafHash",
        Finding::TileMissing(_) => "TileMissing",
        Finding::TileUnreadable(_) => "TileUnreadable",
        Finding::TileDiffers { .. } => "TileDiffers",
        Finding::Root { .. } => "Root",
        Finding::Key { .. } => "Key",
        Finding::HeadForm { .. } => "HeadForm",
        Finding::HeadDiffers { .. } => "HeadDiffers",
        Finding::HeadRoot { .. } => "HeadRoot",
        Finding::HeadBeyond { .. } => "HeadBeyond",
        Finding::HeadSignature { .. } => "HeadSignature",
        Finding::HeadUnsigned { .. } => "HeadUnsigned",
        Finding::HeadOrder { .. } => "HeadOrder",
        Finding::HeadTime { .. } => "HeadTime",
        Finding::Published { .. } => "Published",
        Finding::PendingMissing { .. } => "PendingMissing",
        Finding::PendingHash { .. } => "PendingHash",
        Finding::AttemptWithoutLeaf { .. } => "AttemptWithoutLeaf",
        Finding::AttemptNowhere { .. } => "AttemptNowhere",
        Finding::AttemptTwice { .. } => "AttemptTwice",
    }
}

const KINDS: usize = 26;

#[tokio::test]
async fn each_damage_is_found_and_nothing_else_is() {
    let whole = Whole::new().await;
    let cases = [entry_cases(&whole), tile_cases(&whole), head_cases(&whole), attempt_cases(&whole)].concat();
    let mut kinds = BTreeSet::new();
    for (number, (store, expected)) in cases.iter().enumerate() {
        let found = findings(&**store).await;
        assert_eq!(found, *expected, "case {number}");
        for finding in found {
            let line = finding.to_string();
            assert!(line.len() > 20 && !line.contains('\n') && !line.contains("{"), "{line}");
            kinds.insert(kind(&finding));
        }
    }
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
}

#[tokio::test]
async fn a_finding_says_what_is_wrong_where() {
    let whole = Whole::new().await;
    let attempt_id = whole.attempt(4);
    let said = [
        (Finding::EntriesMissing { from: 7, until: 10 }, "leaves 7 to 9 of the log are missing".to_owned()),
        (
            Finding::TileDiffers { id: tile_id(1, 2), position: 3 },
            "tile 2 of level 1 is not that of the leaves, from hash 3 on".to_owned(),
        ),
        (
            Finding::LeafForm { attempt_id, source: LeafError::NotCanonical },
            format!("the leaf of {attempt_id}: the leaf is not canonical JSON (RFC 8785)"),
        ),
        (
            Finding::HeadForm { size: 3, source: NoteError::NotUtf8.into() },
            "the head of 3 leaves: the checkpoint is not a signed note: the note is not UTF-8".to_owned(),
        ),
        (
            Finding::Published { named: Some(305), last: None },
            "the log names as its last head that of 305, and the last one stored is none".to_owned(),
        ),
    ];
    for (finding, text) in said {
        assert_eq!(finding.to_string(), text);
    }
}

#[tokio::test]
async fn the_summary_counts_what_was_looked_at() {
    let whole = Whole::new().await;
    let summary = fsck::check(&*whole.world.store, LOG_ID, &mut |finding| panic!("{finding}")).await.unwrap();
    let expected = Summary {
        entries: SIZE,
        tiles: 3,
        keys: 2,
        heads: 2,
        pending: 2,
        attempts: 307,
        attempts_integrated: SIZE,
        attempts_before: 0,
        findings: 0,
    };
    assert_eq!(summary, expected);
    // Of a log that was made later, the attempts before it have no leaves.
    let later = whole.world.now();
    let store = whole.tampered().change_log(move |log| log.created_at = later).change_traces(|traces| {
        traces
            .iter_mut()
            .for_each(|trace| (trace.has_leaf, trace.is_integrated, trace.is_pending) = (false, false, false));
    });
    let found = findings(&*store).await;
    let [one, other] = whole.pending[..] else { panic!("two wait") };
    assert_eq!(found, [one, other].map(|attempt_id| Finding::AttemptWithoutLeaf { attempt_id }));
    let unknown = fsck::check(&*whole.world.store, LogId::MAX, &mut |finding| panic!("{finding}")).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn pages_may_be_of_any_size() {
    let whole = Whole::new().await;
    let look = async |store: &dyn AttestationStore| {
        fsck::check(store, LOG_ID, &mut |finding| panic!("{finding}")).await.unwrap()
    };
    let store = whole.tampered().change_heads(|heads| heads.truncate(1)).change_traces(|traces| traces.truncate(7));
    assert_eq!(look(&*store).await, look(&*whole.world.store).await);
}

/// It comes to an end whatever the store answers.
#[tokio::test]
async fn a_list_that_goes_in_circles_is_an_error() {
    let whole = Whole::new().await;
    let traces = whole.world.store.attempt_traces(None, 3).await.unwrap();
    let store = whole.tampered().change_traces(move |page| page.clone_from(&traces));
    let result = fsck::check(&*store, LOG_ID, &mut |finding| panic!("{finding}")).await;
    assert!(matches!(result, Err(StoreError::Corrupt { .. })));
    let heads = whole.world.heads().await;
    let store = whole.tampered().change_heads(move |page| page.clone_from(&heads));
    let before = |size, before| Finding::HeadOrder { size, before };
    let expected = [before(300, 305), Finding::HeadTime { size: 300 }];
    assert_eq!(findings(&*store).await, expected);
}

#[tokio::test]
async fn a_store_that_has_lost_the_whole_tree_is_still_looked_at_to_the_end() {
    let whole = Whole::new().await;
    let store = whole.tampered().change_entries(Vec::clear).change_tiles(|tiles| *tiles = Ok(Vec::new()));
    let expected = [
        Finding::EntriesMissing { from: 0, until: SIZE },
        Finding::HeadBeyond { size: 300, tree: 0 },
        Finding::HeadBeyond { size: 305, tree: 0 },
    ];
    assert_eq!(findings(&*store).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_goes_on_meanwhile_is_checked_as_it_was() {
    let world = Arc::new(World::new().await);
    let settings = SequencerSettings { batch_max: 11, batches_max: 2, ..settings() };
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings);
    sequencer.run_once().await.unwrap();
    let growing = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for _ in 0..150 {
                world.settle(7).await;
                world.pass_seconds(1);
                sequencer.run_once().await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let mut checks = 0;
    while !growing.is_finished() {
        assert_eq!(findings(&*world.store).await, []);
        checks += 1;
        tokio::task::yield_now().await;
    }
    growing.await.unwrap();
    assert!(checks > 1);
}
