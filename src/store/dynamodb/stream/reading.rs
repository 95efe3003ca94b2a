//! Reads shards page by page.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::super::DynamoDbStore;
use super::record::change_of;
use super::shards::{Position, Reading, Shard};
use crate::model::Key;
use crate::store::aws::{HttpResponse, store_error};
use crate::store::{ChangeRecord, ErrorKind, StoreError};

/// Shards read at a time.
const SHARDS_AT_ONCE: usize = 8;

/// Pages in a row without a record after which an open shard has nothing more for now.
const EMPTY_PAGES_MAX: u32 = 10;

/// Iterators that may expire on one shard: each lives for 15 minutes, and a shard is read much faster.
const EXPIRED_MAX: u32 = 5;

/// Pages of one shard; a shard lives for about four hours.
const PAGES_MAX: u32 = 1_000_000;

/// Why a reading ends early.
pub(super) enum Stopped {
    /// Records are lost, or too many to read them one by one.
    Gap(String),
    /// It failed.
    Failed(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Failed(error)
    }
}

/// What was read of one shard.
pub(super) struct ShardRead {
    pub(super) id: String,
    pub(super) position: Position,
    pub(super) records: Vec<(Key, ChangeRecord)>,
}

/// Reads the shards of one stream.
pub(super) struct Reader<'a> {
    store: &'a DynamoDbStore,
    stream: &'a str,
    records: AtomicUsize,
    records_max: usize,
}

/// One page of a shard.
struct Page {
    records: Vec<Record>,
    next: Option<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(store: &'a DynamoDbStore, stream: &'a str, records_max: usize) -> Reader<'a> {
        Reader { store, stream, records: AtomicUsize::new(0), records_max }
    }

    /// Reads shards of which none is another's child.
    pub(super) async fn generation(&self, readings: Vec<Reading>) -> Result<Vec<ShardRead>, Stopped> {
        let all = readings.into_iter().map(|reading| self.shard(reading)).collect::<Vec<_>>();
        stream::iter(all).buffered(SHARDS_AT_ONCE).try_collect().await
    }

    async fn shard(&self, reading: Reading) -> Result<ShardRead, Stopped> {
        let Reading { shard, from } = reading;
        let mut read = ShardRead { id: shard.id.clone(), position: from, records: Vec::new() };
        let (mut empty, mut expired) = (0, 0);
        let mut iterator = Some(self.iterator(&shard, &read.position).await?);
        for _ in 0..PAGES_MAX {
            let Some(at) = iterator else {
                read.position = Position::Done;
                return Ok(read);
            };
            let Some(page) = self.page(&at).await? else {
                expired += 1;
                if expired > EXPIRED_MAX {
                    let what = format!("iterators of a shard of {} keep expiring", self.store.format.subject);
                    return Err(StoreError::new(ErrorKind::Unreachable, what).into());
                }
                iterator = Some(self.iterator(&shard, &read.position).await?);
                continue;
            };
            empty = if page.records.is_empty() { empty + 1 } else { 0 };
            self.take(&mut read, page.records)?;
            iterator = page.next;
            if empty >= EMPTY_PAGES_MAX && !shard.is_closed && iterator.is_some() {
                return Ok(read);
            }
        }
        let what = format!("a shard of the stream of {} has no end", self.store.format.subject);
        Err(StoreError::new(ErrorKind::Unreadable, what).into())
    }

    fn take(&self, read: &mut ShardRead, records: Vec<Record>) -> Result<(), Stopped> {
        let so_far = self.records.fetch_add(records.len(), Ordering::Relaxed) + records.len();
        if so_far > self.records_max {
            let (subject, most) = (&self.store.format.subject, self.records_max);
            return Err(Stopped::Gap(format!(
                "the stream of {subject} has more than {most} changes: a scan costs less"
            )));
        }
        for record in records {
            let (key, change, sequence_number) = change_of(&self.store.format, record)?;
            read.records.push((key, change));
            read.position = Position::After(sequence_number);
        }
        Ok(())
    }

    async fn iterator(&self, shard: &Shard, position: &Position) -> Result<String, Stopped> {
        let request = self.store.streams.get_shard_iterator().stream_arn(self.stream).shard_id(&shard.id);
        let request = match position {
            Position::After(number) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(number)
            }
            Position::Unread | Position::Done => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        let reply = request.send().await.map_err(|error| self.stopped(error))?;
        let unnamed =
            || StoreError::new(ErrorKind::Unreadable, format!("an empty iterator for {}", self.store.format.subject));
        Ok(reply.shard_iterator.ok_or_else(unnamed)?)
    }

    /// One page; `None` when the iterator has expired.
    async fn page(&self, iterator: &str) -> Result<Option<Page>, Stopped> {
        match self.store.streams.get_records().shard_iterator(iterator).send().await {
            Ok(reply) => Ok(Some(Page { records: reply.records.unwrap_or_default(), next: reply.next_shard_iterator })),
            Err(error) if error.code() == Some("ExpiredIteratorException") => Ok(None),
            Err(error) => Err(self.stopped(error)),
        }
    }

    fn stopped<E>(&self, error: SdkError<E, HttpResponse>) -> Stopped
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let subject = &self.store.format.subject;
        match error.code() {
            Some("TrimmedDataAccessException") => {
                Stopped::Gap(format!("the stream of {subject} no longer has all of its records: they were trimmed"))
            }
            Some("ResourceNotFoundException") => Stopped::Gap(format!("a shard of the stream of {subject} is gone")),
            _ => Stopped::Failed(store_error(format!("cannot read the stream of {subject}"), error)),
        }
    }
}
