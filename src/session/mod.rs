//! One failback from start to end: drives the stages, keeps everything in one folder, and resumes.
//!
//! Every command is a method here, for the command line, the drill and the screens alike. What happened is in the journal;
//! [`SessionState`] is folded from it. Any method can be cut off at any instant and called again.

mod action;
mod browse;
mod business;
mod check;
mod checkpoint;
mod control;
mod cutover;
mod decided;
mod deciding;
mod diff;
mod error;
mod exhibits;
mod exit;
mod following;
mod freeze;
mod live;
mod looking;
mod open;
mod pacing;
mod planning;
mod replaying;
mod rescue;
mod sampling;
mod state;
mod undone;
mod verifying;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use action::Action;
pub use browse::{BrowseFate, BrowseRow, DeltaFile, DeltaIndex, Filter, Sort, SortBy};
pub use check::{CheckOutcome, RescuedStore, StoreCheck};
pub use checkpoint::CheckpointOutcome;
pub use control::{AdoptionError, write_adoption};
pub use cutover::{CutoverOutcome, retreat_unrecorded};
pub use deciding::{DecideOutcome, Picked, undecided};
pub use diff::DiffOutcome;
use diff::Reach;
pub use error::SessionError;
pub use exhibits::{
    CertificateFound, DeltaSample, Exhibits, Fate, Fates, ItemName, KeptAs, RefusedStep, ValuesWanted, delta_file,
};
pub use exit::{Exit, Exits};
pub use following::Follower;
pub use freeze::FreezeOutcome;
pub use live::{LiveProgress, LiveTasks, TaskProgress, read_progress};
pub use looking::{ItemSides, Seen};
pub use open::open_pair;
pub use pacing::{PaceError, order_pace, pace_at_work};
pub use planning::{NewestKept, PlanOutcome, PlanSummary, StorePlan, newest_kept, newest_plans};
pub use replaying::{ReplayOutcome, StoreReplay, UndoOutcome};
pub use rescue::{Holds, RescueOutcome, RescueState, RescuedExport};
pub use sampling::{SampleOutcome, StoreSample};
pub use state::{DecisionMade, READ_BY_DIFF, READ_BY_VERIFY, SessionState};
pub use undone::UndoneOutcome;
pub use verifying::{StoreVerification, VerifyOutcome};

use crate::compare::{LogUse, Progress, Settings};
use crate::cutover::TrafficDial;
use crate::journal::{Event, Journal};
use crate::model::{Clock, Digest, StoreId};
use crate::plan::{Allowances, Rulings};
pub use crate::plan::{Rule, Ruling as Choice};
use crate::profile::{Profile, Resources, StoreProfile};
use crate::store::memory::MemoryRegistry;
pub use crate::store::wrap::{Pace, PaceChange, PaceState};
use crate::store::{Finding, StorePair};

/// What a session method gives.
pub type Result<T> = std::result::Result<T, SessionError>;

/// What an operator chose on the command line.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these stores; empty for all.
    pub stores: Vec<String>,
    /// What was allowed.
    pub allowances: Allowances,
    /// A person's decisions on held items.
    pub rulings: Rulings,
}

/// Everything a session needs from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told how long work gets on.
    pub progress: Arc<dyn Progress>,
    /// Stores of `kind = "memory"`.
    pub memory: MemoryRegistry,
    /// Where named checkpoints are kept.
    pub checkpoints: PathBuf,
    /// How fast is written, and whether at all.
    pub pace: Arc<Pace>,
    /// What shares the traffic, in place of the profile's Route 53 record; for the drill in memory.
    pub dial: Option<Arc<dyn TrafficDial>>,
}

/// An open session.
pub struct Session {
    profile: Profile,
    profile_digest: Digest,
    journal: Arc<Journal>,
    options: Options,
    /// What was allowed on the command line and since.
    allowances: Mutex<Allowances>,
    around: Surroundings,
    tasks: LiveTasks,
    accounts_hold: tokio::sync::OnceCell<()>,
}

