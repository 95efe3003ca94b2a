//! What a cutover tells while it goes on, for the journal and the screen.

use std::error::Error;

use serde::{Deserialize, Serialize};

use super::dial::ChangeId;
use super::next_move::Share;
use crate::model::Percent;

/// One thing that is about to happen or has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum CutoverEvent {
    /// A shift is about to be made; it is made only when this could be recorded.
    ShiftIntended {
        /// The weights before.
        from: Share,
        /// The primary's share wanted.
        to: Percent,
    },
    /// Route 53 accepted a shift.
    Shifted {
        /// The primary's share now.
        to: Percent,
        /// The change to follow; `None` when the shift was seen to be made but its reply was lost.
        change: Option<ChangeId>,
    },
    /// The last change reached all DNS servers.
    Insync {
        /// The change.
        change: ChangeId,
        /// How long answers from before it may still be cached, in seconds; 0 in what older versions wrote.
        #[serde(default)]
        ttl_seconds: u64,
    },
    /// Answers from before the change have left well-behaved caches.
    TtlWaited {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The primary was probed.
    Health {
        /// Whether it was found healthy.
        ok: bool,
        /// What was found, in words.
        detail: String,
    },
    /// A retreat is about to be made; it is made also when this cannot be recorded.
    RetreatIntended {
        /// Why.
        reason: String,
    },
    /// All traffic was given back to dr.
    Retreated {
        /// Why.
        reason: String,
        /// The change to follow; `None` when nothing had to be changed or its reply was lost.
        change: Option<ChangeId>,
    },
    /// Somebody else changed the records; nothing more was done.
    Drifted {
        /// What was found.
        reason: String,
    },
    /// Nothing could be shifted and nothing had to be taken back.
    Stopped {
        /// Why.
        reason: String,
    },
    /// The primary serves everything, and was watched doing so.
    Done,
}

/// How a cutover ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum CutoverEnd {
    /// The primary serves everything.
    Done,
    /// Traffic was given back to dr.
    Retreated {
        /// Why.
        reason: String,
    },
    /// Somebody else changed the records.
    Drifted {
        /// What was found.
        reason: String,
    },
    /// Nothing could be shifted and nothing had to be taken back.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Takes events as they happen; an error says that the event could not be recorded.
pub type Observer<'a> = dyn FnMut(CutoverEvent) -> Result<(), Box<dyn Error + Send + Sync>> + Send + 'a;
