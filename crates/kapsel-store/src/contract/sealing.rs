//! Sealed secrets, for engines that keep something outside of the process. Not among the cases of the suite, because a store
//! has to be opened several times; an engine calls [`secrets_are_sealed`] in a test of its own.

use std::sync::Arc;

use kapsel_core::{Clock as _, Endpoint, EndpointId, EndpointSecrets, MasterKey, Sealer, SystemEntropy, TenantId};
use test_harness::{EndpointBuilder, TestClock};

use super::world::ALL;
use crate::sealing::{SealedStore, SealingError, SecretsRow, bring_up_to_date};
use crate::{ChangeSeq, Store, StoreError};

const SECRET: &str = "very-secret-verification-secret";

fn sealer(keys: &[u8]) -> Sealer {
    let key = |byte: &u8| MasterKey::parse(&format!("{byte:02x}").repeat(32)).unwrap();
    Sealer::new(keys.iter().map(key).collect(), Arc::new(SystemEntropy))
}

fn endpoint(byte: u8, tenant_id: TenantId) -> Endpoint {
    let id = EndpointId::from_bytes([byte; 16]);
    let mut endpoint = EndpointBuilder::new(id, "https://destination.example/", TestClock::new().now()).build();
    endpoint.tenant_id = tenant_id;
    endpoint.secrets.verification = vec![SECRET.into()];
    endpoint
}

async fn rows(store: &dyn SealedStore) -> Vec<SecretsRow> {
    store.secrets_list(EndpointId::MIN, ALL).await.unwrap()
}

/// Nothing of a secret can be read in what is stored; what was moved to another row does not open; what dates from before
/// there was sealing is sealed; and a master key is replaced by another one without anybody noticing. `open` opens the same
/// store each time, `close` closes it.
pub async fn secrets_are_sealed<S, O, F, C, G>(open: O, close: C)
where
    S: Store + SealedStore,
    O: Fn(Sealer) -> F,
    F: Future<Output = S>,
    C: Fn(S) -> G,
    G: Future<Output = ()>,
{
    let (ours, theirs) = (endpoint(1, TenantId::DEFAULT), endpoint(2, TenantId::MAX));
    let store = open(sealer(&[1])).await;
    assert_eq!(bring_up_to_date(&store, &sealer(&[1])).await.unwrap(), 0);
    for endpoint in [&ours, &theirs] {
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), *endpoint);
    }
    let sealed = rows(&store).await;
    assert_eq!(sealed.iter().map(|row| (row.tenant_id, row.id)).collect::<Vec<_>>().len(), 2);
    for row in &sealed {
        assert!(!row.stored.windows(6).any(|window| SECRET.as_bytes().starts_with(window)), "{row:?}");
    }

    // Bytes of another row.
    store.secrets_replace_if_same(sealed[0].clone(), sealed[1].stored.clone()).await.unwrap();
    let moved = store.endpoint_get(ours.tenant_id, ours.id).await;
    assert!(matches!(moved, Err(StoreError::Corrupt { .. })), "{moved:?}");
    let changes = store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.is_unreadable).collect::<Vec<_>>(), [true, false]);
    assert!(matches!(bring_up_to_date(&store, &sealer(&[2, 1])).await, Err(SealingError::Unreadable { .. })));

    // What an older program wrote. Replacing is for who knows what stands there.
    let plain = EndpointSecrets::to_stored(&ours.secrets).unwrap();
    store.secrets_replace_if_same(sealed[0].clone(), plain.clone()).await.unwrap();
    assert!(store.endpoint_get(ours.tenant_id, ours.id).await.is_err(), "nothing was replaced");
    let now = SecretsRow { stored: sealed[1].stored.clone(), ..sealed[0].clone() };
    store.secrets_replace_if_same(now, plain).await.unwrap();
    assert_eq!(store.endpoint_get(ours.tenant_id, ours.id).await.unwrap(), ours);
    let seen = changes.last().map(|change| change.seq).unwrap();
    assert_eq!(bring_up_to_date(&store, &sealer(&[1])).await.unwrap(), 1);
    assert_eq!(store.endpoint_changes(seen, ALL).await.unwrap(), [], "it is no change of the endpoint");
    close(store).await;

    // Another key, and nothing else.
    let store = open(sealer(&[2])).await;
    let refused = bring_up_to_date(&store, &sealer(&[2])).await;
    assert!(matches!(refused, Err(SealingError::UnknownKey { .. })), "{refused:?}");
    assert!(matches!(store.endpoint_get(ours.tenant_id, ours.id).await, Err(StoreError::Corrupt { .. })));
    close(store).await;

    // First known, then in front, then alone.
    for (keys, resealed) in [(&[1, 2][..], 0), (&[2, 1], 2), (&[2, 1], 0), (&[2], 0)] {
        let store = open(sealer(keys)).await;
        assert_eq!(bring_up_to_date(&store, &sealer(keys)).await.unwrap(), resealed, "{keys:?}");
        for endpoint in [&ours, &theirs] {
            assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), *endpoint);
        }
        close(store).await;
    }
    let store = open(sealer(&[1])).await;
    assert!(bring_up_to_date(&store, &sealer(&[1])).await.is_err(), "the old key is of no use any more");

    // Deleted endpoints have none.
    store.endpoint_delete(ours.tenant_id, ours.id, TestClock::new().now()).await.unwrap();
    assert_eq!(rows(&store).await.len(), 1);
    close(store).await;
}
