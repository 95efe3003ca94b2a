//! What happened when, and what was forecast.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::super::words::{bytes, count, duration, exit_meaning, number, step_words};
use super::parts::{amount, instant, section, table, visible};
use crate::model::{Digest, Timestamp};
use crate::session::{PlanSummary, SessionState, StoreReplay};

/// Entries of the timeline, the newest ones; the journal has all of them.
const ENTRIES_MAX: usize = 200;

/// Plans whose forecasts are shown, the newest ones.
const PLANS_MAX: usize = 20;

/// Hexadecimal digits of a plan's id.
const PLAN_DIGITS: usize = 12;

struct Entry {
    at: Timestamp,
    what: Markup,
    grave: bool,
}

pub(super) fn timeline(state: &SessionState) -> Markup {
    let mut entries: Vec<Entry> = commands(state).chain(stages(state)).chain(traffic(state)).collect();
    if entries.is_empty() {
        return html! {};
    }
    // Stable: what happened at the same instant stays in the order of its kind.
    entries.sort_by_key(|entry| entry.at);
    let skipped = entries.len().saturating_sub(ENTRIES_MAX);
    section(
        "timeline",
        "Timeline",
        html! {
            @if skipped > 0 { p.more { (number(skipped as u64)) " earlier entries are in the journal." } }
            @let routine = state.traffic.iter().filter(|(_, _, step)| is_routine(step)).count();
        @if routine > 0 { p.more { "Left out: " (count(routine as u64, "probe")) " that found the primary healthy." } }
        ol.timeline {
                @for Entry { at, what, grave } in &entries[skipped..] {
                    li.grave[*grave] { (instant(*at)) " " span { (what) } }
                }
            }
        },
    )
}

fn commands(state: &SessionState) -> impl Iterator<Item = Entry> {
    state.commands.iter().map(|(name, at, exit)| {
        let end = match exit {
            Some(exit) => format!("exit {exit}, {}", exit_meaning(*exit)),
            None => "no end recorded: killed, or still running".into(),
        };
        let what = html! { code { (visible(name)) } " (" (end) ")" };
        Entry { at: *at, what, grave: matches!(exit, Some(4 | 5)) }
    })
}

fn stages(state: &SessionState) -> impl Iterator<Item = Entry> {
    let plans = state.plans.iter().map(|(at, plan, summary)| {
        let (steps, held) = (number(summary.steps()), number(summary.held()));
        Entry { at: *at, what: html! { "plan " (short(plan)) ": " (steps) " steps, " (held) " held" }, grave: false }
    });
    let replays = state.replays.iter().map(|(at, plan, stores)| {
        let sum = |of: fn(&StoreReplay) -> u64| number(stores.iter().map(of).sum());
        let (applied, refused) = (sum(|store| store.run.applied), sum(|store| store.run.refused));
        let (already, stale) = (sum(|store| store.run.already), sum(|store| store.run.stale));
        let what = html! {
            "replay of " (short(plan)) " ended: " (applied) " written, " (already) " there already, " (refused) " refused, "
            (stale) " stale"
        };
        Entry { at: *at, what, grave: stores.iter().any(|store| store.run.refused > 0) }
    });
    let verified = state.verified.iter().map(|(at, parity, _)| {
        let found = if *parity { "parity" } else { "differences" };
        Entry { at: *at, what: html! { "verified: " strong { (found) } }, grave: !*parity }
    });
    let fence = state.fence.iter().filter_map(|fence| {
        let what = html! { "writers to dr: " (fence.detail) };
        Some(Entry { at: fence.at?, what, grave: false })
    });
    plans.chain(replays).chain(verified).chain(fence)
}

fn traffic(state: &SessionState) -> impl Iterator<Item = Entry> {
    state.traffic.iter().filter(|(_, _, step)| !is_routine(step)).map(|(at, share, step)| {
        let told = step_words(step);
        let grave = told.as_ref().is_none_or(|told| told.grave);
        let what = html! {
            "traffic: "
            @match told {
                Some(told) => { (told.words) @if !told.detail.is_empty() { ", " (visible(&told.detail)) } }
                None => "a step that this version does not know",
            }
            @if let Some(share) = share { ", " (share) " on the primary" }
        };
        Entry { at: *at, what, grave }
    })
}

