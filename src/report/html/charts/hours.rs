//! Differences by the hour of their last change since T0, for stores that tell times.

use maud::{Markup, html};

use super::super::super::words::{count, number};
use super::super::parts::{amount, instant, section, table};
use super::{WIDTH, drawn, scaled};
use crate::diff::{HOURS_AFTER_MAX, HOURS_BEFORE_MAX, HourCounts};
use crate::model::StoreId;
use crate::session::SessionState;

/// Columns of one chart; longer spans have wider ones.
const COLUMNS_MAX: i32 = 36;

/// Hours of the shortest chart, from T0 on.
const COLUMNS_MIN: i32 = 6;

const LEFT: u32 = 40;
const TOP: u32 = 10;
const BARS_HEIGHT: u32 = 100;
const HEIGHT: u32 = 140;

pub(in super::super) fn section_of_hours(state: &SessionState) -> Markup {
    let told = state.first_comparisons.iter().filter_map(|(store, found)| Some((store, found.hours.as_ref()?)));
    let told: Vec<(&StoreId, &HourCounts)> = told.collect();
    if told.is_empty() {
        return html! {};
    }
    section(
        "hours",
        "When the differences came to be",
        html! {
            p { "As first seen, by the last change of each item; hours are counted from T0, "
                (instant(told[0].1.since)) ". Items that were deleted have no time, and not every store tells times." }
            div.charts { @for (store, hours) in &told { (figure(store, hours)) } }
        },
    )
}

/// Some hours together.
struct Column {
    from: i32,
    hours: i32,
    items: u64,
}

impl Column {
    fn words(&self) -> String {
        match self.from {
            from if from <= -HOURS_BEFORE_MAX => "earlier".into(),
            from if from + self.hours > HOURS_AFTER_MAX => format!("T0{from:+} h or later"),
            from => format!("T0{from:+} h to {:+} h", from + self.hours),
        }
    }
}

fn columns(counts: &HourCounts) -> Vec<Column> {
    let first = counts.hours.keys().next().copied().unwrap_or(0).min(0);
    let last = counts.hours.keys().next_back().copied().unwrap_or(0).max(COLUMNS_MIN - 1);
    let hours = ((last - first + 1) + COLUMNS_MAX - 1) / COLUMNS_MAX;
    // T0 is the edge of a column.
    let first = first.div_euclid(hours) * hours;
    let starts = (first..=last).step_by(usize::try_from(hours).expect("a column has at least one hour"));
    let items = |from: i32| counts.hours.range(from..from + hours).map(|(_, items)| items).sum();
    starts.map(|from| Column { from, hours, items: items(from) }).collect()
}

fn figure(store: &StoreId, counts: &HourCounts) -> Markup {
    let columns = columns(counts);
    let told = columns.iter().filter(|column| column.items > 0);
    let rows: Vec<Markup> =
        told.clone().map(|column| html! { th scope="row" { (column.words()) } (amount(column.items)) }).collect();
    let words: Vec<String> = told.map(|column| format!("{}: {}", column.words(), number(column.items))).collect();
    let title = format!("Differences of {store} by hour since T0");
    html! {
        figure {
            figcaption { (store.0) @if counts.untold > 0 { ", without " (count(counts.untold, "item")) " of unknown time" } }
            (drawn(&format!("hours-{}", store.0), HEIGHT, &title, &words.join("; "), &drawing(&columns)))
            details {
                summary { "The numbers" }
                (table(&title, html! { th { "last changed" } th.n { "items" } }, &rows))
            }
        }
    }
}

fn drawing(columns: &[Column]) -> Markup {
    let most = columns.iter().map(|column| column.items).max().unwrap_or(0);
    let width = f64::from(WIDTH - LEFT - 4) / columns.len().max(1) as f64;
    let x = |at: usize| f64::from(LEFT) + width * at as f64;
    let bottom = f64::from(TOP + BARS_HEIGHT);
    let zero = columns.iter().position(|column| column.from == 0);
    let last = columns.last().map(|column| column.from + column.hours).unwrap_or(1);
    html! {
        line.axis x1=(LEFT) y1=(bottom) x2=(WIDTH - 4) y2=(bottom) {}
        text.small x=(LEFT - 6) y=(TOP + 8) text-anchor="end" { (number(most)) }
        text.small x=(LEFT - 6) y=(bottom) text-anchor="end" { "0" }
        @for (at, column) in columns.iter().enumerate() {
            @let height = scaled(column.items, most, BARS_HEIGHT);
            rect.column x=(format!("{:.1}", x(at) + width * 0.08)) y=(format!("{:.1}", bottom - height))
                width=(format!("{:.1}", width * 0.84)) height=(format!("{height:.1}")) {}
        }
        @if let Some(zero) = zero {
            line.mark x1=(format!("{:.1}", x(zero))) y1=(TOP) x2=(format!("{:.1}", x(zero))) y2=(bottom + 6.0) {}
            text.small x=(format!("{:.1}", x(zero).max(f64::from(LEFT) + 8.0))) y=(bottom + 20.0) text-anchor="middle" { "T0" }
        }
        text.small x=(WIDTH - 4) y=(bottom + 20.0) text-anchor="end" { (format!("{last:+} h")) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn columns_begin_at_t0_and_are_few() {
        let since = crate::model::Timestamp::UNIX_EPOCH;
        let counts = HourCounts { since, hours: BTreeMap::from([(-24, 2), (-1, 3), (0, 5), (100, 7)]), untold: 1 };
        let columns = columns(&counts);
        assert!(columns.len() <= COLUMNS_MAX as usize + 1 && columns.iter().any(|column| column.from == 0));
        assert_eq!(columns.iter().map(|column| column.items).sum::<u64>(), 17);
        let before: u64 = columns.iter().filter(|column| column.from < 0).map(|column| column.items).sum();
        assert_eq!(before, 5);
        assert_eq!(columns[0].words(), "earlier");
        assert!(columns.iter().any(|column| column.words() == "T0+0 h to +4 h"));
    }
}
