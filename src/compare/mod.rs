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
mod read;
mod settle;
mod sides;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use base::{Base, BaseSummary};
pub use changes::{CLOCK_PAD, ChangeEvidence};
pub use lost::{LostWrite, LostWrites};
pub use narrow::{Narrowed, compare_changed};
pub use read::{Progress, Quiet, Reading, TaskUnderWay, read_side};
pub use sides::{HowRead, Known, LogUse, SideLog, SideLogs};

use self::evidence::Evidence;
use self::sides::{SideLeaves, read_leaves};
use crate::diff::{BaseState, DeltaLine, HourCounts, JoinedBucket, ReplicationCounts, VerdictCounts, join};
use crate::digest::manifest::{MANIFEST_FORMAT, ManifestError, ManifestHeader, ManifestWriter};
use crate::digest::{BUCKETS, Bucket, CANONICAL_FORMAT, SinkError, bucket_root};
use crate::model::{Clock, Digest, Identity, Key, Side, StoreId, StoreKind, Timestamp, Verdict};
use crate::store::{StoreError, StorePair};

/// Buckets joined at the same time, at most.
const BUCKETS_AT_ONCE_MAX: usize = 8;

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
    /// The file of delta lines, in bucket order.
    pub delta: PathBuf,
    /// The folder of the manifests.
    pub manifests: PathBuf,
    /// Writes that a global table of both sides lost, as far as the streams show them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_writes: Option<LostWrites>,
    /// Indexes that every write of the primary may write as well.
    #[serde(default)]
    pub indexes: u64,
    /// Why the primary's own change log could not attribute differences that have no base, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unattributed_because: Option<String>,
    /// How the sides were read, and where their change logs stood; absent in what older versions wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub logs: Option<SideLogs>,
    /// Bytes of bodies that had to be read because the two sides share no proof of them; a later pass reads them again.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub body_bytes: u64,
    /// Why this is only a forecast, where it is: then it is never parity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forecast: Option<String>,
    /// What this kind of store's comparison does not look at.
    pub not_checked: Vec<String>,
    /// Where not everything was read: what it rests on. It then says nothing of parity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub narrowed: Option<Narrowed>,
}

impl Comparison {
    /// When the last reading ended.
    pub fn read_until(&self) -> Timestamp {
        self.primary.read_until.max(self.dr.read_until)
    }

