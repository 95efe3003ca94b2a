//! A store that fails by script.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::forward_facts;
use crate::model::{Identity, Item, Key, Leaf, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, ErrorKind, Finding, GuardedWrite, History, LeafStream, LogMark,
    LogStart, Outcome, ReadStore, Result, Scan, Shape, StoreError, WriteStore,
};

/// A call that can be struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// [`ReadStore::identity`].
    Identity,
    /// [`ReadStore::shape`].
    Shape,
    /// [`ReadStore::begin_scan`].
    BeginScan,
    /// One batch of a partition's leaves, counted over all partitions.
    Page,
    /// [`ReadStore::fetch`].
    Fetch,
    /// [`ReadStore::log_start`].
    LogStart,
    /// [`ReadStore::changes`].
    Changes,
    /// [`ReadStore::history`].
    History,
    /// [`ReadStore::counters`].
    Counters,
    /// [`BodySource::open_body`].
    OpenBody,
    /// [`WriteStore::apply`].
    Apply,
    /// [`WriteStore::preserve`].
    Preserve,
    /// [`WriteStore::raise_counters`].
    RaiseCounters,
    /// [`WriteStore::check_constraints`].
    CheckConstraints,
}

/// What happens to a call that is struck.
#[derive(Clone)]
pub enum Effect {
    /// It fails and nothing was done.
    FailBefore(ErrorKind),
    /// It was done, and the answer is lost.
    FailAfter(ErrorKind),
    /// A page is silently left out: what no store may do, to see it noticed.
    Drop,
    /// A page comes twice, as scans may.
    Repeat,
    /// Something happens just before the call, such as another writer's change.
    Act(Arc<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::FailBefore(kind) => write!(f, "FailBefore({kind:?})"),
            Effect::FailAfter(kind) => write!(f, "FailAfter({kind:?})"),
            Effect::Drop => f.write_str("Drop"),
            Effect::Repeat => f.write_str("Repeat"),
            Effect::Act(_) => f.write_str("Act(..)"),
        }
    }
}

/// A script of faults and the count of calls; clones are handles to the same script.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    counts: BTreeMap<Call, u64>,
    rules: Vec<(Call, RangeInclusive<u64>, Effect)>,
}

impl Faults {
    /// A script without faults.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Strikes the `nth` call of a kind, the first being 1; counted from when the script was made.
    pub fn at(&self, call: Call, nth: u64, effect: Effect) {
        self.during(call, nth..=nth, effect);
    }

    /// Strikes a run of calls of a kind. Where rules overlap the earliest made wins.
    pub fn during(&self, call: Call, nths: RangeInclusive<u64>, effect: Effect) {
        self.lock().rules.push((call, nths, effect));
    }

    /// Number of calls of a kind so far, struck ones included.
    pub fn count(&self, call: Call) -> u64 {
        self.lock().counts.get(&call).copied().unwrap_or(0)
    }

    /// Counts a call and says what is to happen to it.
    fn strike(&self, call: Call) -> Option<Effect> {
        let mut script = self.lock();
        let count = script.counts.entry(call).or_default();
        *count += 1;
        let nth = *count;
        let rule = script.rules.iter().find(|(struck, nths, _)| *struck == call && nths.contains(&nth))?;
        Some(rule.2.clone())
    }

    async fn around<T>(&self, call: Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.strike(call) {
            Some(Effect::FailBefore(kind)) => Err(injected(kind, call)),
            Some(Effect::FailAfter(kind)) => {
                work.await?;
                Err(injected(kind, call))
            }
            Some(Effect::Act(act)) => {
                act();
                work.await
            }
            Some(Effect::Drop | Effect::Repeat) | None => work.await,
        }
    }

    fn page(&self, batch: Result<Vec<Leaf>>) -> Vec<Result<Vec<Leaf>>> {
        match self.strike(Call::Page) {
            Some(Effect::FailBefore(kind)) => vec![Err(injected(kind, Call::Page))],
            Some(Effect::FailAfter(kind)) => vec![batch, Err(injected(kind, Call::Page))],
            Some(Effect::Drop) => Vec::new(),
            Some(Effect::Repeat) => match batch {
                Ok(leaves) => vec![Ok(leaves.clone()), Ok(leaves)],
                Err(error) => vec![Err(error)],
            },
            Some(Effect::Act(act)) => {
                act();
                vec![batch]
            }
            None => vec![batch],
        }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(kind: ErrorKind, call: Call) -> StoreError {
    StoreError::new(kind, format!("an injected fault at {call:?}"))
}

/// A store whose calls fail by script; the same script strikes the same calls at every run.
pub struct Faulty<S: ?Sized> {
    inner: Arc<S>,
    faults: Faults,
}

impl<S: ?Sized> Faulty<S> {
    /// The store `inner` under the script `faults`.
    pub fn new(inner: Arc<S>, faults: Faults) -> Faulty<S> {
        Faulty { inner, faults }
    }
}

#[async_trait]
impl<S: BodySource + ?Sized> BodySource for Faulty<S> {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.faults.around(Call::OpenBody, self.inner.open_body(item, range)).await
    }
}

#[async_trait]
impl<S: ReadStore + ?Sized> ReadStore for Faulty<S> {
    forward_facts!();

    async fn identity(&self) -> Result<Identity> {
        self.faults.around(Call::Identity, self.inner.identity()).await
    }

    async fn shape(&self) -> Result<Shape> {
        self.faults.around(Call::Shape, self.inner.shape()).await
    }

