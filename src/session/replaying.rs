//! Carries out the newest plan, and takes everything back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::whole::{draft_of, keep, remove};
use super::{PlanSummary, Result, Session, SessionError, StorePlan};
use crate::digest::manifest::{Manifest, ManifestError};
use crate::journal::{Event, StepState};
use crate::model::{Digest, Side, StoreId};
use crate::plan::Forecast;
use crate::replay::{Context, Mode, ReplaySummary, UndoSummary, replay_store, undo_store};
use crate::store::{ReadStore, StorePair};

/// What came of replaying one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreReplay {
    /// The store.
    pub store: StoreId,
    /// What this run did.
    pub run: ReplaySummary,
    /// The plan's steps by state, over all runs.
    pub steps: BTreeMap<StepState, u64>,
    /// What the whole plan was forecast to take.
    #[serde(default)]
    pub forecast: Forecast,
}

/// What came of a replay.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayOutcome {
    /// The plan.
    pub plan: Digest,
    /// Whether anything was written, or only tried.
    pub applied: bool,
    /// The stores.
    pub stores: Vec<StoreReplay>,
    /// Items the plan holds for a person.
    pub held: u64,
}

impl ReplayOutcome {
    /// Steps that were refused, over all runs of the plan.
    pub fn refused(&self) -> u64 {
        self.stores.iter().map(|store| store.run.refused.max(self.in_state(store, StepState::Refused))).sum()
    }

    /// Steps whose dr item changed since the plan.
    pub fn stale(&self) -> u64 {
        self.stores.iter().map(|store| store.run.stale.max(self.in_state(store, StepState::Stale))).sum()
    }

    fn in_state(&self, store: &StoreReplay, state: StepState) -> u64 {
        store.steps.get(&state).copied().unwrap_or(0)
    }
}

/// What came of an undo.
#[derive(Debug, Clone, Serialize)]
pub struct UndoOutcome {
    /// The stores with what was restored.
    pub stores: Vec<(StoreId, UndoSummary)>,
}

impl UndoOutcome {
    /// Items left as they are because they changed since the replay.
    pub fn refused(&self) -> u64 {
        self.stores.iter().map(|(_, summary)| summary.refused).sum()
    }
}

impl Session {
    /// Carries out the newest plan; a dry run reads both sides and writes nothing.
    ///
    /// # Errors
    ///
    /// [`SessionError::PlanOutdated`] when a resource is another than the plan was made for;
    /// [`SessionError::DecisionTakenBack`] when it may rest on a decision that was taken back since.
    pub async fn replay(&self, mode: Mode) -> Result<ReplayOutcome> {
        let (record, summary) = self.latest_plan()?;
        if let Some(number) = self.state()?.plan_lost_decision {
            return Err(SessionError::DecisionTakenBack { number });
        }
        let pairs = self.bound_pairs(&summary.stores).await?;
        if mode == Mode::Apply {
            self.keep_baseline(&summary)?;
        }
        let mut stores = Vec::new();
        for pair in &pairs {
            let run = replay_store(&self.context(pair), (record.number, record.id), mode).await?;
            let counts = self.journal.step_counts(record.number)?;
            let steps = counts.into_iter().filter(|(store, _, _)| *store == pair.id);
            let steps = steps.map(|(_, state, count)| (state, count)).collect();
            let planned = summary.stores.iter().find(|planned| planned.store == pair.id);
            let forecast = planned.map(|planned| planned.forecast).unwrap_or_default();
            stores.push(StoreReplay { store: pair.id.clone(), run, steps, forecast });
        }
        if mode == Mode::Apply {
            let summary = serde_json::to_value(&stores).expect("a summary has only string keys");
            self.journal.append(&[Event::Replayed { plan: record.id, summary }])?;
        }
        Ok(ReplayOutcome { plan: record.id, applied: mode == Mode::Apply, stores, held: summary.held() })
    }

    /// Restores every prior image of every store that was planned for, guarded by the after-images.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: what was not restored is looked at again by the next undo.
    pub async fn undo(&self) -> Result<UndoOutcome> {
        let planned = self.newest_store_plans()?;
        let mut outcome = UndoOutcome { stores: Vec::new() };
        for pair in &self.bound_pairs(&planned).await? {
            let undone = undo_store(&self.context(pair)).await?;
            outcome.stores.push((pair.id.clone(), undone));
        }
        Ok(outcome)
    }

    fn context<'a>(&'a self, pair: &'a StorePair) -> Context<'a> {
        Context {
            journal: &self.journal,
            pair,
            saved: self.folder().join("saved").join(&pair.id.0),
            clock: self.around.clock.as_ref(),
            progress: self.around.progress.as_ref(),
        }
    }

    /// Connects the plan's stores and makes sure that they are the resources it was made for.
    async fn bound_pairs(&self, planned: &[StorePlan]) -> Result<Vec<StorePair>> {
        let mut pairs = Vec::new();
        for planned in planned {
            if !self.options.stores.is_empty() && !self.options.stores.contains(&planned.store.0) {
                continue;
            }
            let pair = self.pair(self.store_profile(&planned.store)?).await?;
            let sides: [(&str, &dyn ReadStore, _); 2] =
                [("primary", pair.primary.as_ref(), &planned.primary), ("dr", pair.dr.as_ref(), &planned.dr)];
            for (side, store, expected) in sides {
                let identity = store.identity().await;
                let identity =
                    identity.map_err(|source| SessionError::Store { store: planned.store.0.clone(), source })?;
                if !identity.is_same_resource(expected) {
                    let (now, then) = (identity.id, &expected.id);
                    let why = format!("{side} of store {} is now {now}, the plan is for {then}", planned.store);
                    return Err(SessionError::PlanOutdated { why });
                }
            }
            // Ranks and column types are known once the shape was read.
            self.require_same_shape(&pair).await?;
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// Before the first write: the primary's manifest as it was, so that an undo can be proved.
    fn keep_baseline(&self, summary: &PlanSummary) -> Result<()> {
        for planned in &summary.stores {
            let baseline = self.baseline_folder(&planned.store);
            if baseline.exists() {
                continue;
            }
            let compared = self.folder().join("manifests/diff").join(&planned.store.0);
            // A comparison that was cut off since then has no manifest to keep.
            let whole = Manifest::open(&compared, Side::Primary).and_then(|manifest| manifest.prove());
            whole.map_err(|error| SessionError::PlanOutdated {
                why: format!("the comparison of store {} behind it was replaced: {error}", planned.store),
            })?;
            let draft = draft_of(&baseline);
            let kept = remove(&draft).and_then(|()| copy_folder(&compared, &draft));
            let kept = kept.and_then(|()| keep(&draft, &baseline));
            kept.map_err(|source| SessionError::File { path: baseline, source })?;
        }
        Ok(())
    }

    /// Whether this session may have written to a store's primary.
    pub(super) fn was_replayed(&self, store: &StoreId) -> bool {
        self.baseline_folder(store).exists()
    }

    fn baseline_folder(&self, store: &StoreId) -> std::path::PathBuf {
        self.folder().join("manifests/baseline").join(&store.0)
    }

    /// A side's manifest from before the first write of this session.
    pub(super) fn baseline(&self, store: &StoreId, side: Side) -> std::result::Result<Manifest, ManifestError> {
        Manifest::open(&self.baseline_folder(store), side)
    }
}

/// Copies a folder of plain files and folders; one level of nesting more than a manifest has.
fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
