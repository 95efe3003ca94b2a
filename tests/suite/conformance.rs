//! Every store passes one suite: one file per kind of peer, the reference here.

use std::sync::Arc;

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Value};
use failback::store::conformance::{self, CheckResult, Fixture, Pair, Sample};
use failback::store::memory::{MemoryStore, MemoryTable};
use failback::store::{Counter, ReadStore, WriteStore};

use crate::twisted::{Twist, Twisted};

mod dynamodb;
mod s3;

/// Fails with every check that failed.
pub fn assert_conforms(results: Vec<(&'static str, CheckResult)>) {
    assert_eq!(results.len(), conformance::names().count());
    let failed: Vec<String> =
        results.into_iter().filter_map(|(name, result)| Some(format!("{name}: {}", result.err()?))).collect();
    assert!(failed.is_empty(), "{} checks failed:\n{}", failed.len(), failed.join("\n"));
}

pub struct MemoryFixture;

struct MemoryPair {
    primary: MemoryTable,
    dr: MemoryTable,
}

impl MemoryPair {
    fn table(&self, side: Side) -> &MemoryTable {
        if side == Side::Primary { &self.primary } else { &self.dr }
    }
}

fn sample_key(number: u32) -> Value {
    Value::map([("id", Value::Number(i64::from(number).into()))])
}

#[async_trait]
impl Fixture for MemoryFixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        Ok(Box::new(MemoryPair { primary: MemoryTable::new("sample"), dr: MemoryTable::new("sample") }))
    }
}

#[async_trait]
impl Pair for MemoryPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        Arc::new(MemoryStore::new(StoreId("sample".into()), Side::Primary, self.primary.clone()))
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        Arc::new(MemoryStore::new(StoreId("sample".into()), Side::Dr, self.dr.clone()))
    }

    fn key(&self, number: u32) -> Key {
        key_of(&sample_key(number))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        for Sample { number, version } in samples {
            let contents = Value::map([
                ("note", Value::text(format!("version {version}"))),
                ("tags", Value::TextSet(vec!["b".into(), "a".into()])),
            ]);
            self.table(side).put(&sample_key(*number), contents);
        }
        Ok(())
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.table(side).remove(&sample_key(number)).map(drop).ok_or_else(|| "no such item".to_owned())
    }

    async fn keep_log(&self, side: Side) -> Result<bool, String> {
        self.table(side).keep_log();
        Ok(true)
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.table(side).set_counter(Counter { name: "ids".into(), value: Some(value), increment: 1 });
        Ok(Some("ids".to_owned()))
    }
}

/// The memory fixture with a primary that breaks a rule.
struct TwistedFixture(fn(&MemoryPair) -> Twist);

struct TwistedPair {
    pair: MemoryPair,
    twist: Twist,
}

#[async_trait]
impl Fixture for TwistedFixture {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let pair = MemoryPair { primary: MemoryTable::new("sample"), dr: MemoryTable::new("sample") };
        let twist = (self.0)(&pair);
        Ok(Box::new(TwistedPair { pair, twist }))
    }
}

#[async_trait]
impl Pair for TwistedPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        Arc::new(Twisted { inner: self.pair.primary(), twist: self.twist.clone() })
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.pair.dr()
    }

    fn key(&self, number: u32) -> Key {
        self.pair.key(number)
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        self.pair.plant(side, samples).await
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.pair.uproot(side, number).await
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.pair.plant_counter(side, value).await
    }
}

/// Expects a twist to be noticed by the named checks, and by no check outside of `also`.
async fn assert_noticed(twist: fn(&MemoryPair) -> Twist, by: &[&str], also: &[&str]) {
    let results = conformance::run_all(&TwistedFixture(twist)).await;
    let failed: Vec<&str> = results.iter().filter(|(_, result)| result.is_err()).map(|(name, _)| *name).collect();
    let missed: Vec<_> = by.iter().filter(|name| !failed.contains(name)).collect();
    assert!(missed.is_empty(), "not noticed by {missed:?}, only by {failed:?}");
    let surprises: Vec<_> = failed.iter().filter(|name| !by.contains(name) && !also.contains(name)).collect();
    assert!(surprises.is_empty(), "checks failed that have nothing to do with it: {surprises:?}");
}

#[tokio::test]
async fn a_store_that_ignores_guards_is_noticed() {
    let by = [
        "an_insert_over_another_item_is_refused",
        "an_update_of_a_changed_item_is_refused",
        "an_update_of_a_missing_item_is_refused",
        "a_delete_of_a_changed_item_is_refused",
        "a_delete_where_none_was_expected_is_refused",
        "outcomes_come_in_the_order_of_the_writes",
    ];
    assert_noticed(|_| Twist::IgnoresGuards, &by, &[]).await;
}

#[tokio::test]
async fn a_store_that_forgets_a_leaf_or_an_item_is_noticed() {
    let by = ["a_scan_gives_what_was_planted", "the_same_data_gives_the_same_leaves_on_both_sides"];
    let also = [
        "another_version_has_another_digest",
        "an_item_from_dr_is_the_same_on_the_primary",
        "three_hundred_items_go_over",
    ];
    assert_noticed(|pair| Twist::ForgetsLeaf(pair.key(0)), &by, &also).await;
    let results = conformance::run_all(&TwistedFixture(|pair| Twist::ForgetsItem(pair.key(0)))).await;
    let (_, result) = results.iter().find(|(name, _)| *name == "a_scan_and_a_fetch_agree").expect("a check");
    assert!(result.is_err());
}

#[tokio::test]
async fn a_store_that_only_pretends_to_write_is_noticed() {
    let by = [
        "an_insert_is_applied_once",
        "an_update_is_applied_once",
        "a_delete_is_applied_once",
        "an_item_from_dr_is_the_same_on_the_primary",
        "an_undo_restores_the_digest",
        "three_hundred_items_go_over",
    ];
    let all: Vec<&str> = conformance::names().collect();
    assert_noticed(|_| Twist::PretendsToWrite, &by, &all).await;
}

#[tokio::test]
async fn a_store_with_wrong_or_misplaced_answers_is_noticed() {
    let by = ["an_insert_is_applied_once", "an_update_is_applied_once", "a_delete_is_applied_once"];
    let also = [
        "deleting_what_is_not_there_is_applied_already",
        "an_undo_restores_the_digest",
        "outcomes_come_in_the_order_of_the_writes",
        "three_hundred_items_go_over",
    ];
    assert_noticed(|_| Twist::NeverAlready, &by, &also).await;
    assert_noticed(|_| Twist::ReversesOutcomes, &["outcomes_come_in_the_order_of_the_writes"], &[]).await;
    let by = ["a_fetch_keeps_order_gaps_and_repeats"];
    assert_noticed(|_| Twist::ReversesItems, &by, &["three_hundred_items_go_over"]).await;
}

#[tokio::test]
async fn a_store_that_lowers_counters_is_noticed() {
    assert_noticed(|pair| Twist::LowersCounters(pair.primary.clone()), &["counters_are_never_lowered"], &[]).await;
}

#[tokio::test]
async fn memory_conforms() {
    assert_conforms(conformance::run_all(&MemoryFixture).await);
}
