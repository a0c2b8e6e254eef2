//! The pure domain of Kapsel: what an event, an endpoint, a delivery and an attempt are, and every rule that decides
//! something about them.
//!
//! **Is:** values and pure functions. Retry delays, `Retry-After`, the settlement of an attempt, circuit breakers, rate
//! limits, signature schemes in and out, idempotency keys, header rules, traces, the destination address policy, tenants
//! with their limits, keys of the API, sealing of secrets, error codes. Time and chance come in
//! through the [`Clock`] and [`Entropy`] ports; their system implementations in [`time`] and [`entropy`] are the only
//! places of the product that touch the system clock and the random number generator.
//!
//! **Is not:** it does no IO, knows no async runtime, no database, no HTTP library and no HTTP status of an API answer.
//!
//! Read first: [`event`] and [`settlement`].

pub mod api_key;
pub mod attempt;
pub mod circuit;
pub mod delivery;
pub mod destination;
pub mod endpoint;
pub mod entropy;
pub mod erasure;
pub mod error_code;
pub mod event;
pub mod headers;
pub mod idempotency;
pub mod ids;
pub mod leaf;
pub mod rate_limit;
pub mod replay;
pub mod retry;
pub mod retry_after;
pub mod seal;
pub mod settlement;
pub mod signature;
pub mod tenant;
pub mod time;
pub mod trace;

pub use api_key::{ApiKey, KeyPrefix, KeySecret, Scope, Scopes};
pub use attempt::{Attempt, FailureKind, Outcome, OutcomeClass, ResponseHead};
pub use circuit::{Circuit, CircuitPolicy, CircuitState};
pub use delivery::{DeliveryRef, DeliveryState, EventStatus, FinalReason, Lease, LeaseToken};
pub use destination::{AddressPolicy, BlockedAddress, DestinationUrl};
pub use endpoint::{Endpoint, EndpointConfig, EndpointSecrets, EndpointStatus};
pub use entropy::{Entropy, SystemEntropy};
pub use erasure::{ErasureState, Requester};
pub use error_code::ErrorCode;
pub use event::Event;
pub use headers::HeaderBlock;
pub use ids::{
    ApiKeyId, AttemptId, DeliveryId, EndpointId, ErasureId, EventId, IdGenerator, InstanceId, LogId, ReplayId,
    SourceId, TenantId,
};
pub use leaf::{Leaf, LeafField, LeafSecret};
pub use rate_limit::RateLimit;
pub use replay::{Pace, ReplayCommand, ReplayState};
pub use retry::RetryPolicy;
pub use seal::{MasterKey, SealContext, Sealer};
pub use tenant::{Tenant, TenantConfig, TenantLimits, TenantStatus, Tier};
pub use time::{Clock, SystemClock, Timestamp};
pub use trace::{EventTrace, Tracer};
