//! Reads every difference once more before it counts.
//!
//! Under live writers a leaf may be old by the time it is joined, and two items may be equal though their leaves were made
//! from different kinds of proof. Leaves are put right here, so that the roots are those of what was last read.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::evidence::Evidence;
use super::{BucketPair, CompareError, Settings};
use crate::diff::{
    BaseFacts, BaseState, Candidate, DeltaLine, Facts, NOT_REPLICATED, Replication, classify, differ_in_spelling,
};
use crate::model::{Change, Clock, Digest, Item, Key, Leaf, Side, Timestamp, Value, Verdict};
use crate::store::{Depth, ErrorKind, StorePair};

/// Keys read again in one request to a store.
const KEYS_AT_ONCE: usize = 400;
/// Bodies read at the same time so that two items share a proof.
const PROOFS_AT_ONCE: usize = 16;

/// What became of the candidates of one bucket.
#[derive(Default)]
pub(super) struct Settled {
    pub unchanged: u64,
    pub converged: u64,
    pub delta: Vec<DeltaLine>,
}

impl Settled {
    /// Counts a candidate, which may be no difference any more.
    fn add(&mut self, verdict: Verdict, is_there: bool, line: Option<DeltaLine>) {
        match verdict {
            Verdict::Unchanged if is_there => self.unchanged += 1,
            Verdict::Converged => self.converged += 1,
            verdict if verdict.is_difference() => self.delta.extend(line),
            // Both sides lost the item since it was scanned, and no base had it: there is nothing to count.
            _ => {}
        }
    }
}

type Images = (Option<Item>, Option<Item>);
pub(super) type Patches = BTreeMap<Key, Option<Leaf>>;

/// A candidate of a bucket.
struct Asked<'a> {
    /// Which bucket of those that are settled together.
    bucket: usize,
    candidate: &'a Candidate,
    /// Whether its base is what an earlier pass wrote to both.
    is_common: bool,
}

/// What a comparison has to settle by.
pub(super) struct Settling<'a> {
    pub(super) pair: &'a StorePair,
    pub(super) settings: &'a Settings,
    pub(super) clock: &'a dyn Clock,
    pub(super) evidence: &'a Evidence<'a>,
    /// Whether the base tells when the primary's own items were written.
    pub(super) tells_writes: bool,
}

impl Settling<'_> {
    /// Settles buckets, reading the candidates of all of them together, and puts their leaves right.
    pub(super) async fn settle(&self, buckets: &mut [BucketPair]) -> Result<Vec<Settled>, CompareError> {
        let mut settled: Vec<Settled> = buckets.iter().map(|_| Settled::default()).collect();
        let mut patches: Vec<[Patches; 2]> = buckets.iter().map(|_| Default::default()).collect();
        let asked: Vec<Asked<'_>> = (buckets.iter().enumerate())
            .flat_map(|(at, bucket)| {
                let is_common = |key: &Key| bucket.common.contains(key);
                let candidates = bucket.joined.candidates.iter();
                candidates.map(move |one| Asked { bucket: at, candidate: one, is_common: is_common(&one.key) })
            })
            .collect();
        for asked in asked.chunks(KEYS_AT_ONCE) {
            for (asked, mut images) in asked.iter().zip(read_again(self.pair, asked).await?) {
                let (verdict, line) = self.judge(asked, &mut images).await;
                settled[asked.bucket].add(verdict, images.0.is_some(), line);
                let (key, (primary, dr)) = (&asked.candidate.key, images);
                let [of_primary, of_dr] = &mut patches[asked.bucket];
                of_primary.insert(key.clone(), primary.map(|item| item.leaf()));
                of_dr.insert(key.clone(), dr.map(|item| item.leaf()));
            }
        }
        for (bucket, [primary, dr]) in buckets.iter_mut().zip(patches) {
            bucket.primary.patch(primary.iter().map(|(key, leaf)| (key, leaf.as_ref())));
            bucket.dr.patch(dr.iter().map(|(key, leaf)| (key, leaf.as_ref())));
        }
        Ok(settled)
    }

    /// The verdict on what was read, and its line where it is a difference.
    async fn judge(&self, asked: &Asked<'_>, (primary, dr): &mut Images) -> (Verdict, Option<DeltaLine>) {
        let (pair, key) = (self.pair, &asked.candidate.key);
        let same = share_proof(primary, dr);
        let base = match asked.candidate.base {
            // Only what would be held for want of a base is worth asking for.
            BaseState::Unknown if !same => self.evidence.base_of(key, primary).await,
            BaseState::Present(digest) if is_half_told(pair, &digest, primary, dr) => BaseState::Unknown,
            BaseState::Present(digest) if self.is_rewritten(&digest, asked.candidate, primary) => BaseState::Unknown,
            known => known,
        };
        let verdict = classify(facts_of(base, same, primary, dr, self.clock.now()));
        if !verdict.is_difference() {
            return (verdict, None);
        }
        let candidate = &Candidate { base, ..asked.candidate.clone() };
        let line = line_of(pair, candidate, verdict, primary, dr, self.settings);
        let mut line = line.map(|line| with_replication(pair, line, primary, dr));
        // What this session wrote to the primary itself is no write that dr never saw.
        if asked.is_common {
            line.iter_mut().for_each(|line| line.doubt = None);
        }
        if let Some(line) = line.as_mut().filter(|line| is_lost_by_expiry(line)) {
            line.expiry_proved = self.evidence.is_expired_on_dr(key, primary).await;
        }
        (verdict, line)
    }

    /// Whether the base knows only the body of the primary's item, and the item was written again since: what else was
    /// changed by that is not known, so that a delete on dr must not take it away.
    fn is_rewritten(&self, base: &Digest, candidate: &Candidate, primary: &Option<Item>) -> bool {
        let Some(primary) = primary.as_ref().filter(|item| item.is_listed_as(base)) else { return false };
        // A listing and the item itself may tell parts of a second or none.
        let second = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        let (then, now) = (second(candidate.base_written_at), second(primary.modified_at));
        self.tells_writes && self.pair.primary.leaves_are_partial() && then.is_some() && then != now
    }
}

