//! Buckets of leaves and the roots over them.

use super::BUCKETS;
use crate::model::{Digest, Key, Leaf};

const BUCKET_DOMAIN: &[u8] = b"failback bucket 1\0";
const ROOT_DOMAIN: &[u8] = b"failback root 1\0";

/// The BLAKE3 hash of a key, whose first byte is the bucket.
pub fn key_hash(key: &Key) -> Digest {
    blake3::hash(key.as_bytes()).into()
}

/// The bucket a key belongs to, 0 to 255.
pub fn bucket_of(key: &Key) -> usize {
    usize::from(blake3::hash(key.as_bytes()).as_bytes()[0])
}

/// The leaves of one bucket in key order, each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The leaves, sorted by key.
    pub leaves: Vec<Leaf>,
    /// Keys that were read more than once with different digests: they changed under the scan and must be read again.
    pub restless: Vec<Key>,
}

impl Bucket {
    /// Sorts leaves by key and folds repeats; of repeats that disagree the last one read stays, and the key is restless.
    pub fn from_leaves(mut leaves: Vec<Leaf>) -> Bucket {
        leaves.sort_by(|a, b| a.key.cmp(&b.key));
        let mut bucket = Bucket { leaves: Vec::with_capacity(leaves.len()), restless: Vec::new() };
        for leaf in leaves {
            match bucket.leaves.last_mut() {
                Some(last) if last.key == leaf.key => {
                    if last.digest != leaf.digest && bucket.restless.last() != Some(&leaf.key) {
                        bucket.restless.push(leaf.key.clone());
                    }
                    *last = leaf;
                }
                _ => bucket.leaves.push(leaf),
            }
        }
        bucket
    }
}

/// The root of one bucket: BLAKE3 over a domain mark, the number of leaves, and each leaf's key length, key and digest in
/// key order; lengths and counts as 8 bytes little-endian.
pub fn bucket_root(leaves: &[Leaf]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(BUCKET_DOMAIN);
    hasher.update(&(leaves.len() as u64).to_le_bytes());
    for leaf in leaves {
        hasher.update(&(leaf.key.as_bytes().len() as u64).to_le_bytes());
        hasher.update(leaf.key.as_bytes());
        hasher.update(leaf.digest.as_bytes());
    }
    hasher.finalize().into()
}

/// The root of a side: BLAKE3 over a domain mark and the 256 bucket roots in order.
pub fn root_of(bucket_roots: &[Digest; BUCKETS]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ROOT_DOMAIN);
    for root in bucket_roots {
        hasher.update(root.as_bytes());
    }
    hasher.finalize().into()
}
