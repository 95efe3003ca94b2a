//! What the keys of one store have in common, so that a leaf need not repeat it.
//!
//! Canonical keys of one length begin alike: frames, lengths, names, often a good part of the text. The first key of each
//! length is kept as its *shape*; a leaf of that length has only what follows the beginning that it shares with it.

use std::cmp::Ordering;

use crate::model::Key;

/// Shapes beside that of nothing; keys of further lengths are kept whole.
const SHAPES_MAX: usize = 255;

/// The longest key that is worth a shape.
const LENGTH_MAX: usize = 4096;

/// Bytes of keys that are compared at once.
const WORD: usize = 8;

/// The first key of each length, by a number.
#[derive(Clone)]
pub(super) struct Shapes {
    /// That of number 0 is empty.
    firsts: Vec<Box<[u8]>>,
    /// The number of the shape of each length; 0 where there is none.
    by_length: Vec<u8>,
}

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes { firsts: vec![Box::default()], by_length: Vec::new() }
    }
}

impl std::fmt::Debug for Shapes {
    /// The number only: keys may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shapes({})", self.firsts.len())
    }
}

impl Shapes {
    /// The number of a key's shape, and how many bytes the key begins with are those of the shape.
    pub(super) fn of(&mut self, key: &[u8]) -> (u8, usize) {
        match self.by_length.get(key.len()) {
            Some(number) if *number != 0 => (*number, common(&self.firsts[usize::from(*number)], key)),
            _ => self.learn(key),
        }
    }

    #[cold]
    fn learn(&mut self, key: &[u8]) -> (u8, usize) {
        if key.len() > LENGTH_MAX || self.firsts.len() > SHAPES_MAX {
            return (0, 0);
        }
        let number = u8::try_from(self.firsts.len()).expect("there are at most 255 shapes beside the empty one");
        self.firsts.push(key.into());
        self.by_length.resize(self.by_length.len().max(key.len() + 1), 0);
        self.by_length[key.len()] = number;
        (number, key.len())
    }

    /// The first bytes of a shape; `None` where there is no such shape or it is shorter.
    pub(super) fn start(&self, number: u8, length: usize) -> Option<&[u8]> {
        self.firsts.get(usize::from(number))?.get(..length)
    }
}

/// The number of bytes in common at the beginning.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let words = one.chunks_exact(WORD).zip(other.chunks_exact(WORD));
    let same = words.take_while(|(one, other)| one == other).count() * WORD;
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// A canonical key in two pieces: what it shares with others, and its own rest.
#[derive(Clone, Copy)]
pub struct KeyRef<'a> {
    start: &'a [u8],
    rest: &'a [u8],
}

impl<'a> KeyRef<'a> {
    pub(super) fn new(start: &'a [u8], rest: &'a [u8]) -> KeyRef<'a> {
        KeyRef { start, rest }
    }

    /// A key that lies in one piece.
    pub fn whole(key: &'a Key) -> KeyRef<'a> {
        KeyRef { start: &[], rest: key.as_bytes() }
    }

    pub(super) fn len(&self) -> usize {
        self.start.len() + self.rest.len()
    }

    /// The bytes of the key.
    pub fn to_vec(&self) -> Vec<u8> {
        [self.start, self.rest].concat()
    }

    /// The key by itself.
    pub fn to_key(&self) -> Key {
        Key::from_canonical(self.to_vec())
    }

    /// Writes the bytes of the key behind what is there.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.start);
        bytes.extend_from_slice(self.rest);
    }

    /// Eight bytes from a place on as a number that orders as they do; zeros where the key ends.
    pub(super) fn word(&self, from: usize) -> u64 {
        if let Some(rest) = from.checked_sub(self.start.len()).and_then(|from| self.rest.get(from..))
            && let Some(word) = rest.first_chunk()
        {
            return u64::from_be_bytes(*word);
        }
        let mut word = [0; WORD];
        let bytes = self.start.iter().chain(self.rest).skip(from);
        word.iter_mut().zip(bytes).for_each(|(into, byte)| *into = *byte);
        u64::from_be_bytes(word)
    }

    /// How many bytes this and another key have in common at the beginning.
    pub(super) fn common(&self, other: &KeyRef<'_>) -> usize {
        if self.start.len() == other.start.len() {
            let of_starts = match std::ptr::eq(self.start, other.start) {
                true => self.start.len(),
                false => common(self.start, other.start),
            };
            return if of_starts < self.start.len() { of_starts } else { of_starts + common(self.rest, other.rest) };
        }
        let (short, long) = if self.start.len() < other.start.len() { (self, other) } else { (other, self) };
        let head = short.start.len();
        let of_starts = common(short.start, long.start);
        if of_starts < head {
            return of_starts;
        }
        let tail = &long.start[head..];
        let of_tail = common(short.rest, tail);
        if of_tail < tail.len() {
            return head + of_tail;
        }
        head + of_tail + common(&short.rest[of_tail..], long.rest)
    }
}

