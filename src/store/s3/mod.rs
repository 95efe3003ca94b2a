//! Objects of an Amazon S3 bucket, or of the part of it under a prefix.
//!
//! Two objects are compared by the proofs they carry (checksums, MD5-style ETags) and, where they share none, by reading
//! both bodies; never by modification time. Bodies are streamed in bounded parts. Only current versions are compared;
//! versions are never deleted by id. A bucket with version history can also be seen as it was at an instant: the base.
//!
//! Encryption, Object Lock and grants are carried along with an object that is written, and not compared.
//!
//! Deliberately absent: bucket configuration, and the bodies of objects encrypted with customer keys.

mod archive;
mod body;
mod carried;
mod check;
mod cold;
mod copy;
mod direct;
mod hash;
mod history;
mod inventory;
mod lineage;
mod listed;
mod listing;
mod object;
mod page;
mod parts;
mod portions;
mod read;
mod rfc2047;
mod rules;
mod saved;
mod unfinished;
mod upload;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryPartition;
use aws_sdk_s3::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{OnceCell, Semaphore};

pub use cold::archived_findings;
pub use lineage::S3Lineage;
pub use object::{kept_evidence, object_digest};
pub use saved::SavedBodies;

use self::portions::Portion;
use super::aws::{ClockWatch, HttpResponse, endpoint, kind_of_status, sdk_config, store_error};
use super::{
    BodySource, BodyStream, Depth, ErrorKind, Finding, GuardedWrite, LeafStream, Outcome, ReadStore, Result, Scan,
    Shape, StoreError, WriteStore,
};
use crate::digest::{frame, key_value};
use crate::model::{Clock, Identity, Item, Key, Side, StoreId, StoreKind, Timestamp, Value};
use crate::profile::{BucketProfile, CompareProfile, ObjectLockProfile, SideProfile};

/// Objects asked about at the same time.
const READS_AT_ONCE: usize = 32;
/// Objects asked about at the same time in each portion of a scan.
const SCAN_READS_AT_ONCE: usize = 16;
/// Objects written at the same time.
const WRITES_AT_ONCE: usize = 16;
/// Memory for parts of bodies on their way to the bucket, in MiB, over all writes.
const UPLOAD_MEMORY_MIB: u32 = 128;
/// Large bodies hashed at the same time; each has a few ranges in memory.
const LARGE_BODIES_AT_ONCE: usize = 2;
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
    large_bodies: Semaphore,
    body_bytes_read: AtomicU64,
    clock_watch: ClockWatch,
    direct: direct::Direct,
    clock: Option<Arc<dyn Clock>>,
    /// Objects of at least this size are copied by S3 itself where it can.
    copy_from_bytes: u64,
    /// The key of this Region for objects that were encrypted by KMS.
    kms_key: Option<String>,
    object_lock: ObjectLockProfile,
    abilities: OnceCell<carried::Abilities>,
    keeps_grants: OnceCell<bool>,
    unfinished: unfinished::Unfinished,
    /// The other side's bucket.
    counterpart: Option<String>,
    leaves: Leaves,
}

/// What leaves are made of.
#[derive(Debug, Clone)]
enum Leaves {
    /// What is proved of every object, each asked about by itself.
    Proved,
    /// Bodies by size and ETag, as a listing tells them.
    Bodies,
    /// What a listing tells: a forecast.
    Listed,
    /// What an inventory report tells: a forecast as of its date.
    Inventory(inventory::Inventory),
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
            direct: direct::Direct::default(),
            id,
            side,
            reached: reached.clone(),
            bucket: bucket.bucket.clone(),
            prefix: bucket.prefix.clone(),
            as_of,
            upload_memory: Arc::new(Semaphore::new(UPLOAD_MEMORY_MIB as usize)),
            large_bodies: Semaphore::new(LARGE_BODIES_AT_ONCE),
            body_bytes_read: AtomicU64::new(0),
            clock: None,
            copy_from_bytes: bucket.copy_from_mib.saturating_mul(1 << 20),
            kms_key: bucket.kms_key.clone(),
            object_lock: bucket.object_lock,
            abilities: OnceCell::new(),
            keeps_grants: OnceCell::new(),
            unfinished: unfinished::Unfinished::default(),
            counterpart: None,
            leaves: Leaves::Proved,
        };
        store.require_bucket().await?;
        if as_of.is_some() && store.versioning().await?.is_none() {
            let what = format!("bucket {} never kept versions: it has no history to take a base from", store.bucket);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        Ok(store)
    }

    /// The same store with a clock, by which a retention that is over is not carried along.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> S3Store {
        self.clock = Some(clock);
        self
    }

    /// The same store, told the other side's bucket: rules that replicate there are named as what they are.
    pub fn with_counterpart(mut self, bucket: impl Into<String>) -> S3Store {
        self.counterpart = Some(bucket.into());
        self
    }

    /// The same store, told what is compared of objects.
    pub fn comparing(mut self, compare: CompareProfile) -> S3Store {
        self.leaves = match compare {
            CompareProfile::Everything => Leaves::Proved,
            CompareProfile::Bodies => Leaves::Bodies,
        };
        self
    }

    /// The same store for a forecast: its leaves are made of what the report at `inventory`, or else a listing, tells.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unreadable`] when the report is damaged, and [`ErrorKind::Unfit`] when it cannot be used.
    pub async fn for_forecast(mut self, inventory: Option<&str>) -> Result<S3Store> {
        self.leaves = match inventory {
            Some(url) => Leaves::Inventory(inventory::Inventory::open(&self, url).await?),
            None => Leaves::Listed,
        };
        Ok(self)
    }

    /// The item with every proof that its body gives, and those by parts that `like` has.
    async fn deepened_in_turn(&self, item: &Item, like: Option<&Item>) -> Result<Item> {
        let closed = |error| StoreError::caused(ErrorKind::Local, "the turns of large bodies are closed", error);
        let is_large = item.size > body::RANGE;
        let _turn = if is_large { Some(self.large_bodies.acquire().await.map_err(closed)?) } else { None };
        let proved = body::deepened_like(item, like, self).await?;
        self.body_bytes_read.fetch_add(item.size, Ordering::Relaxed);
        Ok(proved)
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
        full_key.strip_prefix(&self.prefix).map(|name| self.key_named(name))
    }

    /// The key of a name without prefix.
    fn key_named(&self, name: &str) -> Key {
        let mut key = Vec::with_capacity(4 * frame::HEAD_BYTES + name.len());
        let map = frame::open(&mut key, frame::MAP);
        frame::put(&mut key, frame::TEXT, b"key");
        frame::put(&mut key, frame::TEXT, name.as_bytes());
        map.close(&mut key);
        Key::from_canonical(key)
    }

    /// Whether this is S3 itself, not another server that speaks as it does.
    fn is_aws(&self) -> bool {
        endpoint(&self.reached, "s3").is_none()
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
    source: Source,
}

