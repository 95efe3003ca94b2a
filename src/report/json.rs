//! The report for programs: complete, with stable names.

use serde_json::{Value as Json, json};

use super::decisions::{allowed_json, decisions_json};
use super::sections::lost_of;
use super::standing::{Customers, Proof, Standing, steps_in_all, steps_of, undo_proved};
use super::verdict::{next_step, unverified_stores};
use super::words::unplain;
use super::{ReportContext, ValueDisplay, verdict};
use crate::compare::Comparison;
use crate::model::{StoreId, Timestamp};
use crate::session::{CertificateFound, SessionState};

/// Version of the JSON report.
pub const REPORT_FORMAT: u32 = 1;

/// Kept items listed in the JSON report; files have all of them.
pub const KEPT_LISTED_MAX: usize = 1_000;

/// The report in JSON: what markdown says, and the whole state beneath it.
pub fn json(state: &SessionState, context: &ReportContext) -> Json {
    let ReportContext { profile, profile_file, stores: _, disaster_at, dr_as_of, generated_at, session, .. } = context;
    let standing = Standing::of(state);
    let answer = verdict(state, context);
    let (action, why) = next_step(state, context);
    let command = action.command_line();
    let steps = steps_in_all(state);
    json!({
        "format": REPORT_FORMAT,
        "command": "report",
        "profile": profile,
        "profile_file": profile_file,
        "session": session,
        "generated_at": generated_at,
        "disaster_at": disaster_at,
        "dr_as_of": dr_as_of,
        "tb": context.tb(),
        "verdict": { "can_cut_over": answer.can_cut_over, "sentence": answer.sentence, "loss": answer.loss },
        "next": { "command": command, "why": why },
        "proof": proof_json(&standing),
        "customers": customers_json(&standing),
        "unverified_stores": unverified_stores(state, context),
        "stores": stores_json(state, context),
        "steps": {
            "done": state.done, "refused": state.refused, "stale": state.stale,
            "newest_plan": { "planned": steps.planned, "done": steps.done, "refused": steps.refused,
                             "stale": steps.stale, "open": steps.open, "held": steps.held },
        },
        "held": kept_json(context, &context.held, steps.held, context.held_file.as_deref()),
        "accepted": kept_json(context, &context.accepted, accepted_total(state), context.accepted_file.as_deref()),
        "refused": refused_json(context),
        "decisions": decisions_json(state),
        "allowed": allowed_json(state),
        "fence": state.fence,
        "certificate": state.certificate,
        "certificate_check": certificate_json(context),
        "disclosure": context.disclosure,
        "undo": {
            "begun_at": standing.undone_at, "restored": state.undone, "refused": state.undo_refused,
            "is_newest": standing.undone, "proved": undo_proved(state, &standing),
        },
        "cutover": cutover_json(state, &standing),
        "commands": state.commands.iter().map(|(command, begun_at, exit_code)| {
            json!({ "command": command, "begun_at": begun_at, "exit_code": exit_code })
        }).collect::<Vec<_>>(),
        "findings": state.findings,
        "plans": state.plans.iter().map(|(at, plan, summary)| {
            json!({ "at": at, "plan": plan, "stores": summary.stores })
        }).collect::<Vec<_>>(),
        "replays": state.replays.iter().map(|(at, plan, stores)| {
            json!({ "at": at, "plan": plan, "stores": stores })
        }).collect::<Vec<_>>(),
        "verified": state.verified.as_ref().map(|(at, parity, stores)| {
            json!({ "at": at, "parity": parity, "stores": stores })
        }),
        "began_at": state.began_at,
        "last_at": state.last_at,
        "unread_events": state.unread,
    })
}

fn accepted_total(state: &SessionState) -> u64 {
    let plan = state.plans.last();
    plan.map_or(0, |(_, _, summary)| summary.stores.iter().map(|store| store.counts.accepted).sum())
}

fn kept_json(context: &ReportContext, kept: &[crate::plan::Kept], total: u64, file: Option<&str>) -> Json {
    let listed = kept.iter().take(KEPT_LISTED_MAX).map(|kept| {
        // The canonical key says in other words what the key says, or hides.
        let bare = crate::plan::Kept { canonical_key: String::new(), ..kept.clone() };
        let item = serde_json::to_value(bare).expect("a kept item has only string keys");
        with_value(context, &kept.store, &kept.key, item)
    });
    json!({ "total": total, "listed": listed.collect::<Vec<_>>(), "file": file })
}

fn refused_json(context: &ReportContext) -> Json {
    let listed = context.exhibits.refused.iter().take(KEPT_LISTED_MAX).map(|step| {
        let item = serde_json::to_value(step).expect("a refused step has only string keys");
        with_value(context, &step.store, &step.key, item)
    });
    json!({ "total": context.exhibits.refused_total, "listed": listed.collect::<Vec<_>>() })
}

