//! How much is sent to whom: rates, concurrency, and turns among endpoints and tenants.

use std::time::Duration;

use kapsel_core::{CircuitState, RateLimit, RetryPolicy, TenantId};
use kapsel_store::CircuitStore as _;
use tokio::time::Instant;

use crate::world::{Reply, World};

/// Asserts that within any time no more was begun than the limit allows.
fn assert_rate(times: &[Instant], limit: RateLimit) {
    for (first, start) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let count = f64::from(u32::try_from(last - first + 1).unwrap());
            let allowed = f64::from(limit.burst) + (*end - *start).as_secs_f64() * limit.per_second;
            assert!(count <= allowed + 0.01, "{count} requests within {:?}", *end - *start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_holds_for_the_backlog_and_for_fresh_events() {
    let world = World::new().await;
    let limit = RateLimit { per_second: 10.0, burst: 5 };
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.rate_limit = Some(limit)).await;
    let mut ids = world.queue(&endpoint, 40).await;
    world.run();
    for _ in 0..40 {
        ids.push(world.ingest(&endpoint).await.0);
        tokio::time::sleep(Duration::from_millis(50)).await; // paused clock: twenty events a second
    }
    world.store.wait_for_written(80).await;
    world.assert_delivered(&ids).await;
    let times: Vec<_> = world.transport.sent().iter().map(|sent| sent.at).collect();
    assert_rate(&times, limit);
    let took = (times[79] - times[0]).as_secs_f64();
    // 75 tokens at ten a second; what is slower than that is lost rate.
    assert!((7.4..8.5).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_is_served_within_its_limits() {
    let world = World::new().await;
    let limit = RateLimit { per_second: 50.0, burst: 10 };
    let endpoint = world
        .endpoint("a", |endpoint| {
            endpoint.config.rate_limit = Some(limit);
            endpoint.config.max_in_flight = 8;
            endpoint.config.retry =
                RetryPolicy::Exponential { base_ms: 1, factor: 1.0, cap_ms: 1, attempts_max: 1_000 };
        })
        .await;
    world.transport.script(|_, _| Reply::Status(503));
    let ids = world.queue(&endpoint, 1_000).await;
    world.run();
    tokio::time::sleep(Duration::from_secs(300)).await; // paused clock: the destination is dead for five minutes
    let before = world.transport.sent().len();
    world.transport.script(|_, _| Reply::After(Duration::from_millis(20)));
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await; // paused clock: until the backlog is gone
        if world.state(ids[999]).await.is_final() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await; // paused clock: the last ones
    let times: Vec<_> = world.transport.sent()[before..].iter().map(|sent| sent.at).collect();
    assert_eq!(times.len(), 1_000);
    assert_rate(&times, limit);
    assert!(world.transport.most_running("http://a.example/") <= 8);
    let stored = world.store.inner.circuit_read(vec![endpoint.id]).await.unwrap();
    assert_eq!(stored[0].circuit.state, CircuitState::Closed);
}

/// A tenant with many slow endpoints and long queues delays the others by a few looks at the queue, not by its work.
#[tokio::test(start_paused = true)]
async fn a_slow_tenant_with_many_lanes_delays_nobody() {
    let world = World::with(|settings| settings.in_flight_max = 64).await;
    let slow_tenant: TenantId = TenantId::from_bytes([9; 16]);
    world.transport.script(|url, _| if url.contains("slow") { Reply::Hang } else { Reply::Status(200) });
    for number in 0..300 {
        let endpoint = world
            .endpoint(&format!("slow{number}"), |endpoint| {
                endpoint.tenant_id = slow_tenant;
                endpoint.config.timeout_seconds = 30;
            })
            .await;
        world.queue(&endpoint, 3).await;
    }
    // Its lane comes behind all of them.
    let healthy = world.endpoint("healthy", |_| {}).await;
    world.run();
    tokio::time::sleep(Duration::from_secs(5)).await; // paused clock: the slow ones hold what they can get
    for _ in 0..20 {
        let begun = world.now();
        let ids = world.queue(&healthy, 1).await;
        while !world.state(ids[0]).await.is_final() {
            tokio::time::sleep(Duration::from_millis(1)).await; // paused clock: until it is delivered
        }
        let took = world.now().saturating_since(begun);
        assert!(took < Duration::from_millis(700), "{took:?}");
    }
}
