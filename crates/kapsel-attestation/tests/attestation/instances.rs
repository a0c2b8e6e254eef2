//! Several instances of one log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kapsel_attestation::AttestationError;
use kapsel_attestation::sequencer::Role;
use kapsel_attestation::{SecretKey, Sequencer, SequencerSettings};
use kapsel_store::AttestationStore as _;
use test_harness::builders::LOG_ID;

use crate::scripted::{FaultyHead, FaultyKeys, MemoryHead, Script, Side};
use crate::world::{World, key, run_to_end, settings};

/// An instance of its own, with a memory of its own.
fn instance(world: &World, keys: &[SecretKey], settings: SequencerSettings) -> (Sequencer, Arc<MemoryHead>) {
    let memory = Arc::new(MemoryHead::default());
    let script = Script::smooth;
    let keys = FaultyKeys { keys: keys.to_vec(), script: script(), signed: Arc::clone(&world.signed) };
    let last_head = FaultyHead { inner: Arc::clone(&memory), script: script() };
    (world.sequencer_over(world.attestation_store(), Arc::new(keys), Arc::new(last_head), settings), memory)
}

#[tokio::test]
async fn one_leads_at_a_time_and_the_other_takes_over_when_the_lease_ends() {
    let world = World::new().await;
    let (one, _) = instance(&world, &[key(1)], settings());
    let (other, memory_of_other) = instance(&world, &[key(1)], settings());
    world.settle(2).await;
    assert_eq!(one.run_once().await.unwrap().role, Role::Leader);
    world.settle(2).await;
    // The first one is gone; its lease of ten seconds is not over yet.
    world.pass_seconds(9);
    let report = other.run_once().await.unwrap();
    assert_eq!((report.role, report.integrated, report.published), (Role::Follower, 0, None));
    assert!(memory_of_other.text().unwrap().contains("\n2\n"), "it remembers what the leader published");
    world.pass_seconds(1);
    let report = other.run_once().await.unwrap();
    assert_eq!((report.role, report.integrated, report.published), (Role::Leader, 2, Some(4)));
    // The first one comes back.
    world.settle(2).await;
    assert_eq!(one.run_once().await.unwrap().role, Role::Follower);
    assert_eq!(one.alarm(), None);
    run_to_end(&other, &world.clock).await.unwrap();
    run_to_end(&one, &world.clock).await.unwrap();
    world.last_head.set(memory_of_other.text());
    world.assert_sound("both").await;
}

/// With its clock a year ahead an instance took the lease, and is gone.
#[tokio::test]
async fn nobody_waits_for_a_lease_that_ends_in_a_year() {
    let world = World::new().await;
    let began = world.now();
    let (one, _) = instance(&world, &[key(1)], settings());
    let (other, memory) = instance(&world, &[key(1)], settings());
    world.clock.advance(Duration::from_hours(365 * 24));
    world.settle(2).await;
    one.run_once().await.unwrap();
    world.clock.set(began + Duration::from_secs(60));
    world.settle(2).await;
    assert_eq!(other.run_once().await.unwrap().role, Role::Leader);
    run_to_end(&other, &world.clock).await.unwrap();
    world.last_head.set(memory.text());
    world.assert_sound("by the other one").await;
    // A clock that is a little ahead is none of that.
    world.settle(1).await;
    world.pass_seconds(200);
    other.run_once().await.unwrap();
    world.clock.set(world.now() - Duration::from_secs(200));
    world.settle(1).await;
    assert_eq!(one.run_once().await.unwrap().role, Role::Follower);
}

#[tokio::test]
async fn a_leader_whose_calls_fail_is_replaced_and_writes_nothing_when_it_comes_back() {
    let world = World::new().await;
    let script = Script::smooth();
    let one = world.scripted(&script, &[key(1)], settings());
    let (other, _) = instance(&world, &[key(1)], settings());
    world.settle(2).await;
    one.run_once().await.unwrap();
    world.settle(2).await;
    script.is_away.store(true, Ordering::SeqCst);
    for seconds in 0..10 {
        one.run_once().await.unwrap_err();
        assert_eq!(other.run_once().await.unwrap().role, Role::Follower, "after {seconds} s");
        world.pass_seconds(1);
    }
    assert_eq!(other.run_once().await.unwrap().role, Role::Leader);
    script.is_away.store(false, Ordering::SeqCst);
    world.settle(2).await;
    assert_eq!(one.run_once().await.unwrap().role, Role::Follower);
    world.pass_seconds(1);
    run_to_end(&other, &world.clock).await.unwrap();
    run_to_end(&one, &world.clock).await.unwrap();
    world.assert_sound("both").await;
}

