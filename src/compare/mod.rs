//! Reads both sides of a store and its base, joins them bucket by bucket, reads every difference once more, and writes the
//! manifests and the delta.
//!
//! Both the diff and the independent verification use this code; they never share what it read. Nothing here decides what
//! to do about a difference.

mod base;
mod changes;
mod evidence;
mod lost;
mod narrow;
mod outputs;
mod read;
mod settle;
mod sides;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

pub use base::{Base, BaseSummary};
pub use changes::{CLOCK_PAD, ChangeEvidence};
pub use lost::{LostWrite, LostWrites};
pub use narrow::{Narrowed, compare_changed};
pub use read::{Progress, Quiet, Reading, TaskUnderWay, read_side};
pub use sides::{HowRead, Known, LogUse, SideLog, SideLogs};

use self::evidence::Evidence;
use self::outputs::Outputs;
use self::settle::Settling;
use self::sides::{SideLeaves, read_leaves};
use crate::diff::{BaseState, HourCounts, JoinedBucket, ReplicationCounts, VerdictCounts, join};
use crate::digest::manifest::ManifestError;
use crate::digest::{BUCKETS, Bucket, SinkError, key_json};
use crate::model::{Clock, Digest, Identity, Key, Side, StoreId, StoreKind, Timestamp};
use crate::store::{StoreError, StorePair};

/// Buckets joined at the same time, at most.
const BUCKETS_AT_ONCE_MAX: usize = 8;

/// Where buckets are at the same time: joined, waiting to be settled or settled, and written.
const STAGES: usize = 4;

/// The part of the memory setting that is for leaves while they are read; the rest is for joining them.
const READING_SHARE: usize = 2;

/// How a comparison is done.
#[derive(Clone)]
pub struct Settings {
    /// Partitions read at the same time per side.
    pub partitions: usize,
    /// Memory for the leaves of all sides of this store together, in bytes; beyond it they spill.
    pub memory_bytes: usize,
    /// A folder for spill files.
    pub spill: PathBuf,
    /// A folder of its own for this comparison's manifests; the delta goes beside them.
    pub manifests: PathBuf,
    /// Where the delta lines go.
    pub delta: PathBuf,
    /// The attribute or column that tells the newer of two versions.
    pub newest_field: Option<String>,
    /// What both sides had in common later than the base: the after-images of an earlier replay pass.
    pub common_since: CommonSince,
    /// The instant from which the hours of differences are counted: T0, where the profile has it.
    pub hours_since: Option<Timestamp>,
    /// Tb, where differences without a base are to be attributed by the primary's own change log.
    pub attribute_since: Option<Timestamp>,
    /// What the stores' change logs are for.
    pub logs: LogUse,
}

/// Looks up what both sides had in common for a key, later than the base; the outer `None` where nothing is known.
pub type CommonSince = Arc<dyn Fn(&Key) -> Result<Option<Option<Digest>>, LookupError> + Send + Sync>;

/// Why a lookup failed.
pub type LookupError = Box<dyn std::error::Error + Send + Sync>;

/// What one side turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideSummary {
    /// The resource that was read.
    pub identity: Identity,
    /// Number of items.
    pub items: u64,
    /// The root over all leaves.
    pub root: Digest,
    /// When the reading began.
    pub read_from: Timestamp,
    /// When the reading ended.
    pub read_until: Timestamp,
}

/// Read units that a comparison took of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// What was taken: the scans, and reading differences once more.
    pub units: u64,
    /// What the scans take by the sizes that the service tells of both tables, where both were scanned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forecast: Option<u64>,
}

