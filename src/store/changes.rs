//! What a store's own change log tells: which keys were touched since an instant, and how.
//!
//! A log narrows what a catch-up pass reads again; it never stands in for a reading that must be whole. What it cannot tell
//! in full it says: a gap is answered by reading everything, never by what is left of the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{Digest, Key, Timestamp};

/// Where a change log stood at an instant; kept between passes, and read only by the kind of store that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// What tells this log from one that was switched on later, such as a stream's ARN.
    pub log: String,
    /// When it stood there, by this machine's clock: before whatever was read after it was asked for.
    pub at: Timestamp,
    /// The position, in the store's own terms.
    pub position: Json,
}

/// Whether a store has a change log that can be followed from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStart {
    /// Everything written from now on will be after this mark.
    Mark(LogMark),
    /// It has none; why, in words.
    NoLog(String),
}

impl LogStart {
    /// The mark, where there is one.
    pub fn mark(&self) -> Option<&LogMark> {
        match self {
            LogStart::Mark(mark) => Some(mark),
            LogStart::NoLog(_) => None,
        }
    }
}

/// What a change log tells of the time since a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Every change since the mark that the log has by now.
    All(ChangeSet),
    /// The log does not reach back to the mark without a gap; why, in words. Everything must be read instead.
    Gap(String),
    /// There is no log any more; why, in words. Everything must be read instead.
    NoLog(String),
}

/// The changes of one reading of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// The touched keys, each with its records in the order they happened.
    pub keys: BTreeMap<Key, Vec<ChangeRecord>>,
    /// Where the next reading goes on.
    pub until: LogMark,
}

impl ChangeSet {
    /// Records of all keys.
    pub fn records(&self) -> u64 {
        self.keys.values().map(|records| records.len() as u64).sum()
    }
}

/// Everything a change log still has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Since when it has every change, where that can be told.
    pub whole_since: Option<Timestamp>,
    /// The changes.
    pub changes: Changes,
}

/// One change of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRecord {
    /// About when it happened, where the log tells.
    pub at: Option<Timestamp>,
    /// What was there before.
    pub before: Image,
    /// What was there afterwards.
    pub after: Image,
    /// Whether the store itself removed the item because its time to live was over: proved, not guessed.
    pub by_expiry: bool,
}

/// What a log says of an item at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The log does not keep contents, or not these.
    Untold,
    /// There was no such item.
    Absent,
    /// It had these contents.
    Present(Digest),
}

impl Image {
    /// What was there, where the log tells: the inner `None` is no item.
    pub fn told(self) -> Option<Option<Digest>> {
        match self {
            Image::Untold => None,
            Image::Absent => Some(None),
            Image::Present(digest) => Some(Some(digest)),
        }
    }
}
