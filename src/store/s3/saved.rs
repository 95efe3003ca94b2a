//! Prior bodies: kept by the bucket's versions, or saved to a folder before they are destroyed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::S3Store;
use super::hash::BodyHasher;
use super::object::{Location, add_proofs, bare_etag};
use crate::model::Item;
use crate::store::{BodySource, BodyStream, ErrorKind, Result, StoreError};

/// Bytes read from a saved file at a time.
const CHUNK: usize = 256 * 1024;

/// Bodies that were saved to a folder; any other comes from `fallback`.
pub struct SavedBodies {
    /// The folder given to [`crate::store::WriteStore::preserve`].
    pub folder: PathBuf,
    /// Where the bodies are read that were not saved: the store itself, by version.
    pub fallback: Arc<dyn BodySource>,
}

#[async_trait]
impl BodySource for SavedBodies {
    async fn open_body(&self, item: &Item, range: Range<u64>) -> Result<BodyStream> {
        let Ok(name) = file_name(item) else { return self.fallback.open_body(item, range).await };
        let path = self.folder.join(name);
        let mut file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return self.fallback.open_body(item, range).await;
            }
            Err(error) => return Err(local("cannot open a saved body", error)),
        };
        let length = file.metadata().await.map_err(|error| local("cannot open a saved body", error))?.len();
        if length != item.size || range.end > length || range.start > range.end {
            return Err(StoreError::new(
                ErrorKind::Unreadable,
                format!("saved body {} has a wrong length", path.display()),
            ));
        }
        let seek = file.seek(std::io::SeekFrom::Start(range.start)).await;
        seek.map_err(|error| local("cannot read a saved body", error))?;
        Ok(file_chunks(file, range.end - range.start))
    }
}

fn file_chunks(file: File, length: u64) -> BodyStream {
    let next = |(mut file, left): (File, u64)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let read = file.read(&mut chunk).await.map_err(|error| local("cannot read a saved body", error))?;
        if read == 0 {
            return Err(StoreError::new(ErrorKind::Unreadable, "a saved body ends early"));
        }
        chunk.truncate(read);
        Ok(Some((chunk.into(), (file, left - read as u64))))
    };
    stream::try_unfold((file, length), next).boxed()
}

/// Saves the body of `item` unless a version of the bucket keeps it.
pub(super) async fn preserve(store: &S3Store, item: &Item, folder: &Path) -> Result<()> {
    let location = Location::of(item)?;
    if location.lasting_version().is_some() {
        return Ok(());
    }
    let failed = |error| local("cannot save a body that a write would destroy", error);
    let path = folder.join(file_name(item)?);
    if fs::metadata(&path).await.is_ok_and(|file| file.len() == item.size) {
        return Ok(());
    }
    create_private_folder(folder).await.map_err(failed)?;
    // In the same folder, or the rename would not be atomic; removed when anything fails.
    let temporary = tempfile::Builder::new().prefix(".saving-").tempfile_in(folder).map_err(failed)?;
    let (handle, temporary) = temporary.into_parts();
    save(store, item, File::from_std(handle)).await?;
    temporary.persist(&path).map_err(|error| failed(error.error))?;
    // The rename itself is durable only once the folder is.
    let synced = async { File::open(folder).await?.sync_all().await };
    synced.await.map_err(failed)
}

pub(super) async fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await
}

async fn save(store: &S3Store, item: &Item, mut file: File) -> Result<()> {
    let failed = |error| local("cannot save a body that a write would destroy", error);
    let mut body = store.open_body(item, 0..item.size).await?;
    let mut hasher = BodyHasher::new();
    while let Some(bytes) = body.try_next().await? {
        hasher.update(&bytes);
        file.write_all(&bytes).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    if hasher.length() != item.size {
        let what = format!("the body of {} has another length than it says", Location::of(item)?);
        return Err(StoreError::new(ErrorKind::Unreadable, what));
    }
    add_proofs(&mut item.clone(), &hasher.finish())?;
    file.sync_all().await.map_err(failed)
}

/// The name of an item's saved body: its key and its ETag, both safe as file names.
fn file_name(item: &Item) -> Result<String> {
    let location = Location::of(item)?;
    let etag = bare_etag(&location.etag);
    let safe: String = etag.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    Ok(format!("{}-{safe}", blake3::hash(item.key.as_bytes()).to_hex()))
}

fn local(what: &str, error: std::io::Error) -> StoreError {
    StoreError::caused(ErrorKind::Local, what, error)
}
