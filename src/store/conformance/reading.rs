//! Checks of what a [`ReadStore`] gives.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use super::steps::{digests, ensure, ensure_same, fetch, find, plant, samples, scan, told};
use super::{CheckResult, Pair};
use crate::model::{Key, Leaf, Side};
use crate::store::{Depth, ReadStore, compare_shapes};

/// Enough items that every one of a few partitions has some.
const SOME: u32 = 40;

pub(super) async fn an_empty_store_has_no_leaves(pair: &dyn Pair) -> CheckResult {
    for partitions in [1, 4] {
        let leaves = scan(pair.primary().as_ref(), partitions).await?;
        ensure!(leaves.is_empty(), "an empty store has {} leaves", leaves.len());
    }
    let found = find(pair.primary().as_ref(), &pair.key(0)).await?;
    ensure!(found.is_none(), "an empty store holds an item");
    Ok(())
}

pub(super) async fn a_scan_gives_what_was_planted(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Primary, &samples(SOME, 1)).await?;
    let leaves = scan(pair.primary().as_ref(), 4).await?;
    let planted: BTreeSet<Key> = (0..SOME).map(|number| pair.key(number)).collect();
    ensure!(planted.len() == SOME as usize, "the fixture gives two numbers one key");
    let read: BTreeSet<Key> = leaves.iter().map(|leaf| leaf.key.clone()).collect();
    ensure!(read == planted, "{} keys planted, {} read, not the same", planted.len(), read.len());
    // Repeats are allowed while items move; nothing moves here.
    ensure!(leaves.len() == planted.len(), "{} leaves for {} items", leaves.len(), planted.len());
    let dr = scan(pair.dr().as_ref(), 4).await?;
    ensure!(dr.is_empty(), "what was planted on the primary shows on dr");
    Ok(())
}

pub(super) async fn a_scan_and_a_fetch_agree(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Primary, &samples(SOME, 1)).await?;
    let primary = pair.primary();
    for depth in [Depth::Evidence, Depth::Content] {
        for leaf in scan(primary.as_ref(), 1).await? {
            let items = primary.fetch(std::slice::from_ref(&leaf.key), depth).await.map_err(told)?;
            let Some(Some(item)) = items.first() else {
                return Err(format!("{:?} is scanned but not fetched at {depth:?}", leaf.key));
            };
            ensure!(item.key == leaf.key, "asked for {:?}, got {:?}", leaf.key, item.key);
            ensure!(item.is_proved_by(&leaf.digest), "{:?} has another digest when fetched at {depth:?}", leaf.key);
            // Where a database hashed it, a row's size is not told before it is read.
            let is_sized = primary.leaves_from() != Some(Leaf::BY_SERVER);
            ensure!(
                !is_sized || item.size == leaf.size,
                "{:?} has {} bytes scanned, {} fetched",
                leaf.key,
                leaf.size,
                item.size
            );
        }
    }
    Ok(())
}

pub(super) async fn a_partition_can_be_read_again(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Primary, &samples(SOME, 1)).await?;
    let primary = pair.primary();
    let scan = primary.begin_scan(2).await.map_err(told)?;
    for partition in 0..scan.partitions() {
        // One reading is dropped half way, as after an error.
        drop(scan.leaves(partition).next().await);
        let mut readings = Vec::new();
        for _ in 0..2 {
            let mut keys = BTreeSet::new();
            let mut stream = scan.leaves(partition);
            while let Some(batch) = stream.next().await {
                keys.extend(batch.map_err(told)?.into_iter().map(|leaf| leaf.key));
            }
            readings.push(keys);
        }
        ensure!(readings[0] == readings[1], "partition {partition} reads differently the second time");
    }
    Ok(())
}

pub(super) async fn any_number_of_partitions_gives_the_same_leaves(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Primary, &samples(SOME, 1)).await?;
    let one = digests(pair.primary().as_ref(), 1).await?;
    for partitions in [3, 8] {
        let many = digests(pair.primary().as_ref(), partitions).await?;
        ensure!(one == many, "1 partition gives {} leaves, {partitions} give {}, not the same", one.len(), many.len());
    }
    Ok(())
}

