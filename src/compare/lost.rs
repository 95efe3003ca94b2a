//! Writes that a global table lost: last writer wins, and the loser is told to nobody.
//!
//! Replicas converge by a timestamp that nobody sees. A write that lost was there for a moment on the side that took it: its
//! log has the image, the other side's has not, and the image after it is one that the other side had first. Streams tell every
//! image; windows of exports tell the last one of each key, so that what they tell of lost writes is never certain: the other side
//! may have had the write, and replaced it knowingly within the same window.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::CompareError;
use super::changes::EvidenceBuckets;
use super::sides::SideLeaves;
use crate::digest::BUCKETS;
use crate::model::{Digest, Key, Leaf, Side, StoreId, Timestamp};
use crate::store::{ChangeRecord, Image};

/// Lost writes listed in a comparison; their number is always told.
const LISTED_MAX: usize = 1_000;

/// Writes that were lost, the first of them listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrites {
    /// How many were found.
    pub total: u64,
    /// The first of them.
    pub listed: Vec<LostWrite>,
}

/// A write that a newer one of the other Region replaced before it got there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrite {
    /// The key as a JSON object.
    pub key: Json,
    /// The side that had taken it.
    pub side: Side,
    /// About when it was taken.
    pub at: Option<Timestamp>,
    /// What was written.
    pub written: Digest,
    /// Whether the other side's write was there a second or more before it came here; else it may have been a write of this
    /// side that was replicated together with the lost one.
    pub is_certain: bool,
}

impl LostWrites {
    /// Counts these too, and lists them while there is room.
    fn add(&mut self, lost: impl Iterator<Item = LostWrite>) {
        for lost in lost {
            self.total += 1;
            if self.listed.len() < LISTED_MAX {
                self.listed.push(lost);
            }
        }
    }
}

/// Everything a log has of every key.
pub(super) type Records = BTreeMap<Key, Vec<ChangeRecord>>;

/// What one side's log tells, and since when it is whole.
pub(super) type SideRecords<'a> = (&'a Records, Timestamp);

/// The writes that either side lost to the other, by all that streams tell of both.
pub(super) fn lost_by_streams(
    (on_primary, primary_since): SideRecords<'_>,
    (on_dr, dr_since): SideRecords<'_>,
    key_json: &dyn Fn(&Key) -> Json,
) -> LostWrites {
    let mut found = LostWrites::default();
    found.add(lost_on(Side::Primary, on_primary, on_dr, dr_since, key_json));
    found.add(lost_on(Side::Dr, on_dr, on_primary, primary_since, key_json));
    found
}

/// The writes that either side lost to the other, as the changes of both sides tell, bucket by bucket; `None` where the changes of
/// a side are not there. Only what was written from Tb on counts, when replication had ended.
pub(super) fn lost_by_changes(
    store: &StoreId,
    evidence: &EvidenceBuckets,
    (primary, dr): &(SideLeaves, SideLeaves),
    key_json: &dyn Fn(&Key) -> Json,
) -> Result<Option<LostWrites>, CompareError> {
    let Some((primary_since, dr_since)) = evidence.since() else { return Ok(None) };
    let mut found = LostWrites::default();
    for index in 0..BUCKETS {
        let (on_primary, on_dr) = evidence.records(store, index)?;
        if on_primary.is_empty() || on_dr.is_empty() {
            continue;
        }
        let closed = |records: Records, side: &SideLeaves| {
            let leaves = side.bucket(store, index)?.to_leaves();
            Ok(with_present(records, &leaves, side.read_until))
        };
        let (on_primary, on_dr) = (closed(on_primary, primary)?, closed(on_dr, dr)?);
        let lost_primary = lost_on(Side::Primary, &on_primary, &on_dr, dr_since, key_json);
        let lost = lost_primary.chain(lost_on(Side::Dr, &on_dr, &on_primary, primary_since, key_json));
        let lost = lost.filter(|lost| lost.at.is_some_and(|at| evidence.is_after_failover(at)));
        found.add(lost.map(|lost| LostWrite { is_certain: false, ..lost }));
    }
    Ok(Some(found))
}

