//! Checks of what a change log tells, for stores that have one.

use std::collections::BTreeSet;

use super::steps::{ensure, fetch, plant, samples, told};
use super::{CheckResult, Pair};
use crate::model::{Key, Side, Timestamp};
use crate::store::{ChangeSet, Changes, History, Image, LogMark, LogStart};

/// The instant that stores are told: only ages of marks depend on it.
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Where dr's log stands; `None` when the store has none.
async fn start(pair: &dyn Pair) -> Result<Option<LogMark>, String> {
    if !pair.keep_log(Side::Dr).await? {
        return Ok(None);
    }
    match pair.dr().log_start(NOW).await.map_err(told)? {
        LogStart::Mark(mark) => Ok(Some(mark)),
        LogStart::NoLog(why) => Err(format!("the log was switched on, but {why}")),
    }
}

async fn changes(pair: &dyn Pair, since: &LogMark) -> Result<ChangeSet, String> {
    match pair.dr().changes(since, NOW).await.map_err(told)? {
        Changes::All(set) => Ok(set),
        other => Err(format!("a log that was followed from its mark says {other:?}")),
    }
}

fn keys(pair: &dyn Pair, numbers: &[u32]) -> BTreeSet<Key> {
    numbers.iter().map(|number| pair.key(*number)).collect()
}

pub(super) async fn a_store_without_a_log_says_so(pair: &dyn Pair) -> CheckResult {
    let dr = pair.dr();
    let start = dr.log_start(NOW).await.map_err(told)?;
    ensure!(start.mark().is_none(), "a log that nobody switched on has a mark");
    let mark = LogMark { log: "none".into(), at: NOW, position: serde_json::Value::Null };
    let changes = dr.changes(&mark, NOW).await.map_err(told)?;
    ensure!(!matches!(changes, Changes::All(_)), "without a log nothing is known, but it tells all changes");
    let History { whole_since, changes } = dr.history(NOW).await.map_err(told)?;
    ensure!(whole_since.is_none() && !matches!(changes, Changes::All(_)), "there is a history without a log");
    Ok(())
}

pub(super) async fn a_log_tells_every_touched_key_once_it_is_followed(pair: &dyn Pair) -> CheckResult {
    let Some(first) = start(pair).await? else { return Ok(()) };
    pair.plant(Side::Dr, &samples(60, 1)).await?;
    let set = changes(pair, &first).await?;
    let all: Vec<u32> = (0..60).collect();
    ensure!(set.keys.keys().cloned().collect::<BTreeSet<_>>() == keys(pair, &all), "not every insert is told");
    plant(pair, Side::Dr, 3, 2).await?;
    plant(pair, Side::Dr, 200, 1).await?;
    pair.uproot(Side::Dr, 7).await?;
    let since = changes(pair, &set.until).await?;
    let touched: BTreeSet<Key> = since.keys.keys().cloned().collect();
    ensure!(touched == keys(pair, &[3, 7, 200]), "{} keys are told for 3 that were touched", touched.len());
    let nothing = changes(pair, &since.until).await?;
    ensure!(nothing.keys.is_empty(), "{} keys are told twice", nothing.keys.len());
    // A mark can be followed again: a pass that was cut off begins anew.
    let again = changes(pair, &set.until).await?;
    ensure!(again.keys == since.keys, "the same mark tells something else the second time");
    Ok(())
}

pub(super) async fn a_log_tells_what_was_there_or_says_nothing(pair: &dyn Pair) -> CheckResult {
    let Some(mark) = start(pair).await? else { return Ok(()) };
    plant(pair, Side::Dr, 1, 1).await?;
    let first = fetch(pair.dr().as_ref(), &pair.key(1)).await?.digest;
    plant(pair, Side::Dr, 1, 2).await?;
    let second = fetch(pair.dr().as_ref(), &pair.key(1)).await?.digest;
    pair.uproot(Side::Dr, 1).await?;
    let set = changes(pair, &mark).await?;
    let records = set.keys.get(&pair.key(1)).map(Vec::as_slice).unwrap_or_default();
    let expected = [
        (Image::Absent, Image::Present(first)),
        (Image::Present(first), Image::Present(second)),
        (Image::Present(second), Image::Absent),
    ];
    ensure!(records.len() == expected.len(), "{} records of 3 changes", records.len());
    for (record, (before, after)) in records.iter().zip(expected) {
        let is_fit = |told: Image, truth: Image| told == truth || told == Image::Untold;
        ensure!(is_fit(record.before, before) && is_fit(record.after, after), "an image that never was: {record:?}");
        ensure!(!record.by_expiry, "a delete by an application is told as one by expiry");
    }
    let history = pair.dr().history(NOW).await.map_err(told)?;
    let Changes::All(whole) = history.changes else { return Err("a log that is on has no history".into()) };
    ensure!(whole.keys == set.keys, "the history is not what was told since the beginning");
    Ok(())
}

pub(super) async fn a_mark_of_another_log_is_a_gap(pair: &dyn Pair) -> CheckResult {
    let Some(mark) = start(pair).await? else { return Ok(()) };
    let other = LogMark { log: format!("{}-before", mark.log), ..mark };
    let changes = pair.dr().changes(&other, NOW).await.map_err(told)?;
    ensure!(matches!(changes, Changes::Gap(_)), "another log's mark is followed: {changes:?}");
    Ok(())
}
