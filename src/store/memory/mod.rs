//! The reference store: tables in this process.
//!
//! It does by the letter what the traits ask for, under one lock, so that drills, scenarios and tests of other rooms have a
//! store whose answers are beyond doubt. It has no bodies, ranks or constraints, a change log only where a table is told to keep one, and nothing outlives the process.

mod log;
mod table;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

pub use table::{Entry, MemoryRegistry, MemoryTable};

use super::{
    BodySource, Changes, Counter, Depth, ErrorKind, Expected, Finding, GuardedWrite, History, LeafStream, Level,
    LogMark, LogStart, Outcome, ReadStore, Result, Scan, Shape, StoreError, Wanted, WriteStore,
};
use crate::digest::{item_digest, key_hash};
use crate::model::{Identity, Item, Key, Leaf, Side, StoreId, StoreKind, Timestamp};
use table::Rows;

/// Leaves in one batch of a scan.
const BATCH_LEAVES: usize = 1_000;

/// One side of a store whose table is in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    id: StoreId,
    side: Side,
    table: MemoryTable,
}

impl MemoryStore {
    /// The store `id` of a profile, on the given side, in the given table.
    pub fn new(id: StoreId, side: Side, table: MemoryTable) -> MemoryStore {
        MemoryStore { id, side, table }
    }

    /// The table behind it.
    pub fn table(&self) -> &MemoryTable {
        &self.table
    }

    fn subject(&self) -> String {
        format!("{} {}", self.id, self.side)
    }

    fn unfit(&self, what: &str) -> StoreError {
        StoreError::new(ErrorKind::Unfit, format!("{}: {what}", self.subject()))
    }

    fn writable(&self) -> Result<()> {
        match self.side {
            Side::Primary => Ok(()),
            Side::Dr | Side::Base => Err(self.unfit("only the primary is ever written")),
        }
    }
}

impl BodySource for MemoryStore {}

#[async_trait]
impl ReadStore for MemoryStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    async fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            kind: StoreKind::Memory,
            resource: self.table.name().to_owned(),
            id: self.table.id(),
            region: None,
            account: None,
        })
    }

    async fn shape(&self) -> Result<Shape> {
        Ok(self.table.lock().shape.clone())
    }

    async fn check(&self) -> Vec<Finding> {
        let what = format!("holds {} items in memory; they end with this process", self.table.len());
        vec![Finding::new(Level::Note, self.subject(), what)]
    }

    fn not_checked(&self) -> Vec<String> {
        Vec::new()
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let mut parts = vec![Vec::new(); partitions.max(1)];
        for (key, entry) in &self.table.lock().entries {
            parts[part_of(key, partitions.max(1))].push(entry.leaf(key));
        }
        Ok(Box::new(MemoryScan { parts }))
    }

    async fn fetch(&self, keys: &[Key], _depth: Depth) -> Result<Vec<Option<Item>>> {
        let rows = self.table.lock();
        Ok(keys.iter().map(|key| rows.entries.get(key).map(|entry| entry.item(key))).collect())
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        Ok(self.start_of_log(now))
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        Ok(self.changes_since(since, now))
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        Ok(self.history_of_log(now))
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        Ok(self.table.lock().counters.values().cloned().collect())
    }
}

/// The leaves as they were when the scan began, by partition.
struct MemoryScan {
    parts: Vec<Vec<Leaf>>,
}

/// Which of `parts` partitions a key is in.
fn part_of(key: &Key, parts: usize) -> usize {
    let hash = key_hash(key).0;
    usize::from(u16::from_be_bytes([hash[0], hash[1]])) * parts / (1 << 16)
}

impl Scan for MemoryScan {
    fn partitions(&self) -> usize {
        self.parts.len()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        match self.parts.get(partition) {
            Some(leaves) => stream::iter(leaves.chunks(BATCH_LEAVES).map(|batch| Ok(batch.to_vec()))).boxed(),
            None => {
                let error = StoreError::new(ErrorKind::Other, format!("there is no partition {partition}"));
                stream::iter([Err(error)]).boxed()
            }
        }
    }

    fn estimate(&self) -> Option<u64> {
        Some(self.parts.iter().map(|leaves| leaves.len() as u64).sum())
    }
}

#[async_trait]
impl WriteStore for MemoryStore {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.writable()?;
        if writes.iter().any(|write| is_of_another_key(write)) {
            return Err(self.unfit("a guarded write whose items have another key"));
        }
        let mut rows = self.table.lock();
        Ok(writes.iter().map(|write| self.apply_one(&mut rows, write)).collect())
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.writable()?;
        let mut rows = self.table.lock();
        if let Some(unknown) = counters.iter().find(|counter| !rows.counters.contains_key(&counter.name)) {
            return Err(self.unfit(&format!("there is no counter {}", unknown.name)));
        }
        let mut raised = Vec::new();
        for counter in counters {
            let Some(own) = rows.counters.get_mut(&counter.name) else { continue };
            if own.is_behind(counter) {
                own.value = counter.value;
                raised.push(own.clone());
            }
        }
        Ok(raised)
    }
}

