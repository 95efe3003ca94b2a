//! The delta, one line an item, and the counts of verdicts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{BaseState, Replication};
use crate::digest::key_json;
use crate::model::{Change, Digest, Key, Side, StoreId, StoreKind, Timestamp, Verdict};

/// One line of a delta file; its first seven fields are the command-line contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeltaLine {
    /// The store's name.
    pub store: StoreId,
    /// The key as a JSON object.
    pub key: Json,
    /// The verdict.
    pub verdict: Verdict,
    /// What following dr would do on the primary.
    pub change: Change,
    /// The primary's digest.
    pub primary: Option<Digest>,
    /// dr's digest.
    pub dr: Option<Digest>,
    /// The base's digest, `null` where it has no such item, `"unknown"` without a base.
    #[serde(with = "base_word")]
    pub base: BaseState,
    /// The canonical key bytes in hexadecimal, from which [`DeltaLine::canonical_key`] is read back.
    pub canonical_key: String,
    /// Size of dr's item in bytes, or of the primary's where dr has none.
    pub bytes: u64,
    /// Whether the base proves that the primary is what it was.
    pub primary_untouched: bool,
    /// Which side is newer by the declared attribute, where there is one and both have it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newer: Option<Side>,
    /// When the item last changed on the side that changed it, where the store or its declared attribute tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed_at: Option<Timestamp>,
    /// Why the store asks to leave this item to a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<String>,
    /// Why the store asks to leave it to a person, should the primary's item be deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold_delete: Option<String>,
    /// How far replication between the sides came with the item, where the store tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replication: Option<Replication>,
    /// Why a person should look before dr is followed, though the store could write the item.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<String>,
    /// Whether dr's change log proves that its time to live removed what the primary still holds.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub expiry_proved: bool,
    /// Whether both sides mean the same and only spell it otherwise, as 1.0 and 1.00.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub spelling: bool,
    /// The order among containers: parents before children.
    #[serde(default)]
    pub rank: u32,
}

/// A delta line whose key is not what it says.
#[derive(Debug, thiserror::Error)]
#[error("the canonical key of a delta line is not hexadecimal")]
pub struct DeltaError;

impl DeltaLine {
    /// The key behind the line.
    ///
    /// # Errors
    ///
    /// [`DeltaError`] when the file was damaged.
    pub fn key(&self) -> Result<Key, DeltaError> {
        hex::decode(&self.canonical_key).map(Key::from_canonical).map_err(|_| DeltaError)
    }

    /// The two ways a line shows a key.
    pub fn key_fields(kind: StoreKind, key: &Key) -> (Json, String) {
        (key_json(kind, key), hex::encode(key.as_bytes()))
    }
}

/// Verdict counts of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerdictCounts(BTreeMap<Verdict, u64>);

impl VerdictCounts {
    /// The number of items with a verdict.
    pub fn get(&self, verdict: Verdict) -> u64 {
        self.0.get(&verdict).copied().unwrap_or(0)
    }

    /// Counts `items` more.
    pub fn add(&mut self, verdict: Verdict, items: u64) {
        *self.0.entry(verdict).or_default() += items;
    }

    /// Items that differ between the sides.
    pub fn differing(&self) -> u64 {
        self.0.iter().filter(|(verdict, _)| verdict.is_difference()).map(|(_, items)| items).sum()
    }

    /// Every verdict's word and number, in reporting order, zeros included.
    pub fn words(&self) -> Vec<(&'static str, u64)> {
        Verdict::ALL.iter().map(|verdict| (verdict.word(), self.get(*verdict))).collect()
    }
}

mod base_word {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::BaseState;

    pub fn serialize<S: Serializer>(base: &BaseState, serializer: S) -> Result<S::Ok, S::Error> {
        match base {
            BaseState::Unknown => serializer.serialize_str("unknown"),
            BaseState::Absent => serializer.serialize_none(),
            BaseState::Present(digest) => serializer.collect_str(digest),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BaseState, D::Error> {
        match Option::<String>::deserialize(deserializer)?.as_deref() {
            None => Ok(BaseState::Absent),
            Some("unknown") => Ok(BaseState::Unknown),
            Some(text) => text.parse().map(BaseState::Present).map_err(de::Error::custom),
        }
    }
}
