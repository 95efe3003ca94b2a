//! What to type next.

use super::ReportContext;
use super::standing::{Customers, Proof, Standing, steps_in_all, undo_proved};
use super::verdict::too_old;
use super::words::{count, duration, time};
use crate::session::{Action, SessionState};
use crate::store::Level;

/// What to do next, and why.
pub fn next_action(state: &SessionState) -> (Action, String) {
    let standing = Standing::of(state);
    unfinished(state)
        .or_else(|| before_comparing(state))
        .or_else(|| after_traffic(state, &standing))
        .or_else(|| after_undo(state, &standing))
        .or_else(|| after_taking_back(state))
        .or_else(|| after_verifying(state, &standing))
        .or_else(|| after_replaying(state, &standing))
        .or_else(|| after_planning(state, &standing))
        .unwrap_or_else(|| after_comparing(state))
}

/// The command to type next when the report is made: a certificate may have grown too old since.
pub(super) fn next_of_report(state: &SessionState, context: &ReportContext) -> (Action, String) {
    match (next_action(state), too_old(state, context)) {
        ((Action::Cutover, _), Some(age)) => {
            (Action::Verify, format!("the certificate is {} old, too old for a cutover: verify again", duration(age)))
        }
        (next, _) => next,
    }
}

/// A command that could not finish is run again: it resumes.
fn unfinished(state: &SessionState) -> Option<(Action, String)> {
    let (name, at, code) = state.commands.iter().rev().find(|(name, _, _)| !matches!(name.as_str(), "report"))?;
    let why = match code {
        Some(4) => format!("the {name} begun at {} was incomplete: mend what it named and run it again", time(*at)),
        Some(5) => format!("the {name} begun at {} was interrupted: run it again to resume", time(*at)),
        _ => return None,
    };
    let action = Action::named(name).filter(|action| *action != Action::Checkpoint)?;
    Some((action, why))
}

fn before_comparing(state: &SessionState) -> Option<(Action, String)> {
    let started = !state.comparisons.is_empty() || state.verified.is_some() || !state.traffic.is_empty();
    if started {
        return None;
    }
    let Some(findings) = &state.findings else {
        return Some((Action::Check, "nothing was looked at yet".into()));
    };
    let blockers = findings.iter().filter(|finding| finding.level == Level::Blocker).count() as u64;
    Some(match blockers {
        0 => (Action::Diff, "the preflight found nothing that blocks, and nothing is compared yet".into()),
        _ => (
            Action::Check,
            format!("the preflight found {}: mend what it names and check again", count(blockers, "blocker")),
        ),
    })
}

fn after_traffic(state: &SessionState, standing: &Standing) -> Option<(Action, String)> {
    match &standing.customers {
        Customers::Untouched => None,
        Customers::Unsure(..) => Some((
            Action::Check,
            "nobody recorded how the last change of weights ended: look at today's weights".into(),
        )),
        Customers::Retreated(at, _) if standing.compared_at.is_none_or(|compared| compared < *at) => {
            let why = "customers are back on dr and may write there: find out why, then begin a new pass";
            Some((Action::Diff, why.into()))
        }
        Customers::Retreated(..) => None,
        Customers::Shifted(_, share) if share.get() == 0 => None,
        Customers::Shifted(..) if standing.cutover_done => Some(after_cutover(state, standing)),
        Customers::Shifted(_, share) => Some(match standing.proof {
            Proof::Parity => {
                (Action::Cutover, format!("the primary has {share} of the traffic: go on with the next stage"))
            }
            _ => (
                Action::Diff,
                format!(
                    "the primary has {share} of the traffic and parity is not proven: see what differs before going on \
                     (--retreat gives traffic back)"
                ),
            ),
        }),
    }
}

fn after_cutover(state: &SessionState, standing: &Standing) -> (Action, String) {
    let finished = state.traffic.last().map(|(at, _, _)| *at);
    if standing.verified_at <= finished {
        return (Action::Verify, "soak: a verification now shows writes that still went to dr".into());
    }
    match standing.proof {
        Proof::Parity => (Action::Report, "customers are home and both sides agree: keep report and certificate".into()),
        _ => (
            Action::Diff,
            "the sides differ after the cutover: the primary's own new writes are expected, writes that still went to dr \
             are not"
                .into(),
        ),
    }
}

