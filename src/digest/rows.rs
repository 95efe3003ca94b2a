//! Leaves as records side by side, in memory and in spill files alike.
//!
//! A record is its kind (1 byte), the number of its key's shape (1), how many bytes it shares with that (2), the length of the rest of
//! the key, the size, the time of the last change in microseconds (8) where there is one, the digest (32) and the rest of the
//! key, numbers lowest byte first. Lengths take 2 bytes and sizes 4, in a wide record 4 and 8. A leaf costs its record and
//! nothing else: no allocation of its own.

use std::io;

use super::shape::{KeyRef, Shapes};
use crate::model::{Digest, Leaf, Timestamp};

/// Bits of a record's kind.
const HAS_TIME: u8 = 1;
const IS_WIDE: u8 = 2;

const SHAPE_AT: usize = 1;
const SHARED_AT: usize = 2;
const LENGTH_AT: usize = 4;
const TIME_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;

/// Bytes before the time or the digest, and where the size is among them.
const NARROW: (usize, usize) = (10, 6);
const WIDE: (usize, usize) = (16, 8);

/// The most that a record takes beside its key.
const HEAD_MAX: usize = WIDE.0 + TIME_BYTES + DIGEST_BYTES;

/// Room beyond the most that is wanted, so that the record that passes it moves nothing.
const SLACK: usize = 128;

/// Records of leaves in the order in which they were added.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    count: usize,
    alike: Alike,
}

/// How alike keys begin: the one shape that all have, and the bytes that all share with it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Alike {
    /// There is no key.
    #[default]
    None,
    /// All are of one shape, and share so many bytes with it at least.
    Of(u8, usize),
    /// They are of several shapes.
    Mixed,
}

impl Alike {
    fn and(self, other: Alike) -> Alike {
        match (self, other) {
            (Alike::None, known) | (known, Alike::None) => known,
            (Alike::Of(shape, shared), Alike::Of(other, also)) if shape == other => Alike::Of(shape, shared.min(also)),
            _ => Alike::Mixed,
        }
    }
}

/// One leaf, where it lies.
#[derive(Clone, Copy)]
pub struct LeafRef<'a> {
    record: &'a [u8],
    digest: &'a [u8; DIGEST_BYTES],
    key: KeyRef<'a>,
}

/// Why bytes are no record.
#[derive(Debug, PartialEq, Eq)]
struct NoRecord(&'static str);

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
    /// The record that `bytes` begin with.
    fn read(bytes: &'a [u8], shapes: &'a Shapes) -> Result<LeafRef<'a>, NoRecord> {
        const CUT: NoRecord = NoRecord("the last leaf is cut");
        let head: &[u8; NARROW.0] = bytes.first_chunk().ok_or(CUT)?;
        let is_wide = head[0] & IS_WIDE != 0;
        let length = match is_wide {
            false => usize::from(u16::from_le_bytes(number(head, LENGTH_AT))),
            true => u32::from_le_bytes(number(head, LENGTH_AT)) as usize,
        };
        let time = if head[0] & HAS_TIME != 0 { TIME_BYTES } else { 0 };
        let digest_at = if is_wide { WIDE.0 } else { NARROW.0 } + time;
        let key_at = digest_at + DIGEST_BYTES;
        let record = bytes.get(..key_at + length).ok_or(CUT)?;
        let shared = usize::from(u16::from_le_bytes(number(head, SHARED_AT)));
        let start = shapes.start(head[SHAPE_AT], shared).ok_or(NoRecord("a leaf's key has no such shape"))?;
        let digest = record[digest_at..key_at].first_chunk().expect("a digest's bytes lie between");
        Ok(LeafRef { record, digest, key: KeyRef::new(start, &record[key_at..]) })
    }

    /// The canonical key.
    pub fn key(&self) -> KeyRef<'a> {
        self.key
    }

    /// The number of the key's shape, and how many bytes it shares with that.
    pub(super) fn shape(&self) -> (u8, usize) {
        (self.record[SHAPE_AT], usize::from(u16::from_le_bytes(number(self.record, SHARED_AT))))
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        Digest(*self.digest)
    }

    fn is(&self, bit: u8) -> bool {
        self.record[0] & bit != 0
    }

    /// The size in bytes, as the store counts it.
    pub fn size(&self) -> u64 {
        match self.is(IS_WIDE) {
            false => u64::from(u32::from_le_bytes(number(self.record, NARROW.1))),
            true => u64::from_le_bytes(number(self.record, WIDE.1)),
        }
    }

    /// When it last changed in microseconds since 1970, where the store has such a time.
    pub fn modified_at_microseconds(&self) -> Option<i64> {
        let at = if self.is(IS_WIDE) { WIDE.0 } else { NARROW.0 };
        self.is(HAS_TIME).then(|| i64::from_le_bytes(number(self.record, at)))
    }

    /// The leaf by itself.
    pub fn to_leaf(&self) -> Leaf {
        let time = |microseconds| Timestamp::from_microsecond(microseconds).expect("it was a time when it was added");
        Leaf {
            key: self.key.to_key(),
            digest: self.digest(),
            size: self.size(),
            modified_at: self.modified_at_microseconds().map(time),
        }
    }

    /// Whether both have the same digest.
    pub fn same_digest(&self, other: &LeafRef<'_>) -> bool {
        self.digest == other.digest
    }
}