#[tokio::test]
async fn a_leader_keeps_its_lease_while_it_works_and_gives_it_back_when_it_stops() {
    let world = World::new().await;
    let one = Arc::new(instance(&world, &[key(1)], settings()).0);
    let (other, _) = instance(&world, &[key(1)], settings());
    for _ in 0..10 {
        world.settle(1).await;
        assert_eq!(one.run_once().await.unwrap().role, Role::Leader);
        world.pass_seconds(4);
        world.settle(1).await;
        assert_eq!(other.run_once().await.unwrap().role, Role::Follower);
    }
    one.run(std::future::ready(())).await;
    let log = world.store.log_get(LOG_ID).await.unwrap();
    assert_eq!((log.lease, log.size), (None, 20), "the last leaves went in first");
    world.settle(1).await;
    assert_eq!(other.run_once().await.unwrap().role, Role::Leader);
}

#[tokio::test(start_paused = true)]
async fn the_loop_does_what_there_is_to_do_until_it_is_told_to_stop() {
    let world = World::new().await;
    world.settle(700).await;
    let settings = SequencerSettings { batch_max: 10, batches_max: 3, ..settings() };
    let (sequencer, memory) = instance(&world, &[key(1)], settings);
    let store = Arc::clone(&world.store);
    let is_done = async move {
        while store.log_get(LOG_ID).await.unwrap().published.is_none_or(|(size, _)| size < 700) {
            // paused clock: the loop waits for its next look in the same way.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // paused clock: one more look, in which it remembers that all is done.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    sequencer.run(is_done).await;
    world.last_head.set(memory.text());
    world.assert_sound("the loop").await;
    assert_eq!(world.store.log_get(LOG_ID).await.unwrap().lease, None);
}

#[tokio::test]
async fn an_instance_without_the_key_says_so_and_keeps_nobody_from_signing() {
    let world = World::new().await;
    let (with, _) = instance(&world, &[key(1)], settings());
    let (without, _) = instance(&world, &[], settings());
    world.settle(2).await;
    with.run_once().await.unwrap();
    world.pass_seconds(60);
    world.settle(2).await;
    for _ in 0..3 {
        let error = without.run_once().await.unwrap_err();
        let public = key(1).verifier_key().to_string();
        assert!(matches!(&error, AttestationError::NoKey { verifier_key } if *verifier_key == public), "{error}");
        let alarm = without.alarm().unwrap();
        assert!(alarm.contains("this instance has no key") && alarm.contains(&public), "{alarm}");
    }
    let lease = world.store.log_get(LOG_ID).await.unwrap().lease.unwrap();
    assert!(lease.until < world.now(), "nobody has taken the lease");
    assert_eq!(with.run_once().await.unwrap().published, Some(4));
    // What others do is no alarm for it.
    without.run_once().await.unwrap();
    assert_eq!(without.alarm(), None);
}

/// A key of another log in the folder is none of this one.
#[tokio::test]
async fn a_key_of_another_name_signs_nothing() {
    let world = World::new().await;
    let stranger = SecretKey::generate("other.example/log", &test_harness::SeededEntropy::new(1)).unwrap();
    let (sequencer, _) = instance(&world, &[stranger], settings());
    world.settle(2).await;
    let error = sequencer.run_once().await.unwrap_err().to_string();
    assert!(error.contains("a key named kapsel.example/log is not in its data folder"), "{error}");
    assert!(world.signed_checkpoints().is_empty());
    assert!(world.store.log_key_list(LOG_ID).await.unwrap().is_empty());
}

/// A process that was frozen, a connection that hung: at any call of one instance the lease ends, another one takes over,
/// adds, signs and publishes, and then the first one wakes up in the middle of its step.
#[tokio::test]
async fn a_leader_that_stood_still_at_any_call_does_no_harm_and_raises_no_alarm() {
    for side in [Side::Before, Side::After] {
        let mut calls = 0;
        for call in 0.. {
            let world = Arc::new(World::new().await);
            let memory = Arc::new(MemoryHead::default());
            let other = {
                let world = Arc::clone(&world);
                let keys =
                    FaultyKeys { keys: vec![key(1)], script: Script::smooth(), signed: Arc::clone(&world.signed) };
                let last_head = FaultyHead { inner: Arc::clone(&memory), script: Script::smooth() };
                let store = world.attestation_store();
                let other = world.sequencer_over(store, Arc::new(keys), Arc::new(last_head), settings());
                async move {
                    world.pass_seconds(60);
                    world.settle(10).await;
                    run_to_end(&other, &world.clock).await.unwrap();
                }
            };
            let script = Script::standing_still(call, side, Box::pin(other));
            let settings = SequencerSettings { batch_max: 4, batches_max: 2, ..settings() };
            let one = world.scripted(&script, &[key(1)], settings);
            for count in [3, 9] {
                world.settle(count).await;
                one.run_once().await.unwrap_or_else(|error| panic!("call {call}, {side:?}: {error}"));
                assert_eq!(one.alarm(), None);
                world.pass_seconds(4);
            }
            if !script.has_stood_still() {
                calls = call;
                break;
            }
            world.pass_seconds(60);
            world.settle(1).await;
            run_to_end(&one, &world.clock).await.unwrap();
            world.assert_sound(&format!("call {call}, {side:?}")).await;
        }
        assert!(calls > 25, "{calls}");
    }
}

#[tokio::test]
async fn a_follower_does_not_forget_what_it_signed_and_could_not_publish() {
    let world = World::new().await;
    world.settle(3).await;
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    world.settle(5).await;
    world.pass_seconds(60);
    let script = Script::failing_in("head_publish_if_current", Side::Before);
    let one = world.scripted(&script, &[key(1)], settings());
    one.run_once().await.unwrap_err();
    assert!(world.last_head.text().unwrap().contains("\n8\n"));
    world.pass_seconds(60);
    // The next leader does not publish yet.
    let later = SequencerSettings { publish_interval: Duration::from_secs(3_600), ..settings() };
    let (other, _) = instance(&world, &[key(1)], later);
    world.settle(1).await;
    assert_eq!(other.run_once().await.unwrap().role, Role::Leader);
    world.settle(1).await;
    assert_eq!(one.run_once().await.unwrap().role, Role::Follower);
    assert!(world.last_head.text().unwrap().contains("\n8\n"), "of what is published, 3 is the last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_make_one_log() {
    let world = Arc::new(World::new().await);
    let settings = SequencerSettings {
        batch_max: 13,
        batches_max: 3,
        lease: Duration::from_millis(50),
        publish_interval: Duration::from_secs(1),
        ..settings()
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let mut instances = Vec::new();
    for number in 0..5 {
        let (sequencer, memory) = instance(&world, &[key(1)], settings.clone());
        let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
        instances.push(tokio::spawn(async move {
            let (mut led, mut steps) = (0, 0_u64);
            while !is_over.load(Ordering::SeqCst) {
                steps += 1;
                led += u64::from(sequencer.run_once().await.unwrap().role == Role::Leader);
                // The lease is often over while its holder still works.
                world.clock.advance(Duration::from_millis(7 + number));
                if steps.is_multiple_of(17) {
                    world.store.log_lease_release(None).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
            (led, memory)
        }));
    }
    for round in 0..60 {
        world.settle(1 + round % 40).await;
        tokio::task::yield_now().await;
    }
    let settled = world.settled();
    while world.store.log_get(LOG_ID).await.unwrap().published.is_none_or(|(size, _)| size < settled) {
        tokio::task::yield_now().await;
    }
    is_over.store(true, Ordering::SeqCst);
    let mut leaders = 0;
    for instance in instances {
        let (led, memory) = instance.await.unwrap();
        leaders += u64::from(led > 0);
        world.last_head.set(memory.text().or(world.last_head.text()));
    }
    assert!(leaders > 1, "the lease went round");
    world.pass_seconds(60);
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    world.assert_sound("all of them").await;
}
