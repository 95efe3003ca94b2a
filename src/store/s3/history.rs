//! The bucket as its version history says it was at an instant.
//!
//! For each key the newest version or delete marker that is not younger than the instant counts. S3 tells times to the
//! second, and a multipart upload's time is that of its beginning. Tags are those the version has now.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::EncodingType;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::listed::Listed;
use super::listing::{PAGE, Place};
use super::object::bare_etag;
use super::read::timestamp;
use super::{Leaves, S3Store, s3_error};
use crate::model::{Key, Timestamp};
use crate::store::{ErrorKind, Result, StoreError};

/// Steps of a walk through one key's history before it is given up.
const WALK_MAX: usize = 10_000;

/// One version or delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    pub version_id: String,
    pub is_deletion: bool,
    pub is_latest: bool,
    pub since: Timestamp,
    /// The ETag and the size of a version, as they are listed.
    pub body: (String, u64),
}

impl Past {
    /// The version as a listing of current objects would name it.
    pub fn place(self, full_key: String) -> Place {
        let (etag, size) = self.body;
        let listed = Listed { etag, size, storage_class: "STANDARD".into(), modified_at: Some(self.since) };
        Place { full_key, otherwise: None, version_id: Some(self.version_id), listed: Some(listed) }
    }
}

/// What one key's history says of an instant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Present(String),
    Absent,
    /// A version and a deletion of the same second: only the server's own order can tell.
    Unordered,
    /// The version of that instant may have been overwritten: no versions were kept then.
    Lost,
}

#[derive(Default, Clone)]
struct Markers {
    key: Option<String>,
    version: Option<String>,
}

struct Walk {
    /// Where to go on; `None` at the end.
    next: Option<Markers>,
    /// Histories that may continue on the next page.
    open: BTreeMap<String, Vec<Past>>,
}

impl S3Store {
    pub(super) fn places_at(&self, instant: Timestamp) -> BoxStream<'_, Result<Vec<Place>>> {
        let pages = self.history_pages().and_then(move |page| async move {
            let mut places = Vec::new();
            for (full_key, history) in page {
                places.extend(self.place_of(full_key, history, instant).await?);
            }
            Ok(places)
        });
        pages.boxed()
    }

    /// All histories in pages, each key once with all of its history.
    pub(super) fn history_pages(&self) -> BoxStream<'_, Result<BTreeMap<String, Vec<Past>>>> {
        let start = Walk { next: Some(Markers::default()), open: BTreeMap::new() };
        stream::try_unfold(start, move |mut walk| async move {
            let Some(markers) = walk.next.take() else { return Ok(None) };
            let reply = self.versions_page(&self.prefix, markers, PAGE).await?;
            for (key, past) in self.pasts(&reply)? {
                walk.open.entry(key).or_default().push(past);
            }
            walk.next = self.markers_after(&reply)?;
            // The last key of a page may go on with the next page.
            let kept = match (&walk.next, walk.open.keys().next_back().cloned()) {
                (Some(_), Some(last)) => walk.open.split_off(&last),
                _ => BTreeMap::new(),
            };
            let closed = std::mem::replace(&mut walk.open, kept);
            Ok(Some((closed, walk)))
        })
        .boxed()
    }

    /// The version of one object at an instant.
    pub(super) async fn place_at(&self, full_key: &str, instant: Timestamp) -> Result<Option<Place>> {
        let history = self.history(full_key, PAGE).await?;
        self.place_of(full_key.to_owned(), history, instant).await
    }

    async fn place_of(&self, full_key: String, history: Vec<Past>, instant: Timestamp) -> Result<Option<Place>> {
        let listed = if matches!(self.leaves, Leaves::Bodies) { history.clone() } else { Vec::new() };
        let mut then = state_at(history, instant);
        if then == Then::Unordered {
            then = state_in_order(&self.history(&full_key, 1).await?, instant);
        }
        match then {
            Then::Present(version) => {
                let place = Place { full_key, otherwise: None, version_id: Some(version.clone()), listed: None };
                let past = listed.into_iter().find(|past| past.version_id == version);
                Ok(Some(past.map(|past| past.place(place.full_key.clone())).unwrap_or(place)))
            }
            Then::Absent => Ok(None),
            Then::Unordered | Then::Lost => {
                let what = format!("the history of {} does not reach back to {instant}", self.named(&full_key));
                Err(StoreError::new(ErrorKind::Unfit, what))
            }
        }
    }

    /// How an object that is not there went: by a delete marker, over which its versions still are, or for good.
    pub(super) async fn tell_absence(&self, key: &Key) -> Result<Option<String>> {
        if self.as_of.is_some() || self.versioning().await?.is_none() {
            return Ok(None);
        }
        let history = newest_first(self.history(&self.full_key(key)?, PAGE).await?);
        Ok(Some(match history.first() {
            Some(past) if past.is_deletion => {
                let versions = history.iter().filter(|past| !past.is_deletion).count();
                format!("deleted by a marker at {}, over {versions} versions", past.since)
            }
            Some(_) => return Ok(None),
            None => "no version of it is left: never there, or erased for good".into(),
        }))
    }

    /// One key's history; with pages of one entry it is in the server's order, newest first.
    pub(super) async fn history(&self, full_key: &str, page: i32) -> Result<Vec<Past>> {
        let mut history = Vec::new();
        let mut next = Some(Markers::default());
        for _ in 0..WALK_MAX {
            let Some(markers) = next else { return Ok(history) };
            let reply = self.versions_page(full_key, markers, page).await?;
            let pasts = self.pasts(&reply)?;
            let is_over = pasts.iter().any(|(key, _)| key != full_key);
            history.extend(pasts.into_iter().filter(|(key, _)| key == full_key).map(|(_, past)| past));
            next = if is_over { None } else { self.markers_after(&reply)? };
        }
        let what = format!("{} has more versions than are looked at", self.named(full_key));
        Err(StoreError::new(ErrorKind::Unfit, what))
    }

    async fn versions_page(&self, prefix: &str, markers: Markers, size: i32) -> Result<ListObjectVersionsOutput> {
        let request = self.client.list_object_versions().bucket(&self.bucket).prefix(prefix).max_keys(size);
        let request = request.set_key_marker(markers.key).set_version_id_marker(markers.version);
        let reply = request.encoding_type(EncodingType::Url).send().await;
        reply.map_err(|error| s3_error(format!("cannot list the versions in bucket {}", self.bucket), error))
    }

    fn markers_after(&self, reply: &ListObjectVersionsOutput) -> Result<Option<Markers>> {
        if reply.is_truncated() != Some(true) {
            return Ok(None);
        }
        let is_encoded = reply.encoding_type() == Some(&EncodingType::Url);
        let (key, _) = self.listed_key(reply.next_key_marker(), is_encoded)?;
        Ok(Some(Markers { key: Some(key), version: reply.next_version_id_marker().map(str::to_owned) }))
    }

    fn pasts(&self, reply: &ListObjectVersionsOutput) -> Result<Vec<(String, Past)>> {
        let is_encoded = reply.encoding_type() == Some(&EncodingType::Url);
        let read = |key,
                    version: Option<&str>,
                    body: Option<(String, u64)>,
                    is_latest: Option<bool>,
                    since: Option<&DateTime>| {
            let (key, _) = self.listed_key(key, is_encoded)?;
            let since = since.and_then(timestamp).ok_or_else(|| {
                let what = format!("a version of {} has no time", self.named(&key));
                StoreError::new(ErrorKind::Unreadable, what)
            })?;
            let version_id = version.unwrap_or("null").to_owned();
            let is_deletion = body.is_none();
            let body = body.unwrap_or_default();
            Ok((key, Past { version_id, is_deletion, is_latest: is_latest == Some(true), since, body }))
        };
        let versions = reply.versions().iter();
        let body = |etag: Option<&str>, size: Option<i64>| {
            let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            Some((bare_etag(etag.unwrap_or_default()).to_owned(), size))
        };
        let versions = versions
            .map(|v| read(v.key(), v.version_id(), body(v.e_tag(), v.size()), v.is_latest(), v.last_modified()));
        let markers = reply.delete_markers().iter();
        let markers = markers.map(|m| read(m.key(), m.version_id(), None, m.is_latest(), m.last_modified()));
        versions.chain(markers).collect()
    }
}

