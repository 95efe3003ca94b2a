//! Differences by verdict: as first seen, and at the last diff.

use maud::{Markup, html};

use super::super::super::words::number;
use super::{drawn, scaled};
use crate::compare::Comparison;
use crate::model::{StoreId, Verdict};

const ROW: u32 = 30;
const BARS_FROM: u32 = 104;
const BARS_LENGTH: u32 = 216;

pub(in super::super) fn chart(store: &StoreId, first: &Comparison, newest: &Comparison) -> Markup {
    let differences: Vec<Verdict> = Verdict::ALL.into_iter().filter(|verdict| verdict.is_difference()).collect();
    let counts = |verdict: &Verdict| [first.verdicts.get(*verdict), newest.verdicts.get(*verdict)];
    let most = differences.iter().flat_map(counts).max().unwrap_or(0);
    if most == 0 {
        return html! { p { "Nothing differs." } };
    }
    let rows = differences.iter().enumerate().map(|(at, verdict)| {
        let y = ROW * u32::try_from(at).expect("there are few verdicts");
        row(*verdict, counts(verdict), most, y)
    });
    let drawing = html! { @for row in rows { (row) } };
    let told: Vec<String> = differences
        .iter()
        .map(|verdict| {
            format!(
                "{verdict}: {} first seen, {} at the last diff",
                number(counts(verdict)[0]),
                number(counts(verdict)[1])
            )
        })
        .collect();
    let height = ROW * u32::try_from(differences.len()).expect("there are few verdicts");
    let id = format!("verdicts-{}", store.0);
    html! {
        p.legend { span.swatch.then {} " as first seen " span.swatch.now {} " at the last diff" }
        (drawn(&id, height, &format!("Differences of {store} by verdict"), &told.join("; "), &drawing))
    }
}

fn row(verdict: Verdict, [first, newest]: [u64; 2], most: u64, y: u32) -> Markup {
    let bar = |items, top: u32, class: &str| {
        html! {
            rect.{ (class) } .{ "v-" (verdict.word()) } x=(BARS_FROM) y=(y + top) width=(format!("{:.1}", scaled(items, most, BARS_LENGTH))) height="10" {}
        }
    };
    html! {
        text x=(BARS_FROM - 8) y=(y + 18) text-anchor="end" { (verdict) }
        (bar(first, 4, "then"))
        (bar(newest, 15, "now"))
        text.small x=(BARS_FROM + BARS_LENGTH + 8) y=(y + 13) { (number(first)) }
        text.small x=(BARS_FROM + BARS_LENGTH + 8) y=(y + 25) { (number(newest)) }
    }
}
