//! Where a store's items are on one side.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::ledger::Ledger;
use super::media::Media;
use super::orders::Orders;
use super::{OrFail, Result};
use crate::digest::key_value;
use crate::model::Value;
use crate::store::memory::MemoryTable;

/// Writes sent at the same time, where their order does not matter.
const PARALLEL: usize = 16;

/// One side of one store.
pub(super) enum Place {
    Orders(Orders),
    Media(Media),
    Ledger(Ledger),
    Memory(MemoryTable),
}

impl Place {
    async fn write(&self, key: &Value, contents: Option<&Value>) -> Result<()> {
        match (self, contents) {
            (Place::Orders(orders), Some(contents)) => orders.put(contents).await,
            (Place::Orders(orders), None) => orders.delete(key).await,
            (Place::Media(media), Some(contents)) => media.put(key, contents).await,
            (Place::Media(media), None) => media.delete(key).await,
            (Place::Ledger(ledger), Some(contents)) => ledger.put(key, contents).await,
            (Place::Ledger(ledger), None) => ledger.delete(key).await,
            (Place::Memory(table), Some(contents)) => {
                table.put(key, contents.clone());
                Ok(())
            }
            (Place::Memory(table), None) => {
                table.remove(key);
                Ok(())
            }
        }
    }

    /// Writes and deletes; `writes` has parents before children: it is written in order, and deleted in reverse.
    pub(super) async fn write_all(&self, writes: &[(&Value, Option<&Value>)]) -> Result<()> {
        // A row's order matters; other items know no other.
        let parallel = if matches!(self, Place::Ledger(_)) { 1 } else { PARALLEL };
        let (puts, deletes): (Vec<_>, Vec<_>) = writes.iter().copied().partition(|(_, contents)| contents.is_some());
        let ordered = puts.into_iter().chain(deletes.into_iter().rev());
        let writes: Vec<BoxFuture<'_, Result<()>>> =
            ordered.map(|(key, contents)| self.write(key, contents).boxed()).collect();
        stream::iter(writes).buffered(parallel).try_collect::<Vec<()>>().await.map(drop)
    }

    pub(super) async fn read_all(&self) -> Result<Vec<(Value, Value)>> {
        match self {
            Place::Orders(orders) => orders.read_all().await,
            Place::Media(media) => media.read_all().await,
            Place::Ledger(ledger) => ledger.read_all().await,
            Place::Memory(table) => {
                let entries = table.entries().into_iter();
                let read = entries.map(|(key, entry)| Ok((key_value(&key).or_fail("a damaged key")?, entry.contents)));
                read.collect()
            }
        }
    }
}
