//! The hashes of a Merkle tree (RFC 6962, section 2.1; RFC 9162, section 2.1.1).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, of an inner node, of a whole tree. Its text is 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::LEN]);

/// The text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: 64 hexadecimal digits are expected")]
pub struct InvalidHash;

impl Hash {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; Hash::LEN]) -> Self {
        Hash(bytes)
    }

    /// From bytes that may be too few or too many.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Hash)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Hash::LEN] {
        &self.0
    }

    /// The first eight bytes as a number: what a store may index instead of the whole.
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * Hash::LEN];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = InvalidHash;

    /// Digits in upper case are refused: a hash has one text.
    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidHash);
        }
        let mut bytes = [0; Hash::LEN];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidHash)?;
        Ok(Hash(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The hash of a leaf: SHA-256 of `0x00` and its data.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(data).finalize().into())
}

/// The hash of an inner node: SHA-256 of `0x01` and its two children. The prefixes keep a node from passing as a leaf.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_text_of_a_hash_is_one_and_comes_back() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let hash: Hash = text.parse().unwrap();
        assert_eq!(hash, empty_root());
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.prefix(), 0xe3b0_c442_98fc_1c14);
        for wrong in ["", &text[1..], &text.to_uppercase(), &text.replace('e', "g"), &(text.to_string() + "00")] {
            assert_eq!(wrong.parse::<Hash>(), Err(InvalidHash), "{wrong}");
        }
    }

    /// The first leaves and the root of the tree of eight leaves behind Certificate Transparency's test data.
    #[test]
    fn a_tree_of_three_has_the_published_root() {
        let leaves = [leaf_hash(b""), leaf_hash(&[0x00]), leaf_hash(&[0x10])];
        let root = node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]);
        assert_eq!(root.to_string(), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
    }
}