impl Rows {
    /// Takes over records that were written to a file.
    ///
    /// # Errors
    ///
    /// When the bytes are not `count` whole records of keys with these shapes.
    pub(super) fn read_back(bytes: Vec<u8>, count: usize, shapes: &Shapes) -> io::Result<Rows> {
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        let (mut at, mut found, mut alike) = (0, 0, Alike::None);
        while at < bytes.len() {
            let row = match LeafRef::read(&bytes[at..], shapes) {
                Ok(row) => row,
                Err(NoRecord(why)) => return invalid(why),
            };
            if row.modified_at_microseconds().is_some_and(|time| Timestamp::from_microsecond(time).is_err()) {
                return invalid("a leaf's time is out of range");
            }
            let (shape, shared) = row.shape();
            alike = alike.and(Alike::Of(shape, shared));
            (at, found) = (at + row.record.len(), found + 1);
        }
        if found == count { Ok(Rows { bytes, count, alike }) } else { invalid("not as many leaves as were written") }
    }

    /// Adds a leaf.
    pub(super) fn push(&mut self, shapes: &mut Shapes, leaf: &Leaf) {
        let key = leaf.key.as_bytes();
        let (shape, shared) = shapes.of(key);
        self.alike = self.alike.and(Alike::Of(shape, shared));
        let rest = &key[shared..];
        let shared = u16::try_from(shared).expect("shapes are shorter than that").to_le_bytes();
        match (u16::try_from(rest.len()), u32::try_from(leaf.size), leaf.modified_at) {
            // What nearly every leaf is; its head has a length that is known beforehand, and is copied in one piece.
            (Ok(length), Ok(size), None) => {
                let mut head = [0; NARROW.0 + DIGEST_BYTES];
                head[SHAPE_AT] = shape;
                head[SHARED_AT..LENGTH_AT].copy_from_slice(&shared);
                head[LENGTH_AT..NARROW.1].copy_from_slice(&length.to_le_bytes());
                head[NARROW.1..NARROW.0].copy_from_slice(&size.to_le_bytes());
                head[NARROW.0..].copy_from_slice(leaf.digest.as_bytes());
                self.bytes.extend_from_slice(&head);
            }
            _ => self.push_head([shape, shared[0], shared[1]], rest.len(), leaf),
        }
        self.bytes.extend_from_slice(rest);
        self.count += 1;
    }

