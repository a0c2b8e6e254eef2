//! Circuits at work: the dispatcher leaves failing destinations alone, probes them, and comes back slowly. Nothing here
//! sets a state; each comes about by failures and by time, which is the paused clock's.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    Circuit, CircuitState, DeliveryState, Endpoint, EndpointStatus, HeaderBlock, ResponseHead, RetryPolicy,
};
use kapsel_delivery::DeliverySettings;
use kapsel_store::{AdminStore as _, CircuitStore as _};
use tokio::time::Instant;

use crate::world::{Reply, World};

const OPEN: Duration = Duration::from_secs(30);

/// How much later than its time something may happen: a look at the queue, with its jitter, and a write.
const LATE: Duration = Duration::from_millis(400);

/// An endpoint whose failed deliveries are due again at once, so that only its circuit makes anything wait.
async fn impatient(world: &World, name: &str) -> Endpoint {
    let retry = RetryPolicy::Exponential { base_ms: 1, factor: 1.0, cap_ms: 1, attempts_max: 1_000 };
    world.endpoint(name, |endpoint| endpoint.config.retry = retry).await
}

async fn circuit(world: &World, endpoint: &Endpoint) -> Circuit {
    let read = world.store.inner.circuit_read(vec![endpoint.id]).await.unwrap();
    read.first().map(|stored| stored.circuit).unwrap_or_default()
}

/// Waits until the stored circuit is in this state.
async fn wait_for_state(world: &World, endpoint: &Endpoint, state: CircuitState) -> Circuit {
    loop {
        let circuit = circuit(world, endpoint).await;
        if circuit.state == state {
            return circuit;
        }
        tokio::time::sleep(Duration::from_millis(1)).await; // paused clock: looks again when something may have changed
    }
}

/// Five failures in a row have opened the circuit; what is queued waits. Returns the stored circuit.
async fn opened(world: &World, endpoint: &Endpoint, queued: usize) -> Circuit {
    world.transport.script(|_, _| Reply::Status(500));
    world.queue(endpoint, queued).await;
    world.run();
    wait_for_state(world, endpoint, CircuitState::Open).await
}

#[tokio::test(start_paused = true)]
async fn circuit_transitions_open_to_half_open_after_timeout() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    let opened = opened(&world, &endpoint, 1).await;
    let opened_at = opened.opened_at.unwrap();
    assert_eq!(opened.blocked_until, Some(opened_at + OPEN));
    let before = world.transport.sent().len();
    assert_eq!(before, 5, "one event, five failures");

    let left = opened.blocked_until.unwrap().saturating_since(world.now()) - Duration::from_millis(1);
    tokio::time::sleep(left).await; // paused clock: the circuit is open
    assert_eq!(world.transport.sent().len(), before);
    assert_eq!(circuit(&world, &endpoint).await.state_at(world.now()), CircuitState::Open);
    let sent = world.transport.wait_for(before + 1).await;
    let wait = sent[before].at - sent[before - 1].at;
    assert!(wait >= OPEN && wait < OPEN + LATE, "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn half_open_probe_request_limits() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    opened(&world, &endpoint, 100).await;
    world.transport.script(|_, _| Reply::Hang);
    let before = world.transport.sent().len();
    world.transport.wait_for(before + 2).await;
    assert_eq!(circuit(&world, &endpoint).await.state, CircuitState::HalfOpen);
    tokio::time::sleep(Duration::from_secs(20)).await; // paused clock: as long as the probes hang, nothing else is sent
    assert_eq!(world.transport.sent().len(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn half_open_success_closes_circuit() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    opened(&world, &endpoint, 100).await;
    let failed = world.transport.sent().len();
    world.transport.script(|_, _| Reply::After(Duration::from_millis(100)));
    let closed = wait_for_state(&world, &endpoint, CircuitState::Closed).await;
    assert_eq!((closed.opened_times, closed.blocked_until, closed.failing_since), (0, None, None));
    let closed_at = Instant::now() - world.now().saturating_since(closed.changed_at);
    let probes = world.transport.sent()[failed..].iter().filter(|sent| sent.at < closed_at).count();
    assert!((3..=4).contains(&probes), "{probes} probes for three successes, two at a time");
    // Then slowly more: one at a time, two, four, … instead of everything that has gathered.
    world.transport.wait_for(failed + 100).await;
    let sent = world.transport.sent();
    let begun_together = |from: usize| sent[from..].iter().take_while(|next| next.at == sent[from].at).count();
    let (mut rounds, mut next) = (Vec::new(), failed + probes);
    while next < sent.len() && rounds.len() < 5 {
        rounds.push(begun_together(next));
        next += rounds[rounds.len() - 1];
    }
    assert!(rounds.windows(2).all(|pair| pair[1] <= pair[0] * 2), "{rounds:?}");
    assert_eq!(rounds[0], 1, "{rounds:?}");
    assert!(rounds.contains(&8), "{rounds:?}");
}

#[tokio::test(start_paused = true)]
async fn half_open_failure_reopens_circuit() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    let mut last = opened(&world, &endpoint, 1).await;
    for times in 2..=4_u32 {
        let until = last.blocked_until.unwrap();
        while circuit(&world, &endpoint).await.opened_times < times {
            tokio::time::sleep(Duration::from_millis(10)).await; // paused clock: until the probe has failed
        }
        let again = circuit(&world, &endpoint).await;
        assert_eq!((again.state, again.prober), (CircuitState::Open, None));
        let late = again.opened_at.unwrap().saturating_since(until);
        assert!(again.opened_at.unwrap() >= until && late < LATE, "{late:?}");
        let wait = again.blocked_until.unwrap().saturating_since(again.opened_at.unwrap());
        let nominal = OPEN * 2_u32.pow(times - 1);
        assert!(wait >= nominal && wait <= nominal.mul_f64(1.25), "{wait:?} for {nominal:?}");
        last = again;
    }
    assert_eq!(world.transport.sent().len(), 8, "five failures, and one probe each time");
}

#[tokio::test(start_paused = true)]
async fn circuit_state_survives_restart() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    let opened = opened(&world, &endpoint, 20).await;
    world.dispatcher.drain(Duration::from_secs(1)).await;
    let before = world.transport.sent().len();

    let restarted = Arc::new(world.another_dispatcher(DeliverySettings::default()));
    assert_eq!(restarted.run_once().await.unwrap().claimed, 0, "it knows before its first claim");
    let slot = restarted.handoff().reserve(endpoint.id, 1, world.now());
    assert!(slot.is_none(), "fresh events wait in the store");
    assert_eq!(restarted.run_once().await.unwrap().next_due_at, opened.blocked_until);
    let running = Arc::clone(&restarted);
    tokio::spawn(async move { running.run(std::future::pending()).await });
    let sent = world.transport.wait_for(before + 1).await;
    assert!(sent[before].at - sent[before - 1].at >= OPEN);
}

