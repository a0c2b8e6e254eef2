//! The endpoints of all tenants, ready for use in memory.
//!
//! Ingest and delivery look up an endpoint for every event; they do so here and not in the store. The directory reads
//! the store's changes: at start, after each change made by this process, regularly for what other instances do, and
//! when somebody asks for an endpoint that it does not know.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kapsel_core::signature::{OutboundSigner, Verifier};
use kapsel_core::{Endpoint, EndpointId, EndpointStatus, TenantId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admin::{AdminStore, ChangeSeq};
use crate::error::StoreError;
use crate::traffic::{EndpointTraffic, Traffic};

const PAGE: usize = 1_000;

/// Unknown ids make the directory read the changes at most this often, so that made-up ones do not become a load.
const MISS_PAUSE: Duration = Duration::from_millis(25);
/// Whoever asks for an unknown id waits at most so long. A store that takes longer is away.
const MISS_WAIT_MAX: Duration = Duration::from_secs(2);

/// An endpoint with its keys made ready.
pub struct ActiveEndpoint {
    /// The endpoint as stored.
    pub endpoint: Endpoint,
    /// Checks what comes in. `None` if the stored scheme and secrets do not fit together: such an endpoint accepts
    /// nothing.
    pub verifier: Option<Verifier>,
    /// Signs what goes out. `None` if a stored key is damaged: such an endpoint is not delivered to.
    pub signer: Option<OutboundSigner>,
    /// Counts what comes in and goes out. It outlives changes of the endpoint.
    pub traffic: Arc<EndpointTraffic>,
}

impl ActiveEndpoint {
    fn new(endpoint: Endpoint, traffic: Arc<EndpointTraffic>) -> Self {
        let verifier = Verifier::new(&endpoint.config.verification, &endpoint.secrets.verification);
        let signer = OutboundSigner::new(&endpoint.secrets.signing);
        if let Err(error) = &verifier {
            tracing::error!(endpoint_id = %endpoint.id, %error, "stored verification cannot be used");
        }
        if let Err(error) = &signer {
            tracing::error!(endpoint_id = %endpoint.id, %error, "stored signing key cannot be used");
        }
        ActiveEndpoint { endpoint, verifier: verifier.ok(), signer: signer.ok(), traffic }
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
    traffic: Arc<Traffic>,
    /// Held during a refresh, so that two of them cannot apply changes out of order.
    read_up_to: Mutex<ChangeSeq>,
    /// Refreshes that were begun because an id was unknown.
    misses_begun: AtomicU64,
    /// Held during such a refresh.
    misses: Mutex<Misses>,
}

/// The last refresh that was made because an id was unknown.
#[derive(Default)]
struct Misses {
    /// When it began.
    begun_at: Option<Instant>,
    /// The number of the last one that came to its end. One is left unfinished when who made it goes away.
    ended: u64,
    /// Whether the store answered that one.
    is_answered: bool,
}

impl EndpointDirectory {
    /// Reads all endpoints of the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(store: Arc<dyn AdminStore>) -> Result<Self, StoreError> {
        let directory = EndpointDirectory {
            store,
            endpoints: RwLock::default(),
            traffic: Arc::default(),
            read_up_to: Mutex::new(ChangeSeq::default()),
            misses_begun: AtomicU64::new(0),
            misses: Mutex::default(),
        };
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
                if change.is_unreadable {
                    tracing::error!(endpoint_id = %change.id, "a stored endpoint cannot be read; its former form is kept");
                    *read_up_to = change.seq;
                    continue;
                }
                let active = change.endpoint.map(|endpoint| {
                    let traffic = self.traffic_of(change.id, endpoint.tenant_id);
                    Arc::new(ActiveEndpoint::new(*endpoint, traffic))
                });
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

    /// The counters of an endpoint: those that it has, or new ones.
    fn traffic_of(&self, id: EndpointId, tenant_id: TenantId) -> Arc<EndpointTraffic> {
        let known = self.get(id).map(|active| Arc::clone(&active.traffic));
        known.unwrap_or_else(|| Arc::new(self.traffic.of_endpoint(id, tenant_id)))
    }

    /// How many endpoints a tenant has. Looks at all there are.
    pub fn count_of(&self, tenant_id: TenantId) -> usize {
        let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
        endpoints.values().filter(|active| active.endpoint.tenant_id == tenant_id).count()
    }

    /// What came in and went out so far.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The endpoint `id` as [`get`](Self::get) finds it. If it is unknown, the changes are read first: another instance
    /// may have made it a moment ago.
    ///
    /// # Errors
    /// Those of the store, or [`StoreError::Unavailable`], if it is unknown and the changes cannot be read: then nothing
    /// is known of it.
    pub async fn get_or_refresh(&self, id: EndpointId) -> Result<Option<Arc<ActiveEndpoint>>, StoreError> {
        if let Some(active) = self.get(id) {
            return Ok(Some(active));
        }
        let refreshed = tokio::time::timeout(MISS_WAIT_MAX, self.refresh_for_miss()).await;
        let refreshed = refreshed
            .unwrap_or_else(|error| Err(StoreError::unavailable("the endpoints were not read in time", error)));
        // It may have become known meanwhile, whatever became of this refresh.
        match (self.get(id), refreshed) {
            (Some(active), _) => Ok(Some(active)),
            (None, Ok(())) => Ok(None),
            (None, Err(error)) => Err(error),
        }
    }

    /// Waits for a refresh that began after this call. Whoever comes while one is awaited shares it.
    async fn refresh_for_miss(&self) -> Result<(), StoreError> {
        let begun_before = self.misses_begun.load(Ordering::SeqCst);
        let mut misses = self.misses.lock().await;
        if misses.ended > begun_before {
            return match misses.is_answered {
                true => Ok(()),
                false => Err(StoreError::Unavailable { message: "the endpoints could not be read", cause: None }),
            };
        }
        if let Some(begun_at) = misses.begun_at {
            tokio::time::sleep_until(begun_at + MISS_PAUSE).await;
        }
        misses.begun_at = Some(Instant::now());
        let number = self.misses_begun.fetch_add(1, Ordering::SeqCst) + 1;
        let result = self.refresh().await;
        (misses.ended, misses.is_answered) = (number, result.is_ok());
        result
    }

    /// The endpoint `id`, enabled or not; `None` if there is none or it was deleted.
    pub fn get(&self, id: EndpointId) -> Option<Arc<ActiveEndpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

#[cfg(test)]
mod tests;
