//! The one sentence: can we cut over, and what would we lose?

use super::ReportContext;
use super::next::next_of_report;
use super::standing::{Customers, Proof, Standing, read_until, undo_proved};
use super::words::{count, duration, number, time, unplain};
use crate::journal::StepState;
use crate::session::{Action, CertificateFound, SessionState};
use crate::store::Level;

/// Stores named in a sentence; beyond it they are counted.
const STORES_NAMED_MAX: usize = 5;

/// The answer a report begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictSentence {
    /// Whether parity of every store is proven, certified, recent, and not overtaken by anything that this session did.
    pub can_cut_over: bool,
    /// How things stand, in one sentence.
    pub sentence: String,
    /// What would be lost by cutting over now, in one sentence.
    pub loss: String,
}

/// The answer a report begins with.
pub fn verdict(state: &SessionState, context: &ReportContext) -> VerdictSentence {
    let standing = Standing::of(state);
    let missing = unverified_stores(state, context);
    let proven = standing.proof == Proof::Parity && missing.is_empty() && state.unread == 0 && !standing.undone;
    let old = if proven { too_old(state, context) } else { None };
    let known = !matches!(standing.customers, Customers::Unsure(..));
    let unusable = unusable_certificate(context);
    let can_cut_over = proven && known && old.is_none() && state.certificate.is_some() && unusable.is_none();
    let sentence = match standing.proof {
        _ if standing.undone => undone_words(state, &standing),
        Proof::Parity if !missing.is_empty() => {
            format!("NOT proven for all: parity of the verified stores, but not verified: {}", missing.join(", "))
        }
        Proof::Parity if let Some(why) = unusable => {
            format!("NOT proven any more: the certificate cannot be relied on, {why}")
        }
        Proof::Parity => parity_words(state, old),
        Proof::Differs => differs_words(state),
        Proof::Overtaken(ref why) => format!("NOT proven: {}", unplain(why)),
        Proof::Never => unverified_words(state),
    };
    let sentence = format!("{sentence}; {}.", customers_words(&standing));
    VerdictSentence { can_cut_over, sentence, loss: loss_words(state, &standing, proven) }
}

/// Why the certificate that the newest verification issued cannot be relied on as it is on disk.
pub(super) fn unusable_certificate(context: &ReportContext) -> Option<&str> {
    match &context.exhibits.certificate {
        Some(CertificateFound::Unusable(why)) => Some(why),
        Some(CertificateFound::Valid(_)) | None => None,
    }
}

/// The command to type next, with `PROFILE` for the profile's file, and why: also when the certificate was damaged since.
pub(super) fn next_step(state: &SessionState, context: &ReportContext) -> (Action, String) {
    let (action, why) = next_of_report(state, context);
    match unusable_certificate(context) {
        Some(_) if action == Action::Cutover => {
            (Action::Verify, "the certificate cannot be relied on: verify again".into())
        }
        _ => (action, why),
    }
}

/// What nothing in the report speaks for, in one sentence.
pub(super) fn not_checked_words(state: &SessionState, context: &ReportContext) -> String {
    let missing = unverified_stores(state, context);
    let mut words = match missing.as_slice() {
        [] => String::new(),
        [one] => format!("store {one} is not verified; "),
        many if many.len() <= STORES_NAMED_MAX => format!("stores {} are not verified; ", many.join(", ")),
        many => format!("{} are not verified; ", count(many.len() as u64, "store")),
    };
    let limits: usize = state.newest_comparisons().values().map(|(_, comparison)| comparison.not_checked.len()).sum();
    if limits > 0 {
        words += &format!("{} of what the stores can compare; ", count(limits as u64, "limit"));
    }
    words + "anything that the profile does not name; the fitness of the primary's compute, network and permissions."
}

/// Stores of the profile or of this session that the newest verification did not read.
pub(super) fn unverified_stores(state: &SessionState, context: &ReportContext) -> Vec<String> {
    let verified = |name: &str| {
        let stores = state.verified.iter().flat_map(|(_, _, stores)| stores);
        stores.into_iter().any(|store| store.comparison.store.0 == name)
    };
    let mut missing: Vec<String> = context.stores.iter().filter(|name| !verified(name)).cloned().collect();
    let compared = state.comparisons.keys().filter(|store| !verified(&store.0) && !missing.contains(&store.0));
    let compared: Vec<String> = compared.map(|store| store.0.clone()).collect();
    missing.extend(compared);
    missing
}

fn accepted(state: &SessionState) -> u64 {
    state.verified.iter().flat_map(|(_, _, stores)| stores).map(|store| store.accepted).sum()
}

/// The certificate's age in seconds, where it is more than a cutover takes.
pub(super) fn too_old(state: &SessionState, context: &ReportContext) -> Option<u64> {
    let age_max = context.certificate_age_seconds_max?;
    let (_, _, stores) = state.verified.as_ref()?;
    let read_until = stores.iter().map(|store| read_until(&store.comparison)).max()?;
    let age = u64::try_from(context.generated_at.as_second() - read_until.as_second()).unwrap_or(0);
    (age > age_max).then_some(age)
}

