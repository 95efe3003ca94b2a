//! Buckets of leaves and the roots over them.

use std::sync::Arc;

use super::BUCKETS;
use super::rows::{LeafRef, Rows};
use super::shape::{KeyRef, Shapes};
use super::sort::{KeyOrder, in_key_order};
use crate::model::{Digest, Key, Leaf};

const BUCKET_DOMAIN: &[u8] = b"failback bucket 1\0";
const ROOT_DOMAIN: &[u8] = b"failback root 1\0";

/// Bytes hashed together: BLAKE3 is several times faster over many blocks than over a few.
const HASHED_TOGETHER: usize = 64 * 1024;

/// The BLAKE3 hash of a key, whose first byte is the bucket.
pub fn key_hash(key: &Key) -> Digest {
    blake3::hash(key.as_bytes()).into()
}

/// The bucket a key belongs to, 0 to 255.
pub fn bucket_of(key: &Key) -> usize {
    usize::from(blake3::hash(key.as_bytes()).as_bytes()[0])
}

/// The leaves of one bucket in key order, each key once.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    /// Records as they were read; they stay where they are.
    rows: Arc<Rows>,
    /// What their keys have in common.
    shapes: Arc<Shapes>,
    /// Where the record of each leaf begins, in key order.
    order: Vec<usize>,
    restless: Vec<Key>,
}

impl Bucket {
    /// Sorts leaves by key and folds repeats; of repeats that disagree the last one read stays, and the key is restless.
    pub fn from_leaves(leaves: &[Leaf]) -> Bucket {
        let (mut rows, mut shapes) = (Rows::default(), Shapes::default());
        leaves.iter().for_each(|leaf| rows.push(&mut shapes, leaf));
        Bucket::from_rows(Arc::new(rows), Arc::new(shapes))
    }

    /// The same from records in the order in which they were read.
    pub(super) fn from_rows(rows: Arc<Rows>, shapes: Arc<Shapes>) -> Bucket {
        let KeyOrder { places: mut order, may_repeat } = in_key_order(&rows, &shapes);
        let mut restless: Vec<Key> = Vec::new();
        if !may_repeat {
            return Bucket { rows, shapes, order, restless };
        }
        order.dedup_by(|later, kept| {
            let (row, last) = (rows.at(*later, &shapes), rows.at(*kept, &shapes));
            if row.key() != last.key() {
                return false;
            }
            if !last.same_digest(&row) && restless.last().is_none_or(|key| KeyRef::whole(key) != row.key()) {
                restless.push(row.key().to_key());
            }
            *kept = *later;
            true
        });
        Bucket { rows, shapes, order, restless }
    }

    /// The leaves, by key.
    pub fn iter(&self) -> impl Iterator<Item = LeafRef<'_>> {
        self.order.iter().map(|place| self.rows.at(*place, &self.shapes))
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The leaves by themselves, by key.
    pub fn to_leaves(&self) -> Vec<Leaf> {
        self.iter().map(|row| row.to_leaf()).collect()
    }

    /// Keys that were read more than once with different digests, in order: they changed under the scan and must be read
    /// again.
    pub fn restless(&self) -> &[Key] {
        &self.restless
    }

    /// The same leaves, with other keys to be read again, in order: what changed since the leaves were read.
    pub fn with_restless(self, restless: Vec<Key>) -> Bucket {
        Bucket { restless, ..self }
    }

    /// Puts leaves, or their absence, in the place of what is there; `patches` are in key order, each key once.
    pub fn patch<'p>(&mut self, patches: impl IntoIterator<Item = (&'p Key, Option<&'p Leaf>)>) {
        let mut patches = patches.into_iter().peekable();
        if patches.peek().is_none() {
            return;
        }
        // Records stay where they are: those that are replaced lie there and are no leaf's any more.
        let (rows, shapes) = (Arc::make_mut(&mut self.rows), Arc::make_mut(&mut self.shapes));
        let mut order = Vec::with_capacity(self.order.len());
        let mut rest = self.order.as_slice();
        for (key, leaf) in patches {
            let key = KeyRef::whole(key);
            let (before, from) = rest.split_at(rest.partition_point(|place| rows.at(*place, shapes).key() < key));
            order.extend_from_slice(before);
            let is_there = from.first().is_some_and(|place| rows.at(*place, shapes).key() == key);
            rest = &from[usize::from(is_there)..];
            if let Some(leaf) = leaf {
                order.push(rows.as_bytes().len());
                rows.push(shapes, leaf);
            }
        }
        order.extend_from_slice(rest);
        self.order = order;
    }

    /// The root of this bucket, as of [`bucket_root`].
    pub fn root(&self) -> Digest {
        root_over(self.len(), self.iter().map(|row| (row.key(), row.digest())))
    }
}

