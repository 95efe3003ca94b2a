//! The base: a manifest of an earlier day, or a store restored aside.

use serde::{Deserialize, Serialize};

use super::{CompareError, Progress, Reading, Settings, read_side};
use crate::digest::BUCKETS;
use crate::digest::manifest::Manifest;
use crate::model::{Clock, Digest, Leaf, Side, StoreId, Timestamp};
use crate::store::BaseStore;

/// About what a leaf of a manifest takes in memory while its bucket is read.
const MANIFEST_LEAF_BYTES: usize = 400;

/// Where the base of one store comes from.
#[derive(Clone)]
pub enum Base {
    /// There is none.
    None,
    /// A manifest written while both sides were in step.
    Manifest(Manifest),
    /// A store that holds the state at Tb.
    Store(BaseStore),
}

/// What is known of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseSummary {
    /// `checkpoint` or `store`.
    pub kind: String,
    /// Number of its items.
    pub items: u64,
    /// The instant it stands for, where that is known.
    pub as_of: Option<Timestamp>,
}

/// The leaves of a base, readable by bucket.
pub(super) enum BaseBuckets {
    None,
    Manifest(Manifest),
    Reading(Reading, Option<Timestamp>),
}

impl Base {
    /// The instant the base stands for.
    pub fn as_of(&self) -> Option<Timestamp> {
        match self {
            Base::None => None,
            Base::Manifest(manifest) => Some(manifest.header.read_from),
            Base::Store(base) => base.as_of,
        }
    }

    pub(super) async fn read(
        &self,
        _store: &StoreId,
        budget_bytes: usize,
        settings: &Settings,
        clock: &dyn Clock,
        progress: &dyn Progress,
    ) -> Result<BaseBuckets, CompareError> {
        Ok(match self {
            Base::None => BaseBuckets::None,
            Base::Manifest(manifest) => BaseBuckets::Manifest(manifest.clone()),
            Base::Store(base) => {
                let reading =
                    read_side(base.store.as_ref(), Side::Base, budget_bytes, settings, clock, progress).await?;
                BaseBuckets::Reading(reading, base.as_of)
            }
        })
    }
}

impl BaseBuckets {
    pub(super) fn leaves(&self, store: &StoreId, index: usize) -> Result<Option<Vec<Leaf>>, CompareError> {
        match self {
            BaseBuckets::None => Ok(None),
            BaseBuckets::Manifest(manifest) => {
                manifest.read(index).map(Some).map_err(|source| CompareError::Manifest { store: store.clone(), source })
            }
            BaseBuckets::Reading(reading, _) => reading
                .buckets
                .read(index)
                .map(|bucket| Some(bucket.to_leaves()))
                .map_err(|source| CompareError::Sink { store: store.clone(), source }),
        }
    }

    /// About the most memory that the leaves of one bucket take.
    pub(super) fn reading_bytes_max(&self) -> usize {
        match self {
            BaseBuckets::None => 0,
            BaseBuckets::Manifest(manifest) => {
                usize::try_from(manifest.header.items).unwrap_or(usize::MAX) / BUCKETS * MANIFEST_LEAF_BYTES
            }
            BaseBuckets::Reading(reading, _) => 2 * reading.buckets.reading_bytes_max(),
        }
    }

    /// Makes sure that what was read of a manifest is all of it.
    pub(super) fn prove_read(
        &self,
        store: &StoreId,
        roots: &[Digest; BUCKETS],
        items: u64,
    ) -> Result<(), CompareError> {
        let BaseBuckets::Manifest(manifest) = self else { return Ok(()) };
        let proved = manifest.prove_read(roots, items).map(drop);
        proved.map_err(|source| CompareError::Manifest { store: store.clone(), source })
    }

    pub(super) fn summary(&self) -> Option<BaseSummary> {
        match self {
            BaseBuckets::None => None,
            BaseBuckets::Manifest(manifest) => {
                Some(BaseSummary { kind: "checkpoint".into(), items: 0, as_of: Some(manifest.header.read_from) })
            }
            BaseBuckets::Reading(_, as_of) => Some(BaseSummary { kind: "store".into(), items: 0, as_of: *as_of }),
        }
    }
}
