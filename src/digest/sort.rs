//! Records in the order of their keys.

use super::rows::Rows;
use super::shape::Shapes;

/// Bytes of a key that are compared at once.
const WORD: usize = 8;

/// Records from which on they are dealt out by digits first.
const DEALT_MIN: usize = 256;

/// Bits of one digit, and digits by which records are dealt out: many times as many places as a bucket usually has records.
const DIGIT_BITS: u32 = 11;
const DIGITS: u32 = 2;

/// A record, and the bytes of its key that tell it from its neighbours so far.
#[derive(Clone, Copy, Default)]
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
pub(super) fn in_key_order(rows: &Rows, shapes: &Shapes) -> KeyOrder {
    let shared = rows.shared();
    let mut places = Vec::with_capacity(rows.len());
    places.extend(rows.iter(shapes).map(|(at, row)| Place { word: row.key().word(shared), at }));
    let may_repeat = match places.len() {
        0 | 1 => false,
        _ if shared == 0 => sort((rows, shapes), &mut places, 0),
        _ => sort_by_words((rows, shapes), &mut places, shared),
    };
    KeyOrder { places: places.into_iter().map(|place| place.at).collect(), may_repeat }
}

/// Sorts records whose keys have `shared` bytes in common, all of which have as many; whether there may be repeats.
fn sort(of: (&Rows, &Shapes), places: &mut [Place], shared: usize) -> bool {
    let key = |place: &Place| of.0.at(place.at, of.1).key();
    let Some((first, others)) = places.split_first() else { return false };
    if others.is_empty() {
        return false;
    }
    let first = key(first);
    let (mut end, mut is_one_length) = (first.len(), true);
    for place in others {
        let key = key(place);
        end = end.min(first.common(&key));
        is_one_length &= key.len() == first.len();
    }
    if is_one_length && end == first.len() {
        // All are repeats of one key, and stand as they were added.
        return true;
    }
    sort_from(of, places, end.max(shared))
}

/// Sorts records by what follows the first bytes of their keys, which are the same; whether there may be repeats.
fn sort_from(of: (&Rows, &Shapes), places: &mut [Place], from: usize) -> bool {
    let key = |place: &Place| of.0.at(place.at, of.1).key();
    for place in places.iter_mut() {
        place.word = key(place).word(from);
    }
    sort_by_words(of, places, from)
}

/// Sorts records whose words are those from `from` on, before which their keys are the same; whether there may be repeats.
fn sort_by_words(of: (&Rows, &Shapes), places: &mut [Place], from: usize) -> bool {
    let key = |place: &Place| of.0.at(place.at, of.1).key();
    by_word(places);
    let mut may_repeat = false;
    for run in places.chunk_by_mut(|one, other| one.word == other.word).filter(|run| run.len() > 1) {
        if run.iter().all(|place| key(place).len() >= from + WORD) {
            may_repeat |= sort(of, run, from + WORD);
        } else {
            may_repeat = true;
            // A key that ends within the word looks like one that goes on with zeros.
            run.sort_unstable_by(|one, other| (key(one), one.at).cmp(&(key(other), other.at)));
        }
    }
    may_repeat
}

/// Sorts places by their words, equal ones by where they are.
fn by_word(places: &mut [Place]) {
    if places.len() < DEALT_MIN {
        places.sort_unstable_by_key(|place| (place.word, place.at));
        return;
    }
    let bits = pressed(places);
    let shift = bits.saturating_sub(DIGITS * DIGIT_BITS);
    let mut other = vec![Place::default(); places.len()];
    // The lowest digit first: an even number of dealings ends where it began.
    const { assert!(DIGITS == 2) };
    deal(places, &mut other, shift);
    deal(&other, places, shift + DIGIT_BITS);
    let high = |place: &Place| place.word.checked_shr(shift).unwrap_or(0);
    for run in places.chunk_by_mut(|one, other| high(one) == high(other)).filter(|run| run.len() > 1) {
        run.sort_unstable_by_key(|place| (place.word, place.at));
    }
}

/// Presses words together to the bits in which they differ, which leaves their order as it is; the number of these bits.
fn pressed(places: &mut [Place]) -> u32 {
    let Some(first) = places.first().map(|place| place.word) else { return 0 };
    let mut differing = places.iter().fold(0, |differing, place| differing | (place.word ^ first));
    let bits = differing.count_ones();
    // Runs of such bits: which they are, and how far they move down.
    let mut runs = Vec::new();
    let mut below = 0;
    while differing != 0 {
        let low = differing.trailing_zeros();
        let length = (differing >> low).trailing_ones();
        let mask = (u64::MAX >> (u64::BITS - length)) << low;
        runs.push((mask, low - below));
        below += length;
        differing &= !mask;
    }
    for place in places {
        place.word = runs.iter().fold(0, |word, (mask, down)| word | ((place.word & mask) >> down));
    }
    bits
}

/// Deals places out by one digit of their words, in the order in which they come.
fn deal(from: &[Place], into: &mut [Place], shift: u32) {
    const MASK: u64 = (1 << DIGIT_BITS) - 1;
    let digit = |place: &Place| (place.word.checked_shr(shift).unwrap_or(0) & MASK) as usize;
    let mut starts = [0_usize; 1 << DIGIT_BITS];
    from.iter().for_each(|place| starts[digit(place)] += 1);
    let mut next = 0;
    for start in &mut starts {
        next += std::mem::replace(start, next);
    }
    for place in from {
        let start = &mut starts[digit(place)];
        into[*start] = *place;
        *start += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_sorted_whatever_bits_differ(
            mask in prop_oneof![any::<u64>(), Just(u64::MAX), Just(0x0F0F_0F0F_0F0F_0F0F), Just(0), Just(1), Just(1 << 63)],
            same in any::<u64>(),
            words in prop::collection::vec(any::<u64>(), 0..(3 * DEALT_MIN)),
        ) {
            let places = words.iter().enumerate();
            let mut places: Vec<Place> =
                places.map(|(at, word)| Place { word: (word & mask) | (same & !mask), at }).collect();
            let mut expected: Vec<(u64, usize)> = places.iter().map(|place| (place.word, place.at)).collect();
            expected.sort_unstable();
            by_word(&mut places);
            let found: Vec<usize> = places.iter().map(|place| place.at).collect();
            prop_assert_eq!(found, expected.iter().map(|(_, at)| *at).collect::<Vec<_>>());
            let runs = |words: Vec<u64>| words.windows(2).map(|two| two[0] == two[1]).collect::<Vec<_>>();
            let of_places = runs(places.iter().map(|place| place.word).collect());
            prop_assert_eq!(of_places, runs(expected.iter().map(|(word, _)| *word).collect()));
        }
    }
}
