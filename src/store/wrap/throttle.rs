//! A store that does not pass given rates.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::{Pace, Pause, Sleep, forward_facts};
use crate::model::{Identity, Item, Key, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, Finding, GuardedWrite, History, LeafStream, LogMark, LogStart,
    Outcome, ReadStore, Result, Scan, Shape, WriteStore,
};

/// Keeps to a number of items per second; a second's worth may pass at once.
struct Rate<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    burst: NonZeroU32,
    pause: Arc<dyn Pause>,
}

impl<C: Clock + Clone> Rate<C> {
    fn new(per_second: NonZeroU32, clock: C, pause: Arc<dyn Pause>) -> Rate<C> {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(per_second), clock.clone());
        Rate { limiter, clock, burst: per_second, pause }
    }

    /// Waits until `items` may pass, in pieces of at most a second's worth.
    async fn take(&self, items: usize) {
        let mut left = items;
        while let Some(piece) = NonZeroU32::new(u32::try_from(left).unwrap_or(u32::MAX).min(self.burst.get())) {
            self.take_piece(piece).await;
            left -= piece.get() as usize;
        }
    }

    async fn take_piece(&self, piece: NonZeroU32) {
        loop {
            let decision = self.limiter.check_n(piece).expect("a piece is at most the burst");
            let Err(until) = decision else { return };
            self.pause.pause(until.wait_time_from(self.clock.now())).await;
        }
    }
}

/// A store whose items are read and written no faster than given rates.
pub struct Throttled<S: ?Sized> {
    inner: Arc<S>,
    reads: Option<Rate>,
    writes: Option<Rate>,
    pace: Arc<Pace>,
}

impl<S: ?Sized> Throttled<S> {
    /// The store `inner` with at most so many items read and written per second; 0 is no limit.
    pub fn new(inner: Arc<S>, reads_per_second: u32, writes_per_second: u32) -> Throttled<S> {
        let rate = |per_second| {
            NonZeroU32::new(per_second).map(|rate| Rate::new(rate, DefaultClock::default(), Arc::new(Sleep)))
        };
        Throttled { inner, reads: rate(reads_per_second), writes: rate(writes_per_second), pace: Arc::default() }
    }

    /// The same store at a pace that a person changes meanwhile.
    pub fn at(self, pace: Arc<Pace>) -> Throttled<S> {
        Throttled { pace, ..self }
    }

    async fn before_reading(&self, items: usize) {
        self.pace.gate().await;
        if let Some(rate) = &self.reads {
            rate.take(self.pace.cost(items)).await;
            self.pace.gate().await;
        }
    }

    async fn before_writing(&self, items: usize) {
        self.pace.gate().await;
        if let Some(rate) = &self.writes {
            rate.take(self.pace.cost(items)).await;
            // A pause that came meanwhile holds too.
            self.pace.gate().await;
        }
    }
}

#[async_trait]
impl<S: BodySource + ?Sized> BodySource for Throttled<S> {
    async fn open_body(&self, item: &Item, range: std::ops::Range<u64>) -> Result<BodyStream> {
        self.inner.open_body(item, range).await
    }
}

#[async_trait]
impl<S: ReadStore + ?Sized> ReadStore for Throttled<S> {
    forward_facts!();

    async fn identity(&self) -> Result<Identity> {
        self.inner.identity().await
    }

    async fn shape(&self) -> Result<Shape> {
        self.inner.shape().await
    }

    async fn check(&self) -> Vec<Finding> {
        self.inner.check().await
    }

    async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
        let inner = self.inner.begin_scan(partitions).await?;
        Ok(Box::new(ThrottledScan { inner, rate: self.reads.as_ref(), pace: &self.pace }))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        self.before_reading(keys.len()).await;
        self.inner.fetch(keys, depth).await
    }

    async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
        self.pace.gate().await;
        self.inner.log_start(now).await
    }

    async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
        self.pace.gate().await;
        self.inner.changes(since, now).await
    }

    async fn history(&self, now: Timestamp) -> Result<History> {
        self.pace.gate().await;
        self.inner.history(now).await
    }

    async fn absence(&self, key: &Key) -> Result<Option<String>> {
        self.before_reading(1).await;
        self.inner.absence(key).await
    }

    async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
        self.before_reading(1).await;
        self.inner.prove_like(item, like).await
    }

    async fn counters(&self) -> Result<Vec<Counter>> {
        self.inner.counters().await
    }
}

struct ThrottledScan<'a> {
    inner: Box<dyn Scan + 'a>,
    rate: Option<&'a Rate>,
    pace: &'a Pace,
}

impl Scan for ThrottledScan<'_> {
    fn partitions(&self) -> usize {
        self.inner.partitions()
    }

    /// The size of a batch is known once it is there: it is held back before the next one is asked for.
    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let (rate, pace) = (self.rate, self.pace);
        let held_back = move |batch: Result<Vec<_>>| async move {
            pace.gate().await;
            if let (Ok(leaves), Some(rate)) = (&batch, rate) {
                rate.take(pace.cost(leaves.len())).await;
            }
            batch
        };
        self.inner.leaves(partition).then(held_back).boxed()
    }

    fn estimate(&self) -> Option<u64> {
        self.inner.estimate()
    }
}

#[async_trait]
impl<S: WriteStore + ?Sized> WriteStore for Throttled<S> {
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.before_writing(writes.len()).await;
        self.inner.apply(writes).await
    }

    fn prior_bodies(self: Arc<Self>, saved: &Path) -> Arc<dyn BodySource> {
        Arc::clone(&self.inner).prior_bodies(saved)
    }

    async fn tidy(&self, saved: &Path) -> Result<Vec<Finding>> {
        self.inner.tidy(saved).await
    }

    async fn preserve(&self, item: &Item, saved: &Path) -> Result<()> {
        self.inner.preserve(item, saved).await
    }

    async fn raise_counters(&self, counters: &[Counter]) -> Result<Vec<Counter>> {
        self.pace.gate().await;
        self.inner.raise_counters(counters).await
    }

    async fn check_constraints(&self) -> Result<Vec<Finding>> {
        self.inner.check_constraints().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    /// Advances the clock instead of waiting, and keeps what was waited.
    struct Skip(FakeRelativeClock, Mutex<Duration>);

    #[async_trait]
    impl Pause for Skip {
        async fn pause(&self, delay: Duration) {
            self.0.advance(delay);
            *self.1.lock().expect("no panics") += delay;
        }
    }

    async fn waited(per_second: u32, takes: &[usize]) -> Duration {
        let clock = FakeRelativeClock::default();
        let skip = Arc::new(Skip(clock.clone(), Mutex::default()));
        let rate = Rate::new(NonZeroU32::new(per_second).expect("a rate"), clock, skip.clone());
        for items in takes {
            rate.take(*items).await;
        }

        *skip.1.lock().expect("no panics")
    }

    #[tokio::test]
    async fn a_rate_is_kept_whatever_the_size_of_the_batches() {
        assert_eq!(waited(100, &[0, 100]).await, Duration::ZERO);
        assert_eq!(waited(100, &[100, 50]).await, Duration::from_millis(500));
        assert_eq!(waited(100, &[1_050]).await, Duration::from_millis(9_500));
        assert_eq!(waited(1, &[1, 1, 1]).await, Duration::from_secs(2));
    }
}
