//! What has happened so far, folded from the events.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::{PlanSummary, StoreReplay, StoreVerification};
use crate::compare::Comparison;
use crate::journal::{Event, EventRecord, Journal, JournalError};
use crate::model::{Digest, Percent, StoreId, Timestamp};
use crate::store::Finding;
use crate::verify::FenceEvidence;

/// What [`SessionState::newest_comparisons`] says of a comparison that diff or plan read.
pub const READ_BY_DIFF: &str = "diff";
/// What it says of one that a verification read: it asks for no base.
pub const READ_BY_VERIFY: &str = "verify";

/// A session as its journal tells it; enough for a report at any stage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionState {
    /// When the first command began.
    pub began_at: Option<Timestamp>,
    /// When the last event happened.
    pub last_at: Option<Timestamp>,
    /// Commands with when they began and their exit code, where they ended.
    pub commands: Vec<(String, Timestamp, Option<u8>)>,
    /// The newest preflight.
    pub findings: Option<Vec<Finding>>,
    /// The first comparison of each store: what the disaster left.
    pub first_comparisons: BTreeMap<StoreId, Comparison>,
    /// The newest comparison of each store by diff or plan.
    pub comparisons: BTreeMap<StoreId, Comparison>,
    /// The plans: when, id, and what they do.
    pub plans: Vec<(Timestamp, Digest, PlanSummary)>,
    /// What persons decided about held items, in order.
    pub decisions: Vec<DecisionMade>,
    /// A decision that the newest plan may rest on and that was taken back since.
    pub plan_lost_decision: Option<i64>,
    /// What persons allowed beyond the limits: when, who, what.
    pub allowed: Vec<(Timestamp, String, Vec<String>)>,
    /// The replay passes: when, plan, and what came of them.
    pub replays: Vec<(Timestamp, Digest, Vec<StoreReplay>)>,
    /// Steps done, refused and stale, over the whole session.
    pub done: u64,
    /// Refused steps.
    pub refused: u64,
    /// Stale steps.
    pub stale: u64,
    /// Items restored by undo.
    pub undone: u64,
    /// Items that undo left as they are.
    pub undo_refused: u64,
    /// The newest proof that writers are stopped.
    pub fence: Option<FenceEvidence>,
    /// The newest verification: when, whether it found parity, the stores.
    pub verified: Option<(Timestamp, bool, Vec<StoreVerification>)>,
    /// The newest certificate's file.
    pub certificate: Option<String>,
    /// The cutover's steps: when, the share aimed at, the step.
    pub traffic: Vec<(Timestamp, Option<Percent>, Json)>,
    /// Events that this version could not read in full; never hidden.
    pub unread: u64,
}

/// A decision of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionMade {
    /// Its number.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The ruling's word.
    pub choice: String,
    /// What it was decided on, in words.
    pub scope: String,
    /// How many items.
    pub items: u64,
    /// The seal over its items.
    pub seal: String,
    /// The file with both sides' contents, where there is one.
    pub file: Option<String>,
    /// How many plans there were by then; later ones rest on it.
    pub plans_before: usize,
    /// When it was taken back and by whom, where it was.
    pub taken_back: Option<(Timestamp, String)>,
}

impl SessionState {
    /// The numbers of the decisions that were taken back.
    pub fn taken_back(&self) -> BTreeSet<i64> {
        let taken = self.decisions.iter().filter(|decision| decision.taken_back.is_some());
        taken.map(|decision| decision.number).collect()
    }

    /// Folds the events of a journal.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when one cannot be read.
    pub fn of(journal: &Journal) -> Result<SessionState, JournalError> {
        let mut state = SessionState::default();
        journal.each_event(|record| state.apply(&record))?;
        Ok(state)
    }

    /// Folds events in order.
    pub fn fold(events: &[EventRecord]) -> SessionState {
        let mut state = SessionState::default();
        for record in events {
            state.apply(record);
        }
        state
    }

    /// The newest comparison of every store, the verification's included, with the command that read it.
    pub fn newest_comparisons(&self) -> BTreeMap<&StoreId, (&'static str, &Comparison)> {
        let compared = self.comparisons.iter().map(|(store, comparison)| (store, (READ_BY_DIFF, comparison)));
        let mut newest: BTreeMap<_, _> = compared.collect();
        for verified in self.verified.iter().flat_map(|(_, _, stores)| stores) {
            let found = newest.get(&verified.comparison.store).map(|(_, found)| found.read_until());
            if found.is_none_or(|at| at <= verified.comparison.read_until()) {
                newest.insert(&verified.comparison.store, (READ_BY_VERIFY, &verified.comparison));
            }
        }
        newest
    }

    /// Folds one more event.
    pub fn apply(&mut self, record: &EventRecord) {
        let at = record.at;
        self.began_at.get_or_insert(at);
        self.last_at = Some(at);
        match &record.event {
            Event::Began { command, .. } => self.commands.push((command.clone(), at, None)),
            Event::Ended { command, exit_code } => {
                let begun = self.commands.iter_mut().rev().find(|(name, _, _)| name == command);
                begun.into_iter().for_each(|begun| begun.2 = Some(*exit_code));
            }
            Event::Checked { findings } => self.findings = self.read(findings),
            Event::Compared { by, comparison } => self.compared(by, comparison),
            Event::Planned { plan, summary } => {
                let read = self.read(summary);
                self.plans.extend(read.map(|summary| (at, *plan, summary)));
                self.plan_lost_decision = None;
            }
            Event::Decided { number, by, choice, scope, items, seal, file } => self.decisions.push(DecisionMade {
                number: *number,
                at,
                by: by.clone(),
                choice: choice.clone(),
                scope: scope.clone(),
                items: *items,
                seal: seal.clone(),
                file: file.clone(),
                plans_before: self.plans.len(),
                taken_back: None,
            }),
            Event::TakenBack { number, by } => {
                let taken = self.decisions.iter_mut().find(|decision| decision.number == *number);
                if let Some(decision) = taken {
                    decision.taken_back = Some((at, by.clone()));
                    if decision.plans_before < self.plans.len() {
                        self.plan_lost_decision = Some(*number);
                    }
                }
            }
            Event::Allowed { by, what } => self.allowed.push((at, by.clone(), what.clone())),
            Event::Replayed { plan, summary } => {
                let read = self.read(summary);
                self.replays.extend(read.map(|summary| (at, *plan, summary)));
            }
            Event::Done { .. } => self.done += 1,
            Event::Refused { .. } => self.refused += 1,
            Event::Stale { .. } => self.stale += 1,
            Event::Undone { .. } => self.undone += 1,
            Event::UndoRefused { .. } => self.undo_refused += 1,
            Event::Frozen { evidence } => self.fence = self.read(evidence),
            Event::Verified { parity, summary, certificate } => {
                let read = self.read(summary);
                self.verified = read.map(|stores| (at, *parity, stores));
                self.certificate.clone_from(certificate);
            }
            Event::Traffic { share, step } => self.traffic.push((at, *share, step.clone())),
            Event::Intended { .. } | Event::UndoIntended { .. } | Event::CountersRaised { .. } => {}
        }
    }

    fn compared(&mut self, by: &str, comparison: &Json) {
        let Some(comparison) = self.read::<Comparison>(comparison) else { return };
        if by == "diff" {
            self.first_comparisons.entry(comparison.store.clone()).or_insert_with(|| comparison.clone());
            self.comparisons.insert(comparison.store.clone(), comparison);
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, json: &Json) -> Option<T> {
        let read = serde_json::from_value(json.clone()).ok();
        self.unread += u64::from(read.is_none());
        read
    }
}
