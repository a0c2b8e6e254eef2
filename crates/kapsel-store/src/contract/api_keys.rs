//! Keeping the keys of the API.

use kapsel_core::{ApiKey, Scope, Scopes};

use super::world::{ALL, World, assert_conflict, assert_not_found};

/// Everything that a key is reads back as it was written, by its id and by its prefix.
pub async fn api_key_round_trips(world: World) {
    let tenant = world.tenant().await;
    let plain = world.new_api_key(tenant.id);
    let mut rich = world.new_api_key(tenant.id);
    rich.name = "n\u{e4}me 'quoted' \u{1f980}".to_owned();
    rich.scopes = [Scope::IngestAdmin].into_iter().collect();
    rich.expires_at = Some(world.pass_seconds(5));
    rich.revoked_at = Some(world.pass_seconds(5));
    rich.last_used_at = Some(world.pass_seconds(5));
    let mut powerless = world.new_api_key(tenant.id);
    powerless.scopes = Scopes::default();
    for key in [&plain, &rich, &powerless] {
        world.store.api_key_insert(key.clone()).await.unwrap();
        assert_eq!(world.store.api_key_get(tenant.id, key.id).await.unwrap(), *key);
        assert_eq!(world.store.api_key_find(key.prefix.clone()).await.unwrap(), *key);
    }
    let unknown = world.new_api_key(tenant.id);
    assert_not_found(world.store.api_key_find(unknown.prefix).await);
    assert_not_found(world.store.api_key_get(tenant.id, unknown.id).await);
}

/// A key is found by its prefix, so no two may share one, whoever's they are.
pub async fn api_key_prefix_is_taken_once(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.api_key(tenant.id).await;
    assert_conflict(world.store.api_key_insert(key.clone()).await);
    let same_prefix = ApiKey { prefix: key.prefix.clone(), ..world.new_api_key(other.id) };
    assert_conflict(world.store.api_key_insert(same_prefix).await);
    let same_id = ApiKey { id: key.id, ..world.new_api_key(other.id) };
    assert_conflict(world.store.api_key_insert(same_id).await);
    assert_eq!(world.store.api_key_list(other.id, None, ALL).await.unwrap(), []);
    assert_eq!(world.store.api_key_find(key.prefix.clone()).await.unwrap(), key);
}

/// There is no key to nothing.
pub async fn api_key_needs_its_tenant(world: World) {
    assert_not_found(world.store.api_key_insert(world.new_api_key(world.tenant_id())).await);
    let tenant = world.tenant().await;
    world.store.tenant_delete(tenant.id, world.now()).await.unwrap();
    assert_not_found(world.store.api_key_insert(world.new_api_key(tenant.id)).await);
}

/// Pages by `after` show each key of the tenant once, oldest first.
pub async fn api_key_list_pages_by_id(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(world.api_key(tenant.id).await);
        world.api_key(other.id).await;
    }
    for limit in 1..=5 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.api_key_list(tenant.id, after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            seen.extend(page);
            assert!(seen.len() <= expected.len(), "a key is shown twice");
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

/// The first revocation is the one that counts.
pub async fn revoked_api_key_stays_revoked(world: World) {
    let tenant = world.tenant().await;
    let key = world.api_key(tenant.id).await;
    let revoked_at = world.pass_seconds(1);
    world.store.api_key_revoke(tenant.id, key.id, revoked_at).await.unwrap();
    world.store.api_key_revoke(tenant.id, key.id, world.pass_seconds(1)).await.unwrap();
    let stored = world.store.api_key_find(key.prefix.clone()).await.unwrap();
    assert_eq!(stored, ApiKey { revoked_at: Some(revoked_at), ..key });
    assert_eq!(world.store.api_key_list(tenant.id, None, ALL).await.unwrap(), [stored]);
    assert_not_found(world.store.api_key_revoke(tenant.id, world.new_api_key(tenant.id).id, world.now()).await);
}

/// Instances note uses in any order.
pub async fn last_use_of_an_api_key_only_grows(world: World) {
    let tenant = world.tenant().await;
    let key = world.api_key(tenant.id).await;
    let (early, late) = (world.pass_seconds(1), world.pass_seconds(1));
    for (used_at, noted) in [(early, early), (late, late), (early, late)] {
        world.store.api_key_touch(tenant.id, key.id, used_at).await.unwrap();
        assert_eq!(world.store.api_key_get(tenant.id, key.id).await.unwrap().last_used_at, Some(noted));
    }
    world.store.api_key_touch(tenant.id, world.new_api_key(tenant.id).id, late).await.unwrap();
}

/// A key of another tenant answers exactly as one that does not exist, and stays as it is.
pub async fn api_keys_of_tenants_never_meet(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.api_key(tenant.id).await;
    assert_not_found(world.store.api_key_get(other.id, key.id).await);
    assert_not_found(world.store.api_key_revoke(other.id, key.id, world.now()).await);
    world.store.api_key_touch(other.id, key.id, world.now()).await.unwrap();
    assert_eq!(world.store.api_key_list(other.id, None, ALL).await.unwrap(), []);
    assert_eq!(world.store.api_key_get(tenant.id, key.id).await.unwrap(), key);
}
