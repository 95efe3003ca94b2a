//! S3 Inventory reports as the list of a huge bucket, as of their date.
//!
//! A report is followed from its `manifest.json`, which its `manifest.checksum` must fit, to the data files, each of which
//! must have the size and the MD5 that the manifest says. What it tells of an object is its key, size, ETag and storage
//! class: enough to forecast what differs, never enough for parity. Reports in ORC are refused.

mod manifest;
mod rows;

use std::fs::File;
use std::io::Write;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};

use self::manifest::{DataFile, Manifest};
use self::rows::Rows;
use super::listing::Place;
use super::{S3Store, s3_error};
use crate::model::Timestamp;
use crate::store::{ErrorKind, Result, StoreError};

/// Bytes of a manifest at most: it names data files, never objects.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Objects handed on together.
const PLACES_AT_ONCE: usize = 1000;
/// Batches of objects on their way from a data file.
const BATCHES_AHEAD: usize = 4;

/// A report whose manifest was read and checked.
#[derive(Debug, Clone)]
pub(super) struct Inventory {
    bucket: String,
    manifest: Manifest,
}

impl Inventory {
    /// Reads and checks the manifest at `url`, `s3://bucket/../manifest.json`, of a report on the bucket of `store`.
    pub async fn open(store: &S3Store, url: &str) -> Result<Inventory> {
        let unfit = |what: String| StoreError::new(ErrorKind::Unfit, what);
        let (bucket, key) = url
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| unfit(format!("{url} is not where a manifest lies: s3://bucket/../manifest.json")))?;
        let stem = key.strip_suffix("manifest.json").ok_or_else(|| unfit(format!("{url} is not a manifest.json")))?;
        let text = small_object(store, bucket, key).await?;
        let checksum = small_object(store, bucket, &format!("{stem}manifest.checksum")).await?;
        let checksum = String::from_utf8_lossy(&checksum).trim().to_ascii_lowercase();
        if checksum != hex::encode(Md5::digest(&text)) {
            let what = format!("{url} is not what its manifest.checksum says: it is damaged or unfinished");
            return Err(StoreError::new(ErrorKind::Unreadable, what));
        }
        let manifest = Manifest::parse(&text, url)?;
        if manifest.source_bucket != store.bucket {
            let what = format!("{url} is a report on bucket {}, not on {}", manifest.source_bucket, store.bucket);
            return Err(unfit(what));
        }
        let bucket = manifest.destination_bucket.clone().unwrap_or_else(|| bucket.to_owned());
        Ok(Inventory { bucket, manifest })
    }

    /// The instant the report stands for.
    pub fn as_of(&self) -> Timestamp {
        self.manifest.created_at
    }

    /// Number of data files.
    pub fn files(&self) -> usize {
        self.manifest.files.len()
    }

    /// The current objects under the prefix of `store` that one data file tells of, in batches.
    pub fn places<'a>(&'a self, store: &'a S3Store, file: usize) -> BoxStream<'a, Result<Vec<Place>>> {
        let Some(file) = self.manifest.files.get(file) else { return stream::empty().boxed() };
        let opened = async move {
            let data = self.download(store, file).await?;
            Ok(self.rows_of(data, file, store.prefix.clone()))
        };
        stream::once(opened).try_flatten().boxed()
    }

    /// Fetches a data file, and makes sure that it is what the manifest says.
    async fn download(&self, store: &S3Store, file: &DataFile) -> Result<File> {
        let what = || format!("cannot read s3://{}/{}", self.bucket, file.key);
        let local = |error| StoreError::caused(ErrorKind::Local, "cannot keep a data file of an inventory", error);
        let reply = store.client.get_object().bucket(&self.bucket).key(&file.key).send().await;
        let mut body = reply.map_err(|error| s3_error(what(), error))?.body;
        let mut data = tempfile::tempfile().map_err(local)?;
        let (mut md5, mut size) = (Md5::new(), 0);
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| StoreError::caused(ErrorKind::Unreachable, what(), error))?;
            md5.update(&bytes);
            size += bytes.len() as u64;
            data.write_all(&bytes).map_err(local)?;
        }
        let is_whole = size == file.size && hex::encode(md5.finalize()) == file.md5;
        if !is_whole {
            let what =
                format!("s3://{}/{} is not what its manifest says: it is damaged or replaced", self.bucket, file.key);
            return Err(StoreError::new(ErrorKind::Unreadable, what));
        }
        Ok(data)
    }

    fn rows_of(&self, data: File, file: &DataFile, prefix: String) -> BoxStream<'static, Result<Vec<Place>>> {
        let name = format!("s3://{}/{}", self.bucket, file.key);
        let (manifest, bucket) = (self.manifest.clone(), self.manifest.source_bucket.clone());
        let (sender, receiver) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(PLACES_AT_ONCE);
            let read = Rows { manifest: &manifest, name: &name }.read(data, &mut |row| {
                if row.bucket == bucket && row.is_current && row.listed_key.starts_with(&prefix) {
                    batch.push(row.into_place());
                }
                // Nobody wants more when the receiver is gone.
                batch.len() < PLACES_AT_ONCE || sender.blocking_send(Ok(std::mem::take(&mut batch))).is_ok()
            });
            // Nobody waits for what is left when the receiver is gone.
            let _ = match read {
                Ok(()) => sender.blocking_send(Ok(batch)),
                Err(error) => sender.blocking_send(Err(error)),
            };
        });
        let next = |mut receiver: tokio::sync::mpsc::Receiver<Result<Vec<Place>>>| async move {
            Ok(receiver.recv().await.transpose()?.map(|batch| (batch, receiver)))
        };
        stream::try_unfold(receiver, next).boxed()
    }
}

async fn small_object(store: &S3Store, bucket: &str, key: &str) -> Result<Vec<u8>> {
    let what = || format!("cannot read s3://{bucket}/{key}");
    let reply = store.client.get_object().bucket(bucket).key(key).send().await;
    let reply = reply.map_err(|error| s3_error(what(), error))?;
    if reply.content_length().is_none_or(|length| length as u64 > MANIFEST_BYTES_MAX) {
        return Err(StoreError::new(ErrorKind::Unreadable, format!("s3://{bucket}/{key} is too large for a manifest")));
    }
    let body = reply.body.collect().await;
    Ok(body.map_err(|error| StoreError::caused(ErrorKind::Unreachable, what(), error))?.to_vec())
}
