//! Objects of an Amazon S3 bucket, or of the part of it under a prefix.
//!
//! Two objects are compared by the proofs they carry (checksums, MD5-style ETags) and, where they share none, by reading
//! both bodies; never by modification time. Bodies are streamed in bounded parts. Only current versions are compared;
//! versions are never deleted by id. A bucket with version history can also be seen as it was at an instant: the base.
//!
//! Deliberately absent: ACLs, Object Lock settings, bucket configuration, and objects encrypted with customer keys.

mod body;
mod check;
mod hash;
mod history;
mod listing;
mod object;
mod read;
mod saved;
mod upload;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryPartition;
use aws_sdk_s3::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

pub use object::{kept_evidence, object_digest};
pub use saved::SavedBodies;

use super::aws::{ClockWatch, HttpResponse, endpoint, kind_of_status, sdk_config, store_error};
use super::{
    BodySource, BodyStream, Depth, ErrorKind, Finding, GuardedWrite, LeafStream, Outcome, ReadStore, Result, Scan,
    Shape, StoreError, WriteStore,
};
use crate::digest::{key_of, key_value};
use crate::model::{Identity, Item, Key, Side, StoreId, StoreKind, Timestamp, Value};
use crate::profile::{BucketProfile, SideProfile};

/// Objects asked about at the same time.
const READS_AT_ONCE: usize = 32;
/// Objects written at the same time.
const WRITES_AT_ONCE: usize = 16;
/// Memory for parts of bodies on their way to the bucket, in MiB, over all writes.
const UPLOAD_MEMORY_MIB: u32 = 128;
/// Longest key of an object, in bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1024;
/// A body that sends nothing for this long is given up.
const STALL_GRACE: Duration = Duration::from_secs(30);

/// One bucket, or the part of it under a prefix, on one side.
pub struct S3Store {
    id: StoreId,
    side: Side,
    reached: SideProfile,
    client: Client,
    bucket: String,
    prefix: String,
    as_of: Option<Timestamp>,
    upload_memory: Arc<Semaphore>,
    clock_watch: ClockWatch,
}

impl S3Store {
    /// Connects to a bucket; with `as_of`, to a read-only view of it as its version history says it was at that instant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] when there is no such bucket, [`ErrorKind::Unfit`] when it is in another Region than the
    /// profile says or `as_of` is asked of a bucket that never kept versions, and the connection's own.
    pub async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        bucket: &BucketProfile,
        as_of: Option<Timestamp>,
    ) -> Result<S3Store> {
        let clock_watch = ClockWatch::default();
        let store = S3Store {
            client: client(side, reached, bucket, clock_watch.clone()).await,
            clock_watch,
            id,
            side,
            reached: reached.clone(),
            bucket: bucket.bucket.clone(),
            prefix: bucket.prefix.clone(),
            as_of,
            upload_memory: Arc::new(Semaphore::new(UPLOAD_MEMORY_MIB as usize)),
        };
        store.require_bucket().await?;
        if as_of.is_some() && store.versioning().await?.is_none() {
            let what = format!("bucket {} never kept versions: it has no history to take a base from", store.bucket);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(store)
    }

    /// The bucket's key for `key`, prefix included.
    fn full_key(&self, key: &Key) -> Result<String> {
        let malformed = || StoreError::new(ErrorKind::Unreadable, "a key is not that of an S3 object");
        let value =
            key_value(key).map_err(|error| StoreError::caused(malformed().kind, malformed().to_string(), error))?;
        let name = value.get("key").and_then(Value::as_text).ok_or_else(malformed)?;
        Ok(format!("{}{name}", self.prefix))
    }

    /// The key for a bucket's key, when it is under the prefix.
    fn key(&self, full_key: &str) -> Option<Key> {
        full_key.strip_prefix(&self.prefix).map(|name| key_of(&Value::map([("key", Value::text(name))])))
    }

    /// Whether S3 can hold an object of this name; a key that is legal under one prefix may not be under another.
    fn is_possible(full_key: &str) -> bool {
        (1..=KEY_BYTES_MAX).contains(&full_key.len())
    }

    /// How error text names an object.
    fn named(&self, full_key: &str) -> String {
        format!("s3://{}/{full_key}", self.bucket)
    }
}

