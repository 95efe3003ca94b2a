//! A store that does not pass given rates.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::{Pace, Pause, Sleep, forward_facts};
use crate::model::{Identity, Item, Key, Timestamp};
use crate::store::{
    BodySource, BodyStream, Changes, Counter, Depth, Finding, GuardedWrite, History, LeafStream, LogMark, LogStart,
    Outcome, ReadStore, Result, Scan, Shape, WriteStore,
};

/// What is saved up at most while nothing is asked for.
const SAVED: Duration = Duration::from_millis(100);

/// Writes that are handed over together whatever the rate is.
const LITTLE: usize = 100;

/// Keeps to a number of items per second.
struct Rate {
    per_second: NonZeroU32,
    began: Instant,
    turns: Mutex<Turns>,
    pause: Arc<dyn Pause>,
}

impl Rate {
    fn new(per_second: NonZeroU32, pause: Arc<dyn Pause>) -> Rate {
        Rate { per_second, began: Instant::now(), turns: Mutex::default(), pause }
    }

    /// Waits until `items` may pass.
    async fn take(&self, items: usize) {
        let wait = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.take(self.began.elapsed(), items, self.per_second)
        };
        if !wait.is_zero() {
            self.pause.pause(wait).await;
        }
    }
}

/// Whose turn is when; instants are durations since the rate began.
///
/// What passes is paid for afterwards, by the wait of what comes next: the time that requests take counts, and a batch that is
/// larger than what a second allows is no exception.
#[derive(Debug, Default)]
struct Turns {
    next: Duration,
}

impl Turns {
    /// How long `items` wait for their turn.
    fn take(&mut self, now: Duration, items: usize, per_second: NonZeroU32) -> Duration {
        let turn = self.next.max(now.saturating_sub(SAVED));
        let paid = Duration::try_from_secs_f64(items as f64 / f64::from(per_second.get()));
        self.next = turn.saturating_add(paid.unwrap_or(Duration::MAX));
        turn.saturating_sub(now)
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
        let rate = |per_second| NonZeroU32::new(per_second).map(|rate| Rate::new(rate, Arc::new(Sleep)));
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

    /// Writes that may be handed over together: a second's worth, so that a low rate is kept in every second. What may be
    /// one transaction stays together.
    fn together_max(&self) -> usize
    where
        S: WriteStore,
    {
        match &self.writes {
            Some(rate) if !self.inner.is_transactional() => rate.per_second.get() as usize,
            _ => usize::MAX,
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
    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    /// No more than a second's worth, or what is little in any case.
    fn writes_at_once(&self) -> usize {
        let rate = self.writes.as_ref().map_or(usize::MAX, |rate| rate.per_second.get() as usize);
        self.inner.writes_at_once().min(rate.max(LITTLE))
    }

    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for together in writes.chunks(self.together_max().min(writes.len()).max(1)) {
            self.before_writing(together.len()).await;
            outcomes.extend(self.inner.apply(together).await?);
        }
        Ok(outcomes)
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
    use super::*;
    use crate::store::wrap::tests::Recorded;

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).expect("a rate")
    }

    /// When each of these batches has its turn, where each takes so long itself.
    fn turns(per_second: u32, takes: &[usize], each: Duration) -> Vec<Duration> {
        let (mut turns, mut now) = (Turns::default(), Duration::ZERO);
        let turn = |items: &usize| {
            now += turns.take(now, *items, rate(per_second));
            let turn = now;
            now += each;
            turn
        };
        takes.iter().map(turn).collect()
    }

    #[test]
    fn a_rate_is_kept_whatever_the_size_of_the_batches_and_the_time_they_take() {
        let milliseconds = |turns: Vec<Duration>| turns.iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!(milliseconds(turns(100, &[0, 100, 50, 1, 1], Duration::ZERO)), [0, 0, 1_000, 1_500, 1_510]);
        assert_eq!(milliseconds(turns(1, &[1, 1, 1], Duration::ZERO)), [0, 1_000, 2_000]);
        // What a batch takes itself is part of the time it has.
        let slow = Duration::from_millis(450);
        assert_eq!(milliseconds(turns(200, &[100; 4], slow)), [0, 500, 1_000, 1_500]);
        assert_eq!(milliseconds(turns(200, &[100; 4], Duration::from_millis(550))), [0, 550, 1_100, 1_650]);
    }

    #[test]
    fn thousands_of_small_items_pass_evenly_from_the_first_second_on() {
        for (at, turn) in turns(1_000, &[1; 5_000], Duration::ZERO).into_iter().enumerate() {
            let even = Duration::from_millis(at as u64);
            assert!(turn.abs_diff(even) < Duration::from_millis(1), "item {at} at {turn:?}");
        }
    }

    #[test]
    fn time_in_which_nothing_was_asked_for_is_not_saved_up() {
        let mut turns = Turns::default();
        turns.take(Duration::ZERO, 1, rate(1_000));
        let later = Duration::from_secs(60);
        let at_once = (0..1_000).filter(|_| turns.take(later, 1, rate(1_000)).is_zero()).count();
        assert!((100..=101).contains(&at_once), "{at_once}, a tenth of a second's worth");
    }

    #[tokio::test]
    async fn what_has_no_turn_yet_waits_for_it() {
        let pause = Arc::new(Recorded::default());
        let rate = Rate::new(rate(1), pause.clone());
        rate.take(3_600).await;
        rate.take(1).await;
        let waits = pause.0.lock().expect("no panics").clone();
        assert!(waits.len() == 1 && waits[0] > Duration::from_secs(3_500), "{waits:?}");
    }
}
