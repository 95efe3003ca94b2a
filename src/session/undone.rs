//! Proves that an undo put the primary back to what it was, by root.

use serde::Serialize;

use super::diff::other_leaves;
use super::{Result, Session, SessionError};
use crate::compare::{CompareError, read_side};
use crate::digest::manifest::Manifest;
use crate::digest::{BUCKETS, bucket_root, root_of};
use crate::model::{Digest, Key, Leaf, Side, StoreId};
use crate::profile::StoreProfile;
use crate::store::{Depth, StorePair};

/// Items read again in one request.
const KEYS_AT_ONCE: usize = 400;

/// Whether the primary is what it was before this session.
#[derive(Debug, Clone, Serialize)]
pub struct UndoneOutcome {
    /// The stores: the root before, the root now.
    pub stores: Vec<(StoreId, Digest, Digest)>,
}

impl UndoneOutcome {
    /// Whether every root is what it was.
    pub fn is_as_before(&self) -> bool {
        self.stores.iter().all(|(_, before, now)| before == now)
    }
}

impl Session {
    /// Reads the primary and compares it with what it was before this session's first write.
    ///
    /// # Errors
    ///
    /// [`SessionError::NothingWritten`] when no replay began; others when a baseline or the primary cannot be read.
    pub async fn verify_undone(&self) -> Result<UndoneOutcome> {
        let mut outcome = UndoneOutcome { stores: Vec::new() };
        let replayed = |store: &&StoreProfile| self.was_replayed(&StoreId(store.name.clone()));
        let written: Vec<&StoreProfile> = self.chosen().into_iter().filter(replayed).collect();
        if written.is_empty() {
            return Err(SessionError::NothingWritten);
        }
        for store in written {
            let pair = self.pair(store).await?;
            let id = pair.id.clone();
            let damaged = |source| SessionError::Compare(CompareError::Manifest { store: id.clone(), source });
            let baseline = self.baseline(&id, Side::Primary).map_err(damaged)?;
            baseline.prove().map_err(damaged)?;
            if let Some(why) = other_leaves(&baseline, &pair) {
                return Err(SessionError::OtherLeaves { store: id.0.clone(), why });
            }
            let now = self.root_against(store, &pair, &baseline).await?;
            outcome.stores.push((pair.id.clone(), baseline.header.root, now));
        }
        Ok(outcome)
    }

    /// The primary's root now. An item that is proved to be what it was by another kind of proof (a restored object may
    /// carry other checksums) counts with the digest it had.
    async fn root_against(&self, store: &StoreProfile, pair: &StorePair, baseline: &Manifest) -> Result<Digest> {
        let settings = self.settings(store, "undone");
        let (clock, progress) = (self.around.clock.as_ref(), self.around.progress.as_ref());
        let budget = settings.memory_bytes;
        let reading = read_side(pair.primary.as_ref(), Side::Primary, budget, &settings, clock, progress).await?;
        let id = &pair.id;
        let mut roots = Box::new([bucket_root(&[]); BUCKETS]);
        for (index, root) in roots.iter_mut().enumerate() {
            let read = reading.buckets.read(index);
            let mut now = read.map_err(|source| CompareError::Sink { store: id.clone(), source })?.to_leaves();
            let before = baseline.read(index);
            let before = before.map_err(|source| CompareError::Manifest { store: id.clone(), source })?;
            settle(pair, &mut now, &before).await?;
            *root = bucket_root(&now);
        }
        Ok(root_of(&roots))
    }
}

async fn settle(pair: &StorePair, now: &mut [Leaf], before: &[Leaf]) -> Result<()> {
    let digest_before = |key: &Key| before.binary_search_by(|leaf| leaf.key.cmp(key)).ok().map(|at| before[at].digest);
    let changed: Vec<usize> = (0..now.len())
        .filter(|at| digest_before(&now[*at].key).is_some_and(|digest| digest != now[*at].digest))
        .collect();
    for batch in changed.chunks(KEYS_AT_ONCE) {
        let keys: Vec<Key> = batch.iter().map(|at| now[*at].key.clone()).collect();
        let items = pair.primary.fetch(&keys, Depth::Content).await;
        let read = |source| CompareError::Read { store: pair.id.clone(), side: Side::Primary, source };
        for (at, item) in batch.iter().zip(items.map_err(read)?) {
            if let (Some(item), Some(before)) = (item, digest_before(&now[*at].key))
                && item.is_proved_by(&before)
            {
                now[*at].digest = before;
            }
        }
    }
    Ok(())
}
