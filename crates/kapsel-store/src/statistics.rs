//! How many webhooks came in for an endpoint in each hour and what became of its attempts, added up as it happens. Nobody
//! who asks makes the store count anything.

use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::{EndpointId, TenantId, Timestamp};

use crate::error::StoreError;

/// How long figures are kept: as long as attempts are by default.
pub const STATISTICS_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How many expired rows go with each addition.
pub const STATISTICS_PRUNED: usize = 256;

/// An hour, counted from the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that `time` lies in.
    pub fn of(time: Timestamp) -> Self {
        Hour(time.unix_seconds().div_euclid(3_600))
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0 * 3_600)
    }
}

/// Figures of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Webhooks that became events.
    pub accepted: u64,
    /// Webhooks that repeated one.
    pub duplicates: u64,
    /// Webhooks that were refused.
    pub refused: u64,
    /// Attempts that were answered by 2xx.
    pub delivered: u64,
    /// Attempts that came to nothing.
    pub failed: u64,
}

impl std::ops::AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.failed += other.failed;
    }
}

/// What came to the figures of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsChange {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Which one.
    pub endpoint_id: EndpointId,
    /// How much.
    pub added: Statistics,
}

/// The store of figures.
#[async_trait]
pub trait StatisticsStore: Send + Sync {
    /// Adds to the figures of `hour`; each endpoint appears once. Figures that are older than [`STATISTICS_KEPT`] go, a few
    /// at a time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; whether it was added is unknown then.
    async fn statistics_add(&self, hour: Hour, changes: Vec<StatisticsChange>) -> Result<(), StoreError>;

    /// The figures of an endpoint from `from` on and before `until`, hour by hour. Hours in which nothing happened are left
    /// out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn statistics_list(
        &self,
        tenant_id: TenantId,
        endpoint_id: EndpointId,
        from: Hour,
        until: Hour,
    ) -> Result<Vec<(Hour, Statistics)>, StoreError>;
}

/// Implements [`StatisticsStore`] for a store in front of another one that has nothing to say about figures: every call
/// goes to the field named.
#[macro_export]
macro_rules! delegate_statistics_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::StatisticsStore for $store {
            async fn statistics_add(
                &self,
                hour: $crate::Hour,
                changes: Vec<$crate::StatisticsChange>,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.statistics_add(hour, changes).await
            }

            async fn statistics_list(
                &self,
                tenant_id: kapsel_core::TenantId,
                endpoint_id: kapsel_core::EndpointId,
                from: $crate::Hour,
                until: $crate::Hour,
            ) -> Result<Vec<($crate::Hour, $crate::Statistics)>, $crate::StoreError> {
                self.$inner.statistics_list(tenant_id, endpoint_id, from, until).await
            }
        }
    };
}

/// The hour before which figures have expired at `hour`.
pub fn expired_before(hour: Hour) -> Hour {
    Hour::of(hour.begin() - STATISTICS_KEPT)
}
