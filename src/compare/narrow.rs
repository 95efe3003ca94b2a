//! A comparison of only the keys that logs of changes name, for passes between a first full one and a last full one.
//!
//! It never tells parity: a key that no log names is not looked at, and what it rests on is said beside its result.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::changes::EvidenceBuckets;
use super::read::task_name;
use super::sides::SideLeaves;
use super::{Base, CompareError, Comparison, Progress, READING_SHARE, Reading, Settings, TaskUnderWay, joined};
use super::{reads, units_read};
use crate::digest::{BUCKETS, LeafSink};
use crate::model::{Clock, Key, Leaf, Side};
use crate::store::{Depth, ReadStore, StorePair};

/// Keys read in one request to a store.
const KEYS_AT_ONCE: usize = 400;

/// What a comparison of less than everything rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowed {
    /// Keys that were looked at.
    pub keys: u64,
    /// Why the others need not have changed, in words.
    pub rests_on: String,
}

/// Compares only the keys that the changes of both sides name; `base` is [`Base::Changes`].
///
/// # Errors
///
/// [`CompareError::Base`] when the base does not rest on changes of both sides, else as [`super::compare`].
pub async fn compare_changed(
    pair: &StorePair,
    base: &Base,
    settings: &Settings,
    (clock, progress): (&dyn Clock, &dyn Progress),
) -> Result<Comparison, CompareError> {
    let store = &pair.id;
    let rests_on = match base {
        Base::Changes { evidence, .. } => evidence.rests_on(),
        _ => None,
    };
    let Some(rests_on) = rests_on else {
        let why = "reading only what changed needs the changes of both sides".to_owned();
        return Err(CompareError::Base { store: store.clone(), why });
    };
    let units_before = units_read(pair);
    let budget = settings.memory_bytes / READING_SHARE / (2 + base.readings());
    let base_buckets = Arc::new(base.read(store, budget, settings, clock, progress).await?);
    let evidence = base_buckets.evidence().expect("a base of changes was read above");
    let (primary, dr) = futures_util::try_join!(
        read_keys(pair.primary.as_ref(), Side::Primary, evidence, budget, settings, (clock, progress)),
        read_keys(pair.dr.as_ref(), Side::Dr, evidence, budget, settings, (clock, progress)),
    )?;
    let mut keys = 0;
    for index in 0..BUCKETS {
        keys += evidence.keys(store, index)?.len() as u64;
    }
    let narrowed = Some(Narrowed { keys, rests_on });
    let comparison = joined(pair, (primary, dr), base_buckets, narrowed, settings, clock).await?;
    Ok(Comparison { reads: reads(pair, units_before, false), ..comparison })
}

/// Reads the leaves of the keys that logs name.
async fn read_keys(
    store: &dyn ReadStore,
    side: Side,
    evidence: &EvidenceBuckets,
    budget_bytes: usize,
    settings: &Settings,
    (clock, progress): (&dyn Clock, &dyn Progress),
) -> Result<SideLeaves, CompareError> {
    let read_error = |source| CompareError::Read { store: store.id().clone(), side, source };
    let sink_error = |source| CompareError::Sink { store: store.id().clone(), source };
    let read_from = clock.now();
    let identity = store.identity().await.map_err(read_error)?;
    // Some kinds of store know how to read a key once they know their shape.
    store.shape().await.map_err(read_error)?;
    let task = TaskUnderWay::begin(progress, task_name(store.id(), side), None);
    let mut sink = LeafSink::new(budget_bytes, settings.spill.join(format!("{}-{side}", store.id())));
    for index in 0..BUCKETS {
        let keys: Vec<Key> = evidence.keys(store.id(), index)?.into_iter().collect();
        let requests = keys.chunks(KEYS_AT_ONCE).map(|chunk| store.fetch(chunk, Depth::Evidence)).collect::<Vec<_>>();
        let mut fetched = stream::iter(requests).buffer_unordered(settings.partitions.max(1));
        while let Some(items) = fetched.try_next().await.map_err(read_error)? {
            task.advance(items.len() as u64);
            let leaves: Vec<Leaf> = items.into_iter().flatten().map(|item| item.leaf()).collect();
            sink.push(leaves).map_err(sink_error)?;
        }
    }
    let reading = Reading { identity, buckets: sink.finish(), read_from, read_until: clock.now() };
    Ok(SideLeaves::scanned(reading, None))
}