impl MemoryStore {
    fn apply_one(&self, rows: &mut Rows, write: &GuardedWrite<'_>) -> Outcome {
        let current = rows.entries.get(write.key).map(|entry| entry.digest);
        let wanted = match write.wanted {
            Wanted::Absent => None,
            Wanted::Present { item, .. } => Some(item_digest(&item.contents)),
        };
        let expected = match write.expected {
            Expected::Absent => None,
            Expected::Present(item) => Some(item.digest),
        };
        if current == wanted {
            return Outcome::AlreadyApplied;
        }
        if current != expected {
            let found = rows.entries.get(write.key).map(|entry| Box::new(entry.item(write.key)));
            let reason = refusal(expected.is_some(), found.is_some());
            return Outcome::Refused { found, reason: reason.to_owned() };
        }
        match write.wanted {
            Wanted::Absent => drop(rows.remove(write.key, self.table.now(), false)),
            Wanted::Present { item, .. } => rows.put(write.key.clone(), item.contents.clone(), self.table.now()),
        }
        Outcome::Applied
    }
}

fn is_of_another_key(write: &GuardedWrite<'_>) -> bool {
    let wanted = match write.wanted {
        Wanted::Absent => false,
        Wanted::Present { item, .. } => item.key != *write.key,
    };
    let expected = match write.expected {
        Expected::Absent => false,
        Expected::Present(item) => item.key != *write.key,
    };
    wanted || expected
}

fn refusal(is_expected: bool, is_found: bool) -> &'static str {
    match (is_expected, is_found) {
        (false, _) => "an item is there where none was expected",
        (true, true) => "the item changed since it was read",
        (true, false) => "the item is gone since it was read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn store(side: Side) -> MemoryStore {
        MemoryStore::new(StoreId("orders".into()), side, MemoryTable::new("orders"))
    }

    #[tokio::test]
    async fn a_scan_stands_still_while_the_table_changes() {
        let store = store(Side::Dr);
        store.table().put(&Value::text("a"), Value::text("1"));
        let scan = store.begin_scan(4).await.expect("a scan");
        store.table().put(&Value::text("b"), Value::text("2"));
        store.table().remove(&Value::text("a"));
        let mut keys = Vec::new();
        for part in 0..scan.partitions() {
            let batches: Vec<_> = scan.leaves(part).collect().await;
            keys.extend(batches.into_iter().flat_map(|batch| batch.expect("leaves")).map(|leaf| leaf.key));
        }
        assert_eq!(keys, [crate::digest::key_of(&Value::text("a"))]);
    }

    #[tokio::test]
    async fn dr_is_never_written() {
        let store = store(Side::Dr);
        let key = store.table().put(&Value::text("a"), Value::text("1"));
        let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted: Wanted::Absent };
        assert_eq!(store.apply(&[write]).await.expect_err("an error").kind, ErrorKind::Unfit);
        assert_eq!(store.table().len(), 1);
    }

    #[tokio::test]
    async fn a_write_with_items_of_another_key_is_an_error() {
        let store = store(Side::Primary);
        let key = store.table().put(&Value::text("a"), Value::text("1"));
        let other = crate::digest::key_of(&Value::text("b"));
        let item = store.fetch(&[key], Depth::Evidence).await.expect("items").remove(0).expect("a");
        let wanted = Wanted::Present { item: &item, body: &store };
        let write = GuardedWrite { key: &other, expected: Expected::Absent, wanted };
        assert_eq!(store.apply(&[write]).await.expect_err("an error").kind, ErrorKind::Unfit);
        assert_eq!(store.table().len(), 1);
    }

    #[tokio::test]
    async fn counters_go_their_own_way_only() {
        let store = store(Side::Primary);
        let counter = |value, increment| Counter { name: "ids".into(), value, increment };
        store.table().set_counter(counter(Some(-5), -1));
        let raised = store.raise_counters(&[counter(Some(-3), -1)]).await.expect("raised");
        assert_eq!(raised, []);
        let raised = store.raise_counters(&[counter(Some(-9), -1)]).await.expect("raised");
        assert_eq!(raised, [counter(Some(-9), -1)]);
        assert_eq!(store.counters().await.expect("counters"), [counter(Some(-9), -1)]);
    }
}
