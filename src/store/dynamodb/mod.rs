//! Amazon DynamoDB tables.
//!
//! Every read is strongly consistent, every write a single conditional Put or Delete that replaces the whole item; nothing
//! is ever merged with UpdateItem. A scan is not a snapshot: what is written while it runs may or may not be in it, so parity
//! needs fenced writers. Indexes, streams and table settings are described, never copied. Attributes named `aws:rep:*` belong
//! to global tables: they are neither read into digests nor written.

mod apply;
mod check;
pub mod export;
mod fetch;
mod format;
mod guard;
mod pace;
mod replicas;
mod scan;
mod stream;
mod table;
mod value;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;

use self::format::ItemFormat;
use self::pace::{ThrottlingIsOurs, WritePace};
use self::wire::PageReader;
use super::spent::Meter;
use super::{
    BodySource, Changes, Depth, Finding, GuardedWrite, History, LogMark, LogStart, Outcome, ReadStore, Result, Scan,
    Shape, Spent, WriteStore, aws,
};
use crate::model::{Clock, Identity, Item, Key, Side, StoreId, StoreKind, Timestamp};
use crate::profile::SideProfile;

/// What a read unit reads, strongly consistent.
const READ_UNIT_BYTES: u64 = 4096;

/// One DynamoDB table of one side.
pub struct DynamoDbStore {
    id: StoreId,
    side: Side,
    region: String,
    counterpart_region: Option<String>,
    table: String,
    /// What [`Identity::id`] was when the key schema was learnt.
    resource_id: String,
    restored_as_of: Option<Timestamp>,
    format: ItemFormat,
    /// Reads pages on their way; `None` leaves them to the SDK.
    pages: Option<Arc<PageReader>>,
    reader: Client,
    writer: Client,
    streams: aws_sdk_dynamodbstreams::Client,
    clock_watch: aws::ClockWatch,
    indexes: u64,
    bytes: Option<u64>,
    replicates_to: Vec<String>,
    pace: WritePace,
    meter: Meter,
    /// Batches of writes so far.
    batches: AtomicU32,
}

impl DynamoDbStore {
    /// Connects to a table and learns its key schema and time-to-live attribute.
    ///
    /// `table` is a name or an ARN. `version_attribute` names an attribute that every writer of the table changes: it guards
    /// items too wide for a condition on every attribute.
    ///
    /// # Errors
    ///
    /// [`super::ErrorKind::Missing`] when there is no such table, [`super::ErrorKind::Unfit`] when its description lacks a
    /// key schema, and the connection's own.
    pub async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        table: &str,
        version_attribute: Option<String>,
    ) -> Result<DynamoDbStore> {
        let config = aws::sdk_config(reached).await;
        let clock_watch = aws::ClockWatch::default();
        let client = |use_: &str| {
            // Without a partition of its own, replay and reading would drain one another's allowance of retries.
            let partition = RetryPartition::new(format!("failback-dynamodb-{side}-{}-{table}-{use_}", reached.region));
            let mut builder = aws_sdk_dynamodb::config::Builder::from(&config).retry_partition(partition);
            builder = builder.interceptor(clock_watch.clone()).retry_classifier(ThrottlingIsOurs);
            builder.set_endpoint_url(aws::endpoint(reached, "dynamodb"));
            Client::from_conf(builder.build())
        };
        let (reader, writer) = (client("read"), client("write"));
        let streams = streams_client(&config, reached);
        let subject = format!("table {table} on {side}");
        let described = table::describe(&reader, table, &subject).await?;
        let key = table::key_of_table(&described, &subject)?;
        let ttl_attribute = table::ttl_attribute(&reader, table, &subject).await?;
        let pages = Some(Arc::new(PageReader::new(&key)));
        Ok(DynamoDbStore {
            id,
            side,
            region: reached.region.clone(),
            counterpart_region: None,
            table: table.to_owned(),
            resource_id: table::resource_id(&described, &subject)?,
            restored_as_of: table::restored_as_of(&described),
            format: ItemFormat { subject, key, ttl_attribute, ttl_elsewhere: None, version_attribute, clock: None },
            pages,
            reader,
            writer,
            streams,
            clock_watch,
            replicates_to: replicas::other_regions(&described, &reached.region),
            indexes: described.global_secondary_indexes().len() as u64,
            bytes: described.table_size_bytes().and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0),
            pace: WritePace::new(),
            meter: Meter::default(),
            batches: AtomicU32::new(0),
        })
    }

    /// The instant the table stands for when it was restored from a backup or a point in time.
    pub fn restored_as_of(&self) -> Option<Timestamp> {
        self.restored_as_of
    }

    /// The same store with a clock, by which a time to live more than five years past is ignored, as DynamoDB ignores it.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> DynamoDbStore {
        self.format.clock = Some(clock);
        self
    }

    /// The same store, whose pages the SDK parses: several times slower, and the reference that the short way is proved
    /// against and measured by.
    pub fn with_parsed_pages(mut self) -> DynamoDbStore {
        self.pages = None;
        self
    }

    /// The attribute by which this table expires items, while it does.
    pub fn ttl_attribute(&self) -> Option<&str> {
        self.format.ttl_attribute.as_deref()
    }

    /// The same store, told by which attribute the other side expires items: where this table expires none, what is past
    /// that time counts as expired here too, so that a replay never brings it back.
    pub fn with_ttl_elsewhere(mut self, attribute: Option<String>) -> DynamoDbStore {
        self.format.ttl_elsewhere = attribute;
        self
    }

    /// The same store, told the Region of the other side: where a replica of the same global table is there, it is said that
    /// the two converge by themselves.
    pub fn with_counterpart_region(mut self, region: impl Into<String>) -> DynamoDbStore {
        self.counterpart_region = Some(region.into());
        self
    }
}

/// The client of DynamoDB Streams, a service with an endpoint of its own; test servers answer for both on one.
fn streams_client(config: &aws_config::SdkConfig, reached: &SideProfile) -> aws_sdk_dynamodbstreams::Client {
    let own = reached.endpoints.get("dynamodbstreams").cloned();
    let endpoint = own.or_else(|| aws::endpoint(reached, "dynamodb"));
    let mut builder = aws_sdk_dynamodbstreams::config::Builder::from(config);
    builder.set_endpoint_url(endpoint);
    aws_sdk_dynamodbstreams::Client::from_conf(builder.build())
}

impl BodySource for DynamoDbStore {}

#[async_trait]
impl ReadStore for DynamoDbStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::DynamoDb
    }

    async fn identity(&self) -> Result<Identity> {
        self.ask_identity().await
    }

    async fn shape(&self) -> Result<Shape> {
        self.ask_shape().await
    }

    async fn check(&self) -> Vec<Finding> {
        self.preflight().await
    }

    fn not_checked(&self) -> Vec<String> {
        check::not_checked()
    }

    fn spent(&self) -> Spent {
        self.meter.told()
    }

    fn replicates_to(&self) -> &[String] {
        &self.replicates_to
    }

    fn indexes(&self) -> u64 {
        self.indexes
    }

    /// Strongly consistent reading takes a unit for every 4 KiB, by the size that the service last counted.
    fn units_to_read(&self) -> Option<u64> {
        self.bytes.map(|bytes| bytes.div_ceil(READ_UNIT_BYTES))
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        Ok(Box::new(self.segments(partitions).await?))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        self.fetch_items(keys).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.history_of_stream(now).await
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.start_of_stream(now).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.changes_in_stream(since, now).await
    }
}

#[async_trait]
impl WriteStore for DynamoDbStore {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.apply_all(writes).await
    }
}