/// A probe that found the primary healthy, of which there are many.
fn is_routine(step: &Json) -> bool {
    step_words(step).is_some_and(|told| told.words == "healthy")
}

fn short(plan: &Digest) -> Markup {
    html! { code { (plan.to_string()[..PLAN_DIGITS]) } }
}

pub(super) fn forecasts(state: &SessionState) -> Markup {
    if state.plans.is_empty() {
        return html! {};
    }
    let skipped = state.plans.len().saturating_sub(PLANS_MAX);
    let rows: Vec<Markup> = state.plans[skipped..]
        .iter()
        .map(|(at, plan, summary)| {
            let actual = Actual::of(state, *at, plan);
            let sum = Sum::of(summary);
            html! {
                th scope="row" { (short(plan)) } td { (instant(*at)) }
                (amount(sum.steps)) (amount(actual.done))
                td.n { (duration(sum.seconds)) } td.n { (actual.seconds.map_or_else(|| "not replayed".into(), duration)) }
                (amount(sum.requests)) td.n { (bytes(sum.bytes)) } td.n { "$" (format!("{:.2}", sum.dollars)) }
            }
        })
        .collect();
    let head = html! {
        th { "plan" } th { "made" } th.n { "steps planned" } th.n { "done" } th.n { "time forecast" } th.n { "time taken" }
        th.n { "requests forecast" } th.n { "to write" } th.n { "cost forecast" }
    };
    section(
        "forecast",
        "Forecast and actual",
        html! {
            @if skipped > 0 { p.more { (number(skipped as u64)) " earlier plans are in the journal." } }
            (table("Forecast and actual of each plan", head, &rows))
            p {
                "Whole session: " (count(state.done, "step")) " done, " (number(state.refused)) " refused, "
                (number(state.stale)) " stale; ended replay passes: " (number(state.replays.len() as u64)) "."
            }
            p.note {
                "Forecasts are made before writing, at the limits of the profile and at list prices: an order of magnitude, not a "
                "bill. Time taken is the time of the replay passes that ended; requests and money are not measured."
            }
        },
    )
}

/// What a plan forecast, over its stores.
#[derive(Default)]
struct Sum {
    steps: u64,
    seconds: u64,
    requests: u64,
    bytes: u64,
    dollars: f64,
}

impl Sum {
    fn of(summary: &PlanSummary) -> Sum {
        let add = |sum: Sum, planned: &crate::session::StorePlan| Sum {
            steps: sum.steps + planned.counts.steps(),
            seconds: sum.seconds + planned.forecast.seconds,
            requests: sum.requests + planned.forecast.requests,
            bytes: sum.bytes + planned.counts.bytes,
            dollars: sum.dollars + planned.forecast.dollars,
        };
        summary.stores.iter().fold(Sum::default(), add)
    }
}

/// What the replay passes of a plan came to.
struct Actual {
    done: u64,
    seconds: Option<u64>,
}

impl Actual {
    fn of(state: &SessionState, planned_at: Timestamp, plan: &Digest) -> Actual {
        // A plan may be made twice with the same steps: its passes end before the next plan is made.
        let next = state.plans.iter().map(|(at, _, _)| *at).find(|at| *at > planned_at);
        let within = |at: &Timestamp| *at >= planned_at && next.is_none_or(|next| *at <= next);
        let passes = state.replays.iter().filter(|(at, replayed, _)| replayed == plan && within(at));
        let mut actual = Actual { done: 0, seconds: None };
        for (ended, _, stores) in passes {
            actual.done += stores.iter().map(|store| store.run.applied + store.run.already).sum::<u64>();
            let begun = state.commands.iter().filter(|(name, at, _)| name == "replay --apply" && at <= ended);
            let begun = begun.map(|(_, at, _)| *at).next_back().unwrap_or(planned_at).max(planned_at);
            let took = u64::try_from(ended.as_second() - begun.as_second()).unwrap_or(0);
            actual.seconds = Some(actual.seconds.unwrap_or(0) + took);
        }
        actual
    }
}
