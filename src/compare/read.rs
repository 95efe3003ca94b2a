//! Reads one side in full.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::{CompareError, Settings};
use crate::digest::{Buckets, LeafSink};
use crate::model::{Clock, Identity, Side, StoreId, Timestamp};
use crate::store::ReadStore;

/// Told how long work gets on; must not block.
pub trait Progress: Send + Sync {
    /// A task begins, with the number of items where it is known.
    fn begin(&self, task: &str, items: Option<u64>);
    /// Items were handled.
    fn advance(&self, task: &str, items: u64);
    /// The task ended.
    fn end(&self, task: &str);
}

/// A task that has begun; it ends when this is dropped, also when the work breaks off.
pub struct TaskUnderWay<'a> {
    progress: &'a dyn Progress,
    task: String,
}

impl<'a> TaskUnderWay<'a> {
    /// Begins a task of so many items, where that is known.
    pub fn begin(progress: &'a dyn Progress, task: String, items: Option<u64>) -> TaskUnderWay<'a> {
        progress.begin(&task, items);
        TaskUnderWay { progress, task }
    }

    /// Items were handled.
    pub fn advance(&self, items: u64) {
        self.progress.advance(&self.task, items);
    }
}

impl Drop for TaskUnderWay<'_> {
    fn drop(&mut self) {
        self.progress.end(&self.task);
    }
}

/// No progress is shown.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _task: &str, _items: Option<u64>) {}
    fn advance(&self, _task: &str, _items: u64) {}
    fn end(&self, _task: &str) {}
}

/// All leaves of one side.
#[derive(Debug)]
pub struct Reading {
    /// The resource that was read.
    pub identity: Identity,
    /// The leaves.
    pub buckets: Buckets,
    /// When the reading began.
    pub read_from: Timestamp,
    /// When it ended.
    pub read_until: Timestamp,
}

/// Reads every leaf of one side.
///
/// # Errors
///
/// [`CompareError`] when a partition could not be read to its end, or the resource was replaced under the reading.
pub async fn read_side(
    store: &dyn ReadStore,
    side: Side,
    budget_bytes: usize,
    settings: &Settings,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Reading, CompareError> {
    let read_error = |source| CompareError::Read { store: store.id().clone(), side, source };
    let read_from = clock.now();
    let identity = store.identity().await.map_err(read_error)?;
    let scan = store.begin_scan(settings.partitions).await.map_err(read_error)?;
    let task = TaskUnderWay::begin(progress, task_name(store.id(), side), scan.estimate());
    let sink = Mutex::new(LeafSink::new(budget_bytes, settings.spill.join(format!("{}-{side}", store.id()))));
    let partitions = stream::iter(0..scan.partitions().max(1)).map(|partition| {
        let (scan, sink, task) = (&scan, &sink, &task);
        async move {
            let mut leaves = scan.leaves(partition);
            while let Some(batch) = leaves.try_next().await.map_err(read_error)? {
                task.advance(batch.len() as u64);
                let pushed = sink.lock().await.push(batch);
                pushed.map_err(|source| CompareError::Sink { store: store.id().clone(), source })?;
            }
            Ok::<(), CompareError>(())
        }
    });
    partitions.buffer_unordered(settings.partitions.max(1)).try_collect::<()>().await?;
    drop(task);
    drop(scan);
    if !store.identity().await.map_err(read_error)?.is_same_resource(&identity) {
        let why = crate::store::StoreError::new(
            crate::store::ErrorKind::Unfit,
            "the resource was replaced by another of the same name while it was read",
        );
        return Err(read_error(why));
    }
    Ok(Reading { identity, buckets: sink.into_inner().finish(), read_from, read_until: clock.now() })
}

pub(super) fn task_name(store: &StoreId, side: Side) -> String {
    format!("read {store} {side}")
}