impl Session {
    /// Opens or makes the session in `folder`.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when another process has it, its journal is damaged, or `--store` names no store.
    pub fn open(
        folder: &Path,
        profile: Profile,
        profile_text: &str,
        options: Options,
        mut around: Surroundings,
    ) -> Result<Session> {
        for name in &options.stores {
            if !profile.stores.iter().any(|store| store.name == *name) {
                let known = profile.stores.iter().map(|store| store.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(SessionError::UnknownStore { name: name.clone(), known });
            }
        }
        let journal = Arc::new(Journal::open(folder, around.clock.clone())?);
        let profile_digest = blake3::hash(profile_text.as_bytes()).into();
        journal.keep_profile(profile_digest, profile_text)?;
        let allowances = Mutex::new(options.allowances);
        let tasks = LiveTasks::default();
        around.progress = Arc::new(live::Published::new(around.progress, tasks.clone(), around.pace.clone(), folder));
        let accounts_hold = Default::default();
        Ok(Session { profile, profile_digest, journal, options, allowances, around, tasks, accounts_hold })
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The session folder.
    pub fn folder(&self) -> &Path {
        self.journal.folder()
    }

    /// What the session needs from outside.
    pub fn surroundings(&self) -> &Surroundings {
        &self.around
    }

    /// How far the work has come.
    pub fn tasks(&self) -> &LiveTasks {
        &self.tasks
    }

    /// The journal, to follow it.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// What has happened so far.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the journal cannot be read.
    pub fn state(&self) -> Result<SessionState> {
        Ok(SessionState::of(&self.journal)?)
    }

    /// Does the work of a command between its begin and end events, at a pace that [`order_pace`] may change meanwhile.
    ///
    /// # Errors
    ///
    /// Whatever the work gives; its end is recorded with the exit code that `exit_of` gives it.
    pub async fn recorded<T: Exits, E: From<SessionError>>(
        &self,
        command: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
        exit_of: impl FnOnce(&E) -> Exit,
    ) -> std::result::Result<T, E> {
        self.begin(command)?;
        let ended = tokio::select! {
            biased;
            ended = work => ended,
            never = pacing::heed(self.folder(), &self.around.pace, &self.tasks) => match never {},
        };
        match &ended {
            Ok(outcome) => self.end(command, outcome.exit() as u8)?,
            // The first failure is the one to tell; where nothing can be recorded, a command without an end says enough.
            Err(error) => drop(self.end(command, exit_of(error) as u8)),
        }
        ended
    }

    /// Records that a command begins.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the journal cannot be written.
    pub fn begin(&self, command: &str) -> Result<()> {
        let event = Event::Began {
            command: command.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: self.profile_digest,
        };
        Ok(self.journal.append(&[event])?)
    }

    /// Records how a command ended.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the journal cannot be written.
    pub fn end(&self, command: &str, exit_code: u8) -> Result<()> {
        Ok(self.journal.append(&[Event::Ended { command: command.to_owned(), exit_code }])?)
    }

    /// The stores this command is about.
    fn chosen(&self) -> Vec<&StoreProfile> {
        let chosen = |name: &String| self.options.stores.is_empty() || self.options.stores.contains(name);
        self.profile.stores.iter().filter(|store| chosen(&store.name)).collect()
    }

    /// Connects both sides of a store and makes sure that they are two resources, in the accounts that the profile says.
    async fn pair(&self, store: &StoreProfile) -> Result<StorePair> {
        self.accounts_hold.get_or_try_init(|| self.require_accounts()).await?;
        let pair = open_pair(&self.profile, store, &self.around).await?;
        require_distinct(&pair).await?;
        Ok(pair)
    }

    /// The same, by inventories where the profile names any: for a forecast.
    async fn pair_for_forecast(&self, store: &StoreProfile) -> Result<StorePair> {
        self.accounts_hold.get_or_try_init(|| self.require_accounts()).await?;
        let pair = open::open_forecast(&self.profile, store, &self.around).await?;
        require_distinct(&pair).await?;
        Ok(pair)
    }

    /// Both sides must have the same shape before their items mean the same.
    async fn require_same_shape(&self, pair: &StorePair) -> Result<Vec<Finding>> {
        let findings = check::shape_findings(pair).await?;
        if findings.iter().any(|finding| finding.level == crate::store::Level::Blocker) {
            return Err(SessionError::ShapesDiffer { store: pair.id.0.clone(), findings });
        }
        Ok(findings)
    }

    fn settings(&self, store: &StoreProfile, purpose: &str) -> Settings {
        let machine = &self.profile.machine;
        let newest_field = match &store.resources {
            Resources::DynamoDb { newest_attribute, .. } => newest_attribute.clone(),
            Resources::Postgres(rows) | Resources::Mysql(rows) => rows.newest_column.clone(),
            Resources::S3 { .. } | Resources::Memory { .. } => None,
        };
        let spill = machine.spill.clone().unwrap_or_else(|| self.folder().join("spill"));
        Settings {
            partitions: machine.parallel.max(1),
            memory_bytes: usize::try_from(machine.memory_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX),
            spill: spill.join(purpose),
            manifests: self.folder().join("manifests").join(purpose).join(&store.name),
            delta: self.folder().join("delta").join(format!("{purpose}-{}.ndjson", store.name)),
            newest_field,
            common_since: Arc::new(|_| Ok(None)),
            hours_since: self.profile.disaster_at,
            attribute_since: None,
            logs: LogUse::Ignored,
        }
    }

    fn store_profile(&self, id: &StoreId) -> Result<&StoreProfile> {
        let found = self.profile.stores.iter().find(|store| store.name == id.0);
        found.ok_or_else(|| SessionError::PlanOutdated {
            why: format!("it has store {id}, which the profile no longer has"),
        })
    }
}

/// Both sides must be two resources: replaying would write what is read.
async fn require_distinct(pair: &StorePair) -> Result<()> {
    let store = || pair.id.0.clone();
    let read = |source| SessionError::Store { store: store(), source };
    let primary = pair.primary.identity().await.map_err(read)?;
    let dr = pair.dr.identity().await.map_err(read)?;
    match primary.is_same_resource(&dr) {
        true => Err(SessionError::SameResource { store: store(), resource: primary.resource }),
        false => Ok(()),
    }
}