    async fn check(&self) -> Vec<Finding> {
        self.inner.check().await
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let inner = self.faults.around(Call::BeginScan, self.inner.begin_scan(partitions)).await?;
        Ok(Box::new(FaultyScan { inner, faults: &self.faults }))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        self.faults.around(Call::Fetch, self.inner.fetch(keys, depth)).await
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.faults.around(Call::LogStart, self.inner.log_start(now)).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.faults.around(Call::Changes, self.inner.changes(since, now)).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.faults.around(Call::History, self.inner.history(now)).await
    }

    async fn absence(&self, key: &Key) -> Result<Option<String>> {
        self.faults.around(Call::Fetch, self.inner.absence(key)).await
    }

    async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
        self.faults.around(Call::Fetch, self.inner.prove_like(item, like)).await
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        self.faults.around(Call::Counters, self.inner.counters()).await
    }
}

struct FaultyScan<'a> {
    inner: Box<dyn Scan + 'a>,
    faults: &'a Faults,
}

impl Scan for FaultyScan<'_> {
    fn partitions(&self) -> usize {
        self.inner.partitions()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        self.inner.leaves(partition).flat_map(|batch| stream::iter(self.faults.page(batch))).boxed()
    }

    fn estimate(&self) -> Option<u64> {
        self.inner.estimate()
    }
}

#[async_trait]
impl<S: WriteStore + ?Sized> WriteStore for Faulty<S> {
    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    fn writes_at_once(&self) -> usize {
        self.inner.writes_at_once()
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.faults.around(Call::Apply, self.inner.apply(writes)).await
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    async fn tidy(&self, saved: &Path) -> Result<Vec<Finding>> {
        self.inner.tidy(saved).await
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        self.faults.around(Call::Preserve, self.inner.preserve(item, saved)).await
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.faults.around(Call::RaiseCounters, self.inner.raise_counters(counters)).await
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.faults.around(Call::CheckConstraints, self.inner.check_constraints()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Side, StoreId, Value};
    use crate::store::memory::{MemoryStore, MemoryTable};
    use crate::store::{Expected, Wanted};

    fn faulty(table: &MemoryTable, faults: &Faults) -> Faulty<dyn WriteStore> {
        let store = MemoryStore::new(StoreId("orders".into()), Side::Primary, table.clone());
        Faulty::new(Arc::new(store), faults.clone())
    }

    async fn pages(store: &dyn ReadStore) -> Vec<Option<usize>> {
        let scan = store.begin_scan(1).await.expect("a scan");
        scan.leaves(0).map(|batch| batch.ok().map(|leaves| leaves.len())).collect().await
    }

    #[tokio::test]
    async fn pages_are_dropped_repeated_and_failed_by_script() {
        let (table, faults) = (MemoryTable::new("orders"), Faults::new());
        for number in 0..1_500 {
            table.put(&Value::Number(number.into()), Value::Null);
        }
        faults.at(Call::Page, 2, Effect::Drop);
        faults.at(Call::Page, 3, Effect::Repeat);
        faults.at(Call::Page, 5, Effect::FailBefore(ErrorKind::Unreachable));
        faults.at(Call::Page, 6, Effect::FailAfter(ErrorKind::Unreachable));
        let store = faulty(&table, &faults);
        assert_eq!(pages(&store).await, [Some(1_000)]);
        assert_eq!(pages(&store).await, [Some(1_000), Some(1_000), Some(500)]);
        assert_eq!(pages(&store).await, [None, Some(500), None]);
        assert_eq!(pages(&store).await, [Some(1_000), Some(500)]);
        assert_eq!(faults.count(Call::Page), 8);
    }

    #[tokio::test]
    async fn a_write_fails_before_or_after_it_happens() {
        for (effect, is_there) in
            [(Effect::FailBefore(ErrorKind::Throttled), true), (Effect::FailAfter(ErrorKind::Throttled), false)]
        {
            let (table, faults) = (MemoryTable::new("orders"), Faults::new());
            faults.at(Call::Apply, 1, effect);
            let key = table.put(&Value::text("a"), Value::Null);
            let store = faulty(&table, &faults);
            let item = store.fetch(&[key], Depth::Evidence).await.expect("items").remove(0).expect("a");
            let write = GuardedWrite { key: &item.key, expected: Expected::Present(&item), wanted: Wanted::Absent };
            assert_eq!(store.apply(&[write]).await.expect_err("an error").kind, ErrorKind::Throttled);
            assert_eq!(!table.is_empty(), is_there);
        }
    }

    #[tokio::test]
    async fn something_may_happen_just_before_a_call() {
        let (table, faults) = (MemoryTable::new("orders"), Faults::new());
        let other_writer = table.clone();
        let act = move || drop(other_writer.put(&Value::text("a"), Value::text("2")));
        faults.at(Call::Apply, 1, Effect::Act(Arc::new(act)));
        let key = table.put(&Value::text("a"), Value::text("1"));
        let store = faulty(&table, &faults);
        let item = store.fetch(&[key], Depth::Evidence).await.expect("items").remove(0).expect("a");
        let write = GuardedWrite { key: &item.key, expected: Expected::Present(&item), wanted: Wanted::Absent };
        let outcomes = store.apply(&[write]).await.expect("outcomes");
        assert!(matches!(outcomes[..], [Outcome::Refused { found: Some(_), .. }]), "{outcomes:?}");
    }
}
