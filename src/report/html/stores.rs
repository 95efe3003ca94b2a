//! A card for each store.

use maud::{Markup, html};

use super::super::ReportContext;
use super::super::sections::{base_words, lost_of, lost_words, reads_words};
use super::super::standing::{Standing, newest_plan, steps_of};
use super::super::store_standing::{StoreStanding, all_stores};
use super::super::words::{bytes, how_read, number};
use super::answer::standing_badge;
use super::charts;
use super::parts::{amount, file, instant, instant_or_unknown, key, paged, root, section, table, verdict_mark};
use crate::compare::Comparison;
use crate::model::{StoreId, Verdict};
use crate::session::{DeltaSample, READ_BY_VERIFY, SessionState};

pub(super) fn stores(state: &SessionState, context: &ReportContext) -> Markup {
    let standing = Standing::of(state);
    let names = all_stores(state, context);
    section(
        "stores",
        "Stores",
        html! {
            @if names.is_empty() { p { "The profile names no store." } }
            div.cards {
                @for store in &names {
                    @let found = StoreStanding::of(state, context, &standing, store);
                    (card(state, context, store, &found))
                }
            }
        },
    )
}

fn card(state: &SessionState, context: &ReportContext, store: &StoreId, found: &StoreStanding) -> Markup {
    let newest = state.newest_comparisons();
    let newest = newest.get(store).copied();
    html! {
        article.card id={ "store-" (store.0) } {
            h3 { (store.0) " " @if let Some((_, comparison)) = newest { small { (comparison.kind) } } " " (standing_badge(found)) }
            p.detail { (found.detail()) "." }
            @if let Some((by, comparison)) = newest {
                (sides(by, comparison, found))
                (verdicts(state, store, comparison))
                (steps(state, store))
                (lost_writes(state, store))
                @if let Some(spelling) = comparison.spelling() { p.note { (spelling) "." } }
                @if let Some(reads) = &comparison.reads { p.note { "Reading it " (reads_words(reads)) "." } }
                p.base { strong { "Base: " } (base(state, context, store)) }
                (counters(state, store))
                (delta(context, by, comparison))
            }
        }
    }
}

fn lost_writes(state: &SessionState, store: &StoreId) -> Markup {
    let Some(lost) = lost_of(state, store) else { return html! {} };
    let rows: Vec<Markup> = lost
        .listed
        .iter()
        .map(|write| {
            html! {
                td { (key(&write.key)) }
                td { (write.side) }
                td { (instant_or_unknown(write.at)) }
                td { @if write.is_certain { "yes" } @else { "no" } }
            }
        })
        .collect();
    let head = html! { th { "key" } th { "taken by" } th { "at" } th { "certain" } };
    html! {
        p.warning { (lost_words(&store.0, lost)) "." }
        details {
            summary { "The first of them" }
            (table("Writes that the global table lost", head, &rows))
        }
    }
}

fn sides(by: &str, comparison: &Comparison, found: &StoreStanding) -> Markup {
    let Comparison { primary, dr, .. } = comparison;
    let rows = [("primary", primary), ("dr", dr)].map(|(name, side)| {
        html! {
            th scope="row" { (name) }
            (amount(side.items))
            td { (root(&side.root)) }
            td { span.resource { (side.identity.resource) } }
        }
    });
    let head = html! { th { "side" } th.n { "items" } th { "root" } th { "resource" } };
    html! {
        (table("Both sides as last read", head, &rows))
        p.note {
            @match (primary.root == dr.root, found) {
                (true, _) => "The roots are the same.",
                (false, StoreStanding::Certified(_)) => "The roots differ by what was accepted.",
                (false, _) => "The roots differ.",
            }
            " Read by " code { (by) } " until " (instant(comparison.read_until())) "."
            @for words in how_read(comparison) { " " (words) "." }
        }
    }
}

fn verdicts(state: &SessionState, store: &StoreId, newest: &Comparison) -> Markup {
    // A verification reads without a base, so its differences bear no verdicts: the chart shows the last diff.
    let newest = state.comparisons.get(store).unwrap_or(newest);
    let first = state.first_comparisons.get(store).unwrap_or(newest);
    let rows: Vec<Markup> = Verdict::ALL
        .into_iter()
        .map(|verdict| {
            html! { th scope="row" { (verdict_mark(verdict)) } (amount(first.verdicts.get(verdict))) (amount(newest.verdicts.get(verdict))) }
        })
        .collect();
    let head = html! { th { "verdict" } th.n { "first seen" } th.n { "last diff" } };
    html! {
        (charts::verdicts::chart(store, first, newest))
        details {
            summary { "The numbers" }
            (table("Items by verdict", head, &rows))
        }
    }
}

fn steps(state: &SessionState, store: &StoreId) -> Markup {
    let Some(planned) = newest_plan(state, store) else { return html! {} };
    let (steps, counts) = (steps_of(state, store), planned.counts);
    html! {
        dl.steps {
            @for (name, items) in [
                ("planned", steps.planned), ("done", steps.done), ("refused", steps.refused), ("stale", steps.stale),
                ("open", steps.open), ("held", steps.held), ("accepted", counts.accepted),
            ] { div { dt { (name) } dd { (number(items)) } } }
        }
        p.note {
            "Newest plan: " (number(counts.inserts)) " inserts, " (number(counts.updates)) " updates, "
            (number(counts.deletes)) " deletes, " (bytes(counts.bytes)) " to write."
        }
        @if !planned.limits.is_empty() {
            p.warning { strong { "All of its steps are held: " } (planned.limits.join("; ")) "." }
        }
    }
}

fn base(state: &SessionState, context: &ReportContext, store: &StoreId) -> String {
    let base = state.comparisons.get(store).and_then(|comparison| comparison.base.as_ref());
    match base {
        Some(base) => format!("{}.", base_words(base, context.tb())),
        None => "none: nothing tells which side changed, so differences are unattributed.".into(),
    }
}

fn counters(state: &SessionState, store: &StoreId) -> Markup {
    let verified = state.verified.iter().flat_map(|(_, _, stores)| stores);
    let behind = verified.filter(|verified| verified.comparison.store == *store).flat_map(|v| &v.counters_behind);
    let behind: Vec<&str> = behind.map(String::as_str).collect();
    html! {
        @if !behind.is_empty() {
            p.warning { strong { "Counters of the primary that lag behind dr: " } (behind.join(", ")) "." }
        }
    }
}

fn delta(context: &ReportContext, by: &str, comparison: &Comparison) -> Markup {
    let differing = comparison.verdicts.differing();
    let path = comparison.delta.display().to_string();
    if differing == 0 {
        return html! {};
    }
    let whereabouts = html! {
        @if by == READ_BY_VERIFY { "Read by the verification, which has no base: it calls every difference unattributed. " }
        "The full delta, one JSON object a line: " (file(&path))
    };
    match context.exhibits.delta.get(&comparison.store) {
        None => html! { p.more { (whereabouts) } },
        Some(DeltaSample::Unreadable(why)) => html! {
            p.warning { "The delta cannot be read (" (why) "): " (file(&path)) }
        },
        Some(DeltaSample::Lines(lines)) => {
            let rows: Vec<Markup> = lines
                .iter()
                .map(|line| html! { td { (key(&line.key)) } td { (verdict_mark(line.verdict)) } td { (line.change) } })
                .collect();
            let head = html! { th { "key" } th { "verdict" } th { "what following dr does" } };
            html! {
                details {
                    summary { "What differs: " (number(differing)) " items" }
                    (paged(&format!("Delta of {}", comparison.store), &head, &rows, differing, &whereabouts))
                }
            }
        }
    }
}
