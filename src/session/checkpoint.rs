//! Manifests of both sides while they are in step: the base of a later failback.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Result, Session, SessionError};
use crate::compare::{Base, Comparison, compare};
use crate::journal::Event;

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
            return Err(SessionError::CheckpointExists { path: folder });
        }
        // A folder under another name until it is whole: a cut-off checkpoint is none.
        let draft = folder.with_extension("unfinished");
        remove(&draft)?;
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
            remove(&draft)?;
            return Ok(CheckpointOutcome { stores, folder: None });
        }
        std::fs::rename(&draft, &folder).map_err(|source| SessionError::File { path: folder.clone(), source })?;
        Ok(CheckpointOutcome { stores, folder: Some(folder) })
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SessionError::File { path: folder.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
