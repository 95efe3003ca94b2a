//! Parallel segments, read page by page.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use futures_util::stream::{self, StreamExt};

use super::DynamoDbStore;
use super::value::Attributes;
use super::wire::{PageInterceptor, PageSlot};
use crate::model::Leaf;
use crate::store::aws::store_error;
use crate::store::{ErrorKind, LeafStream, Result, Scan, StoreError};

/// Segments of one scan that the service allows.
const SEGMENTS_MAX: usize = 1_000_000;

/// One reading of a table in segments.
pub(super) struct Segments<'a> {
    store: &'a DynamoDbStore,
    total: i32,
    estimate: Option<u64>,
}

/// Where a segment's reading stands.
enum Position {
    Start,
    After(Attributes),
    End,
}

impl DynamoDbStore {
    /// Begins a reading in about `partitions` segments of the very table that was connected to.
    pub(super) async fn segments(&self, partitions: usize) -> Result<Segments<'_>> {
        let described = self.describe_same().await?;
        if let Some(why) = super::replicas::unusable(&described) {
            let what = format!("{why}: {}", self.format.subject);
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
        let estimate = described.item_count().and_then(|count| u64::try_from(count).ok());
        let total = i32::try_from(partitions.clamp(1, SEGMENTS_MAX)).expect("a million is an i32");
        Ok(Segments { store: self, total, estimate })
    }

    async fn page(&self, segment: i32, total: i32, after: Option<Attributes>) -> Result<(Vec<Leaf>, Position)> {
        let request = self.reader.scan().table_name(&self.table).consistent_read(true);
        let request = request.segment(segment).total_segments(total).set_exclusive_start_key(after.clone());
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let what = || format!("cannot scan segment {segment} of {total} of {}", self.format.subject);
        let slot = PageSlot::default();
        let request =
            request.customize().interceptor(PageInterceptor { reader: self.pages.clone(), slot: slot.clone() });
        let reply = request.send().await.map_err(|error| store_error(what(), error))?;
        let consumed = reply.consumed_capacity.as_ref().and_then(|consumed| consumed.capacity_units);
        self.meter.read.add(consumed.unwrap_or(0.0));
        let leaves = match (slot.take(), reply.items) {
            (Some(leaves), _) => leaves,
            (None, Some(items)) => {
                items.into_iter().map(|item| self.format.leaf(item)).collect::<Result<Vec<Leaf>>>()?
            }
            (None, None) if reply.last_evaluated_key.is_none() => {
                return Err(StoreError::caused(ErrorKind::Unreachable, what(), "a reply without items or a next page"));
            }
            (None, None) => Vec::new(),
        };
        let told = usize::try_from(reply.count).unwrap_or(usize::MAX);
        if told != leaves.len() {
            let why = format!("the service says that a page has {} items, and it has {}", reply.count, leaves.len());
            return Err(StoreError::caused(ErrorKind::Unreachable, what(), why));
        }
        let next = reply.last_evaluated_key.filter(|key| !key.is_empty());
        if next.is_some() && next == after {
            return Err(StoreError::caused(ErrorKind::Unreadable, what(), "the same page is offered again and again"));
        }
        Ok((leaves, next.map_or(Position::End, Position::After)))
    }
}

impl Scan for Segments<'_> {
    fn partitions(&self) -> usize {
        self.total as usize
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let segment = i32::try_from(partition).unwrap_or(i32::MAX);
        stream::try_unfold(Position::Start, move |position| async move {
            let after = match position {
                Position::Start => None,
                Position::After(key) => Some(key),
                Position::End => return Ok(None),
            };
            self.store.page(segment, self.total, after).await.map(Some)
        })
        .boxed()
    }

    fn estimate(&self) -> Option<u64> {
        self.estimate
    }
}
