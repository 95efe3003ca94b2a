//! The order of steps: shuffled, so that no run of neighbouring keys meets one partition, and the same for the same data.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Step;
use crate::model::Digest;

/// Steps held back at a time to be shuffled among one another; it bounds the memory.
const HELD_BACK: usize = 20_000;

/// Gives steps in another order than they came.
#[derive(Debug)]
pub struct Shuffle {
    held_back: Vec<Step>,
    random: ChaCha8Rng,
}

impl Shuffle {
    /// An order that follows from `seed` and from the order in which steps come.
    pub fn new(seed: Digest) -> Shuffle {
        Shuffle { held_back: Vec::new(), random: ChaCha8Rng::from_seed(seed.0) }
    }

    /// Takes a step; gives one that is due, once enough are held back.
    pub fn push(&mut self, step: Step) -> Option<Step> {
        self.held_back.push(step);
        if self.held_back.len() > HELD_BACK { self.next() } else { None }
    }

    /// The next of the steps that are left.
    #[expect(clippy::should_implement_trait, reason = "it is drained between pushes, which an iterator is not")]
    pub fn next(&mut self) -> Option<Step> {
        if self.held_back.is_empty() {
            return None;
        }
        let at = self.random.random_range(0..self.held_back.len());
        Some(self.held_back.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, Key, StoreId, Verdict};

    fn step(number: u32) -> Step {
        Step {
            store: StoreId("orders".into()),
            key: Key::from_canonical(number.to_be_bytes().to_vec()),
            key_json: String::new(),
            verdict: Verdict::DrOnly,
            change: Change::Insert,
            expected: None,
            wanted: None,
            phase: 0,
            bytes: 1,
        }
    }

    fn shuffled(seed: u8, count: u32) -> Vec<Key> {
        let mut shuffle = Shuffle::new(Digest([seed; 32]));
        let mut keys: Vec<Key> = (0..count).filter_map(|n| shuffle.push(step(n))).map(|step| step.key).collect();
        keys.extend(std::iter::from_fn(|| shuffle.next()).map(|step| step.key));
        keys
    }

    #[test]
    fn every_step_comes_once_in_an_order_that_follows_from_the_seed() {
        let count = HELD_BACK as u32 + 5_000;
        let one = shuffled(1, count);
        assert_eq!(one, shuffled(1, count));
        assert_ne!(one, shuffled(2, count));
        let neighbours = one.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((count as usize * 2 / 5..count as usize * 3 / 5).contains(&neighbours), "{neighbours} ascend");
        let mut sorted = one;
        sorted.sort();
        assert_eq!(sorted, (0..count).map(|n| step(n).key).collect::<Vec<_>>());
    }
}
