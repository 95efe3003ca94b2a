//! Items that a person must look at: held, refused, differing, and accepted as they are.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value as Json;

use super::super::ReportContext;
use super::super::words::{count, number};
use super::parts::{file, key, paged, section, value, verdict_mark, visible, word_mark};
use crate::model::{StoreId, Verdict};
use crate::plan::{Kept, PlanCounts};
use crate::session::SessionState;

/// Reasons counted apart.
const REASONS_MAX: usize = 30;

pub(super) fn held(state: &SessionState, context: &ReportContext) -> Markup {
    let total = planned(state, |counts| counts.held);
    let words = "Not written. Decide, change the policy in the profile (or give decisions), and plan again.";
    kept_section("held", "Held for a person", total, words, context, &context.held, context.held_file.as_deref())
}

pub(super) fn accepted(state: &SessionState, context: &ReportContext) -> Markup {
    let total = planned(state, |counts| counts.accepted);
    let words = "By policy or decision the primary keeps what it has; dr's version is not carried over.";
    let file = context.accepted_file.as_deref();
    kept_section("accepted", "Accepted differences", total, words, context, &context.accepted, file)
}

fn planned(state: &SessionState, of: fn(&PlanCounts) -> u64) -> u64 {
    let plan = state.plans.last();
    plan.map_or(0, |(_, _, summary)| summary.stores.iter().map(|store| of(&store.counts)).sum())
}

fn kept_section(
    id: &str,
    title: &str,
    total: u64,
    words: &str,
    context: &ReportContext,
    kept: &[Kept],
    path: Option<&str>,
) -> Markup {
    if total == 0 {
        return html! {};
    }
    let shown = &kept[..kept.len().min(super::parts::ROWS_MAX)];
    let row = |kept: &Kept| {
        html! {
            td { (kept.store.0) } td { (key(&kept.key)) } td { (verdict_mark(kept.verdict)) } td { (kept.change) }
            td.why { (visible(&kept.reason)) } td.held { (value(context, &kept.store, &kept.key)) }
        }
    };
    let rows: Vec<Markup> = shown.iter().map(row).collect();
    let whereabouts =
        path.map_or_else(|| html! {}, |path| html! { "All of them, one JSON object a line: " (file(path)) });
    let head = head_with("why");
    section(
        id,
        &format!("{title}: {}", count(total, "item")),
        html! {
            p { (words) }
        (reasons(kept))
            (paged(title, &head, &rows, total, &whereabouts))
        },
    )
}

/// How many items there are for each reason, of all of them.
fn reasons(kept: &[Kept]) -> Markup {
    let mut counts: BTreeMap<(&StoreId, Verdict, &str), u64> = BTreeMap::new();
    for Kept { store, verdict, reason, .. } in kept {
        *counts.entry((store, *verdict, reason)).or_default() += 1;
    }
    let left_out = counts.len().saturating_sub(REASONS_MAX);
    html! {
        ul.reasons {
            @for ((store, verdict, reason), items) in counts.iter().take(REASONS_MAX) {
                li { strong { (number(*items)) } " in " (store.0) ", " (verdict_mark(*verdict)) ": " (visible(reason)) }
            }
            @if left_out > 0 { li { (number(left_out as u64)) " further reasons" } }
        }
    }
}

fn head_with(why: &str) -> Markup {
    html! {
        th { "store" } th { "key" } th { "verdict" } th { "change" } th { (why) } th.held { "primary's kept value" }
    }
}

pub(super) fn refused(context: &ReportContext) -> Markup {
    let exhibits = &context.exhibits;
    if exhibits.refused_total == 0 {
        return html! {};
    }
    let rows: Vec<Markup> = exhibits
        .refused
        .iter()
        .map(|step| {
            html! {
                td { (step.store.0) } td { (key(&step.key)) } td { (word_mark(&step.verdict)) } td { (visible(&step.change)) }
                td.why { (visible(&step.reason)) } td.held { (value(context, &step.store, &step.key)) }
            }
        })
        .collect();
    let profile = if context.profile_file.is_empty() { "PROFILE" } else { &context.profile_file };
    let whereabouts = html! { "All of them: " code { "failback report " (profile) " --format csv" } };
    section(
        "refused",
        &format!("Refused: {}", count(exhibits.refused_total, "write")),
        html! {
            p { "The primary held something else than was planned, or would not take it. Nothing was overwritten; the next plan sees what is there now." }
            (paged("Refused writes", &head_with("why it was refused"), &rows, exhibits.refused_total, &whereabouts))
        },
    )
}

/// What the newest verification found and nobody accepted.
pub(super) fn differing(state: &SessionState) -> Markup {
    let stores = || state.verified.iter().flat_map(|(_, _, stores)| stores);
    let total: u64 = stores().map(|store| store.unaccepted).sum();
    if total == 0 {
        return html! {};
    }
    let text = |line: &Json, field: &str| line.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
    let rows: Vec<Markup> = stores()
        .flat_map(|store| &store.listed)
        .map(|line| {
            let store = StoreId(text(line, "store"));
            html! { td { (store.0) } td { (key(&line["key"])) } td { (visible(&text(line, "change"))) } }
        })
        .collect();
    let whereabouts = html! {
        @for store in stores().filter(|store| store.unaccepted > 0) {
            (store.comparison.store.0) ", " (number(store.unaccepted)) ": " (file(&store.comparison.delta.display().to_string())) " "
        }
    };
    let head = html! { th { "store" } th { "key" } th { "what following dr does" } };
    section(
        "differing",
        &format!("Found by the last verification: {}", count(total, "difference")),
        html! {
            p { "Nobody accepted these. They are what stands between now and a certificate." }
            (paged("Differences found by the last verification", &head, &rows, total, &whereabouts))
        },
    )
}