#[tokio::test(start_paused = true)]
async fn open_circuit_spends_no_attempt() {
    let world = World::new().await;
    let endpoint = world
        .endpoint("a", |endpoint| {
            endpoint.config.retry = RetryPolicy::Exponential { base_ms: 1, factor: 1.0, cap_ms: 1, attempts_max: 6 };
        })
        .await;
    world.transport.script(|_, _| Reply::Status(500));
    let ids = world.queue(&endpoint, 50).await;
    world.run();
    let opened = wait_for_state(&world, &endpoint, CircuitState::Open).await;
    let sent = world.transport.sent().len();
    tokio::time::sleep(OPEN / 2).await; // paused clock: the circuit is open
    assert_eq!(world.transport.sent().len(), sent);
    let mut attempts = 0;
    for id in &ids {
        let event = world.event(*id).await;
        assert!(!event.summary.status.is_final(), "{event:?}");
        attempts += event.attempts.len();
    }
    assert_eq!(attempts, sent, "every attempt is a request that was sent");
    // When the destination is back, all of them arrive, though together they had failed often enough.
    world.transport.script(|_, _| Reply::Status(200));
    tokio::time::sleep(OPEN).await; // paused clock: until it is probed and closed
    for id in &ids {
        assert_eq!(world.state(*id).await, DeliveryState::Delivered);
    }
    assert!(world.now() >= opened.blocked_until.unwrap());
}

#[tokio::test(start_paused = true)]
async fn probes_are_limited_across_instances() {
    let world = World::new().await;
    let others: Vec<_> = (0..3).map(|_| world.another_dispatcher(DeliverySettings::default())).collect();
    let endpoint = impatient(&world, "a").await;
    opened(&world, &endpoint, 200).await;
    // All of them look at the same moment.
    for other in others {
        tokio::spawn(async move { other.run(std::future::pending()).await });
    }
    let before = world.transport.sent().len();
    world.transport.script(|_, _| Reply::Hang);
    world.transport.wait_for(before + 2).await;
    let half_open = circuit(&world, &endpoint).await;
    assert_eq!(half_open.state, CircuitState::HalfOpen);
    tokio::time::sleep(Duration::from_secs(25)).await; // paused clock: the probes hang
    assert_eq!(world.transport.sent().len(), before + 2, "two probes, over all instances");
    assert_eq!(circuit(&world, &endpoint).await, half_open, "nobody else has won the right");
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_stops_gives_its_right_back() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    opened(&world, &endpoint, 10).await;
    world.transport.script(|_, _| Reply::Stuck);
    let before = world.transport.sent().len();
    world.transport.wait_for(before + 2).await;
    assert_eq!(circuit(&world, &endpoint).await.state, CircuitState::HalfOpen);
    world.dispatcher.drain(Duration::ZERO).await;
    let stopped = Instant::now();
    world.transport.script(|_, _| Reply::Status(200));
    let heir = world.another_dispatcher(DeliverySettings::default());
    tokio::spawn(async move { heir.run(std::future::pending()).await });
    let sent = world.transport.wait_for(before + 3).await;
    assert!(sent[before + 2].at - stopped < LATE);
    wait_for_state(&world, &endpoint, CircuitState::Closed).await;
}

