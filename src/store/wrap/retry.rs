//! A store that tries again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::{Pause, forward_facts};
use crate::model::{Identity, Item, Key, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, Finding, GuardedWrite, History, LeafStream, LogMark, LogStart,
    Outcome, ReadStore, Result, Scan, Shape, StoreError, WriteStore,
};

/// How often and how soon something is tried again.
#[derive(Clone)]
pub struct Retries {
    /// Tries in all, at least 1.
    pub attempts_max: u32,
    /// The pause before the second try; every further one is twice as long.
    pub delay_first: Duration,
    /// The longest pause.
    pub delay_max: Duration,
    /// How the pauses are waited out, jitter included.
    pub pause: Arc<dyn Pause>,
}

impl Retries {
    /// Whether a failure after `attempts` tries is worth another one; if so, the pause before it is over.
    async fn may_go_on(&self, attempts: u32, error: &StoreError) -> bool {
        if !error.kind.is_transient() || attempts >= self.attempts_max {
            return false;
        }
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let delay = self.delay_first.saturating_mul(factor).min(self.delay_max);
        tracing::debug!(attempts, ?delay, %error, "trying again");
        self.pause.pause(delay).await;
        true
    }

    async fn run<T, F>(&self, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = 1;
        loop {
            match attempt().await {
                Err(error) if self.may_go_on(attempts, &error).await => attempts += 1,
                result => return result,
            }
        }
    }
}

/// A store whose transient failures are tried again, a bounded number of times.
///
/// Guarded writes are safe to repeat: one whose answer was lost is `AlreadyApplied` the second time. A partition that fails
/// is read again from its beginning, which repeats leaves, as scans may; a body goes on where it broke off.
pub struct Retrying<S: ?Sized> {
    inner: Arc<S>,
    retries: Retries,
}

impl<S: ?Sized> Retrying<S> {
    /// The store `inner`, tried again by these rules.
    pub fn new(inner: Arc<S>, retries: Retries) -> Retrying<S> {
        Retrying { inner, retries }
    }
}

#[async_trait]
impl<S: BodySource + ?Sized + 'static> BodySource for Retrying<S> {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        let stream = self.retries.run(|| self.inner.open_body(item, range.clone())).await?;
        let (source, retries, item) = (self.inner.clone(), self.retries.clone(), item.clone());
        let reading = BodyReading { source, retries, item, rest: range, attempts: 1, stream };
        Ok(stream::try_unfold(
            reading,
            |mut reading| async move { Ok(reading.next().await?.map(|chunk| (chunk, reading))) },
        )
        .boxed())
    }
}

/// One body under way.
struct BodyReading<S: ?Sized> {
    source: Arc<S>,
    retries: Retries,
    item: Item,
    rest: std::ops::Range<u64>,
    attempts: u32,
    stream: BodyStream,
}

impl<S: BodySource + ?Sized> BodyReading<S> {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            let error = match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(chunk)) => {
                    self.rest.start += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => error,
            };
            if !self.retries.may_go_on(self.attempts, &error).await {
                return Err(error);
            }
            self.attempts += 1;
            let open = || self.source.open_body(&self.item, self.rest.clone());
            self.stream = self.retries.run(open).await?;
        }
    }
}

#[async_trait]
impl<S: ReadStore + ?Sized + 'static> ReadStore for Retrying<S> {
    forward_facts!();

    async fn identity(&self) -> Result<Identity> {
        self.retries.run(|| self.inner.identity()).await
    }

    async fn shape(&self) -> Result<Shape> {
        self.retries.run(|| self.inner.shape()).await
    }

    async fn check(&self) -> Vec<Finding> {
        self.inner.check().await
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let inner = self.retries.run(|| self.inner.begin_scan(partitions)).await?;
        Ok(Box::new(RetryingScan { inner, retries: &self.retries }))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        self.retries.run(|| self.inner.fetch(keys, depth)).await
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.retries.run(|| self.inner.log_start(now)).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.retries.run(|| self.inner.changes(since, now)).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.retries.run(|| self.inner.history(now)).await
    }

    async fn absence(&self, key: &Key) -> Result<Option<String>> {
        self.retries.run(|| self.inner.absence(key)).await
    }

    async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
        self.retries.run(|| self.inner.prove_like(item, like)).await
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        self.retries.run(|| self.inner.counters()).await
    }
}