    /// Whether both sides were read in full and are the same, by root.
    pub fn at_parity(&self) -> bool {
        let is_whole = self.narrowed.is_none() && self.forecast.is_none();
        is_whole && self.primary.root == self.dr.root && self.verdicts.differing() == 0
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
    let sides = 2 + base.readings();
    let budget = settings.memory_bytes / READING_SHARE / sides;
    let (primary, dr) = futures_util::try_join!(
        read_leaves(pair.primary.as_ref(), Side::Primary, budget, settings, clock, progress),
        read_leaves(pair.dr.as_ref(), Side::Dr, budget, settings, clock, progress),
    )?;
    let base_buckets = base.read(store, budget, settings, clock, progress).await?;
    let comparison = joined(pair, (primary, dr), Arc::new(base_buckets), None, settings, clock).await?;
    Ok(Comparison { body_bytes: comparison.body_bytes.saturating_sub(read_before), ..comparison })
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
    let (primary, dr) = (Arc::new(primary), Arc::new(dr));
    let at_once = buckets_at_once(settings, (&primary, &dr), &base_buckets);
    for first in (0..BUCKETS).step_by(at_once) {
        let joined = {
            let (primary, dr, base) = (primary.clone(), dr.clone(), base_buckets.clone());
            let store = store.clone();
            let indexes = first..(first + at_once).min(BUCKETS);
            tokio::task::spawn_blocking(move || join_buckets(&store, indexes, (&primary, &dr), &base, only_changed))
                .await
                .expect("joining buckets does not panic")?
        };
        for (offset, mut bucket) in joined.into_iter().enumerate() {
            if is_forecast {
                // What is only listed cannot be held against a base: it is the same on both sides, and that is all.
                bucket.joined.unchanged += std::mem::take(&mut bucket.joined.converged);
            }
            for candidate in &mut bucket.joined.candidates {
                let common = (settings.common_since)(&candidate.key);
                let common = common.map_err(|source| CompareError::Common { store: store.clone(), source })?;
                if let Some(common) = common {
                    candidate.base = common.map_or(BaseState::Absent, BaseState::Present);
                    bucket.common.insert(candidate.key.clone());
                }
            }
            let lines = settle::settle(pair, &mut bucket, settings, clock, &evidence).await?;
            outputs.write(store, first + offset, &bucket, &lines)?;
        }
    }
    base_buckets.prove_read(store, &outputs.base_roots, outputs.base_read)?;
    let (attributed, unattributed_because) = match evidence.attributed() {
        Some(Ok(since)) => (Some(BaseSummary { kind: "stream".into(), items: 0, as_of: Some(since) }), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let comparison = outputs.finish(pair, &primary, &dr, base_buckets.summary().or(attributed))?;
    let lost_writes = evidence.lost_writes(&comparison.dr.identity).await;
    let mut not_checked = not_checked(pair);
    not_checked.extend(narrowed.iter().map(|narrowed| {
        format!(
            "all but {} keys that the changes of either side name; this rests on {}",
            narrowed.keys, narrowed.rests_on
        )
    }));
    Ok(Comparison { not_checked, narrowed, unattributed_because, lost_writes, ..comparison })
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

fn body_bytes_read(pair: &StorePair) -> u64 {
    pair.primary.body_bytes_read() + pair.dr.body_bytes_read()
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

/// As many buckets as the memory that is left for joining holds, but one at least.
fn buckets_at_once(settings: &Settings, (primary, dr): (&SideLeaves, &SideLeaves), base: &base::BaseBuckets) -> usize {
    let each = primary.reading_bytes_max() + dr.reading_bytes_max() + base.reading_bytes_max();
    let room = settings.memory_bytes - settings.memory_bytes / READING_SHARE;
    (room / each.max(1)).clamp(1, BUCKETS_AT_ONCE_MAX)
}

fn join_buckets(
    store: &StoreId,
    indexes: std::ops::Range<usize>,
    (primary, dr): (&SideLeaves, &SideLeaves),
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

/// Where the delta is until it is whole.
fn draft_of(delta: &Path) -> PathBuf {
    delta.with_added_extension("unfinished")
}

/// The files a comparison writes.
struct Outputs {
    primary: ManifestWriter,
    dr: ManifestWriter,
    delta: BufWriter<File>,
    delta_path: PathBuf,
    manifests: PathBuf,
    verdicts: VerdictCounts,
    hours: Option<HourCounts>,
    replication: ReplicationCounts,
    base_items: u64,
    base_read: u64,
    base_roots: Box<[Digest; BUCKETS]>,
}

impl Outputs {
    fn create(store: &StoreId, settings: &Settings) -> Result<Outputs, CompareError> {
        let manifest = |source| CompareError::Manifest { store: store.clone(), source };
        let delta_path = settings.delta.clone();
        let delta_error = |source| CompareError::Delta { store: store.clone(), path: delta_path.clone(), source };
        let parent = delta_path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(delta_error)?;
        let delta = BufWriter::new(File::create(draft_of(&delta_path)).map_err(delta_error)?);
        Ok(Outputs {
            primary: ManifestWriter::create(&settings.manifests, Side::Primary).map_err(manifest)?,
            dr: ManifestWriter::create(&settings.manifests, Side::Dr).map_err(manifest)?,
            delta,
            delta_path,
            manifests: settings.manifests.clone(),
            verdicts: VerdictCounts::default(),
            hours: settings.hours_since.map(HourCounts::since),
            replication: ReplicationCounts::default(),
            base_items: 0,
            base_read: 0,
            base_roots: Box::new([bucket_root(&[]); BUCKETS]),
        })
    }

    fn write(
        &mut self,
        store: &StoreId,
        index: usize,
        bucket: &BucketPair,
        lines: &settle::Settled,
    ) -> Result<(), CompareError> {
        let manifest = |source| CompareError::Manifest { store: store.clone(), source };
        self.primary.write(index, &bucket.primary).map_err(manifest)?;
        self.dr.write(index, &bucket.dr).map_err(manifest)?;
        self.base_items += bucket.joined.base_items;
        self.base_read += bucket.base_read;
        self.base_roots[index] = bucket.base_root;
        self.verdicts.add(Verdict::Unchanged, bucket.joined.unchanged + lines.unchanged);
        self.verdicts.add(Verdict::Converged, bucket.joined.converged + lines.converged);
        for line in &lines.delta {
            self.verdicts.add(line.verdict, 1);
            self.hours.iter_mut().for_each(|hours| hours.add(line.changed_at));
            self.replication.add(line.verdict, line.replication.as_ref());
            self.line(line).map_err(|source| CompareError::Delta {
                store: store.clone(),
                path: self.delta_path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &DeltaLine) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.delta, line)?;
        self.delta.write_all(b"\n")
    }

    fn finish(
        mut self,
        pair: &StorePair,
        primary: &SideLeaves,
        dr: &SideLeaves,
        base: Option<BaseSummary>,
    ) -> Result<Comparison, CompareError> {
        let store = &pair.id;
        // What an earlier comparison found stays whole until this one is.
        let whole = self.delta.flush().and_then(|()| std::fs::rename(draft_of(&self.delta_path), &self.delta_path));
        whole.map_err(|source| CompareError::Delta { store: store.clone(), path: self.delta_path.clone(), source })?;
        let side = |writer: ManifestWriter, side: Side, reading: &SideLeaves| {
            let header = ManifestHeader {
                format: MANIFEST_FORMAT,
                canonical_format: CANONICAL_FORMAT,
                store: store.clone(),
                side,
                identity: reading.identity.clone(),
                read_from: reading.read_from,
                read_until: reading.read_until,
                items: writer.items(),
                root: writer.root(),
            };
            let header =
                writer.finish(header).map_err(|source| CompareError::Manifest { store: store.clone(), source })?;
            let ManifestHeader { identity, items, root, read_from, read_until, .. } = header;
            Ok(SideSummary { identity, items, root, read_from, read_until })
        };
        Ok(Comparison {
            store: store.clone(),
            kind: pair.primary.kind(),
            primary: side(self.primary, Side::Primary, primary)?,
            dr: side(self.dr, Side::Dr, dr)?,
            base: base.map(|base| BaseSummary { items: self.base_items, ..base }),
            verdicts: self.verdicts,
            hours: self.hours.filter(HourCounts::is_told),
            replication: Some(self.replication).filter(ReplicationCounts::is_told),
            delta: self.delta_path,
            manifests: self.manifests,
            lost_writes: None,
            indexes: pair.primary.indexes(),
            unattributed_because: None,
            logs: primary.log.clone().zip(dr.log.clone()).map(|(primary, dr)| SideLogs { primary, dr }),
            body_bytes: body_bytes_read(pair),
            forecast: forecast(pair),
            not_checked: Vec::new(),
            narrowed: None,
        })
    }
}
