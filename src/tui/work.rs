//! Carries out actions beside the screen, one at a time, through the session's own methods.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::message::{Ended, Job, Message};
use super::state::{Tone, Trouble};
use crate::guide::{Companion, Performed, perform};
use crate::report::{check_sentences, rescue_sentences, sample_sentences};
use crate::session::{Action, Exit, Exits, RescueOutcome, SampleOutcome, Session, SessionError, retreat_unrecorded};

/// The exit code and the hint for a failure, as the command line tells them.
pub type Judge = Arc<dyn Fn(&SessionError) -> (Exit, Option<String>) + Send + Sync>;

/// How much of every store a quick look is about, in percent.
const SAMPLE_PERCENT: f64 = 5.0;

/// Who goes along, if anybody does.
pub type Companions = Arc<tokio::sync::Mutex<Option<Box<dyn Companion>>>>;

/// What a job came to.
enum Came {
    Performed(Performed),
    Rescued(RescueOutcome),
    Sampled(SampleOutcome),
}

impl Exits for Came {
    fn exit(&self) -> Exit {
        match self {
            Came::Performed(performed) => performed.exit(),
            Came::Rescued(outcome) => outcome.exit(),
            Came::Sampled(outcome) => outcome.exit(),
        }
    }
}

impl Came {
    /// What no screen shows.
    fn told(&self) -> Option<Message> {
        let (title, lines) = match self {
            Came::Performed(Performed::Checked(outcome)) => {
                let lines = check_sentences(outcome);
                return (!lines.is_empty()).then(|| Message::Told { title: "Steps for you".into(), lines });
            }
            Came::Performed(_) => return None,
            Came::Rescued(outcome) => ("Exports that save bases", rescue_sentences(outcome)),
            Came::Sampled(outcome) => ("A quick look", sample_sentences(outcome)),
        };
        Some(Message::Told { title: title.into(), lines })
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
            Job::Action(action) => perform(&tools.session, *action, &mut unheard).await.map(Came::Performed),
            Job::Checkpoint(name) => {
                Ok(Came::Performed(Performed::Checkpointed(tools.session.checkpoint(name).await?)))
            }
            Job::Rescan => Ok(Came::Performed(Performed::Planned(tools.session.plan().await?))),
            Job::Rescue => tools.session.rescue(None, false).await.map(Came::Rescued),
            Job::Sample => tools.session.sample(SAMPLE_PERCENT).await.map(Came::Sampled),
        }
    };
    let mut ended = tools.session.recorded(action.name(), work, judged).await;
    if action == Action::Retreat && matches!(ended, Err(SessionError::Journal(_))) {
        // A retreat needs nothing, not even a journal.
        let (profile, around) = (tools.session.profile(), tools.session.surroundings());
        ended = retreat_unrecorded(profile, around, &mut |_| {})
            .await
            .map(|end| Came::Performed(Performed::Retreated(end)));
    }
    let exit = match &ended {
        Ok(came) => came.exit(),
        Err(error) => judged(error),
    };
    // The events of an action are shown before its end is.
    along(tools, action, exit).await;
    let told_more = ended.as_ref().ok().and_then(Came::told);
    let trouble = ended.err().map(|error| Trouble { action, lines: told(&tools.judge, &error) });
    tools.tell(Message::Ended(Ended { action, exit, trouble, seq: tools.seq() }));
    told_more.into_iter().for_each(|message| tools.tell(message));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use async_trait::async_trait;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::compare::Quiet;
    use crate::control::{Guide, GuideStep, StepState};
    use crate::model::{Clock, StoreId, Timestamp};
    use crate::profile::Profile;
    use crate::session::{CheckOutcome, Options, RescuedStore, Surroundings};
    use crate::store::memory::MemoryRegistry;

    const PROFILE: &str = "name = \"p\"\n[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n[[store]]\n\
        name = \"s\"\nkind = \"memory\"\nprimary = { name = \"a\" }\ndr = { name = \"b\" }\n";

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    /// Breaks off after the first action.
    struct Breaking(bool);

    #[async_trait]
    impl Companion for Breaking {
        async fn opened(&mut self) -> Vec<String> {
            Vec::new()
        }

        async fn after(&mut self, _: Action, _: Exit) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
            assert!(std::mem::replace(&mut self.0, true), "planted");
            Ok(Vec::new())
        }
    }

    fn tools(folder: &Path) -> (Tools, UnboundedReceiver<Message>) {
        let profile = Profile::parse(PROFILE, "p.toml", &|_| None).expect("a profile");
        let around = Surroundings {
            clock: Arc::new(Still),
            progress: Arc::new(Quiet),
            memory: MemoryRegistry::new(),
            checkpoints: folder.join("checkpoints"),
            pace: Arc::default(),
            dial: None,
        };
        let session = Session::open(folder, profile, PROFILE, Options::default(), around).expect("a session");
        let (told, messages) = unbounded_channel();
        let companion: Companions = Arc::new(tokio::sync::Mutex::new(Some(Box::new(Breaking(false)))));
        let judge: Judge = Arc::new(|_| (Exit::Incomplete, None));
        (Tools { session: Arc::new(session), judge, companion, told }, messages)
    }

    async fn ended(messages: &mut UnboundedReceiver<Message>) -> Ended {
        loop {
            match messages.recv().await.expect("the work tells its end") {
                Message::Ended(ended) => return ended,
                _ => continue,
            }
        }
    }

    #[test]
    fn the_steps_that_a_check_found_are_told() {
        let step = GuideStep { state: StepState::Now, what: "switch over".into(), commands: vec!["aws rds ..".into()] };
        let guide = Guide { store: "books".into(), title: "the way home".into(), steps: vec![step] };
        let rescued = RescuedStore { store: StoreId("orders".into()), lines: vec!["base = 1".into()] };
        let found = CheckOutcome { guides: vec![guide], rescued: vec![rescued], ..CheckOutcome::default() };
        let told = |outcome: CheckOutcome| Came::Performed(Performed::Checked(outcome)).told();
        let Some(Message::Told { lines, .. }) = told(found) else { panic!("nothing was told") };
        assert_eq!(lines[1], "  1. [now] switch over");
        assert!(lines[2].ends_with("aws rds .."), "{lines:?}");
        assert!(lines[3].contains("orders") && lines[4].contains("base = 1"), "{lines:?}");
        assert!(told(CheckOutcome::default()).is_none(), "what the screen shows is not told twice");
    }

    #[tokio::test]
    async fn what_no_screen_shows_is_told_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tools, mut messages) = tools(folder.path());
        *tools.companion.lock().await = None;
        let mut work = Work::default();
        work.begin(&tools, Job::Sample);
        let seen = ended(&mut messages).await;
        assert_eq!((seen.action, seen.exit), (Action::Diff, Exit::Incomplete), "a sample is never parity");
        let Some(Message::Told { title, lines }) = messages.recv().await else { panic!("nothing was told") };
        assert_eq!(title, "A quick look");
        assert!(lines[0].starts_with("s: 0 items in "), "{lines:?}");
        assert!(lines[2].contains("which is no parity"), "{lines:?}");
    }

    #[tokio::test]
    async fn work_that_breaks_off_is_told_and_the_next_action_can_begin() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tools, mut messages) = tools(folder.path());
        let mut work = Work::default();
        work.begin(&tools, Job::Action(Action::Check));
        let broken = ended(&mut messages).await;
        assert_eq!((broken.action, broken.exit), (Action::Check, Exit::Incomplete));
        let trouble = broken.trouble.expect("words for the screen");
        assert!(trouble.lines[0].contains("check broke off: a defect of this program"), "{:?}", trouble.lines);
        assert!(trouble.lines.iter().any(|line| line.starts_with("What to do: ")), "{:?}", trouble.lines);
        let commands = tools.session.state().expect("a journal").commands;
        assert_eq!(commands.last().expect("the check").2, Some(4), "its end is in the journal");
        while work.is_under_way() {
            tokio::task::yield_now().await;
        }
        work.begin(&tools, Job::Action(Action::Check));
        let again = ended(&mut messages).await;
        assert!(again.trouble.is_none(), "the screen is of use still: {:?}", again.trouble);
    }
}
