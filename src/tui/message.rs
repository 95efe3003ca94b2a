//! What comes in to the screen, and what it asks for.

use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};

use super::state::{Tone, Trouble};
use crate::guide::ReportForm;
use crate::model::{StoreId, Timestamp};
use crate::plan::Allowances;
use crate::report::Disclosure;
use crate::session::{
    Action, BrowseRow, Choice, Exit, Filter, ItemSides, PaceChange, PaceState, Picked, SessionState, Sort, TaskProgress,
};

/// Something that came in.
#[derive(Debug, Clone)]
pub enum Message {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal has other columns and rows now.
    Resize(u16, u16),
    /// Time passed.
    Tick(Tick),
    /// Something happened in the session.
    Session(Box<SessionNews>),
    /// An action began.
    Began(Action),
    /// An action ended.
    Ended(Ended),
    /// The number of lines and the first ones, as an answer to a question.
    Window(Window),
    /// The contents of an item.
    Sides {
        /// The item's store.
        store: StoreId,
        /// The item's key as JSON text.
        key: String,
        /// What it is on each side, or why that cannot be told.
        sides: Box<Result<ItemSides, String>>,
    },
    /// A line for the operator.
    Said(Tone, String),
    /// What a piece of work found, to be read at once.
    Told {
        /// What it is.
        title: String,
        /// Its lines.
        lines: Vec<String>,
    },
    /// The narrator of a drill said something.
    Narrated(Vec<String>),
    /// What the profile's commands printed.
    Printed(Vec<String>),
}

/// What is known anew with every tick.
#[derive(Debug, Clone)]
pub struct Tick {
    /// The time.
    pub now: Timestamp,
    /// The tasks under way.
    pub tasks: Vec<TaskProgress>,
    /// How fast is written.
    pub pace: PaceState,
}

/// What happened in the session.
#[derive(Debug, Clone)]
pub struct SessionNews {
    /// What has happened so far.
    pub state: Arc<SessionState>,
    /// The last event that is in it.
    pub seq: i64,
    /// Held items that nobody has decided about.
    pub undecided: u64,
    /// The events that came, in words.
    pub events: Vec<(Timestamp, String)>,
    /// Whether the list of differences must be read anew.
    pub delta_changed: bool,
}

/// How an action ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which.
    pub action: Action,
    /// Its exit code.
    pub exit: Exit,
    /// Why it failed, where it did.
    pub trouble: Option<Trouble>,
    /// The last event it left: it has ended on the screen once that is seen there.
    pub seq: i64,
}

/// A part of the list of differences.
#[derive(Debug, Clone)]
pub struct Window {
    /// The question that this answers.
    pub question: u64,
    /// Lines in all, or why there is no list.
    pub total: Result<u64, String>,
    /// The first line given.
    pub first: u64,
    /// The lines.
    pub rows: Vec<BrowseRow>,
}

/// Work that is more than an action, or another sort of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// An action that needs nothing more.
    Action(Action),
    /// A checkpoint under a name.
    Checkpoint(String),
    /// The exports that save the bases of tables.
    Rescue,
    /// A plan for which everything is read, whatever change logs tell.
    Rescan,
    /// A quick look at a part of every store.
    Sample,
}

impl Job {
    /// As which action it is recorded.
    pub fn action(&self) -> Action {
        match self {
            Job::Action(action) => *action,
            Job::Checkpoint(_) | Job::Rescue => Action::Checkpoint,
            Job::Rescan => Action::Plan,
            Job::Sample => Action::Diff,
        }
    }
}

/// Something that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Begin an action.
    Run(Action),
    /// End the action under way.
    Stop,
    /// End the action under way and give all traffic back to dr.
    Retreat,
    /// Remember what was allowed beyond the limits.
    Allow(Allowances, Vec<String>),
    /// Read the list of differences.
    Ask {
        /// Counts up.
        question: u64,
        /// What is shown.
        filter: Filter,
        /// In which order.
        sort: Sort,
        /// The first line wanted.
        first: u64,
        /// How many lines.
        rows: usize,
    },
    /// Read an item's three sides.
    Look(Box<BrowseRow>),
    /// Record a decision.
    Decide(Picked, Choice),
    /// Take a decision back.
    TakeBack(i64),
    /// Write faster or slower.
    Pace(PaceChange),
    /// Write a report.
    Report(ReportForm, Disclosure),
    /// Write the files by which others adopt what was restored.
    Adopt,
    /// Begin work that is more than an action.
    Begin(Job),
    /// Use the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Leave.
    Leave,
}