/// A finished comparison of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The store's name.
    pub store: StoreId,
    /// What it is.
    pub kind: StoreKind,
    /// The primary side.
    pub primary: SideSummary,
    /// The dr side.
    pub dr: SideSummary,
    /// The base, if there is one.
    pub base: Option<BaseSummary>,
    /// Items by verdict.
    pub verdicts: VerdictCounts,
    /// Differences by the hour of their last change, where the profile has T0 and the store tells times.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hours: Option<HourCounts>,
    /// Differences by what replication says of them, where the store tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replication: Option<ReplicationCounts>,
    /// Differences that mean the same on both sides and are only spelled otherwise, as 1.0 and 1.00.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub spelled: u64,
    /// The file of delta lines, in bucket order.
    pub delta: PathBuf,
    /// The folder of the manifests.
    pub manifests: PathBuf,
    /// Writes that a global table of both sides lost, as far as its streams or the exports of its changes show them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_writes: Option<LostWrites>,
    /// Indexes that every write of the primary may write as well.
    #[serde(default)]
    pub indexes: u64,
    /// Why the primary's own change log could not attribute differences that have no base, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unattributed_because: Option<String>,
    /// What reading took, where the service tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reads: Option<Reads>,
    /// How the sides were read, and where their change logs stood; absent in what older versions wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub logs: Option<SideLogs>,
    /// Bytes of bodies that had to be read because the two sides share no proof of them; a later pass reads them again.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub body_bytes: u64,
    /// Why this is only a forecast, where it is: then it is never parity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forecast: Option<String>,
    /// What leaves were made of, in a word, where that is less than the contents of items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaves: Option<String>,
    /// What this kind of store's comparison does not look at.
    pub not_checked: Vec<String>,
    /// Where not everything was read: what it rests on. It then says nothing of parity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub narrowed: Option<Narrowed>,
}

impl Comparison {
    /// How much of what differs is spelling, in words, where any is.
    pub fn spelling(&self) -> Option<String> {
        (self.spelled > 0).then(|| {
            let all = self.verdicts.differing();
            format!("of {all} differences {} in spelling only, such as 1.0 and 1.00", self.spelled)
        })
    }

    /// When the last reading ended.
    pub fn read_until(&self) -> Timestamp {
        self.primary.read_until.max(self.dr.read_until)
    }

    /// Whether both sides were read in full and are the same, by root.
    pub fn at_parity(&self) -> bool {
        let is_whole = self.narrowed.is_none() && self.forecast.is_none();
        is_whole && self.primary.root == self.dr.root && self.verdicts.differing() == 0
    }

    /// Whether both sides were read in full, not followed by their change logs.
    fn is_scanned(&self) -> bool {
        let scanned = |log: &SideLog| matches!(log.how, HowRead::Scanned { .. });
        self.logs.as_ref().is_none_or(|logs| logs.sides().iter().all(|(_, log)| scanned(log)))
    }
}

/// A comparison that could not be finished: it says nothing about parity.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Reading a side failed.
    #[error("cannot read {side} of store {store}")]
    Read {
        /// The store.
        store: StoreId,
        /// The side.
        side: Side,
        /// Why.
        source: StoreError,
    },
    /// Digests could not be collected.
    #[error("cannot collect the digests of store {store}")]
    Sink {
        /// The store.
        store: StoreId,
        /// Why.
        source: SinkError,
    },
    /// A manifest could not be written or read.
    #[error("cannot use a manifest of store {store}")]
    Manifest {
        /// The store.
        store: StoreId,
        /// Why.
        source: ManifestError,
    },
    /// The delta file could not be written.
    #[error("cannot write the delta of store {store} to {}", path.display())]
    Delta {
        /// The store.
        store: StoreId,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What both sides had in common could not be looked up.
    #[error("cannot look up what both sides of store {store} had in common")]
    Common {
        /// The store.
        store: StoreId,
        /// Why.
        source: LookupError,
    },
    /// The base must not be used.
    #[error("the base of store {store} cannot be used: {why}")]
    Base {
        /// The store.
        store: StoreId,
        /// Why, with what to do.
        why: String,
    },
}

