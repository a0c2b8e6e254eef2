//! What happens in a run: made up from the seed before it begins, as a list of operations at their times.

use std::time::Duration;

use kapsel_core::{CircuitPolicy, Entropy as _, RateLimit, RetryPolicy};
use test_harness::SeededEntropy;

use crate::Options;

/// How a destination behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// Answers 200 within so many milliseconds.
    Healthy(u64),
    /// Answers 200 after up to so many seconds.
    Slow(u64),
    /// Refuses connections.
    Dead,
    /// Never answers.
    Hanging,
    /// Answers 500 to so many of hundred requests, 200 to the others.
    Flapping(u64),
    /// Answers 429 or 503 with this `Retry-After`, in seconds.
    Busy(u16, u64),
    /// Takes the event and breaks the connection before it answers, for so many of hundred requests.
    LosingAnswers(u64),
    /// Answers 422 to so many of hundred requests.
    Refusing(u64),
    /// Answers 410.
    Gone,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// A burst of events for an endpoint comes in at an instance.
    Ingest {
        /// Which endpoint.
        endpoint: usize,
        /// Which instance.
        instance: usize,
        /// How many.
        count: usize,
    },
    /// A destination changes.
    Mood(usize, Mood),
    /// An instance dies, and comes back after a while.
    Crash(usize, Duration),
    /// An instance stands still for a while.
    Freeze(usize, Duration),
    /// An instance stops in order, and comes back after a while.
    Stop(usize, Duration),
    /// The store is away for a while, for one instance or for all.
    Outage(Option<usize>, Duration),
    /// Somebody disables an endpoint.
    Disable(usize),
    /// Somebody enables an endpoint.
    Enable(usize),
    /// Somebody queues an event anew; the number picks it.
    Requeue(u64),
    /// Somebody replays the events of an endpoint, at so many a second.
    Replay(usize, u32),
    /// An instance's clock is set: so many milliseconds from the true time.
    SetClock(usize, i64),
}

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct EndpointPlan {
    /// When failed deliveries are tried again.
    pub retry: RetryPolicy,
    /// Its circuit.
    pub circuit: CircuitPolicy,
    /// Its concurrency.
    pub max_in_flight: u32,
    /// Its rate.
    pub rate_limit: Option<RateLimit>,
    /// When it is given up.
    pub disable_after_seconds: Option<u32>,
    /// The time limit of a request.
    pub timeout_seconds: u32,
    /// Whose it is: one of two tenants.
    pub is_of_other_tenant: bool,
}

/// How often a call of the store goes wrong, of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct FaultRates {
    /// It fails and does nothing.
    pub before: u64,
    /// It does its work and fails.
    pub after: u64,
    /// It takes up to three seconds.
    pub delay: u64,
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many instances there are.
    pub instances: usize,
    /// How far each one's clock is from the true time at the beginning, in milliseconds.
    pub skews_ms: Vec<i64>,
    /// The endpoints.
    pub endpoints: Vec<EndpointPlan>,
    /// How the store misbehaves while there is trouble.
    pub faults: FaultRates,
    /// How many deliveries an instance works on at once.
    pub in_flight_max: usize,
    /// How long there is trouble.
    pub trouble: Duration,
    /// Which instance dies at the end of it and never comes back.
    pub lost_instance: Option<usize>,
    /// What happens, in order.
    pub operations: Vec<(Duration, Operation)>,
}

/// The largest difference of a clock from the true time, in milliseconds.
const SKEW_MS_MAX: u64 = 2_000;

/// Makes things up.
struct Chance(SeededEntropy);

impl Chance {
    fn below(&self, below: u64) -> u64 {
        self.0.below(below)
    }