async fn client(side: Side, reached: &SideProfile, bucket: &BucketProfile, clock_watch: ClockWatch) -> Client {
    let address = endpoint(reached, "s3");
    let mut builder = Builder::from(&sdk_config(reached).await)
        .force_path_style(address.is_some())
        // The SDK's retry budget is shared by all clients of a Region unless each has its own.
        .retry_partition(RetryPartition::new(format!("failback-s3-{side}-{}", bucket.bucket)))
        .interceptor(clock_watch)
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build());
    builder.set_endpoint_url(address);
    Client::from_conf(builder.build())
}

/// The HTTP status of an error that the service answered with.
fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// As [`store_error`]; a HEAD's error has no code, so its status decides.
fn s3_error<E>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = status(&error);
    let mut sorted = store_error(what, error);
    if sorted.kind == ErrorKind::Other {
        sorted.kind = match status {
            Some(301 | 307) => ErrorKind::Unfit,
            Some(404) => ErrorKind::Missing,
            Some(status @ 300..) => kind_of_status(status),
            // An error inside of a success.
            _ => ErrorKind::Other,
        };
    }
    sorted
}

/// One listing of the bucket; there is no snapshot in S3, so every object is read as it is when its turn comes.
struct BucketScan<'a> {
    store: &'a S3Store,
}

impl Scan for BucketScan<'_> {
    fn partitions(&self) -> usize {
        1
    }

    fn leaves(&self, _partition: usize) -> LeafStream<'_> {
        let store = self.store;
        let places = store.places().map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
        let items = places.map_ok(move |place| store.read_listed(place)).try_buffer_unordered(READS_AT_ONCE);
        let leaves = items.try_filter_map(|item| std::future::ready(Ok(item.map(|item| item.leaf()))));
        leaves.try_ready_chunks(1000).map_err(|stopped| stopped.1).boxed()
    }

    fn estimate(&self) -> Option<u64> {
        None
    }
}

#[async_trait]
impl BodySource for S3Store {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.open(item, range).await
    }
}

#[async_trait]
impl ReadStore for S3Store {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::S3
    }

    async fn identity(&self) -> Result<Identity> {
        self.ask_identity().await
    }

    async fn shape(&self) -> Result<Shape> {
        Ok(self.ask_shape().await)
    }

    async fn check(&self) -> Vec<Finding> {
        self.findings().await
    }

    fn not_checked(&self) -> Vec<String> {
        check::not_checked(self.as_of.is_some())
    }

    async fn begin_scan(&self, _partitions: usize) -> Result<Box<dyn Scan + '_>> {
        self.require_bucket().await?;
        Ok(Box::new(BucketScan { store: self }))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        let reads = keys.iter().map(|key| self.read(key, depth));
        // Boxed, or the compiler cannot show that the future is Send for every lifetime.
        stream::iter(reads.collect::<Vec<_>>()).buffered(READS_AT_ONCE).boxed().try_collect().await
    }
}

#[async_trait]
impl WriteStore for S3Store {
    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::new(SavedBodies { folder: saved.to_owned(), fallback: self })
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        if self.as_of.is_some() || self.side != Side::Primary {
            let what = format!("bucket {} is only read here, as {}", self.bucket, self.side);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        let running = writes.iter().map(|write| self.apply_one(*write)).collect::<Vec<_>>();
        // All run to their end before an error is given, so that no multipart upload is left half done.
        let outcomes: Vec<Result<Outcome>> = stream::iter(running).buffered(WRITES_AT_ONCE).boxed().collect().await;
        outcomes.into_iter().collect()
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        saved::preserve(self, item, saved).await
    }
}
