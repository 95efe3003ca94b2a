//! Amazon DynamoDB tables.
//!
//! Every read is strongly consistent, every write a single conditional Put or Delete that replaces the whole item; nothing
//! is ever merged with UpdateItem. A scan is not a snapshot: what is written while it runs may or may not be in it, so parity
//! needs fenced writers. Indexes, streams and table settings are described, never copied. Attributes named `aws:rep:*` belong
//! to global tables: they are neither read into digests nor written.

mod apply;
mod check;
mod fetch;
mod format;
mod guard;
mod scan;
mod table;
mod value;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;

use self::format::ItemFormat;
use self::wire::PageReader;
use super::{BodySource, Depth, Finding, GuardedWrite, Outcome, ReadStore, Result, Scan, Shape, WriteStore, aws};
use crate::model::{Clock, Identity, Item, Key, Side, StoreId, StoreKind, Timestamp};
use crate::profile::SideProfile;

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
    clock_watch: aws::ClockWatch,
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
            builder = builder.interceptor(clock_watch.clone());
            builder.set_endpoint_url(aws::endpoint(reached, "dynamodb"));
            Client::from_conf(builder.build())
        };
        let (reader, writer) = (client("read"), client("write"));
        let subject = format!("table {table} on {side}");
        let described = table::describe(&reader, table, &subject).await?;
        let key = table::key_of_table(&described, &subject)?;
        let ttl_attribute = table::ttl_attribute(&reader, table, &subject).await?;
        Ok(DynamoDbStore {
            id,
            side,
            region: reached.region.clone(),
            counterpart_region: None,
            table: table.to_owned(),
            resource_id: table::resource_id(&described, &subject)?,
            restored_as_of: table::restored_as_of(&described),
            pages: Some(Arc::new(PageReader::new(&key))),
            format: ItemFormat { subject, key, ttl_attribute, version_attribute, clock: None },
            reader,
            writer,
            clock_watch,
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

    /// The same store, told the Region of the other side: a healthy global-table replica there is a blocker, replicas
    /// elsewhere are warnings. Without it every healthy replica is a blocker.
    pub fn with_counterpart_region(mut self, region: impl Into<String>) -> DynamoDbStore {
        self.counterpart_region = Some(region.into());
        self
    }
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

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        Ok(Box::new(self.segments(partitions).await?))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        self.fetch_items(keys).await
    }
}

#[async_trait]
impl WriteStore for DynamoDbStore {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.apply_all(writes).await
    }
}
