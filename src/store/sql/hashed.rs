//! Digests of rows that a database hashed itself.

use crate::digest;
use crate::model::{Digest, Evidence, Item, Value};

/// What a comparison by hashes does not look at, in words.
pub(in crate::store) const NOT_CHECKED: &str =
    "the contents of rows that are the same by hashes that the databases made of them";

/// Bytes of a SHA-256 that cross the wire: two rows that agree in them without being the same are out of reach.
pub(in crate::store) const HASH_BYTES: usize = 24;

const DIGEST_BYTES: usize = 32;

/// Separates what these digests are for from every other use of BLAKE3.
const CONTEXT: &str = "failback 1 row hashed by its database";

/// A hash that a database made of a row.
pub(in crate::store) type Hash = [u8; HASH_BYTES];

/// What the hashes of a table's rows stand for, as the end of their digests.
pub(in crate::store) struct RowHash([u8; DIGEST_BYTES - HASH_BYTES]);

impl RowHash {
    /// For rows of columns, each by its name and by the word for how its values are read, in any order.
    pub(in crate::store) fn new(mut columns: Vec<(&str, &str)>) -> RowHash {
        columns.sort_unstable();
        let columns = columns.iter().map(|(name, word)| Value::List(vec![Value::text(*name), Value::text(*word)]));
        let columns = Value::List(columns.collect());
        let derived = blake3::derive_key(CONTEXT, digest::item_digest(&columns).as_bytes());
        RowHash(derived[HASH_BYTES..].try_into().expect("a digest is longer than a hash"))
    }

    /// The digest of a row by the hash that the database made of it.
    pub(in crate::store) fn digest(&self, hash: &Hash) -> Digest {
        let mut digest = [0; DIGEST_BYTES];
        digest[..HASH_BYTES].copy_from_slice(hash);
        digest[HASH_BYTES..].copy_from_slice(&self.0);
        Digest(digest)
    }

    /// The item, which was read whole, with what a scan tells of it.
    pub(in crate::store) fn with_evidence(&self, item: Item, hash: &Hash) -> Item {
        let whole = Evidence { kind: Evidence::WHOLE, digest: item.digest };
        let listed = Evidence { kind: Evidence::LISTED, digest: self.digest(hash) };
        Item { evidence: vec![whole, listed], ..item }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_hash_and_of_what_the_columns_are() {
        let of = |columns: &[(&str, &str)]| RowHash::new(columns.to_vec()).digest(&[7; HASH_BYTES]);
        let digest = of(&[("a", "text"), ("b", "number")]);
        assert_eq!(of(&[("b", "number"), ("a", "text")]), digest, "columns have no order");
        for other in [&[("a", "text"), ("c", "number")][..], &[("a", "text"), ("b", "text")], &[("a", "text")]] {
            assert_ne!(of(other), digest);
        }
        let hash = RowHash::new(vec![("a", "text"), ("b", "number")]);
        assert_ne!(hash.digest(&[8; HASH_BYTES]), digest);
    }
}
