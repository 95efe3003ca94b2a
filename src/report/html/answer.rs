//! The first screenful: can we cut over, and what would we lose?

use maud::{Markup, html};

use super::super::standing::Standing;
use super::super::store_standing::{StoreStanding, all_stores};
use super::super::verdict::{next_step, not_checked_words};
use super::super::words::{count, duration, unplain};
use super::super::{KeyDisplay, ReportContext, ValueDisplay, verdict};
use super::parts::{instant, instant_or_unknown};
use crate::session::SessionState;

/// Stores named in the first screenful; the cards below have all of them.
const CHIPS_MAX: usize = 8;

pub(super) fn answer(state: &SessionState, context: &ReportContext) -> Markup {
    let answer = verdict(state, context);
    let standing = Standing::of(state);
    let (word, class) = match (standing.cutover_done, answer.can_cut_over) {
        (true, _) => ("It is done", "yes"),
        (false, true) => ("Yes", "yes"),
        (false, false) => ("No", "no"),
    };
    let (action, why) = next_step(state, context);
    let command = action.command_line();
    let command = match context.profile_file.is_empty() {
        true => command.to_owned(),
        false => command.replace("PROFILE", &context.profile_file),
    };
    html! {
        header #answer {
            p.eyebrow { "Failback of " strong { (context.profile) } ", report of " (instant(context.generated_at)) }
            div.question { h1 { "Can we cut over?" } span.badge.(class) { (word) } }
            p.sentence { (answer.sentence) }
            @if state.unread > 0 {
                p.warning { strong { "This report may lack something: " }
                    (count(state.unread, "event")) " of the journal could not be read by this version." }
            }
            dl.facts {
                div { dt { "What would we lose?" } dd { (answer.loss) } }
                div { dt { "Not checked" } dd.words { (not_checked_words(state, context)) " " a href="#not-checked" { "All" } } }
                div { dt { "Next" } dd { code { (command) } ": " (unplain(&why)) "." } }
            }
            (chips(state, context, &standing))
            (disclosure(context))
        }
        (times(state, context))
    }
}

fn chips(state: &SessionState, context: &ReportContext, standing: &Standing) -> Markup {
    let stores = all_stores(state, context);
    let rest = stores.len().saturating_sub(CHIPS_MAX);
    html! {
        @if !stores.is_empty() {
            ul.chips aria-label="Stores" {
                @for store in stores.iter().take(CHIPS_MAX) {
                    @let found = StoreStanding::of(state, context, standing, store);
                    li { a href={ "#store-" (store.0) } { (store.0) } " " (standing_badge(&found)) }
                }
                @if rest > 0 { li { a href="#stores" { "and " (rest) " more" } } }
            }
        }
    }
}

/// Where a store stands, in a word with a shape of its own.
pub(super) fn standing_badge(found: &StoreStanding) -> Markup {
    let class = match found {
        StoreStanding::Certified(_) => "yes",
        StoreStanding::Differs(_) => "no",
        StoreStanding::Unproven(_) | StoreStanding::Incomplete(_) | StoreStanding::NotCompared => "unsure",
    };
    html! { span.state.(class) { (found.word()) } }
}

/// What was chosen of keys and values; loud where contents are shown.
fn disclosure(context: &ReportContext) -> Markup {
    let keys = match context.disclosure.keys {
        KeyDisplay::Shown => "keys shown",
        KeyDisplay::Masked => "keys masked (--mask-keys)",
    };
    html! {
        p.disclosure {
            "On this page: " (keys) ", "
            @match context.disclosure.values {
                ValueDisplay::Masked => "values masked",
                ValueDisplay::Shown => strong { "VALUES SHOWN (--show-values)" },
            }
            ". " a href="#about" { "About" }
        }
    }
}

fn times(state: &SessionState, context: &ReportContext) -> Markup {
    let took = state.began_at.zip(state.last_at).map(|(began, last)| {
        let took = duration(u64::try_from(last.as_second() - began.as_second()).unwrap_or(0));
        html! { (instant(began)) " to " (instant(last)) " (" (took) ")" }
    });
    html! {
        dl.times {
            div { dt { "Disaster (T0)" } dd { (instant_or_unknown(context.disaster_at)) } }
            div { dt { "What dr held at failover (Tb)" } dd { (instant_or_unknown(context.tb())) } }
            div { dt { "Session" } dd { (took.unwrap_or_else(|| html! { "not begun" })) } }
        }
    }
}
