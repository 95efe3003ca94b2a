//! The decisions of the journal, as a plan honours them.

use std::collections::{BTreeMap, BTreeSet};

use super::{DecisionMade, Result, SessionError, SessionState};
use crate::diff::DeltaLine;
use crate::journal::{DecisionOn, JOURNAL_FILE, Journal, PlanWriter};
use crate::plan::{Decision, Ruling, decide};
use crate::profile::PolicyProfile;

/// Every decision of a session, its items proved to be those it was recorded with.
pub(super) struct Decided {
    made: BTreeMap<i64, DecisionMade>,
    taken_back: BTreeSet<i64>,
}

impl Decided {
    /// Reads them and proves their items.
    pub fn proved(journal: &Journal) -> Result<Decided> {
        let state = SessionState::of(journal)?;
        let taken_back = state.taken_back();
        for made in &state.decisions {
            journal.each_decided(made.number, &made.seal, |_| ())?;
        }
        let made = state.decisions.into_iter().map(|made| (made.number, made)).collect();
        Ok(Decided { made, taken_back })
    }

    /// What the newest standing decision on a line's item says of it, where there is one that is still to be honoured.
    pub fn on(
        &self,
        line: &DeltaLine,
        policy: &PolicyProfile,
        writer: &PlanWriter<'_>,
    ) -> Result<Option<(Decision, i64)>> {
        if self.made.len() == self.taken_back.len() {
            return Ok(None);
        }
        let found = writer.decision_on(&line.store, &line.key.to_string(), &self.taken_back)?;
        let Some(DecisionOn { number, row }) = found else { return Ok(None) };
        let damaged = |what: String| SessionError::DamagedFile { path: JOURNAL_FILE.into(), what };
        let made = self.made.get(&number).ok_or_else(|| damaged(format!("decision {number} has no event")))?;
        let ruling = Ruling::named(&row.choice)
            .ok_or_else(|| damaged(format!("decision {number} has the unknown choice {}", row.choice)))?;
        Ok(judge(line, policy, (row.primary, row.dr), ruling, made).map(|decision| (decision, number)))
    }
}

type Sides = (Option<crate::model::Digest>, Option<crate::model::Digest>);

/// A decision holds while both sides are what the person saw; `None` once it was carried out.
fn judge(
    line: &DeltaLine,
    policy: &PolicyProfile,
    seen: Sides,
    ruling: Ruling,
    made: &DecisionMade,
) -> Option<Decision> {
    let DecisionMade { number, by, at, .. } = made;
    if (line.primary, line.dr) == seen {
        return Some(match decide(line, policy, Some(ruling)) {
            Decision::Accept(_) => Decision::Accept(format!("decided by {by} at {at}: keep {}", ruling.word())),
            decision => decision,
        });
    }
    // The primary is what was chosen: what differs now is of later.
    if ruling != Ruling::Primary && line.primary == seen.1 {
        return None;
    }
    Some(Decision::Hold(format!("changed since it was decided (decision {number}, by {by} at {at})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::BaseState;
    use crate::model::{Change, Digest, StoreId, Verdict};

    fn line(primary: u8, dr: u8) -> DeltaLine {
        let digest = |of: u8| (of > 0).then_some(Digest([of; 32]));
        DeltaLine {
            store: StoreId("orders".into()),
            key: serde_json::json!({"id": {"N": "1"}}),
            verdict: Verdict::Conflict,
            change: Change::between(digest(primary), digest(dr)).expect("a difference"),
            primary: digest(primary),
            dr: digest(dr),
            base: BaseState::Present(Digest([9; 32])),
            canonical_key: String::new(),
            bytes: 1,
            primary_untouched: false,
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

    fn judged(ruling: Ruling, line: &DeltaLine) -> Option<Decision> {
        let made = DecisionMade {
            number: 4,
            at: "2026-11-22T03:10:00Z".parse().expect("a time"),
            by: "mia".into(),
            choice: ruling.word().into(),
            scope: "1 item".into(),
            items: 1,
            seal: String::new(),
            file: None,
            plans_before: 1,
            taken_back: None,
        };
        let seen = (Some(Digest([1; 32])), Some(Digest([2; 32])));
        judge(line, &PolicyProfile::default(), seen, ruling, &made)
    }

    #[test]
    fn a_decision_holds_only_for_what_was_seen() {
        let kept = "decided by mia at 2026-11-22T03:10:00Z: keep primary";
        let anew = "changed since it was decided (decision 4, by mia at 2026-11-22T03:10:00Z)";
        let hold = || Some(Decision::Hold(anew.into()));
        // (ruling, primary now, dr now, what is done); 1 and 2 were seen, 0 is absent.
        let cases = [
            (Ruling::Primary, 1, 2, Some(Decision::Accept(kept.into()))),
            (Ruling::Dr, 1, 2, Some(Decision::FollowDr)),
            (Ruling::Both, 1, 2, Some(Decision::FollowDr)),
            (Ruling::Primary, 1, 3, hold()),
            (Ruling::Primary, 3, 2, hold()),
            (Ruling::Primary, 2, 3, hold()),
            (Ruling::Dr, 1, 3, hold()),
            (Ruling::Dr, 1, 0, hold()),
            (Ruling::Dr, 0, 2, hold()),
            (Ruling::Dr, 3, 4, hold()),
            (Ruling::Dr, 2, 3, None),
            (Ruling::Both, 2, 0, None),
        ];
        for (ruling, primary, dr, expected) in cases {
            assert_eq!(judged(ruling, &line(primary, dr)), expected, "{ruling:?} {primary} {dr}");
        }
    }

    #[test]
    fn what_the_store_cannot_write_stays_held_against_a_decision_for_dr() {
        let held = DeltaLine { hold: Some("no primary key".into()), ..line(1, 2) };
        assert_eq!(judged(Ruling::Dr, &held), Some(Decision::Hold("no primary key".into())));
        assert!(matches!(judged(Ruling::Primary, &held), Some(Decision::Accept(_))));
    }
}
