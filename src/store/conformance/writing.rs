//! Checks that guarded writes do what they say, once.

use std::sync::Arc;

use super::steps::{
    delete, digests, ensure, ensure_same, expect, expect_once, fetch, find, insert, plant, samples, told, update,
};
use super::{CheckResult, Pair, Sample};
use crate::model::{Item, Key, Side};
use crate::store::{BodySource, Counter, Depth, Expected, GuardedWrite, Outcome, Wanted};

/// A batch as large as a replay makes them, and then some.
const MANY: u32 = 300;

pub(super) async fn an_insert_is_applied_once(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Dr, 0, 1).await?;
    let dr = pair.dr();
    let item = fetch(dr.as_ref(), &pair.key(0)).await?;
    expect_once(pair, insert(&item, dr.as_ref())).await?;
    ensure_same(&fetch(pair.primary().as_ref(), &pair.key(0)).await?, &item)
}

pub(super) async fn an_update_is_applied_once(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Primary, 0, 1).await?;
    plant(pair, Side::Primary, 1, 1).await?;
    plant(pair, Side::Dr, 0, 2).await?;
    let dr = pair.dr();
    let item = fetch(dr.as_ref(), &pair.key(0)).await?;
    let from = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    let bystander = fetch(pair.primary().as_ref(), &pair.key(1)).await?;
    expect_once(pair, update(&from, &item, dr.as_ref())).await?;
    ensure_same(&fetch(pair.primary().as_ref(), &pair.key(0)).await?, &item)?;
    ensure_same(&fetch(pair.primary().as_ref(), &pair.key(1)).await?, &bystander)
}

pub(super) async fn a_delete_is_applied_once(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Primary, 0, 1).await?;
    plant(pair, Side::Primary, 1, 1).await?;
    let item = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    expect_once(pair, delete(&item)).await?;
    ensure!(find(pair.primary().as_ref(), &pair.key(0)).await?.is_none(), "a deleted item is still there");
    ensure!(find(pair.primary().as_ref(), &pair.key(1)).await?.is_some(), "a delete took another item along");
    Ok(())
}

pub(super) async fn deleting_what_is_not_there_is_applied_already(pair: &dyn Pair) -> CheckResult {
    let key = pair.key(0);
    let write = GuardedWrite { key: &key, expected: Expected::Absent, wanted: Wanted::Absent };
    expect(pair, write, Outcome::AlreadyApplied).await?;
    plant(pair, Side::Primary, 0, 1).await?;
    let item = fetch(pair.primary().as_ref(), &key).await?;
    pair.uproot(Side::Primary, 0).await?;
    expect(pair, delete(&item), Outcome::AlreadyApplied).await
}

pub(super) async fn an_item_from_dr_is_the_same_on_the_primary(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Dr, &samples(20, 1)).await?;
    let dr = pair.dr();
    for number in 0..20 {
        let item = fetch(dr.as_ref(), &pair.key(number)).await?;
        expect(pair, insert(&item, dr.as_ref()), Outcome::Applied).await?;
        ensure_same(&fetch(pair.primary().as_ref(), &item.key).await?, &item)?;
    }
    let primary = digests(pair.primary().as_ref(), 2).await?;
    ensure!(primary.keys().eq(digests(dr.as_ref(), 2).await?.keys()), "the sides hold other keys after a replay");
    Ok(())
}

pub(super) async fn an_undo_restores_the_digest(pair: &dyn Pair) -> CheckResult {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    pair.plant(Side::Primary, &samples(2, 1)).await?;
    plant(pair, Side::Dr, 0, 2).await?;
    let (primary, dr) = (pair.primary(), pair.dr());
    let before = digests(primary.as_ref(), 1).await?;
    for number in [0, 1] {
        let key = pair.key(number);
        let prior = fetch(primary.as_ref(), &key).await?;
        primary.preserve(&prior, folder.path()).await.map_err(told)?;
        let body = Arc::clone(&primary).prior_bodies(folder.path());
        match find(dr.as_ref(), &key).await? {
            Some(item) => {
                expect(pair, update(&prior, &item, dr.as_ref()), Outcome::Applied).await?;
                let after = fetch(primary.as_ref(), &key).await?;
                expect_once(pair, update(&after, &prior, body.as_ref())).await?;
            }
            None => {
                expect(pair, delete(&prior), Outcome::Applied).await?;
                expect_once(pair, insert(&prior, body.as_ref())).await?;
            }
        }
        ensure_same(&fetch(primary.as_ref(), &key).await?, &prior)?;
    }
    let after = digests(primary.as_ref(), 1).await?;
    ensure!(after.keys().eq(before.keys()), "the keys are not what they were before");
    // A leaf may be made from another kind of proof now, but the old one must still be told.
    for (key, digest) in before.iter().filter(|(key, digest)| after.get(*key) != Some(*digest)) {
        ensure!(fetch(primary.as_ref(), key).await?.is_proved_by(digest), "{key:?} is not what it was before");
    }
    Ok(())
}

pub(super) async fn a_batch_of_nothing_is_fine(pair: &dyn Pair) -> CheckResult {
    let outcomes = pair.primary().apply(&[]).await.map_err(told)?;
    ensure!(outcomes.is_empty(), "{} outcomes for no writes", outcomes.len());
    Ok(())
}

