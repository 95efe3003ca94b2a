//! Reads both sides of a store and its base, joins them bucket by bucket, reads every difference once more, and writes the
//! manifests and the delta.
//!
//! Both the diff and the independent verification use this code; they never share what it read. Nothing here decides what
//! to do about a difference.

mod base;
mod evidence;
mod lost;
mod read;
mod settle;
mod sides;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use base::{Base, BaseSummary};
pub use lost::{LostWrite, LostWrites};
pub use read::{Progress, Quiet, Reading, read_side};
pub use sides::{HowRead, Known, LogUse, SideLog, SideLogs};

use self::evidence::Evidence;
use self::sides::{SideLeaves, read_leaves};
use crate::diff::{BaseState, DeltaLine, HourCounts, JoinedBucket, VerdictCounts, join};
use crate::digest::manifest::{MANIFEST_FORMAT, ManifestError, ManifestHeader, ManifestWriter};
use crate::digest::{BUCKETS, Bucket, CANONICAL_FORMAT, SinkError, bucket_root};
use crate::model::{Clock, Digest, Identity, Side, StoreId, StoreKind, Timestamp, Verdict};
use crate::store::{StoreError, StorePair};

/// Buckets joined at the same time; with two sides and a base this bounds what is in memory beyond the sinks' budget.
const BUCKETS_AT_ONCE: usize = 8;

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
pub type CommonSince = Arc<dyn Fn(&crate::model::Key) -> Result<Option<Option<Digest>>, LookupError> + Send + Sync>;

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
    /// What this kind of store's comparison does not look at.
    pub not_checked: Vec<String>,
}

impl Comparison {
    /// When the last reading ended.
    pub fn read_until(&self) -> Timestamp {
        self.primary.read_until.max(self.dr.read_until)
    }

    /// Whether both sides are the same, by root.
    pub fn at_parity(&self) -> bool {
        self.primary.root == self.dr.root && self.verdicts.differing() == 0
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
    let sides = 2 + usize::from(matches!(base, Base::Store(_)));
    let budget = settings.memory_bytes / sides;
    let (primary, dr) = futures_util::try_join!(
        read_leaves(pair.primary.as_ref(), Side::Primary, budget, settings, clock, progress),
        read_leaves(pair.dr.as_ref(), Side::Dr, budget, settings, clock, progress),
    )?;
    let base_buckets = base.read(store, budget, settings, clock, progress).await?;
    let mut outputs = Outputs::create(store, settings)?;
    let is_open = !matches!(settings.logs, LogUse::Ignored);
    let evidence = Evidence::new(pair, clock, is_open, settings.attribute_since);
    let (primary, dr, base_buckets) = (Arc::new(primary), Arc::new(dr), Arc::new(base_buckets));
    for first in (0..BUCKETS).step_by(BUCKETS_AT_ONCE) {
        let joined = {
            let (primary, dr, base) = (primary.clone(), dr.clone(), base_buckets.clone());
            let store = store.clone();
            tokio::task::spawn_blocking(move || join_buckets(&store, first, &primary, &dr, &base))
                .await
                .expect("joining buckets does not panic")?
        };
        for (offset, mut bucket) in joined.into_iter().enumerate() {
            for candidate in &mut bucket.joined.candidates {
                let common = (settings.common_since)(&candidate.key);
                let common = common.map_err(|source| CompareError::Common { store: store.clone(), source })?;
                if let Some(common) = common {
                    candidate.base = common.map_or(BaseState::Absent, BaseState::Present);
                }
            }
            let lines = settle::settle(pair, &mut bucket, settings, clock, &evidence).await?;
            outputs.write(store, first + offset, &bucket, &lines)?;
        }
    }
    base_buckets.prove_read(store, &outputs.base_roots, outputs.base_items)?;
    let (attributed, unattributed_because) = match evidence.attributed() {
        Some(Ok(since)) => (Some(BaseSummary { kind: "stream".into(), items: 0, as_of: Some(since) }), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let comparison = outputs.finish(pair, &primary, &dr, base_buckets.summary().or(attributed))?;
    let lost_writes = evidence.lost_writes(&comparison.dr.identity).await;
    Ok(Comparison { not_checked: not_checked(pair), unattributed_because, lost_writes, ..comparison })
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
    joined: JoinedBucket,
}

fn join_buckets(
    store: &StoreId,
    first: usize,
    primary: &SideLeaves,
    dr: &SideLeaves,
    base: &base::BaseBuckets,
) -> Result<Vec<BucketPair>, CompareError> {
    use rayon::prelude::*;
    (first..(first + BUCKETS_AT_ONCE).min(BUCKETS))
        .into_par_iter()
        .map(|index| {
            let primary = primary.bucket(store, index)?;
            let dr = dr.bucket(store, index)?;
            let base = base.leaves(store, index)?;
            let joined = join(&primary, &dr, base.as_deref());
            let base_root = bucket_root(base.as_deref().unwrap_or_default());
            Ok(BucketPair { primary, dr, base_root, joined })
        })
        .collect()
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
    base_items: u64,
    base_roots: Box<[Digest; BUCKETS]>,
}

impl Outputs {
    fn create(store: &StoreId, settings: &Settings) -> Result<Outputs, CompareError> {
        let manifest = |source| CompareError::Manifest { store: store.clone(), source };
        let delta_path = settings.delta.clone();
        let delta_error = |source| CompareError::Delta { store: store.clone(), path: delta_path.clone(), source };
        let parent = delta_path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(delta_error)?;
        let delta = BufWriter::new(File::create(&delta_path).map_err(delta_error)?);
        Ok(Outputs {
            primary: ManifestWriter::create(&settings.manifests, Side::Primary).map_err(manifest)?,
            dr: ManifestWriter::create(&settings.manifests, Side::Dr).map_err(manifest)?,
            delta,
            delta_path,
            manifests: settings.manifests.clone(),
            verdicts: VerdictCounts::default(),
            hours: settings.hours_since.map(HourCounts::since),
            base_items: 0,
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
        self.primary.write(index, &bucket.primary.leaves).map_err(manifest)?;
        self.dr.write(index, &bucket.dr.leaves).map_err(manifest)?;
        self.base_items += bucket.joined.base_items;
        self.base_roots[index] = bucket.base_root;
        self.verdicts.add(Verdict::Unchanged, bucket.joined.unchanged + lines.unchanged);
        self.verdicts.add(Verdict::Converged, bucket.joined.converged + lines.converged);
        for line in &lines.delta {
            self.verdicts.add(line.verdict, 1);
            self.hours.iter_mut().for_each(|hours| hours.add(line.changed_at));
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
        self.delta.flush().map_err(|source| CompareError::Delta {
            store: store.clone(),
            path: self.delta_path.clone(),
            source,
        })?;
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
            delta: self.delta_path,
            manifests: self.manifests,
            lost_writes: None,
            indexes: pair.primary.indexes(),
            unattributed_because: None,
            logs: primary.log.clone().zip(dr.log.clone()).map(|(primary, dr)| SideLogs { primary, dr }),
            not_checked: Vec::new(),
        })
    }
}
