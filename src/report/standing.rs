//! Where a session stands, judged from its state alone.

use serde_json::Value as Json;

use super::words::plain;
use crate::compare::Comparison;
use crate::journal::StepState;
use crate::model::{Percent, StoreId, Timestamp};
use crate::session::{SessionState, StorePlan};

/// What the newest verification is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// There was none.
    Never,
    /// There was one; what happened since makes it worthless.
    Overtaken(String),
    /// It found differences.
    Differs,
    /// It found parity.
    Parity,
}

/// Where customers are, as far as this session knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Customers {
    /// This session shifted nobody.
    Untouched,
    /// A change was about to be made, and what came of it was not recorded.
    Unsure(Timestamp, Option<Percent>),
    /// The primary's share was set.
    Shifted(Timestamp, Percent),
    /// All traffic was given back to dr.
    Retreated(Timestamp, String),
}

/// A session's standing.
#[derive(Debug, Clone)]
pub struct Standing {
    pub proof: Proof,
    pub customers: Customers,
    /// Whether the last step of the cutover says that it is finished.
    pub cutover_done: bool,
    /// Why the cutover stopped by itself, where that is its last step.
    pub cutover_stopped: Option<String>,
    /// Whether the newest thing done to the primary is an undo.
    pub undone: bool,
    pub compared_at: Option<Timestamp>,
    pub planned_at: Option<Timestamp>,
    pub replayed_at: Option<Timestamp>,
    pub verified_at: Option<Timestamp>,
    pub undone_at: Option<Timestamp>,
}

impl Standing {
    pub fn of(state: &SessionState) -> Standing {
        let replayed_at = state.replays.last().map(|(at, _, _)| *at);
        let undone_at = last_begun(state, "undo");
        let touched = state.undone + state.undo_refused > 0;
        // Without a recorded command nothing tells which came last: then the undo counts as the last.
        let undone = touched && undone_at.is_none_or(|at| replayed_at.is_none_or(|replayed| at > replayed));
        let customers = customers(state);
        let proof = proof(state, &customers, touched.then_some(undone_at));
        let last = state.traffic.last().map(|(_, _, step)| step);
        let stopped = last.filter(|step| matches!(step_word(step), "drifted" | "stopped"));
        Standing {
            proof,
            customers,
            cutover_done: last.is_some_and(|step| step_word(step) == "done"),
            cutover_stopped: stopped.map(|step| step_text(step, "reason").to_owned()),
            undone,
            compared_at: state.comparisons.values().map(read_until).max(),
            planned_at: state.plans.last().map(|(at, _, _)| *at),
            replayed_at,
            verified_at: state.verified.as_ref().map(|(at, _, _)| *at),
            undone_at,
        }
    }
}

/// When the newest command of a name began.
pub(super) fn last_begun(state: &SessionState, name: &str) -> Option<Timestamp> {
    state.commands.iter().rev().find(|(command, _, _)| command == name).map(|(_, at, _)| *at)
}

/// Whether the primary was proved, after the undo, to be what it was before the session.
pub(super) fn undo_proved(state: &SessionState, standing: &Standing) -> bool {
    let proved = state.commands.iter().rev().find(|(name, _, _)| name == "verify --undone");
    standing.undone
        && proved.is_some_and(|(_, at, code)| *code == Some(0) && standing.undone_at.is_some_and(|undone| *at > undone))
}

/// When the last reading of a comparison ended.
pub(super) fn read_until(comparison: &Comparison) -> Timestamp {
    comparison.primary.read_until.max(comparison.dr.read_until)
}

fn customers(state: &SessionState) -> Customers {
    let mut customers = Customers::Untouched;
    for (at, share, step) in &state.traffic {
        customers = match (step_word(step), share) {
            ("shifted", Some(share)) => Customers::Shifted(*at, *share),
            ("retreated", _) => Customers::Retreated(*at, step_text(step, "reason").to_owned()),
            ("insync" | "ttl_waited" | "health" | "stopped" | "done", _) => customers,
            // An intent without its outcome, drift, or a step that this version does not know.
            _ => Customers::Unsure(*at, *share),
        };
    }
    customers
}

