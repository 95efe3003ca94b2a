//! Leaves as records side by side, in memory and in spill files alike.
//!
//! A record is the key's length (4 bytes), the size (8), the time of the last change in microseconds (8), the digest (32) and
//! the key, numbers lowest byte first. A leaf costs its record and nothing else: no allocation of its own.

use std::io;

use crate::model::{Digest, Key, Leaf, Timestamp};

const SIZE_AT: usize = 4;
const TIME_AT: usize = 12;
const DIGEST_AT: usize = 20;
const KEY_AT: usize = 52;

/// Room beyond the most that is wanted, so that the record that passes it moves nothing.
const SLACK: usize = 128;

/// Marks a leaf without a modification time.
const NO_TIME: i64 = i64::MIN;

/// Records of leaves in the order in which they were added.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    count: usize,
}

/// One leaf, where it lies.
#[derive(Clone, Copy)]
pub struct LeafRef<'a> {
    record: &'a [u8],
}

impl std::fmt::Debug for Rows {
    /// The number only: keys may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({})", self.count)
    }
}

impl std::fmt::Debug for LeafRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_leaf().fmt(f)
    }
}

impl<'a> LeafRef<'a> {
    /// The canonical key.
    pub fn key(&self) -> &'a [u8] {
        &self.record[KEY_AT..]
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        Digest(number(self.record, DIGEST_AT))
    }

    /// The size in bytes, as the store counts it.
    pub fn size(&self) -> u64 {
        u64::from_le_bytes(number(self.record, SIZE_AT))
    }

    /// When it last changed in microseconds since 1970, where the store has such a time.
    pub fn modified_at_microseconds(&self) -> Option<i64> {
        Some(i64::from_le_bytes(number(self.record, TIME_AT))).filter(|time| *time != NO_TIME)
    }

    /// The leaf by itself.
    pub fn to_leaf(&self) -> Leaf {
        let time = |microseconds| Timestamp::from_microsecond(microseconds).expect("it was a time when it was added");
        Leaf {
            key: Key::from_canonical(self.key()),
            digest: self.digest(),
            size: self.size(),
            modified_at: self.modified_at_microseconds().map(time),
        }
    }

    /// Whether both have the same digest.
    pub fn same_digest(&self, other: &LeafRef<'_>) -> bool {
        self.record[DIGEST_AT..KEY_AT] == other.record[DIGEST_AT..KEY_AT]
    }
}

impl Rows {
    /// No records, with room for so many bytes of them.
    pub(super) fn with_capacity(bytes: usize) -> Rows {
        Rows { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Takes over records that were written to a file.
    ///
    /// # Errors
    ///
    /// When the bytes are not `count` whole records.
    pub(super) fn read_back(bytes: Vec<u8>, count: usize) -> io::Result<Rows> {
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        let (mut at, mut found) = (0, 0);
        while at < bytes.len() {
            let Some(length) = bytes[at..].first_chunk().map(|length| u32::from_le_bytes(*length)) else {
                return invalid("the last leaf is cut");
            };
            let end = at + KEY_AT + length as usize;
            if end > bytes.len() {
                return invalid("the last leaf is cut");
            }
            let row = LeafRef { record: &bytes[at..end] };
            if row.modified_at_microseconds().is_some_and(|time| Timestamp::from_microsecond(time).is_err()) {
                return invalid("a leaf's time is out of range");
            }
            (at, found) = (end, found + 1);
        }
        if found == count { Ok(Rows { bytes, count }) } else { invalid("not as many leaves as were written") }
    }

    /// Adds a leaf.
    pub(super) fn push(&mut self, leaf: &Leaf) {
        let key = leaf.key.as_bytes();
        let length = u32::try_from(key.len()).expect("no store's keys are that long");
        let time = leaf.modified_at.map_or(NO_TIME, Timestamp::as_microsecond);
        let mut head = [0; KEY_AT];
        head[..SIZE_AT].copy_from_slice(&length.to_le_bytes());
        head[SIZE_AT..TIME_AT].copy_from_slice(&leaf.size.to_le_bytes());
        head[TIME_AT..DIGEST_AT].copy_from_slice(&time.to_le_bytes());
        head[DIGEST_AT..].copy_from_slice(leaf.digest.as_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key);
        self.count += 1;
    }

    /// Adds a leaf, and makes room for many more, but not beyond `bytes_max` for all if that can be helped.
    pub(super) fn push_within(&mut self, bytes_max: usize, leaf: &Leaf) {
        let needed = self.bytes.len() + KEY_AT + leaf.key.as_bytes().len();
        if needed > self.bytes.capacity() {
            let room = self.bytes.capacity().saturating_mul(2).min(bytes_max.saturating_add(SLACK)).max(needed);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.push(leaf);
    }

    /// Adds a record as it is.
    pub(super) fn push_row(&mut self, row: LeafRef<'_>) {
        self.bytes.extend_from_slice(row.record);
        self.count += 1;
    }

    /// Adds all records of another.
    pub(super) fn append(&mut self, other: &Rows) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// The record that begins at a place.
    pub(super) fn at(&self, at: usize) -> LeafRef<'_> {
        let length = u32::from_le_bytes(number(&self.bytes, at)) as usize;
        LeafRef { record: &self.bytes[at..at + KEY_AT + length] }
    }

    /// Where each record begins.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let place = next;
            (place < self.bytes.len()).then(|| {
                next += self.at(place).record.len();
                place
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The records as they are written to a file.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the records and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("records are whole")
}