    fn index(&self, below: usize) -> usize {
        usize::try_from(self.below(u64::try_from(below).unwrap())).unwrap()
    }

    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn seconds(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low * 1_000, high * 1_000))
    }

    fn skew_ms(&self) -> i64 {
        i64::try_from(self.below(2 * SKEW_MS_MAX)).unwrap() - i64::try_from(SKEW_MS_MAX).unwrap()
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(options: &Options) -> Plan {
        let chance = Chance(SeededEntropy::new(options.seed));
        // The first numbers of neighbouring seeds shall have nothing in common.
        let chance = Chance(SeededEntropy::new(chance.0.next_u64()));
        let instances = chance.index(3) + 1;
        let endpoints: Vec<EndpointPlan> = (0..chance.between(2, 5)).map(|_| endpoint(&chance)).collect();
        let minutes = if chance.percent(10) { chance.between(30, 90) } else { chance.between(3, 10) };
        let trouble = options.trouble.unwrap_or(Duration::from_secs(minutes * 60));
        let calm = chance.percent(20);
        let rate = |max| if calm { 0 } else { chance.below(max) };
        let faults = FaultRates { before: rate(60), after: rate(60), delay: rate(60) };
        let mut operations = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            let pause = if chance.percent(70) { chance.between(10, 4_000) } else { chance.between(4_000, 40_000) };
            at += Duration::from_millis(pause);
            if at >= trouble {
                break;
            }
            operations.push((at, operation(&chance, instances, endpoints.len())));
        }
        Plan {
            instances,
            skews_ms: (0..instances).map(|_| chance.skew_ms()).collect(),
            endpoints,
            faults,
            in_flight_max: *[8, 64, 1_024].get(chance.index(3)).unwrap(),
            trouble,
            lost_instance: (instances > 1 && chance.percent(40)).then(|| chance.index(instances)),
            operations,
        }
    }
}

fn endpoint(chance: &Chance) -> EndpointPlan {
    let retry = if chance.percent(20) {
        RetryPolicy::Schedule { waits_seconds: vec![0, 1, 5, 20, 60] }
    } else {
        let base_ms = chance.between(50, 2_000);
        let attempts_max = u32::try_from(chance.between(2, 40)).unwrap();
        RetryPolicy::Exponential { base_ms, factor: 2.0, cap_ms: base_ms.max(60_000), attempts_max }
    };
    let circuit = CircuitPolicy {
        consecutive_failures: u32::try_from(chance.between(2, 6)).unwrap(),
        open_seconds_max: 240,
        ..CircuitPolicy::default()
    };
    let rate_limit = chance.percent(25).then(|| RateLimit {
        per_second: [0.5, 2.0, 20.0][chance.index(3)],
        burst: u32::try_from(chance.between(1, 5)).unwrap(),
    });
    EndpointPlan {
        retry,
        circuit,
        max_in_flight: [1, 2, 8, 64][chance.index(4)],
        rate_limit,
        disable_after_seconds: chance.percent(20).then_some(120),
        timeout_seconds: u32::try_from(chance.between(2, 45)).unwrap(),
        is_of_other_tenant: chance.percent(30),
    }
}

fn mood(chance: &Chance) -> Mood {
    match chance.below(20) {
        0..5 => Mood::Healthy(chance.between(1, 300)),
        5..7 => Mood::Slow(chance.between(1, 40)),
        7..11 => Mood::Dead,
        11..13 => Mood::Hanging,
        13..15 => Mood::Flapping(chance.between(5, 90)),
        15 => Mood::Busy(429, chance.between(0, 20)),
        16 => Mood::Busy(503, chance.between(0, 60)),
        17 => Mood::LosingAnswers(chance.between(10, 100)),
        18 => Mood::Refusing(chance.between(1, 50)),
        _ => Mood::Gone,
    }
}

fn operation(chance: &Chance, instances: usize, endpoints: usize) -> Operation {
    let endpoint = chance.index(endpoints);
    let instance = chance.index(instances);
    match chance.below(100) {
        0..55 => {
            let count = if chance.percent(10) { chance.between(20, 120) } else { chance.between(1, 10) };
            Operation::Ingest { endpoint, instance, count: usize::try_from(count).unwrap() }
        }
        55..75 => Operation::Mood(endpoint, mood(chance)),
        75..80 => Operation::Crash(instance, chance.seconds(0, 90)),
        80..84 => Operation::Freeze(instance, chance.seconds(1, 100)),
        84..86 => Operation::Stop(instance, chance.seconds(0, 30)),
        86..90 => Operation::Outage(chance.percent(50).then_some(instance), chance.seconds(1, 60)),
        90 => Operation::Disable(endpoint),
        91..95 => Operation::Enable(endpoint),
        95..97 => Operation::Requeue(chance.0.next_u64()),
        97 => Operation::Replay(endpoint, [1, 20, 1_000][chance.index(3)]),
        _ => Operation::SetClock(instance, chance.skew_ms()),
    }
}