fn proof(state: &SessionState, customers: &Customers, undo: Option<Option<Timestamp>>) -> Proof {
    let Some((verified_at, parity, stores)) = &state.verified else { return Proof::Never };
    if state.unread > 0 {
        return Proof::Overtaken("part of the journal could not be read".into());
    }
    if state.replays.iter().any(|(at, _, _)| at > verified_at) {
        return Proof::Overtaken("the primary was written after the last verification".into());
    }
    // A replay that did not end may have written.
    let unfinished = |(name, at, code): &(String, Timestamp, Option<u8>)| {
        name == "replay --apply" && at > verified_at && !matches!(code, Some(0..=3))
    };
    if state.commands.iter().any(unfinished) {
        return Proof::Overtaken("a replay began after the last verification and did not finish".into());
    }
    if undo.is_some_and(|at| at.is_none_or(|at| at > *verified_at)) {
        return Proof::Overtaken("writes were undone after the last verification".into());
    }
    let taken = state.decisions.iter().find(|made| made.taken_back.as_ref().is_some_and(|(at, _)| at > verified_at));
    if let Some(made) = taken {
        return Proof::Overtaken(format!("decision {} was taken back after the last verification", made.number));
    }
    let later = state.comparisons.values().filter(|comparison| read_until(comparison) > *verified_at);
    let accepted = |store: &StoreId| {
        stores.iter().find(|verified| verified.comparison.store == *store).map_or(0, |verified| verified.accepted)
    };
    if let Some(found) = later.into_iter().find(|found| found.verdicts.differing() > accepted(&found.store)) {
        return Proof::Overtaken(format!("a later comparison of {} found more that differs", plain(&found.store.0)));
    }
    if let Customers::Retreated(at, _) = customers
        && at > verified_at
    {
        return Proof::Overtaken("customers went back to dr after the last verification and may write there".into());
    }
    let reported = if *parity { stores.iter().all(|store| store.at_parity) && !stores.is_empty() } else { false };
    if reported { Proof::Parity } else { Proof::Differs }
}

/// The kind of a cutover step.
pub(super) fn step_word(step: &Json) -> &str {
    step_text(step, "event")
}

/// A text field of a cutover step; empty where it has none.
pub(super) fn step_text<'a>(step: &'a Json, field: &str) -> &'a str {
    step.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// The newest plan of a store; a later plan may have been about other stores.
pub(super) fn newest_plan<'a>(state: &'a SessionState, store: &StoreId) -> Option<&'a StorePlan> {
    state.plans.last()?.2.stores.iter().find(|planned| planned.store == *store)
}

/// Steps of the newest plan by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    pub planned: u64,
    pub done: u64,
    pub refused: u64,
    pub stale: u64,
    pub open: u64,
    pub held: u64,
}

impl Steps {
    fn add(self, other: Steps) -> Steps {
        let Steps { planned, done, refused, stale, open, held } = other;
        Steps {
            planned: self.planned + planned,
            done: self.done + done,
            refused: self.refused + refused,
            stale: self.stale + stale,
            open: self.open + open,
            held: self.held + held,
        }
    }
}

/// What became of the newest plan's steps of one store, as far as replay passes told.
pub fn steps_of(state: &SessionState, store: &StoreId) -> Steps {
    let Some((_, plan, _)) = state.plans.last() else { return Steps::default() };
    let Some(planned) = newest_plan(state, store) else { return Steps::default() };
    let passes = state.replays.iter().rev().filter(|(_, replayed, _)| replayed == plan);
    let pass = passes.flat_map(|(_, _, stores)| stores).find(|replayed| replayed.store == *store);
    let within = |wanted: StepState| pass.and_then(|pass| pass.steps.get(&wanted)).copied().unwrap_or(0);
    let (done, refused, stale) = (within(StepState::Done), within(StepState::Refused), within(StepState::Stale));
    let all = planned.counts.steps();
    Steps {
        planned: all,
        done,
        refused,
        stale,
        open: all.saturating_sub(done + refused + stale),
        held: planned.counts.held,
    }
}

/// What became of the newest plan's steps.
pub fn steps_in_all(state: &SessionState) -> Steps {
    let Some((_, _, summary)) = state.plans.last() else { return Steps::default() };
    summary.stores.iter().map(|planned| steps_of(state, &planned.store)).fold(Steps::default(), Steps::add)
}
