//! The log grows, whatever the sizes of its steps, and everything in it can be proved.

use std::collections::BTreeSet;
use std::time::Duration;

use kapsel_attestation::sequencer::Role;
use kapsel_attestation::{LogFigures, Proof, RunReport, SequencerSettings};
use kapsel_store::AttestationStore as _;
use kapsel_store::StoreError;
use kapsel_store::attestation::LeafName;
use kapsel_verification::{ProofVerifier, leaf_hash};
use test_harness::builders::LOG_ID;

use crate::scripted::Script;
use crate::world::{ORIGIN, TENANT, World, key, run_to_end, settings};

#[tokio::test]
async fn leaves_go_in_and_heads_grow_in_steps_of_any_size() {
    for (batch_max, batches_max, steps) in [
        (1, 1, &[1, 2, 3, 4][..]),
        (1, 16, &[40, 1]),
        (7, 3, &[1, 30, 2, 300]),
        (256, 16, &[255, 1, 256, 1, 600]),
        (1_000, 16, &[1_100, 10]),
    ] {
        let world = World::new().await;
        let settings = SequencerSettings { batch_max, batches_max, ..settings() };
        let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings);
        for count in steps {
            world.settle(*count).await;
            let report = sequencer.run_once().await.unwrap();
            let expected = (*count).min(batch_max * batches_max);
            assert_eq!((report.role, report.integrated), (Role::Leader, expected));
            assert_eq!(report.published, world.head_sizes().await.last().copied());
            run_to_end(&sequencer, &world.clock).await.unwrap();
            assert_eq!(sequencer.alarm(), None);
            world.assert_sound(&format!("{batch_max} times {batches_max}, {steps:?}")).await;
        }
    }
}

#[tokio::test]
async fn an_empty_log_is_signed_and_every_log_continues_it() {
    let world = World::new().await;
    let sequencer = world.sequencer();
    run_to_end(&sequencer, &world.clock).await.unwrap();
    assert_eq!(world.head_sizes().await, [0]);
    world.assert_sound("empty").await;
    world.settle(3).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    assert_eq!(world.head_sizes().await, [0, 3]);
    world.assert_sound("three").await;
}

#[tokio::test]
async fn a_head_waits_for_its_time_and_leaves_do_not() {
    let world = World::new().await;
    let settings = SequencerSettings { publish_interval: Duration::from_secs(60), ..settings() };
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings);
    world.settle(2).await;
    sequencer.run_once().await.unwrap();
    world.pass_seconds(59);
    world.settle(2).await;
    let report = sequencer.run_once().await.unwrap();
    assert_eq!(report, RunReport { role: Role::Leader, integrated: 2, published: None, has_more: false });
    world.pass_seconds(1);
    let report = sequencer.run_once().await.unwrap();
    assert_eq!(report, RunReport { role: Role::Leader, integrated: 0, published: Some(4), has_more: false });
    assert_eq!(sequencer.run_once().await.unwrap(), RunReport::default());
    world.assert_sound("at its time").await;
}

#[tokio::test]
async fn an_attempt_waits_then_stands_in_the_tree_then_is_proved() {
    let world = World::new().await;
    let interval = Duration::from_secs(60);
    let sequencer =
        world.scripted(&Script::smooth(), &[key(1)], SequencerSettings { publish_interval: interval, ..settings() });
    sequencer.run_once().await.unwrap();
    let attempt_id = world.settle(1).await[0];
    let data = world.store.leaf_get(TENANT, LeafName::Attempt(attempt_id)).await.unwrap().data;
    let prover = world.prover();
    assert_eq!(prover.package(TENANT, attempt_id).await.unwrap(), Proof::Pending);
    assert_eq!(prover.inclusion(TENANT, leaf_hash(&data), None).await.unwrap(), Proof::Pending);
    sequencer.run_once().await.unwrap();
    assert_eq!(prover.package(TENANT, attempt_id).await.unwrap(), Proof::NotCovered);
    assert_eq!(prover.inclusion(TENANT, leaf_hash(&data), None).await.unwrap(), Proof::NotCovered);
    world.clock.advance(interval);
    sequencer.run_once().await.unwrap();
    assert!(matches!(prover.package(TENANT, attempt_id).await.unwrap(), Proof::Made(_)));
    let stranger = world.instance_id().as_bytes().to_owned();
    let stranger = kapsel_core::TenantId::from_bytes(stranger);
    let refused = prover.package(stranger, attempt_id).await.unwrap_err();
    assert!(matches!(refused, kapsel_attestation::AttestationError::Store(StoreError::NotFound)), "{refused}");
}

