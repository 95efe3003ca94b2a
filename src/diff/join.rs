//! The merge join of one bucket of primary, dr and base.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{BaseState, Facts, classify};
use crate::digest::Bucket;
use crate::model::{Key, Leaf, Verdict};

/// A key whose two sides differ by their leaves, or that moved while it was read: to be read again before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The key.
    pub key: Key,
    /// What the base says.
    pub base: BaseState,
}

/// One bucket, joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinedBucket {
    /// Keys that are the same on both sides and the same as the base, or without a base.
    pub unchanged: u64,
    /// Keys that are the same on both sides and differ from the base.
    pub converged: u64,
    /// Keys to be read again, in key order.
    pub candidates: Vec<Candidate>,
    /// Leaves of the base in this bucket.
    pub base_items: u64,
}

/// Joins one bucket; `base` is `None` where there is no base. All leaves are sorted by key with each key once.
pub fn join(primary: &Bucket, dr: &Bucket, base: Option<&[Leaf]>) -> JoinedBucket {
    let mut joined = JoinedBucket { base_items: base.map_or(0, |base| base.len() as u64), ..JoinedBucket::default() };
    let restless: BTreeSet<&Key> = primary.restless.iter().chain(&dr.restless).collect();
    let mut unseen = restless.clone();
    let (mut primary_at, mut dr_at, mut base_at) = (0, 0, 0);
    loop {
        let primary_leaf = primary.leaves.get(primary_at);
        let dr_leaf = dr.leaves.get(dr_at);
        let Some(key) = smaller(primary_leaf, dr_leaf) else { break };
        let in_primary = primary_leaf.filter(|leaf| leaf.key == *key).map(|leaf| leaf.digest);
        let in_dr = dr_leaf.filter(|leaf| leaf.key == *key).map(|leaf| leaf.digest);
        let base_state = base.map_or(BaseState::Unknown, |base| seek(base, &mut base_at, key));
        let verdict = classify(Facts::from_digests(base_state, in_primary, in_dr));
        unseen.remove(key);
        if verdict.is_difference() || restless.contains(key) {
            joined.candidates.push(Candidate { key: key.clone(), base: base_state });
        } else if verdict == Verdict::Converged {
            joined.converged += 1;
        } else {
            joined.unchanged += 1;
        }
        primary_at += usize::from(in_primary.is_some());
        dr_at += usize::from(in_dr.is_some());
    }
    joined.converged += base.map_or(0, |base| gone_from_both(primary, dr, base, &unseen));
    // Neither side had these when it was read, and something happened to them: they may be there by now.
    joined.candidates.extend(unseen.into_iter().map(|key| Candidate { key: key.clone(), base: base_of(base, key) }));
    joined.candidates.sort_by(|one, other| one.key.cmp(&other.key));
    joined
}

fn smaller<'a>(one: Option<&'a Leaf>, other: Option<&'a Leaf>) -> Option<&'a Key> {
    match (one, other) {
        (Some(one), Some(other)) if other.key.cmp(&one.key) == Ordering::Less => Some(&other.key),
        (Some(one), _) => Some(&one.key),
        (None, other) => other.map(|leaf| &leaf.key),
    }
}

fn seek(base: &[Leaf], at: &mut usize, key: &Key) -> BaseState {
    while base.get(*at).is_some_and(|leaf| leaf.key < *key) {
        *at += 1;
    }
    match base.get(*at) {
        Some(leaf) if leaf.key == *key => BaseState::Present(leaf.digest),
        _ => BaseState::Absent,
    }
}

/// What the base says of a key, in any order of keys.
fn base_of(base: Option<&[Leaf]>, key: &Key) -> BaseState {
    let Some(base) = base else { return BaseState::Unknown };
    let found = base.binary_search_by(|leaf| leaf.key.cmp(key));
    found.map_or(BaseState::Absent, |at| BaseState::Present(base[at].digest))
}

