//! The way home as stages: which are behind, which is open, and why the others are closed.

use super::Means;
use crate::model::Timestamp;
use crate::report::{Customers, Proof, Standing, count, steps_in_all};
use crate::session::SessionState;
use crate::store::Level;

/// A part of the way home, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Preflight.
    Check,
    /// Both sides are compared.
    Diff,
    /// The policy and persons decide.
    Plan,
    /// The first pass of writes.
    Replay,
    /// Further passes while dr is live.
    CatchUp,
    /// Writers in dr are stopped.
    Freeze,
    /// The independent re-read.
    Verify,
    /// Customers are returned.
    Cutover,
    /// The primary serves, and is verified once more.
    Soak,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 9] = [
        Stage::Check,
        Stage::Diff,
        Stage::Plan,
        Stage::Replay,
        Stage::CatchUp,
        Stage::Freeze,
        Stage::Verify,
        Stage::Cutover,
        Stage::Soak,
    ];

    /// The word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Check => "check",
            Stage::Diff => "diff",
            Stage::Plan => "plan",
            Stage::Replay => "replay",
            Stage::CatchUp => "catch-up",
            Stage::Freeze => "freeze",
            Stage::Verify => "verify",
            Stage::Cutover => "cutover",
            Stage::Soak => "soak",
        }
    }
}

/// Whether a stage can be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It is behind.
    Done,
    /// It can be done now.
    Open,
    /// A person must decide something within it; the text says what.
    Person(String),
    /// It cannot be done yet; the text says why.
    Closed(String),
}

/// Every stage with its gate, in order.
pub fn stages(state: &SessionState, means: Means) -> [(Stage, Gate); 9] {
    let standing = Standing::of(state);
    let last_look = Look { state, means, standing: &standing };
    Stage::ALL.map(|stage| (stage, last_look.gate(stage)))
}

/// What the gates are judged by.
struct Look<'a> {
    state: &'a SessionState,
    means: Means,
    standing: &'a Standing,
}

impl Look<'_> {
    fn gate(&self, stage: Stage) -> Gate {
        match stage {
            Stage::Check => self.check(),
            Stage::Diff => done_if(!self.state.comparisons.is_empty()),
            Stage::Plan => self.plan(),
            Stage::Replay => self.replay(),
            Stage::CatchUp => self.catch_up(),
            Stage::Freeze => self.freeze(),
            Stage::Verify => self.verify(),
            Stage::Cutover => self.cutover(),
            Stage::Soak => self.soak(),
        }
    }

    fn check(&self) -> Gate {
        let Some(findings) = &self.state.findings else { return Gate::Open };
        let blockers = findings.iter().filter(|finding| finding.level == Level::Blocker).count() as u64;
        match blockers {
            0 => Gate::Done,
            _ => Gate::Person(format!("{} to mend, then check again", count(blockers, "blocker"))),
        }
    }

    fn plan(&self) -> Gate {
        let held = self.state.plans.last().map(|(_, _, summary)| summary.held());
        match held {
            None => Gate::Open,
            Some(0) => Gate::Done,
            Some(held) => Gate::Person(format!("{} held for a person", count(held, "item"))),
        }
    }

    fn replay(&self) -> Gate {
        let steps = steps_in_all(self.state);
        match (self.state.plans.is_empty(), self.state.replays.is_empty()) {
            (true, _) => closed("there is no plan yet"),
            (_, false) if steps.open == 0 => Gate::Done,
            (_, true) if steps.planned == 0 => done_or_closed(self.plan() == Gate::Done, "every step is held"),
            _ => Gate::Open,
        }
    }

    fn catch_up(&self) -> Gate {
        match (self.is_replayed(), self.is_frozen()) {
            (_, true) => Gate::Done,
            (true, false) => Gate::Open,
            (false, false) => closed("nothing is replayed yet"),
        }
    }

    fn freeze(&self) -> Gate {
        match (self.is_frozen(), self.means.freeze, self.is_replayed()) {
            (true, _, _) => Gate::Done,
            (false, false, _) => closed("the profile has no [freeze]: stop dr's writers yourself, verify proves it"),
            (false, true, true) => Gate::Open,
            (false, true, false) => closed("stopping writers comes after the first pass, to keep it short"),
        }
    }

    fn verify(&self) -> Gate {
        match (&self.standing.proof, self.is_replayed()) {
            (Proof::Parity, _) => Gate::Done,
            (Proof::Overtaken(why), _) => Gate::Person(format!("must be done again: {why}")),
            (_, true) => Gate::Open,
            (_, false) => closed("nothing is replayed yet"),
        }
    }

    fn cutover(&self) -> Gate {
        if !self.means.cutover {
            return closed("the profile has no [cutover]: returning customers is up to you");
        }
        if self.standing.cutover_done {
            return Gate::Done;
        }
        match (&self.standing.proof, &self.state.certificate) {
            (Proof::Parity, Some(_)) => Gate::Open,
            (Proof::Parity, None) => closed("parity was found but no certificate was issued"),
            (Proof::Differs, _) => closed("the newest verification found differences that nobody accepted"),
            (Proof::Overtaken(why), _) => closed(&format!("the certificate is worth nothing any more: {why}")),
            (Proof::Never, _) => closed("there is no certificate of parity: verify comes first"),
        }
    }

    fn soak(&self) -> Gate {
        if !self.standing.cutover_done {
            return closed("customers are not home yet");
        }
        done_if(self.standing.verified_at > self.moved_at())
    }

    /// Whether a pass was carried out, or the plan had nothing to write.
    fn is_replayed(&self) -> bool {
        !self.state.replays.is_empty()
            || self.state.plans.last().is_some_and(|(_, _, summary)| summary.steps() == 0 && summary.held() == 0)
    }

    /// Writers were stopped, and customers did not go back to dr since.
    fn is_frozen(&self) -> bool {
        let at = self.state.fence.as_ref().and_then(|fence| fence.at);
        match &self.standing.customers {
            Customers::Retreated(retreated, _) => at > Some(*retreated),
            _ => at.is_some(),
        }
    }

    fn moved_at(&self) -> Option<Timestamp> {
        self.state.traffic.last().map(|(at, _, _)| *at)
    }
}