fn parity_words(state: &SessionState, old: Option<u64>) -> String {
    let at = state.verified.as_ref().map_or_else(String::new, |(at, _, _)| time(*at));
    let certificate = if state.certificate.is_none() { ", without a certificate" } else { "" };
    let accepted = count(accepted(state), "accepted difference");
    match old {
        None => format!("At parity since {at}{certificate}; {accepted}"),
        Some(age) => {
            format!("At parity at {at}, {} ago: too long for a cutover, verify again; {accepted}", duration(age))
        }
    }
}

fn differs_words(state: &SessionState) -> String {
    let stores = || state.verified.iter().flat_map(|(_, _, stores)| stores);
    let unaccepted: u64 = stores().map(|store| store.unaccepted).sum();
    let behind: u64 = stores().map(|store| store.counters_behind.len() as u64).sum();
    let verb = if unaccepted == 1 { "differs" } else { "differ" };
    let mut words = format!("NOT at parity: {} {verb}", count(unaccepted, "item"));
    let held = state.plans.last().map_or(0, |(_, _, summary)| summary.held());
    if held > 0 {
        words += &format!(", {} {} held for a person", number(held), are(held));
    }
    if behind > 0 {
        let verb = if behind == 1 { "lags" } else { "lag" };
        words += &format!(", {} of the primary {verb} behind", count(behind, "counter"));
    }
    words
}

fn are(items: u64) -> &'static str {
    if items == 1 { "is" } else { "are" }
}

fn undone_words(state: &SessionState, standing: &Standing) -> String {
    let proved = match undo_proved(state, standing) {
        true => "proved by root to be what it was",
        false => "not yet proved to be what it was",
    };
    let left = match state.undo_refused {
        0 => String::new(),
        refused => format!(", {} left as found because somebody changed it", count(refused, "item")),
    };
    format!("Undone: {} of the primary restored{left}; it is {proved}", count(state.undone, "item"))
}

fn unverified_words(state: &SessionState) -> String {
    if state.comparisons.is_empty() {
        let findings = state.findings.iter().flatten();
        let blockers = findings.filter(|finding| finding.level == Level::Blocker).count() as u64;
        return match blockers {
            0 => "Nothing compared yet".into(),
            _ => format!("Nothing compared yet; the preflight found {}", count(blockers, "blocker")),
        };
    }
    let differing: u64 = state.comparisons.values().map(|comparison| comparison.verdicts.differing()).sum();
    let held = state.plans.last().map_or(0, |(_, _, summary)| summary.held());
    let verb = if differing == 1 { "differs" } else { "differ" };
    let mut words = match differing {
        0 => "NOT verified yet: both sides were equal when last compared".to_owned(),
        _ => format!("NOT verified yet: {} {verb} at the last comparison", count(differing, "item")),
    };
    if held > 0 {
        words += &format!(", {} {} held for a person", number(held), are(held));
    }
    if let Some((_, _, stores)) = state.replays.last() {
        let sum = |wanted: StepState| stores.iter().filter_map(|store| store.steps.get(&wanted)).sum::<u64>();
        let (done, refused) = (count(sum(StepState::Done), "step"), number(sum(StepState::Refused)));
        words += &format!("; since then the last replay has done {done}, {refused} refused");
    } else if state.done > 0 {
        words += &format!("; a replay that did not finish has done {}", count(state.done, "step"));
    }
    words
}

/// Where customers are.
pub(super) fn customers_words(standing: &Standing) -> String {
    match &standing.customers {
        Customers::Untouched => "this session moved no customers".into(),
        Customers::Unsure(_, Some(share)) => {
            format!(
                "a change of weights to {share} on the primary was begun and its end is NOT KNOWN: look at the weights"
            )
        }
        Customers::Unsure(..) => "where customers are is NOT KNOWN: look at the weights".into(),
        Customers::Shifted(_, share) if standing.cutover_done => {
            format!("customers are at {share} on the primary and the cutover is finished")
        }
        Customers::Shifted(_, share) => format!("customers are at {share} on the primary"),
        Customers::Retreated(at, _) => format!("customers are at 0% on the primary since the retreat at {}", time(*at)),
    }
}

fn loss_words(state: &SessionState, standing: &Standing, proven: bool) -> String {
    let accepted = accepted(state);
    if proven && accepted == 0 {
        return "Nothing that the stores compared hold; see below what was not checked.".into();
    }
    if proven {
        return format!(
            "dr's version of {}, as accepted; nothing else that the stores compared hold.",
            count(accepted, "item")
        );
    }
    if standing.undone {
        return "The business of the outage: the primary no longer holds what was replayed.".into();
    }
    let verified = state.verified.iter().flat_map(|(_, _, stores)| stores).map(|store| store.unaccepted).sum();
    let compared = state.comparisons.values().map(|comparison| comparison.verdicts.differing()).sum();
    match (&standing.proof, state.comparisons.is_empty()) {
        (Proof::Differs, _) => format!("dr's version of up to {}.", count(verified, "item")),
        (Proof::Never, true) => "Not known.".into(),
        (_, true) => "Not known until both sides are read again.".into(),
        _ => {
            let unended = standing.replayed_at.is_none() && state.done > 0;
            let written = unended || standing.replayed_at > standing.compared_at;
            let changed = if written { ", less what was replayed since, plus what was written since" } else { "" };
            format!("Not known for sure; at the last comparison dr's version of {}{changed}.", count(compared, "item"))
        }
    }
}
