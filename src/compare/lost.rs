//! Writes that a global table lost: last writer wins, and the loser is told to nobody.
//!
//! Replicas converge by a timestamp that nobody sees. A write that lost was there for a moment on the side that took it: its
//! stream has the image, the other side's has not, and the image after it is one that the other side had first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{Digest, Key, Side, Timestamp};
use crate::store::{ChangeRecord, Image};

/// Lost writes listed in a comparison; their number is always told.
pub(super) const LISTED_MAX: usize = 1_000;

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

/// Everything a log has of every key.
pub(super) type Records = BTreeMap<Key, Vec<ChangeRecord>>;

/// The writes that `own` took and lost to one of `other`, whose log is whole since an instant.
pub(super) fn lost_on<'a>(
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
