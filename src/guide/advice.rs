//! What a person at the wheel is advised to do next: the course, and where it stops, the way on.

use super::course::{is_home, stop_after};
use super::{Course, Means, Progress, course};
use crate::report::{count, next_action};
use crate::session::{Action, Exit, SessionState};

/// What comes next, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What.
    pub next: Next,
    /// Why.
    pub why: String,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This action.
    Do(Action),
    /// Held items are to be decided first.
    Decide,
    /// Nothing is left to do.
    Nothing,
}

/// Advises what to do next; `undecided` held items still need a person.
pub fn advise(state: &SessionState, means: Means, progress: Progress, undecided: u64) -> Advice {
    if let Some(stopped) = progress.last.and_then(|(action, exit)| after_stop(state, (action, exit), undecided)) {
        return stopped;
    }
    let progress = Progress { last: progress.last.filter(|(_, exit)| *exit == Exit::Done), ..progress };
    match course(state, means, progress) {
        Course::Do { action, why } => Advice { next: Next::Do(action), why },
        Course::Finished { why } | Course::Stop { why, .. } => Advice { next: Next::Nothing, why },
    }
}

fn advice(next: Next, why: impl Into<String>) -> Advice {
    Advice { next, why: why.into() }
}

/// The way on after an action that a led session without a person would stop at.
fn after_stop(state: &SessionState, (action, exit): (Action, Exit), undecided: u64) -> Option<Advice> {
    let Course::Stop { why, .. } = stop_after(state, action, exit)? else { return None };
    Some(match (action, exit) {
        (Action::Plan | Action::Replay | Action::FinalPass | Action::DryRun, Exit::Undecided) if undecided > 0 => {
            advice(
                Next::Decide,
                format!("{} held for a person: decide, or go on without them", count(undecided, "item")),
            )
        }
        (Action::Plan | Action::Replay | Action::FinalPass | Action::DryRun, Exit::Undecided) => {
            advice(Next::Do(Action::Plan), "what was held or refused is planned anew, with what was decided")
        }
        (Action::Verify | Action::FreezeAndVerify, Exit::Differs) if is_home(state) => advice(Next::Nothing, why),
        (Action::Cutover, Exit::Undecided) => {
            let (next, why) = next_action(state);
            advice(Next::Do(next), why)
        }
        (Action::Retreat | Action::Undo, _) => {
            let (next, why) = next_action(state);
            advice(Next::Do(next), why)
        }
        (action, Exit::Interrupted) => advice(Next::Do(action), "it was stopped: doing it again resumes"),
        (action, _) => advice(Next::Do(action), why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Means = Means { freeze: true, cutover: true };

    fn next(action: Action, exit: Exit, undecided: u64) -> Next {
        let progress = Progress { last: Some((action, exit)), ..Progress::default() };
        advise(&SessionState::default(), ALL, progress, undecided).next
    }

    #[test]
    fn a_person_is_led_on_where_a_script_would_stop() {
        for (action, exit, undecided, wanted) in [
            (Action::Plan, Exit::Undecided, 3, Next::Decide),
            (Action::Plan, Exit::Undecided, 0, Next::Do(Action::Plan)),
            (Action::Replay, Exit::Undecided, 0, Next::Do(Action::Plan)),
            (Action::FinalPass, Exit::Undecided, 1, Next::Decide),
            (Action::Check, Exit::Usage, 0, Next::Do(Action::Check)),
            (Action::Verify, Exit::Incomplete, 0, Next::Do(Action::Verify)),
            (Action::Replay, Exit::Interrupted, 5, Next::Do(Action::Replay)),
            (Action::Cutover, Exit::Undecided, 0, Next::Do(Action::Check)),
        ] {
            assert_eq!(next(action, exit, undecided), wanted, "{action:?} {exit:?} {undecided}");
        }
    }

    #[test]
    fn without_a_history_it_begins_with_a_look() {
        let advice = advise(&SessionState::default(), ALL, Progress::default(), 0);
        assert_eq!(advice.next, Next::Do(Action::Check));
    }
}