    /// Adds the head of any record: `shape` is the number of its shape and how much is shared with it.
    fn push_head(&mut self, shape: [u8; LENGTH_AT - SHAPE_AT], rest_length: usize, leaf: &Leaf) {
        let narrow = u16::try_from(rest_length).ok().zip(u32::try_from(leaf.size).ok());
        let kind = if narrow.is_none() { IS_WIDE } else { 0 } | if leaf.modified_at.is_some() { HAS_TIME } else { 0 };
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&shape);
        if let Some((length, size)) = narrow {
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(&size.to_le_bytes());
        } else {
            let length = u32::try_from(rest_length).expect("no store's keys are that long");
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(&leaf.size.to_le_bytes());
        }
        if let Some(time) = leaf.modified_at {
            self.bytes.extend_from_slice(&time.as_microsecond().to_le_bytes());
        }
        self.bytes.extend_from_slice(leaf.digest.as_bytes());
    }

    /// Adds a leaf, and makes room for many more, but not beyond `bytes_max` for all if that can be helped.
    pub(super) fn push_within(&mut self, bytes_max: usize, shapes: &mut Shapes, leaf: &Leaf) {
        let needed = self.bytes.len() + HEAD_MAX + leaf.key.as_bytes().len();
        if needed > self.bytes.capacity() {
            let room = self.bytes.capacity().saturating_mul(2).min(bytes_max.saturating_add(SLACK)).max(needed);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.push(shapes, leaf);
    }

    /// Adds all records of another.
    pub(super) fn append(&mut self, other: &Rows) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
        self.alike = self.alike.and(other.alike);
    }

    /// The record that begins at a place.
    pub(super) fn at<'a>(&'a self, at: usize, shapes: &'a Shapes) -> LeafRef<'a> {
        LeafRef::read(&self.bytes[at..], shapes).expect("records are whole, and shapes are theirs")
    }

    /// Every record, and where it begins.
    pub(super) fn iter<'a>(&'a self, shapes: &'a Shapes) -> impl Iterator<Item = (usize, LeafRef<'a>)> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let place = next;
            (place < self.bytes.len()).then(|| {
                let row = self.at(place, shapes);
                next += row.record.len();
                (place, row)
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that all keys are known to begin with alike.
    pub(super) fn shared(&self) -> usize {
        match self.alike {
            Alike::Of(_, shared) => shared,
            Alike::None | Alike::Mixed => 0,
        }
    }

    /// The records as they are written to a file.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the records and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.alike) = (0, Alike::None);
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("records are whole")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Key;

    #[test]
    fn every_kind_of_record_is_what_was_added_and_is_read_back() {
        let (mut rows, mut shapes) = (Rows::default(), Shapes::default());
        let sizes = [0, 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
        let keys = [0, 1, 17, 4_096, 4_097, usize::from(u16::MAX), usize::from(u16::MAX) + 1];
        let times =
            [None, Timestamp::from_microsecond(-7).ok(), Timestamp::from_microsecond(1_795_000_000_000_001).ok()];
        let mut leaves = Vec::new();
        for (number, (size, length)) in sizes.iter().flat_map(|size| keys.map(|length| (*size, length))).enumerate() {
            let mut key = vec![7; length];
            key.iter_mut().rev().take(1).for_each(|last| *last = number as u8);
            let digest = Digest([number as u8; DIGEST_BYTES]);
            leaves.push(Leaf { key: Key::from_canonical(key), digest, size, modified_at: times[number % 3] });
        }
        leaves.iter().for_each(|leaf| rows.push(&mut shapes, leaf));
        let read = |rows: &Rows| rows.iter(&shapes).map(|(_, row)| row.to_leaf()).collect::<Vec<_>>();
        assert_eq!(read(&rows), leaves);
        let bytes = rows.as_bytes().to_vec();
        let back = Rows::read_back(bytes.clone(), leaves.len(), &shapes).expect("read back");
        assert_eq!(read(&back), leaves);
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..HEAD_MAX / 2], &[&bytes[..], &[0]].concat()] {
            assert!(Rows::read_back(damaged.to_vec(), leaves.len(), &shapes).is_err());
        }
        assert!(Rows::read_back(bytes.clone(), leaves.len() + 1, &shapes).is_err());
        assert!(Rows::read_back(bytes, leaves.len(), &Shapes::default()).is_err(), "the shapes are of another side");
    }
}
