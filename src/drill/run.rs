//! A drill and what it shows.

use std::path::PathBuf;
use std::sync::Arc;

use super::rehearsal::rehearse;
use super::sandbox::{Lifetime, SandboxError};
use super::story::{Judgement, Leader, Scale, StoryError};
use crate::compare::Progress;
use crate::cutover::CutoverEvent;
use crate::model::Clock;
use crate::profile::ProfileError;
use crate::session::{
    CheckOutcome, CheckpointOutcome, DiffOutcome, FreezeOutcome, PlanOutcome, ReplayOutcome, SessionError,
    VerifyOutcome,
};

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
    /// A line of the work before the first part: what is installed and started.
    Preparing(String),
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

/// A drill that could not go on; what was found wrong by the judge is no error but a result.
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

/// What a part of a drill gives.
pub(super) type Result<T> = std::result::Result<T, DrillError>;

impl Drill {
    /// Runs the drill on real servers; gives the number of things that are not as planted.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Unavailable`] when this machine cannot have a sandbox: then [`Drill::run_in_memory`] can go on.
    pub async fn run(&self, narrator: &mut dyn Narrator) -> Result<u64> {
        let staged = self.stage_for(Leader::Script, narrator).await?;
        let faults = rehearse(&staged, self.progress.clone(), narrator).await?;
        staged.end().await?;
        Ok(faults)
    }

    /// Runs the drill on the reference stores in memory; gives the number of things that are not as planted.
    ///
    /// # Errors
    ///
    /// [`DrillError`] when a stage fails.
    pub async fn run_in_memory(&self, narrator: &mut dyn Narrator) -> Result<u64> {
        let staged = self.stage_in_memory_for(Leader::Script, narrator).await?;
        rehearse(&staged, self.progress.clone(), narrator).await
    }
}

/// How a drill ended, by the number of things that are not as planted.
pub fn homecoming(faults: u64) -> String {
    match faults {
        0 => "THE DRILL CAME HOME: verdicts, final contents and weights are as planted.".to_owned(),
        faults => format!("THE DRILL FAILED: {faults} things are not as planted, see above."),
    }
}
