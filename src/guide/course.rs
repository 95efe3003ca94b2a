//! What a session that is led does next.

use crate::report::next_action;
use crate::session::{Action, Exit, SessionState};

/// A pass with at most so many steps is small enough to freeze for the rest.
const STEPS_SMALL: u64 = 100;
/// Catch-up passes before writers are stopped whatever is left.
const PASSES_MAX: u32 = 10;

/// What the profile gives the session to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// It says how dr's writers are stopped.
    pub freeze: bool,
    /// It says which record returns customers.
    pub cutover: bool,
}

/// How far this run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last action and how it ended.
    pub last: Option<(Action, Exit)>,
    /// Replay passes that were carried out.
    pub passes: u32,
    /// Steps of the pass before the last one.
    pub steps_before: Option<u64>,
}

/// Where a led session goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// This is next.
    Do {
        /// The action.
        action: Action,
        /// Why, in words.
        why: String,
    },
    /// Nothing is left to do.
    Finished {
        /// What was reached.
        why: String,
    },
    /// It cannot go on by itself.
    Stop {
        /// The exit code that says so.
        exit: Exit,
        /// What a person must do.
        why: String,
    },
}

impl Course {
    fn go(action: Action, why: impl Into<String>) -> Course {
        Course::Do { action, why: why.into() }
    }

    fn stop(exit: Exit, why: impl Into<String>) -> Course {
        Course::Stop { exit, why: why.into() }
    }
}

/// Decides what comes next, from what has happened and how the last action of this run ended.
pub fn course(state: &SessionState, means: Means, progress: Progress) -> Course {
    if let Some(stop) = progress.last.and_then(|(action, exit)| stop_after(state, action, exit)) {
        return stop;
    }
    let (action, why) = next_action(state);
    match action {
        // A plan compares by itself, and `--yes` has answered what a dry run is for.
        Action::Diff => Course::go(Action::Plan, why),
        Action::DryRun if progress.last.is_some() => Course::go(Action::Replay, why),
        // A plan of an earlier run may hold items that were decided since, and dr went on.
        Action::DryRun => Course::go(Action::Plan, "the newest plan is of an earlier run: it is made anew"),
        Action::Verify | Action::FreezeAndVerify => before_verifying(state, means, progress, why),
        Action::Cutover if !means.cutover => Course::Finished {
            why: "at parity and certified; the profile has no [cutover], so returning customers is up to you".into(),
        },
        Action::Report => Course::Finished { why },
        Action::VerifyUndone => Course::go(Action::VerifyUndone, why),
        action => Course::go(action, why),
    }
}

/// Why the run ends after an action that ended like this, if it does.
pub(super) fn stop_after(state: &SessionState, action: Action, exit: Exit) -> Option<Course> {
    let why = match (action, exit) {
        (_, Exit::Done) => return None,
        (Action::Plan, Exit::Undecided) => "items are held: decide about them, then run this again",
        (Action::Replay | Action::FinalPass, Exit::Undecided) => {
            "writes were refused or items are held: look at what is there now, decide, then run this again"
        }
        (Action::Cutover, _) => "the cutover did not come to its end: find out why, then run this again",
        (Action::Check, Exit::Usage) => "something blocks: mend what the preflight names, then run this again",
        (Action::Verify | Action::FreezeAndVerify, Exit::Differs) if is_home(state) => {
            "customers are home and the sides differ: the primary's own new writes are expected, writes that still went \
             to dr are not"
        }
        // What differs is planned in the next pass.
        (
            Action::Diff | Action::Replay | Action::FinalPass | Action::Verify | Action::FreezeAndVerify,
            Exit::Differs,
        ) => {
            return None;
        }
        _ => "this did not come to its end: mend what it named, then run this again",
    };
    Some(Course::stop(exit, why))
}

/// Whether the primary serves everything and was watched doing so.
pub(super) fn is_home(state: &SessionState) -> bool {
    state.traffic.last().is_some_and(|(_, _, step)| step.get("event").and_then(|event| event.as_str()) == Some("done"))
}

