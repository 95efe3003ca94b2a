//! The table's stream: what was written in the last 24 hours, item by item in order.
//!
//! A stream is a forest of shards. A shard is read before its children, so that the records of one item come in the order
//! they happened; shards that were closed before a mark hold nothing after it. Records vanish after 24 hours, and shards
//! with them: whatever may have been lost is a gap. An open shard has no end to be read to: it is read until a number of
//! pages in a row bring nothing, and goes on from its last record at the next reading.

mod reading;
mod record;
mod shards;

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::types::{Shard as Described, StreamStatus};
use jiff::SignedDuration;
use serde_json::json;

use self::reading::{Reader, Stopped};
use self::shards::{Position, Positions, Shard, positions_now, readings};
use super::DynamoDbStore;
use crate::model::{Key, Timestamp};
use crate::store::aws::store_error;
use crate::store::{ChangeRecord, ChangeSet, Changes, ErrorKind, History, LogMark, LogStart, Result, StoreError};

/// How old a mark may be: streams keep records for 24 hours, less an hour for what a reading itself takes.
const MARK_AGE_MAX: SignedDuration = SignedDuration::from_hours(23);

/// Pages of one description: each has up to a hundred shards.
const DESCRIPTION_PAGES_MAX: usize = 10_000;

/// Records of one reading. Beyond it a scan costs less than reading the touched items one by one, and memory stays bounded.
const RECORDS_MAX: usize = 400_000;

/// A stream and its shards.
struct Description {
    arn: String,
    is_enabled: bool,
    created_at: Option<Timestamp>,
    shards: Vec<Shard>,
}

impl DynamoDbStore {
    /// Where the stream stands now.
    pub(super) async fn start_of_stream(&self, now: Timestamp) -> Result<LogStart> {
        let Some(arn) = self.stream_arn().await? else { return Ok(LogStart::NoLog(self.without_stream())) };
        let described = self.describe_stream(&arn).await?;
        if !described.is_enabled {
            return Ok(LogStart::NoLog(format!("the stream of {} is being switched on or off", self.format.subject)));
        }
        Ok(LogStart::Mark(mark(&described.arn, now, &positions_now(&described.shards))))
    }

    /// What was written since a mark of this very stream.
    pub(super) async fn changes_in_stream(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        let Some(arn) = self.stream_arn().await? else { return Ok(Changes::NoLog(self.without_stream())) };
        if arn != since.log {
            return Ok(Changes::Gap(format!("{} has another stream than before", self.format.subject)));
        }
        let age = now.duration_since(since.at);
        if age > MARK_AGE_MAX || age.is_negative() {
            return Ok(Changes::Gap(format!(
                "the stream of {} keeps 24 hours, and more have passed",
                self.format.subject
            )));
        }
        let positions: Positions = serde_json::from_value(since.position.clone()).map_err(|error| {
            StoreError::caused(ErrorKind::Unreadable, format!("a mark in the stream of {}", self.format.subject), error)
        })?;
        self.read_stream(&arn, positions, now).await
    }

    /// Everything that the stream still has.
    pub(super) async fn history_of_stream(&self, now: Timestamp) -> Result<History> {
        let Some(arn) = self.stream_arn().await? else {
            return Ok(History { whole_since: None, changes: Changes::NoLog(self.without_stream()) });
        };
        let described = self.describe_stream(&arn).await?;
        // All shards that are left, as if they had been known all along: what is older is beyond `whole_since`.
        let positions = described.shards.iter().map(|shard| (shard.id.clone(), Position::Unread)).collect();
        let kept_since = now.checked_sub(MARK_AGE_MAX).ok();
        let whole_since = described.created_at.and_then(|created| Some(created.max(kept_since?)));
        Ok(History { whole_since, changes: self.read_stream(&arn, positions, now).await? })
    }

    async fn read_stream(&self, arn: &str, mut positions: Positions, now: Timestamp) -> Result<Changes> {
        let described = self.describe_stream(arn).await?;
        let generations = match readings(&described.shards, &positions) {
            Ok(generations) => generations,
            Err(lost) => return Ok(Changes::Gap(format!("the stream of {}: {lost}", self.format.subject))),
        };
        let reader = Reader::new(self, arn, RECORDS_MAX);
        let mut keys: BTreeMap<Key, Vec<ChangeRecord>> = BTreeMap::new();
        for generation in generations {
            let read = match reader.generation(generation).await {
                Ok(read) => read,
                Err(Stopped::Gap(why)) => return Ok(Changes::Gap(why)),
                Err(Stopped::Failed(error)) => return Err(error),
            };
            for shard in read {
                positions.insert(shard.id, shard.position);
                for (key, record) in shard.records {
                    keys.entry(key).or_default().push(record);
                }
            }
        }
        // What is no longer described was read to its end.
        positions.retain(|id, _| described.shards.iter().any(|shard| shard.id == *id));
        Ok(Changes::All(ChangeSet { keys, until: mark(arn, now, &positions) }))
    }

    /// The stream that is on now.
    async fn stream_arn(&self) -> Result<Option<String>> {
        let table = self.describe_same().await?;
        let is_on = table.stream_specification().is_some_and(|stream| stream.stream_enabled);
        Ok(table.latest_stream_arn.filter(|_| is_on))
    }

    fn without_stream(&self) -> String {
        format!("{} has no stream", self.format.subject)
    }

    async fn describe_stream(&self, arn: &str) -> Result<Description> {
        let what = || format!("cannot describe the stream of {}", self.format.subject);
        let mut described =
            Description { arn: arn.to_owned(), is_enabled: false, created_at: None, shards: Vec::new() };
        let mut after = None;
        for _ in 0..DESCRIPTION_PAGES_MAX {
            let request = self.streams.describe_stream().stream_arn(arn).set_exclusive_start_shard_id(after.clone());
            let reply = request.send().await.map_err(|error| store_error(what(), error))?;
            let page = reply.stream_description.ok_or_else(|| StoreError::new(ErrorKind::Unreadable, what()))?;
            described.is_enabled = page.stream_status() == Some(&StreamStatus::Enabled);
            described.created_at =
                page.creation_request_date_time().and_then(|at| Timestamp::from_second(at.secs()).ok());
            for shard in page.shards.unwrap_or_default() {
                described.shards.push(self.shard_of(shard)?);
            }
            match page.last_evaluated_shard_id {
                None => return Ok(described),
                next if next == after => break,
                next => after = next,
            }
        }
        Err(StoreError::new(ErrorKind::Unreadable, format!("{}: its pages have no end", what())))
    }

    fn shard_of(&self, described: Described) -> Result<Shard> {
        let unnamed = || {
            StoreError::new(
                ErrorKind::Unreadable,
                format!("the stream of {} has an unnamed shard", self.format.subject),
            )
        };
        let id = described.shard_id.ok_or_else(unnamed)?;
        let range = described.sequence_number_range;
        let is_closed = range.is_some_and(|range| range.ending_sequence_number.is_some());
        Ok(Shard { id, parent: described.parent_shard_id, is_closed })
    }
}

fn mark(arn: &str, at: Timestamp, positions: &Positions) -> LogMark {
    LogMark { log: arn.to_owned(), at, position: json!(positions) }
}
