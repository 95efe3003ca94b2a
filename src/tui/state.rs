//! Everything the screen shows; changed by [`super::update`] only, drawn by [`super::view`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tui_input::Input;

use super::keymap::Command;
use super::message::{Effect, Ended};
use super::theme::Theme;
use crate::guide::{Advice, Gate, Means, Progress, Stage, advise, stages};
use crate::model::{StoreId, Timestamp};
use crate::session::{Action, BrowseRow, Filter, ItemSides, PaceState, SessionState, Sort, TaskProgress};

/// Events kept for the journal screen.
pub const EVENTS_KEPT: usize = 2_000;
/// Samples of the replay's rate kept for its curve.
pub const RATES_KEPT: usize = 240;

/// What the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Screen {
    /// One row a store.
    Stores,
    /// One store in full.
    Store,
    /// Every difference.
    Delta,
    /// Held items.
    Held,
    /// One item, three sides.
    Item,
    /// The plan.
    Plan,
    /// Replay and catch-up.
    Replay,
    /// Freeze, verification, certificate.
    Verify,
    /// The dial.
    Cutover,
    /// All that happened.
    Journal,
}

impl Screen {
    /// The screens with a number, in order.
    pub const TABS: [Screen; 8] = [
        Screen::Stores,
        Screen::Delta,
        Screen::Held,
        Screen::Plan,
        Screen::Replay,
        Screen::Verify,
        Screen::Cutover,
        Screen::Journal,
    ];

    /// The word on its tab.
    pub fn word(self) -> &'static str {
        match self {
            Screen::Stores => "stores",
            Screen::Store => "store",
            Screen::Delta => "delta",
            Screen::Held => "held",
            Screen::Item => "item",
            Screen::Plan => "plan",
            Screen::Replay => "replay",
            Screen::Verify => "verify",
            Screen::Cutover => "cutover",
            Screen::Journal => "journal",
        }
    }
}

/// What does not change while the screen is up.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The profile's name.
    pub profile: String,
    /// The session's folder.
    pub folder: String,
    /// The primary's Region.
    pub primary_region: String,
    /// dr's Region.
    pub dr_region: String,
    /// T0, where the profile has it.
    pub disaster_at: Option<Timestamp>,
    /// The stores, in the profile's order, with their kind.
    pub stores: Vec<(StoreId, String)>,
    /// What the profile gives to work with.
    pub means: Means,
    /// The freeze command, as it is run.
    pub freeze: Option<String>,
    /// How the fence is proved, in words.
    pub fence: String,
    /// The cutover, where the profile has one.
    pub cutover: Option<CutoverSetting>,
    /// Whether a second person only looks on.
    pub watching: bool,
    /// Whether this is a rehearsal, which has a narrator.
    pub drill: bool,
}

/// What the profile says of the cutover.
#[derive(Debug, Clone)]
pub struct CutoverSetting {
    /// The record.
    pub record: String,
    /// The primary's share at each stage, in percent.
    pub stages: Vec<u8>,
    /// How long each stage is watched, in seconds.
    pub hold_seconds: u64,
    /// How health is judged, in words; `None` where it is not.
    pub health: Option<String>,
    /// How old a certificate may be, in seconds.
    pub certificate_age_seconds_max: u64,
}

/// Something that is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What.
    pub action: Action,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As wanted.
    Good,
    /// Good to know.
    Plain,
    /// Needs a person.
    Warning,
    /// Failed.
    Bad,
}

/// A line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub tone: Tone,
    /// What.
    pub words: String,
}

/// A failure in full: what happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The action that failed.
    pub action: Action,
    /// Lines: what failed, its causes, the hint.
    pub lines: Vec<String>,
}

/// The list of differences: a window over the session's files.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    /// What is shown.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Lines in all; `None` while they are being counted.
    pub total: Option<u64>,
    /// The first line of the window.
    pub first: u64,
    /// The window's lines.
    pub rows: Vec<BrowseRow>,
    /// The selected line.
    pub cursor: u64,
    /// Marked items, by store and key.
    pub marked: BTreeSet<(StoreId, String)>,
    /// Counts up with every question, so that late answers are known.
    pub question: u64,
    /// Why there is no list.
    pub trouble: Option<String>,
}

impl Browser {
    /// The selected line, when it is in the window.
    pub fn selected(&self) -> Option<&BrowseRow> {
        let at = self.cursor.checked_sub(self.first)?;
        self.rows.get(usize::try_from(at).ok()?)
    }
}

/// One item, opened.
#[derive(Debug, Clone)]
pub struct OpenItem {
    /// Its line.
    pub row: BrowseRow,
    /// Its three sides; `None` while they are read.
    pub sides: Option<Result<ItemSides, String>>,
    /// Whether contents are shown.
    pub revealed: bool,
    /// The first line shown.
    pub scroll: u16,
    /// The screen it was opened from.
    pub from: Screen,
}

