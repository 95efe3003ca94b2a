//! The edge: the terminal's events and the session's news in, effects and drawings out.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

use super::desk::Desk;
use super::message::{Effect, Job, Message, Tick};
use super::state::{Model, Setting, Tone};
use super::terminal::{Taken, TerminalError};
use super::theme::Theme;
use super::update::update;
use super::view;
use super::work::{Companions, Judge, Tools, Work, chain};
use crate::guide::{Companion, Next, ReportError, ReportForm, Subject, write_report};
use crate::journal::Journal;
use crate::model::Clock;
use crate::profile::Profile;
use crate::report::{Disclosure, KeyDisplay, ValueDisplay};
use crate::session::{Exit, LiveProgress, Pace, Session, SessionError, read_progress, write_adoption};

/// How often time passes on the screen.
const TICK: Duration = Duration::from_millis(200);
/// Messages taken in before the screen is drawn again.
const MESSAGES_AT_ONCE: usize = 256;
/// Where commands of the profile write to while the screen is up.
const SCREEN_LOG: &str = "screen.log";
/// The folder within the session's for the files by which others adopt what was restored.
const ADOPTION: &str = "iac";
/// How much of that is read for the screen, in bytes.
const PRINTED_MAX: u64 = 4_096;

/// What the person at the wheel sits down with.
pub struct Seat {
    /// The session.
    pub session: Session,
    /// The profile's file.
    pub profile_file: PathBuf,
    /// How failures are judged.
    pub judge: Judge,
    /// Who decides: written beside every decision.
    pub by: String,
    /// Who goes along: the drill's narrator.
    pub companion: Option<Box<dyn Companion>>,
    /// Signs and colours of this terminal.
    pub theme: (bool, bool),
}

/// What a second person looks on with.
pub struct Guest {
    /// The session's folder.
    pub folder: PathBuf,
    /// The profile.
    pub profile: Profile,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Signs and colours of this terminal.
    pub theme: (bool, bool),
}

/// How a guided session was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The exit code: done, a person must decide, or run it again to go on.
    pub exit: Exit,
    /// Why.
    pub why: String,
    /// What the narrator said last.
    pub narrator: Vec<String>,
}

/// Runs the guided session until the operator leaves.
///
/// # Errors
///
/// [`TerminalError`] when the terminal cannot be used.
pub async fn run(seat: Seat) -> Result<Ending, TerminalError> {
    let Seat { session, profile_file, judge, by, companion, theme } = seat;
    let session = Arc::new(session);
    let (told, messages) = unbounded_channel();
    let mut setting = Setting::of(session.profile(), session.folder());
    setting.drill = companion.is_some();
    let companion: Companions = Arc::new(Mutex::new(companion));
    let log = session.folder().join(SCREEN_LOG);
    let clock = session.surroundings().clock.clone();
    let taken = Taken::take(Some(&log))?;
    let desk = Desk::open(session.journal().clone(), told.clone());
    let tools = Tools { session: session.clone(), judge, companion: companion.clone(), told: told.clone() };
    if let Some(companion) = companion.lock().await.as_mut() {
        let _ = told.send(Message::Narrated(companion.opened().await));
    }
    let wheel = Wheel { tools, work: Work::default(), by, profile_file };
    let mut screen = Screen { taken, messages, told, desk, clock, wheel: Some(wheel), log };
    let size = screen.size();
    let model = Model::new(setting, themed(theme), screen.clock.now(), size);
    screen.show(model).await
}

/// Shows a running or ended session to a second person, read-only.
///
/// # Errors
///
/// [`SessionError`] when there is no session to look at, else the terminal's, as [`SessionError::File`].
pub async fn watch(guest: Guest) -> Result<Ending, WatchError> {
    let Guest { folder, profile, clock, theme } = guest;
    let journal = Arc::new(Journal::read_only(&folder, clock.clone()).map_err(SessionError::from)?);
    let (told, messages) = unbounded_channel();
    let mut setting = Setting::of(&profile, &folder);
    setting.watching = true;
    let taken = Taken::take(None)?;
    let desk = Desk::open(journal, told.clone());
    let log = folder.join(SCREEN_LOG);
    let mut screen = Screen { taken, messages, told, desk, clock, wheel: None, log };
    let size = screen.size();
    let model = Model::new(setting, themed(theme), screen.clock.now(), size);
    Ok(Ending { exit: Exit::Done, ..screen.show(model).await? })
}

