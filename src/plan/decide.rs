//! What is done about one difference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diff::{BaseState, DeltaLine};
use crate::model::{Change, Side, Verdict};
use crate::profile::{ConflictPolicy, DeletePolicy, PolicyProfile, StrandedPolicy, UnattributedPolicy};

/// The decision on one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Make the primary what dr is.
    FollowDr,
    /// Leave the difference, named in the certificate; the text says why.
    Accept(String),
    /// A person must decide; the text says why.
    Hold(String),
}

/// A person's word on one held item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// dr's contents win.
    Dr,
    /// The primary's contents win; an accepted difference.
    Primary,
    /// dr's contents win, and both sides' contents are kept in a file for the business.
    Both,
}

impl Ruling {
    /// All rulings.
    pub const ALL: [Ruling; 3] = [Ruling::Dr, Ruling::Primary, Ruling::Both];

    /// The word in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Ruling::Dr => "dr",
            Ruling::Primary => "primary",
            Ruling::Both => "both",
        }
    }

    /// The ruling of a word.
    pub fn named(word: &str) -> Option<Ruling> {
        Ruling::ALL.into_iter().find(|ruling| ruling.word() == word)
    }

    /// What becomes of the item, in words.
    pub fn consequence(self) -> &'static str {
        match self {
            Ruling::Dr => "dr's contents go to the primary",
            Ruling::Primary => "the primary's contents stay, an accepted difference",
            Ruling::Both => "dr's contents go to the primary, and both are kept in a file for the business",
        }
    }
}

/// Rulings by store and key (JSON text of the key object).
pub type Rulings = BTreeMap<(String, String), Ruling>;

/// Decides one difference by policy, or by a person's ruling where there is one.
///
/// What the store cannot write safely is held whatever the policy or the ruling says.
pub fn decide(line: &DeltaLine, policy: &PolicyProfile, ruling: Option<Ruling>) -> Decision {
    match (decided(line, policy, ruling), &line.hold_delete) {
        (Decision::FollowDr, Some(reason)) if line.change == Change::Delete => Decision::Hold(reason.clone()),
        (decision, _) => decision,
    }
}

fn decided(line: &DeltaLine, policy: &PolicyProfile, ruling: Option<Ruling>) -> Decision {
    if let Some(reason) = &line.hold {
        return match ruling {
            Some(Ruling::Primary) => Decision::Accept("kept as the primary has it, by a person's ruling".into()),
            _ => Decision::Hold(reason.clone()),
        };
    }
    match ruling {
        Some(Ruling::Dr | Ruling::Both) => Decision::FollowDr,
        Some(Ruling::Primary) => Decision::Accept("kept as the primary has it, by a person's ruling".into()),
        None => line.doubt.clone().map_or_else(|| by_policy(line, policy), Decision::Hold),
    }
}

fn by_policy(line: &DeltaLine, policy: &PolicyProfile) -> Decision {
    match line.verdict {
        Verdict::DrOnly => guard_delete(line, policy),
        Verdict::Stranded => match policy.stranded {
            StrandedPolicy::Keep => Decision::Accept("stranded on the primary: kept".into()),
            StrandedPolicy::Hold => Decision::Hold("stranded on the primary".into()),
            StrandedPolicy::Overwrite => guard_delete(line, policy),
        },
        Verdict::Conflict => conflict(line, policy),
        Verdict::Unattributed => unattributed(line, policy),
        Verdict::Expired => expired(line, policy),
        Verdict::Unchanged | Verdict::Converged => Decision::Hold("not a difference: the delta file is wrong".into()),
    }
}

fn conflict(line: &DeltaLine, policy: &PolicyProfile) -> Decision {
    match policy.conflict {
        ConflictPolicy::Hold => Decision::Hold("changed on both sides".into()),
        ConflictPolicy::DrWins => guard_delete(line, policy),
        ConflictPolicy::PrimaryWins => Decision::Accept("conflict: the primary wins by policy".into()),
        ConflictPolicy::Newest => match line.newer {
            Some(Side::Dr) => Decision::FollowDr,
            Some(_) => Decision::Accept("conflict: the primary is newer".into()),
            None => Decision::Hold("changed on both sides, and which is newer cannot be told".into()),
        },
    }
}

fn unattributed(line: &DeltaLine, policy: &PolicyProfile) -> Decision {
    match (policy.unattributed, line.change) {
        (UnattributedPolicy::Hold, _) => Decision::Hold("no base tells which side changed".into()),
        (UnattributedPolicy::DrWins, Change::Delete) => {
            Decision::Hold("only the primary has it, and no base tells whether dr deleted it".into())
        }
        (UnattributedPolicy::DrWins, _) => Decision::FollowDr,
        (UnattributedPolicy::Mirror, _) => guard_delete(line, policy),
    }
}

/// Nothing expired is brought back; an expired item still on the primary goes only where the base proves dr's delete, or
/// dr's change log proves that the same item ended there by its time to live.
fn expired(line: &DeltaLine, policy: &PolicyProfile) -> Decision {
    match line.change {
        Change::Delete if is_proved(line) && policy.deletes != DeletePolicy::Never => Decision::FollowDr,
        Change::Delete => Decision::Accept("expired on the primary: left to its time to live".into()),
        _ => Decision::Accept("expired on dr: not brought back".into()),
    }
}

fn is_proved(line: &DeltaLine) -> bool {
    line.primary_untouched || line.expiry_proved
}