/// Compares one store.
///
/// # Errors
///
/// [`CompareError`] when anything could not be read in full: there is no partial result.
pub async fn compare(
    pair: &StorePair,
    base: &Base,
    settings: &Settings,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Comparison, CompareError> {
    let store = &pair.id;
    let read_before = body_bytes_read(pair);
    let units_before = units_read(pair);
    let sides = 2 + base.readings();
    let budget = settings.memory_bytes / READING_SHARE / sides;
    let (primary, dr) = futures_util::try_join!(
        read_leaves(pair.primary.as_ref(), Side::Primary, budget, settings, clock, progress),
        read_leaves(pair.dr.as_ref(), Side::Dr, budget, settings, clock, progress),
    )?;
    let base_buckets = base.read(store, budget, settings, clock, progress).await?;
    let comparison = joined(pair, (primary, dr), Arc::new(base_buckets), None, settings, clock).await?;
    let reads = reads(pair, units_before, comparison.is_scanned());
    Ok(Comparison { body_bytes: comparison.body_bytes.saturating_sub(read_before), reads, ..comparison })
}

/// Joins what was read of both sides and the base, and writes what came of it.
async fn joined(
    pair: &StorePair,
    (primary, dr): (SideLeaves, SideLeaves),
    base_buckets: Arc<base::BaseBuckets>,
    narrowed: Option<Narrowed>,
    settings: &Settings,
    clock: &dyn Clock,
) -> Result<Comparison, CompareError> {
    let store = &pair.id;
    let (only_changed, is_forecast) = (narrowed.is_some(), forecast(pair).is_some());
    let mut outputs = Outputs::create(store, settings)?;
    let is_open = !matches!(settings.logs, LogUse::Ignored);
    let evidence = Evidence::new(pair, clock, is_open, settings.attribute_since);
    let sides = Arc::new((primary, dr));
    let at_once = buckets_at_once(settings, &sides, &base_buckets);
    let tells_writes = base_buckets.is_checkpoint();
    let settling = Settling { pair, settings, clock, evidence: &evidence, tells_writes };
    let join = |first: usize| {
        let (sides, base, store) = (sides.clone(), base_buckets.clone(), store.clone());
        let indexes = first..(first + at_once).min(BUCKETS);
        let joined = move || Ok((first, join_buckets(&store, indexes, &sides, &base, only_changed)?));
        tokio::task::spawn_blocking(joined).map(|joined| joined.expect("joining buckets does not panic"))
    };
    // While some buckets are settled, the next are joined and those before are written.
    let mut batches = stream::iter((0..BUCKETS).step_by(at_once)).map(join).buffered(2);
    let settled = async {
        while let Some((first, mut joined)) = batches.try_next().await? {
            for bucket in &mut joined {
                if is_forecast {
                    // What is only listed cannot be held against a base: it is the same on both sides, and that is all.
                    bucket.joined.unchanged += std::mem::take(&mut bucket.joined.converged);
                }
                bucket.take_common(store, settings)?;
            }
            let settled = settling.settle(&mut joined).await?;
            outputs.write(first, joined, &settled).await?;
        }
        Ok(())
    };
    let settled: Result<(), CompareError> = settled.await;
    // Also after an error: what is still being written must not meet the next comparison's files.
    let written = outputs.wait().await;
    settled.and(written)?;
    drop(batches);
    base_buckets.prove_read(store, &outputs.base_roots, outputs.base_read)?;
    let (attributed, unattributed_because) = match evidence.attributed() {
        Some(Ok(since)) => (Some(BaseSummary { kind: "stream".into(), items: 0, as_of: Some(since) }), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let comparison = outputs.finish(pair, &sides, base_buckets.summary().or(attributed))?;
    let lost_writes = lost_writes(pair, &evidence, (sides, base_buckets)).await?;
    let mut not_checked = not_checked(pair);
    not_checked.extend(narrowed.iter().map(|narrowed| {
        format!(
            "all but {} keys that the changes of either side name; this rests on {}",
            narrowed.keys, narrowed.rests_on
        )
    }));
    Ok(Comparison { not_checked, narrowed, unattributed_because, lost_writes, ..comparison })
}

/// The writes that a global table of both sides lost: by its streams, which tell everything of a day, else by the exports of changes.
async fn lost_writes(
    pair: &StorePair,
    evidence: &Evidence<'_>,
    (sides, base): (Arc<(SideLeaves, SideLeaves)>, Arc<base::BaseBuckets>),
) -> Result<Option<LostWrites>, CompareError> {
    let region = sides.1.identity.region.as_ref();
    if !region.is_some_and(|region| pair.primary.replicates_to().contains(region)) {
        return Ok(None);
    }
    if let Some(told) = evidence.lost_writes().await {
        return Ok(Some(told));
    }
    let (store, kind) = (pair.id.clone(), pair.primary.kind());
    let by_changes = move || match base.evidence() {
        Some(changes) => lost::lost_by_changes(&store, changes, &sides, &|key| key_json(kind, key)),
        None => Ok(None),
    };
    tokio::task::spawn_blocking(by_changes).await.expect("reading buckets does not panic")
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

fn body_bytes_read(pair: &StorePair) -> u64 {
    pair.primary.body_bytes_read() + pair.dr.body_bytes_read()
}

fn units_read(pair: &StorePair) -> u64 {
    pair.primary.spent().read_units + pair.dr.spent().read_units
}

/// What was read since `before`, beside what reading all of both sides was thought to take.
fn reads(pair: &StorePair, before: u64, is_scanned: bool) -> Option<Reads> {
    let units = units_read(pair).saturating_sub(before);
    let forecast = pair.primary.units_to_read().zip(pair.dr.units_to_read()).filter(|_| is_scanned);
    (units > 0).then(|| Reads { units, forecast: forecast.map(|(primary, dr)| primary + dr) })
}

/// Why a comparison of these sides is only a forecast.
fn forecast(pair: &StorePair) -> Option<String> {
    let told: Vec<String> = [pair.primary.forecast(), pair.dr.forecast()].into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// What neither side, or either of them, was looked at for.
fn not_checked(pair: &StorePair) -> Vec<String> {
    let mut all = pair.primary.not_checked();
    let of_dr: Vec<String> = pair.dr.not_checked().into_iter().filter(|what| !all.contains(what)).collect();
    all.extend(of_dr);
    all
}

/// One bucket of both sides, and what the join made of it.
struct BucketPair {
    primary: Bucket,
    dr: Bucket,
    base_root: Digest,
    base_read: u64,
    joined: JoinedBucket,
    /// Candidates whose base is what an earlier pass wrote to both.
    common: BTreeSet<Key>,
}

impl BucketPair {
    /// Has candidates held against what an earlier pass wrote to both, where one did.
    fn take_common(&mut self, store: &StoreId, settings: &Settings) -> Result<(), CompareError> {
        for candidate in &mut self.joined.candidates {
            let common = (settings.common_since)(&candidate.key);
            let common = common.map_err(|source| CompareError::Common { store: store.clone(), source })?;
            if let Some(common) = common {
                candidate.base = common.map_or(BaseState::Absent, BaseState::Present);
                self.common.insert(candidate.key.clone());
            }
        }
        Ok(())
    }
}

/// As many buckets as the memory that is left for joining holds at every stage, but one at least.
fn buckets_at_once(settings: &Settings, (primary, dr): &(SideLeaves, SideLeaves), base: &base::BaseBuckets) -> usize {
    let each = primary.reading_bytes_max() + dr.reading_bytes_max() + base.reading_bytes_max();
    let room = settings.memory_bytes - settings.memory_bytes / READING_SHARE;
    (room / each.max(1) / STAGES).clamp(1, BUCKETS_AT_ONCE_MAX)
}

fn join_buckets(
    store: &StoreId,
    indexes: std::ops::Range<usize>,
    (primary, dr): &(SideLeaves, SideLeaves),
    base: &base::BaseBuckets,
    only_changed: bool,
) -> Result<Vec<BucketPair>, CompareError> {
    use rayon::prelude::*;
    indexes
        .into_par_iter()
        .map(|index| {
            let primary = primary.bucket(store, index)?;
            let dr = dr.bucket(store, index)?;
            let keys =
                base.evidence().filter(|_| only_changed).map(|evidence| evidence.keys(store, index)).transpose()?;
            let mut base = base.bucket(store, index, &primary)?;
            keys.iter().for_each(|keys| base.restrict(keys));
            let mut joined = join(&primary, &dr, base.leaves.as_deref());
            for candidate in joined.candidates.iter_mut().filter(|_| !base.told.is_empty()) {
                candidate.base = base.state_of(&candidate.key);
            }
            Ok(BucketPair { primary, dr, base_root: base.root, base_read: base.items, joined, common: BTreeSet::new() })
        })
        .collect()
}
