//! The base: a manifest of an earlier day, a store restored aside, an export, or what logs of changes tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::changes::{ChangeEvidence, EvidenceBuckets, LogBuckets, fold, read_chain};
use super::settle::patch;
use super::{CompareError, Progress, Reading, Settings, read_side};
use crate::diff::BaseState;
use crate::digest::manifest::Manifest;
use crate::digest::{BUCKETS, Bucket, bucket_root};
use crate::model::{Clock, Digest, Key, Leaf, Side, StoreId, Timestamp};
use crate::store::{BaseStore, BaseStoreKind};

/// About what a leaf of a manifest takes in memory while its bucket is read.
const MANIFEST_LEAF_BYTES: usize = 400;

/// About the most memory that the leaves of one bucket of a manifest take.
pub(super) fn manifest_bytes_max(manifest: &Manifest) -> usize {
    usize::try_from(manifest.header.items).unwrap_or(usize::MAX) / BUCKETS * MANIFEST_LEAF_BYTES
}

/// Where the base of one store comes from.
#[derive(Clone)]
pub enum Base {
    /// There is none.
    None,
    /// A manifest written while both sides were in step.
    Manifest(Box<Manifest>),
    /// A store that holds the state at Tb.
    Store(BaseStore),
    /// What logs of changes tell, on top of another base where there is one.
    Changes {
        /// The other base.
        below: Box<Base>,
        /// The logs.
        evidence: ChangeEvidence,
    },
}

/// What is known of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseSummary {
    /// `checkpoint`, `store`, `export` or `changes`.
    pub kind: String,
    /// Number of its items.
    pub items: u64,
    /// The instant it stands for, where that is known.
    pub as_of: Option<Timestamp>,
}

impl Base {
    /// The instant the base stands for.
    pub fn as_of(&self) -> Option<Timestamp> {
        match self {
            Base::None => None,
            Base::Manifest(manifest) => Some(manifest.header.read_from),
            Base::Store(base) => base.as_of,
            Base::Changes { below, evidence } => match below.as_ref() {
                Base::None => Some(evidence.at()),
                below => below.as_of(),
            },
        }
    }

    /// Readings that share the memory of a comparison, beside those of both sides.
    pub(super) fn readings(&self) -> usize {
        match self {
            Base::None | Base::Manifest(_) => 0,
            Base::Store(base) => 1 + usize::from(!base.since.is_empty()),
            Base::Changes { below, .. } => 1 + below.readings(),
        }
    }

    pub(super) async fn read(
        &self,
        store: &StoreId,
        budget_bytes: usize,
        settings: &Settings,
        clock: &dyn Clock,
        progress: &dyn Progress,
    ) -> Result<BaseBuckets, CompareError> {
        Ok(match self {
            Base::None => BaseBuckets::None,
            Base::Manifest(manifest) => BaseBuckets::Manifest(manifest.clone()),
            Base::Store(base) => {
                let logs = base.since.logs().len().max(1);
                let reading =
                    read_side(base.store.as_ref(), Side::Base, budget_bytes, settings, clock, progress).await?;
                let since = read_chain(store, Side::Base, &base.since, budget_bytes / logs, settings, progress).await?;
                BaseBuckets::Reading { reading, since, kind: base.kind, as_of: base.as_of }
            }
            Base::Changes { below, evidence } => {
                let under = Box::pin(below.read(store, budget_bytes, settings, clock, progress)).await?;
                let evidence = evidence.read(store, budget_bytes, settings, progress).await?;
                BaseBuckets::Changes { below: Box::new(under), evidence, as_of: self.as_of() }
            }
        })
    }
}

/// The leaves of a base, readable by bucket.
pub(super) enum BaseBuckets {
    None,
    Manifest(Box<Manifest>),
    Reading { reading: Reading, since: Vec<LogBuckets>, kind: BaseStoreKind, as_of: Option<Timestamp> },
    Changes { below: Box<BaseBuckets>, evidence: EvidenceBuckets, as_of: Option<Timestamp> },
}

/// One bucket of a base.
pub(super) struct BaseBucket {
    /// Its leaves, sorted; `None` where nothing is known of a key that is not told of by itself.
    pub leaves: Option<Vec<Leaf>>,
    /// What is told of single keys, which goes before the leaves.
    pub told: BTreeMap<Key, BaseState>,
    /// The root of the leaves that were read, before anything was put right.
    pub root: Digest,
    /// The number of those leaves.
    pub items: u64,
}

impl BaseBucket {
    fn of(leaves: Option<Vec<Leaf>>) -> BaseBucket {
        let read = leaves.as_deref().unwrap_or_default();
        BaseBucket { root: bucket_root(read), items: read.len() as u64, told: BTreeMap::new(), leaves }
    }

    /// What is known of a key.
    pub(super) fn state_of(&self, key: &Key) -> BaseState {
        if let Some(state) = self.told.get(key) {
            return *state;
        }
        let Some(leaves) = &self.leaves else { return BaseState::Unknown };
        let found = leaves.binary_search_by(|leaf| leaf.key.cmp(key));
        found.map_or(BaseState::Absent, |at| BaseState::Present(leaves[at].digest))
    }