#[tokio::test]
async fn every_attempt_is_proved_offline_and_every_head_continues_every_older_one() {
    let world = World::new().await;
    let sequencer = world.sequencer();
    let mut attempts = Vec::new();
    for count in [1, 5, 249, 1, 1, 60] {
        attempts.extend(world.settle(count).await);
        run_to_end(&sequencer, &world.clock).await.unwrap();
    }
    let prover = world.prover();
    let verifier = ProofVerifier::new(key(1).verifier_key().clone());
    let mut indexes = BTreeSet::new();
    for attempt_id in &attempts {
        let Proof::Made(package) = prover.package(TENANT, *attempt_id).await.unwrap() else { panic!("no proof") };
        let verified = verifier.verify_package(&package).unwrap();
        assert_eq!(verified.leaf.attempt_id, attempt_id.to_string());
        assert_eq!((verified.head.origin.as_str(), verified.head.tree_size), (ORIGIN, 317));
        let opened = verified.opened;
        assert!(opened.url.is_some() && opened.payload_sha256.is_some() && opened.response_sha256.is_some());
        let hash = package.leaf_hash;
        let index = package.inclusion_proof.leaf_index;
        assert!(indexes.insert(index));
        for size in [index + 1, 256, 257, 300, 316, 317] {
            let made = prover.inclusion(TENANT, hash, Some(size)).await;
            if size <= index {
                assert!(made.is_err(), "leaf {index} in {size}");
                continue;
            }
            let Proof::Made(proof) = made.unwrap() else { panic!("no proof") };
            assert_eq!((proof.leaf_index, proof.tree_size), (index, size));
            proof.verify().unwrap();
        }
        assert!(prover.inclusion(TENANT, hash, Some(318)).await.is_err(), "beyond the last head");
    }
    let heads = world.heads().await;
    for (place, new) in heads.iter().enumerate() {
        let new_head = prover.tree_head(new).await.unwrap();
        for old in heads[..=place].iter() {
            let old_head = prover.tree_head(old).await.unwrap();
            let proof = prover.consistency(old.size, new.size).await.unwrap();
            assert_eq!((proof.old_root, proof.new_root), (old.root, new.root));
            verifier.verify_consistency(&old_head, &new_head, &proof.proof_hashes).unwrap();
        }
    }
    for (old, new) in [(0, 5), (6, 5), (5, 318)] {
        assert!(prover.consistency(old, new).await.is_err(), "{old} to {new}");
    }
    // The tiles that are shown are those of the last head.
    let log = world.store.log_get(LOG_ID).await.unwrap();
    assert_eq!(log.published, Some((317, log.root)));
    let edge = kapsel_store::attestation::TileId { level: 0, index: 1 };
    assert_eq!(prover.tile(edge, 61).await.unwrap().unwrap().hashes.len(), 61 * 32);
    assert_eq!(prover.tile(edge, 7).await.unwrap().unwrap().hashes.len(), 7 * 32);
    assert_eq!(prover.tile(edge, 62).await.unwrap(), None);
}

#[tokio::test]
async fn the_figures_say_how_the_log_stands() {
    let world = World::new().await;
    let settings =
        SequencerSettings { publish_interval: Duration::from_secs(60), batch_max: 3, batches_max: 1, ..settings() };
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings);
    assert_eq!(sequencer.figures(), LogFigures::default());
    world.settle(2).await;
    sequencer.run_once().await.unwrap();
    let signed_at = Some(world.now());
    let figures = LogFigures { tree_size: 2, published_size: 2, waiting: 0, head_signed_at: signed_at };
    assert_eq!(sequencer.figures(), figures);

    // The next head has to wait, and so does what is more than a batch.
    world.settle(5).await;
    sequencer.run_once().await.unwrap();
    assert_eq!(sequencer.figures(), LogFigures { tree_size: 5, waiting: 3, ..figures });
    sequencer.run_once().await.unwrap();
    assert_eq!(sequencer.figures(), LogFigures { tree_size: 7, ..figures });

    // Another instance, which adds nothing, sees the same.
    let follower = world.sequencer();
    world.pass_seconds(60);
    sequencer.run_once().await.unwrap();
    follower.run_once().await.unwrap();
    assert_eq!(follower.figures(), sequencer.figures());
    assert_eq!(follower.figures().published_size, 7);
    assert!(follower.figures().head_signed_at > signed_at);
}
