//! The store, the memory of the last head or a key fails at one call, for every call that there is, before it took effect
//! or after. Whatever happens then, going on heals it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use kapsel_attestation::{
    AttestationError, KeyRing, LogSigner, SecretKey, Sequencer, SequencerSettings, SignError, Signer,
};
use kapsel_verification::{Checkpoint, VerifierKey};

use crate::scripted::{FaultyHead, Script, Side};
use crate::world::{World, key, run_to_end, settings};

/// More calls than any of these runs make.
const CALLS_MAX: usize = 500;

/// What is done after a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The same instance goes on.
    GoesOn,
    /// It is gone, and one that remembers what it did takes over when the lease has ended.
    AnotherTakesOver,
    /// The same, with a memory of its own that is empty.
    AStrangerTakesOver,
}

/// What a run is like.
struct Run {
    settings: SequencerSettings,
    /// How many are settled before each step.
    steps: &'static [usize],
    /// The keys that there are from each step on.
    keys: Vec<Vec<SecretKey>>,
    then: &'static [Then],
    /// Calls that have to be among those that failed.
    reached: &'static [&'static str],
}

/// Plays `run` once for each call and side, with one fault there, heals it, and looks at everything.
async fn play(run: Run) {
    let mut reached = BTreeSet::new();
    for then in run.then.iter().copied() {
        for side in [Side::Before, Side::After] {
            for call in 0.. {
                assert!(call < CALLS_MAX, "the run comes to an end");
                let script = Script::failing(call, side);
                let world = World::new().await;
                let failed = play_with(&world, &run, &script, then).await;
                let Some(name) = script.failed() else { break };
                reached.insert(name);
                let context = format!("{name} fails {side:?} (call {call}), then {then:?}, {failed:?}");
                heal(&world, &run).await;
                world.assert_sound(&context).await;
                world.assert_times(&context);
            }
        }
    }
    for name in run.reached {
        assert!(reached.contains(name), "{name} was to fail, but only {reached:?} did");
    }
}

/// Plays the steps; returns what the sequencers said when they failed.
async fn play_with(world: &World, run: &Run, script: &Arc<Script>, then: Then) -> Vec<String> {
    let mut errors = Vec::new();
    let mut sequencer: Option<Sequencer> = None;
    for (step, count) in run.steps.iter().enumerate() {
        world.settle(*count).await;
        let keys = &run.keys[step.min(run.keys.len() - 1)];
        // A key ring is read anew each time; a new sequencer stands for that here, when the keys have changed.
        let has_changed = step > 0 && step < run.keys.len();
        if has_changed || sequencer.is_none() {
            sequencer = Some(world.scripted(script, keys, run.settings.clone()));
        }
        // Until it has nothing to do; a failed step is not repeated, the next one follows.
        for _ in 0..3 {
            let running = sequencer.get_or_insert_with(|| world.scripted(script, keys, run.settings.clone()));
            if let Err(error) = running.run_once().await {
                errors.push(error.to_string());
                match then {
                    Then::GoesOn => {}
                    Then::AnotherTakesOver => sequencer = None,
                    Then::AStrangerTakesOver => {
                        world.last_head.set(None);
                        sequencer = None;
                    }
                }
            }
            world.pass_seconds(4);
        }
    }
    errors
}

/// Goes on without faults until there is nothing to do.
async fn heal(world: &World, run: &Run) {
    world.pass_seconds(60);
    let keys = run.keys.last().unwrap();
    let sequencer = world.scripted(&Script::smooth(), keys, run.settings.clone());
    // A head needs something new to be signed, or the last one may have been published unseen.
    world.settle(1).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    assert_eq!(sequencer.alarm(), None);
}

const ALL_WAYS: &[Then] = &[Then::GoesOn, Then::AnotherTakesOver, Then::AStrangerTakesOver];

const ALL_CALLS: &[&str] = &[
    "leaves_pending",
    "log_get",
    "signers",
    "log_key_list",
    "log_key_put",
    "log_lease_take",
    "leaves_integrate_if_current",
    "tile_read",
    "head_latest",
    "last",
    "sign",
    "remember",
    "head_publish_if_current",
];

#[tokio::test]
async fn a_fault_at_any_call_loses_nothing_and_forks_nothing() {
    let settings = SequencerSettings { batch_max: 4, batches_max: 2, ..settings() };
    play(Run { settings, steps: &[0, 5, 11, 3], keys: vec![vec![key(1)]], then: ALL_WAYS, reached: ALL_CALLS }).await;
}

#[tokio::test]
async fn a_fault_while_a_tile_becomes_full_loses_nothing() {
    let settings = SequencerSettings { batch_max: 200, ..settings() };
    play(Run { settings, steps: &[253, 2, 1, 4], keys: vec![vec![key(1)]], then: &[Then::GoesOn], reached: ALL_CALLS })
        .await;
}

