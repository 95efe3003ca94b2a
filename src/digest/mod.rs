//! Canonical encoding, digests, buckets and roots.
//!
//! One set of items has one root, whatever the scan order, the number of partitions, the side or the machine. The byte
//! format is versioned and documented in `docs/canonical-format.md`, with known-answer vectors, so that another program
//! can recompute a root. Encoding is pure; [`LeafSink`] spills to disk and [`manifest`] reads and writes Parquet.

mod bucket;
mod encoding;
pub mod frame;
mod key_json;
pub mod manifest;
mod number;
mod rows;
mod shape;
mod sink;
mod sort;

pub use bucket::{Bucket, bucket_of, bucket_root, key_hash, root_of};
pub use encoding::{DecodeError, decode, encode, encode_into, item_digest, key_of, key_value};
pub use key_json::{key_json, key_text, value_json};
pub use number::{put_digits, put_integer, put_number_text};
pub use rows::LeafRef;
pub use shape::KeyRef;
pub use sink::{Buckets, LeafSink, SinkError};

/// Version of the canonical encoding and of the way roots are made; named in manifests and certificates.
pub const CANONICAL_FORMAT: u32 = 1;

/// Number of buckets; a leaf's bucket is the first byte of the BLAKE3 hash of its key.
pub const BUCKETS: usize = 256;