/// The root of one bucket: BLAKE3 over a domain mark, the number of leaves, and each leaf's key length, key and digest in
/// key order; lengths and counts as 8 bytes little-endian.
pub fn bucket_root(leaves: &[Leaf]) -> Digest {
    root_over(leaves.len(), leaves.iter().map(|leaf| (KeyRef::whole(&leaf.key), leaf.digest)))
}

fn root_over<'a>(count: usize, leaves: impl Iterator<Item = (KeyRef<'a>, Digest)>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::with_capacity(HASHED_TOGETHER + 1024);
    bytes.extend_from_slice(BUCKET_DOMAIN);
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
    for (key, digest) in leaves {
        bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
        key.append_to(&mut bytes);
        bytes.extend_from_slice(digest.as_bytes());
        if bytes.len() >= HASHED_TOGETHER {
            hasher.update(&bytes);
            bytes.clear();
        }
    }
    hasher.update(&bytes);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn leaf(key: &[u8], mark: u8) -> Leaf {
        Leaf { key: Key::from_canonical(key), digest: Digest([mark; 32]), size: u64::from(mark), modified_at: None }
    }

    /// Keys of few letters and many shared beginnings, zeros among them.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(0u8..3, 0..24),
            prop::collection::vec(0u8..2, 0..4).prop_map(|tail| [&[7; 20][..], &tail].concat()),
            any::<Vec<u8>>(),
        ]
    }

    proptest! {
        #[test]
        fn a_bucket_is_what_a_map_would_be(reads in prop::collection::vec((keys(), 0u8..3), 0..80)) {
            let (mut expected, mut restless) = (BTreeMap::new(), std::collections::BTreeSet::new());
            for (key, mark) in &reads {
                if expected.insert(key.clone(), *mark).is_some_and(|before| before != *mark) {
                    restless.insert(key.clone());
                }
            }
            let leaves: Vec<Leaf> = reads.iter().map(|(key, mark)| leaf(key, *mark)).collect();
            let bucket = Bucket::from_leaves(&leaves);
            let expected: Vec<Leaf> = expected.iter().map(|(key, mark)| leaf(key, *mark)).collect();
            prop_assert_eq!(&bucket.to_leaves(), &expected);
            prop_assert_eq!(bucket.len(), expected.len());
            prop_assert_eq!(bucket.root(), bucket_root(&expected));
            let found: Vec<&[u8]> = bucket.restless().iter().map(Key::as_bytes).collect();
            prop_assert_eq!(found, restless.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn patches_are_what_a_map_would_make_of_them(
            there in prop::collection::btree_map(keys(), 0u8..3, 0..40),
            patches in prop::collection::btree_map(keys(), prop::option::of(3u8..6), 0..20),
        ) {
            let leaves: Vec<Leaf> = there.iter().map(|(key, mark)| leaf(key, *mark)).collect();
            let mut bucket = Bucket::from_leaves(&leaves);
            let of_leaves: BTreeMap<Key, Option<Leaf>> = patches
                .iter()
                .map(|(key, mark)| (Key::from_canonical(&key[..]), mark.map(|mark| leaf(key, mark))))
                .collect();
            bucket.patch(of_leaves.iter().map(|(key, leaf)| (key, leaf.as_ref())));
            let mut expected = there;
            for (key, mark) in patches {
                match mark {
                    Some(mark) => expected.insert(key, mark),
                    None => expected.remove(&key),
                };
            }
            let expected: Vec<Leaf> = expected.iter().map(|(key, mark)| leaf(key, *mark)).collect();
            prop_assert_eq!(bucket.to_leaves(), expected);
        }
    }

    #[test]
    fn a_root_over_many_leaves_is_that_of_the_bytes_in_one_piece() {
        let leaves: Vec<Leaf> = (0u32..3_000).map(|n| leaf(&n.to_be_bytes(), n as u8)).collect();
        let mut bytes = BUCKET_DOMAIN.to_vec();
        bytes.extend(3_000u64.to_le_bytes());
        for leaf in &leaves {
            bytes.extend(4u64.to_le_bytes());
            bytes.extend(leaf.key.as_bytes());
            bytes.extend(leaf.digest.as_bytes());
        }
        assert!(bytes.len() > 2 * HASHED_TOGETHER);
        assert_eq!(bucket_root(&leaves), blake3::hash(&bytes).into());
    }
}
