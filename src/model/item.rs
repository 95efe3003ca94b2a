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
    pub const KINDS: [&'static str; 10] = [
        "crc64nvme",
        "crc32",
        "crc32c",
        "sha256",
        "sha1",
        "md5",
        Evidence::COMPOSITE,
        Evidence::PARTS_MD5,
        Evidence::WHOLE,
        Evidence::UNPROVED,
    ];

    /// BLAKE3 over the whole of it.
    pub const WHOLE: &'static str = "blake3";
    /// A checksum of part checksums, which depends on how a body was cut into parts.
    pub const COMPOSITE: &'static str = "composite";
    /// An MD5 of part MD5s, as the ETag of an upload in parts is.
    pub const PARTS_MD5: &'static str = "parts-md5";
    /// No proof, only the name of one very version: it agrees with nothing else.
    pub const UNPROVED: &'static str = "unproved";
    /// What a listing tells: it proves a body and nothing beside it, so it is only held against leaves made of listings.
    pub const LISTED: &'static str = "listed";

    /// The kind of a name, when there is such a kind.
    pub fn kind_named(name: &str) -> Option<&'static str> {
        Evidence::KINDS.into_iter().chain([Evidence::LISTED]).find(|kind| *kind == name)
    }

    /// Whether agreement in a kind proves sameness while disagreement proves nothing.
    fn is_one_way(kind: &str) -> bool {
        [Evidence::COMPOSITE, Evidence::PARTS_MD5, Evidence::UNPROVED, Evidence::LISTED].contains(&kind)
    }
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

    /// Whether `digest` is what a listing tells of this item: it proves its body, and nothing of what goes with it.
    pub fn is_listed_as(&self, digest: &Digest) -> bool {
        self.evidence.iter().any(|proof| proof.kind == Evidence::LISTED && proof.digest == *digest)
    }

    /// Whether any proof covers the whole of the contents by itself, so that another reading can be held against it.
    pub fn is_proved(&self) -> bool {
        self.evidence.is_empty() || self.evidence.iter().any(|proof| !Evidence::is_one_way(proof.kind))
    }

    /// The digest by which the same contents are known again wherever they are written: one that covers the whole of them,
    /// where there is one.
    pub fn lasting_digest(&self) -> Digest {
        let mut whole =
            self.evidence.iter().filter(|proof| !Evidence::is_one_way(proof.kind)).map(|proof| proof.digest);
        let is_whole = self.evidence.is_empty() || whole.clone().any(|digest| digest == self.digest);
        if is_whole { self.digest } else { whole.next().unwrap_or(self.digest) }
    }

    /// Compares two items: `Some(true)` equal, `Some(false)` different, `None` when they share no kind of proof.
    pub fn same_as(&self, other: &Item) -> Option<bool> {
        let whole = self.evidence.iter().filter(|mine| mine.kind != Evidence::LISTED);
        let shared = whole.flat_map(|mine| {
            other.evidence.iter().filter(|theirs| theirs.kind == mine.kind).map(move |theirs| (mine, theirs))
        });
        let (mut agree, mut disagree) = (self.digest == other.digest, false);
        for (mine, theirs) in shared {
            match mine.digest == theirs.digest {
                true => agree = true,
                false => disagree |= !Evidence::is_one_way(mine.kind),
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
