//! Managing tenants, learning of their changes, and what suspending and deleting one does to its deliveries.

use kapsel_core::{DeliveryState, FinalReason, RateLimit, Tenant, TenantId, TenantLimits, TenantStatus, Tier};

use super::world::{ALL, World, assert_conflict, assert_not_found};
use crate::ChangeSeq;

/// Everything that a tenant is reads back as it was written.
pub async fn tenant_round_trips(world: World) {
    let plain = world.new_tenant();
    let mut rich = world.new_tenant();
    rich.config.name = "n\u{e4}me 'quoted' \u{1f980}".to_owned();
    rich.config.tier = Tier::Free;
    rich.config.own_limits = TenantLimits {
        ingest_rate: Some(RateLimit { per_second: 0.1, burst: 3 }),
        api_rate: Some(RateLimit { per_second: 7.5, burst: 1 }),
        endpoints_max: Some(0),
        queued_events_max: Some(1 << 40),
        queued_bytes_max: Some(1 << 50),
        event_retention_days: Some(1),
        attempt_retention_days: Some(3_650),
    };
    rich.status = TenantStatus::Suspended;
    rich.version = 41;
    rich.updated_at = world.pass_seconds(1);
    for tenant in [&plain, &rich] {
        world.store.tenant_insert(tenant.clone()).await.unwrap();
        assert_eq!(world.store.tenant_get(tenant.id).await.unwrap(), *tenant);
    }
    assert_eq!(world.store.tenant_list(None, ALL).await.unwrap(), [plain.clone(), rich.clone()]);

    let changed = Tenant { id: plain.id, ..rich };
    world.store.tenant_update_if_version(changed.clone(), plain.version).await.unwrap();
    let stored = world.store.tenant_get(plain.id).await.unwrap();
    assert_eq!(stored, Tenant { created_at: plain.created_at, ..changed });
}

/// An id is used once and for all.
pub async fn tenant_id_is_taken_once(world: World) {
    let tenant = world.tenant().await;
    assert_conflict(world.store.tenant_insert(tenant.clone()).await);
    world.store.tenant_delete(tenant.id, world.now()).await.unwrap();
    assert_conflict(world.store.tenant_insert(tenant.clone()).await);
    assert_not_found(world.store.tenant_get(tenant.id).await);
    assert_not_found(world.store.tenant_get(world.tenant_id()).await);
}

/// Of two changes made from the same version, one is told that it came too late.
pub async fn tenant_update_needs_its_version(world: World) {
    let tenant = world.tenant().await;
    let renamed = |name: &str, version| {
        let mut changed = Tenant { version, updated_at: world.now(), ..tenant.clone() };
        changed.config.name = name.to_owned();
        changed
    };
    world.store.tenant_update_if_version(renamed("first", 2), 1).await.unwrap();
    assert_conflict(world.store.tenant_update_if_version(renamed("second", 2), 1).await);
    assert_conflict(world.store.tenant_update_if_version(renamed("from the future", 4), 3).await);
    assert_eq!(world.store.tenant_get(tenant.id).await.unwrap(), renamed("first", 2));

    assert_not_found(world.store.tenant_update_if_version(world.new_tenant(), 1).await);
    world.store.tenant_delete(tenant.id, world.now()).await.unwrap();
    assert_not_found(world.store.tenant_update_if_version(renamed("too late", 4), 3).await);
    assert_not_found(world.store.tenant_delete(tenant.id, world.now()).await);
}