fn guard_delete(line: &DeltaLine, policy: &PolicyProfile) -> Decision {
    if line.change != Change::Delete {
        return Decision::FollowDr;
    }
    // The base had it and dr has not: dr deleted it, whatever the primary did meanwhile.
    let proved = matches!(line.base, BaseState::Present(_));
    match policy.deletes {
        DeletePolicy::Never => Decision::Hold("the policy forbids deletes".into()),
        DeletePolicy::BaseProved if !proved => Decision::Hold("no base proves that dr deleted it".into()),
        DeletePolicy::BaseProved | DeletePolicy::Mirror => Decision::FollowDr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, StoreId};

    fn line(verdict: Verdict, change: Change, base: BaseState, primary_untouched: bool) -> DeltaLine {
        let present = |there: bool| there.then_some(Digest([7; 32]));
        DeltaLine {
            store: StoreId("orders".into()),
            key: serde_json::json!({"id": {"N": "1"}}),
            verdict,
            change,
            primary: present(change != Change::Insert),
            dr: present(change != Change::Delete),
            base,
            canonical_key: String::new(),
            bytes: 1,
            primary_untouched,
            newer: None,
            changed_at: None,
            replication: None,
            doubt: None,
            hold: None,
            hold_delete: None,
            expiry_proved: false,
            spelling: false,
            rank: 0,
        }
    }

    const BASE: BaseState = BaseState::Present(Digest([1; 32]));

    fn default_decision(verdict: Verdict, change: Change, base: BaseState, untouched: bool) -> Decision {
        decide(&line(verdict, change, base, untouched), &PolicyProfile::default(), None)
    }

    #[test]
    fn the_default_policy_writes_only_what_the_base_proves() {
        use Change::{Delete, Insert, Update};
        for change in [Insert, Update, Delete] {
            assert_eq!(default_decision(Verdict::DrOnly, change, BASE, true), Decision::FollowDr);
            for verdict in [Verdict::Conflict, Verdict::Unattributed] {
                let decision = default_decision(verdict, change, BaseState::Unknown, false);
                assert!(matches!(decision, Decision::Hold(_)), "{verdict} {change}");
            }
            let stranded = default_decision(Verdict::Stranded, change, BASE, false);
            assert!(matches!(stranded, Decision::Accept(_)));
        }
    }

    #[test]
    fn no_policy_deletes_without_proof_unless_it_mirrors() {
        use crate::profile::{ConflictPolicy as C, DeletePolicy as D, StrandedPolicy as S, UnattributedPolicy as U};
        for conflict in [C::Hold, C::DrWins, C::PrimaryWins, C::Newest] {
            for stranded in [S::Keep, S::Hold, S::Overwrite] {
                for unattributed in [U::Hold, U::DrWins, U::Mirror] {
                    for deletes in [D::BaseProved, D::Never] {
                        let policy =
                            PolicyProfile { conflict, stranded, unattributed, deletes, ..PolicyProfile::default() };
                        for verdict in [Verdict::Conflict, Verdict::Stranded, Verdict::Unattributed, Verdict::Expired] {
                            let line = line(verdict, Change::Delete, BaseState::Unknown, false);
                            assert_ne!(decide(&line, &policy, None), Decision::FollowDr, "{verdict} {policy:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_expired_is_brought_back() {
        let decision = default_decision(Verdict::Expired, Change::Insert, BASE, false);
        assert!(matches!(decision, Decision::Accept(_)));
        assert_eq!(default_decision(Verdict::Expired, Change::Delete, BASE, true), Decision::FollowDr);
        let unproved = line(Verdict::Expired, Change::Delete, BaseState::Unknown, false);
        let proved = DeltaLine { expiry_proved: true, ..unproved.clone() };
        let policy = PolicyProfile::default();
        assert!(matches!(decide(&unproved, &policy, None), Decision::Accept(_)));
        assert_eq!(decide(&proved, &policy, None), Decision::FollowDr);
        let never = PolicyProfile { deletes: DeletePolicy::Never, ..policy };
        assert!(matches!(decide(&proved, &never, None), Decision::Accept(_)));
    }

    #[test]
    fn what_cannot_be_deleted_is_held_only_where_it_would_be() {
        let kept = |change| DeltaLine {
            hold_delete: Some("it holds more".into()),
            ..line(Verdict::DrOnly, change, BASE, true)
        };
        let policy = PolicyProfile::default();
        let held = Decision::Hold("it holds more".into());
        assert_eq!(decide(&kept(Change::Delete), &policy, None), held);
        assert_eq!(decide(&kept(Change::Delete), &policy, Some(Ruling::Dr)), held);
        assert!(matches!(decide(&kept(Change::Delete), &policy, Some(Ruling::Primary)), Decision::Accept(_)));
        assert_eq!(decide(&kept(Change::Update), &policy, None), Decision::FollowDr);
        let stranded = DeltaLine { verdict: Verdict::Stranded, ..kept(Change::Delete) };
        assert!(matches!(decide(&stranded, &policy, None), Decision::Accept(_)));
    }

    #[test]
    fn what_the_store_cannot_write_stays_held_against_a_ruling_for_dr() {
        let held = DeltaLine {
            hold: Some("table has no primary key".into()),
            ..line(Verdict::DrOnly, Change::Update, BASE, true)
        };
        let policy = PolicyProfile::default();
        assert!(matches!(decide(&held, &policy, Some(Ruling::Dr)), Decision::Hold(_)));
        assert!(matches!(decide(&held, &policy, Some(Ruling::Primary)), Decision::Accept(_)));
    }
}