/// Judges a history whose versions and deletions are each in the server's order, but not among each other.
fn state_at(history: Vec<Past>, instant: Timestamp) -> Then {
    let history = newest_first(history);
    let then = state_in_order(&history, instant);
    let Some(first) = history.iter().position(|past| past.since <= instant) else { return then };
    let newest = &history[first];
    let mut rivals = history[first..].iter().take_while(|past| past.since == newest.since);
    if !newest.is_latest && rivals.any(|past| past.is_deletion != newest.is_deletion) {
        return Then::Unordered;
    }
    then
}

/// A history with its newest entries first; entries of one kind keep the server's order.
pub(super) fn newest_first(mut history: Vec<Past>) -> Vec<Past> {
    history.sort_by_key(|past| (std::cmp::Reverse(past.since), !past.is_latest));
    history
}

/// Whether versions and deletions of one second stand where only the server's own order can tell which came first.
pub(super) fn is_unordered(history: &[Past]) -> bool {
    history.windows(2).any(|pair| {
        let [newer, older] = pair else { return false };
        newer.since == older.since && newer.is_deletion != older.is_deletion && !newer.is_latest
    })
}

/// Judges a history that is in the server's order, newest first.
pub(super) fn state_in_order(history: &[Past], instant: Timestamp) -> Then {
    // A null version younger than the instant may have replaced an object of which nothing is left.
    if history.iter().any(|past| past.version_id == "null" && past.since > instant) {
        return Then::Lost;
    }
    match history.iter().find(|past| past.since <= instant) {
        Some(past) if past.is_deletion => Then::Absent,
        Some(past) => Then::Present(past.version_id.clone()),
        None => Then::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(version_id: &str, second: i64, is_deletion: bool) -> Past {
        let since = Timestamp::from_second(second).expect("a time");
        let body = (version_id.to_owned(), 1);
        Past { version_id: version_id.into(), is_deletion, is_latest: false, since, body }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_newest_entry_of_the_instant_counts() {
        let history = || vec![past("v3", 30, false), past("v1", 10, false), past("d", 20, true)];
        assert_eq!(state_at(history(), at(5)), Then::Absent);
        assert_eq!(state_at(history(), at(10)), Then::Present("v1".into()));
        assert_eq!(state_at(history(), at(25)), Then::Absent);
        assert_eq!(state_at(history(), at(30)), Then::Present("v3".into()));
    }

    #[test]
    fn a_version_and_a_deletion_of_one_second_are_not_ordered_by_guess() {
        let history = vec![past("v1", 10, false), past("d", 10, true)];
        assert_eq!(state_at(history.clone(), at(10)), Then::Unordered);
        assert_eq!(state_in_order(&history, at(10)), Then::Present("v1".into()));
        let mut latest = history;
        latest[1].is_latest = true;
        assert_eq!(state_at(latest, at(10)), Then::Absent);
    }

    #[test]
    fn a_history_that_begins_too_late_is_lost_not_empty() {
        assert_eq!(state_at(vec![past("null", 20, false)], at(10)), Then::Lost);
        assert_eq!(state_at(vec![past("null", 20, false)], at(20)), Then::Present("null".into()));
    }
}