pub(super) async fn outcomes_come_in_the_order_of_the_writes(pair: &dyn Pair) -> CheckResult {
    // 0 and 5 are new, 1 changes, 2 changed meanwhile, 3 is there already, 4 goes.
    let new = |number, version| Sample { number, version };
    pair.plant(Side::Dr, &[new(0, 1), new(1, 2), new(2, 2), new(3, 2), new(5, 1)]).await?;
    pair.plant(Side::Primary, &[new(1, 1), new(2, 1), new(3, 2), new(4, 1)]).await?;
    let (primary, dr) = (pair.primary(), pair.dr());
    let mut items = Vec::new();
    for number in 0..6 {
        let key = pair.key(number);
        items.push((find(primary.as_ref(), &key).await?, find(dr.as_ref(), &key).await?, key));
    }
    plant(pair, Side::Primary, 2, 3).await?;
    let order = [5, 3, 2, 4, 0, 1];
    let writes: Vec<_> = order.iter().map(|number| follow(&items[*number], dr.as_ref())).collect();
    let outcomes = primary.apply(&writes).await.map_err(told)?;
    let words: Vec<_> = outcomes.iter().map(word).collect();
    let expected = ["applied", "already applied", "refused", "applied", "applied", "applied"];
    ensure!(words == expected, "expected {expected:?}, got {words:?}");
    for (_, wanted, key) in [&items[0], &items[1], &items[3], &items[5]] {
        let wanted = wanted.as_ref().ok_or("a planted item is not there")?;
        ensure_same(&fetch(primary.as_ref(), key).await?, wanted)?;
    }
    ensure!(find(primary.as_ref(), &items[4].2).await?.is_none(), "a deleted item is still there");
    Ok(())
}

/// The write that makes the primary's item what dr's is.
fn follow<'a>((primary, dr, key): &'a (Option<Item>, Option<Item>, Key), body: &'a dyn BodySource) -> GuardedWrite<'a> {
    GuardedWrite {
        key,
        expected: primary.as_ref().map_or(Expected::Absent, Expected::Present),
        wanted: dr.as_ref().map_or(Wanted::Absent, |item| Wanted::Present { item, body }),
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::AlreadyApplied => "already applied",
        Outcome::Refused { .. } => "refused",
        Outcome::Blocked { .. } => "blocked",
        Outcome::Parked { .. } => "parked",
    }
}

pub(super) async fn three_hundred_items_go_over(pair: &dyn Pair) -> CheckResult {
    pair.plant(Side::Dr, &samples(MANY, 1)).await?;
    let (primary, dr) = (pair.primary(), pair.dr());
    let keys: Vec<Key> = (0..MANY).map(|number| pair.key(number)).collect();
    let items = dr.fetch(&keys, Depth::Content).await.map_err(told)?;
    let items: Vec<Item> = items.into_iter().flatten().collect();
    ensure!(items.len() == MANY as usize, "{} of {MANY} items fetched", items.len());
    let inserts: Vec<_> = items.iter().map(|item| insert(item, dr.as_ref())).collect();
    for expected in [Outcome::Applied, Outcome::AlreadyApplied] {
        let outcomes = primary.apply(&inserts).await.map_err(told)?;
        let right = outcomes.iter().filter(|outcome| **outcome == expected).count();
        ensure!(right == MANY as usize, "{right} of {MANY} outcomes are {expected:?}");
    }
    let written = primary.fetch(&keys, Depth::Content).await.map_err(told)?;
    for (written, item) in written.iter().zip(&items) {
        ensure_same(written.as_ref().ok_or("an inserted item is not there")?, item)?;
    }
    let leaves = digests(primary.as_ref(), 4).await?;
    ensure!(leaves.len() == MANY as usize, "{} of {MANY} items are scanned", leaves.len());
    Ok(())
}

pub(super) async fn counters_are_never_lowered(pair: &dyn Pair) -> CheckResult {
    let Some(name) = pair.plant_counter(Side::Primary, 50).await? else { return Ok(()) };
    let primary = pair.primary();
    let value = async || -> std::result::Result<Counter, String> {
        let counters = primary.counters().await.map_err(told)?;
        counters.into_iter().find(|counter| counter.name == name).ok_or_else(|| format!("no counter {name}"))
    };
    let planted = value().await?;
    ensure!(planted.value == Some(50), "the counter was brought to 50 and reads {:?}", planted.value);
    let lower = Counter { value: Some(7), ..planted.clone() };
    let raised = primary.raise_counters(&[lower]).await.map_err(told)?;
    ensure!(raised.is_empty() && value().await?.value == Some(50), "a lower value moved the counter");
    let higher = Counter { value: Some(90), ..planted };
    let raised = primary.raise_counters(std::slice::from_ref(&higher)).await.map_err(told)?;
    ensure!(raised.len() == 1, "{} counters raised instead of one", raised.len());
    ensure!(value().await?.value == Some(90), "the counter was not raised");
    let raised = primary.raise_counters(&[higher]).await.map_err(told)?;
    ensure!(raised.is_empty(), "the counter was raised twice");
    Ok(())
}
