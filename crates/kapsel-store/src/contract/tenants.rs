//! Nothing of one tenant is ever visible to another.

use kapsel_core::{Endpoint, TenantId};

use super::world::{ALL, World, assert_not_found};
use crate::EventFilter;

/// What belongs to another tenant answers exactly as what does not exist, and stays as it is.
pub async fn tenants_never_meet(world: World) {
    let (ours, theirs) = (TenantId::DEFAULT, world.tenant_id());
    let our_endpoint = world.endpoint_of(ours).await;
    let their_endpoint = world.endpoint_of(theirs).await;
    let our_delivery = world.accept(&our_endpoint).await;
    let their_delivery = world.accept(&their_endpoint).await;
    let store = &world.store;

    for (tenant, own, own_event, foreign, foreign_event) in [
        (ours, &our_endpoint, our_delivery.event_id, &their_endpoint, their_delivery.event_id),
        (theirs, &their_endpoint, their_delivery.event_id, &our_endpoint, our_delivery.event_id),
    ] {
        assert_eq!(store.endpoint_list(tenant, None, ALL).await.unwrap(), std::slice::from_ref(own));
        assert_not_found(store.endpoint_get(tenant, foreign.id).await);
        let usurped = Endpoint { tenant_id: tenant, version: foreign.version + 1, ..foreign.clone() };
        assert_not_found(store.endpoint_update_if_version(usurped, foreign.version).await);
        assert_not_found(store.endpoint_delete(tenant, foreign.id, world.now()).await);

        assert_not_found(store.event_get(tenant, foreign_event, world.now()).await);
        assert_not_found(store.event_requeue(tenant, foreign_event, world.now()).await);
        let listed = store.event_list(tenant, EventFilter::default(), ALL, world.now()).await.unwrap();
        assert_eq!(listed.iter().map(|event| event.id).collect::<Vec<_>>(), [own_event]);
        let of_foreign = EventFilter { endpoint_id: Some(foreign.id), ..EventFilter::default() };
        assert_eq!(store.event_list(tenant, of_foreign, ALL, world.now()).await.unwrap(), []);
        // A cursor is only a place in the order: a foreign one shows nothing foreign.
        let behind = EventFilter { before: Some(foreign_event), ..EventFilter::default() };
        let listed = store.event_list(tenant, behind, ALL, world.now()).await.unwrap();
        assert!(listed.iter().all(|event| event.id == own_event));
        let after = store.endpoint_list(tenant, Some(foreign.id), ALL).await.unwrap();
        assert!(after.iter().all(|endpoint| endpoint.id == own.id));
    }
    let stranger = world.tenant_id();
    assert_eq!(store.endpoint_list(stranger, None, ALL).await.unwrap(), []);
    assert_eq!(store.event_list(stranger, EventFilter::default(), ALL, world.now()).await.unwrap(), []);

    // None of the refused calls left a trace.
    for endpoint in [&our_endpoint, &their_endpoint] {
        assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), *endpoint);
    }
    let claimed = world.claim(world.lease(), &[&our_endpoint, &their_endpoint], ALL).await;
    let deliveries: Vec<_> = claimed.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(deliveries, [our_delivery, their_delivery]);
}
