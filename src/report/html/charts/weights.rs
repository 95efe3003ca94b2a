//! The primary's share of the traffic over time.

use maud::{Markup, html};

use super::super::super::standing::step_word;
use super::super::super::words::time;
use super::super::parts::{instant, section, table};
use super::{WIDTH, drawn};
use crate::cutover::{CutoverEvent, Share};
use crate::model::{Percent, Timestamp};
use crate::session::SessionState;

const LEFT: u32 = 44;
const RIGHT: u32 = 30;
const TOP: u32 = 16;
const PLOT_HEIGHT: u32 = 100;
const HEIGHT: u32 = 146;

/// Changes drawn, the newest ones; the timeline has more.
const CHANGES_MAX: usize = 100;

pub(in super::super) fn section_of_weights(state: &SessionState) -> Markup {
    let changes = changes(state);
    if changes.is_empty() {
        return html! {};
    }
    let rows: Vec<Markup> =
        changes.iter().map(|(at, share)| html! { td { (instant(*at)) } td.n { (share) } }).collect();
    let told: Vec<String> = changes.iter().map(|(at, share)| format!("{}: {share}", time(*at))).collect();
    let title = "The primary's share of the traffic over time";
    section(
        "weights",
        title,
        html! {
            div.charts {
                figure {
                    figcaption { "Weights as this session set them; caches follow after the TTL." }
                    (drawn("weights", HEIGHT, title, &told.join("; "), &drawing(&changes)))
                    details {
                        summary { "The numbers" }
                        (table(title, html! { th { "from" } th.n { "primary" } }, &rows))
                    }
                }
            }
        },
    )
}

/// The shares that were set, and the one that was found first.
fn changes(state: &SessionState) -> Vec<(Timestamp, Percent)> {
    let mut changes: Vec<(Timestamp, Percent)> = Vec::new();
    for (at, share, step) in &state.traffic {
        if changes.is_empty() {
            changes.extend(found_before(step).map(|share| (*at, share)));
        }
        match (step_word(step), share) {
            ("shifted", Some(share)) => changes.push((*at, *share)),
            ("retreated", _) => changes.push((*at, Percent::ZERO)),
            _ => {}
        }
    }
    changes.split_off(changes.len().saturating_sub(CHANGES_MAX))
}

fn found_before(step: &serde_json::Value) -> Option<Percent> {
    let Ok(CutoverEvent::ShiftIntended { from: Share { primary, dr }, .. }) = serde_json::from_value(step.clone())
    else {
        return None;
    };
    let (primary, all) = (u64::from(primary), u64::from(primary) + u64::from(dr));
    Percent::new(u8::try_from((primary * 100).checked_div(all)?).ok()?).ok()
}

fn drawing(changes: &[(Timestamp, Percent)]) -> Markup {
    let (begin, end) = (changes[0].0, changes[changes.len() - 1].0);
    let span = (end.as_second() - begin.as_second()).max(1) as f64;
    let plot = f64::from(WIDTH - LEFT - RIGHT);
    let x = |at: Timestamp| f64::from(LEFT) + plot * (at.as_second() - begin.as_second()) as f64 / span;
    let y = |share: Percent| f64::from(TOP + PLOT_HEIGHT) - f64::from(share.get()) / 100.0 * f64::from(PLOT_HEIGHT);
    let mut path = String::new();
    for (index, (at, share)) in changes.iter().enumerate() {
        path += &match index {
            0 => format!("M{:.1} {:.1}", x(*at), y(*share)),
            _ => format!(" H{:.1} V{:.1}", x(*at), y(*share)),
        };
    }
    path += &format!(" H{}", WIDTH - 8);
    let labels = TOP + PLOT_HEIGHT + 20;
    html! {
        @for share in [Percent::ZERO, Percent::ALL] {
            line.axis x1=(LEFT) y1=(y(share)) x2=(WIDTH - 8) y2=(y(share)) {}
            text.small x=(LEFT - 6) y=(y(share) + 4.0) text-anchor="end" { (share) }
        }
        path.line d=(path) {}
        @for (at, share) in changes {
            circle.point cx=(format!("{:.1}", x(*at))) cy=(format!("{:.1}", y(*share))) r="3" {}
            @if ![Percent::ZERO, Percent::ALL].contains(share) {
                text.small x=(format!("{:.1}", x(*at) + 4.0)) y=(format!("{:.1}", y(*share) - 6.0)) { (share) }
            }
        }
        text.small x=(LEFT) y=(labels) { (begin.strftime("%d %b %H:%M:%S")) }
        text.small x=(WIDTH - 8) y=(labels) text-anchor="end" { (end.strftime("%H:%M:%S UTC")) }
    }
}
