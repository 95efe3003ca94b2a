//! The whole job, told scene by scene.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sandbox::{Lifetime, Sandbox, SandboxError, SupervisorCommand};
use super::story::{DrillProfile, Judgement, Scale, StoryError, Struck, World, profile_toml};
use crate::compare::Progress;
use crate::cutover::{CutoverEnd, CutoverEvent, MemoryDial, Share, TrafficDial};
use crate::model::{Clock, Percent};
use crate::profile::{Profile, ProfileError};
use crate::replay::Mode;
use crate::report::{Disclosure, KEPT_LISTED_MAX, ReportContext, html, markdown};
use crate::session::{
    CheckOutcome, CheckpointOutcome, DiffOutcome, FreezeOutcome, Options, PlanOutcome, ReplayOutcome, Session,
    SessionError, Surroundings, ValuesWanted, VerifyOutcome,
};
use crate::store::memory::MemoryRegistry;

/// Catch-up passes before the freeze, while dr still takes writes.
const CATCH_UP_PASSES_MAX: usize = 3;

/// A DNS time to live for the dial in memory, in seconds.
const MEMORY_TTL_SECONDS: u64 = 1;

/// A part of the drill, announced before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Two Regions in step, and a checkpoint of them.
    InStep,
    /// The disaster and the business in dr.
    Disaster,
    /// Looking at both sides.
    Compare,
    /// Replaying while dr still takes writes.
    Replay,
    /// Stopping writes and the final pass.
    Freeze,
    /// The independent re-read.
    Verify,
    /// Returning customers.
    Cutover,
    /// Comparing with what was planted.
    Judge,
}