/// Whether the base knows only the body of an item, and the sides differ beside it too: it cannot tell which of them changed
/// that, so following either might lose what the other did.
fn is_half_told(pair: &StorePair, base: &Digest, primary: &Option<Item>, dr: &Option<Item>) -> bool {
    let (Some(primary), Some(dr)) = (primary, dr) else { return false };
    let is_listed = primary.is_listed_as(base) || dr.is_listed_as(base);
    is_listed && pair.primary.differ_beside_leaves(primary, dr)
}

/// Whether dr may have lost by its time to live what the primary still holds.
fn is_lost_by_expiry(line: &DeltaLine) -> bool {
    line.verdict == Verdict::Expired && line.change == Change::Delete
}

/// Reads candidates on both sides, and again by content where they share no kind of proof or none that the base knows.
async fn read_again(pair: &StorePair, asked: &[Asked<'_>]) -> Result<Vec<Images>, CompareError> {
    let keys: Vec<Key> = asked.iter().map(|asked| asked.candidate.key.clone()).collect();
    let mut images = fetch_both(pair, &keys, Depth::Evidence).await?;
    share_proofs(pair, &mut images).await?;
    // No body that is read proves what a listing told of a past one.
    let is_listed = |asked: &Asked<'_>| pair.primary.leaves_from().is_some() && !asked.is_common;
    let base_of = |asked: &Asked<'_>| if is_listed(asked) { BaseState::Unknown } else { asked.candidate.base };
    let doubtful: Vec<usize> = (0..keys.len()).filter(|at| is_doubtful(base_of(&asked[*at]), &images[*at])).collect();
    if !doubtful.is_empty() {
        let keys: Vec<Key> = doubtful.iter().map(|at| keys[*at].clone()).collect();
        let by_content = fetch_both(pair, &keys, Depth::Content).await?;
        for (at, image) in doubtful.into_iter().zip(by_content) {
            images[at] = image;
        }
    }
    Ok(images)
}

/// Reads one body of each two that share no proof, where that is enough: dr's, or the primary's where dr's is the one that
/// is proved.
async fn share_proofs(pair: &StorePair, images: &mut [Images]) -> Result<(), CompareError> {
    let proofs = images.iter().map(|images| async move {
        let (Some(primary), Some(dr)) = images else { return Ok(None) };
        if primary.same_as(dr).is_some() || primary.size != dr.size {
            return Ok(None);
        }
        let is_of_primary = dr.is_proved() && !primary.is_proved();
        let proved = match is_of_primary {
            true => (pair.primary.prove_like(primary, dr).await, Side::Primary),
            false => (pair.dr.prove_like(dr, primary).await, Side::Dr),
        };
        match proved {
            (Ok(item), side) => Ok(Some((item, side))),
            // It changed since: both are read again by content.
            (Err(error), _) if error.kind == ErrorKind::Unfit => Ok(None),
            (Err(source), side) => Err(CompareError::Read { store: pair.id.clone(), side, source }),
        }
    });
    let proved: Vec<Option<(Item, Side)>> =
        stream::iter(proofs.collect::<Vec<_>>()).buffered(PROOFS_AT_ONCE).boxed().try_collect().await?;
    for (images, proved) in images.iter_mut().zip(proved) {
        match proved {
            Some((item, Side::Primary)) => images.0 = Some(item),
            Some((item, _)) => images.1 = Some(item),
            None => {}
        }
    }
    Ok(())
}

async fn fetch_both(pair: &StorePair, keys: &[Key], depth: Depth) -> Result<Vec<Images>, CompareError> {
    let read = |store: &StorePair, side| {
        let store = store.id.clone();
        move |source| CompareError::Read { store, side, source }
    };
    let (primary, dr) = futures_util::join!(pair.primary.fetch(keys, depth), pair.dr.fetch(keys, depth));
    let primary = primary.map_err(read(pair, Side::Primary))?;
    let dr = dr.map_err(read(pair, Side::Dr))?;
    Ok(primary.into_iter().zip(dr).collect())
}

fn is_doubtful(base: BaseState, images: &Images) -> bool {
    let has_evidence = |item: &Option<Item>| item.as_ref().is_some_and(|item| !item.evidence.is_empty());
    let undecided = matches!(images, (Some(primary), Some(dr)) if primary.same_as(dr).is_none());
    let unknown_to_base = match base {
        BaseState::Present(digest) => {
            let proved = |item: &Option<Item>| item.as_ref().is_some_and(|item| item.is_proved_by(&digest));
            !proved(&images.0) && !proved(&images.1)
        }
        _ => false,
    };
    undecided || (unknown_to_base && (has_evidence(&images.0) || has_evidence(&images.1)))
}

/// Whether both are the same; when they are by another proof than their main digests, both get the digest of that proof.
fn share_proof(primary: &mut Option<Item>, dr: &mut Option<Item>) -> bool {
    let (Some(primary), Some(dr)) = (primary.as_mut(), dr.as_mut()) else {
        return primary.is_none() && dr.is_none();
    };
    if primary.same_as(dr) != Some(true) {
        return false;
    }
    if primary.digest != dr.digest {
        let shared = primary.evidence.iter().find(|mine| dr.evidence.contains(mine)).map(|mine| mine.digest);
        let digest = shared.expect("items that are the same by evidence share a proof");
        (primary.digest, dr.digest) = (digest, digest);
    }
    true
}

fn facts_of(base: BaseState, same: bool, primary: &Option<Item>, dr: &Option<Item>, now: Timestamp) -> Facts {
    let equals_base = |item: &Option<Item>, base: Option<Digest>| match (item, base) {
        (None, None) => true,
        (Some(item), Some(digest)) => item.is_proved_by(&digest),
        _ => false,
    };
    let against = |digest| BaseFacts { primary_same: equals_base(primary, digest), dr_same: equals_base(dr, digest) };
    let base = match base {
        BaseState::Unknown => None,
        BaseState::Absent => Some(against(None)),
        BaseState::Present(digest) => Some(against(Some(digest))),
    };
    let expired = |item: &Item| item.expires_at.is_some_and(|at| at <= now);
    let expired_on_one_side = match (primary, dr) {
        (Some(item), None) | (None, Some(item)) => expired(item),
        _ => false,
    };
    Facts { sides_same: same, base, expired_on_one_side }
}

fn line_of(
    pair: &StorePair,
    candidate: &Candidate,
    verdict: Verdict,
    primary: &Option<Item>,
    dr: &Option<Item>,
    settings: &Settings,
) -> Option<DeltaLine> {
    let change = Change::between(primary.as_ref(), dr.as_ref())?;
    let (key, canonical_key) = DeltaLine::key_fields(pair.primary.kind(), &candidate.key);
    let primary_untouched = match candidate.base {
        BaseState::Unknown => false,
        BaseState::Absent => primary.is_none(),
        BaseState::Present(digest) => primary.as_ref().is_some_and(|item| item.is_proved_by(&digest)),
    };
    let hold = [primary, dr].into_iter().flatten().find_map(|item| item.hold.clone());
    let hold_delete = (change == Change::Delete).then(|| pair.primary.holds_deletes(&candidate.key)).flatten();
    Some(DeltaLine {
        store: pair.id.clone(),
        key,
        verdict,
        change,
        primary: primary.as_ref().map(|item| item.digest),
        dr: dr.as_ref().map(|item| item.digest),
        base: candidate.base,
        canonical_key,
        bytes: dr.as_ref().or(primary.as_ref()).map_or(0, |item| item.size),
        primary_untouched,
        newer: settings.newest_field.as_deref().and_then(|field| newer(field, primary, dr)),
        changed_at: changed_at(settings.newest_field.as_deref(), verdict, primary, dr),
        hold,
        hold_delete,
        replication: None,
        doubt: None,
        expiry_proved: false,
        spelling: differ_in_spelling(primary, dr),
        rank: pair.primary.rank(&candidate.key),
    })
}

/// The line with what replication says of both sides' copies.
fn with_replication(pair: &StorePair, line: DeltaLine, primary: &Option<Item>, dr: &Option<Item>) -> DeltaLine {
    let primary = primary.as_ref().map(|item| pair.primary.replication(item).unwrap_or(NOT_REPLICATED));
    let dr = dr.as_ref().map(|item| pair.dr.replication(item).unwrap_or(NOT_REPLICATED));
    let replication = Replication::of(primary, dr);
    let doubt = replication.as_ref().and_then(|replication| replication.doubt(line.verdict));
    DeltaLine { replication, doubt, ..line }
}

/// Which side is newer by a field that both have, of one kind; `None` when it cannot be told or they tie.
fn newer(field: &str, primary: &Option<Item>, dr: &Option<Item>) -> Option<Side> {
    let mine = primary.as_ref()?.contents.get(field)?;
    let theirs = dr.as_ref()?.contents.get(field)?;
    let order = match (mine, theirs) {
        (Value::Number(mine), Value::Number(theirs)) => mine.cmp(theirs),
        (Value::Text(mine), Value::Text(theirs)) => mine.cmp(theirs),
        (Value::Typed { type_name: a, text: mine }, Value::Typed { type_name: b, text: theirs })
            if a == b && (a.starts_with("timestamp") || a == "date") =>
        {
            mine.cmp(theirs)
        }
        _ => return None,
    };
    match order {
        std::cmp::Ordering::Greater => Some(Side::Primary),
        std::cmp::Ordering::Less => Some(Side::Dr),
        std::cmp::Ordering::Equal => None,
    }
}

/// When the side that changed the item changed it last: for reports only, never to decide anything.
fn changed_at(field: Option<&str>, verdict: Verdict, primary: &Option<Item>, dr: &Option<Item>) -> Option<Timestamp> {
    let time = |item: &Option<Item>| {
        let item = item.as_ref()?;
        item.modified_at.or_else(|| match item.contents.get(field?)? {
            Value::Text(text) | Value::Typed { text, .. } => text.parse().ok(),
            _ => None,
        })
    };
    match verdict {
        Verdict::DrOnly => time(dr),
        Verdict::Stranded => time(primary),
        Verdict::Conflict | Verdict::Unattributed => time(primary).max(time(dr)),
        Verdict::Unchanged | Verdict::Converged | Verdict::Expired => None,
    }
}

/// Puts leaves right: `None` takes one away.
pub(super) fn patch(leaves: &mut Vec<Leaf>, patches: Patches) {
    if patches.is_empty() {
        return;
    }
    leaves.retain(|leaf| !patches.contains_key(&leaf.key));
    leaves.extend(patches.into_values().flatten());
    leaves.sort_by(|a, b| a.key.cmp(&b.key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(changed: Value, modified_at: Option<&str>) -> Option<Item> {
        Some(Item {
            key: Key::from_canonical(Vec::new()),
            digest: Digest([0; 32]),
            evidence: Vec::new(),
            contents: Value::map([("changed", changed)]),
            size: 0,
            modified_at: modified_at.map(|text| text.parse().expect("an instant")),
            expires_at: None,
            hold: None,
        })
    }

    fn typed(type_name: &str, text: &str) -> Value {
        Value::Typed { type_name: type_name.into(), text: text.into() }
    }

    #[test]
    fn the_time_of_a_change_is_told_by_the_side_that_made_it() {
        let (one, two) = ("2026-11-22T03:10:00Z", "2026-11-22T05:00:00Z");
        let (primary, dr) = (item(Value::Null, Some(one)), item(Value::Null, Some(two)));
        let told = |verdict, primary, dr| changed_at(None, verdict, primary, dr).map(|at| at.to_string());
        assert_eq!(told(Verdict::DrOnly, &primary, &dr).as_deref(), Some(two));
        assert_eq!(told(Verdict::Stranded, &primary, &dr).as_deref(), Some(one));
        assert_eq!(told(Verdict::Conflict, &primary, &dr).as_deref(), Some(two));
        assert_eq!(told(Verdict::Unattributed, &primary, &None).as_deref(), Some(one));
        assert_eq!(told(Verdict::DrOnly, &primary, &None), None, "a delete has no time");
    }

    #[test]
    fn a_declared_attribute_tells_the_time_where_it_holds_an_instant() {
        for (value, expected) in [
            (Value::text("2026-11-22T03:10:00Z"), Some("2026-11-22T03:10:00Z")),
            (typed("timestamp with time zone", "2026-11-22 03:10:00.5+00"), Some("2026-11-22T03:10:00.5Z")),
            (typed("timestamp without time zone", "2026-11-22 03:10:00"), None),
            (Value::text("version 7"), None),
            (Value::Number(7.into()), None),
        ] {
            let at = changed_at(Some("changed"), Verdict::DrOnly, &None, &item(value.clone(), None));
            assert_eq!(at.map(|at| at.to_string()).as_deref(), expected);
            assert_eq!(changed_at(None, Verdict::DrOnly, &None, &item(value, None)), None);
        }
    }
}
