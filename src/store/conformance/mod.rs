//! What every store adapter must do, as checks that run against a real resource.
//!
//! An adapter's test implements [`Fixture`] for its peer and expects every verdict of [`run_all`] to be `Ok`. Samples are
//! planted natively, as an application would write them, never through the adapter that is under test. The suite uses no
//! sleeps and no clock, and each check has a pair of resources of its own.

mod guards;
mod log;
mod reading;
mod steps;
mod writing;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{ReadStore, WriteStore};
use crate::model::{Key, Side};

/// What a check says: `Err` tells what was expected and what came instead, without contents.
pub type CheckResult = std::result::Result<(), String>;

/// One item as an application would write it.
///
/// The same number is the same key; the same number and version are the same contents on either side; other versions of a
/// number have other contents. Numbers 0 to 299 and versions 1 to 3 are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample {
    /// Decides the key.
    pub number: u32,
    /// Decides the contents, together with the number.
    pub version: u32,
}

/// Makes resources for the checks.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Makes two empty resources of the same shape, different ones at every call.
    async fn fresh(&self) -> Result<Box<dyn Pair>, String>;
}

/// Both sides of one store, with a way to write them natively.
#[async_trait]
pub trait Pair: Send + Sync {
    /// The primary through the adapter.
    fn primary(&self) -> Arc<dyn WriteStore>;

    /// dr through the adapter.
    fn dr(&self) -> Arc<dyn ReadStore>;

    /// The key that the adapter gives the samples of a number.
    fn key(&self, number: u32) -> Key;

    /// Writes samples on a side, replacing what is there under their keys.
    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String>;

    /// Deletes the item of a number on a side.
    async fn uproot(&self, side: Side, number: u32) -> Result<(), String>;

    /// Switches the change log of a side on; `false` when the store has none. Called before anything is planted.
    async fn keep_log(&self, _side: Side) -> Result<bool, String> {
        Ok(false)
    }

    /// Brings a counter to a value on a side; gives its qualified name, `None` when the store has no counters.
    async fn plant_counter(&self, _side: Side, _value: i64) -> Result<Option<String>, String> {
        Ok(None)
    }
}

type Check = for<'a> fn(&'a dyn Pair) -> BoxFuture<'a, CheckResult>;

macro_rules! checks {
    ($($room:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), (|pair| $room::$name(pair).boxed()) as Check)),*]
    };
}

/// Every check by name, in the order they run.
const CHECKS: &[(&str, Check)] = checks![
    reading::an_empty_store_has_no_leaves,
    reading::a_scan_gives_what_was_planted,
    reading::a_scan_and_a_fetch_agree,
    reading::a_partition_can_be_read_again,
    reading::any_number_of_partitions_gives_the_same_leaves,
    reading::the_same_data_gives_the_same_leaves_on_both_sides,
    reading::another_version_has_another_digest,
    reading::a_fetch_keeps_order_gaps_and_repeats,
    reading::a_fetch_of_nothing_gives_nothing,
    reading::identities_stand_still_and_differ,
    reading::both_sides_have_one_shape,
    writing::an_insert_is_applied_once,
    writing::an_update_is_applied_once,
    writing::a_delete_is_applied_once,
    writing::deleting_what_is_not_there_is_applied_already,
    writing::an_item_from_dr_is_the_same_on_the_primary,
    writing::an_undo_restores_the_digest,
    writing::a_batch_of_nothing_is_fine,
    writing::outcomes_come_in_the_order_of_the_writes,
    writing::three_hundred_items_go_over,
    writing::counters_are_never_lowered,
    log::a_store_without_a_log_says_so,
    log::a_log_tells_every_touched_key_once_it_is_followed,
    log::a_log_tells_what_was_there_or_says_nothing,
    log::a_mark_of_another_log_is_a_gap,
    guards::an_insert_over_another_item_is_refused,
    guards::an_update_of_a_changed_item_is_refused,
    guards::an_update_of_a_missing_item_is_refused,
    guards::a_delete_of_a_changed_item_is_refused,
    guards::a_delete_where_none_was_expected_is_refused,
];

/// The names of all checks, in the order they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Runs every check, each on a fresh pair, and gives each one's name and result.
pub async fn run_all(fixture: &dyn Fixture) -> Vec<(&'static str, CheckResult)> {
    let mut results = Vec::with_capacity(CHECKS.len());
    for (name, check) in CHECKS {
        results.push((*name, run(fixture, *check).await));
    }
    results
}

/// Runs the check of one name; `None` when there is no such check.
pub async fn run_one(fixture: &dyn Fixture, name: &str) -> Option<CheckResult> {
    let (_, check) = CHECKS.iter().find(|(known, _)| *known == name)?;
    Some(run(fixture, *check).await)
}

async fn run(fixture: &dyn Fixture, check: Check) -> CheckResult {
    let pair = fixture.fresh().await?;
    check(pair.as_ref()).await
}
