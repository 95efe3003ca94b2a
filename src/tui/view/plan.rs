//! The newest plan: what would be written, what is held, what it takes.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text::{fit, heading, paragraph, right};
use crate::report::{bytes, count, duration, number, steps_in_all, time};
use crate::session::StorePlan;
use crate::tui::state::Model;

const NUMBER: usize = 9;

pub(super) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let Some((at, id, summary)) = model.state.plans.last() else {
        return vec![Line::styled("There is no plan yet: n leads there; a plan writes nothing.", theme.dim())];
    };
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("Plan {} ", &id.to_string()[..12]), theme.strong()),
        Span::styled(format!("of {}: {}", time(*at), count(summary.steps(), "step")), Style::new()),
    ])];
    lines.push(head(model, width));
    lines.extend(summary.stores.iter().map(|store| row(model, store, width)));
    for store in &summary.stores {
        for limit in &store.limits {
            let words = format!("{} {}: every step is held: {limit}", theme.person(), store.store);
            lines.extend(paragraph(&words, 0, width, theme.warning()));
        }
    }
    lines.push(Line::default());
    lines.extend(forecast(model, &summary.stores, width));
    lines.extend(dangers(model, &summary.stores, width));
    lines.extend(what_next(model, width));
    lines
}

fn name_width(width: u16) -> usize {
    usize::from(width).saturating_sub(NUMBER * 7).clamp(8, 24)
}

fn head(model: &Model, width: u16) -> Line<'static> {
    let words = ["insert", "overwr.", "delete", "held", "accept.", "bytes", "time"];
    let text = words.iter().fold(fit("store", name_width(width), ""), |text, word| text + &right(word, NUMBER));
    Line::styled(text, model.theme.dim())
}

fn row(model: &Model, store: &StorePlan, width: u16) -> Line<'static> {
    let theme = model.theme;
    let counts = &store.counts;
    let cell = |items: u64, style: Style| {
        Span::styled(right(&number(items), NUMBER), if items > 0 { style } else { theme.dim() })
    };
    Line::from(vec![
        Span::styled(fit(&store.store.0, name_width(width), theme.sign("…", "~")), theme.strong()),
        cell(counts.inserts, Style::new()),
        cell(counts.updates, Style::new()),
        cell(counts.deletes, theme.bad()),
        cell(counts.held, theme.warning()),
        cell(counts.accepted, Style::new()),
        Span::raw(right(&bytes(counts.bytes).replace(' ', ""), NUMBER)),
        Span::raw(right(&duration(store.forecast.seconds).replace(' ', ""), NUMBER)),
    ])
}

fn forecast(model: &Model, stores: &[StorePlan], width: u16) -> Vec<Line<'static>> {
    // Stores are written one after the other.
    let seconds: u64 = stores.iter().map(|store| store.forecast.seconds).sum();
    let requests: u64 = stores.iter().map(|store| store.forecast.requests).sum();
    let dollars: f64 = stores.iter().map(|store| store.forecast.dollars).sum();
    let mut lines = vec![heading("Forecast", model.theme.strong())];
    let words = format!(
        "about {} of writing at the limits of the profile, {}, ${dollars:.2} at list price",
        duration(seconds),
        count(requests, "request")
    );
    lines.extend(paragraph(&words, 2, width, Style::new()));
    for store in stores.iter().filter(|store| store.counts.steps() > 0) {
        let forecast = &store.forecast;
        let (time, requests) = (duration(forecast.seconds), count(forecast.requests, "request"));
        let name = fit(&store.store.0, 14, model.theme.sign("…", "~"));
        lines.push(Line::styled(format!("  {name} {time}, {requests}, ${:.4}", forecast.dollars), model.theme.dim()));
    }
    lines
}

fn dangers(model: &Model, stores: &[StorePlan], width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let deletes: u64 = stores.iter().map(|store| store.counts.deletes).sum();
    let updates: u64 = stores.iter().map(|store| store.counts.updates).sum();
    let accepted: u64 = stores.iter().map(|store| store.counts.accepted).sum();
    let mut lines = Vec::new();
    let mut say = |items: u64, words: String, style: Style| {
        if items > 0 {
            lines.extend(paragraph(&words, 2, width, style));
        }
    };
    say(
        deletes,
        format!("{} {} would go from the primary; each is kept first", theme.person(), count(deletes, "item")),
        theme.bad(),
    );
    say(
        updates,
        format!("{} of the primary would be overwritten; each is kept first", count(updates, "item")),
        Style::new(),
    );
    say(
        accepted,
        format!(
            "{} stay different by policy: named in the certificate, and in accepted.ndjson for the business",
            count(accepted, "item")
        ),
        Style::new(),
    );
    if !lines.is_empty() {
        lines.insert(0, heading("What it does to the primary", theme.strong()));
    }
    lines
}

fn what_next(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let steps = steps_in_all(&model.state);
    let mut lines = vec![Line::default()];
    if model.undecided > 0 {
        let words = format!("{} {} held for a person: 3 shows them", theme.person(), count(model.undecided, "item"));
        lines.extend(paragraph(&words, 0, width, theme.warning()));
    }
    if steps.done > 0 {
        let words = format!("{} of {} are written already", number(steps.done), count(steps.planned, "step"));
        lines.extend(paragraph(&words, 0, width, theme.good()));
    } else if steps.planned > 0 {
        let words = "A plan never changes. Replaying it asks first; what changed since is refused, not overwritten.";
        lines.extend(paragraph(words, 0, width, theme.dim()));
    }
    lines
}
