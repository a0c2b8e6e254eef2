//! An attempt as it goes into the log.
//!
//! What a leaf looks like is said by [`kapsel_verification::leaf`], because verifiers read it. Here stands how one is made:
//! which outcome has which class, and where the salts of its commitments come from.

use std::fmt;

use bytes::Bytes;
use kapsel_verification::leaf::NUMBER_MAX;
use kapsel_verification::{AttemptLeaf, Commitments, Hash, commitment, leaf_hash};
use sha2::{Digest, Sha256};

use crate::attempt::Attempt;
use crate::ids::LogId;

/// How many random bytes a leaf is made with.
pub const RANDOM_BYTES: usize = NONCE_BYTES + LeafSecret::LEN;
const NONCE_BYTES: usize = 16;

/// The leaf of one attempt: what is stored together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The log that it is for.
    pub log_id: LogId,
    /// Its exact bytes.
    pub data: Bytes,
    /// Its hash in the tree.
    pub hash: Hash,
    /// Where the salts of its commitments come from. Not part of the log: without it they cannot be opened.
    pub secret: LeafSecret,
}

/// The secret behind the commitments of one leaf. Each field has a salt of its own that follows from it, so one field can
/// be shown without another; once it is gone, none can.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafSecret([u8; LeafSecret::LEN]);

/// What a leaf commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafField {
    /// The URL that the request went to.
    Url,
    /// The SHA-256 of the delivered body.
    PayloadSha256,
    /// The SHA-256 of what was kept of the response body.
    ResponseSha256,
}

impl LeafField {
    /// Its name in a proof package.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeafField::Url => "url",
            LeafField::PayloadSha256 => "payload_sha256",
            LeafField::ResponseSha256 => "response_sha256",
        }
    }
}

impl LeafSecret {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// From stored or random bytes.
    pub const fn from_bytes(bytes: [u8; LeafSecret::LEN]) -> Self {
        LeafSecret(bytes)
    }

    /// The bytes that are stored.
    pub const fn as_bytes(&self) -> &[u8; LeafSecret::LEN] {
        &self.0
    }

    /// The salt of one field: HMAC-SHA256 of its name under the secret.
    pub fn salt(&self, field: LeafField) -> [u8; 32] {
        *commitment(&self.0, field.as_str().as_bytes()).as_bytes()
    }

    fn commit(&self, field: LeafField, value: &str) -> Hash {
        commitment(&self.salt(field), value.as_bytes())
    }
}

impl fmt::Debug for LeafSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafSecret(…)")
    }
}

impl Leaf {
    /// The leaf of an attempt to deliver a body with this SHA-256. `random` is fit for keys.
    pub fn of_attempt(attempt: &Attempt, payload_sha256: &[u8; 32], log_id: LogId, random: [u8; RANDOM_BYTES]) -> Self {
        let (nonce, secret) = random.split_at(NONCE_BYTES);
        let mut secret_bytes = [0; LeafSecret::LEN];
        secret_bytes.copy_from_slice(secret);
        let secret = LeafSecret(secret_bytes);
        let response = attempt.outcome.head().map(|head| response_sha256(&head.body));
        let data: Bytes = AttemptLeaf {
            attempt_id: attempt.id.to_string(),
            attempt_number: attempt.number,
            commitments: Commitments {
                payload_sha256: secret.commit(LeafField::PayloadSha256, &hex::encode(payload_sha256)),
                response_sha256: response.map(|value| secret.commit(LeafField::ResponseSha256, &value)),
                url: secret.commit(LeafField::Url, &attempt.url),
            },
            delivery_id: attempt.delivery.id.to_string(),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(NUMBER_MAX).min(NUMBER_MAX),
            endpoint_id: attempt.delivery.endpoint_id.to_string(),
            event_id: attempt.delivery.event_id.to_string(),
            http_status: attempt.outcome.status(),
            log_id: log_id.to_string(),
            nonce: hex::encode(nonce),
            outcome: attempt.outcome.class().as_str().to_owned(),
            started_at: attempt.started_at.to_string(),
            tenant_id: attempt.delivery.tenant_id.to_string(),
            v: kapsel_verification::leaf::LEAF_VERSION,
        }
        .to_canonical()
        .into();
        Leaf { log_id, hash: leaf_hash(&data), data, secret }
    }
}

