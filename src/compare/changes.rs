//! What logs of changes tell of the base, and how they lead from an earlier state to a later one.
//!
//! A log is read into buckets as a side is, so memory is bounded alike. A key's image before a window is what both sides had
//! in common only where the window begins at Tb; a window that begins much earlier is refused, since what came before Tb and
//! went after it leaves no trace in it. Where logs cannot tell of a key, its base is unknown, and the item is held.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;

use super::base::BaseBucket;
use super::lost::Records;
use super::settle::patch;
use super::{CompareError, Progress, Settings, TaskUnderWay};
use crate::diff::BaseState;
use crate::digest::{Buckets, LeafSink, SinkError};
use crate::model::{Digest, Key, Leaf, Side, StoreId, Timestamp};
use crate::store::{ChangeChain, ChangeLog, ChangeRecord, Image, ItemThen, KeyChange, PairChanges, Window};

/// How far the clocks of a service and of this profile may be apart: windows must reach that much beyond what they cover.
pub const CLOCK_PAD: SignedDuration = SignedDuration::from_secs(60);

/// What rests on logs of changes of the sides.
#[derive(Clone)]
pub struct ChangeEvidence {
    changes: PairChanges,
    /// Tb.
    at: Timestamp,
}

impl ChangeEvidence {
    /// What `changes` tell of the state at `at` (Tb), given that the primary was written until `disaster_at` (T0). A window
    /// that holds Tb may begin `tolerance` before it.
    ///
    /// # Errors
    ///
    /// Why the logs cannot be used: they do not cover the span whose changes they are to tell.
    pub fn new(
        changes: PairChanges,
        at: Timestamp,
        disaster_at: Timestamp,
        tolerance: SignedDuration,
    ) -> Result<ChangeEvidence, String> {
        if let Some(window) = changes.primary.window() {
            begins_well(Side::Primary, &changes.primary, at, tolerance)?;
            let needed = disaster_at.saturating_add(CLOCK_PAD).expect("a time span without units of the calendar");
            if window.to < needed {
                return Err(format!(
                    "the changes of the primary end at {}, so nothing tells what was written from then to {needed}, a \
                     minute after disaster_at: export that window too",
                    window.to
                ));
            }
        }
        begins_well(Side::Dr, &changes.dr, at, tolerance)?;
        Ok(ChangeEvidence { changes, at })
    }

    /// Tb.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// What a comparison of only the changed keys rests on; `None` where the changes of a side are not there.
    pub(super) fn rests_on(&self) -> Option<String> {
        let (primary, dr) = (self.changes.primary.window()?, self.changes.dr.window()?);
        Some(format!(
            "both sides being alike at {} in all that neither wrote from then on, nothing writing the primary after {}, and \
             what dr took after {} being found by a later pass",
            primary.from.max(dr.from),
            primary.to,
            dr.to
        ))
    }

    /// Reads every log.
    pub(super) async fn read(
        &self,
        store: &StoreId,
        budget_bytes: usize,
        settings: &Settings,
        progress: &dyn Progress,
    ) -> Result<EvidenceBuckets, CompareError> {
        let ChangeEvidence { changes: PairChanges { primary, dr }, at } = self;
        let logs = (primary.logs().len() + dr.logs().len()).max(1);
        let budget = budget_bytes / logs;
        Ok(EvidenceBuckets {
            primary: read_chain(store, Side::Primary, primary, budget, settings, progress).await?,
            dr: read_chain(store, Side::Dr, dr, budget, settings, progress).await?,
            at: *at,
        })
    }
}

