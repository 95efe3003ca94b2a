//! A store that breaks one rule: what the suites must notice.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Identity, Item, Key, StoreId, StoreKind, Timestamp, Value};
use failback::store::memory::MemoryTable;
use failback::store::{
    BodySource, BodyStream, Changes, Counter, Depth, Expected, Finding, GuardedWrite, History, LeafStream, LogMark,
    LogStart, Outcome, ReadStore, Result, Scan, Shape, WriteStore,
};
use futures_util::StreamExt;

/// The rule that is broken.
#[derive(Clone)]
pub enum Twist {
    /// None; every key that is really written is noted.
    Noted(Arc<Mutex<Vec<Key>>>),
    /// Writes whatever is there.
    IgnoresGuards,
    /// One key is never scanned.
    ForgetsLeaf(Key),
    /// One key is fetched as absent.
    ForgetsItem(Key),
    /// Says that it wrote, and did not.
    PretendsToWrite,
    /// Says at every repetition that it wrote now.
    NeverAlready,
    /// Gives the outcomes of a batch in another order.
    ReversesOutcomes,
    /// Answers a fetch in another order.
    ReversesItems,
    /// Somebody else writes an item just before it is written.
    IsBeaten(MemoryTable, Value, Value),
    /// One key's place takes no writes, so many times.
    Parks(Key, Arc<Mutex<u32>>),
    /// Brings counters to any value.
    LowersCounters(MemoryTable),
}

/// The store `inner` with a twist.
pub struct Twisted {
    pub inner: Arc<dyn WriteStore>,
    pub twist: Twist,
}

#[async_trait]
impl BodySource for Twisted {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.inner.open_body(item, range).await
    }
}

#[async_trait]
impl ReadStore for Twisted {
    fn id(&self) -> &StoreId {
        self.inner.id()
    }

    fn kind(&self) -> StoreKind {
        self.inner.kind()
    }

    async fn identity(&self) -> Result<Identity> {
        self.inner.identity().await
    }

    async fn shape(&self) -> Result<Shape> {
        self.inner.shape().await
    }

    async fn check(&self) -> Vec<Finding> {
        self.inner.check().await
    }

    fn not_checked(&self) -> Vec<String> {
        self.inner.not_checked()
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let inner = self.inner.begin_scan(partitions).await?;
        Ok(match &self.twist {
            Twist::ForgetsLeaf(key) => Box::new(ForgetfulScan { inner, key }),
            _ => inner,
        })
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        let mut items = self.inner.fetch(keys, depth).await?;
        match &self.twist {
            Twist::ReversesItems => items.reverse(),
            Twist::ForgetsItem(forgotten) => {
                items.iter_mut().for_each(|slot| drop(slot.take_if(|item| item.key == *forgotten)));
            }
            _ => {}
        }
        Ok(items)
    }

    async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
        self.inner.prove_like(item, like).await
    }

    fn rank(&self, key: &Key) -> u32 {
        self.inner.rank(key)
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.inner.log_start(now).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.inner.changes(since, now).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.inner.history(now).await
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        self.inner.counters().await
    }
}

struct ForgetfulScan<'a> {
    inner: Box<dyn Scan + 'a>,
    key: &'a Key,
}

impl Scan for ForgetfulScan<'_> {
    fn partitions(&self) -> usize {
        self.inner.partitions()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let remember = |batch: Vec<_>| batch.into_iter().filter(|leaf: &failback::model::Leaf| leaf.key != *self.key);
        self.inner.leaves(partition).map(move |batch| batch.map(|batch| remember(batch).collect())).boxed()
    }

    fn estimate(&self) -> Option<u64> {
        self.inner.estimate()
    }
}

impl Twisted {
    /// Applies writes one by one, each with what is there now as its guard.
    async fn overwrite(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for write in writes {
            let current = self.inner.fetch(std::slice::from_ref(write.key), Depth::Content).await?.remove(0);
            let expected = current.as_ref().map_or(Expected::Absent, Expected::Present);
            outcomes.extend(self.inner.apply(&[GuardedWrite { expected, ..*write }]).await?);
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl WriteStore for Twisted {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        match &self.twist {
            Twist::IgnoresGuards => self.overwrite(writes).await,
            Twist::PretendsToWrite => Ok(vec![Outcome::Applied; writes.len()]),
            Twist::NeverAlready => {
                let outcomes = self.inner.apply(writes).await?;
                let applied = |outcome| if outcome == Outcome::AlreadyApplied { Outcome::Applied } else { outcome };
                Ok(outcomes.into_iter().map(applied).collect())
            }
            Twist::ReversesOutcomes => Ok(self.inner.apply(writes).await?.into_iter().rev().collect()),
            Twist::Noted(notes) => {
                let outcomes = self.inner.apply(writes).await?;
                let written = writes.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied);
                let mut notes = notes.lock().expect("unharmed");
                notes.extend(written.map(|(write, _)| write.key.clone()));
                Ok(outcomes)
            }
            Twist::Parks(key, times) => {
                let parks = writes.iter().any(|write| write.key == key) && {
                    let mut times = times.lock().expect("unharmed");
                    let parks = *times > 0;
                    *times = times.saturating_sub(1);
                    parks
                };
                let mut outcomes = Vec::new();
                for write in writes {
                    match parks && write.key == key {
                        true => outcomes.push(Outcome::Parked { reason: "by script".into() }),
                        false => outcomes.extend(self.inner.apply(&[*write]).await?),
                    }
                }
                Ok(outcomes)
            }
            Twist::IsBeaten(table, key, contents) => {
                if writes.iter().any(|write| *write.key == key_of(key)) {
                    table.put(key, contents.clone());
                }
                self.inner.apply(writes).await
            }
            _ => self.inner.apply(writes).await,
        }
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        self.inner.preserve(item, saved).await
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        let Twist::LowersCounters(table) = &self.twist else { return self.inner.raise_counters(counters).await };
        counters.iter().for_each(|counter| table.set_counter(counter.clone()));
        Ok(counters.to_vec())
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.inner.check_constraints().await
    }
}