impl Ord for KeyRef<'_> {
    fn cmp(&self, other: &KeyRef<'_>) -> Ordering {
        let (one, two) = (self.start.len(), other.start.len());
        match one.cmp(&two) {
            Ordering::Equal => in_order(self.start, other.start).then_with(|| in_order(self.rest, other.rest)),
            Ordering::Less => compare(self, other),
            Ordering::Greater => compare(other, self).reverse(),
        }
    }
}

/// As slices compare; those of one length up to two words without a call.
fn in_order(one: &[u8], other: &[u8]) -> Ordering {
    let words = |bytes: &[u8]| {
        let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
        Some((u64::from_be_bytes(*first), u64::from_be_bytes(*last)))
    };
    if one.len() != other.len() || one.len() > 2 * WORD {
        return one.cmp(other);
    }
    match (words(one), words(other)) {
        // Where the first words are the same, the last ones overlap them in what is the same.
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

/// Compares two keys of which the first has the shorter start.
fn compare(one: &KeyRef<'_>, other: &KeyRef<'_>) -> Ordering {
    let (head, tail) = other.start.split_at(one.start.len());
    let (beside, behind) = one.rest.split_at(tail.len().min(one.rest.len()));
    // Where the rest ends within the tail, it is shorter, and that decides.
    one.start.cmp(head).then_with(|| beside.cmp(tail)).then_with(|| behind.cmp(other.rest))
}

impl PartialOrd for KeyRef<'_> {
    fn partial_cmp(&self, other: &KeyRef<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &KeyRef<'_>) -> bool {
        self.len() == other.len() && self.cmp(other).is_eq()
    }
}

impl Eq for KeyRef<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_in_pieces_are_as_in_one(
            one in prop::collection::vec(0u8..3, 0..24),
            other in prop::collection::vec(0u8..3, 0..24),
            (cut, other_cut) in (0usize..24, 0usize..24),
            from in 0usize..30,
        ) {
            let (start, rest) = one.split_at(cut.min(one.len()));
            let (other_start, other_rest) = other.split_at(other_cut.min(other.len()));
            let (a, b) = (KeyRef::new(start, rest), KeyRef::new(other_start, other_rest));
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a == b, one == other);
            let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
            prop_assert_eq!((a.common(&b), common(&one, &other)), (same, same));
            let mut padded = one.clone();
            padded.resize(60, 0);
            let word = a.word(from).to_be_bytes();
            prop_assert_eq!(&word[..], &padded[from..from + 8]);
            prop_assert_eq!(a.to_vec(), one);
        }
    }

    #[test]
    fn shapes_are_of_a_length_and_their_number_is_bounded() {
        let mut shapes = Shapes::default();
        assert_eq!(shapes.of(b"order-12"), (1, 8));
        assert_eq!(shapes.of(b"order-13"), (1, 7));
        assert_eq!(shapes.of(b"order-1"), (2, 7));
        assert_eq!(shapes.start(1, 7), Some(&b"order-1"[..]));
        assert_eq!((shapes.start(1, 9), shapes.start(3, 0)), (None, None));
        (0..=LENGTH_MAX + 1).for_each(|length| assert!(shapes.of(&vec![7; length]).1 <= length));
        assert_eq!(shapes.of(&[7; 4000]), (0, 0));
        assert_eq!(shapes.firsts.len(), SHAPES_MAX + 1);
    }
}
