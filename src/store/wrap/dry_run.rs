//! A store that tells what would be written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{forward_facts, read_inside};
use crate::model::{Identity, Item, Key, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, Expected, Finding, GuardedWrite, History, LogMark, LogStart,
    Outcome, ReadStore, Result, Scan, Shape, Wanted, WriteStore,
};

/// A store that is read but never written: writes are judged against what is there and told, and nothing else happens.
///
/// What only the store itself can judge, such as unique values and parent rows, is not foreseen: no outcome is `Blocked`.
pub struct DryRun<S: ?Sized> {
    inner: Arc<S>,
}

impl<S: ?Sized> DryRun<S> {
    /// The store `inner`, never written.
    pub fn new(inner: Arc<S>) -> DryRun<S> {
        DryRun { inner }
    }
}

#[async_trait]
impl<S: BodySource + ?Sized> BodySource for DryRun<S> {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.inner.open_body(item, range).await
    }
}

read_inside!(DryRun);

#[async_trait]
impl<S: WriteStore + ?Sized> WriteStore for DryRun<S> {
    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    fn writes_at_once(&self) -> usize {
        self.inner.writes_at_once()
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        let found = self.inner.fetch(&keys, Depth::Evidence).await?;
        let mut there: BTreeMap<Key, Option<Item>> = keys.into_iter().zip(found).collect();
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            let current = there.get(write.key).cloned().flatten();
            let outcome = self.foresee(write, current).await?;
            if outcome == Outcome::Applied {
                there.insert(write.key.clone(), wanted_item(write).cloned());
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    /// Nothing is destroyed, so nothing needs to be kept.
    async fn preserve(&self, _item: &Item, _saved: &Path) -> Result<()> {
        Ok(())
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        let own = self.inner.counters().await?;
        let would_rise = |wanted: &&Counter| own.iter().any(|own| own.name == wanted.name && own.is_behind(wanted));
        Ok(counters.iter().filter(would_rise).cloned().collect())
    }

    /// Nothing was written, so there is nothing to check.
    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}

fn wanted_item<'a>(write: &GuardedWrite<'a>) -> Option<&'a Item> {
    match write.wanted {
        Wanted::Absent => None,
        Wanted::Present { item, .. } => Some(item),
    }
}

impl<S: WriteStore + ?Sized> DryRun<S> {
    async fn foresee(&self, write: &GuardedWrite<'_>, current: Option<Item>) -> Result<Outcome> {
        if self.is_same(current.as_ref(), wanted_item(write)).await? {
            return Ok(Outcome::AlreadyApplied);
        }
        let expected = match write.expected {
            Expected::Absent => None,
            Expected::Present(item) => Some(item),
        };
        if self.is_same(current.as_ref(), expected).await? {
            return Ok(Outcome::Applied);
        }
        let reason = match (expected, &current) {
            (None, _) => "an item is there where none was expected",
            (Some(_), Some(_)) => "the item changed since it was read",
            (Some(_), None) => "the item is gone since it was read",
        };
        Ok(Outcome::Refused { found: current.map(Box::new), reason: reason.to_owned() })
    }

    /// Whether what is there is proved to be `other`; where they share no kind of proof, its body is read.
    async fn is_same(&self, current: Option<&Item>, other: Option<&Item>) -> Result<bool> {
        let (Some(current), Some(other)) = (current, other) else {
            return Ok(current.is_none() && other.is_none());
        };
        if let Some(same) = current.same_as(other) {
            return Ok(same);
        }
        let keys = std::slice::from_ref(&current.key);
        let whole = self.inner.fetch(keys, Depth::Content).await?.into_iter().next().flatten();
        Ok(whole.is_some_and(|whole| whole.same_as(other) == Some(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Side, StoreId, Value};
    use crate::store::memory::{MemoryStore, MemoryTable};

    async fn item(store: &dyn ReadStore, key: Key) -> Item {
        store.fetch(&[key], Depth::Content).await.expect("items").remove(0).expect("planted")
    }

    #[tokio::test]
    async fn it_foresees_what_the_store_would_say_and_writes_nothing() {
        let (primary, dr) = (MemoryTable::new("primary"), MemoryTable::new("dr"));
        let store = |side, table: &MemoryTable| MemoryStore::new(StoreId("orders".into()), side, table.clone());
        let (live, source) = (store(Side::Primary, &primary), store(Side::Dr, &dr));
        for (key, on_primary, on_dr) in [("a", None, Some("1")), ("b", Some("1"), Some("2")), ("c", Some("1"), None)] {
            on_primary.map(|text| primary.put(&Value::text(key), Value::text(text)));
            on_dr.map(|text| dr.put(&Value::text(key), Value::text(text)));
        }
        let key = |name: &str| crate::digest::key_of(&Value::text(name));
        let (a, b) = (item(&source, key("a")).await, item(&source, key("b")).await);
        let (old_b, old_c) = (item(&live, key("b")).await, item(&live, key("c")).await);
        let wanted = |item| Wanted::Present { item, body: &source };
        let writes = [
            GuardedWrite { key: &a.key, expected: Expected::Absent, wanted: wanted(&a) },
            GuardedWrite { key: &a.key, expected: Expected::Absent, wanted: wanted(&a) },
            GuardedWrite { key: &b.key, expected: Expected::Absent, wanted: wanted(&b) },
            GuardedWrite { key: &b.key, expected: Expected::Present(&old_b), wanted: wanted(&b) },
            GuardedWrite { key: &old_c.key, expected: Expected::Present(&old_c), wanted: Wanted::Absent },
            GuardedWrite { key: &old_c.key, expected: Expected::Present(&old_c), wanted: Wanted::Absent },
        ];
        let before = primary.entries();
        let foreseen = DryRun::new(Arc::new(live.clone())).apply(&writes).await.expect("outcomes");
        assert_eq!(primary.entries(), before);
        assert_eq!(foreseen[..2], [Outcome::Applied, Outcome::AlreadyApplied]);
        assert_eq!(live.apply(&writes).await.expect("outcomes"), foreseen);
    }

    #[tokio::test]
    async fn counters_are_compared_and_left_alone() {
        let table = MemoryTable::new("primary");
        let counter = |value| Counter { name: "ids".into(), value: Some(value), increment: 1 };
        table.set_counter(counter(5));
        let live = MemoryStore::new(StoreId("orders".into()), Side::Primary, table);
        let dry = DryRun::new(Arc::new(live));
        assert_eq!(dry.raise_counters(&[counter(4)]).await.expect("counters"), []);
        assert_eq!(dry.raise_counters(&[counter(9)]).await.expect("counters"), [counter(9)]);
        assert_eq!(dry.counters().await.expect("counters"), [counter(5)]);
    }
}