/// While dr is live passes are repeated until little is left; then writers are stopped, and the rest follows.
fn before_verifying(state: &SessionState, means: Means, progress: Progress, why: String) -> Course {
    if is_home(state) || !means.freeze || matches!(progress.last, Some((Action::FinalPass, Exit::Done))) {
        return Course::go(Action::Verify, why);
    }
    let steps = state.plans.last().map_or(0, |(_, _, summary)| summary.steps());
    let shrinks = progress.steps_before.is_none_or(|before| steps < before);
    if progress.passes > 0 && progress.passes < PASSES_MAX && steps > STEPS_SMALL && shrinks {
        return Course::go(Action::Plan, format!("the last pass had {steps} steps: one more while dr is live"));
    }
    Course::go(Action::FinalPass, "little enough is left: dr's writers are stopped and the rest is replayed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Event, EventRecord};
    use crate::model::{Digest, Percent, Timestamp};

    const ALL: Means = Means { freeze: true, cutover: true };

    fn after(events: &[Event]) -> SessionState {
        let record = |(seq, event): (usize, &Event)| EventRecord {
            seq: seq as i64 + 1,
            at: Timestamp::from_second(seq as i64).expect("in range"),
            event: event.clone(),
        };
        SessionState::fold(&events.iter().enumerate().map(record).collect::<Vec<_>>())
    }

    fn last(action: Action, exit: Exit) -> Progress {
        Progress { last: Some((action, exit)), ..Progress::default() }
    }

    fn done(action: Action, state: &SessionState, progress: Progress) -> bool {
        matches!(course(state, ALL, progress), Course::Do { action: next, .. } if next == action)
    }

    #[test]
    fn it_begins_with_a_look_and_stops_at_what_blocks() {
        let nothing = SessionState::default();
        assert!(done(Action::Check, &nothing, Progress::default()));
        let looked = after(&[Event::Checked { findings: serde_json::json!([]) }]);
        assert!(done(Action::Plan, &looked, last(Action::Check, Exit::Done)));
        let blocked = course(&looked, ALL, last(Action::Check, Exit::Usage));
        assert!(matches!(blocked, Course::Stop { exit: Exit::Usage, .. }), "{blocked:?}");
    }

    #[test]
    fn whatever_a_person_must_decide_stops_it() {
        for action in [Action::Plan, Action::Replay, Action::FinalPass, Action::Cutover, Action::Undo] {
            for exit in [Exit::Undecided, Exit::Incomplete, Exit::Interrupted] {
                let stopped = course(&SessionState::default(), ALL, last(action, exit));
                assert!(
                    matches!(&stopped, Course::Stop { exit: told, .. } if *told == exit),
                    "{action:?}: {stopped:?}"
                );
            }
        }
    }

    #[test]
    fn what_differs_is_planned_anew_but_not_once_customers_are_home() {
        let looked = [Event::Checked { findings: serde_json::json!([]) }];
        assert!(done(Action::Plan, &after(&looked), last(Action::Verify, Exit::Differs)));
        let home = Event::Traffic { share: Percent::new(100).ok(), step: serde_json::json!({"event": "done"}) };
        let state = after(&[looked[0].clone(), home]);
        let soaked = course(&state, ALL, last(Action::Verify, Exit::Differs));
        assert!(matches!(soaked, Course::Stop { exit: Exit::Differs, .. }), "{soaked:?}");
    }

    #[test]
    fn writers_are_stopped_once_and_before_the_proof() {
        let planned = Event::Planned { plan: Digest([1; 32]), summary: serde_json::json!({"stores": []}) };
        let state = after(&[
            Event::Checked { findings: serde_json::json!([]) },
            planned.clone(),
            Event::Began { command: "plan".into(), version: "1".into(), profile: Digest([1; 32]) },
            Event::Verified { parity: false, summary: serde_json::json!([]), certificate: None },
        ]);
        let why = || String::new();
        let next = |means, progress| before_verifying(&state, means, progress, why());
        assert_eq!(next(ALL, last(Action::FinalPass, Exit::Done)), Course::go(Action::Verify, ""));
        assert!(matches!(next(ALL, Progress::default()), Course::Do { action: Action::FinalPass, .. }));
        let cannot = Means { freeze: false, cutover: true };
        assert_eq!(next(cannot, Progress::default()), Course::go(Action::Verify, ""));
    }
}