fn closed(why: &str) -> Gate {
    Gate::Closed(why.to_owned())
}

fn done_if(done: bool) -> Gate {
    if done { Gate::Done } else { Gate::Open }
}

fn done_or_closed(done: bool, why: &str) -> Gate {
    if done { Gate::Done } else { closed(why) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::{Event, EventRecord};
    use crate::model::Digest;

    const ALL: Means = Means { freeze: true, cutover: true };

    fn after(events: &[Event]) -> SessionState {
        let record = |(seq, event): (usize, &Event)| EventRecord {
            seq: seq as i64 + 1,
            at: Timestamp::from_second(seq as i64).expect("in range"),
            event: event.clone(),
        };
        SessionState::fold(&events.iter().enumerate().map(record).collect::<Vec<_>>())
    }

    fn words(events: &[Event], means: Means) -> String {
        let gates = stages(&after(events), means);
        gates
            .iter()
            .map(|(_, gate)| match gate {
                Gate::Done => 'd',
                Gate::Open => 'o',
                Gate::Person(_) => 'p',
                Gate::Closed(_) => 'c',
            })
            .collect()
    }

    #[test]
    fn gates_open_one_after_the_other() {
        let checked = Event::Checked { findings: json!([]) };
        let planned = Event::Planned { plan: Digest([1; 32]), summary: json!({"stores": []}) };
        let replayed = Event::Replayed { plan: Digest([1; 32]), summary: json!([]) };
        let frozen = Event::Frozen {
            evidence: json!({"kind": "negative_write_test", "at": "1970-01-01T00:00:03Z", "detail": "refused"}),
        };
        let verified = Event::Verified { parity: false, summary: json!([]), certificate: None };
        let all = [checked, planned, replayed, frozen, verified];
        for (events, wanted) in
            [(0, "ooocccccc"), (1, "doocccccc"), (2, "doddooocc"), (3, "doddooocc"), (4, "doddddocc"), (5, "doddddocc")]
        {
            assert_eq!(words(&all[..events], ALL), wanted, "after {events} events");
        }
    }

    #[test]
    fn a_closed_gate_says_why() {
        let none = Means { freeze: false, cutover: false };
        for (_, gate) in stages(&SessionState::default(), none) {
            if let Gate::Closed(why) = gate {
                assert!(why.len() > 10, "{why}");
            }
        }
    }
}