pub(super) async fn the_same_data_gives_the_same_leaves_on_both_sides(pair: &dyn Pair) -> CheckResult {
    let planted = samples(SOME, 1);
    let backwards: Vec<_> = planted.iter().rev().copied().collect();
    pair.plant(Side::Primary, &planted).await?;
    pair.plant(Side::Dr, &backwards).await?;
    let primary = digests(pair.primary().as_ref(), 3).await?;
    let dr = digests(pair.dr().as_ref(), 2).await?;
    ensure!(primary.keys().eq(dr.keys()), "the same items have other keys on dr");
    for number in 0..SOME {
        let key = pair.key(number);
        let one = fetch(pair.primary().as_ref(), &key).await?;
        let other = fetch(pair.dr().as_ref(), &key).await?;
        ensure_same(&one, &other)?;
        // Leaves may be made from different kinds of proof, but only where the items carry more than one.
        let is_told = primary.get(&key) == dr.get(&key) || !(one.evidence.is_empty() || other.evidence.is_empty());
        ensure!(is_told, "{key:?} has another digest on dr and no evidence beside it");
    }
    Ok(())
}

pub(super) async fn another_version_has_another_digest(pair: &dyn Pair) -> CheckResult {
    let mut seen: BTreeMap<_, u32> = BTreeMap::new();
    for version in 1..=3 {
        plant(pair, Side::Primary, 0, version).await?;
        let digests = digests(pair.primary().as_ref(), 1).await?;
        let digest = *digests.get(&pair.key(0)).ok_or("the item is not scanned")?;
        let before = seen.insert(digest, version);
        ensure!(before.is_none(), "versions {before:?} and {version} have one digest");
    }
    plant(pair, Side::Dr, 0, 1).await?;
    let newer = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    let same = newer.same_as(&fetch(pair.dr().as_ref(), &pair.key(0)).await?);
    ensure!(same == Some(false), "two versions should differ, but same_as says {same:?}");
    Ok(())
}

pub(super) async fn a_fetch_keeps_order_gaps_and_repeats(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Primary, &samples(5, 1)).await?;
    let numbers = [4, 200, 0, 4, 201, 2, 200];
    let keys: Vec<Key> = numbers.iter().map(|number| pair.key(*number)).collect();
    for depth in [Depth::Evidence, Depth::Content] {
        let items = pair.primary().fetch(&keys, depth).await.map_err(told)?;
        ensure!(items.len() == keys.len(), "{} answers for {} keys", items.len(), keys.len());
        for ((number, key), item) in numbers.iter().zip(&keys).zip(&items) {
            ensure!(item.is_some() == (*number < 5), "item {number} is wrongly there or not at {depth:?}");
            ensure!(item.as_ref().is_none_or(|item| item.key == *key), "item {number} is answered by another one");
        }
    }
    Ok(())
}

pub(super) async fn a_fetch_of_nothing_gives_nothing(pair: &dyn Pair) -> CheckResult {
    let items = pair.primary().fetch(&[], Depth::Content).await.map_err(told)?;
    ensure!(items.is_empty(), "{} answers for no keys", items.len());
    Ok(())
}

pub(super) async fn identities_stand_still_and_differ(pair: &dyn Pair) -> CheckResult {
    let primary = pair.primary().identity().await.map_err(told)?;
    plant(pair, Side::Primary, 0, 1).await?;
    let again = pair.primary().identity().await.map_err(told)?;
    ensure!(primary == again, "the identity changed with the contents");
    let dr = pair.dr().identity().await.map_err(told)?;
    ensure!(!primary.is_same_resource(&dr), "the primary and dr have one identity");
    ensure!(!primary.id.is_empty() && !primary.resource.is_empty(), "an identity without an id or a name");
    ensure!(primary.kind == pair.primary().kind(), "the identity is of another kind than the store");
    Ok(())
}

pub(super) async fn both_sides_have_one_shape(pair: &dyn Pair) -> CheckResult {
    let primary = pair.primary().shape().await.map_err(told)?;
    plant(pair, Side::Dr, 0, 1).await?;
    let dr = ReadStore::shape(pair.dr().as_ref()).await.map_err(told)?;
    let findings = compare_shapes("sample", &primary, &dr);
    match findings.first() {
        None => Ok(()),
        Some(finding) => Err(format!("{} differences in shape, the first: {}", findings.len(), finding.what)),
    }
}