/// Where a scan learns which objects there are.
enum Source {
    History(Timestamp),
    Portions(Vec<Portion>),
    Inventory(inventory::Inventory),
}

impl Scan for BucketScan<'_> {
    fn partitions(&self) -> usize {
        let parts = match &self.source {
            Source::History(_) => 1,
            Source::Portions(portions) => portions.len(),
            Source::Inventory(inventory) => inventory.files(),
        };
        parts.max(1)
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let store = self.store;
        let places = match &self.source {
            Source::History(instant) => store.places_at(*instant),
            Source::Portions(portions) => match portions.get(partition) {
                Some(portion) => store.portion_places(portion.clone()),
                None => stream::empty().boxed(),
            },
            Source::Inventory(inventory) => inventory.places(store, partition),
        };
        if !matches!(store.leaves, Leaves::Proved) {
            return places.and_then(move |page| store.listed_leaves(page)).boxed();
        }
        let places = places.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
        let items = places.map_ok(move |place| store.read_listed(place)).try_buffer_unordered(SCAN_READS_AT_ONCE);
        let items = items.map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten();
        let leaves = items.map_ok(|item: Item| item.leaf());
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

    fn body_bytes_read(&self) -> u64 {
        self.body_bytes_read.load(Ordering::Relaxed)
    }

    fn forecast(&self) -> Option<String> {
        let bucket = &self.bucket;
        match &self.leaves {
            Leaves::Proved | Leaves::Bodies => None,
            Leaves::Listed => Some(format!("bucket {bucket} by what its listing tells")),
            Leaves::Inventory(inventory) => {
                Some(format!("bucket {bucket} as of its inventory of {}", inventory.as_of()))
            }
        }
    }

    fn not_checked(&self) -> Vec<String> {
        check::not_checked(self.as_of.is_some(), matches!(self.leaves, Leaves::Bodies))
    }

    fn replication<'i>(&self, item: &'i Item) -> Option<&'i str> {
        object::replication_of(item)
    }

    fn leaves_from(&self) -> Option<&'static str> {
        match &self.leaves {
            Leaves::Proved => None,
            Leaves::Bodies => Some(listed::BODIES),
            Leaves::Listed | Leaves::Inventory(_) => Some(listed::FORECAST),
        }
    }

    fn leaves_are_partial(&self) -> bool {
        !matches!(self.leaves, Leaves::Proved)
    }

    fn differ_beside_leaves(&self, one: &Item, other: &Item) -> bool {
        self.leaves_are_partial() && listed::differ_beside(one, other)
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        self.require_bucket().await?;
        let source = match (self.as_of, &self.leaves) {
            (Some(instant), _) => Source::History(instant),
            (None, Leaves::Inventory(inventory)) => Source::Inventory(inventory.clone()),
            (None, _) => Source::Portions(self.portions(partitions).await?),
        };
        Ok(Box::new(BucketScan { store: self, source }))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        let reads = keys.iter().map(|key| self.read(key, depth));
        // Boxed, or the compiler cannot show that the future is Send for every lifetime.
        stream::iter(reads.collect::<Vec<_>>()).buffered(READS_AT_ONCE).boxed().try_collect().await
    }

    async fn absence(&self, key: &Key) -> Result<Option<String>> {
        self.tell_absence(key).await
    }

    async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
        if item.hold.is_some() {
            return Ok(item.clone());
        }
        self.deepened_in_turn(item, Some(like)).await
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

    async fn tidy(&self, saved: &Path) -> Result<Vec<Finding>> {
        self.tidy_uploads(saved).await
    }
}