/// Why a session cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no session, or it cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The terminal cannot be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
}

fn themed((colour, unicode): (bool, bool)) -> Theme {
    Theme { colour, unicode }
}

/// What only the person at the wheel has.
struct Wheel {
    tools: Tools,
    work: Work,
    by: String,
    profile_file: PathBuf,
}

/// The running screen.
struct Screen {
    taken: Taken,
    messages: UnboundedReceiver<Message>,
    told: UnboundedSender<Message>,
    desk: Desk,
    clock: Arc<dyn Clock>,
    wheel: Option<Wheel>,
    log: PathBuf,
}

impl Screen {
    fn size(&self) -> (u16, u16) {
        self.taken.screen.size().map_or((80, 24), |size| (size.width, size.height))
    }

    /// Shows the model until it is left or the terminal is gone.
    async fn show(&mut self, mut model: Model) -> Result<Ending, TerminalError> {
        let mut keys = EventStream::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !model.leaving {
            self.taken.screen.draw(|frame| view::draw(frame, &model))?;
            let message = tokio::select! {
                key = keys.next() => match key {
                    Some(Ok(Event::Key(key))) => Some(Message::Key(key)),
                    Some(Ok(Event::Mouse(mouse))) => Some(Message::Mouse(mouse)),
                    Some(Ok(Event::Resize(columns, rows))) => Some(Message::Resize(columns, rows)),
                    Some(Ok(_)) => None,
                    // The line was dropped: nothing is lost, run goes on from here.
                    Some(Err(_)) | None => break,
                },
                message = self.messages.recv() => message,
                _ = ticks.tick() => Some(Message::Tick(self.tick())),
            };
            let mut next = message;
            for _ in 0..MESSAGES_AT_ONCE {
                let Some(message) = next else { break };
                let effects = update(&mut model, message);
                self.carry_out(&mut model, effects).await?;
                next = self.messages.try_recv().ok();
            }
        }
        if let Some(wheel) = &mut self.wheel {
            wheel.work.stop(&wheel.tools).await;
        }
        Ok(ending(&model))
    }

    fn tick(&mut self) -> Tick {
        let now = self.clock.now();
        match &self.wheel {
            Some(wheel) => Tick { now, tasks: wheel.tools.session.tasks().snapshot(), pace: self.pace().now() },
            None => {
                let live: Option<LiveProgress> = self.log.parent().and_then(read_progress);
                let (tasks, pace) = live.map(|live| (live.tasks, live.pace)).unwrap_or_default();
                Tick { now, tasks, pace }
            }
        }
    }

    fn pace(&self) -> Arc<Pace> {
        self.wheel.as_ref().map_or_else(Arc::default, |wheel| wheel.tools.session.surroundings().pace.clone())
    }

    async fn carry_out(&mut self, model: &mut Model, effects: Vec<Effect>) -> Result<(), TerminalError> {
        for effect in effects {
            match effect {
                Effect::Ask { .. } => self.desk.ask(effect, &model.state),
                Effect::Mouse(wanted) => self.taken.mouse(wanted)?,
                Effect::Leave => model.leaving = true,
                Effect::Pace(change) => self.pace().change(change),
                effect => self.at_the_wheel(effect).await,
            }
        }
        self.printed(model);
        Ok(())
    }

    /// What the profile's commands printed since the screen is up.
    fn printed(&self, model: &mut Model) {
        let lines = tail(&self.log).unwrap_or_default();
        if lines != model.printed {
            update(model, Message::Printed(lines));
        }
    }

