//! All tenants, ready for use in memory.
//!
//! Every webhook and every request to the API asks whether its tenant takes part and what it may use. The directory reads
//! the store's changes: at the start, after each change made by this process, regularly for what other instances do, and
//! when somebody asks for a tenant that it does not know.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kapsel_core::{Tenant, TenantId, TenantLimits};
use tokio::sync::Mutex;

use crate::admin::ChangeSeq;
use crate::error::{StoreError, with_sources};
use crate::tenant::TenantStore;

const PAGE: usize = 1_000;
/// How long after a refresh the next one comes: what one instance changes, the others know within about a second.
const PAUSE: Duration = Duration::from_secs(1);

/// A tenant with its limits worked out.
#[derive(Debug)]
pub struct ActiveTenant {
    /// The tenant as stored; deleted ones are told by their status.
    pub tenant: Tenant,
    /// The limits in force.
    pub limits: TenantLimits,
}

/// The tenants in memory.
pub struct TenantDirectory {
    store: Arc<dyn TenantStore>,
    tenants: RwLock<HashMap<TenantId, Arc<ActiveTenant>>>,
    /// Held during a refresh, so that two of them cannot apply changes out of order.
    read_up_to: Mutex<ChangeSeq>,
}

impl TenantDirectory {
    /// Reads all tenants of the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(store: Arc<dyn TenantStore>) -> Result<Self, StoreError> {
        let directory =
            TenantDirectory { store, tenants: RwLock::default(), read_up_to: Mutex::new(ChangeSeq::default()) };
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
            let changes = self.store.tenant_changes(*read_up_to, PAGE).await?;
            let is_last = changes.len() < PAGE;
            for change in changes {
                let active = ActiveTenant { limits: change.tenant.limits(), tenant: change.tenant };
                let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
                tenants.insert(active.tenant.id, Arc::new(active));
                *read_up_to = change.seq;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Refreshes regularly until `stopped` comes.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        let follow = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Err(error) = self.refresh().await {
                    tracing::warn!(error = with_sources(&error), "what others change at tenants is not seen");
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = stopped => {}
        }
    }

    /// The tenant `id`, whatever its status; `None` if there was never one, as far as is known here.
    pub fn get(&self, id: TenantId) -> Option<Arc<ActiveTenant>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The tenant `id` as [`get`](Self::get) finds it. If it is unknown, the changes are read first: another instance may
    /// have made it a moment ago.
    ///
    /// # Errors
    /// Those of the store, if it is unknown and the changes cannot be read.
    pub async fn get_or_refresh(&self, id: TenantId) -> Result<Option<Arc<ActiveTenant>>, StoreError> {
        if let Some(active) = self.get(id) {
            return Ok(Some(active));
        }
        self.refresh().await?;
        Ok(self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use kapsel_core::{Clock as _, TenantStatus, Tier};
    use test_harness::TestClock;

    use super::*;
    use crate::MemoryStore;

    #[tokio::test]
    async fn it_knows_what_the_store_knows_after_each_refresh() {
        let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
        let mut tenant = Tenant::default_at(clock.now());
        store.tenant_insert(tenant.clone()).await.unwrap();
        let directory = TenantDirectory::load(Arc::clone(&store) as Arc<dyn TenantStore>).await.unwrap();
        assert_eq!(directory.get(tenant.id).unwrap().tenant, tenant);

        tenant.config.tier = Tier::Free;
        tenant.version = 2;
        store.tenant_update_if_version(tenant.clone(), 1).await.unwrap();
        directory.refresh().await.unwrap();
        assert_eq!(directory.get(tenant.id).unwrap().limits, Tier::Free.limits());

        store.tenant_delete(tenant.id, clock.now()).await.unwrap();
        directory.refresh().await.unwrap();
        assert_eq!(directory.get(tenant.id).unwrap().tenant.status, TenantStatus::Deleted);
    }

    #[tokio::test]
    async fn whoever_asks_for_an_unknown_tenant_makes_it_look() {
        let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
        let directory = TenantDirectory::load(Arc::clone(&store) as Arc<dyn TenantStore>).await.unwrap();
        assert!(directory.get_or_refresh(TenantId::DEFAULT).await.unwrap().is_none());
        store.tenant_insert(Tenant::default_at(clock.now())).await.unwrap();
        assert!(directory.get(TenantId::DEFAULT).is_none());
        assert!(directory.get_or_refresh(TenantId::DEFAULT).await.unwrap().is_some());
        assert!(directory.get(TenantId::DEFAULT).is_some());
    }
}