/// A chain must begin a minute before Tb, and not much earlier without a cut between two of its windows.
fn begins_well(side: Side, chain: &ChangeChain, at: Timestamp, tolerance: SignedDuration) -> Result<(), String> {
    let before = |span: SignedDuration| at.saturating_sub(span).expect("a time span without units of the calendar");
    let needed = before(CLOCK_PAD);
    let Some(window) = chain.window() else { return Ok(()) };
    if window.from > needed {
        return Err(format!(
            "the changes of {side} begin at {} ({}), so nothing tells what was written from {needed}, a minute before what \
             dr had, to then: export that window too",
            window.from,
            chain.names()
        ));
    }
    let earliest = before(tolerance.max(CLOCK_PAD));
    let holds = |window: Window| window.from < earliest && window.to > at;
    match chain.logs().iter().find(|log| holds(log.window())) {
        None => Ok(()),
        Some(log) => Err(format!(
            "the window of {} from {} to {} holds {at}: what was written before it and taken back after leaves no trace in \
             one window, so export windows of which one begins between {earliest} and {needed}",
            log.name(),
            log.window().from,
            log.window().to
        )),
    }
}

/// The changes of one window, readable by bucket.
#[derive(Debug)]
pub(super) struct LogBuckets {
    window: Window,
    name: String,
    /// Items as they were at the window's end, modified when they were last written.
    after: Buckets,
    /// Keys that were gone at its end; only their time counts.
    removed: Buckets,
    /// Items as they were before it.
    before: Buckets,
    /// Keys that were not there before it.
    absent: Buckets,
}

/// What a window did to one key.
struct Changed {
    written_at: Timestamp,
    before: BaseState,
    after: Option<Leaf>,
}

type BucketChanges = BTreeMap<Key, Changed>;

