//! Everything at once, by chance: several instances with memories of their own, calls that fail, processes that are gone,
//! clocks that jump, keys that are replaced.

use std::sync::Arc;
use std::time::Duration;

use kapsel_attestation::{SecretKey, Sequencer, SequencerSettings};
use kapsel_core::Clock as _;
use test_harness::SeededEntropy;

use crate::scripted::{FaultyHead, FaultyKeys, FaultyStore, MemoryHead, Script};
use crate::world::{World, findings, key, run_to_end, settings};

const INSTANCES: u64 = 3;
const STEPS: usize = 60;

struct Chaos {
    world: World,
    chance: SeededEntropy,
    /// The folder of keys, which all of them see.
    keys: Vec<SecretKey>,
    memories: Vec<Arc<MemoryHead>>,
    running: Vec<Sequencer>,
}

impl Chaos {
    async fn new(seed: u64) -> Self {
        let world = World::with_seed(seed).await;
        let memories = (0..INSTANCES).map(|_| Arc::default()).collect();
        let chance = SeededEntropy::new(seed ^ 0xc4a0_5000);
        let mut chaos = Chaos { world, chance, keys: vec![key(1)], memories, running: Vec::new() };
        chaos.running = (0..chaos.memories.len()).map(|number| chaos.start(number)).collect();
        chaos
    }

    /// Starts an instance, which finds what it remembered.
    fn start(&self, number: usize) -> Sequencer {
        let script = Script::unsteady(self.chance.below(u64::MAX));
        let store = FaultyStore::new(self.world.attestation_store(), Arc::clone(&script));
        let last_head = FaultyHead { inner: Arc::clone(&self.memories[number]), script: Arc::clone(&script) };
        let keys = FaultyKeys { keys: self.keys.clone(), script, signed: Arc::clone(&self.world.signed) };
        let settings = SequencerSettings {
            batch_max: self.number(1, 9),
            batches_max: self.number(1, 4),
            overlap: Duration::from_secs(40),
            ..settings()
        };
        self.world.sequencer_over(Arc::new(store), Arc::new(keys), Arc::new(last_head), settings)
    }

    fn number(&self, from: u64, below: u64) -> usize {
        usize::try_from(from + self.chance.below(below - from)).unwrap()
    }

    async fn step(&mut self) {
        let number = self.number(0, INSTANCES);
        match self.chance.below(20) {
            0..5 => {
                self.world.settle(self.number(1, 30)).await;
            }
            5..14 => {
                // It may fail; that is what this is about.
                let _ = self.running[number].run_once().await;
            }
            14..17 => self.world.pass_seconds(self.chance.below(8)),
            17 => {
                let back = Duration::from_secs(self.chance.below(30));
                self.world.clock.set(self.world.clock.now() - back);
            }
            18 => self.running[number] = self.start(number),
            _ => {
                self.keys.push(key(2 + self.chance.below(3)));
                self.running[number] = self.start(number);
            }
        }
    }
}

#[tokio::test]
async fn whatever_happens_there_is_one_log_and_nothing_is_lost() {
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed).await;
        for step in 0..STEPS {
            chaos.step().await;
            if step % 10 == 0 {
                assert_eq!(findings(&*chaos.world.store).await, [], "seed {seed}, step {step}");
            }
        }
        let Chaos { world, keys, .. } = chaos;
        let context = format!("seed {seed}");
        // Ids and leases of a clock that was set back are over.
        world.pass_seconds(600);
        world.settle(1).await;
        let last = world.scripted(&Script::smooth(), &keys, settings());
        run_to_end(&last, &world.clock).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        world.assert_sound(&context).await;
        for memory in chaos.memories {
            // Each of them could have gone on.
            world.last_head.set(memory.text());
            world.settle(1).await;
            world.pass_seconds(60);
            let next = world.scripted(&Script::smooth(), &keys, settings());
            run_to_end(&next, &world.clock).await.unwrap_or_else(|error| panic!("{context}: {error}"));
            world.assert_sound(&context).await;
        }
    }
}