/// What a confirmation asks for.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// What is about to be done.
    pub title: String,
    /// What it means.
    pub lines: Vec<String>,
    /// What must be typed.
    pub wanted: String,
    /// For what it stands: `to delete 1,204 items`.
    pub purpose: String,
    /// What was typed.
    pub input: Input,
    /// What was wrong with the last try.
    pub wrong: Option<String>,
    /// What is done then.
    pub then: Vec<Effect>,
}

/// What lies over the screen.
#[derive(Debug, Clone)]
pub enum Dialog {
    /// Something must be typed first.
    Confirm(Box<Confirm>),
    /// All stages.
    Stages,
    /// All keys; the first line shown.
    Help(u16),
    /// All commands, with what was typed and the line selected.
    Palette(Input, usize),
    /// The text that keys must contain.
    Find(Input),
    /// The name of a checkpoint.
    Checkpoint(Input),
    /// Which decision holds for all items shown.
    DecideAll(u64),
    /// All decisions, with the line selected.
    Decisions(usize),
    /// A failure.
    Trouble(Trouble),
    /// What a piece of work found: a title, and lines.
    Told(String, Vec<String>),
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Model {
    /// What does not change.
    pub setting: Arc<Setting>,
    /// How it looks.
    pub theme: Theme,
    /// The time.
    pub now: Timestamp,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What has happened so far.
    pub state: Arc<SessionState>,
    /// Held items that nobody has decided about.
    pub undecided: u64,
    /// How far this run has come.
    pub progress: Progress,
    /// What is being done.
    pub running: Option<Running>,
    /// The last event that the state knows of.
    pub seq: i64,
    /// An action that ended, whose last event is not in the state yet: what is next would be judged too early.
    pub ending: Option<Ended>,
    /// The tasks of what is being done.
    pub tasks: Vec<TaskProgress>,
    /// Items written per second, one sample a tick, newest last.
    pub rates: VecDeque<u64>,
    /// How fast is written.
    pub pace: PaceState,
    /// The screen shown.
    pub screen: Screen,
    /// The line selected of each screen that is a plain list, or the first line of a text.
    pub lines: BTreeMap<&'static str, usize>,
    /// The list of differences.
    pub browser: Browser,
    /// The item that is open.
    pub item: Option<OpenItem>,
    /// The newest events, in words.
    pub events: VecDeque<(Timestamp, String)>,
    /// What lies over the screen.
    pub dialog: Option<Dialog>,
    /// The newest line for the operator.
    pub notice: Option<Notice>,
    /// What the narrator of a drill said, newest last.
    pub narrator: Vec<String>,
    /// What the commands of the profile printed last.
    pub printed: Vec<String>,
    /// Whether the mouse is used here.
    pub mouse: bool,
    /// Whether it is over.
    pub leaving: bool,
}

impl Model {
    /// A screen on a session of which nothing is known yet.
    pub fn new(setting: Setting, theme: Theme, now: Timestamp, size: (u16, u16)) -> Model {
        Model {
            setting: Arc::new(setting),
            theme,
            now,
            size,
            state: Arc::default(),
            undecided: 0,
            progress: Progress::default(),
            running: None,
            seq: 0,
            ending: None,
            tasks: Vec::new(),
            rates: VecDeque::new(),
            pace: PaceState::default(),
            screen: Screen::Stores,
            lines: BTreeMap::new(),
            browser: Browser::default(),
            item: None,
            events: VecDeque::new(),
            dialog: None,
            notice: None,
            narrator: Vec::new(),
            printed: Vec::new(),
            mouse: false,
            leaving: false,
        }
    }

    /// For whoever looks on: the command that another process is carrying out, and since when.
    pub fn under_way_there(&self) -> Option<(&str, Timestamp)> {
        let (command, since, exit_code) = self.state.commands.last()?;
        let is_at_work = self.setting.watching && exit_code.is_none() && self.tasks.iter().any(|task| !task.ended);
        is_at_work.then_some((command.as_str(), *since))
    }

    /// What is next.
    pub fn advice(&self) -> Advice {
        advise(&self.state, self.setting.means, self.progress, self.undecided)
    }

    /// Every stage with its gate.
    pub fn stages(&self) -> [(Stage, Gate); 9] {
        stages(&self.state, self.setting.means)
    }

    /// The selected line of a plain list.
    pub fn line(&self, screen: Screen) -> usize {
        self.lines.get(screen.word()).copied().unwrap_or(0)
    }

    /// Says something to the operator.
    pub fn say(&mut self, tone: Tone, words: impl Into<String>) {
        self.notice = Some(Notice { tone, words: words.into() });
    }

    /// The commands that a palette offers for what was typed.
    pub fn offered(&self, typed: &str) -> Vec<(Command, String)> {
        super::keymap::all_commands(typed)
    }
}
