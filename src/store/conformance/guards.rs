//! Checks that a guard refuses, tells what it found, and leaves the target untouched.

use super::steps::{apply, delete, ensure, ensure_same, fetch, find, insert, plant, update};
use super::{CheckResult, Pair};
use crate::model::Side;
use crate::store::{Expected, GuardedWrite, Outcome, Wanted};

/// Expects a refusal that is right about what is there, and an unchanged target.
async fn expect_refused(pair: &dyn Pair, write: GuardedWrite<'_>) -> CheckResult {
    let before = find(pair.primary().as_ref(), write.key).await?;
    let outcome = apply(pair, write).await?;
    let Outcome::Refused { found, reason } = &outcome else {
        return Err(format!("expected a refusal, got {outcome:?}"));
    };
    ensure!(!reason.is_empty(), "a refusal without a reason");
    let after = find(pair.primary().as_ref(), write.key).await?;
    match (&before, &after) {
        (None, None) => ensure!(found.is_none(), "a refusal found an item where there is none"),
        (Some(before), Some(after)) => {
            ensure!(before.digest == after.digest, "a refused write changed its target");
            if let Some(found) = found {
                ensure_same(found, after)?;
            }
        }
        _ => return Err("a refused write made or deleted its target".to_owned()),
    }
    Ok(())
}

pub(super) async fn an_insert_over_another_item_is_refused(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Dr, 0, 1).await?;
    plant(pair, Side::Primary, 0, 2).await?;
    let dr = pair.dr();
    let item = fetch(dr.as_ref(), &pair.key(0)).await?;
    expect_refused(pair, insert(&item, dr.as_ref())).await
}

pub(super) async fn an_update_of_a_changed_item_is_refused(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Dr, 0, 2).await?;
    plant(pair, Side::Primary, 0, 1).await?;
    let dr = pair.dr();
    let item = fetch(dr.as_ref(), &pair.key(0)).await?;
    let stale = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    plant(pair, Side::Primary, 0, 3).await?;
    expect_refused(pair, update(&stale, &item, dr.as_ref())).await
}

pub(super) async fn an_update_of_a_missing_item_is_refused(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Dr, 0, 2).await?;
    plant(pair, Side::Primary, 0, 1).await?;
    let dr = pair.dr();
    let item = fetch(dr.as_ref(), &pair.key(0)).await?;
    let gone = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    pair.uproot(Side::Primary, 0).await?;
    expect_refused(pair, update(&gone, &item, dr.as_ref())).await
}

pub(super) async fn a_delete_of_a_changed_item_is_refused(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Primary, 0, 1).await?;
    let stale = fetch(pair.primary().as_ref(), &pair.key(0)).await?;
    plant(pair, Side::Primary, 0, 3).await?;
    expect_refused(pair, delete(&stale)).await
}

pub(super) async fn a_delete_where_none_was_expected_is_refused(pair: &dyn Pair) -> CheckResult {
    plant(pair, Side::Primary, 0, 1).await?;
    let key = pair.key(0);
    expect_refused(pair, GuardedWrite { key: &key, expected: Expected::Absent, wanted: Wanted::Absent }).await
}
