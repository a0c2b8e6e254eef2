//! Identifiers: UUIDv7 shown in the TypeID form, `prefix_` + 26 characters of Crockford base32.
//!
//! One newtype per thing, so that ids cannot be confused at compile time. Sortable by time, also as text; no `.`
//! inside, as Standard Webhooks demands of a `webhook-id`. Source of the form: TypeID specification 0.3, RFC 9562.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::entropy::Entropy;
use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LEN: usize = 26;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ followed by 26 characters of base32")]
pub struct InvalidId {
    /// The prefix that was expected, without the underscore.
    pub prefix: &'static str,
}

fn encode(uuid: Uuid, out: &mut [u8; SUFFIX_LEN]) {
    let mut value = uuid.as_u128();
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
}

fn decode(suffix: &str) -> Option<Uuid> {
    let bytes = suffix.as_bytes();
    // 26 characters carry 130 bits: the first one may use three of its five.
    if bytes.len() != SUFFIX_LEN || bytes[0] > b'7' {
        return None;
    }
    let mut value: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|candidate| candidate == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(Uuid::from_u128(value))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;
            /// The smallest id: the lower end of every range.
            pub const MIN: $name = $name(Uuid::nil());
            /// The largest id: the upper end of every range.
            pub const MAX: $name = $name(Uuid::max());

            /// From the 16 bytes that are stored.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                $name(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes that are stored. They sort as the text does.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The largest id below this one; the smallest has none and stays.
            #[must_use]
            pub const fn predecessor(self) -> Self {
                $name(Uuid::from_u128(self.0.as_u128().saturating_sub(1)))
            }

            /// The smallest id above this one; the largest has none and stays.
            #[must_use]
            pub const fn successor(self) -> Self {
                $name(Uuid::from_u128(self.0.as_u128().saturating_add(1)))
            }

            /// The smallest id that could have been made at `time`: where a range by time begins.
            pub fn lower_bound(time: Timestamp) -> Self {
                let millis = u64::try_from(time.unix_millis()).unwrap_or(0);
                let fraction = u64::try_from(time.unix_micros().rem_euclid(1_000)).unwrap_or(0) * 4_096 / 1_000;
                let high = u128::from(millis & 0xffff_ffff_ffff) << 80;
                $name(Uuid::from_u128(high | (0x7000 | u128::from(fraction)) << 64 | 0x8000_0000_0000_0000))
            }

            /// When it was made, to the millisecond.
            pub fn made_at(&self) -> Timestamp {
                // 48 bits fit into any of these numbers.
                Timestamp::from_unix_millis(i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX))
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                $name(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut suffix = [0; SUFFIX_LEN];
                encode(self.0, &mut suffix);
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&suffix).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map($name)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The owner of endpoints, events and everything below them.
    TenantId, "ten"
);
id!(
    /// A destination with its policies; also names the ingest URL `/ingest/{endpoint_id}`.
    EndpointId, "ep"
);
id!(
    /// An ingest URL that fans out to several endpoints.
    SourceId, "src"
);
id!(
    /// One accepted webhook. It is also the `webhook-id` that the destination sees.
    EventId, "evt"
);
id!(
    /// One event on its way to one endpoint.
    DeliveryId, "dlv"
);
id!(
    /// One HTTP request of a delivery.
    AttemptId, "da"
);
id!(
    /// One running Kapsel process.
    InstanceId, "ins"
);
id!(
    /// One job that queues many events anew.
    ReplayId, "rpl"
);
id!(
    /// One job that erases what events held.
    ErasureId, "ers"
);
id!(
    /// One append-only log of attempts.
    LogId, "log"
);
id!(
    /// One key of the management API.
    ApiKeyId, "key"
);
id!(
    /// One HTTP request to the API, as named in errors and logs.
    RequestId, "req"
);

impl TenantId {
    /// The tenant that exists from the start and owns everything until others are created.
    pub const DEFAULT: TenantId = TenantId::MIN;
}

/// Makes UUIDv7 ids: 48 bits of milliseconds, 12 bits of fractions of a millisecond, 62 random bits.
///
/// Ids of one generator strictly grow, also when the clock stands still or steps back (RFC 9562, section 6.2,
/// method 3): the time part is then counted on from the last one.
pub struct IdGenerator {
    entropy: Arc<dyn Entropy>,
    last_ticks: AtomicU64,
}