/// Pages by `after` show each tenant once, oldest first, deleted ones not at all. The default tenant has the smallest id
/// there is, and is shown all the same.
pub async fn tenant_list_pages_by_id(world: World) {
    let mut expected = vec![Tenant::default_at(world.now())];
    world.store.tenant_insert(expected[0].clone()).await.unwrap();
    for _ in 0..5 {
        expected.push(world.tenant().await);
    }
    world.store.tenant_delete(expected.remove(3).id, world.now()).await.unwrap();
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.tenant_list(after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            seen.extend(page);
            assert!(seen.len() <= expected.len(), "a tenant is shown twice");
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

/// Who reads on from the last change it saw knows what the store knows, deletions included; nothing is told twice unless
/// it changed again.
pub async fn tenant_changes_are_ordered_and_complete(world: World) {
    assert_eq!(world.store.tenant_changes(ChangeSeq::default(), ALL).await.unwrap(), []);
    let (one, two, three) = (world.tenant().await, world.tenant().await, world.tenant().await);
    // Changes of endpoints come in between.
    world.endpoint_of(two.id).await;
    let mut seen = ChangeSeq::default();
    let mut read = async || {
        let mut told = Vec::new();
        loop {
            let changes = world.store.tenant_changes(seen, 2).await.unwrap();
            for change in &changes {
                assert!(change.seq > seen, "{:?} after {seen:?}", change.seq);
                seen = change.seq;
                told.push((change.tenant.id, change.tenant.status));
            }
            if changes.len() < 2 {
                return told;
            }
        }
    };
    let active = |tenant: &Tenant| (tenant.id, TenantStatus::Active);
    assert_eq!(read().await, [active(&one), active(&two), active(&three)]);
    assert_eq!(read().await, []);

    world.set_tenant_status(one.id, TenantStatus::Suspended).await;
    world.store.tenant_delete(two.id, world.now()).await.unwrap();
    world.set_tenant_status(three.id, TenantStatus::Suspended).await;
    world.set_tenant_status(one.id, TenantStatus::Active).await;
    let expected = [(two.id, TenantStatus::Deleted), (three.id, TenantStatus::Suspended), active(&one)];
    assert_eq!(read().await, expected);
    assert_conflict(world.store.tenant_insert(one.clone()).await);
    assert_conflict(world.store.tenant_update_if_version(one, 77).await);
    assert_eq!(read().await, []);
}

/// While a tenant is suspended nothing of it is listed or claimed; what is under way ends; nobody else notices.
pub async fn suspended_tenant_is_not_delivered_to(world: World) {
    let tenant = world.tenant().await;
    let (theirs, others) = (world.endpoint_of(tenant.id).await, world.endpoint().await);
    let under_way = world.accept(&theirs).await;
    let claimed = world.claim_one(&theirs).await;
    let waiting = world.accept(&theirs).await;
    world.accept(&others).await;

    world.set_tenant_status(tenant.id, TenantStatus::Suspended).await;
    let due = world.lane_scan(world.now(), None, ALL).await.due;
    assert_eq!(due.iter().map(|lane| lane.endpoint_id).collect::<Vec<_>>(), [others.id]);
    assert_eq!(world.claim_all(&theirs).await.len(), 0);
    world.settle(world.delivered(&claimed)).await;
    assert_eq!(world.state(under_way).await, DeliveryState::Delivered);
    assert_eq!(world.state(waiting).await, DeliveryState::Received);
    world.deliver(&others).await;

    world.set_tenant_status(tenant.id, TenantStatus::Active).await;
    let due = world.lane_scan(world.now(), None, ALL).await.due;
    assert_eq!(due.iter().map(|lane| lane.endpoint_id).collect::<Vec<_>>(), [theirs.id]);
    world.deliver(&theirs).await;
    assert_eq!(world.state(waiting).await, DeliveryState::Delivered);
}

/// Endpoints of a deleted tenant are deleted: their queue is discarded, whoever follows the changes hears of it. Keys open
/// nothing any more. Events stay visible, and nobody else notices.
pub async fn deleted_tenant_takes_endpoints_and_keys_along(world: World) {
    let tenant = world.tenant().await;
    let endpoints = [world.endpoint_of(tenant.id).await, world.endpoint_of(tenant.id).await];
    let other = world.endpoint().await;
    let key = world.api_key(tenant.id).await;
    let (waiting, kept) = (world.accept(&endpoints[0]).await, world.accept(&other).await);
    let changes = world.store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap();
    let seen = changes.last().map(|change| change.seq).unwrap();

    world.store.tenant_delete(tenant.id, world.now()).await.unwrap();
    let mut told: Vec<_> = world.store.endpoint_changes(seen, ALL).await.unwrap();
    told.sort_by_key(|change| change.id);
    assert_eq!(told.iter().map(|change| change.id).collect::<Vec<_>>(), endpoints.each_ref().map(|one| one.id));
    assert!(told.iter().all(|change| change.endpoint.is_none() && !change.is_unreadable));
    assert_eq!(world.store.endpoint_list(tenant.id, None, ALL).await.unwrap(), []);
    assert_not_found(world.store.api_key_find(key.prefix).await);
    // Later changes are later.
    let seen = world.store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap().last().map(|change| change.seq);
    let later = world.endpoint().await;
    let told = world.store.endpoint_changes(seen.unwrap(), ALL).await.unwrap();
    assert_eq!(told.iter().map(|change| change.id).collect::<Vec<_>>(), [later.id]);

    assert_eq!(world.sweep().await, 1);
    let detail = world.detail(waiting).await;
    assert_eq!(detail.summary.status, DeliveryState::Discarded);
    assert_eq!(detail.summary.reason, Some(FinalReason::EndpointDeleted));
    world.deliver(&other).await;
    assert_eq!(world.state(kept).await, DeliveryState::Delivered);
    assert_eq!(world.store.tenant_get(TenantId::DEFAULT).await.ok(), None, "it was never made");
}