/// The records, and after them what the side holds now, where that is another state than the last of its records.
fn with_present(mut records: Records, leaves: &[Leaf], read_until: Timestamp) -> Records {
    for leaf in leaves {
        let Some(of_key) = records.get_mut(&leaf.key) else { continue };
        let now = Image::Present(leaf.digest);
        if of_key.last().is_some_and(|last| last.after != now) {
            let before = Image::Untold;
            of_key.push(ChangeRecord { at: Some(read_until), before, after: now, by_expiry: false });
        }
    }
    records
}

/// The writes that `own` took and lost to one of `other`, whose log is whole since an instant.
fn lost_on<'a>(
    side: Side,
    own: &'a Records,
    other: &'a Records,
    other_whole_since: Timestamp,
    key_json: &'a dyn Fn(&Key) -> Json,
) -> impl Iterator<Item = LostWrite> + 'a {
    own.iter().filter_map(|(key, records)| Some((key, records, other.get(key)?))).flat_map(
        move |(key, records, theirs)| {
            let had: BTreeSet<Digest> = theirs.iter().flat_map(images).collect();
            let lost = records.windows(2).filter_map(move |pair| {
                let (Image::Present(written), Image::Present(winner)) = (pair[0].after, pair[1].after) else {
                    return None;
                };
                // What happened before the other log begins may have been there and trimmed.
                let is_told = pair[0].at.is_some_and(|at| at > other_whole_since);
                if had.contains(&written) || !is_told {
                    return None;
                }
                let first = theirs.iter().find(|record| record.after == Image::Present(winner))?;
                let (there, here) = (first.at?, pair[1].at?);
                (there <= here).then(|| (pair[0].at, written, there < here))
            });
            lost.map(move |(at, written, is_certain)| LostWrite { key: key_json(key), side, at, written, is_certain })
        },
    )
}

fn images(record: &ChangeRecord) -> impl Iterator<Item = Digest> {
    [record.before, record.after].into_iter().filter_map(|image| match image {
        Image::Present(digest) => Some(digest),
        Image::Absent | Image::Untold => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: i64, before: u8, after: u8) -> ChangeRecord {
        let image = |n: u8| if n == 0 { Image::Absent } else { Image::Present(Digest([n; 32])) };
        let at = Timestamp::from_second(second).ok();
        ChangeRecord { at, before: image(before), after: image(after), by_expiry: false }
    }

    fn lost(own: &[ChangeRecord], other: &[ChangeRecord], whole_since: i64) -> Vec<(Digest, bool)> {
        let records = |records: &[ChangeRecord]| Records::from([(Key::from_canonical(vec![1]), records.to_vec())]);
        let whole_since = Timestamp::from_second(whole_since).expect("an instant");
        let (own, other) = (records(own), records(other));
        let key_json = |_: &Key| Json::Null;
        let found = lost_on(Side::Primary, &own, &other, whole_since, &key_json);
        found.map(|lost| (lost.written, lost.is_certain)).collect()
    }

    #[test]
    fn an_image_that_never_got_there_and_was_replaced_from_there_is_lost() {
        let two = Digest([2; 32]);
        // 2 is written here at 10 while 3 is written there at 10; 3 wins and comes here at 12.
        let here = [record(10, 1, 2), record(12, 2, 3)];
        assert_eq!(lost(&here, &[record(10, 1, 3)], 0), [(two, true)]);
        assert_eq!(lost(&here, &[record(12, 1, 3)], 0), [(two, false)], "the same second tells no origin");
        assert_eq!(lost(&here, &[record(13, 1, 3)], 0), [], "3 was this side's own");
        assert_eq!(lost(&here, &[record(11, 1, 2), record(11, 2, 3)], 0), [], "2 had been there");
        assert_eq!(lost(&here, &[record(10, 1, 3)], 11), [], "the other log begins too late");
        assert_eq!(lost(&here, &[record(10, 3, 4)], 0), [], "nothing tells where 3 is from");
    }
}
