//! The version histories of both buckets as the base: for each key, the last version of the primary's that dr had too.
//!
//! Replication copies versions one by one, so at T0 some keys of dr are older than others: no single instant of the
//! primary's history is what both had in common. dr's own history tells for each key. What the primary held at T0 and dr
//! never had is thereby a stranded upload, and a delete that dr never heard of a stranded delete. Versions are the same by
//! their id, which replicas keep, or, where dr was filled by copies, by ETag and size.

use std::cmp::Ordering;
use std::ops::Range;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::history::{Past, Then, is_unordered, newest_first, state_in_order};
use super::listing::{PAGE, Place};
use super::{Leaves, READS_AT_ONCE, S3Store, check};
use crate::model::{Digest, Identity, Item, Key, Leaf, StoreId, StoreKind, Timestamp};
use crate::store::{
    BodySource, BodyStream, Depth, ErrorKind, Finding, LeafStream, ReadStore, Result, Scan, Shape, StoreError,
};

/// The last state that both buckets had in common, by their histories.
pub struct S3Lineage {
    primary: S3Store,
    dr: S3Store,
    disaster_at: Timestamp,
}

/// What both sides had in common of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Common {
    /// This version of the primary's.
    Version(String),
    /// No such object.
    Nothing,
    /// It cannot be told: the item counts as changed on both sides.
    Unknown,
}

/// One key with both histories.
struct Histories {
    /// The key without the prefix of either side.
    name: String,
    primary: Vec<Past>,
    dr: Vec<Past>,
}

impl S3Lineage {
    /// The base of two buckets; `primary` is a view of its bucket as of an instant, and `dr` is dr's bucket.
    ///
    /// Gives the primary's view alone where dr's bucket never kept versions, so that its history tells nothing.
    ///
    /// # Errors
    ///
    /// The connection's own.
    pub async fn of(primary: S3Store, dr: S3Store, disaster_at: Timestamp) -> Result<std::sync::Arc<dyn ReadStore>> {
        if dr.versioning().await?.is_none() {
            return Ok(std::sync::Arc::new(primary));
        }
        Ok(std::sync::Arc::new(S3Lineage { primary, dr, disaster_at }))
    }

    /// Both histories, key by key.
    fn histories(&self) -> BoxStream<'_, Result<Histories>> {
        let start = (Ordered::of(&self.primary), Ordered::of(&self.dr));
        stream::try_unfold(start, |(mut primary, mut dr)| async move {
            let order = match (primary.peek().await?, dr.peek().await?) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(mine), Some(theirs)) => mine.cmp(theirs),
            };
            let mine = if order.is_le() { primary.take() } else { None };
            let theirs = if order.is_ge() { dr.take() } else { None };
            let (name, primary_past) = mine.unwrap_or_default();
            let (their_name, dr_past) = theirs.unwrap_or_default();
            let name = if order.is_le() { name } else { their_name };
            Ok(Some((Histories { name, primary: primary_past, dr: dr_past }, (primary, dr))))
        })
        .boxed()
    }

    /// The item that both had in common, as a leaf; `None` where there was none.
    async fn leaf(&self, histories: Histories) -> Result<Option<Leaf>> {
        let name = histories.name.clone();
        let key = self.primary.key_named(&name);
        let listed = if matches!(self.primary.leaves, Leaves::Bodies) { histories.primary.clone() } else { Vec::new() };
        match self.common(histories).await? {
            Common::Nothing => Ok(None),
            Common::Version(version) => {
                let full_key = format!("{}{name}", self.primary.prefix);
                match listed.into_iter().find(|past| past.version_id == version) {
                    Some(past) => Ok(self.primary.listed_leaves(vec![past.place(full_key)]).await?.pop()),
                    None => {
                        let place = Place { full_key, otherwise: None, version_id: Some(version), listed: None };
                        Ok(self.primary.read_listed(place).await?.pop().map(|item| item.leaf()))
                    }
                }
            }
            Common::Unknown => Ok(Some(unknown(key))),
        }
    }

    async fn common(&self, histories: Histories) -> Result<Common> {
        let Histories { name, primary, dr } = histories;
        let (primary, dr) = (in_order(&self.primary, &name, primary).await?, in_order(&self.dr, &name, dr).await?);
        Ok(common(&primary, &dr, self.disaster_at))
    }

    async fn read(&self, key: &Key, depth: Depth) -> Result<Option<Item>> {
        let (mine, theirs) = (self.primary.full_key(key)?, self.dr.full_key(key)?);
        let name = mine[self.primary.prefix.len()..].to_owned();
        let (primary, dr) = (self.primary.history(&mine, PAGE).await?, self.dr.history(&theirs, PAGE).await?);
        match self.common(Histories { name, primary, dr }).await? {
            Common::Nothing => Ok(None),
            Common::Version(version) => self.primary.read_version(key, &mine, &version, depth).await,
            Common::Unknown => {
                let what = format!("what both sides had in common of {} cannot be told", self.primary.named(&mine));
                Err(StoreError::new(ErrorKind::Unfit, what))
            }
        }
    }
}

