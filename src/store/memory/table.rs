//! Tables in memory: what a [`MemoryStore`](super::MemoryStore) reads and writes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log::Log;
use crate::digest::{encode, item_digest, key_of};
use crate::model::{Clock, Digest, Item, Key, Leaf, Timestamp, Value};
use crate::store::{Counter, Shape};

/// Tells tables of the same name apart, for as long as the process lives.
static TABLES_MADE: AtomicU64 = AtomicU64::new(0);

/// One item as a table holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The contents.
    pub contents: Value,
    /// The digest of the contents.
    pub digest: Digest,
    /// Length of the canonical contents in bytes.
    pub size: u64,
    /// When it was written, where the table has a clock or the writer said so.
    pub modified_at: Option<Timestamp>,
    /// When it expires, where the table has a time-to-live attribute and the contents hold it.
    pub expires_at: Option<Timestamp>,
}

impl Entry {
    pub(super) fn item(&self, key: &Key) -> Item {
        Item {
            key: key.clone(),
            digest: self.digest,
            evidence: Vec::new(),
            contents: self.contents.clone(),
            size: self.size,
            modified_at: self.modified_at,
            expires_at: self.expires_at,
            hold: None,
        }
    }

    pub(super) fn leaf(&self, key: &Key) -> Leaf {
        Leaf { key: key.clone(), digest: self.digest, size: self.size, modified_at: self.modified_at }
    }
}

/// A table in memory; clones are handles to the same table.
#[derive(Clone)]
pub struct MemoryTable {
    name: Arc<str>,
    number: u64,
    clock: Option<Arc<dyn Clock>>,
    rows: Arc<Mutex<Rows>>,
}

/// What a table's lock guards.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) counters: BTreeMap<String, Counter>,
    pub(super) ttl_attribute: Option<String>,
    pub(super) shape: Shape,
    pub(super) log: Option<Log>,
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryTable({})", self.id())
    }
}

impl MemoryTable {
    /// An empty table; every call makes another table, also under the same name.
    pub fn new(name: &str) -> MemoryTable {
        MemoryTable {
            name: name.into(),
            number: TABLES_MADE.fetch_add(1, Ordering::Relaxed) + 1,
            clock: None,
            rows: Arc::default(),
        }
    }

