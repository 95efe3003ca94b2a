//! A quick look: some segments of both sides, and what they say of the whole. It proves nothing and leaves nothing behind.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Result, Session, SessionError};
use crate::compare::CompareError;
use crate::diff::share_at_most;
use crate::model::{Item, Key, Side, StoreId};
use crate::store::{Depth, ReadStore, StoreError, StorePair};

/// Segments a store is cut into, where it can be.
const SEGMENTS: usize = 200;

/// Keys looked up on both sides at a time.
const KEYS_AT_ONCE: usize = 400;

/// What a quick look at one store saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreSample {
    /// The store.
    pub store: StoreId,
    /// Segments read on each side.
    pub segments_read: usize,
    /// Segments there are.
    pub segments: usize,
    /// Items looked at: those of dr's segments, and those of the primary's that dr has not.
    pub looked_at: u64,
    /// Items that both sides have with different contents.
    pub changed: u64,
    /// Items that only dr has.
    pub only_dr: u64,
    /// Items that only the primary has.
    pub only_primary: u64,
    /// The share of all items that differ at most, with 95 percent confidence. It takes segments for random picks of items,
    /// which they are as far as items that differ do not share a partition key.
    pub differing_at_most: f64,
}

impl StoreSample {
    /// Items that differ.
    pub fn differing(&self) -> u64 {
        self.changed + self.only_dr + self.only_primary
    }
}

/// What a quick look saw: never parity.
#[derive(Debug, Clone, Serialize)]
pub struct SampleOutcome {
    /// How much was to be read, in percent.
    pub percent: f64,
    /// The stores, in the profile's order.
    pub stores: Vec<StoreSample>,
}

impl SampleOutcome {
    /// Whether any item that was looked at differs.
    pub fn differs(&self) -> bool {
        self.stores.iter().any(|store| store.differing() > 0)
    }
}

impl Session {
    /// Looks at about `percent` of every chosen store, other segments at every run.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when a segment cannot be read.
    pub async fn sample(&self, percent: f64) -> Result<SampleOutcome> {
        let mut outcome = SampleOutcome { percent, stores: Vec::new() };
        for store in self.chosen() {
            let pair = self.pair(store).await?;
            self.require_same_shape(&pair).await?;
            let seed = u64::try_from(self.around.clock.now().as_millisecond()).unwrap_or_default();
            outcome.stores.push(sample(&pair, percent, seed).await?);
        }
        Ok(outcome)
    }
}

async fn sample(pair: &StorePair, percent: f64, seed: u64) -> Result<StoreSample> {
    let mut seen = StoreSample {
        store: pair.id.clone(),
        segments_read: 0,
        segments: 0,
        looked_at: 0,
        changed: 0,
        only_dr: 0,
        only_primary: 0,
        differing_at_most: 1.0,
    };
    let sides: [(Side, &dyn ReadStore); 2] = [(Side::Dr, pair.dr.as_ref()), (Side::Primary, pair.primary.as_ref())];
    for (side, store) in sides {
        let failed = |source| unread(pair, side, source);
        let scan = store.begin_scan(SEGMENTS).await.map_err(failed)?;
        let mut segments: Vec<usize> = (0..scan.partitions().max(1)).collect();
        segments.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let wanted = (segments.len() as f64 * percent / 100.0).ceil().max(1.0) as usize;
        (seen.segments, seen.segments_read) = (segments.len(), wanted.min(segments.len()));
        for segment in segments.into_iter().take(wanted) {
            let mut leaves = scan.leaves(segment);
            while let Some(batch) = leaves.try_next().await.map_err(failed)? {
                let keys: BTreeSet<Key> = batch.into_iter().map(|leaf| leaf.key).collect();
                let keys: Vec<Key> = keys.into_iter().collect();
                for keys in keys.chunks(KEYS_AT_ONCE) {
                    look(pair, side, keys, &mut seen).await?;
                }
            }
        }
    }
    seen.differing_at_most = share_at_most(seen.differing(), seen.looked_at);
    Ok(seen)
}

/// Reads keys that `side` had on both sides, and counts what they are now.
async fn look(pair: &StorePair, side: Side, keys: &[Key], seen: &mut StoreSample) -> Result<()> {
    for (at, (primary, dr)) in both(pair, keys, Depth::Evidence).await?.into_iter().enumerate() {
        match (primary, dr) {
            (Some(_), None) => seen.only_primary += 1,
            // The rest of the primary's segments was in dr's turn, or would have been.
            _ if side == Side::Primary => continue,
            (None, Some(_)) => seen.only_dr += 1,
            (Some(primary), Some(dr)) => {
                let same = match primary.same_as(&dr) {
                    Some(same) => same,
                    None => are_same_by_content(pair, &keys[at]).await?,
                };
                seen.changed += u64::from(!same);
            }
            (None, None) => continue,
        }
        seen.looked_at += 1;
    }
    Ok(())
}

async fn are_same_by_content(pair: &StorePair, key: &Key) -> Result<bool> {
    let mut items = both(pair, std::slice::from_ref(key), Depth::Content).await?;
    Ok(match items.pop() {
        Some((Some(primary), Some(dr))) => primary.same_as(&dr) == Some(true),
        Some((None, None)) => true,
        _ => false,
    })
}

async fn both(pair: &StorePair, keys: &[Key], depth: Depth) -> Result<Vec<(Option<Item>, Option<Item>)>> {
    let (primary, dr) = futures_util::join!(pair.primary.fetch(keys, depth), pair.dr.fetch(keys, depth));
    let primary = primary.map_err(|source| unread(pair, Side::Primary, source))?;
    let dr = dr.map_err(|source| unread(pair, Side::Dr, source))?;
    Ok(primary.into_iter().zip(dr).collect())
}

fn unread(pair: &StorePair, side: Side, source: StoreError) -> SessionError {
    SessionError::Compare(CompareError::Read { store: pair.id.clone(), side, source })
}
