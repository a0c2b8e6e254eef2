//! A new key takes the place of the old one.

use std::sync::Arc;
use std::time::Duration;

use kapsel_attestation::{AttestationError, KeyFolder, Proof, SecretKey, SequencerSettings};
use kapsel_core::{AttemptId, Clock as _};
use kapsel_store::AttestationStore as _;
use kapsel_store::attestation::Head;
use kapsel_verification::{ProofPackage, ProofVerifier, SignedCheckpoint};
use test_harness::SeededEntropy;
use test_harness::builders::LOG_ID;

use crate::scripted::{FaultyHead, Script, Side};
use crate::world::{ORIGIN, TENANT, World, findings, key, run_to_end, settings};

const OVERLAP: Duration = Duration::from_secs(3_600);

/// Lets one leaf into the log by an instance with these keys, and publishes it.
async fn one_more(world: &World, keys: &[SecretKey]) -> (AttemptId, Head) {
    let attempt_id = world.settle(1).await[0];
    world.pass_seconds(11);
    let settings = SequencerSettings { overlap: OVERLAP, ..settings() };
    let sequencer = world.scripted(&Script::smooth(), keys, settings);
    run_to_end(&sequencer, &world.clock).await.unwrap();
    (attempt_id, world.heads().await.pop().unwrap())
}

async fn package(world: &World, attempt_id: AttemptId) -> ProofPackage {
    match world.prover().package(TENANT, attempt_id).await.unwrap() {
        Proof::Made(package) => package,
        other => panic!("{other:?}"),
    }
}

/// Who signed a head as the log, in the order of the lines.
fn signed_by(head: &Head, keys: &[&SecretKey]) -> Vec<usize> {
    let signed = SignedCheckpoint::parse(head.checkpoint.as_bytes()).unwrap();
    let of_log = signed.note().signatures().iter().filter(|line| line.name == ORIGIN);
    let who = |id| keys.iter().position(|key| key.verifier_key().id() == id).unwrap();
    of_log.map(|line| who(line.key_id)).collect()
}

fn holds(package: &ProofPackage, key: &SecretKey) -> bool {
    ProofVerifier::new(key.verifier_key().clone()).verify_package(package).is_ok()
}

#[tokio::test]
async fn a_new_key_takes_the_place_of_the_old_one_and_both_sign_for_a_while() {
    let world = World::new().await;
    let (old, new) = (key(1), key(2));
    let both = [old.clone(), new.clone()];
    let (before_id, before) = one_more(&world, &both[..1]).await;
    let before_package = package(&world, before_id).await;
    assert_eq!(signed_by(&before, &[&old, &new]), [0]);

    // The order of the keys in the ring says nothing.
    let (during_id, during) = one_more(&world, &both).await;
    let (_, during_too) = one_more(&world, &[new.clone(), old.clone()]).await;
    for head in [&during, &during_too] {
        assert_eq!(signed_by(head, &[&old, &new]), [1, 0], "the new key comes first");
    }
    let during_package = package(&world, during_id).await;
    assert_eq!(during_package.signed_tree_head.key_id, new.verifier_key().id());
    assert_eq!(during_package.signed_tree_head.public_key, *new.verifier_key().public_key());

    world.clock.advance(OVERLAP);
    // The file of the old key is still there.
    let (after_id, after) = one_more(&world, &both).await;
    assert_eq!(signed_by(&after, &[&old, &new]), [1], "the old key has had its time");
    let after_package = package(&world, after_id).await;

    // Old proofs verify for ever, with the key of their time.
    assert_eq!([&old, &new].map(|key| holds(&before_package, key)), [true, false]);
    assert_eq!([&old, &new].map(|key| holds(&during_package, key)), [true, true]);
    assert_eq!([&old, &new].map(|key| holds(&after_package, key)), [false, true]);
    // The old attempt, proved anew, is under the new key.
    let proved_anew = package(&world, before_id).await;
    assert_eq!([&old, &new].map(|key| holds(&proved_anew, key)), [false, true]);

    // It has not come back, and is still known.
    let keys = world.store.log_key_list(LOG_ID).await.unwrap();
    let of_checkpoints: Vec<_> =
        keys.iter().filter(|key| key.verifier_key.starts_with(&format!("{ORIGIN}+"))).collect();
    assert_eq!(keys.len(), 4, "two generations of two keys");
    assert_eq!(of_checkpoints[0].verifier_key, old.verifier_key().to_string());
    assert!(of_checkpoints[0].signs_until.is_some_and(|until| until < world.now()));
    assert_eq!(of_checkpoints[1].signs_until, None);
    world.assert_sound("after the rotation").await;
    world.assert_times("after the rotation");
}

