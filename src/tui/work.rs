//! Carries out actions beside the screen, one at a time, through the session's own methods.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::message::{Ended, Message};
use super::state::{Tone, Trouble};
use crate::guide::{Companion, Performed, perform};
use crate::session::{Action, Exit, Exits, Session, SessionError, retreat_unrecorded};

/// The exit code and the hint for a failure, as the command line tells them.
pub type Judge = Arc<dyn Fn(&SessionError) -> (Exit, Option<String>) + Send + Sync>;

/// Who goes along, if anybody does.
pub type Companions = Arc<tokio::sync::Mutex<Option<Box<dyn Companion>>>>;

/// Something to be carried out.
pub enum Job {
    /// An action that needs nothing more.
    Action(Action),
    /// A checkpoint under a name.
    Checkpoint(String),
}

impl Job {
    fn action(&self) -> Action {
        match self {
            Job::Action(action) => *action,
            Job::Checkpoint(_) => Action::Checkpoint,
        }
    }
}

/// What is under way; ended when dropped, as if the process had been killed: it resumes.
#[derive(Default)]
pub struct Work {
    under_way: Option<(Action, JoinHandle<()>)>,
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.under_way {
            task.abort();
        }
    }
}

/// What work needs.
#[derive(Clone)]
pub struct Tools {
    /// The session.
    pub session: Arc<Session>,
    /// How failures are judged.
    pub judge: Judge,
    /// Who goes along.
    pub companion: Companions,
    /// Where the screen listens.
    pub told: UnboundedSender<Message>,
}

impl Tools {
    /// The last event of the session; where the journal cannot be read, nothing is waited for.
    fn seq(&self) -> i64 {
        self.session.journal().last_event().unwrap_or(0)
    }

    fn tell(&self, message: Message) {
        // Nobody listens any more only when the screen is gone.
        let _ = self.told.send(message);
    }
}

impl Work {
    /// Whether something is under way.
    pub fn is_under_way(&self) -> bool {
        self.under_way.as_ref().is_some_and(|(_, task)| !task.is_finished())
    }

    /// Begins a job, if none is under way.
    pub fn begin(&mut self, tools: &Tools, job: Job) {
        if !self.is_under_way() {
            self.set_out(tools, job);
        }
    }

    fn set_out(&mut self, tools: &Tools, job: Job) {
        let (tools, action) = (tools.clone(), job.action());
        tools.session.tasks().clear();
        tools.tell(Message::Began(action));
        let task = tokio::spawn(async move { guarded(&tools, &job).await });
        self.under_way = Some((action, task));
    }

    /// Ends what is under way, and records that it was interrupted.
    pub async fn stop(&mut self, tools: &Tools) {
        let Some((action, task)) = self.under_way.take() else { return };
        if task.is_finished() {
            return;
        }
        task.abort();
        // Gone only once nothing of it runs any more: then the next action can begin.
        if task.await.is_ok() {
            return;
        }
        if let Err(error) = tools.session.end(action.name(), Exit::Interrupted as u8) {
            tools.tell(Message::Said(Tone::Bad, chain(&error).join(": ")));
        }
        tools.tell(Message::Ended(Ended { action, exit: Exit::Interrupted, trouble: None, seq: tools.seq() }));
    }

    /// Ends what is under way and gives all traffic back to dr.
    pub async fn retreat(&mut self, tools: &Tools) {
        self.stop(tools).await;
        self.set_out(tools, Job::Action(Action::Retreat));
    }
}

/// Carries an action out; should the program itself break off in it, the screen says so and stays of use.
async fn guarded(tools: &Tools, job: &Job) {
    let action = job.action();
    let work = AssertUnwindSafe(carry_out(tools, job)).catch_unwind();
    if work.await.is_ok() {
        return;
    }
    let lines = vec![
        format!("{} broke off: a defect of this program", action.name()),
        "Its words are in screen.log in the session's folder. Nothing recorded is lost.".into(),
        "What to do: leave with q and run this again; the command of the same name works too".into(),
    ];
    let exit = Exit::Incomplete;
    let _ = tools.session.end(action.name(), exit as u8);
    let trouble = Some(Trouble { action, lines });
    tools.tell(Message::Ended(Ended { action, exit, trouble, seq: tools.seq() }));
}

async fn carry_out(tools: &Tools, job: &Job) {
    let action = job.action();
    let judged = |error: &SessionError| (tools.judge)(error).0;
    let mut unheard = |_: crate::guide::Told<'_>| {};
    let work = async {
        match job {
            Job::Action(action) => perform(&tools.session, *action, &mut unheard).await,
            Job::Checkpoint(name) => Ok(Performed::Checkpointed(tools.session.checkpoint(name).await?)),
        }
    };
    let mut ended = tools.session.recorded(action.name(), work, judged).await;
    if action == Action::Retreat && matches!(ended, Err(SessionError::Journal(_))) {
        // A retreat needs nothing, not even a journal.
        let (profile, around) = (tools.session.profile(), tools.session.surroundings());
        ended = retreat_unrecorded(profile, around, &mut |_| {}).await.map(Performed::Retreated);
    }
    let exit = match &ended {
        Ok(performed) => performed.exit(),
        Err(error) => judged(error),
    };
    // The events of an action are shown before its end is.
    along(tools, action, exit).await;
    let trouble = ended.err().map(|error| Trouble { action, lines: told(&tools.judge, &error) });
    tools.tell(Message::Ended(Ended { action, exit, trouble, seq: tools.seq() }));
}

async fn along(tools: &Tools, action: Action, exit: Exit) {
    let mut companion = tools.companion.lock().await;
    let Some(companion) = companion.as_mut() else { return };
    match companion.after(action, exit).await {
        Ok(lines) if lines.is_empty() => {}
        Ok(lines) => tools.tell(Message::Narrated(lines)),
        Err(error) => tools.tell(Message::Narrated(vec![format!("the drill's story broke off: {error}")])),
    }
}

/// What failed, why, and what to do.
fn told(judge: &Judge, error: &SessionError) -> Vec<String> {
    let mut lines = chain(error);
    if let SessionError::ShapesDiffer { findings, .. } = error {
        lines.extend(findings.iter().map(|finding| format!("{:?}: {}", finding.level, finding.what)));
    }
    lines.extend(judge(error).1.map(|hint| format!("What to do: {hint}")));
    lines
}

/// An error and its causes, one a line.
pub fn chain(error: &dyn Error) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(format!("because: {error}"));
        cause = error.source();
    }
    lines
}
