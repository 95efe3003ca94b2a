//! Leads a session until it is done or a person is needed.

use super::{Course, Means, Performed, Progress, Told, course, perform};
use crate::session::{Action, Exit, Exits, Session, SessionError};

/// Actions of one run: a bound on going in circles.
const ACTIONS_MAX: usize = 60;

/// How a led session ended.
#[derive(Debug)]
pub struct Led {
    /// Every action with its exit code, in order.
    pub actions: Vec<(Action, Exit)>,
    /// The exit code of the run.
    pub exit: Exit,
    /// Why it ended.
    pub why: String,
}

/// What a led session tells.
pub trait Listener: Send {
    /// An action begins.
    fn begins(&mut self, action: Action, why: &str);
    /// Something happened within it.
    fn told(&mut self, told: Told<'_>);
    /// It ended.
    fn ended(&mut self, action: Action, performed: &Performed);
}

/// Carries out one action after the other until the session is done or a person must decide.
///
/// # Errors
///
/// [`SessionError`] of an action that could not be finished; `exit_of` gives the exit code that is recorded for it. Running
/// this again goes on from there.
pub async fn lead(
    session: &Session,
    listener: &mut dyn Listener,
    exit_of: &(dyn Fn(&SessionError) -> Exit + Sync),
) -> Result<Led, SessionError> {
    let profile = session.profile();
    let means = Means { freeze: profile.freeze.is_some(), cutover: profile.cutover.is_some() };
    let mut progress = Progress::default();
    let mut actions = Vec::new();
    while actions.len() < ACTIONS_MAX {
        let state = session.state()?;
        let (action, why) = match course(&state, means, progress) {
            Course::Do { action, why } => (action, why),
            Course::Finished { why } => return Ok(Led { actions, exit: Exit::Done, why }),
            Course::Stop { exit, why } => return Ok(Led { actions, exit, why }),
        };
        listener.begins(action, &why);
        let steps_before = state.plans.last().map(|(_, _, summary)| summary.steps());
        let mut told = |told: Told<'_>| listener.told(told);
        let work = perform(session, action, &mut told);
        let performed = session.recorded(action.name(), work, |error| exit_of(error)).await?;
        listener.ended(action, &performed);
        let exit = performed.exit();
        actions.push((action, exit));
        progress.last = Some((action, exit));
        match action {
            Action::Plan => progress.steps_before = steps_before.filter(|_| progress.passes > 0),
            Action::Replay => progress.passes += 1,
            _ => {}
        }
    }
    let why = format!("{ACTIONS_MAX} actions did not bring it home: see failback report for what comes back");
    Ok(Led { actions, exit: Exit::Undecided, why })
}