    /// Puts what is told into the leaves, so that a key both sides hold alike is counted as what it is; where it is told
    /// that nothing is known, as the primary has it.
    pub(super) fn settle(&mut self, primary: &[Leaf]) {
        let Some(leaves) = &mut self.leaves else { return };
        let as_primary = |key: &Key| {
            let found = primary.binary_search_by(|leaf| leaf.key.cmp(key));
            found.ok().map(|at| primary[at].clone())
        };
        let told = self.told.iter().map(|(key, state)| {
            let leaf = match state {
                BaseState::Unknown => as_primary(key),
                BaseState::Absent => None,
                BaseState::Present(digest) => {
                    Some(Leaf { key: key.clone(), digest: *digest, size: 0, modified_at: None })
                }
            };
            (key.clone(), leaf)
        });
        patch(leaves, told.collect());
    }

    /// Leaves only these keys.
    pub(super) fn restrict(&mut self, keys: &BTreeSet<Key>) {
        if let Some(leaves) = &mut self.leaves {
            leaves.retain(|leaf| keys.contains(&leaf.key));
        }
    }
}

impl BaseBuckets {
    /// Whether its leaves are the primary's own of an earlier time.
    pub(super) fn is_checkpoint(&self) -> bool {
        matches!(self, BaseBuckets::Manifest(_))
    }

    /// Reads one bucket; `primary` is the primary's.
    pub(super) fn bucket(&self, store: &StoreId, index: usize, primary: &Bucket) -> Result<BaseBucket, CompareError> {
        match self {
            BaseBuckets::None => Ok(BaseBucket::of(None)),
            BaseBuckets::Manifest(manifest) => {
                let leaves = manifest.read(index);
                let leaves = leaves.map_err(|source| CompareError::Manifest { store: store.clone(), source })?;
                Ok(BaseBucket::of(Some(leaves)))
            }
            BaseBuckets::Reading { reading, since, kind, .. } => {
                let bucket = reading.buckets.read(index);
                let bucket = bucket.map_err(|source| CompareError::Sink { store: store.clone(), source })?;
                // A table may be written while it is read; an export may not tell two things of one key.
                if *kind == BaseStoreKind::Export && !bucket.restless().is_empty() {
                    let why = format!("{} tells two things of one key", reading.identity.resource);
                    return Err(CompareError::Base { store: store.clone(), why });
                }
                let mut leaves = bucket.to_leaves();
                fold(store, since, index, &mut leaves)?;
                Ok(BaseBucket::of(Some(leaves)))
            }
            BaseBuckets::Changes { below, evidence, .. } => {
                let below = below.bucket(store, index, primary)?;
                evidence.base(store, index, &primary.to_leaves(), below)
            }
        }
    }

    /// What the logs of changes tell, where the base rests on them.
    pub(super) fn evidence(&self) -> Option<&EvidenceBuckets> {
        match self {
            BaseBuckets::Changes { evidence, .. } => Some(evidence),
            _ => None,
        }
    }

    /// About the most memory that the leaves of one bucket take.
    pub(super) fn reading_bytes_max(&self) -> usize {
        match self {
            BaseBuckets::None => 0,
            BaseBuckets::Manifest(manifest) => manifest_bytes_max(manifest),
            BaseBuckets::Reading { reading, since, .. } => {
                let logs: usize = since.iter().map(LogBuckets::reading_bytes_max).sum();
                2 * (reading.buckets.reading_bytes_max() + logs)
            }
            BaseBuckets::Changes { below, evidence, .. } => below.reading_bytes_max() + evidence.reading_bytes_max(),
        }
    }

    /// Makes sure that what was read of a manifest is all of it.
    pub(super) fn prove_read(
        &self,
        store: &StoreId,
        roots: &[Digest; BUCKETS],
        items: u64,
    ) -> Result<(), CompareError> {
        match self {
            BaseBuckets::Manifest(manifest) => {
                let proved = manifest.prove_read(roots, items).map(drop);
                proved.map_err(|source| CompareError::Manifest { store: store.clone(), source })
            }
            BaseBuckets::Changes { below, .. } => below.prove_read(store, roots, items),
            BaseBuckets::None | BaseBuckets::Reading { .. } => Ok(()),
        }
    }

    pub(super) fn summary(&self) -> Option<BaseSummary> {
        let summary = |kind: &str, as_of| Some(BaseSummary { kind: kind.to_owned(), items: 0, as_of });
        match self {
            BaseBuckets::None => None,
            BaseBuckets::Manifest(manifest) => summary("checkpoint", Some(manifest.header.read_from)),
            BaseBuckets::Reading { kind, as_of, .. } => summary(kind.word(), *as_of),
            BaseBuckets::Changes { as_of, .. } => summary("changes", *as_of),
        }
    }
}