/// The value that a leaf commits to for a response body.
pub fn response_sha256(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::attempt::{FailureKind, Outcome, ResponseHead};
    use crate::delivery::DeliveryRef;
    use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, TenantId};
    use crate::time::Timestamp;

    fn attempt(outcome: Outcome) -> Attempt {
        let delivery = DeliveryRef {
            id: DeliveryId::MIN,
            event_id: EventId::MIN,
            endpoint_id: EndpointId::MIN,
            tenant_id: TenantId::DEFAULT,
        };
        Attempt {
            id: AttemptId::MAX,
            delivery,
            number: 3,
            url: "https://example.com/hook".to_owned(),
            started_at: Timestamp::from_unix_millis(1_767_225_600_123),
            duration: Duration::from_micros(37_900),
            outcome,
        }
    }

    fn answer(status: u16) -> Outcome {
        Outcome::Response(ResponseHead { status, body: Bytes::from_static(b"ok"), ..ResponseHead::default() })
    }

    #[test]
    fn a_leaf_says_what_happened_and_opens_with_its_salts() {
        let payload = [7; 32];
        let leaf = Leaf::of_attempt(&attempt(answer(204)), &payload, LogId::MIN, [9; RANDOM_BYTES]);
        let read = AttemptLeaf::from_canonical(&leaf.data).unwrap();
        assert_eq!(leaf.hash, leaf_hash(&leaf.data));
        assert_eq!((read.attempt_number, read.duration_ms, read.http_status), (3, 37, Some(204)));
        assert_eq!(read.outcome, AttemptLeaf::DELIVERED);
        assert_eq!(read.started_at, "2026-01-01T00:00:00.123Z");
        assert_eq!(read.nonce, "09".repeat(16));
        let url = commitment(&leaf.secret.salt(LeafField::Url), b"https://example.com/hook");
        assert_eq!(read.commitments.url, url);
        let body = commitment(&leaf.secret.salt(LeafField::PayloadSha256), hex::encode(payload).as_bytes());
        assert_eq!(read.commitments.payload_sha256, body);
        let response = commitment(&leaf.secret.salt(LeafField::ResponseSha256), response_sha256(b"ok").as_bytes());
        assert_eq!(read.commitments.response_sha256, Some(response));
    }

    #[test]
    fn equal_values_are_not_seen_to_be_equal() {
        let attempt = attempt(answer(200));
        let one = Leaf::of_attempt(&attempt, &[0; 32], LogId::MIN, [1; RANDOM_BYTES]);
        let other = Leaf::of_attempt(&attempt, &[0; 32], LogId::MIN, [2; RANDOM_BYTES]);
        let [one, other] = [one, other].map(|leaf| AttemptLeaf::from_canonical(&leaf.data).unwrap());
        assert_ne!(one.commitments.url, other.commitments.url);
        assert_ne!(one.commitments.payload_sha256, other.commitments.payload_sha256);
        assert!(!format!("{:?}", LeafSecret::from_bytes([0x5a; 32])).contains("5a"));
    }

    #[test]
    fn only_a_whole_answer_of_2xx_is_called_delivered() {
        for status in 0..1_000 {
            let is_delivered = answer(status).class().as_str() == AttemptLeaf::DELIVERED;
            assert_eq!(is_delivered, (200..300).contains(&status), "{status}");
        }
        for kind in FailureKind::ALL.iter().copied() {
            let head = Some(ResponseHead { status: 200, ..ResponseHead::default() });
            let class = Outcome::Failure { kind, detail: String::new(), head }.class().as_str();
            assert_eq!(class, kind.as_str());
            assert_ne!(class, AttemptLeaf::DELIVERED);
        }
    }

    #[test]
    fn a_leaf_stays_far_below_its_limit() {
        let outcome = Outcome::Failure { kind: FailureKind::Connection, detail: "x".repeat(100_000), head: None };
        let mut attempt = attempt(outcome);
        attempt.url = format!("https://example.com/{}", "x".repeat(100_000));
        let leaf = Leaf::of_attempt(&attempt, &[0; 32], LogId::MAX, [0; RANDOM_BYTES]);
        assert!(leaf.data.len() < 1_000, "{}", leaf.data.len());
    }
}