fn busy(status: u16, retry_after: &str) -> Reply {
    let headers = HeaderBlock::from_pairs([("retry-after", retry_after.as_bytes())]);
    Reply::Head(ResponseHead { status, headers, ..ResponseHead::default() })
}

#[tokio::test(start_paused = true)]
async fn a_busy_destination_pauses_its_lane_and_opens_nothing() {
    for status in [429, 503] {
        let world = World::new().await;
        let endpoint = impatient(&world, "a").await;
        world.transport.script(move |_, number| if number < 3 { busy(status, "20") } else { Reply::Status(200) });
        let (first, _) = world.ingest(&endpoint).await;
        world.run();
        world.transport.wait_for(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await; // paused clock: until the pause is stored
        let (second, had_slot) = world.ingest(&endpoint).await;
        assert!(!had_slot, "events that come meanwhile wait too");
        let sent = world.transport.wait_for(5).await;
        for pair in [[0, 1], [1, 2], [2, 3]] {
            let wait = sent[pair[1]].at - sent[pair[0]].at;
            assert!(wait >= Duration::from_secs(20) && wait < Duration::from_secs(20) + LATE, "{status}: {wait:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await; // paused clock: until the results are stored
        assert_eq!(world.state(first).await, DeliveryState::Delivered);
        assert_eq!(world.state(second).await, DeliveryState::Delivered);
        let circuit = circuit(&world, &endpoint).await;
        assert_eq!((circuit.state, circuit.opened_times), (CircuitState::Closed, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_single_events_open_nothing() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    world.transport.script(|_, _| Reply::Status(422));
    world.queue(&endpoint, 30).await;
    world.run();
    world.store.wait_for_written(30).await;
    assert_eq!(circuit(&world, &endpoint).await, Circuit::default());
}

/// A store that is away keeps no circuit from opening, and learns of it when it is back.
#[tokio::test(start_paused = true)]
async fn an_opening_holds_before_it_is_stored() {
    let world = World::new().await;
    let endpoint = impatient(&world, "a").await;
    world.transport.script(|_, _| Reply::Status(500));
    world.store.lose_circuit_writes(3);
    world.queue(&endpoint, 30).await;
    world.run();
    let opened = wait_for_state(&world, &endpoint, CircuitState::Open).await;
    let sent = world.transport.sent();
    let last = sent[sent.len() - 1].at;
    tokio::time::sleep(Duration::from_secs(5)).await; // paused clock: the circuit is open
    assert_eq!(world.transport.sent().len(), sent.len());
    assert!(world.transport.sent().iter().all(|sent| sent.at <= last));
    assert_eq!(opened.version, 1, "the write that was said to have failed had been made, and was not made again");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_only_fails_is_disabled_and_its_queue_waits_for_it() {
    let world = World::new().await;
    let retry = RetryPolicy::Exponential { base_ms: 1_000, factor: 2.0, cap_ms: 600_000, attempts_max: 1_000 };
    let endpoint = world
        .endpoint("a", |endpoint| {
            endpoint.config.retry = retry;
            endpoint.config.disable_after_seconds = Some(3_600);
        })
        .await;
    world.transport.script(|_, _| Reply::Status(500));
    let ids = world.queue(&endpoint, 20).await;
    world.run();
    let begun = world.now();
    let disabled = loop {
        tokio::time::sleep(Duration::from_secs(10)).await; // paused clock: until it is given up
        let stored = world.store.inner.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        if stored.status != EndpointStatus::Enabled {
            break stored;
        }
    };
    assert_eq!(disabled.status, EndpointStatus::Disabled(DisabledReason::Failing));
    let took = world.now().saturating_since(begun);
    assert!(took >= Duration::from_secs(3_600) && took < Duration::from_secs(2 * 3_600), "{took:?}");
    let before = world.transport.sent().len();
    tokio::time::sleep(Duration::from_secs(3_600)).await; // paused clock: an hour
    assert_eq!(world.transport.sent().len(), before);
    for id in &ids {
        assert!(!world.state(*id).await.is_final());
    }

    // Somebody mends the destination and enables the endpoint.
    world.transport.script(|_, _| Reply::Status(200));
    world.store.inner.circuit_reset(endpoint.tenant_id, endpoint.id, world.now()).await.unwrap();
    world.set_status(&endpoint, EndpointStatus::Enabled).await;
    tokio::time::sleep(Duration::from_secs(5)).await; // paused clock: everything that waited goes out
    for id in &ids {
        assert_eq!(world.state(*id).await, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_now_and_then_keeps_an_endpoint_enabled() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.disable_after_seconds = Some(3_600)).await;
    world.run();
    for round in 0..4 {
        world.transport.script(|_, _| Reply::Status(500));
        world.queue(&endpoint, 3).await;
        tokio::time::sleep(Duration::from_secs(40 * 60)).await; // paused clock: mostly failures
        world.transport.script(|_, _| Reply::Status(200));
        tokio::time::sleep(Duration::from_secs(30 * 60)).await; // paused clock: and then it works again
        let stored = world.store.inner.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        assert_eq!(stored.status, EndpointStatus::Enabled, "round {round}");
    }
}