/// Reads the logs of a chain, earliest first.
pub(super) async fn read_chain(
    store: &StoreId,
    side: Side,
    chain: &ChangeChain,
    budget_bytes: usize,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Vec<LogBuckets>, CompareError> {
    let mut read = Vec::new();
    for (at, log) in chain.logs().iter().enumerate() {
        let spill = format!("{store}-{side}-changes-{at}");
        let task = format!("read changes of {store} {side}");
        let task = TaskUnderWay::begin(progress, task, None);
        let log = read_log(store, side, log.as_ref(), (budget_bytes, &spill), settings, |items| {
            task.advance(items);
        });
        read.push(log.await?);
    }
    Ok(read)
}

/// Where the changes of one log are collected.
struct LogSinks {
    after: LeafSink,
    removed: LeafSink,
    before: LeafSink,
    absent: LeafSink,
}

impl LogSinks {
    fn push(&mut self, changes: Vec<KeyChange>) -> Result<(), SinkError> {
        let bare = |key: Key| Leaf { key, digest: Digest([0; 32]), size: 0, modified_at: None };
        for KeyChange { key, written_at, before, after } in changes {
            match before {
                ItemThen::Present(leaf) => self.before.push(vec![leaf])?,
                ItemThen::Absent => self.absent.push(vec![bare(key.clone())])?,
                ItemThen::Untold => {}
            }
            match after {
                ItemThen::Present(leaf) => self.after.push(vec![Leaf { modified_at: Some(written_at), ..leaf }])?,
                ItemThen::Absent | ItemThen::Untold => {
                    self.removed.push(vec![Leaf { modified_at: Some(written_at), ..bare(key) }])?;
                }
            }
        }
        Ok(())
    }
}

async fn read_log(
    store: &StoreId,
    side: Side,
    log: &dyn ChangeLog,
    (budget_bytes, spill): (usize, &str),
    settings: &Settings,
    advance: impl Fn(u64),
) -> Result<LogBuckets, CompareError> {
    let sink = |name: &str| LeafSink::new(budget_bytes / 4, settings.spill.join(format!("{spill}-{name}")));
    let mut sinks =
        LogSinks { after: sink("after"), removed: sink("removed"), before: sink("before"), absent: sink("absent") };
    let partitions = stream::iter(0..log.partitions()).map(|partition| log.changes(partition));
    let mut batches = partitions.flatten_unordered(settings.partitions.max(1));
    while let Some(batch) =
        batches.try_next().await.map_err(|source| CompareError::Read { store: store.clone(), side, source })?
    {
        advance(batch.len() as u64);
        sinks.push(batch).map_err(|source| CompareError::Sink { store: store.clone(), source })?;
    }
    let LogSinks { after, removed, before, absent } = sinks;
    Ok(LogBuckets {
        window: log.window(),
        name: log.name().to_owned(),
        after: after.finish(),
        removed: removed.finish(),
        before: before.finish(),
        absent: absent.finish(),
    })
}

impl LogBuckets {
    /// About the most memory that one bucket takes.
    pub(super) fn reading_bytes_max(&self) -> usize {
        let buckets = [&self.after, &self.removed, &self.before, &self.absent];
        buckets.into_iter().map(Buckets::reading_bytes_max).sum()
    }

    fn read(&self, store: &StoreId, index: usize) -> Result<BucketChanges, CompareError> {
        let bucket = |buckets: &Buckets| -> Result<Vec<Leaf>, CompareError> {
            let bucket = buckets.read(index).map_err(|source| CompareError::Sink { store: store.clone(), source })?;
            if bucket.restless().is_empty() { Ok(bucket.to_leaves()) } else { Err(self.contradiction(store)) }
        };
        let time = |leaf: &Leaf| leaf.modified_at.unwrap_or(self.window.to);
        let mut changes = BucketChanges::new();
        for leaf in bucket(&self.after)? {
            let changed = Changed { written_at: time(&leaf), before: BaseState::Unknown, after: Some(leaf.clone()) };
            changes.insert(leaf.key, changed);
        }
        for leaf in bucket(&self.removed)? {
            let changed = Changed { written_at: time(&leaf), before: BaseState::Unknown, after: None };
            if changes.insert(leaf.key, changed).is_some() {
                return Err(self.contradiction(store));
            }
        }
        let absent = bucket(&self.absent)?.into_iter().map(|leaf| (leaf.key, BaseState::Absent));
        let before = bucket(&self.before)?.into_iter().map(|leaf| (leaf.key, BaseState::Present(leaf.digest)));
        for (key, state) in absent.chain(before) {
            match changes.get_mut(&key) {
                Some(changed) if changed.before == BaseState::Unknown => changed.before = state,
                _ => return Err(self.contradiction(store)),
            }
        }
        Ok(changes)
    }

    fn contradiction(&self, store: &StoreId) -> CompareError {
        CompareError::Base { store: store.clone(), why: format!("{} tells two things of one key", self.name) }
    }
}

/// Leads leaves from where a chain begins to where it ends.
pub(super) fn fold(
    store: &StoreId,
    chain: &[LogBuckets],
    index: usize,
    leaves: &mut Vec<Leaf>,
) -> Result<(), CompareError> {
    let mut last = BTreeMap::new();
    for log in chain {
        last.extend(log.read(store, index)?.into_iter().map(|(key, changed)| (key, changed.after)));
    }
    patch(leaves, last);
    Ok(())
}

/// The changes of both sides, readable by bucket.
#[derive(Debug)]
pub(super) struct EvidenceBuckets {
    primary: Vec<LogBuckets>,
    dr: Vec<LogBuckets>,
    at: Timestamp,
}

impl EvidenceBuckets {
    /// About the most memory that one bucket takes.
    pub(super) fn reading_bytes_max(&self) -> usize {
        2 * self.primary.iter().chain(&self.dr).map(LogBuckets::reading_bytes_max).sum::<usize>()
    }

    /// Every key of a bucket that either side's logs name.
    pub(super) fn keys(&self, store: &StoreId, index: usize) -> Result<BTreeSet<Key>, CompareError> {
        let mut keys = BTreeSet::new();
        for log in self.primary.iter().chain(&self.dr) {
            keys.extend(log.read(store, index)?.into_keys());
        }
        Ok(keys)
    }

    /// Since when the changes of the primary and of dr are told; `None` where those of a side are not there.
    pub(super) fn since(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.primary.first()?.window.from, self.dr.first()?.window.from))
    }

    /// Whether an instant is not before Tb, with room for doubt.
    pub(super) fn is_after_failover(&self, at: Timestamp) -> bool {
        at >= self.at.saturating_sub(CLOCK_PAD).expect("a time span without units of the calendar")
    }

    /// What the logs of the primary and of dr did to the keys of one bucket, a record for each window that names a key.
    pub(super) fn records(&self, store: &StoreId, index: usize) -> Result<(Records, Records), CompareError> {
        let image = |state: Option<&Leaf>| state.map_or(Image::Absent, |leaf| Image::Present(leaf.digest));
        let of = |chain: &[LogBuckets]| -> Result<Records, CompareError> {
            let mut records = Records::new();
            for log in chain {
                for (key, Changed { written_at, before, after }) in log.read(store, index)? {
                    let before = match before {
                        BaseState::Unknown => Image::Untold,
                        BaseState::Absent => Image::Absent,
                        BaseState::Present(digest) => Image::Present(digest),
                    };
                    let (at, after) = (Some(written_at), image(after.as_ref()));
                    records.entry(key).or_default().push(ChangeRecord { at, before, after, by_expiry: false });
                }
            }
            Ok(records)
        };
        Ok((of(&self.primary)?, of(&self.dr)?))
    }

    /// The base of one bucket: what is below, put right by what the logs tell.
    ///
    /// Without anything below, what the primary's logs do not name is as the primary has it: nothing wrote it since.
    pub(super) fn base(
        &self,
        store: &StoreId,
        index: usize,
        primary: &[Leaf],
        below: BaseBucket,
    ) -> Result<BaseBucket, CompareError> {
        let of_primary = self.told(store, &self.primary, index)?;
        let of_dr = self.told(store, &self.dr, index)?;
        let has_below = below.leaves.is_some();
        let mut base = match (below.leaves.is_some(), self.primary.is_empty()) {
            (true, _) => below,
            (false, true) => below,
            (false, false) => BaseBucket { leaves: Some(primary.to_vec()), ..below },
        };
        for (key, state) in of_primary {
            // What is below knows of a key that the log is silent on.
            if state != BaseState::Unknown || !has_below {
                base.told.insert(key, state);
            }
        }
        for (key, state) in of_dr {
            let known = base.state_of(&key);
            let state = match (known, state) {
                (known, BaseState::Unknown) => known,
                (BaseState::Unknown, state) => state,
                (known, state) if known == state => state,
                // One of them was written after its log ended, or replication lagged at Tb: a person looks at it.
                _ => BaseState::Unknown,
            };
            base.told.insert(key, state);
        }
        base.settle(primary);
        Ok(base)
    }

    /// What a side was at Tb, for every key that its logs name.
    fn told(
        &self,
        store: &StoreId,
        chain: &[LogBuckets],
        index: usize,
    ) -> Result<BTreeMap<Key, BaseState>, CompareError> {
        let mut told = BTreeMap::new();
        for log in chain {
            for (key, changed) in log.read(store, index)? {
                match self.state_at(log.window, &changed) {
                    Told::Settles(state) => {
                        told.insert(key, state);
                    }
                    Told::Since(state) => {
                        told.entry(key).or_insert(state);
                    }
                }
            }
        }
        Ok(told)
    }

    fn state_at(&self, window: Window, changed: &Changed) -> Told {
        let after = || changed.after.as_ref().map_or(BaseState::Absent, |leaf| BaseState::Present(leaf.digest));
        let just_before = self.at.saturating_sub(CLOCK_PAD).expect("a time span without units of the calendar");
        if window.to <= self.at || changed.written_at < just_before {
            return Told::Settles(after());
        }
        // The window that holds Tb begins just before it.
        if window.from > self.at { Told::Since(changed.before) } else { Told::Settles(changed.before) }
    }
}

/// What one window tells of a key at Tb.
enum Told {
    /// This, whatever earlier windows tell.
    Settles(BaseState),
    /// This, unless an earlier window tells.
    Since(BaseState),
}
