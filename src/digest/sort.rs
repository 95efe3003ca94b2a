//! Records in the order of their keys.

use super::rows::{LeafRef, Rows};

/// Bytes of a key that are compared at once.
const WORD: usize = 8;

/// A record, and the bytes of its key that tell it from its neighbours so far.
#[derive(Clone, Copy)]
struct Place {
    word: u64,
    at: usize,
}

/// Records in the order of their keys.
pub(super) struct KeyOrder {
    /// Their places; repeats of a key in the order in which they were added.
    pub(super) places: Vec<usize>,
    /// Whether there may be any repeats.
    pub(super) may_repeat: bool,
}

/// Puts records in the order of their keys.
///
/// Keys of one store begin alike, so what all of them share is passed over, and the next eight bytes are sorted as numbers;
/// records that agree in those are sorted among themselves by what follows.
pub(super) fn in_key_order(rows: &Rows) -> KeyOrder {
    let mut places: Vec<Place> = rows.places().map(|at| Place { word: 0, at }).collect();
    let may_repeat = sort(rows, &mut places, 0);
    KeyOrder { places: places.into_iter().map(|place| place.at).collect(), may_repeat }
}

/// Sorts records whose keys have `shared` bytes in common, all of which have as many; whether there may be repeats.
fn sort(rows: &Rows, places: &mut [Place], shared: usize) -> bool {
    let Some((first, others)) = places.split_first() else { return false };
    if others.is_empty() {
        return false;
    }
    let first = rows.at(first.at).key();
    let mut end = first.len();
    let mut is_one_length = true;
    for place in others {
        let key = rows.at(place.at).key();
        if !key[shared..].starts_with(&first[shared..end]) {
            end = shared + common(&first[shared..end], &key[shared..]);
        }
        is_one_length &= key.len() == first.len();
    }
    if is_one_length && end == first.len() {
        // All are repeats of one key, and stand as they were added.
        return true;
    }
    for place in places.iter_mut() {
        place.word = word(rows.at(place.at), end);
    }
    places.sort_unstable_by_key(|place| (place.word, place.at));
    let mut may_repeat = false;
    for run in places.chunk_by_mut(|one, other| one.word == other.word).filter(|run| run.len() > 1) {
        if run.iter().all(|place| rows.at(place.at).key().len() >= end + WORD) {
            may_repeat |= sort(rows, run, end + WORD);
        } else {
            may_repeat = true;
            // A key that ends within the word looks like one that goes on with zeros.
            run.sort_unstable_by(|one, other| {
                (rows.at(one.at).key(), one.at).cmp(&(rows.at(other.at).key(), other.at))
            });
        }
    }
    may_repeat
}

/// The number of bytes in common at the beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The bytes of a key from a place on as a number that orders as they do; zeros where it ends.
fn word(row: LeafRef<'_>, from: usize) -> u64 {
    let rest = &row.key()[from..];
    match rest.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => {
            let mut word = [0; WORD];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(word)
        }
    }
}