/// A history with its newest entries first, by the server's own order where times do not tell.
async fn in_order(store: &S3Store, name: &str, history: Vec<Past>) -> Result<Vec<Past>> {
    let history = newest_first(history);
    if is_unordered(&history) { store.history(&format!("{}{name}", store.prefix), 1).await } else { Ok(history) }
}

/// A leaf that equals no item.
fn unknown(key: Key) -> Leaf {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"what both sides had in common cannot be told");
    hasher.update(key.as_bytes());
    Leaf { key, digest: Digest(*hasher.finalize().as_bytes()), size: 0, modified_at: None }
}

/// The histories of one bucket in the order of their keys, which a merge rests on.
struct Ordered<'a> {
    store: &'a S3Store,
    histories: BoxStream<'a, Result<(String, Vec<Past>)>>,
    next: Option<(String, Vec<Past>)>,
    last: Option<String>,
}

impl<'a> Ordered<'a> {
    fn of(store: &'a S3Store) -> Ordered<'a> {
        let pages = store.history_pages().map_ok(|page| stream::iter(page.into_iter().map(Ok)));
        Ordered { store, histories: pages.try_flatten().boxed(), next: None, last: None }
    }

    /// The next key without the prefix, when there is one.
    async fn peek(&mut self) -> Result<Option<&str>> {
        if self.next.is_none()
            && let Some((full_key, history)) = self.histories.try_next().await?
        {
            let stray = || {
                let what = format!("bucket {} lists versions in another order than that of keys", self.store.bucket);
                StoreError::new(ErrorKind::Unfit, what)
            };
            let name = full_key.strip_prefix(&self.store.prefix).map(str::to_owned).ok_or_else(stray)?;
            if self.last.as_ref().is_some_and(|last| *last >= name) {
                return Err(stray());
            }
            self.last = Some(name.clone());
            self.next = Some((name, history));
        }
        Ok(self.next.as_ref().map(|(name, _)| name.as_str()))
    }

    fn take(&mut self) -> Option<(String, Vec<Past>)> {
        self.next.take()
    }
}

/// The last state of the primary's history until `disaster_at` that dr's history has too; both are newest first.
fn common(primary: &[Past], dr: &[Past], disaster_at: Timestamp) -> Common {
    if state_in_order(primary, disaster_at) == Then::Lost {
        return Common::Unknown;
    }
    let until = |past: &&Past| past.since <= disaster_at;
    let is_id = |past: &Past| past.version_id != "null";
    let has_id = |past: &Past| is_id(past) && dr.iter().any(|known| known.version_id == past.version_id);
    // Where replication kept ids, contents prove nothing: the same contents may have been written twice.
    let by_id = primary.iter().any(has_id);
    let has_body = |past: &Past| dr.iter().any(|known| !known.is_deletion && known.body == past.body);
    // Where dr was filled since T0, from a backup or by its own application, which of them cannot be told.
    let then = dr.iter().find(until);
    let mut is_doubtful = false;
    for past in primary.iter().filter(until) {
        if past.is_deletion {
            // dr heard of the delete, or deleted the object too.
            let has_marker = dr.iter().any(|known| known.is_deletion && known.since >= past.since);
            if has_id(past) || has_marker || then.is_some_and(|then| then.is_deletion) {
                return Common::Nothing;
            }
            is_doubtful |= then.is_none();
            continue;
        }
        let is_had = if by_id { has_id(past) } else { has_body(past) };
        if is_had {
            // Contents that came twice tell which time is meant only where dr held just them at T0.
            let is_repeated = primary.iter().filter(until).filter(|other| other.body == past.body).count() > 1;
            let is_apart = then.is_none_or(|then| then.is_deletion || then.body != past.body);
            return if ((is_repeated && is_apart) || is_doubtful) && !by_id {
                Common::Unknown
            } else {
                Common::Version(past.version_id.clone())
            };
        }
    }
    Common::Nothing
}

/// One reading of both histories.
struct LineageScan<'a>(&'a S3Lineage);

impl Scan for LineageScan<'_> {
    fn partitions(&self) -> usize {
        1
    }

    fn leaves(&self, _partition: usize) -> LeafStream<'_> {
        let lineage = self.0;
        let leaves = lineage.histories().map_ok(move |histories| lineage.leaf(histories));
        let leaves = leaves.try_buffer_unordered(READS_AT_ONCE);
        let leaves = leaves.try_filter_map(|leaf| std::future::ready(Ok(leaf)));
        leaves.try_ready_chunks(1000).map_err(|stopped| stopped.1).boxed()
    }

    fn estimate(&self) -> Option<u64> {
        None
    }
}

#[async_trait]
impl BodySource for S3Lineage {
    async fn open_body(&self, item: &Item, range: Range<u64>) -> Result<BodyStream> {
        self.primary.open_body(item, range).await
    }
}