/// Items of the base that both sides deleted, those apart that are read again: they converged.
fn gone_from_both(primary: &Bucket, dr: &Bucket, base: &[Leaf], unseen: &BTreeSet<&Key>) -> u64 {
    let has = |bucket: &Bucket, key: &Key| bucket.leaves.binary_search_by(|leaf| leaf.key.cmp(key)).is_ok();
    let is_gone = |leaf: &&Leaf| !has(primary, &leaf.key) && !has(dr, &leaf.key) && !unseen.contains(&leaf.key);
    base.iter().filter(is_gone).count() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::key_of;
    use crate::model::{Digest, Value};

    fn bucket(items: &BTreeMap<u8, u8>) -> Bucket {
        let leaf = |(key, contents): (&u8, &u8)| Leaf {
            key: key_of(&Value::Number(i64::from(*key).into())),
            digest: Digest([*contents; 32]),
            size: 1,
            modified_at: None,
        };
        Bucket::from_leaves(items.iter().map(leaf).collect())
    }

    proptest! {
        /// Random histories with planted truth: the verdict of every key must be exactly the planted one.
        #[test]
        fn verdict_sets_are_exactly_the_planted_ones(
            base in prop::collection::btree_map(0u8..40, 0u8..3, 0..40),
            primary in prop::collection::btree_map(0u8..40, 0u8..3, 0..40),
            dr in prop::collection::btree_map(0u8..40, 0u8..3, 0..40),
        ) {
            let base_bucket = bucket(&base);
            let joined = join(&bucket(&primary), &bucket(&dr), Some(&base_bucket.leaves));
            let (mut unchanged, mut converged, mut differing) = (0, 0, Vec::new());
            for key in 0u8..40 {
                let (b, p, d) = (base.get(&key), primary.get(&key), dr.get(&key));
                match (b, p, d) {
                    (None, None, None) => {}
                    _ if p != d => differing.push(key_of(&Value::Number(i64::from(key).into()))),
                    _ if b == p => unchanged += 1,
                    _ => converged += 1,
                }
            }
            differing.sort();
            let candidates: Vec<Key> = joined.candidates.iter().map(|candidate| candidate.key.clone()).collect();
            prop_assert_eq!(candidates, differing);
            prop_assert_eq!((joined.unchanged, joined.converged), (unchanged, converged));
        }
    }

    #[test]
    fn a_restless_key_is_read_again_though_its_leaves_agree() {
        let both = bucket(&BTreeMap::from([(1, 1)]));
        let restless = Bucket { restless: vec![both.leaves[0].key.clone()], ..both.clone() };
        let read_again = join(&restless, &both, None);
        assert_eq!((read_again.candidates.len(), read_again.unchanged), (1, 0));
    }

    #[test]
    fn a_restless_key_that_neither_side_had_is_read_again_and_counted_once() {
        let (both, base) = (bucket(&BTreeMap::from([(1, 1)])), bucket(&BTreeMap::from([(1, 1), (2, 2), (3, 3)])));
        let touched = Bucket { restless: vec![base.leaves[2].key.clone(), base.leaves[1].key.clone()], ..both.clone() };
        let joined = join(&both, &touched, Some(&base.leaves));
        let states: Vec<BaseState> = joined.candidates.iter().map(|candidate| candidate.base).collect();
        assert_eq!(states, base.leaves[1..].iter().map(|leaf| BaseState::Present(leaf.digest)).collect::<Vec<_>>());
        assert!(joined.candidates.is_sorted_by_key(|candidate| &candidate.key));
        assert_eq!((joined.unchanged, joined.converged), (1, 0), "what is read again is not counted yet");
        assert_eq!(join(&both, &both, Some(&base.leaves)).converged, 2);
        assert_eq!(join(&touched, &both, None).candidates[0].base, BaseState::Unknown);
    }

    #[test]
    fn leaves_that_agree_are_unchanged() {
        let both = bucket(&BTreeMap::from([(1, 1)]));
        assert_eq!(join(&both, &both, None).unchanged, 1);
    }
}
