//! Figures of endpoints, hour by hour.

use std::sync::Arc;

use kapsel_core::{EndpointId, TenantId};

use super::world::World;
use crate::{Hour, Statistics, StatisticsChange};

fn figures(accepted: u64) -> Statistics {
    Statistics { accepted, duplicates: 2, refused: 3, delivered: 4, failed: 5 }
}

async fn add(world: &World, hour: i64, tenant_id: TenantId, endpoint_id: EndpointId, added: Statistics) {
    let change = StatisticsChange { tenant_id, endpoint_id, added };
    world.store.statistics_add(Hour(hour), vec![change]).await.unwrap();
}

async fn list(world: &World, tenant_id: TenantId, endpoint_id: EndpointId, hours: (i64, i64)) -> Vec<(i64, u64)> {
    let listed = world.store.statistics_list(tenant_id, endpoint_id, Hour(hours.0), Hour(hours.1)).await.unwrap();
    listed.into_iter().map(|(hour, figures)| (hour.0, figures.accepted)).collect()
}

/// What is added to an hour adds up, for its endpoint and its tenant alone.
pub async fn statistics_add_up_by_hour(world: World) {
    let (ours, theirs) = (world.endpoint().await, world.endpoint_of(world.tenant_id()).await);
    let base = Hour::of(world.now()).0;
    for (hour, accepted) in [(base, 1), (base, 10), (base + 2, 100)] {
        add(&world, hour, ours.tenant_id, ours.id, figures(accepted)).await;
        add(&world, hour, theirs.tenant_id, theirs.id, figures(7)).await;
    }
    let all = (base - 10, base + 10);
    assert_eq!(list(&world, ours.tenant_id, ours.id, all).await, [(base, 11), (base + 2, 100)]);
    assert_eq!(list(&world, ours.tenant_id, ours.id, (base, base + 2)).await, [(base, 11)]);
    assert_eq!(list(&world, ours.tenant_id, ours.id, (base + 1, base + 1)).await, []);
    assert_eq!(list(&world, ours.tenant_id, ours.id, (base + 3, base)).await, []);
    assert_eq!(list(&world, theirs.tenant_id, ours.id, all).await, []);
    let whole = world.store.statistics_list(ours.tenant_id, ours.id, Hour(base), Hour(base + 1)).await.unwrap();
    let expected = Statistics { accepted: 11, duplicates: 4, refused: 6, delivered: 8, failed: 10 };
    assert_eq!(whole, [(Hour(base), expected)]);
}

/// Instances add to the same rows at the same moment, in any order.
pub async fn concurrent_statistics_all_count(world: World) {
    let endpoints: Vec<_> = (1..=8).map(|byte| EndpointId::from_bytes([byte; 16])).collect();
    let additions: Vec<_> = (0..12_usize)
        .map(|turn| {
            let (store, mut ids) = (Arc::clone(&world.store), endpoints.clone());
            ids.rotate_left(turn % 8);
            let change = |endpoint_id| StatisticsChange {
                tenant_id: TenantId::DEFAULT,
                endpoint_id,
                added: Statistics { accepted: 1, ..Statistics::default() },
            };
            let changes = ids.into_iter().map(change).collect();
            tokio::spawn(async move { store.statistics_add(Hour(490_000), changes).await.unwrap() })
        })
        .collect();
    for addition in additions {
        addition.await.unwrap();
    }
    for endpoint_id in endpoints {
        assert_eq!(list(&world, TenantId::DEFAULT, endpoint_id, (0, i64::MAX)).await, [(490_000, 12)]);
    }
}

/// Figures go after ninety days.
pub async fn old_statistics_go(world: World) {
    let endpoint = world.endpoint().await;
    let base = Hour::of(world.now()).0;
    let days = |count: i64| base + 24 * count;
    for hour in [base, base + 1] {
        add(&world, hour, endpoint.tenant_id, endpoint.id, figures(1)).await;
    }
    add(&world, days(90), endpoint.tenant_id, endpoint.id, figures(1)).await;
    assert_eq!(list(&world, endpoint.tenant_id, endpoint.id, (0, i64::MAX)).await.len(), 3);
    add(&world, days(90) + 1, endpoint.tenant_id, endpoint.id, figures(1)).await;
    let left = list(&world, endpoint.tenant_id, endpoint.id, (0, i64::MAX)).await;
    assert_eq!(left, [(base + 1, 1), (days(90), 1), (days(90) + 1, 1)]);
}
