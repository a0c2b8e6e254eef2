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