/// The item with its `value` where the journal kept one and values are shown: `null` where there was no item.
fn with_value(context: &ReportContext, store: &StoreId, key: &Json, mut item: Json) -> Json {
    if context.disclosure.values == ValueDisplay::Shown
        && let Some(value) = context.exhibits.values.get(&(store.clone(), key.to_string()))
    {
        item["value"] = value.clone().unwrap_or(Json::Null);
    }
    item
}

fn certificate_json(context: &ReportContext) -> Json {
    match &context.exhibits.certificate {
        None => Json::Null,
        Some(CertificateFound::Unusable(why)) => json!({ "valid": false, "why": why }),
        Some(CertificateFound::Valid(valid)) => {
            let certificate = valid.certificate();
            json!({
                "valid": true,
                "issued_at": certificate.issued_at,
                "window": certificate.window,
                "public_key": valid.public_key().to_string(),
            })
        }
    }
}

fn proof_json(standing: &Standing) -> Json {
    let (state, why) = match &standing.proof {
        Proof::Never => ("never", None),
        Proof::Overtaken(why) => ("overtaken", Some(unplain(why))),
        Proof::Differs => ("differs", None),
        Proof::Parity => ("parity", None),
    };
    json!({ "state": state, "why": why, "verified_at": standing.verified_at })
}

fn customers_json(standing: &Standing) -> Json {
    let (state, at, share) = match &standing.customers {
        Customers::Untouched => ("untouched", None, None),
        Customers::Unsure(at, share) => ("unknown", Some(at), *share),
        Customers::Shifted(at, share) => ("shifted", Some(at), Some(*share)),
        Customers::Retreated(at, _) => ("retreated", Some(at), Some(crate::model::Percent::ZERO)),
    };
    json!({ "state": state, "since": at, "primary_percent": share })
}

fn cutover_json(state: &SessionState, standing: &Standing) -> Json {
    let steps =
        state.traffic.iter().map(|(at, share, step)| json!({ "at": at, "primary_percent": share, "step": step }));
    json!({
        "done": standing.cutover_done,
        "stopped": standing.cutover_stopped,
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn stores_json(state: &SessionState, context: &ReportContext) -> Vec<Json> {
    let newest = state.newest_comparisons();
    let mut names: Vec<StoreId> = context.stores.iter().cloned().map(StoreId).collect();
    names.extend(newest.keys().filter(|store| !context.stores.contains(&store.0)).map(|store| (*store).clone()));
    names.iter().map(|store| store_json(state, context, store, newest.get(store).copied())).collect()
}

fn store_json(
    state: &SessionState,
    context: &ReportContext,
    store: &StoreId,
    newest: Option<(&'static str, &Comparison)>,
) -> Json {
    let steps = steps_of(state, store);
    let verdicts = |comparison: &Comparison| -> Json {
        let words = comparison.verdicts.words().into_iter();
        words.map(|(word, items)| (word.to_owned(), Json::from(items))).collect::<serde_json::Map<_, _>>().into()
    };
    let base = state.comparisons.get(store).and_then(|comparison| comparison.base.as_ref());
    let age = |as_of: Timestamp| context.tb().map(|tb| tb.as_second() - as_of.as_second());
    let mut told = json!({
        "name": store,
        "kind": newest.map(|(_, comparison)| comparison.kind),
        "read_by": newest.map(|(by, _)| by),
        "primary": newest.map(|(_, comparison)| &comparison.primary),
        "dr": newest.map(|(_, comparison)| &comparison.dr),
        "verdicts": newest.map(|(_, comparison)| verdicts(comparison)),
        "verdicts_first_seen": state.first_comparisons.get(store).map(verdicts),
        "base": base,
        "base_age_seconds": base.and_then(|base| base.as_of).and_then(age),
        "delta": newest.map(|(_, comparison)| &comparison.delta),
        "steps": { "planned": steps.planned, "done": steps.done, "refused": steps.refused, "stale": steps.stale,
                   "open": steps.open, "held": steps.held },
        "not_checked": newest.map(|(_, comparison)| &comparison.not_checked),
    });
    if let Some(replication) = newest.and_then(|(_, comparison)| comparison.replication.as_ref()) {
        told["replication"] = json!(replication);
    }
    if let Some(spelled) = newest.map(|(_, comparison)| comparison.spelled).filter(|spelled| *spelled > 0) {
        told["differ_in_spelling"] = json!(spelled);
    }
    if let Some(reads) = newest.and_then(|(_, comparison)| comparison.reads.as_ref()) {
        told["reads"] = json!(reads);
    }
    if let Some(lost) = lost_of(state, store) {
        told["lost_writes"] = json!(lost);
    }
    if let Some(forecast) = newest.and_then(|(_, comparison)| comparison.forecast.as_ref()) {
        told["forecast"] = json!(forecast);
    }
    told
}