#[tokio::test]
async fn who_has_only_a_key_that_was_replaced_signs_no_more() {
    let world = World::new().await;
    one_more(&world, &[key(1)]).await;
    one_more(&world, &[key(1), key(2)]).await;
    world.settle(1).await;
    world.pass_seconds(60);
    let left_behind = world.scripted(&Script::smooth(), &[key(1)], settings());
    let error = left_behind.run_once().await.unwrap_err();
    let public = key(2).verifier_key().to_string();
    assert!(matches!(&error, AttestationError::NoKey { verifier_key } if *verifier_key == public), "{error}");
    run_to_end(&world.scripted(&Script::smooth(), &[key(2)], settings()), &world.clock).await.unwrap();
    world.assert_sound("with the new one").await;
}

#[tokio::test]
async fn of_several_new_keys_one_is_the_present_one_and_all_verify() {
    let world = World::new().await;
    let keys = [key(1), key(2), key(3)];
    let (attempt_id, head) = one_more(&world, &keys).await;
    let who = signed_by(&head, &keys.each_ref());
    assert_eq!((who.len(), who[0]), (3, 2), "the last one of the ring: {who:?}");
    let package = package(&world, attempt_id).await;
    assert!(keys.iter().all(|key| holds(&package, key)));
    // It stays the present one.
    let reversed = [key(3), key(2), key(1)];
    let (_, head) = one_more(&world, &reversed).await;
    assert_eq!(signed_by(&head, &keys.each_ref())[0], 2);
    assert_eq!(world.store.log_key_list(LOG_ID).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_key_that_is_there_twice_signs_once() {
    let world = World::new().await;
    let twice = [key(1), key(1), key(2), key(2), key(1)];
    let (_, head) = one_more(&world, &twice[..2]).await;
    assert_eq!(signed_by(&head, &[&key(1), &key(2)]), [0]);
    let (_, head) = one_more(&world, &twice).await;
    assert_eq!(signed_by(&head, &[&key(1), &key(2)]), [1, 0]);
}

#[tokio::test]
async fn a_key_that_is_put_into_the_folder_signs_the_next_head() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyFolder::new(folder.path().join("log-keys"));
    let entropy = SeededEntropy::new(5);
    let first = keys.create(ORIGIN, &entropy).unwrap();
    let last_head = FaultyHead { inner: Arc::clone(&world.last_head), script: Script::smooth() };
    let sequencer =
        world.sequencer_over(world.attestation_store(), Arc::new(keys.clone()), Arc::new(last_head), settings());
    world.settle(1).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    let second = keys.create(ORIGIN, &entropy).unwrap();
    world.settle(1).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    let signed: Vec<_> = world.heads().await.iter().map(|head| signed_by(head, &[&first, &second])).collect();
    assert_eq!(signed, [vec![0], vec![1, 0]]);
    world.assert_sound("by the folder").await;
}

#[tokio::test]
async fn times_never_go_back_though_the_clock_does() {
    let world = World::new().await;
    let began = world.now();
    let settings = SequencerSettings { publish_interval: Duration::from_secs(1), ..settings() };
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings.clone());
    // The clock is a year ahead for a while.
    world.clock.advance(Duration::from_hours(365 * 24));
    world.settle(1).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    world.clock.set(began);
    let another = world.scripted(&Script::smooth(), &[key(1)], settings);
    for sequencer in [&sequencer, &sequencer, &another, &another, &sequencer] {
        world.settle(1).await;
        assert_eq!(sequencer.run_once().await.unwrap().published, Some(world.settled()), "nobody waits for a year");
        world.settle(1).await;
        let report = sequencer.run_once().await.unwrap();
        assert_eq!((report.integrated, report.published), (1, None), "but heads keep their distance");
        world.pass_seconds(60);
    }
    run_to_end(&another, &world.clock).await.unwrap();
    let times: Vec<_> = world.heads().await.iter().map(|head| head.signed_at).collect();
    assert!(times.is_sorted() && times.len() > 5, "{times:?}");
    assert!(times.iter().all(|time| *time > world.clock.now()), "the time that was signed first still counts");
    assert_eq!(findings(&*world.store).await, []);
}

#[tokio::test]
async fn a_time_that_was_signed_and_not_published_is_not_gone_behind() {
    let world = World::new().await;
    let began = world.now();
    world.settle(1).await;
    world.pass_seconds(5_000);
    let script = Script::failing_in("head_publish_if_current", Side::Before);
    world.scripted(&script, &[key(1)], settings()).run_once().await.unwrap_err();
    assert!(world.heads().await.is_empty());
    world.clock.set(began + Duration::from_secs(100));
    world.store.log_lease_release(None).await.unwrap();
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    assert_eq!(world.signed_times().len(), 2);
    world.assert_sound("with the clock behind").await;
    world.assert_times("with the clock behind");
}
