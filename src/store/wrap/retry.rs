//! A store that tries again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::{Pause, forward_facts};
use crate::model::{Identity, Item, Key};
use crate::store::{
    BodySource, BodyStream, Counter, Depth, Finding, GuardedWrite, LeafStream, Outcome, ReadStore, Result, Scan, Shape,
    StoreError, WriteStore,
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
        Ok(stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|chunk| (chunk, reading)))
        })
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
    async fn apply(&self, writes: &[GuardedWrite<'_>]) -> Result<Vec<Outcome>> {
        self.retries.run(|| self.inner.apply(writes)).await
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
