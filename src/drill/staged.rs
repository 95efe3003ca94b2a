//! The two Regions after the disaster: where a drill is held, whoever leads it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::companion::DrillCompanion;
use super::run::{Drill, DrillError, Narrator, Result, Scene, Stage};
use super::sandbox::{Lifetime, Record, Sandbox, SupervisorCommand};
use super::story::{DrillProfile, Judgement, Leader, Mismatch, Struck, World, profile_toml};
use crate::compare::Progress;
use crate::cutover::{MemoryDial, Share, TrafficDial};
use crate::guide::Companion;
use crate::model::{Clock, Percent};
use crate::plan::Kept;
use crate::profile::Profile;
use crate::session::{Action, Exit, Options, Session, SessionError, Surroundings};
use crate::store::memory::MemoryRegistry;

/// What everybody in a drill shares: the Regions, and how they are reached.
pub(super) struct Ground {
    pub(super) world: World,
    folder: PathBuf,
    program: PathBuf,
    clock: Arc<dyn Clock>,
    /// Of the servers; absent in memory.
    record: Option<Record>,
    memory: MemoryRegistry,
    /// In place of Route 53, in memory.
    dial: Option<Arc<MemoryDial>>,
}

/// A drill in which the disaster has struck and dr serves the customers; the job is still to be done.
pub struct Staged {
    pub(super) ground: Arc<Ground>,
    struck: Struck,
    sandbox: Option<(Sandbox, Lifetime)>,
}

impl Drill {
    /// Starts real servers and tells the story there up to the outage, for an operator: conflicts are held for a person.
    ///
    /// # Errors
    ///
    /// [`super::sandbox::SandboxError::Unavailable`] when this machine cannot have a sandbox: then
    /// [`Drill::stage_in_memory`] can go on.
    pub async fn stage(&self, narrator: &mut dyn Narrator) -> Result<Staged> {
        self.stage_for(Leader::Operator, narrator).await
    }

    /// Does what [`Drill::stage`] does on the reference stores in memory.
    ///
    /// # Errors
    ///
    /// [`DrillError`] when the folder cannot be written or a stage fails.
    pub async fn stage_in_memory(&self, narrator: &mut dyn Narrator) -> Result<Staged> {
        self.stage_in_memory_for(Leader::Operator, narrator).await
    }

    pub(super) async fn stage_for(&self, leader: Leader, narrator: &mut dyn Narrator) -> Result<Staged> {
        let sandbox = self.start_sandbox(narrator).await?;
        let world = World::create(&sandbox, self.scale, leader, self.clock.clone()).await?;
        let ground = Ground { record: Some(sandbox.record().clone()), ..self.ground(world) };
        ground.tell(Some((sandbox, self.lifetime)), self.progress.clone(), narrator).await
    }

    pub(super) async fn stage_in_memory_for(&self, leader: Leader, narrator: &mut dyn Narrator) -> Result<Staged> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| DrillError::File { path: self.folder.clone(), source })?;
        let memory = MemoryRegistry::new();
        let world = World::create_in_memory(&memory, &self.folder, self.scale, leader, self.clock.clone())?;
        let dial = MemoryDial::new(Share::of(Percent::ZERO), leader.ttl_seconds().into());
        let ground = Ground { memory, dial: Some(Arc::new(dial)), ..self.ground(world) };
        ground.tell(None, self.progress.clone(), narrator).await
    }

    async fn start_sandbox(&self, narrator: &mut dyn Narrator) -> Result<Sandbox> {
        let (folder, lifetime) = (self.folder.clone(), self.lifetime);
        let command = SupervisorCommand::of(&self.program);
        let (lines, mut told) = tokio::sync::mpsc::unbounded_channel();
        let started = tokio::task::spawn_blocking(move || {
            // Nobody listens any more only when the drill was given up.
            Sandbox::start(&folder, lifetime, &command, &mut |line| drop(lines.send(line.to_owned())))
        });
        while let Some(line) = told.recv().await {
            narrator.show(Scene::Preparing(line));
        }
        Ok(started.await.expect("starting a sandbox does not panic")?)
    }

    fn ground(&self, world: World) -> Ground {
        Ground {
            world,
            folder: self.folder.clone(),
            program: self.program.clone(),
            clock: self.clock.clone(),
            record: None,
            memory: MemoryRegistry::new(),
            dial: None,
        }
    }
}

impl Ground {
    /// Tells the story from two Regions in step to the outage's business, and leaves the operator's profile.
    async fn tell(
        self,
        sandbox: Option<(Sandbox, Lifetime)>,
        progress: Arc<dyn Progress>,
        narrator: &mut dyn Narrator,
    ) -> Result<Staged> {
        narrator.show(Scene::Stage(Stage::InStep));
        self.world.seed().await?;
        self.write_profile(None)?;
        let before = self.open(Options::default(), progress)?;
        let folder = self.checkpoint_folder();
        let folder = folder.to_string_lossy();
        let keeping = before.checkpoint(&folder);
        let kept = before.recorded(Action::Checkpoint.name(), keeping, |_: &SessionError| Exit::Incomplete).await?;
        narrator.show(Scene::Checkpoint(&kept));
        drop(before);
        narrator.show(Scene::Stage(Stage::Disaster));
        let struck = self.world.strike().await?;
        narrator.show(Scene::Words(format!("T0 {}: {PRIMARY_FAILS}", struck.disaster_at)));
        self.world.business().await?;
        narrator.show(Scene::Words(DR_SERVES.into()));
        self.write_profile(Some(struck))?;
        Ok(Staged { ground: Arc::new(self), struck, sandbox })
    }