    async fn at_the_wheel(&mut self, effect: Effect) {
        let Some(wheel) = &mut self.wheel else { return };
        let tools = wheel.tools.clone();
        let (told, by) = (self.told.clone(), wheel.by.clone());
        match effect {
            Effect::Run(action) => wheel.work.begin(&tools, Job::Action(action)),
            Effect::Begin(job) => wheel.work.begin(&tools, job),
            Effect::Stop => wheel.work.stop(&tools).await,
            Effect::Retreat => wheel.work.retreat(&tools).await,
            Effect::Allow(allowances, what) => {
                let allowed = tools.session.allow(allowances, what, &by);
                say(&told, allowed.map(|()| "allowed, and recorded: the plan is made anew".to_owned()));
            }
            Effect::Look(row) => {
                tokio::spawn(async move {
                    let looked = tools.session.look(&row.store, &row.canonical_key).await;
                    let sides = Box::new(looked.map_err(|error| chain(&error).join(": ")));
                    let _ = told.send(Message::Sides { store: row.store, key: row.key_json, sides });
                });
            }
            Effect::Decide(picked, choice) => {
                tokio::spawn(async move {
                    let decided = tools.session.decide(&picked, choice, &by).await;
                    say(&told, decided.map(|outcome| decided_words(outcome.items, choice.consequence())));
                });
            }
            Effect::TakeBack(number) => {
                let taken = tools.session.take_back(number, &by);
                say(&told, taken.map(|_| format!("decision {number} is taken back: its items are held again")));
            }
            Effect::Report(form, disclosure) => {
                let report = report_of(&tools.session, &wheel.profile_file, (form, disclosure));
                say(&told, report.map(|path| format!("report written to {}", path.display())));
            }
            Effect::Adopt => {
                let folder = tools.session.folder().join(ADOPTION);
                let written = write_adoption(tools.session.folder(), &[], &folder);
                say(&told, written.map(|files| adoption_words(files, &folder)));
            }
            Effect::Ask { .. } | Effect::Mouse(_) | Effect::Leave | Effect::Pace(_) => {}
        }
    }
}

fn decided_words(items: u64, consequence: &str) -> String {
    match items {
        0 => "nothing was decided: none of these items is held".into(),
        1 => format!("decided: {consequence}"),
        items => format!("decided about {items} items: {consequence}"),
    }
}

fn adoption_words(files: usize, folder: &Path) -> String {
    match files {
        0 => "nothing takes another resource's place, as of the last check".into(),
        files => format!("{files} files written to {}: begin with README.md", folder.display()),
    }
}

fn say<E: std::error::Error>(told: &UnboundedSender<Message>, done: Result<String, E>) {
    let (tone, words) = match done {
        Ok(words) => (Tone::Good, words),
        Err(error) => (Tone::Bad, chain(&error).join(": ")),
    };
    let _ = told.send(Message::Said(tone, words));
}

fn tail(log: &Path) -> Option<Vec<String>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(PRINTED_MAX))).ok()?;
    let mut bytes = Vec::new();
    file.take(PRINTED_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Writes a report into the session's folder; it takes its place once it is whole. One that shows more or less than others
/// has a name of its own.
fn report_of(
    session: &Session,
    profile_file: &Path,
    (form, disclosure): (ReportForm, Disclosure),
) -> Result<PathBuf, ReportError> {
    let subject = Subject {
        journal: session.journal(),
        profile: session.profile(),
        profile_file,
        stores: &[],
        now: session.surroundings().clock.now(),
    };
    let values = if disclosure.values == ValueDisplay::Shown { "-with-values" } else { "" };
    let keys = if disclosure.keys == KeyDisplay::Masked { "-without-keys" } else { "" };
    let path = session.folder().join(format!("report{values}{keys}.{}", form.extension()));
    let draft = tempfile::NamedTempFile::new_in(session.folder()).map_err(ReportError::Write)?;
    let mut out = BufWriter::new(draft);
    write_report(form, &subject, disclosure, &mut out)?;
    let draft = out.into_inner().map_err(|error| ReportError::Write(error.into_error()))?;
    draft.persist(&path).map_err(|error| ReportError::Write(error.error))?;
    Ok(path)
}

fn ending(model: &Model) -> Ending {
    let advice = model.advice();
    let exit = match advice.next {
        Next::Nothing => Exit::Done,
        Next::Decide => Exit::Undecided,
        Next::Do(_) => Exit::Interrupted,
    };
    Ending { exit, why: advice.why, narrator: model.narrator.clone() }
}