struct RetryingScan<'a> {
    inner: Box<dyn Scan + 'a>,
    retries: &'a Retries,
}

impl Scan for RetryingScan<'_> {
    fn partitions(&self) -> usize {
        self.inner.partitions()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let first = (self.inner.leaves(partition), 1);
        stream::try_unfold(first, move |(mut batches, mut attempts)| async move {
            loop {
                match batches.next().await {
                    None => return Ok(None),
                    Some(Ok(leaves)) => return Ok(Some((leaves, (batches, attempts)))),
                    Some(Err(error)) if self.retries.may_go_on(attempts, &error).await => {
                        attempts += 1;
                        batches = self.inner.leaves(partition);
                    }
                    Some(Err(error)) => return Err(error),
                }
            }
        })
        .boxed()
    }

    fn estimate(&self) -> Option<u64> {
        self.inner.estimate()
    }
}

#[async_trait]
impl<S: WriteStore + ?Sized + 'static> WriteStore for Retrying<S> {
    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    fn writes_at_once(&self) -> usize {
        self.inner.writes_at_once()
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.retries.run(|| self.inner.apply(writes)).await
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    async fn tidy(&self, saved: &Path) -> Result<Vec<Finding>> {
        self.retries.run(|| self.inner.tidy(saved)).await
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        self.retries.run(|| self.inner.preserve(item, saved)).await
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.retries.run(|| self.inner.raise_counters(counters)).await
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.retries.run(|| self.inner.check_constraints()).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::tests::Recorded;
    use super::super::{Call, Effect, Faults, Faulty};
    use super::*;
    use crate::model::{Side, StoreId, Value};
    use crate::store::memory::{MemoryStore, MemoryTable};
    use crate::store::{ErrorKind, Expected, Wanted};

    fn retries(attempts_max: u32) -> (Retries, Arc<Recorded>) {
        let pause = Arc::new(Recorded::default());
        let delay_first = Duration::from_millis(100);
        let delay_max = Duration::from_millis(350);
        (Retries { attempts_max, delay_first, delay_max, pause: pause.clone() }, pause)
    }

    fn flaky(faults: &Faults, retries: Retries) -> (Retrying<dyn WriteStore>, MemoryTable) {
        let table = MemoryTable::new("orders");
        let store = MemoryStore::new(StoreId("orders".into()), Side::Primary, table.clone());
        let faulty: Arc<dyn WriteStore> = Arc::new(Faulty::new(Arc::new(store), faults.clone()));
        (Retrying::new(faulty, retries), table)
    }

    fn waited(pause: &Recorded) -> Vec<u128> {
        pause.0.lock().expect("no panics").iter().map(Duration::as_millis).collect()
    }

    #[tokio::test]
    async fn transient_failures_are_tried_again_with_growing_pauses() {
        let (faults, (retries, pause)) = (Faults::new(), retries(5));
        faults.during(Call::Identity, 1..=4, Effect::FailBefore(ErrorKind::Throttled));
        flaky(&faults, retries).0.identity().await.expect("the fifth try");
        assert_eq!(waited(&pause), [100, 200, 350, 350]);
    }

    #[tokio::test]
    async fn tries_are_bounded_and_other_errors_come_at_once() {
        let (faults, (retries, pause)) = (Faults::new(), retries(3));
        faults.during(Call::Identity, 1..=9, Effect::FailBefore(ErrorKind::Unreachable));
        faults.at(Call::Shape, 1, Effect::FailBefore(ErrorKind::Denied));
        let (store, _) = flaky(&faults, retries);
        assert_eq!(store.identity().await.expect_err("an error").kind, ErrorKind::Unreachable);
        assert_eq!(store.shape().await.expect_err("an error").kind, ErrorKind::Denied);
        assert_eq!((faults.count(Call::Identity), faults.count(Call::Shape)), (3, 1));
        assert_eq!(waited(&pause), [100, 200]);
    }

    #[tokio::test]
    async fn a_lost_answer_to_a_write_becomes_already_applied() {
        let (faults, (retries, _)) = (Faults::new(), retries(3));
        faults.at(Call::Apply, 1, Effect::FailAfter(ErrorKind::Unreachable));
        let (store, table) = flaky(&faults, retries);
        let key = table.put(&Value::text("a"), Value::text("1"));
        let item = store.fetch(&[key], Depth::Evidence).await.expect("items").remove(0).expect("a");
        let write = GuardedWrite { key: &item.key, expected: Expected::Present(&item), wanted: Wanted::Absent };
        assert_eq!(store.apply(&[write]).await.expect("outcomes"), [Outcome::AlreadyApplied]);
        assert!(table.is_empty());
    }

    #[tokio::test]
    async fn a_failing_partition_is_read_again_from_its_beginning() {
        let (faults, (retries, pause)) = (Faults::new(), retries(3));
        faults.at(Call::Page, 2, Effect::FailBefore(ErrorKind::Unreachable));
        let (store, table) = flaky(&faults, retries);
        for number in 0..2_500 {
            table.put(&Value::Number(number.into()), Value::Null);
        }
        let scan = store.begin_scan(1).await.expect("a scan");
        let batches: Vec<_> = scan.leaves(0).map(|batch| batch.expect("leaves").len()).collect().await;
        assert_eq!(batches, [1_000, 1_000, 1_000, 500]);
        assert_eq!(waited(&pause), [100]);
    }

    #[tokio::test]
    async fn a_partition_that_keeps_failing_is_given_up() {
        let (faults, (retries, _)) = (Faults::new(), retries(3));
        faults.during(Call::Page, 1..=99, Effect::FailAfter(ErrorKind::Unreachable));
        let (store, table) = flaky(&faults, retries);
        table.put(&Value::text("a"), Value::Null);
        let scan = store.begin_scan(1).await.expect("a scan");
        let batches: Vec<_> = scan.leaves(0).map(|batch| batch.is_ok()).collect().await;
        assert_eq!(batches, [true, true, true, false]);
    }

    /// Gives two bytes of a body at a time and breaks off once after the first two.
    struct Torn(std::sync::atomic::AtomicBool);

    #[async_trait]
    impl BodySource for Torn {
        async fn open_body(&self, _item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
            let whole = Bytes::from_static(b"abcdefg").slice(range.start as usize..range.end as usize);
            let mut chunks: Vec<_> = whole.chunks(2).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            if !self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
                chunks.truncate(1);
                chunks.push(Err(StoreError::new(ErrorKind::Unreachable, "torn")));
            }
            Ok(stream::iter(chunks).boxed())
        }
    }

    #[tokio::test]
    async fn a_body_goes_on_where_it_broke_off() {
        let table = MemoryTable::new("media");
        let key = table.put(&Value::text("a"), Value::Null);
        let store = MemoryStore::new(StoreId("media".into()), Side::Dr, table);
        let item = store.fetch(&[key], Depth::Evidence).await.expect("items").remove(0).expect("a");
        let source = Retrying::new(Arc::new(Torn(false.into())), retries(2).0);
        let chunks: Vec<_> = source.open_body(&item, 1..7).await.expect("a body").collect().await;
        let body: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.expect("a chunk")).collect();
        assert_eq!(body, b"bcdefg");
    }
}
