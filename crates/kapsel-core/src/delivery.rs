//! An event on its way to an endpoint: what identifies it, who may work on it, and where it stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{DeliveryId, EndpointId, EventId, InstanceId, TenantId};
use crate::time::Timestamp;

/// Names one delivery with everything it hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryRef {
    /// The delivery.
    pub id: DeliveryId,
    /// The event that is delivered.
    pub event_id: EventId,
    /// Where it is delivered to.
    pub endpoint_id: EndpointId,
    /// The owner.
    pub tenant_id: TenantId,
}

/// A random number that only the present holder of a lease knows: the fencing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub i64);

/// The right of one instance to work on a delivery until a point in time. What is written under a lease names its
/// token; when the token is no longer the stored one, nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub owner: InstanceId,
    /// What tells it from earlier and later leases of the same delivery.
    pub token: LeaseToken,
    /// When the delivery becomes due again for everybody.
    pub until: Timestamp,
}

/// Where one delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Stored, not tried yet, nobody is at it.
    Received,
    /// Tried or given back, waiting for its next attempt.
    Pending,
    /// An instance holds its lease.
    Delivering,
    /// The destination answered 2xx.
    Delivered,
    /// Given up; the reason says why.
    Failed,
    /// Never to be delivered; the reason says why.
    Discarded,
}

/// The state of an event with one delivery is the state of that delivery.
pub type EventStatus = DeliveryState;

impl DeliveryState {
    /// Every state, in the order of a life.
    pub const ALL: &'static [DeliveryState] = &[
        DeliveryState::Received,
        DeliveryState::Pending,
        DeliveryState::Delivering,
        DeliveryState::Delivered,
        DeliveryState::Failed,
        DeliveryState::Discarded,
    ];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Received => "received",
            DeliveryState::Pending => "pending",
            DeliveryState::Delivering => "delivering",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            DeliveryState::Discarded => "discarded",
        }
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Discarded)
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a delivery ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalReason {
    /// All attempts of the retry policy were made.
    AttemptsExhausted,
    /// The destination refused it with a status that is not retried.
    Refused,
    /// The endpoint was deleted while the delivery was waiting.
    EndpointDeleted,
    /// It was accepted while the store could not be asked, and its idempotency key turned out to be used already.
    Duplicate,
    /// Somebody had the event erased while the delivery was waiting.
    Erased,
}

impl FinalReason {
    /// Every reason.
    pub const ALL: &'static [FinalReason] = &[
        FinalReason::AttemptsExhausted,
        FinalReason::Refused,
        FinalReason::EndpointDeleted,
        FinalReason::Duplicate,
        FinalReason::Erased,
    ];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            FinalReason::AttemptsExhausted => "attempts_exhausted",
            FinalReason::Refused => "refused",
            FinalReason::EndpointDeleted => "endpoint_deleted",
            FinalReason::Duplicate => "duplicate",
            FinalReason::Erased => "erased",
        }
    }

    /// The state that this reason ends in.
    pub const fn state(self) -> DeliveryState {
        match self {
            FinalReason::AttemptsExhausted | FinalReason::Refused => DeliveryState::Failed,
            FinalReason::EndpointDeleted | FinalReason::Duplicate | FinalReason::Erased => DeliveryState::Discarded,
        }
    }
}

impl fmt::Display for FinalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no known state or reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown word {0:?}")]
pub struct UnknownWord(pub String);

impl FromStr for DeliveryState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = DeliveryState::ALL.iter().find(|state| state.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

impl FromStr for FinalReason {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = FinalReason::ALL.iter().find(|reason| reason.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_back() {
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse::<DeliveryState>().unwrap(), *state);
        }
        for reason in FinalReason::ALL {
            assert_eq!(reason.as_str().parse::<FinalReason>().unwrap(), *reason);
            assert!(reason.state().is_final());
        }
        assert!("done".parse::<DeliveryState>().is_err());
        assert!("because".parse::<FinalReason>().is_err());
    }
}
