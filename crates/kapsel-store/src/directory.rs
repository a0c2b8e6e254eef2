//! The endpoints of all tenants, ready for use in memory.
//!
//! Ingest and delivery look up an endpoint for every event; they do so here and not in the store. The directory reads
//! the store's changes: at start, after each change made by this process, and regularly for what other instances do.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kapsel_core::signature::{OutboundSigner, Verifier};
use kapsel_core::{Endpoint, EndpointId, EndpointStatus};
use tokio::sync::Mutex;

use crate::admin::{AdminStore, ChangeSeq};
use crate::error::StoreError;

const PAGE: usize = 1_000;

/// An endpoint with its keys made ready.
pub struct ActiveEndpoint {
    /// The endpoint as stored.
    pub endpoint: Endpoint,
    /// Checks what comes in. `None` if the stored scheme and secrets do not fit together: such an endpoint accepts
    /// nothing.
    pub verifier: Option<Verifier>,
    /// Signs what goes out. `None` if a stored key is damaged: such an endpoint is not delivered to.
    pub signer: Option<OutboundSigner>,
}

impl ActiveEndpoint {
    fn new(endpoint: Endpoint) -> Self {
        let verifier = Verifier::new(&endpoint.config.verification, &endpoint.secrets.verification);
        let signer = OutboundSigner::new(&endpoint.secrets.signing);
        if let Err(error) = &verifier {
            tracing::error!(endpoint_id = %endpoint.id, %error, "stored verification cannot be used");
        }
        if let Err(error) = &signer {
            tracing::error!(endpoint_id = %endpoint.id, %error, "stored signing key cannot be used");
        }
        ActiveEndpoint { endpoint, verifier: verifier.ok(), signer: signer.ok() }
    }

    /// Whether it takes part.
    pub fn is_enabled(&self) -> bool {
        self.endpoint.status == EndpointStatus::Enabled
    }
}

/// The endpoints in memory.
pub struct EndpointDirectory {
    store: Arc<dyn AdminStore>,
    endpoints: RwLock<HashMap<EndpointId, Arc<ActiveEndpoint>>>,
    /// Held during a refresh, so that two of them cannot apply changes out of order.
    read_up_to: Mutex<ChangeSeq>,
}

impl EndpointDirectory {
    /// Reads all endpoints of the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(store: Arc<dyn AdminStore>) -> Result<Self, StoreError> {
        let directory =
            EndpointDirectory { store, endpoints: RwLock::default(), read_up_to: Mutex::new(ChangeSeq::default()) };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Reads what changed since the last time. When it returns, every change that was durable at the call is seen.
    ///
    /// # Errors
    /// Those of the store; what was read before the error is applied.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut read_up_to = self.read_up_to.lock().await;
        loop {
            let changes = self.store.endpoint_changes(*read_up_to, PAGE).await?;
            let is_last = changes.len() < PAGE;
            for change in changes {
                let active = change.endpoint.map(|endpoint| Arc::new(ActiveEndpoint::new(*endpoint)));
                let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
                match active {
                    Some(active) => endpoints.insert(change.id, active),
                    None => endpoints.remove(&change.id),
                };
                *read_up_to = change.seq;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The endpoint `id`, enabled or not; `None` if there is none or it was deleted.
    pub fn get(&self, id: EndpointId) -> Option<Arc<ActiveEndpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use kapsel_core::endpoint::{DisabledReason, SigningSecret};
    use kapsel_core::signature::VerificationScheme;
    use kapsel_core::{IdGenerator, Timestamp};
    use test_harness::{EndpointBuilder, SeededEntropy};

    use super::*;
    use crate::MemoryStore;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    struct Bench {
        store: Arc<MemoryStore>,
        directory: EndpointDirectory,
        ids: IdGenerator,
    }

    impl Bench {
        async fn new() -> Self {
            let store = Arc::new(MemoryStore::new());
            let shared = Arc::clone(&store);
            let directory = EndpointDirectory::load(shared).await.unwrap();
            Bench { store, directory, ids: IdGenerator::new(Arc::new(SeededEntropy::new(0))) }
        }

        fn endpoint(&self) -> EndpointBuilder {
            EndpointBuilder::new(self.ids.next(NOW), "https://destination.example/", NOW)
        }

        async fn insert(&self, endpoint: EndpointBuilder) -> Endpoint {
            let endpoint = endpoint.build();
            self.store.endpoint_insert(endpoint.clone()).await.unwrap();
            endpoint
        }
    }

    #[tokio::test]
    async fn refresh_sees_create_update_and_delete() {
        let bench = Bench::new().await;
        let endpoint = bench.insert(bench.endpoint()).await;
        let other = bench.insert(bench.endpoint()).await;
        assert!(bench.directory.get(endpoint.id).is_none(), "nothing is read without a refresh");
        bench.directory.refresh().await.unwrap();
        let active = bench.directory.get(endpoint.id).unwrap();
        assert_eq!(active.endpoint, endpoint);
        assert!(active.is_enabled() && active.verifier.is_some() && active.signer.is_some());

        let disabled = EndpointStatus::Disabled(DisabledReason::Manual);
        let changed = Endpoint { status: disabled, version: 2, ..endpoint.clone() };
        bench.store.endpoint_update_if_version(changed.clone(), 1).await.unwrap();
        bench.directory.refresh().await.unwrap();
        let now_disabled = bench.directory.get(endpoint.id).unwrap();
        assert_eq!(now_disabled.endpoint, changed);
        assert!(!now_disabled.is_enabled());
        assert!(active.is_enabled(), "who holds the former self keeps it");

        bench.store.endpoint_delete(endpoint.tenant_id, endpoint.id, NOW).await.unwrap();
        bench.directory.refresh().await.unwrap();
        assert!(bench.directory.get(endpoint.id).is_none());
        assert_eq!(bench.directory.get(other.id).unwrap().endpoint, other);
    }

    #[tokio::test]
    async fn load_reads_what_is_there_however_much_it_is() {
        let bench = Bench::new().await;
        let mut last = bench.insert(bench.endpoint()).await;
        for _ in 0..PAGE {
            last = bench.insert(bench.endpoint()).await;
        }
        let shared = Arc::clone(&bench.store);
        let directory = EndpointDirectory::load(shared).await.unwrap();
        assert_eq!(directory.get(last.id).unwrap().endpoint, last);
        bench.directory.refresh().await.unwrap();
        assert_eq!(bench.directory.get(last.id).unwrap().endpoint, last);
    }

    #[tokio::test]
    async fn broken_secrets_leave_an_endpoint_that_accepts_or_delivers_nothing() {
        let bench = Bench::new().await;
        let unverifiable = bench.insert(bench.endpoint().verification(VerificationScheme::Github, &[])).await;
        let damaged_key = vec![SigningSecret { key: "no key".into(), expires_at: None }];
        let unsignable = bench.insert(bench.endpoint().with(|endpoint| endpoint.secrets.signing = damaged_key)).await;
        bench.directory.refresh().await.unwrap();

        let active = bench.directory.get(unverifiable.id).unwrap();
        assert!(active.verifier.is_none() && active.signer.is_some());
        let active = bench.directory.get(unsignable.id).unwrap();
        assert!(active.verifier.is_some() && active.signer.is_none());
    }
}