    pub(super) fn profile_path(&self) -> PathBuf {
        self.folder.join("profile.toml")
    }

    pub(super) fn session_folder(&self) -> PathBuf {
        self.folder.join("session")
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn checkpoint_folder(&self) -> PathBuf {
        self.folder.join("checkpoints").join("in-step")
    }

    /// Writes the profile of the hour, as an operator would.
    fn write_profile(&self, struck: Option<Struck>) -> Result<()> {
        let checkpoint = self.checkpoint_folder();
        let checkpoint = checkpoint.to_string_lossy();
        let profile = DrillProfile { program: &self.program, struck, checkpoint: struck.map(|_| checkpoint.as_ref()) };
        let path = self.profile_path();
        std::fs::write(&path, profile_toml(&self.world, self.record.as_ref(), profile))
            .map_err(|source| DrillError::File { path, source })
    }

    fn surroundings(&self, progress: Arc<dyn Progress>) -> Surroundings {
        Surroundings {
            clock: self.clock(),
            progress,
            memory: self.memory.clone(),
            checkpoints: self.folder.join("checkpoints"),
            pace: Arc::default(),
            dial: self.dial.clone().map(|dial| dial as Arc<dyn TrafficDial>),
        }
    }

    fn open(&self, options: Options, progress: Arc<dyn Progress>) -> Result<Session> {
        let path = self.profile_path();
        let text = std::fs::read_to_string(&path).map_err(|source| DrillError::File { path: path.clone(), source })?;
        let profile = Profile::parse(&text, &path.to_string_lossy(), &|_| None)?;
        Ok(Session::open(&self.session_folder(), profile, &text, options, self.surroundings(progress))?)
    }

    /// Compares the primary's contents and the weights with what was planted; `accepted` as for [`World::judge_contents`].
    pub(super) async fn judge_end(&self, accepted: &[Kept]) -> Result<Vec<Judgement>> {
        let mut judgements = self.world.judge_contents(accepted).await?;
        judgements.push(match &self.dial {
            None => self.world.judge_weights(100).await?,
            Some(dial) => judge_dial(dial.share()),
        });
        Ok(judgements)
    }
}

const PRIMARY_FAILS: &str = "the primary Region fails, with writes that never replicated";
const DR_SERVES: &str = "customers are served by DR: orders, uploads and bookings change there for hours";

fn judge_dial(share: Share) -> Judgement {
    let what = "the dial is not all on the primary".into();
    let mismatch = Mismatch { store: "weights".into(), subject: share.to_string(), what };
    let mismatches = if share.is_all_primary() { Vec::new() } else { vec![mismatch] };
    Judgement { summary: format!("weights: {share}"), mismatches }
}

impl Staged {
    /// The operator's profile.
    pub fn profile_path(&self) -> PathBuf {
        self.ground.profile_path()
    }

    /// The folder of the session that [`Staged::open`] opens.
    pub fn session_folder(&self) -> PathBuf {
        self.ground.session_folder()
    }

    /// The drill's folder, with everything in it.
    pub fn folder(&self) -> &Path {
        &self.ground.folder
    }

    /// Whether the Regions are reference stores in memory: then no other process can reach them.
    pub fn is_in_memory(&self) -> bool {
        self.ground.record.is_none()
    }

    /// What a session on this drill needs from outside.
    pub fn surroundings(&self, progress: Arc<dyn Progress>) -> Surroundings {
        self.ground.surroundings(progress)
    }

    /// Opens the session on the operator's profile; it can be closed and opened again with other options.
    ///
    /// # Errors
    ///
    /// [`DrillError`] when the profile cannot be read or the session not be opened.
    pub fn open(&self, options: Options, progress: Arc<dyn Progress>) -> Result<Session> {
        self.ground.open(options, progress)
    }

    /// Who goes along: tells the story, makes dr's late writes after the first replay, and judges the end.
    pub fn companion(&self) -> Box<dyn Companion> {
        Box::new(DrillCompanion::new(self.ground.clone(), self.struck))
    }

    /// Ends the servers, unless they outlive the drill.
    ///
    /// # Errors
    ///
    /// [`super::sandbox::SandboxError`] when they did not end.
    pub async fn end(self) -> Result<()> {
        match self.sandbox {
            Some((sandbox, Lifetime::Attached)) => {
                tokio::task::spawn_blocking(move || sandbox.end()).await.expect("ending a sandbox does not panic")?;
            }
            Some((_, Lifetime::Detached)) | None => {}
        }
        Ok(())
    }
}