impl IdGenerator {
    /// A generator that takes its random bits from `entropy`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        IdGenerator { entropy, last_ticks: AtomicU64::new(0) }
    }

    /// The next id; its time is `now` or, where that is not later than the last id's, just behind the last one.
    pub fn next<I: From<Uuid>>(&self, now: Timestamp) -> I {
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        let fraction = u64::try_from(now.unix_micros().rem_euclid(1_000)).unwrap_or(0) * 4_096 / 1_000;
        let wanted = (millis << 12) | fraction;
        let advance = |last: u64| wanted.max(last + 1);
        let last = self.last_ticks.update(Ordering::Relaxed, Ordering::Relaxed, advance);
        let ticks = advance(last);

        let high = u128::from(ticks >> 12) << 80 | (0x7000 | u128::from(ticks & 0xfff)) << 64;
        let low = 0x8000_0000_0000_0000 | (self.entropy.next_u64() >> 2);
        I::from(Uuid::from_u128(high | u128::from(low)))
    }
}

impl fmt::Debug for IdGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdGenerator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn matches_the_typeid_specification() {
        // Valid cases of the TypeID specification.
        let cases = [
            ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000"),
            ("00000000-0000-0000-0000-000000000001", "00000000000000000000000001"),
            ("00000000-0000-0000-0000-000000000010", "0000000000000000000000000g"),
            ("00000000-0000-0000-0000-000000000020", "00000000000000000000000010"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            ("0110c853-1d09-52d8-d73e-1194e95b5f19", "0123456789abcdefghjkmnpqrs"),
            ("01890a5d-ac96-774b-bcce-b302099a8057", "01h455vb4pex5vsknk084sn02q"),
        ];
        for (uuid, suffix) in cases {
            let id = EventId::from(Uuid::parse_str(uuid).unwrap());
            assert_eq!(id.to_string(), format!("evt_{suffix}"));
            assert_eq!(format!("evt_{suffix}").parse::<EventId>().unwrap(), id);
        }
    }

    #[test]
    fn refuses_what_is_not_an_id_of_its_kind() {
        let refused = [
            "",
            "evt_",
            "01h455vb4pex5vsknk084sn02q",
            "ep_01h455vb4pex5vsknk084sn02q",
            "evt_01h455vb4pex5vsknk084sn02",
            "evt_01h455vb4pex5vsknk084sn02qq",
            "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "evt_01H455VB4PEX5VSKNK084SN02Q",
            "evt_01h455vb4pex5vsknk084sn02u",
            "evt_01h455vb4pex5vsknk084sn0é",
        ];
        for text in refused {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn grows_when_the_clock_stands_still_or_steps_back() {
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let now = Timestamp::from_unix_millis(1_700_000_000_000);
        let mut last: EventId = ids.next(now);
        for step in 0..10_000_i64 {
            let next: EventId = ids.next(Timestamp::from_unix_micros(now.unix_micros() - step));
            assert!(next > last, "{next} after {last}");
            assert!(next.to_string() > last.to_string());
            last = next;
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_round_trip(bytes in any::<[u8; 16]>()) {
            let id = DeliveryId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<DeliveryId>().unwrap(), id);
            prop_assert_eq!(DeliveryId::from_bytes(*id.as_bytes()), id);
        }

        #[test]
        fn lower_bound_is_below_every_id_of_its_time(micros in 0_i64..4_000_000_000_000_000) {
            let ids = IdGenerator::new(Arc::new(SystemEntropy));
            let time = Timestamp::from_unix_micros(micros);
            let id: EventId = ids.next(time);
            prop_assert!(EventId::lower_bound(time) <= id);
            prop_assert_eq!(id.made_at().unix_millis(), time.unix_millis());
            let later = Timestamp::from_unix_micros(micros + 1_000);
            prop_assert!(EventId::lower_bound(later) > id);
        }

        #[test]
        fn is_a_version_7_uuid(micros in 0_i64..4_000_000_000_000_000) {
            let ids = IdGenerator::new(Arc::new(SystemEntropy));
            let id: EventId = ids.next(Timestamp::from_unix_micros(micros));
            let uuid = Uuid::from_bytes(*id.as_bytes());
            prop_assert_eq!(uuid.get_version_num(), 7);
            prop_assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        }
    }
}
