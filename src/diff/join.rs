//! The merge join of one bucket of primary, dr and base.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{BaseState, Facts, classify};
use crate::digest::{Bucket, KeyRef, LeafRef};
use crate::model::{Key, Leaf, Timestamp, Verdict};

/// A key whose two sides differ by their leaves, or that moved while it was read: to be read again before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The key.
    pub key: Key,
    /// What the base says.
    pub base: BaseState,
    /// When the base's item was written, where its leaf tells.
    pub base_written_at: Option<Timestamp>,
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

/// Joins one bucket; `base` is `None` where there is no base, else sorted by key with each key once.
pub fn join(primary: &Bucket, dr: &Bucket, base: Option<&[Leaf]>) -> JoinedBucket {
    let mut joined = JoinedBucket { base_items: base.map_or(0, |base| base.len() as u64), ..JoinedBucket::default() };
    let restless: BTreeSet<&Key> = primary.restless().iter().chain(dr.restless()).collect();
    let mut restless = restless.into_iter().peekable();
    let mut unseen = Vec::new();
    let mut in_base = base.map(BaseWalk::new);
    let (mut primary_rows, mut dr_rows) = (primary.iter(), dr.iter());
    let (mut primary_row, mut dr_row) = (primary_rows.next(), dr_rows.next());
    while let Some((key, in_primary, in_dr)) = smaller(primary_row, dr_row) {
        let (base_state, base_written_at) = match in_base.as_mut() {
            Some(base) => state_of(base.seek(key)),
            None => (BaseState::Unknown, None),
        };
        let digests = (in_primary.map(|row| row.digest()), in_dr.map(|row| row.digest()));
        let verdict = classify(Facts::from_digests(base_state, digests.0, digests.1));
        while let Some(passed) = restless.next_if(|restless| KeyRef::whole(restless) < key) {
            unseen.push(passed);
        }
        let is_restless = restless.next_if(|restless| KeyRef::whole(restless) == key).is_some();
        if verdict.is_difference() || is_restless {
            joined.candidates.push(Candidate { key: key.to_key(), base: base_state, base_written_at });
        } else if verdict == Verdict::Converged {
            joined.converged += 1;
        } else {
            joined.unchanged += 1;
        }
        if in_primary.is_some() {
            primary_row = primary_rows.next();
        }
        if in_dr.is_some() {
            dr_row = dr_rows.next();
        }
    }
    // Neither side had these when it was read, and something happened to them: they may be there by now.
    unseen.extend(restless);
    let unseen = unseen.into_iter().map(|key| {
        let (base, base_written_at) = base_of(base, key);
        Candidate { key: key.clone(), base, base_written_at }
    });
    let unseen: Vec<Candidate> = unseen.collect();
    let read_again = unseen.iter().filter(|candidate| matches!(candidate.base, BaseState::Present(_))).count() as u64;
    // Items of the base that both sides deleted: they converged.
    joined.converged += in_base.map_or(0, BaseWalk::passed_over) - read_again;
    joined.candidates.extend(unseen);
    joined.candidates.sort_by(|one, other| one.key.cmp(&other.key));
    joined
}

/// The smaller key of two leaves, and which of them have it.
type Next<'a> = (KeyRef<'a>, Option<LeafRef<'a>>, Option<LeafRef<'a>>);

fn smaller<'a>(primary: Option<LeafRef<'a>>, dr: Option<LeafRef<'a>>) -> Option<Next<'a>> {
    let (Some(one), Some(other)) = (primary, dr) else {
        return primary.or(dr).map(|row| (row.key(), primary, dr));
    };
    Some(match one.key().cmp(&other.key()) {
        Ordering::Less => (one.key(), primary, None),
        Ordering::Equal => (one.key(), primary, dr),
        Ordering::Greater => (other.key(), None, dr),
    })
}

/// What the base says of a key, in any order of keys.
fn base_of(base: Option<&[Leaf]>, key: &Key) -> (BaseState, Option<Timestamp>) {
    let Some(base) = base else { return (BaseState::Unknown, None) };
    state_of(base.binary_search_by(|leaf| leaf.key.cmp(key)).ok().map(|at| &base[at]))
}

/// What a base says of a key of which it has this leaf, or none.
fn state_of(leaf: Option<&Leaf>) -> (BaseState, Option<Timestamp>) {
    leaf.map_or((BaseState::Absent, None), |leaf| (BaseState::Present(leaf.digest), leaf.modified_at))
}

/// Walks through a base in step with the sides.
struct BaseWalk<'a> {
    rest: &'a [Leaf],
    passed_over: u64,
}

impl<'a> BaseWalk<'a> {
    fn new(base: &'a [Leaf]) -> BaseWalk<'a> {
        BaseWalk { rest: base, passed_over: 0 }
    }

    /// The base's leaf of a key; keys come in ascending order.
    fn seek(&mut self, key: KeyRef<'_>) -> Option<&'a Leaf> {
        while let Some((leaf, rest)) = self.rest.split_first() {
            match KeyRef::whole(&leaf.key).cmp(&key) {
                Ordering::Less => self.passed_over += 1,
                Ordering::Equal => {
                    self.rest = rest;
                    return Some(leaf);
                }
                Ordering::Greater => break,
            }
            self.rest = rest;
        }
        None
    }

    /// Items of the base whose keys were not asked for.
    fn passed_over(self) -> u64 {
        self.passed_over + self.rest.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::key_of;
    use crate::model::{Digest, Value};

    fn leaf(key: u8, contents: u8) -> Leaf {
        Leaf {
            key: key_of(&Value::Number(i64::from(key).into())),
            digest: Digest([contents; 32]),
            size: 1,
            modified_at: None,
        }
    }

    fn bucket(items: &BTreeMap<u8, u8>) -> Bucket {
        Bucket::from_leaves(&items.iter().map(|(key, contents)| leaf(*key, *contents)).collect::<Vec<_>>())
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
            let joined = join(&bucket(&primary), &bucket(&dr), Some(&base_bucket.to_leaves()));
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
        let restless = Bucket::from_leaves(&[leaf(1, 2), leaf(1, 1)]);
        assert_eq!(restless.to_leaves(), both.to_leaves());
        assert_eq!(join(&restless, &both, None).candidates.len(), 1);
    }

    #[test]
    fn a_restless_key_that_neither_side_had_is_read_again_and_counted_once() {
        let both = bucket(&BTreeMap::from([(1, 1)]));
        let base = bucket(&BTreeMap::from([(1, 1), (2, 2), (3, 3)])).to_leaves();
        let touched = both.clone().with_restless(vec![base[1].key.clone(), base[2].key.clone()]);
        let joined = join(&both, &touched, Some(&base));
        let states: Vec<BaseState> = joined.candidates.iter().map(|candidate| candidate.base).collect();
        assert_eq!(states, base[1..].iter().map(|leaf| BaseState::Present(leaf.digest)).collect::<Vec<_>>());
        assert!(joined.candidates.is_sorted_by_key(|candidate| &candidate.key));
        assert_eq!((joined.unchanged, joined.converged), (1, 0), "what is read again is not counted yet");
        assert_eq!(join(&both, &both, Some(&base)).converged, 2);
        assert_eq!(join(&touched, &both, None).candidates[0].base, BaseState::Unknown);
    }

    #[test]
    fn leaves_that_agree_are_unchanged() {
        let both = bucket(&BTreeMap::from([(1, 1)]));
        assert_eq!(join(&both, &both, None).unchanged, 1);
    }
}
