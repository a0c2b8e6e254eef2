//! Showing what a leaf only commits to: the value and the salt that the commitment was made of.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::hex_text;
use crate::leaf::{Commitments, commitment};

/// Salts have at least this many bytes: shorter ones could be guessed, and the value with them.
pub const SALT_BYTES_MIN: usize = 16;
/// Salts have at most this many bytes, which is the block of SHA-256: HMAC takes the hash of a longer key (RFC 2104,
/// section 2), so that two keys would give the same.
pub const SALT_BYTES_MAX: usize = 64;

/// The openings of one leaf. Each may be missing; others than these are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openings {
    /// Of the URL that the request went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Opening>,
    /// Of the SHA-256 of the delivered body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<Opening>,
    /// Of the SHA-256 of what was kept of the response body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_sha256: Option<Opening>,
}

/// One value with its salt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The value, as it was committed to: a URL, or a hash in lower-case hexadecimal digits.
    pub value: String,
    /// The salt.
    #[serde(with = "hex_text::bytes")]
    pub salt: Vec<u8>,
}

/// What the openings of a leaf showed, once they were found to be true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The URL that the request went to.
    pub url: Option<String>,
    /// The SHA-256 of the delivered body.
    pub payload_sha256: Option<Hash>,
    /// The SHA-256 of what was kept of the response body.
    pub response_sha256: Option<Hash>,
}

/// Why an opening is not one of this leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// The commitment in the leaf is to another value, or under another salt.
    #[error("the leaf does not commit to the {field} that is shown")]
    Mismatch {
        /// The name of the field.
        field: &'static str,
    },
    /// The leaf commits to no such value.
    #[error("the leaf has no commitment to {field}")]
    NotCommitted {
        /// The name of the field.
        field: &'static str,
    },
    /// The salt is too short or too long.
    #[error("the salt of {field} has {length} bytes; {SALT_BYTES_MIN} to {SALT_BYTES_MAX} are allowed")]
    Salt {
        /// The name of the field.
        field: &'static str,
        /// The length of the salt in bytes.
        length: usize,
    },
    /// The value is not a hash where one was committed to.
    #[error("the {field} that is shown is not a hash")]
    NotAHash {
        /// The name of the field.
        field: &'static str,
    },
}

impl Openings {
    /// Whether nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.url.is_none() && self.payload_sha256.is_none() && self.response_sha256.is_none()
    }

    /// Checks each opening that is there against the commitments of the leaf, and gives the values.
    ///
    /// # Errors
    /// [`OpeningError`] of the first that does not match.
    pub fn verify(&self, commitments: &Commitments) -> Result<Opened, OpeningError> {
        let url = match &self.url {
            Some(opening) => Some(opening.verify("url", Some(&commitments.url))?),
            None => None,
        };
        let hash = |field, opening: &Option<Opening>, commitment: Option<&Hash>| match opening {
            Some(opening) => {
                let value = opening.verify(field, commitment)?;
                value.parse().map(Some).map_err(|_| OpeningError::NotAHash { field })
            }
            None => Ok(None),
        };
        Ok(Opened {
            url,
            payload_sha256: hash("payload_sha256", &self.payload_sha256, Some(&commitments.payload_sha256))?,
            response_sha256: hash("response_sha256", &self.response_sha256, commitments.response_sha256.as_ref())?,
        })
    }
}

impl Opening {
    fn verify(&self, field: &'static str, committed: Option<&Hash>) -> Result<String, OpeningError> {
        let committed = committed.ok_or(OpeningError::NotCommitted { field })?;
        let length = self.salt.len();
        if !(SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&length) {
            return Err(OpeningError::Salt { field, length });
        }
        if commitment(&self.salt, self.value.as_bytes()) != *committed {
            return Err(OpeningError::Mismatch { field });
        }
        Ok(self.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::hash::leaf_hash;

    fn opening(value: &str, salt: &[u8]) -> Option<Opening> {
        Some(Opening { value: value.into(), salt: salt.into() })
    }

    #[test]
    fn each_opening_matches_its_own_commitment_only() {
        let (salt, other) = ([1; 32], [2; 32]);
        let hash = leaf_hash(b"body").to_string();
        let commitments = Commitments {
            payload_sha256: commitment(&other, hash.as_bytes()),
            response_sha256: None,
            url: commitment(&salt, b"https://example.com/"),
        };
        let verify = |openings: Openings| openings.verify(&commitments);
        let all = Openings {
            url: opening("https://example.com/", &salt),
            payload_sha256: opening(&hash, &other),
            response_sha256: None,
        };
        let opened = verify(all.clone()).unwrap();
        assert_eq!(opened.url.as_deref(), Some("https://example.com/"));
        assert_eq!(opened.payload_sha256, Some(leaf_hash(b"body")));
        assert_eq!(verify(Openings::default()), Ok(Opened::default()));

        let mismatch = |field| Err(OpeningError::Mismatch { field });
        assert_eq!(verify(Openings { url: opening("https://example.org/", &salt), ..all.clone() }), mismatch("url"));
        assert_eq!(verify(Openings { url: opening("https://example.com/", &other), ..all.clone() }), mismatch("url"));
        assert_eq!(
            verify(Openings { payload_sha256: opening(&hash, &salt), ..all.clone() }),
            mismatch("payload_sha256")
        );
        assert_eq!(
            verify(Openings { response_sha256: opening(&hash, &salt), ..all }),
            Err(OpeningError::NotCommitted { field: "response_sha256" })
        );
    }

    /// HMAC fills a short key with zeros and hashes a long one: other salts would show the same value.
    #[test]
    fn salts_of_unusual_length_are_refused() {
        for length in [0, 15, 65] {
            let salt = alloc::vec![7; length];
            let commitments =
                Commitments { payload_sha256: leaf_hash(b""), response_sha256: None, url: commitment(&salt, b"u") };
            let openings = Openings { url: opening("u", &salt), ..Openings::default() };
            assert_eq!(openings.verify(&commitments), Err(OpeningError::Salt { field: "url", length }));
        }
    }

    #[test]
    fn what_should_be_a_hash_is_one() {
        let commitments = Commitments {
            payload_sha256: commitment(&[1; 16], b"not a hash"),
            response_sha256: None,
            url: leaf_hash(b""),
        };
        let openings = Openings { payload_sha256: opening("not a hash", &[1; 16]), ..Openings::default() };
        assert_eq!(openings.verify(&commitments), Err(OpeningError::NotAHash { field: "payload_sha256" }));
    }

    #[test]
    fn unknown_openings_are_refused() {
        let parse = |json: &str| serde_json::from_str::<Openings>(json);
        assert!(parse(r#"{"url":null}"#).unwrap().is_empty());
        assert!(parse(r#"{"headers":{"value":"","salt":""}}"#).is_err());
        assert!(parse(r#"{"url":{"value":"","salt":"","more":1}}"#).is_err());
        assert!(parse(r#"{"url":{"value":"","salt":"0A"}}"#).is_err());
        assert!(parse(r#"{"url":null,"url":null}"#).is_err());
    }
}
