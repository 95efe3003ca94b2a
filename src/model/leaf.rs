//! Keys, digests and the leaves they make.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Timestamp;

/// What identifies one item within its store: the canonical encoding of its key value.
///
/// The bytes are decodable ([`crate::digest::key_value`]); they order and hash the same on every machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Wraps canonical key bytes, as made by [`crate::digest::key_of`].
    pub fn from_canonical(bytes: impl Into<Box<[u8]>>) -> Key {
        Key(bytes.into())
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    /// A short fingerprint: keys may hold personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", &blake3::hash(&self.0).to_hex()[..8])
    }
}

/// A 32-byte BLAKE3 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of 64 hexadecimal digits")]
pub struct DigestError;

impl Digest {
    /// The digest as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", &hex::encode(self.0)[..8])
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One item as the comparison sees it: its key, its digest, and what the store tells for free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What identifies the item.
    pub key: Key,
    /// The digest of its canonical contents.
    pub digest: Digest,
    /// Its size in bytes, as the store counts it.
    pub size: u64,
    /// When it last changed, where the store has such a time; never used to decide equality.
    pub modified_at: Option<Timestamp>,
}

impl Leaf {
    /// What leaves are made of where a database hashed its rows itself.
    pub const BY_SERVER: &str = "server";
}
