//! One item with its contents.

use super::{Digest, Key, Leaf, Timestamp, Value};

/// A digest of the same contents by another kind of proof.
///
/// Most stores have none. An S3 object may be known by several checksums; two objects are different when any kind they
/// share disagrees, and equal when one agrees and none disagrees: a weak checksum never outvotes a strong one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The kind of proof, for example `crc64nvme` or `md5`.
    pub kind: &'static str,
    /// The digest over the item's contents with its body proved by that kind.
    pub digest: Digest,
}

impl Evidence {
    /// All kinds of proof, the one a leaf is made of by preference first.
    pub const KINDS: [&'static str; 8] =
        ["crc64nvme", "crc32", "crc32c", "sha256", "sha1", "md5", "composite", "blake3"];

    /// The kind of a name, when there is such a kind.
    pub fn kind_named(name: &str) -> Option<&'static str> {
        Evidence::KINDS.into_iter().find(|kind| *kind == name)
    }
    /// The kind whose agreement proves sameness while its disagreement proves nothing: a checksum of part checksums
    /// depends on how a body was cut into parts.
    pub const COMPOSITE: &str = "composite";
}

/// One item, read with its contents.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What identifies the item.
    pub key: Key,
    /// The digest that a scan gives for the same item.
    pub digest: Digest,
    /// Further digests of the same contents; may repeat [`Item::digest`]'s kind. Empty where a digest is the only proof.
    pub evidence: Vec<Evidence>,
    /// The contents, enough to write the item again; large bodies are referred to, not held.
    pub contents: Value,
    /// Its size in bytes, as the store counts it.
    pub size: u64,
    /// When it last changed, where the store tells.
    pub modified_at: Option<Timestamp>,
    /// When it expires by itself, where the store has a time to live.
    pub expires_at: Option<Timestamp>,
    /// Why this item must be left to a person (no primary key, archived body, too wide to guard), if it must.
    pub hold: Option<String>,
}

impl Item {
    /// The leaf a scan yields for this item.
    pub fn leaf(&self) -> Leaf {
        Leaf { key: self.key.clone(), digest: self.digest, size: self.size, modified_at: self.modified_at }
    }

    /// Whether `digest` proves these very contents, by the main digest or by any evidence.
    pub fn is_proved_by(&self, digest: &Digest) -> bool {
        self.digest == *digest || self.evidence.iter().any(|e| e.digest == *digest)
    }

    /// Compares two items: `Some(true)` equal, `Some(false)` different, `None` when they share no kind of proof.
    pub fn same_as(&self, other: &Item) -> Option<bool> {
        let shared = self.evidence.iter().flat_map(|mine| {
            other.evidence.iter().filter(|theirs| theirs.kind == mine.kind).map(move |theirs| (mine, theirs))
        });
        let (mut agree, mut disagree) = (self.digest == other.digest, false);
        for (mine, theirs) in shared {
            match mine.digest == theirs.digest {
                true => agree = true,
                false => disagree |= mine.kind != Evidence::COMPOSITE,
            }
        }
        let is_only_proof = self.evidence.is_empty() || other.evidence.is_empty();
        match (disagree, agree) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => is_only_proof.then_some(false),
        }
    }
}
