//! Reads the session's files for the screen, on threads of its own: a long list never holds up a key.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::message::{Effect, Message, SessionNews, Window};
use super::state::Tone;
use super::view::event_words;
use super::work::chain;
use crate::journal::{Event, EventRecord, Journal};
use crate::session::{DeltaFile, DeltaIndex, Filter, Follower, Result, SessionState, Sort, delta_file, undecided};

/// How often the journal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Tells a thread to end, and waits for it.
pub struct Desk {
    ended: Arc<AtomicBool>,
    asked: Sender<Question>,
    threads: Vec<JoinHandle<()>>,
}

/// A question about the list of differences.
struct Question {
    question: u64,
    filter: Filter,
    sort: Sort,
    first: u64,
    rows: usize,
    state: Arc<SessionState>,
}

impl Desk {
    /// Opens a desk on a session's journal; answers go to `told`.
    pub fn open(journal: Arc<Journal>, told: UnboundedSender<Message>) -> Desk {
        let ended = Arc::new(AtomicBool::new(false));
        let (asked, questions) = channel();
        let follow = {
            let (journal, told, ended) = (journal.clone(), told.clone(), ended.clone());
            std::thread::spawn(move || follow(&journal, &told, &ended))
        };
        let browse = {
            let ended = ended.clone();
            std::thread::spawn(move || Browsing { journal, ended, index: None, selected: None }.run(&questions, &told))
        };
        Desk { ended, asked, threads: vec![follow, browse] }
    }

    /// Asks for a part of the list of differences.
    pub fn ask(&self, asked: Effect, state: &Arc<SessionState>) {
        let Effect::Ask { question, filter, sort, first, rows } = asked else { return };
        // A thread that has ended has told why.
        let _ = self.asked.send(Question { question, filter, sort, first, rows, state: state.clone() });
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Tells what happens in the session, until the desk is closed.
fn follow(journal: &Journal, told: &UnboundedSender<Message>, ended: &AtomicBool) {
    let mut follower = Follower::default();
    let mut is_first = true;
    while !ended.load(Ordering::Relaxed) {
        match follower.poll(journal).and_then(|events| news(journal, &follower, &events, is_first)) {
            Ok(Some(news)) => {
                is_first = false;
                if told.send(Message::Session(Box::new(news))).is_err() {
                    return;
                }
                // More may be there already.
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                let words = format!("the journal cannot be followed: {}", chain(&error).join(": "));
                let _ = told.send(Message::Said(Tone::Bad, words));
                return;
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn news(journal: &Journal, follower: &Follower, events: &[EventRecord], first: bool) -> Result<Option<SessionNews>> {
    if events.is_empty() && !first {
        return Ok(None);
    }
    let changes_delta = |event: &Event| {
        matches!(
            event,
            Event::Compared { .. } | Event::Planned { .. } | Event::Decided { .. } | Event::TakenBack { .. }
        )
    };
    Ok(Some(SessionNews {
        state: Arc::new(follower.state.clone()),
        seq: follower.seq(),
        undecided: undecided(journal, &follower.state)?,
        events: events.iter().filter_map(|record| Some((record.at, event_words(&record.event)?))).collect(),
        delta_changed: events.iter().any(|record| changes_delta(&record.event)),
    }))
}

/// Answers questions about the list of differences.
struct Browsing {
    journal: Arc<Journal>,
    ended: Arc<AtomicBool>,
    /// What is indexed, and as of what.
    index: Option<(Vec<Fresh>, DeltaIndex)>,
    selected: Option<(Filter, Sort, u64)>,
}

/// A delta file with what its index rests on.
#[derive(Clone, PartialEq)]
struct Fresh {
    file: DeltaFile,
    read_until: crate::model::Timestamp,
    /// Decisions made and taken back: what is held changes with them.
    decisions: (usize, usize),
}

impl Browsing {
    fn run(mut self, questions: &Receiver<Question>, told: &UnboundedSender<Message>) {
        while !self.ended.load(Ordering::Relaxed) {
            let mut question = match questions.recv_timeout(LOOK_EVERY) {
                Ok(question) => question,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Only the newest question is worth an answer.
            while let Ok(newer) = questions.try_recv() {
                question = newer;
            }
            let number = question.question;
            let answer = self.answer(&question).unwrap_or_else(|error| Window {
                question: number,
                total: Err(chain(&error).join(": ")),
                first: 0,
                rows: Vec::new(),
            });
            if told.send(Message::Window(answer)).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, asked: &Question) -> Result<Window> {
        let Question { question, filter, sort, first, rows, state } = asked;
        let fresh = self.files(state)?;
        if self.index.as_ref().is_none_or(|(known, _)| *known != fresh) {
            (self.index, self.selected) = (None, None);
            let files = fresh.iter().map(|fresh| fresh.file.clone()).collect();
            let built =
                DeltaIndex::build(self.journal.folder(), files, (&self.journal, &state.taken_back()), &self.ended)?;
            self.index = built.map(|index| (fresh, index));
        }
        let Some((_, index)) = &self.index else {
            return Ok(Window { question: *question, total: Ok(0), first: 0, rows: Vec::new() });
        };
        let total = match &self.selected {
            Some((known, order, total)) if known == filter && order == sort => *total,
            _ => index.select(filter, *sort)?,
        };
        self.selected = Some((filter.clone(), *sort, total));
        let first = (*first).min(total.saturating_sub(1));
        Ok(Window { question: *question, total: Ok(total), first, rows: index.window(first, *rows)? })
    }

    /// The newest delta file of every store, with the newest plan.
    fn files(&self, state: &SessionState) -> Result<Vec<Fresh>> {
        let plans = crate::session::newest_plans(&self.journal)?;
        let decisions = (state.decisions.len(), state.taken_back().len());
        let compared = state.newest_comparisons().into_iter();
        Ok(compared
            .map(|(store, (_, comparison))| {
                let path: PathBuf = delta_file(self.journal.folder(), comparison);
                let plan = plans.iter().find(|(planned, _)| planned == store).map(|(_, number)| *number);
                let file = DeltaFile { store: store.clone(), kind: comparison.kind, path, plan };
                Fresh { file, read_until: comparison.read_until(), decisions }
            })
            .collect())
    }
}
