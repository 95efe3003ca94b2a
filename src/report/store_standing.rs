//! Where one store stands.

use super::ReportContext;
use super::standing::{Proof, Standing};
use super::verdict::unusable_certificate;
use super::words::{count, number, time, unplain};
use crate::model::StoreId;
use crate::session::{SessionState, StoreVerification};

/// Where one store stands; the text tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreStanding {
    /// The newest verification found parity, certified it, and nothing came after.
    Certified(String),
    /// The sides differ.
    Differs(String),
    /// Nothing is known to differ, and parity is not proven.
    Unproven(String),
    /// A command about it could not finish.
    Incomplete(String),
    /// Nobody compared it.
    NotCompared,
}

impl StoreStanding {
    pub(super) fn of(
        state: &SessionState,
        context: &ReportContext,
        standing: &Standing,
        store: &StoreId,
    ) -> StoreStanding {
        let verified = state.verified.iter().flat_map(|(_, _, stores)| stores);
        let verified = verified.into_iter().find(|verified| verified.comparison.store == *store);
        match (verified, &standing.proof) {
            (Some(_), _) if standing.undone => StoreStanding::Unproven("what was replayed was undone".into()),
            (Some(_), Proof::Overtaken(why)) => StoreStanding::Unproven(unplain(why)),
            (Some(verified), _) if verified.at_parity => at_parity(state, context, verified),
            (Some(verified), _) => StoreStanding::Differs(differs(verified)),
            (None, _) => unverified(state, store),
        }
    }

    /// The state in one or two words.
    pub(super) fn word(&self) -> &'static str {
        match self {
            StoreStanding::Certified(_) => "at parity",
            StoreStanding::Differs(_) => "differs",
            StoreStanding::Unproven(_) => "not proven",
            StoreStanding::Incomplete(_) => "incomplete",
            StoreStanding::NotCompared => "not compared",
        }
    }

    /// What is known, in words.
    pub(super) fn detail(&self) -> &str {
        match self {
            StoreStanding::Certified(text)
            | StoreStanding::Differs(text)
            | StoreStanding::Unproven(text)
            | StoreStanding::Incomplete(text) => text,
            StoreStanding::NotCompared => "nobody compared it in this session",
        }
    }
}

/// Every store of the profile, and those of the session that the profile no longer has.
pub(super) fn all_stores(state: &SessionState, context: &ReportContext) -> Vec<StoreId> {
    let mut names: Vec<StoreId> = context.stores.iter().cloned().map(StoreId).collect();
    let compared = state.newest_comparisons().into_keys().filter(|store| !context.stores.contains(&store.0));
    names.extend(compared.cloned());
    names
}

fn at_parity(state: &SessionState, context: &ReportContext, verified: &StoreVerification) -> StoreStanding {
    if let Some(why) = unusable_certificate(context) {
        return StoreStanding::Unproven(format!("the certificate cannot be relied on: {why}"));
    }
    let accepted = match verified.accepted {
        0 => String::new(),
        accepted => format!(", {} named in the certificate", count(accepted, "accepted difference")),
    };
    match (&state.certificate, state.unread) {
        (_, 1..) => StoreStanding::Unproven("part of the journal could not be read".into()),
        (Some(_), _) => StoreStanding::Certified(format!("verified and certified{accepted}")),
        (None, _) => StoreStanding::Unproven("at parity when verified; no certificate was issued".into()),
    }
}

fn differs(verified: &StoreVerification) -> String {
    let mut parts = Vec::new();
    if verified.unaccepted > 0 {
        parts.push(format!("{} not accepted", count(verified.unaccepted, "difference")));
    }
    if !verified.counters_behind.is_empty() {
        parts.push(format!("{} of the primary behind dr", count(verified.counters_behind.len() as u64, "counter")));
    }
    if verified.accepted > 0 {
        parts.push(format!("{} accepted", number(verified.accepted)));
    }
    format!("verified: {}", parts.join(", "))
}

fn unverified(state: &SessionState, store: &StoreId) -> StoreStanding {
    let differing = state.comparisons.get(store).map(|comparison| comparison.verdicts.differing());
    if let Some(differing) = differing.filter(|differing| *differing > 0) {
        let verb = if differing == 1 { "differs" } else { "differ" };
        return StoreStanding::Differs(format!("{} {verb} as last compared; not verified", count(differing, "item")));
    }
    let last = state.commands.iter().rev().find(|(name, _, _)| name != "report");
    if let Some((name, at, Some(4))) = last {
        return StoreStanding::Incomplete(format!("the {name} begun at {} could not finish", time(*at)));
    }
    match differing {
        Some(_) => StoreStanding::Unproven("equal when last compared; not verified".into()),
        None => StoreStanding::NotCompared,
    }
}
