//! The storage contract of Kapsel: what an engine must be able to do, in which units, and with which errors.
//!
//! **Is:** traits cut by who uses them, [`IngestStore`], [`DeliveryStore`], [`CircuitStore`], [`AdminStore`],
//! [`TenantStore`], [`ReplayStore`], [`RetentionStore`], [`ErasureStore`], [`ReplyStore`], [`StatisticsStore`],
//! [`AttestationStore`] and their sum
//! [`Store`]; the values that go in and come out; the [`EndpointDirectory`] and the
//! [`TenantDirectory`] that keep endpoints and tenants ready in memory;
//! the [`Handoff`] through which a freshly stored delivery reaches the local dispatcher; the local [`spool`] in front of
//! a store that can be away; what is counted of each endpoint ([`traffic`]); the in-memory engine; and the contract suite that every engine passes (`contract`, behind
//! the feature `contract-suite`).
//!
//! **Is not:** it names no SQL type and no driver, opens no file and no socket, and reads no clock: `now` is always a
//! parameter.
//!
//! Read first: [`ingest`] and [`delivery`].

pub mod admin;
pub mod attestation;
pub mod circuit;
#[cfg(any(test, feature = "contract-suite"))]
pub mod contract;
pub mod delivery;
pub mod directory;
pub mod erasure;
pub mod error;
pub mod handoff;
pub mod ingest;
pub mod memory;
pub mod pool_use;
pub mod replay;
pub mod reply;
pub mod retention;
pub mod schema;
pub mod sealing;
pub mod spool;
pub mod standing;
pub mod statistics;
pub mod tenant;
pub mod tenant_directory;
pub mod traffic;

pub use admin::{
    AdminStore, Candidates, ChangeSeq, DeliveryDetail, EndpointChange, EventDetail, EventFilter, EventSummary,
    QueueUsage, StatusSet,
};
pub use attestation::AttestationStore;
pub use circuit::{CircuitStore, StoredCircuit};
pub use delivery::{
    ClaimRequest, ClaimedDelivery, DeliveryStore, Lane, LaneQuota, LaneScan, QueueLook, Settled, Settlement,
};
pub use directory::{ActiveEndpoint, EndpointDirectory};
pub use erasure::{DueErasures, Erasure, ErasureLook, ErasureStep, ErasureStore, ErasureSubject};
pub use error::StoreError;
pub use handoff::{Handoff, Slot};
pub use ingest::{IngestStore, Ingested, NewDelivery, NewEvent};
pub use memory::MemoryStore;
pub use pool_use::PoolUse;
pub use replay::{
    DueReplays, EventRange, Replay, ReplayCount, ReplayFilter, ReplayPage, ReplayScan, ReplayStep, ReplayStore,
};
pub use reply::{KeptReply, ReplyClaim, ReplyState, ReplyStore};
pub use retention::{RetainedKind, Retention, RetentionPage, RetentionStep, RetentionStore};
pub use spool::{SpoolDrain, SpoolGauge, SpoolSettings, SpoolState, SpoolStatus, SpoolStore, SpooledStore};
pub use statistics::{Hour, Statistics, StatisticsChange, StatisticsStore};
pub use tenant::{TenantChange, TenantStore};
pub use tenant_directory::{ActiveTenant, TenantDirectory};
pub use traffic::{EndpointTraffic, IngestResult, Traffic, TrafficCount};

/// Everything that an engine does.
pub trait Store:
    IngestStore
    + DeliveryStore
    + CircuitStore
    + AdminStore
    + TenantStore
    + ReplayStore
    + ReplyStore
    + StatisticsStore
    + RetentionStore
    + ErasureStore
    + AttestationStore
{
}

impl<T> Store for T where
    T: IngestStore
        + DeliveryStore
        + CircuitStore
        + AdminStore
        + TenantStore
        + ReplayStore
        + ReplyStore
        + StatisticsStore
        + RetentionStore
        + ErasureStore
        + AttestationStore
{
}
