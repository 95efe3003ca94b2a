//! What a store's requests took of what is paid for and limited.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Units that requests took, as the service counts them; all zero for stores that do not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Read units.
    pub read_units: u64,
    /// Write units, those of indexes included.
    pub write_units: u64,
    /// Write units that indexes took.
    pub index_write_units: u64,
    /// Writes that were throttled and sent again.
    #[serde(default)]
    pub throttled: u64,
    /// Of these, writes that an index held back.
    #[serde(default)]
    pub held_back_by_indexes: u64,
    /// Writes that were set aside for a while because their partition was too busy.
    #[serde(default)]
    pub parked: u64,
}

impl Spent {
    /// Whether nothing was told.
    pub fn is_nothing(&self) -> bool {
        *self == Spent::default()
    }

    /// What was spent since an earlier count of the same store.
    pub fn since(self, earlier: Spent) -> Spent {
        self.with(earlier, u64::saturating_sub)
    }

    /// What both spent.
    pub fn and(self, more: Spent) -> Spent {
        self.with(more, u64::saturating_add)
    }

    fn with(self, other: Spent, combine: fn(u64, u64) -> u64) -> Spent {
        let Spent { read_units, write_units, index_write_units, throttled, held_back_by_indexes, parked } = self;
        Spent {
            read_units: combine(read_units, other.read_units),
            write_units: combine(write_units, other.write_units),
            index_write_units: combine(index_write_units, other.index_write_units),
            throttled: combine(throttled, other.throttled),
            held_back_by_indexes: combine(held_back_by_indexes, other.held_back_by_indexes),
            parked: combine(parked, other.parked),
        }
    }
}

/// Counts what is spent. Units come in halves and smaller: they are counted in thousandths and told rounded up.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) read: Units,
    pub(super) write: Units,
    pub(super) index_write: Units,
    pub(super) throttled: AtomicU64,
    pub(super) held_back_by_indexes: AtomicU64,
    pub(super) parked: AtomicU64,
}

/// Units of one kind, in thousandths.
#[derive(Debug, Default)]
pub(super) struct Units(AtomicU64);

impl Units {
    pub(super) fn add(&self, units: f64) {
        // What a service tells is a small number that is not negative; anything else counts as nothing.
        self.0.fetch_add((units * 1_000.0).round().max(0.0) as u64, Ordering::Relaxed);
    }

    fn told(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(1_000)
    }
}

impl Meter {
    pub(super) fn told(&self) -> Spent {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Spent {
            read_units: self.read.told(),
            write_units: self.write.told(),
            index_write_units: self.index_write.told(),
            throttled: count(&self.throttled),
            held_back_by_indexes: count(&self.held_back_by_indexes),
            parked: count(&self.parked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_add_up_and_counts_are_told_apart() {
        let meter = Meter::default();
        (0..5).for_each(|_| meter.read.add(0.5));
        meter.write.add(f64::NAN);
        let before = meter.told();
        assert_eq!((before.read_units, before.write_units), (3, 0));
        meter.write.add(2.0);
        meter.parked.fetch_add(1, Ordering::Relaxed);
        let spent = meter.told().since(before);
        assert_eq!(spent, Spent { write_units: 2, parked: 1, ..Spent::default() });
        assert_eq!(spent.and(spent).write_units, 4);
    }
}