#[tokio::test]
async fn a_fault_during_a_rotation_loses_nothing() {
    let keys = vec![vec![key(1)], vec![key(1), key(2)], vec![key(2), key(1)]];
    let settings = SequencerSettings { overlap: Duration::from_secs(20), ..settings() };
    play(Run { settings, steps: &[3, 3, 3], keys, then: ALL_WAYS, reached: ALL_CALLS }).await;
}

/// What was signed and could not be published may be in somebody's hands all the same.
#[tokio::test]
async fn what_was_signed_and_never_published_is_continued() {
    let world = World::new().await;
    let sequencer = world.sequencer();
    world.settle(3).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    drop(sequencer);

    world.settle(5).await;
    world.pass_seconds(60);
    let script = Script::failing_in("head_publish_if_current", Side::Before);
    let failing = world.scripted(&script, &[key(1)], settings());
    failing.run_once().await.unwrap_err();
    assert_eq!(world.head_sizes().await, [3], "it was not published");
    let signed = || world.signed_checkpoints().iter().map(Checkpoint::size).collect::<Vec<u64>>();
    assert_eq!(signed(), [3, 8], "but signed");
    assert!(world.last_head.text().unwrap().contains("\n8\n"), "and remembered");

    world.pass_seconds(60);
    world.settle(2).await;
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    assert_eq!(signed(), [3, 8, 10]);
    world.assert_sound("afterwards").await;
}

#[tokio::test]
async fn a_head_that_cannot_be_remembered_is_not_published_and_the_alarm_says_so() {
    let world = World::new().await;
    world.settle(3).await;
    for side in [Side::Before, Side::After] {
        let failing = world.scripted(&Script::failing_in("remember", side), &[key(1)], settings());
        failing.run_once().await.unwrap_err();
        let alarm = failing.alarm().unwrap();
        assert!(alarm.contains("the last signed head cannot be kept: scripted"), "{alarm}");
        assert!(world.head_sizes().await.is_empty());
        world.pass_seconds(60);
    }
    let sequencer = world.sequencer();
    run_to_end(&sequencer, &world.clock).await.unwrap();
    assert_eq!(sequencer.alarm(), None);
    world.assert_sound("afterwards").await;
}

#[tokio::test]
async fn a_key_in_custody_that_does_not_sign_keeps_leaves_from_nothing() {
    let world = World::new().await;
    world.settle(3).await;
    let failing = world.scripted(&Script::failing_in("sign", Side::Before), &[key(1)], settings());
    failing.run_once().await.unwrap_err();
    let alarm = failing.alarm().unwrap();
    assert!(alarm.contains("the custodian of the key did not sign"), "{alarm}");
    assert_eq!(world.leaf_hashes().await.len(), 3, "they are in the tree");
    assert_eq!(world.last_head.text(), None);
    world.pass_seconds(60);
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    world.assert_sound("afterwards").await;
}

/// Keys one half of which signs wrongly, as a faulty memory or a custodian with another key would.
struct Crooked {
    is_checkpoint_wrong: bool,
}

struct WrongSigner(Arc<dyn Signer>);

#[async_trait]
impl KeyRing for Crooked {
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError> {
        let mut signer = key(1).signer()?;
        let half = if self.is_checkpoint_wrong { &mut signer.checkpoint } else { &mut signer.timestamp };
        *half = Arc::new(WrongSigner(Arc::clone(half)));
        Ok(vec![signer])
    }
}

#[async_trait]
impl Signer for WrongSigner {
    fn key(&self) -> &VerifierKey {
        self.0.key()
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mut signature = self.0.sign(message).await?;
        signature[5] ^= 1;
        Ok(signature)
    }
}

#[tokio::test]
async fn a_signature_that_does_not_hold_does_not_get_out() {
    for is_checkpoint_wrong in [true, false] {
        let world = World::new().await;
        world.settle(3).await;
        let last_head = FaultyHead { inner: Arc::clone(&world.last_head), script: Script::smooth() };
        let keys = Arc::new(Crooked { is_checkpoint_wrong });
        let failing = world.sequencer_over(world.attestation_store(), keys, Arc::new(last_head), settings());
        let error = failing.run_once().await.unwrap_err();
        assert!(matches!(error, AttestationError::OwnSignature(_)), "{error}");
        let alarm = failing.alarm().unwrap();
        assert!(alarm.contains("a signature of this instance does not hold"), "{alarm}");
        assert_eq!((world.heads().await, world.last_head.text()), (Vec::new(), None));
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_no_alarm() {
    let world = World::new().await;
    let script = Script::smooth();
    let sequencer = world.scripted(&script, &[key(1)], settings());
    run_to_end(&sequencer, &world.clock).await.unwrap();
    world.settle(2).await;
    script.is_away.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(sequencer.run_once().await.unwrap_err().is_passing());
        assert_eq!(sequencer.alarm(), None);
    }
    script.is_away.store(false, Ordering::SeqCst);
    run_to_end(&sequencer, &world.clock).await.unwrap();
    world.assert_sound("it is back").await;
}
