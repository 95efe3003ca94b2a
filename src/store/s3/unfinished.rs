//! Uploads in parts that were begun: noted in the session folder, so that those a killed run left are aborted.
//!
//! S3 does not say who began an upload, so only what is noted here is ever aborted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tokio::fs;

use super::{S3Store, s3_error, status};
use crate::store::{ErrorKind, Finding, Level, Result, StoreError};

/// The folder of notes, within the folder of saved bodies.
const FOLDER: &str = "unfinished-uploads";

/// One upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub bucket: String,
    pub key: String,
    pub upload_id: String,
}

/// Where uploads are noted, once a session has said so.
#[derive(Debug, Default)]
pub(super) struct Unfinished(OnceLock<PathBuf>);

impl Unfinished {
    fn path(&self, upload: &Noted) -> Option<PathBuf> {
        Some(self.0.get()?.join(blake3::hash(upload.upload_id.as_bytes()).to_hex().as_str()))
    }

    /// Notes an upload, before any part of it is sent.
    pub async fn note(&self, upload: &Noted) -> Result<()> {
        let Some(path) = self.path(upload) else { return Ok(()) };
        let text = serde_json::to_vec(upload).expect("two texts are JSON");
        let what = || format!("cannot note an upload that was begun in {}", path.display());
        let failed = |error| StoreError::caused(ErrorKind::Local, what(), error);
        if let Some(folder) = path.parent() {
            super::saved::create_private_folder(folder).await.map_err(failed)?;
        }
        fs::write(&path, text).await.map_err(failed)
    }

    /// Forgets an upload that has ended; a note that stays costs one request of the next run.
    pub async fn forget(&self, upload: &Noted) {
        if let Some(path) = self.path(upload) {
            drop(fs::remove_file(path).await);
        }
    }
}

impl S3Store {
    /// Aborts what earlier runs noted in `saved` and did not end, and notes there from now on.
    pub(super) async fn tidy_uploads(&self, saved: &Path) -> Result<Vec<Finding>> {
        let folder = saved.join(FOLDER);
        let folder = self.unfinished.0.get_or_init(|| folder);
        let what = || format!("cannot read which uploads were begun in {}", folder.display());
        let failed = |error| StoreError::caused(ErrorKind::Local, what(), error);
        let mut aborted = 0;
        let mut entries = match fs::read_dir(folder).await {
            // Nothing was noted yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let text = fs::read(entry.path()).await.map_err(failed)?;
            // A note that was cut off was made before anything was sent.
            let Ok(upload) = serde_json::from_slice::<Noted>(&text) else { continue };
            if upload.bucket == self.bucket && self.abort(&upload).await {
                self.unfinished.forget(&upload).await;
                aborted += 1;
            }
        }
        let told = (aborted > 0).then(|| {
            let what = format!("{aborted} unfinished uploads of an earlier run to bucket {} were aborted", self.bucket);
            Finding::new(Level::Note, format!("{} {}", self.id, self.side), what)
        });
        Ok(told.into_iter().collect())
    }

    /// Frees the parts of an upload that will not be finished; tells whether they are gone. Nothing visible depends on it.
    pub(super) async fn abort(&self, upload: &Noted) -> bool {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&upload.key);
        match request.upload_id(&upload.upload_id).send().await {
            Ok(_) => true,
            Err(error) if status(&error) == Some(404) => true,
            Err(error) => {
                let error = s3_error(format!("cannot abort an upload to {}", self.named(&upload.key)), error);
                tracing::warn!(?error, "parts of an unfinished upload stay in the bucket");
                false
            }
        }
    }
}