    /// An empty table whose writes are stamped with the time of `clock`.
    pub fn with_clock(name: &str, clock: Arc<dyn Clock>) -> MemoryTable {
        MemoryTable { clock: Some(clock), ..MemoryTable::new(name) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells it from every other table of this process.
    pub fn id(&self) -> String {
        format!("{}#{}", self.name, self.number)
    }

    /// Puts an item, replacing what was there, and gives its key.
    pub fn put(&self, key: &Value, contents: Value) -> Key {
        let key = key_of(key);
        self.lock().put(key.clone(), contents, self.now());
        key
    }

    /// Puts an item as written at an instant of the caller's choice.
    pub fn put_at(&self, key: &Value, contents: Value, modified_at: Timestamp) -> Key {
        let key = key_of(key);
        self.lock().put(key.clone(), contents, Some(modified_at));
        key
    }

    /// Removes an item and gives what was there.
    pub fn remove(&self, key: &Value) -> Option<Entry> {
        self.lock().remove(&key_of(key), self.now(), false)
    }

    /// The item under a key value.
    pub fn get(&self, key: &Value) -> Option<Entry> {
        self.lock().entries.get(&key_of(key)).cloned()
    }

    /// All items in key order.
    pub fn entries(&self) -> Vec<(Key, Entry)> {
        self.lock().entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all items; counters and settings stay.
    pub fn clear(&self) {
        let mut rows = self.lock();
        let keys: Vec<Key> = rows.entries.keys().cloned().collect();
        keys.iter().for_each(|key| drop(rows.remove(key, self.now(), false)));
    }

    /// Replaces all items by those of `other`, as a replication or a restore would.
    pub fn copy_from(&self, other: &MemoryTable) {
        let entries = other.lock().entries.clone();
        self.clear();
        let mut rows = self.lock();
        for (key, entry) in entries {
            rows.note(&key, None, Some(entry.digest), self.now(), false);
            rows.entries.insert(key, entry);
        }
    }

    /// Removes the items that have expired at `instant`, and gives how many; needs a time-to-live attribute.
    pub fn expire(&self, instant: Timestamp) -> usize {
        let mut rows = self.lock();
        let is_over = |entry: &Entry| entry.expires_at.is_some_and(|at| at <= instant);
        let over: Vec<Key> =
            rows.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| drop(rows.remove(key, Some(instant), true)));
        over.len()
    }

    /// Names the attribute that holds the expiry in epoch seconds; items that are there already are looked at again.
    pub fn set_ttl_attribute(&self, attribute: Option<&str>) {
        let mut rows = self.lock();
        rows.ttl_attribute = attribute.map(str::to_owned);
        for entry in rows.entries.values_mut() {
            entry.expires_at = expiry(attribute, &entry.contents);
        }
    }

    /// Declares the table's shape; by default it has no parts.
    pub fn set_shape(&self, shape: Shape) {
        self.lock().shape = shape;
    }

    /// Sets a counter, lower values included: what the application does, not what a replay may do.
    pub fn set_counter(&self, counter: Counter) {
        self.lock().counters.insert(counter.name.clone(), counter);
    }

    pub(super) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// A panic elsewhere leaves the map itself whole: every change to it is one call.
    pub(super) fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    pub(super) fn put(&mut self, key: Key, contents: Value, modified_at: Option<Timestamp>) {
        let entry = Entry {
            digest: item_digest(&contents),
            size: encode(&contents).len() as u64,
            expires_at: expiry(self.ttl_attribute.as_deref(), &contents),
            modified_at,
            contents,
        };
        let before = self.entries.get(&key).map(|before| before.digest);
        self.note(&key, before, Some(entry.digest), modified_at, false);
        self.entries.insert(key, entry);
    }

    /// Removes an item and gives what was there.
    pub(super) fn remove(&mut self, key: &Key, at: Option<Timestamp>, by_expiry: bool) -> Option<Entry> {
        let removed = self.entries.remove(key);
        if let Some(entry) = &removed {
            self.note(key, Some(entry.digest), None, at, by_expiry);
        }
        removed
    }
}

/// The instant an item expires: a number of epoch seconds, fractions dropped. Anything else never expires.
fn expiry(attribute: Option<&str>, contents: &Value) -> Option<Timestamp> {
    let Value::Number(seconds) = contents.get(attribute?)? else { return None };
    let plain = seconds.to_string();
    let whole = plain.split_once('.').map_or(plain.as_str(), |(whole, _)| whole);
    Timestamp::from_second(whole.parse().ok()?).ok()
}

/// The tables of one process by name, for profiles with `kind = "memory"`; clones are handles to the same registry.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    tables: Arc<Mutex<BTreeMap<String, MemoryTable>>>,
}

impl MemoryRegistry {
    /// A registry without tables.
    pub fn new() -> MemoryRegistry {
        MemoryRegistry::default()
    }

    /// The table of this name, made now if there is none.
    pub fn table(&self, name: &str) -> MemoryTable {
        self.lock().entry(name.to_owned()).or_insert_with(|| MemoryTable::new(name)).clone()
    }

    /// The table of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<MemoryTable> {
        self.lock().get(name).cloned()
    }

    /// Registers a table under its own name, in place of one that was there.
    pub fn insert(&self, table: MemoryTable) {
        self.lock().insert(table.name().to_owned(), table);
    }

    /// Deletes the table of this name and makes an empty one: another resource under the same name.
    pub fn recreate(&self, name: &str) -> MemoryTable {
        let table = MemoryTable::new(name);
        self.insert(table.clone());
        table
    }

    /// Deletes the table of this name and gives it.
    pub fn remove(&self, name: &str) -> Option<MemoryTable> {
        self.lock().remove(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MemoryTable>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(expires_at: &str) -> Value {
        Value::map([("expires_at", Value::Number(expires_at.parse().expect("a number")))])
    }

    #[test]
    fn expiry_is_the_whole_epoch_seconds_of_the_declared_attribute() {
        let table = MemoryTable::new("orders");
        table.put(&Value::text("a"), order("1700000000"));
        assert_eq!(table.get(&Value::text("a")).expect("a").expires_at, None);
        table.set_ttl_attribute(Some("expires_at"));
        table.put(&Value::text("b"), order("1.7000000005E9"));
        table.put(&Value::text("c"), Value::map([("expires_at", Value::text("1700000000"))]));
        let at = |key: &str| table.get(&Value::text(key)).expect("planted").expires_at;
        let expected = Timestamp::from_second(1_700_000_000).ok();
        assert_eq!((at("a"), at("b"), at("c")), (expected, expected, None));
        assert_eq!(table.expire(expected.expect("an instant")), 2);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_recreated_table_is_another_one() {
        let registry = MemoryRegistry::new();
        let first = registry.table("orders");
        assert_eq!(first.id(), registry.table("orders").id());
        assert_ne!(first.id(), registry.recreate("orders").id());
        assert_ne!(first.id(), registry.table("orders").id());
    }
}
