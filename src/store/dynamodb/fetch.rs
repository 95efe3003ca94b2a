//! Items by key, a hundred at a time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnConsumedCapacity};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::DynamoDbStore;
use super::value::Attributes;
use crate::model::{Item, Key};
use crate::store::aws::store_error;
use crate::store::{ErrorKind, Result, StoreError};

/// Keys of one request that the service allows.
const KEYS_MAX: usize = 100;
/// Requests under way at a time.
const REQUESTS_IN_FLIGHT: usize = 4;
/// Requests in a row that may bring nothing before the service counts as throttling.
const FRUITLESS_MAX: u32 = 10;
/// The wait after the first fruitless request; it doubles with each further one.
const WAIT_MIN: Duration = Duration::from_millis(20);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(2);

impl DynamoDbStore {
    /// Reads items in the order of `keys`, which may hold repeats.
    pub(super) async fn fetch_items(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let distinct: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let requests = distinct.chunks(KEYS_MAX).map(|chunk| self.fetch_chunk(chunk)).collect::<Vec<_>>();
        let found: Vec<HashMap<Key, Item>> =
            stream::iter(requests).buffer_unordered(REQUESTS_IN_FLIGHT).try_collect().await?;
        let found: HashMap<Key, Item> = found.into_iter().flatten().collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn fetch_chunk(&self, keys: &[&Key]) -> Result<HashMap<Key, Item>> {
        let asked: BTreeSet<&Key> = keys.iter().copied().collect();
        let mut pending: Vec<Attributes> =
            keys.iter().map(|key| self.format.key_attributes(key)).collect::<Result<_>>()?;
        let mut found = HashMap::new();
        let mut fruitless = 0;
        while !pending.is_empty() {
            let before = pending.len();
            let (items, left) = self.fetch_once(pending).await?;
            for item in items {
                if !asked.contains(&item.key) {
                    let what = format!("{} returned an item that was not asked for", self.format.subject);
                    return Err(StoreError::new(ErrorKind::Unreadable, what));
                }
                found.insert(item.key.clone(), item);
            }
            pending = left;
            fruitless = if pending.len() < before { 0 } else { fruitless + 1 };
            if fruitless > 0 {
                self.back_off(fruitless).await?;
            }
        }
        Ok(found)
    }

    async fn fetch_once(&self, keys: Vec<Attributes>) -> Result<(Vec<Item>, Vec<Attributes>)> {
        let unreadable = |error| {
            StoreError::caused(ErrorKind::Other, format!("cannot ask for items of {}", self.format.subject), error)
        };
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let request = self.reader.batch_get_item().request_items(&self.table, wanted.map_err(unreadable)?);
        let reply = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let reply =
            reply.map_err(|error| store_error(format!("cannot read items of {}", self.format.subject), error))?;
        for consumed in reply.consumed_capacity() {
            self.meter.read.add(consumed.capacity_units.unwrap_or(0.0));
        }
        let items = reply.responses.unwrap_or_default().into_values().flatten();
        let items = items.map(|attributes| self.format.item(attributes)).collect::<Result<Vec<Item>>>()?;
        let left = reply.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        Ok((items, left.collect()))
    }

    async fn back_off(&self, fruitless: u32) -> Result<()> {
        if fruitless >= FRUITLESS_MAX {
            let what = format!("{} left keys unread {fruitless} times in a row", self.format.subject);
            return Err(StoreError::new(ErrorKind::Throttled, what));
        }
        let wait = WAIT_MIN.saturating_mul(1 << (fruitless - 1)).min(WAIT_MAX);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
