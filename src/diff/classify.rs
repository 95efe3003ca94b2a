//! The verdict on one item, from what is equal to what.

use crate::model::{Digest, Verdict};

/// What is known of the base for one key; absence is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseState {
    /// There is no base.
    Unknown,
    /// The base is known not to have the item.
    Absent,
    /// The base has the item with these contents.
    Present(Digest),
}

/// The facts a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether primary and dr are the same, absence included.
    pub sides_same: bool,
    /// Whether the base equals primary and dr; `None` where there is no base.
    pub base: Option<BaseFacts>,
    /// Whether one side holds the item past its expiry and the other no longer has it.
    pub expired_on_one_side: bool,
}

/// What equals the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseFacts {
    /// Whether the primary is what it was.
    pub primary_same: bool,
    /// Whether dr is what it was.
    pub dr_same: bool,
}

impl Facts {
    /// The facts from plain digests, where equal digests are the only proof of equality.
    pub fn from_digests(base: BaseState, primary: Option<Digest>, dr: Option<Digest>) -> Facts {
        let against = |base: Option<Digest>| BaseFacts { primary_same: base == primary, dr_same: base == dr };
        let base = match base {
            BaseState::Unknown => None,
            BaseState::Absent => Some(against(None)),
            BaseState::Present(digest) => Some(against(Some(digest))),
        };
        Facts { sides_same: primary == dr, base, expired_on_one_side: false }
    }
}

/// The verdict: what happened to the item since the base.
///
/// A base that equals two sides which differ from each other contradicts itself (two kinds of proof disagree); that is a
/// conflict, so that a person looks at it.
pub fn classify(facts: Facts) -> Verdict {
    match (facts.sides_same, facts.base) {
        (true, Some(BaseFacts { primary_same: false, .. })) => Verdict::Converged,
        (true, _) => Verdict::Unchanged,
        (false, _) if facts.expired_on_one_side => Verdict::Expired,
        (false, None) => Verdict::Unattributed,
        (false, Some(BaseFacts { primary_same: true, dr_same: false })) => Verdict::DrOnly,
        (false, Some(BaseFacts { primary_same: false, dr_same: true })) => Verdict::Stranded,
        (false, Some(_)) => Verdict::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays every history of up to two writes a side on one key and compares the verdict with what truly happened.
    #[test]
    fn every_small_history_gets_the_verdict_of_what_happened() {
        let states = [None, Some(Digest([1; 32])), Some(Digest([2; 32])), Some(Digest([3; 32]))];
        let mut checked = 0;
        for base in states {
            for primary_path in paths(&states) {
                for dr_path in paths(&states) {
                    let primary = primary_path.last().copied().unwrap_or(base);
                    let dr = dr_path.last().copied().unwrap_or(base);
                    let known = base.map_or(BaseState::Absent, BaseState::Present);
                    let verdict = classify(Facts::from_digests(known, primary, dr));
                    assert_eq!(verdict, truth(base, primary, dr), "{base:?} {primary:?} {dr:?}");
                    let without_base = classify(Facts::from_digests(BaseState::Unknown, primary, dr));
                    let expected = if primary == dr { Verdict::Unchanged } else { Verdict::Unattributed };
                    assert_eq!(without_base, expected);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 4 * 21 * 21);
    }

    /// The net effect of a history: a change that was changed back is no change.
    fn truth(base: Option<Digest>, primary: Option<Digest>, dr: Option<Digest>) -> Verdict {
        let (primary_changed, dr_changed) = (primary != base, dr != base);
        match (primary_changed, dr_changed, primary == dr) {
            (false, false, _) => Verdict::Unchanged,
            (false, true, _) => Verdict::DrOnly,
            (true, false, _) => Verdict::Stranded,
            (true, true, true) => Verdict::Converged,
            (true, true, false) => Verdict::Conflict,
        }
    }

    fn paths(states: &[Option<Digest>]) -> Vec<Vec<Option<Digest>>> {
        let mut paths = vec![vec![]];
        paths.extend(states.iter().map(|state| vec![*state]));
        paths.extend(states.iter().flat_map(|a| states.iter().map(|b| vec![*a, *b])));
        paths
    }

    #[test]
    fn expiry_and_contradiction_are_never_a_plain_change() {
        let differing = |base| Facts { sides_same: false, base, expired_on_one_side: false };
        let both_same = Some(BaseFacts { primary_same: true, dr_same: true });
        assert_eq!(classify(differing(both_same)), Verdict::Conflict);
        let expired = Facts { expired_on_one_side: true, ..differing(None) };
        assert_eq!(classify(expired), Verdict::Expired);
    }
}
