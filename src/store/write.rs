//! Guarded writes and what becomes of them.

use serde::{Deserialize, Serialize};

use super::BodySource;
use crate::model::{Item, Key};

/// What the primary must hold for a write to happen.
#[derive(Clone, Copy)]
pub enum Expected<'a> {
    /// No such item.
    Absent,
    /// Exactly this item, as it was just read from the primary.
    Present(&'a Item),
}

/// What the primary shall hold after the write.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// No such item.
    Absent,
    /// Exactly this item; its body, if it has one, comes from `body`.
    Present {
        /// The item, as read from the side it comes from.
        item: &'a Item,
        /// Where its body is read.
        body: &'a dyn BodySource,
    },
}

/// One compare-and-set.
#[derive(Clone, Copy)]
pub struct GuardedWrite<'a> {
    /// The item's key.
    pub key: &'a Key,
    /// The guard.
    pub expected: Expected<'a>,
    /// The after-image.
    pub wanted: Wanted<'a>,
}

/// What became of one guarded write.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was written now.
    Applied,
    /// The wanted contents were there already.
    AlreadyApplied,
    /// The guard did not hold: nothing was written.
    Refused {
        /// What is there instead, where the store could tell.
        found: Option<Box<Item>>,
        /// Why, in words without contents.
        reason: String,
    },
    /// Nothing was written: the place where the item goes takes no more for now. Others do, so it is worth trying later.
    Parked {
        /// Why, in words without contents.
        reason: String,
    },
    /// Another item stands in the way (a unique value, a parent row): worth trying again together with the others.
    Blocked {
        /// Why, in words without contents.
        reason: String,
    },
}

/// A generator of keys, such as a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Its qualified name.
    pub name: String,
    /// The last value it handed out; `None` when it has handed out none.
    pub value: Option<i64>,
    /// The step between values; negative for a descending counter.
    pub increment: i64,
}

impl Counter {
    /// Whether this counter has handed out less than `other` has, along its own direction.
    pub fn is_behind(&self, other: &Counter) -> bool {
        match (self.value, other.value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(theirs)) if self.increment < 0 => own > theirs,
            (Some(own), Some(theirs)) => own < theirs,
        }
    }
}