#[async_trait]
impl ReadStore for S3Lineage {
    fn id(&self) -> &StoreId {
        self.primary.id()
    }

    fn kind(&self) -> StoreKind {
        StoreKind::S3
    }

    async fn identity(&self) -> Result<Identity> {
        self.primary.identity().await
    }

    async fn shape(&self) -> Result<Shape> {
        self.primary.shape().await
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn not_checked(&self) -> Vec<String> {
        check::not_checked(true, matches!(self.primary.leaves, Leaves::Bodies))
    }

    fn replication<'i>(&self, item: &'i Item) -> Option<&'i str> {
        self.primary.replication(item)
    }

    fn leaves_from(&self) -> Option<&'static str> {
        self.primary.leaves_from()
    }

    async fn begin_scan(&self, _partitions: usize) -> Result<Box<dyn Scan + '_>> {
        self.primary.require_bucket().await?;
        self.dr.require_bucket().await?;
        Ok(Box::new(LineageScan(self)))
    }

    async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
        let reads = keys.iter().map(|key| self.read(key, depth));
        stream::iter(reads.collect::<Vec<_>>()).buffered(READS_AT_ONCE).boxed().try_collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: i64 = 100;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// `id:body@second`, and `id:-@second` for a delete marker; newest first.
    fn history(words: &str) -> Vec<Past> {
        let past = |word: &str| {
            let (version_id, rest) = word.split_once(':').expect("an id");
            let (body, second) = rest.split_once('@').expect("a time");
            let since = at(second.parse().expect("a number"));
            let (is_deletion, body) = (body == "-", (body.to_owned(), 1));
            Past { version_id: version_id.into(), is_deletion, is_latest: false, since, body }
        };
        words.split_whitespace().map(past).collect()
    }

    fn told(primary: &str, dr: &str) -> String {
        match common(&history(primary), &history(dr), at(T0)) {
            Common::Version(version) => version,
            Common::Nothing => "nothing".into(),
            Common::Unknown => "unknown".into(),
        }
    }

    #[test]
    fn the_last_version_that_dr_had_too_is_common() {
        for (primary, dr, expected, why) in [
            ("v1:a@10", "v1:a@11", "v1", "replicated"),
            ("v2:b@20 v1:a@10", "v1:a@11", "v1", "a stranded upload: dr had the version before"),
            ("v1:a@10", "", "nothing", "a stranded upload: dr had none"),
            ("v1:a@10", "x:b@120 v1:a@11", "v1", "dr went on from it"),
            ("v1:a@10", "x:a@120", "v1", "dr was filled by a copy"),
            ("v1:a@10", "x:b@120", "nothing", "dr never had it: both changed"),
            ("v2:b@120 v1:a@10", "v1:a@11", "v1", "what the primary wrote since T0 is no base"),
            ("v3:a@30 v2:b@20 v1:a@10", "v2:b@21 v1:a@11", "v2", "the same contents twice, told apart by id"),
            ("v3:a@30 v2:b@20 v1:a@10", "y:b@21 x:a@11", "unknown", "the same contents twice, without ids"),
            ("v3:a@30 v2:b@20 v1:a@10", "z:c@130 y:a@31 x:b@21 w:a@11", "v3", "twice, and dr held it at T0"),
            ("v2:a@30 m:-@20 v1:a@10", "n:-@130 y:a@31 k:-@21 x:a@11", "v2", "written again, and dr held it at T0"),
            ("m:-@20 v1:a@10", "v1:a@11", "v1", "a delete that dr never heard of"),
            ("m:-@20 v1:a@10", "m:-@21 v1:a@11", "nothing", "a delete that was replicated"),
            ("m:-@20 v1:a@10", "n:-@130 v1:a@11", "nothing", "deleted on both sides"),
            ("v2:b@30 m:-@20 v1:a@10", "m:-@21 v1:a@11", "nothing", "written anew and stranded after a delete"),
            ("m:-@20 v1:a@10", "x:a@120", "unknown", "restored from before a delete, or written anew"),
            ("m:-@20 v1:a@10", "x:b@120", "nothing", "deleted on the primary, dr's own since"),
            ("", "v1:a@11", "nothing", "erased for good, or dr's own"),
            ("null:a@10", "null:a@11", "null", "from before there were versions"),
            ("null:b@120", "null:a@11", "unknown", "versioning was suspended: what it replaced is lost"),
            ("v2:b@120 null:a@10", "null:a@11", "null", "versioning began after it"),
        ] {
            assert_eq!(told(primary, dr), expected, "{why}");
        }
    }

    #[test]
    fn a_second_with_a_version_and_a_deletion_is_asked_again() {
        assert!(is_unordered(&history("v1:a@10 m:-@10")));
        assert!(!is_unordered(&history("v2:a@10 v1:a@10 m:-@9")));
        let mut latest = history("v1:a@10 m:-@10");
        latest[0].is_latest = true;
        assert!(!is_unordered(&latest));
    }
}
