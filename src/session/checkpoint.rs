//! Manifests of both sides while they are in step: the base of a later failback.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::whole::{draft_of, keep, remove};
use super::{Result, Session, SessionError};
use crate::compare::{Base, Comparison, SideSummary, compare};
use crate::digest::manifest::Manifest;
use crate::journal::Event;
use crate::model::Side;

/// What a checkpoint came to.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointOutcome {
    /// The comparisons.
    pub stores: Vec<Comparison>,
    /// Where the checkpoint is; `None` when the sides were not in step, so none was kept.
    pub folder: Option<PathBuf>,
}

impl Session {
    /// The folder of a checkpoint: a name below the checkpoints, or a path.
    pub(super) fn checkpoint_folder(&self, name: &str) -> PathBuf {
        if name.contains('/') { PathBuf::from(name) } else { self.around.checkpoints.join(name) }
    }

    /// Compares every chosen store and keeps the manifests when all are in step.
    ///
    /// # Errors
    ///
    /// [`SessionError::CheckpointExists`] for a name that is taken: a checkpoint is never overwritten.
    pub async fn checkpoint(&self, name: &str) -> Result<CheckpointOutcome> {
        let folder = self.checkpoint_folder(name);
        if folder.exists() {
            return match self.kept_by_an_interrupted_run(&folder)? {
                Some(stores) => Ok(CheckpointOutcome { stores, folder: Some(folder) }),
                None => Err(SessionError::CheckpointExists { path: folder }),
            };
        }
        let file_error = |source| SessionError::File { path: folder.clone(), source };
        let draft = draft_of(&folder);
        remove(&draft).map_err(file_error)?;
        let mut stores = Vec::new();
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            self.require_same_shape(&pair).await?;
            let mut settings = self.settings(store, "checkpoint");
            settings.manifests = draft.join(&store.name);
            let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
            let comparison = compare(&pair, &Base::None, &settings, clock, progress).await?;
            let recorded = serde_json::to_value(&comparison).expect("a comparison has only string keys");
            self.journal.append(&[Event::Compared { by: "checkpoint".into(), comparison: recorded }])?;
            stores.push(comparison);
        }
        if !stores.iter().all(Comparison::at_parity) {
            remove(&draft).map_err(file_error)?;
            return Ok(CheckpointOutcome { stores, folder: None });
        }
        keep(&draft, &folder).map_err(file_error)?;
        Ok(CheckpointOutcome { stores, folder: Some(folder) })
    }

    /// The comparisons behind a checkpoint that is there, where a run of this command kept it but was cut off before it
    /// could end: the folder holds what that run read, to the instant.
    fn kept_by_an_interrupted_run(&self, folder: &Path) -> Result<Option<Vec<Comparison>>> {
        let mut compared = Vec::new();
        for record in self.journal.events()? {
            match record.event {
                Event::Ended { command, .. } if command == "checkpoint" => compared.clear(),
                Event::Compared { by, comparison } if by == "checkpoint" => {
                    compared.extend(serde_json::from_value::<Comparison>(comparison));
                }
                _ => {}
            }
        }
        let newest = |name: &str| compared.iter().rev().find(|comparison| comparison.store.0 == name);
        let kept = self.chosen().into_iter().map(|store| {
            let comparison = newest(&store.name)?;
            is_of(comparison, &folder.join(&store.name)).then(|| comparison.clone())
        });
        Ok(kept.collect())
    }
}

/// Whether the manifests in `folder` are those of a comparison.
pub(super) fn is_of(comparison: &Comparison, folder: &Path) -> bool {
    let is_side = |side: Side, summary: &SideSummary| {
        Manifest::open(folder, side).is_ok_and(|manifest| {
            let read = (manifest.header.read_from, manifest.header.read_until);
            read == (summary.read_from, summary.read_until) && manifest.header.root == summary.root
        })
    };
    is_side(Side::Primary, &comparison.primary) && is_side(Side::Dr, &comparison.dr)
}