fn after_undo(state: &SessionState, standing: &Standing) -> Option<(Action, String)> {
    if !standing.undone || standing.planned_at > standing.undone_at {
        return None;
    }
    match undo_proved(state, standing) {
        true => Some((
            Action::Report,
            "the primary is what it was: keep the report; a new `failback plan` begins anew".into(),
        )),
        false => Some((Action::VerifyUndone, "writes were undone: prove that the primary is what it was".into())),
    }
}

fn after_taking_back(state: &SessionState) -> Option<(Action, String)> {
    let number = state.plan_lost_decision?;
    Some((Action::Plan, format!("decision {number} was taken back since the newest plan: plan anew without it")))
}

fn after_verifying(state: &SessionState, standing: &Standing) -> Option<(Action, String)> {
    let newer = standing.planned_at.max(standing.replayed_at).max(standing.compared_at);
    match &standing.proof {
        Proof::Parity if state.certificate.is_some() => {
            Some((Action::Cutover, "parity is proven and certified: move write authority, then shift traffic".into()))
        }
        Proof::Parity => Some((Action::FreezeAndVerify, "parity was found but no certificate was issued".into())),
        Proof::Differs if standing.verified_at > newer => {
            let (_, _, stores) = state.verified.as_ref()?;
            let unaccepted: u64 = stores.iter().map(|store| store.unaccepted).sum();
            Some(match unaccepted {
                0 => (Action::Plan, "only counters of the primary lag behind: a plan and its replay raise them".into()),
                _ => (Action::Plan, format!("{} not accepted: plan what is left", differences(unaccepted))),
            })
        }
        Proof::Never | Proof::Overtaken(_) | Proof::Differs => None,
    }
}

fn differences(number: u64) -> String {
    format!("{} {}", count(number, "difference"), if number == 1 { "is" } else { "are" })
}

fn after_replaying(state: &SessionState, standing: &Standing) -> Option<(Action, String)> {
    if standing.replayed_at.is_none() || standing.replayed_at < standing.planned_at {
        return None;
    }
    if standing.compared_at > standing.replayed_at {
        return None;
    }
    let steps = steps_in_all(state);
    Some(if steps.open > 0 {
        (Action::Replay, format!("{} of the plan not done yet", count(steps.open, "step")))
    } else if steps.refused + steps.stale > 0 {
        let (refused, stale) = (count(steps.refused, "step"), count(steps.stale, "step"));
        (Action::Diff, format!("{refused} refused and {stale} stale: look at what is there now and plan anew"))
    } else if steps.held > 0 {
        (Action::Plan, format!("{} held: decide, change the policy, plan again", count(steps.held, "item")))
    } else {
        let why = "the plan is carried out: stop dr's writers and verify; while dr is live, further passes keep the rest small";
        (Action::FreezeAndVerify, why.into())
    })
}

fn after_planning(state: &SessionState, standing: &Standing) -> Option<(Action, String)> {
    let planned_at = standing.planned_at?;
    // A plan compares first: only a comparison that ended after the plan was made is a newer one.
    if standing.compared_at > Some(planned_at) {
        return None;
    }
    let steps = steps_in_all(state);
    let tried = state.commands.iter().any(|(name, at, _)| name == "replay" && *at >= planned_at);
    Some(match (steps.planned, steps.held) {
        (0, 0) => (Action::FreezeAndVerify, "the plan has nothing to write: stop dr's writers and verify".into()),
        (0, held) => (Action::Plan, format!("{} held: decide, change the policy, plan again", count(held, "item"))),
        (all, _) if tried => (Action::Replay, format!("{} planned, tried and not written yet", count(all, "step"))),
        (all, _) => (Action::DryRun, format!("{} planned: a dry run shows what would be written", count(all, "step"))),
    })
}

fn after_comparing(state: &SessionState) -> (Action, String) {
    let differing: u64 = state.comparisons.values().map(|comparison| comparison.verdicts.differing()).sum();
    match differing {
        0 => (Action::FreezeAndVerify, "both sides were equal when compared: stop dr's writers and prove it".into()),
        _ => (Action::Plan, format!("{}: plan what to do about them", count(differing, "difference"))),
    }
}
