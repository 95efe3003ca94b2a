//! Small steps that the checks share.

use std::collections::BTreeMap;

use futures_util::StreamExt;

use super::{Pair, Sample};
use crate::model::{Digest, Item, Key, Leaf, Side};
use crate::store::{BodySource, Depth, Expected, GuardedWrite, Outcome, ReadStore, StoreError, Wanted};

/// Gives up the check with words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}
pub(super) use ensure;

/// An error with its causes, which hold no contents.
pub(super) fn told(error: StoreError) -> String {
    format!("{error:?}")
}

/// Samples `0..count` of one version.
pub(super) fn samples(count: u32, version: u32) -> Vec<Sample> {
    (0..count).map(|number| Sample { number, version }).collect()
}

/// Plants one sample.
pub(super) async fn plant(pair: &dyn Pair, side: Side, number: u32, version: u32) -> Result<(), String> {
    pair.plant(side, &[Sample { number, version }]).await
}

/// All leaves of a store, partition by partition, repeats included.
pub(super) async fn scan(store: &dyn ReadStore, partitions: usize) -> Result<Vec<Leaf>, String> {
    let scan = store.begin_scan(partitions).await.map_err(told)?;
    ensure!(scan.partitions() >= 1, "a scan has no partitions");
    let mut leaves = Vec::new();
    for partition in 0..scan.partitions() {
        let mut stream = scan.leaves(partition);
        while let Some(batch) = stream.next().await {
            leaves.extend(batch.map_err(told)?);
        }
    }
    Ok(leaves)
}

/// Key to digest of all leaves; a key that is read twice must have one digest.
pub(super) async fn digests(store: &dyn ReadStore, partitions: usize) -> Result<BTreeMap<Key, Digest>, String> {
    let mut digests = BTreeMap::new();
    for leaf in scan(store, partitions).await? {
        let before = digests.insert(leaf.key.clone(), leaf.digest);
        ensure!(before.is_none_or(|digest| digest == leaf.digest), "{:?} has two digests in one scan", leaf.key);
    }
    Ok(digests)
}

/// The item of a number, if it is there.
pub(super) async fn find(store: &dyn ReadStore, key: &Key) -> Result<Option<Item>, String> {
    let mut items = store.fetch(std::slice::from_ref(key), Depth::Content).await.map_err(told)?;
    ensure!(items.len() == 1, "a fetch of one key gave {} answers", items.len());
    Ok(items.remove(0))
}

/// The item of a key, which must be there.
pub(super) async fn fetch(store: &dyn ReadStore, key: &Key) -> Result<Item, String> {
    find(store, key).await?.ok_or_else(|| format!("{key:?} is not there"))
}

/// Applies one write and gives its outcome.
pub(super) async fn apply(pair: &dyn Pair, write: GuardedWrite<'_>) -> Result<Outcome, String> {
    let mut outcomes = pair.primary().apply(&[write]).await.map_err(told)?;
    ensure!(outcomes.len() == 1, "one write has {} outcomes", outcomes.len());
    Ok(outcomes.remove(0))
}

/// Expects an outcome that carries nothing.
pub(super) async fn expect(pair: &dyn Pair, write: GuardedWrite<'_>, expected: Outcome) -> Result<(), String> {
    let outcome = apply(pair, write).await?;
    ensure!(outcome == expected, "expected {expected:?}, got {outcome:?}");
    Ok(())
}

/// Expects `Applied`, then `AlreadyApplied` for the same write once more.
pub(super) async fn expect_once(pair: &dyn Pair, write: GuardedWrite<'_>) -> Result<(), String> {
    expect(pair, write, Outcome::Applied).await?;
    expect(pair, write, Outcome::AlreadyApplied).await
}

/// An insert of an item.
pub(super) fn insert<'a>(item: &'a Item, body: &'a dyn BodySource) -> GuardedWrite<'a> {
    GuardedWrite { key: &item.key, expected: Expected::Absent, wanted: Wanted::Present { item, body } }
}

/// An update from one item to another.
pub(super) fn update<'a>(from: &'a Item, item: &'a Item, body: &'a dyn BodySource) -> GuardedWrite<'a> {
    GuardedWrite { key: &from.key, expected: Expected::Present(from), wanted: Wanted::Present { item, body } }
}

/// A delete of an item.
pub(super) fn delete(item: &Item) -> GuardedWrite<'_> {
    GuardedWrite { key: &item.key, expected: Expected::Present(item), wanted: Wanted::Absent }
}

/// Expects two items to be proved equal.
pub(super) fn ensure_same(one: &Item, other: &Item) -> Result<(), String> {
    ensure!(one.key == other.key, "{:?} and {:?} are two keys", one.key, other.key);
    let same = one.same_as(other);
    ensure!(same == Some(true), "{:?} should be the same on both sides, but same_as says {same:?}", one.key);
    Ok(())
}
