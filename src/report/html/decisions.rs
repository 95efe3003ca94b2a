//! Who decided what, and what was allowed beyond the limits.

use maud::{Markup, html};

use super::super::decisions::{DECISIONS_LISTED_MAX, consequence, newest};
use super::super::words::number;
use super::parts::{amount, file, instant, section, table, visible};
use crate::session::{DecisionMade, SessionState};

pub(super) fn decisions(state: &SessionState) -> Markup {
    if state.decisions.is_empty() && state.allowed.is_empty() {
        return html! {};
    }
    let (earlier, made) = newest(&state.decisions);
    let rows: Vec<Markup> = made.iter().map(row).collect();
    let head = html! {
        th { "decision" } th { "at" } th { "by" } th { "on" } th.n { "items" } th { "what becomes of them" }
    };
    section(
        "decisions",
        "Decisions",
        html! {
            p { "What persons decided about held items. A decision holds only while both sides of an item are what was seen." }
            @if earlier > 0 {
                p.more { strong { (number(earlier as u64)) " earlier ones" } " are in the journal; these are the newest "
                    (number(DECISIONS_LISTED_MAX as u64)) "." }
            }
            @if !rows.is_empty() { (table("Decisions", head, &rows)) }
            @if !state.allowed.is_empty() {
                ul {
                    @for (at, by, what) in newest(&state.allowed).1 {
                        li { (instant(*at)) " " (visible(by)) " allowed: " (visible(&what.join("; "))) }
                    }
                }
            }
        },
    )
}

fn row(made: &DecisionMade) -> Markup {
    let DecisionMade { number, at, by, choice, scope, items, seal: _, file: kept, plans_before: _, taken_back } = made;
    let words = visible(consequence(choice));
    html! {
        td { (number) } td { (instant(*at)) } td { (visible(by)) } td { (visible(scope)) } (amount(*items))
        td.why {
            @match taken_back {
                None => (words),
                Some((at, by)) => { s { (words) } " Taken back by " (visible(by)) " at " (instant(*at)) "." }
            }
            @if let Some(kept) = kept { " Both sides' contents: " (file(kept)) }
        }
    }
}
