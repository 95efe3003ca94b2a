//! Carries out a plan, step by step, guarded and journalled; and takes it back.
//!
//! The order of one step: read dr (still what was planned?), read the primary, already there: done, not as expected:
//! refused, intent with the prior image on stable storage, conditional write, done. The runner makes no choices.

mod image;
mod runner;
mod undo;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use image::{ImageError, decode_image, encode_image};
pub use runner::{Mode, replay_store};
pub use undo::{UndoSummary, undo_store};

use crate::journal::{FoundImage, Journal, JournalError};
use crate::model::{Item, Side, StoreId};
use crate::store::{Counter, Finding, Spent, StoreError, StorePair};

/// What a replay works with.
pub struct Context<'a> {
    /// The journal: no journal, no replay.
    pub journal: &'a Journal,
    /// Both sides of the store.
    pub pair: &'a StorePair,
    /// The folder where bodies go that a write would destroy.
    pub saved: PathBuf,
    /// Tells what has expired since the plan.
    pub clock: &'a dyn crate::model::Clock,
    /// Told how it gets on.
    pub progress: &'a dyn crate::compare::Progress,
}

/// What came of replaying one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaySummary {
    /// Steps written now.
    pub applied: u64,
    /// Steps whose wanted contents were there already.
    pub already: u64,
    /// Steps refused: the primary changed since the plan, or the store would not take it.
    pub refused: u64,
    /// Steps whose dr item changed since the plan: the next pass plans them anew.
    pub stale: u64,
    /// Counters raised on the primary.
    pub counters: Vec<Counter>,
    /// What the guarded writes could not check, checked afterwards.
    pub findings: Vec<Finding>,
    /// What the requests to both sides took, where the services tell.
    #[serde(default, skip_serializing_if = "Spent::is_nothing")]
    pub spent: Spent,
}

impl ReplaySummary {
    /// Steps that were looked at.
    pub fn steps(&self) -> u64 {
        self.applied + self.already + self.refused + self.stale
    }
}

/// A replay or undo that had to stop; run the same command to resume.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A side could not be read.
    #[error("cannot read {side} of store {store}")]
    Read {
        /// The store.
        store: StoreId,
        /// The side.
        side: Side,
        /// Why.
        source: StoreError,
    },
    /// The primary could not be written; what was under way is looked at again when the command is run again.
    #[error("cannot write the primary of store {store}")]
    Write {
        /// The store.
        store: StoreId,
        /// Why.
        source: StoreError,
    },
    /// The journal failed: nothing is written without it.
    #[error("the journal failed, so nothing more was written")]
    Journal(#[from] JournalError),
    /// A stored prior image cannot be read.
    #[error("a prior image of store {store} cannot be read")]
    Image {
        /// The store.
        store: StoreId,
        /// Why.
        source: ImageError,
    },
}

/// What a refused write found, as the journal keeps it.
fn found_image(found: Option<Box<Item>>) -> Option<FoundImage> {
    found.map(|item| FoundImage { digest: item.digest, image: encode_image(&item) })
}

/// Whether an item (or its absence) is what a digest says, without looking at bodies.
fn is_what(item: &Option<Item>, digest: &Option<crate::model::Digest>) -> bool {
    match (item, digest) {
        (None, None) => true,
        (Some(item), Some(digest)) => item.is_proved_by(digest),
        _ => false,
    }
}