/// What happens, to be shown.
pub enum Scene<'a> {
    /// A part begins.
    Stage(Stage),
    /// Something to say.
    Words(String),
    /// The checkpoint.
    Checkpoint(&'a CheckpointOutcome),
    /// The preflight.
    Check(&'a CheckOutcome),
    /// A comparison.
    Diff(&'a DiffOutcome),
    /// A plan.
    Plan(&'a PlanOutcome),
    /// A replay pass.
    Replay(&'a ReplayOutcome),
    /// The freeze.
    Freeze(&'a FreezeOutcome),
    /// A verification.
    Verify(&'a VerifyOutcome),
    /// A step of the cutover.
    Traffic(&'a CutoverEvent),
    /// What the judge found.
    Judged(&'a Judgement),
}

/// Shows the drill.
pub trait Narrator: Send {
    /// Shows one scene.
    fn show(&mut self, scene: Scene<'_>);
}

/// A drill that could not be finished; what was found wrong by the judge is no error but a result.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The sandbox did not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The story could not be told.
    #[error("the drill's story broke off")]
    Story(#[from] StoryError),
    /// The drill's own profile is refused.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A stage of the job failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A file of the drill.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// How a drill is run.
pub struct Drill {
    /// Size and seed.
    pub scale: Scale,
    /// The folder of everything.
    pub folder: PathBuf,
    /// Whether the servers outlive the drill.
    pub lifetime: Lifetime,
    /// This program: the supervisor and the freeze commands.
    pub program: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told how long work gets on.
    pub progress: Arc<dyn Progress>,
}

type Result<T> = std::result::Result<T, DrillError>;

/// The drill in a world, real or in memory.
struct Rehearsal<'a> {
    drill: &'a Drill,
    world: World,
    record: Option<super::sandbox::Record>,
    memory: MemoryRegistry,
    dial: Option<Arc<MemoryDial>>,
    narrator: &'a mut dyn Narrator,
    faults: u64,
}

impl Drill {
    /// Runs the drill on real servers; gives the number of things that are not as planted.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Unavailable`] when this machine cannot have a sandbox: then [`Drill::run_in_memory`] can go on.
    pub async fn run(&self, narrator: &mut dyn Narrator) -> Result<u64> {
        let (folder, lifetime) = (self.folder.clone(), self.lifetime);
        let command = SupervisorCommand::of(&self.program);
        let started = tokio::task::spawn_blocking(move || {
            Sandbox::start(&folder, lifetime, &command, &mut |line| eprintln!("{line}"))
        });
        let sandbox = started.await.expect("starting a sandbox does not panic")?;
        let world = World::create(&sandbox, self.scale, self.clock.clone()).await?;
        let record = Some(sandbox.record().clone());
        let rehearsal =
            Rehearsal { drill: self, world, record, memory: MemoryRegistry::new(), dial: None, narrator, faults: 0 };
        let faults = rehearsal.run().await?;
        if lifetime == Lifetime::Attached {
            tokio::task::spawn_blocking(move || sandbox.end()).await.expect("ending a sandbox does not panic")?;
        }
        Ok(faults)
    }

    /// Runs the drill on the reference stores in memory; gives the number of things that are not as planted.
    ///
    /// # Errors
    ///
    /// [`DrillError`] when a stage fails.
    pub async fn run_in_memory(&self, narrator: &mut dyn Narrator) -> Result<u64> {
        let memory = MemoryRegistry::new();
        make_folder(&self.folder)?;
        let world = World::create_in_memory(&memory, &self.folder, self.scale, self.clock.clone())?;
        let dial = Some(Arc::new(MemoryDial::new(Share::of(Percent::ZERO), MEMORY_TTL_SECONDS)));
        Rehearsal { drill: self, world, record: None, memory, dial, narrator, faults: 0 }.run().await
    }
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|source| DrillError::File { path: path.to_owned(), source })
}

impl Rehearsal<'_> {
    async fn run(mut self) -> Result<u64> {
        let struck = self.strike().await?;
        let session = self.session(Some(struck))?;
        self.compare(&session).await?;
        self.replay(&session).await?;
        self.freeze(&session).await?;
        self.verify(&session).await?;
        self.cutover(&session).await?;
        self.judge().await?;
        self.report(&session)?;
        Ok(self.faults)
    }

    fn show(&mut self, scene: Scene<'_>) {
        self.narrator.show(scene);
    }

    fn say(&mut self, words: impl Into<String>) {
        self.narrator.show(Scene::Words(words.into()));
    }

    fn fault(&mut self, words: impl Into<String>) {
        self.faults += 1;
        self.say(format!("NOT AS EXPECTED: {}", words.into()));
    }

    fn checkpoint_folder(&self) -> PathBuf {
        self.drill.folder.join("checkpoints").join("in-step")
    }

    /// Opens the session with the profile of the hour, and leaves that profile for the operator.
    fn session(&self, struck: Option<Struck>) -> Result<Session> {
        let checkpoint = self.checkpoint_folder();
        let checkpoint = checkpoint.to_string_lossy();
        let drill =
            DrillProfile { program: &self.drill.program, struck, checkpoint: struck.map(|_| checkpoint.as_ref()) };
        let text = profile_toml(&self.world, self.record.as_ref(), drill);
        let path = self.drill.folder.join("profile.toml");
        std::fs::write(&path, &text).map_err(|source| DrillError::File { path: path.clone(), source })?;
        let profile = Profile::parse(&text, &path.to_string_lossy(), &|_| None)?;
        let around = Surroundings {
            clock: self.drill.clock.clone(),
            progress: self.drill.progress.clone(),
            memory: self.memory.clone(),
            checkpoints: self.drill.folder.join("checkpoints"),
            dial: self.dial.clone().map(|dial| dial as Arc<dyn TrafficDial>),
        };
        let folder = self.drill.folder.join("session");
        Ok(Session::open(&folder, profile, &text, Options::default(), around)?)
    }

    async fn strike(&mut self) -> Result<Struck> {
        self.show(Scene::Stage(Stage::InStep));
        self.world.seed().await?;
        let before = self.session(None)?;
        before.begin("checkpoint")?;
        let checkpoint = before.checkpoint(&self.checkpoint_folder().to_string_lossy()).await?;
        self.show(Scene::Checkpoint(&checkpoint));
        drop(before);
        self.show(Scene::Stage(Stage::Disaster));
        let struck = self.world.strike().await?;
        self.say(format!("T0 {}: the primary Region fails, with writes that never replicated", struck.disaster_at));
        self.world.business().await?;
        self.say("customers are served by DR: orders, uploads and bookings change there for hours");
        Ok(struck)
    }

    async fn compare(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Compare));
        let checked = session.check().await?;
        self.show(Scene::Check(&checked));
        if checked.is_blocked() || !checked.complete {
            self.fault("preflight is not clean");
        }
        let diff = session.diff().await?;
        self.show(Scene::Diff(&diff));
        for comparison in &diff.stores {
            let judged = self.world.judge_verdicts(&comparison.store.0, &comparison.delta)?;
            self.judged(&judged);
        }
        Ok(())
    }

    async fn replay(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Replay));
        self.pass(session).await?;
        self.world.late_business().await?;
        self.say("DR took more writes meanwhile: catch-up");
        for _ in 0..CATCH_UP_PASSES_MAX {
            if self.pass(session).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// One plan and replay; gives the number of steps.
    async fn pass(&mut self, session: &Session) -> Result<u64> {
        let plan = session.plan().await?;
        let steps = plan.summary.steps();
        if plan.summary.held() > 0 {
            self.fault(format!("{} items are held", plan.summary.held()));
        }
        self.show(Scene::Plan(&plan));
        if steps > 0 {
            let replayed = session.replay(Mode::Apply).await?;
            self.show(Scene::Replay(&replayed));
            if replayed.refused() > 0 {
                self.fault(format!("{} steps were refused", replayed.refused()));
            }
        }
        Ok(steps)
    }

    async fn freeze(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Freeze));
        let frozen = session.freeze().await?;
        self.show(Scene::Freeze(&frozen));
        self.pass(session).await?;
        Ok(())
    }

    async fn verify(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Verify));
        let verified = session.verify().await?;
        self.show(Scene::Verify(&verified));
        if !verified.at_parity() {
            self.fault("the sides are not at parity");
        }
        Ok(())
    }

    async fn cutover(&mut self, session: &Session) -> Result<()> {
        self.show(Scene::Stage(Stage::Cutover));
        let narrator = &mut *self.narrator;
        let outcome = session.cutover(None, &mut |event| narrator.show(Scene::Traffic(event))).await?;
        if outcome.end != CutoverEnd::Done {
            self.fault("the cutover did not reach 100%");
        }
        let again = session.verify().await?;
        self.say("customers are back; verified once more:");
        self.show(Scene::Verify(&again));
        if !again.at_parity() {
            self.fault("the sides are not at parity after the cutover");
        }
        Ok(())
    }

    async fn judge(&mut self) -> Result<()> {
        self.show(Scene::Stage(Stage::Judge));
        for judged in self.world.judge_contents().await? {
            self.judged(&judged);
        }
        match &self.dial {
            None => {
                let judged = self.world.judge_weights(100).await?;
                self.judged(&judged);
            }
            Some(dial) if dial.share().is_all_primary() => self.say("weights: all on the primary, as expected"),
            Some(_) => self.fault("the dial is not all on the primary"),
        }
        Ok(())
    }

    fn judged(&mut self, judged: &Judgement) {
        self.faults += judged.mismatches.len() as u64;
        self.show(Scene::Judged(judged));
    }

    fn report(&mut self, session: &Session) -> Result<()> {
        let file = self.drill.folder.join("profile.toml");
        let (profile, folder, now) = (session.profile(), session.folder(), self.drill.clock.now());
        let (state, kept) = (session.state()?, session.kept(KEPT_LISTED_MAX)?);
        let exhibits = session.exhibits(&kept, ValuesWanted::No)?;
        let context = ReportContext::of(profile, &file.to_string_lossy(), folder, now, kept);
        let context = context.with_exhibits(exhibits, Disclosure::default());
        for (name, text) in [("report.md", markdown(&state, &context)), ("report.html", html(&state, &context))] {
            let path = self.drill.folder.join(name);
            std::fs::write(&path, text).map_err(|source| DrillError::File { path, source })?;
        }
        Ok(())
    }
}
