//! Replay and catch-up: rates, refusals, and how small the passes have become.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::stores::task_words;
use super::text::{REFUSED, fit, heading, one_line, paragraph};
use crate::report::{count, number, steps_in_all, steps_of, time};
use crate::session::Action;
use crate::tui::state::Model;

/// Passes in the curve.
const PASSES_SHOWN: usize = 40;
/// Refused writes listed, the newest first; the report has more.
const REFUSALS_SHOWN: usize = 6;

pub(super) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines = status(model, width);
    lines.push(Line::default());
    for (store, _) in &model.setting.stores {
        let steps = steps_of(&model.state, store);
        let task = model.tasks.iter().rev().find(|task| task.task == format!("replay {store}"));
        let running = model.running.as_ref().is_some_and(|run| run.action != Action::Plan);
        let mut spans = vec![Span::styled(fit(&store.0, 12, theme.sign("…", "~")) + " ", theme.strong())];
        match task.filter(|task| running && !task.ended) {
            Some(task) => spans.push(Span::styled(task_words(model, task), theme.accent())),
            None if steps.planned == 0 => spans.push(Span::styled("nothing to write", theme.dim())),
            None => spans.push(Span::raw(format!(
                "{} {} of {} done, {} refused, {} stale",
                theme.bar((steps.done + steps.refused + steps.stale) as f64 / steps.planned as f64, 20),
                number(steps.done),
                number(steps.planned),
                number(steps.refused),
                number(steps.stale)
            ))),
        }
        lines.push(Line::from(spans));
    }
    lines.push(Line::default());
    lines.extend(passes(model, width));
    lines.extend(refusals(model, width));
    lines.extend(undo(model, width));
    lines
}

fn status(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let writes =
        matches!(model.running.as_ref().map(|run| run.action), Some(Action::Replay | Action::FinalPass | Action::Undo));
    let pace = match (model.pace.paused, model.pace.percent) {
        (true, _) => "PAUSED: no write begins; Space goes on".to_owned(),
        (false, 100) => "pace: as the profile's limits say; - slower, + faster, Space pauses".into(),
        (false, percent) => format!("pace: {percent}% of the profile's limits; - slower, + faster, Space pauses"),
    };
    let style = if model.pace.paused { theme.warning() } else { theme.dim() };
    let mut lines = vec![match writes {
        true => Line::styled("Writing to the primary, guarded and journalled", theme.strong()),
        false => Line::styled("Nothing is being written", theme.dim()),
    }];
    lines.extend(paragraph(&pace, 0, width, style));
    if !model.rates.is_empty() {
        let room = usize::from(width).saturating_sub(24);
        let rates: Vec<u64> = model.rates.iter().rev().take(room).rev().copied().collect();
        let now = rates.last().copied().unwrap_or(0);
        lines.push(Line::from(vec![
            Span::styled("rate  ", theme.dim()),
            Span::styled(theme.curve(&rates), theme.accent()),
            Span::raw(format!("  {}/s", number(now))),
        ]));
    }
    lines
}

/// Steps of every pass: small enough to freeze?
fn passes(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let all: Vec<u64> = model.state.plans.iter().map(|(_, _, summary)| summary.steps()).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let shown = &all[all.len().saturating_sub(PASSES_SHOWN)..];
    let numbers = shown.iter().rev().take(8).rev().map(|steps| number(*steps)).collect::<Vec<_>>().join(", ");
    let mut lines = vec![Line::from(vec![
        Span::styled("delta by pass  ", theme.strong()),
        Span::styled(theme.curve(shown), theme.accent()),
        Span::raw(format!("  {numbers}")),
    ])];
    let last = all.last().copied().unwrap_or(0);
    let words = match (model.state.replays.len(), last) {
        (0, _) => "The first pass is still to come.".to_owned(),
        (_, last) if last <= 100 => {
            format!("The last pass had {}: small enough to stop dr's writers.", count(last, "step"))
        }
        (_, last) => format!("The last pass had {}: another pass makes the freeze shorter.", count(last, "step")),
    };
    lines.extend(paragraph(&words, 0, width, Style::new()));
    lines
}

fn refusals(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let steps = steps_in_all(&model.state);
    if steps.refused == 0 {
        return Vec::new();
    }
    let words = format!(
        "{} {} refused: the primary holds something else than the plan saw. Nothing was overwritten; the next plan looks anew.",
        theme.person(),
        count(steps.refused, "write")
    );
    let mut lines = paragraph(&words, 0, width, theme.warning());
    let told = model.events.iter().rev().filter(|(_, words)| words.contains(REFUSED)).take(REFUSALS_SHOWN);
    for (at, words) in told {
        let line = format!("  {} {}", at.strftime("%H:%M:%SZ"), one_line(words));
        lines.push(Line::raw(fit(&line, usize::from(width), theme.sign("…", "~"))));
    }
    lines
}

fn undo(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let (done, undone, left) = (model.state.done, model.state.undone, model.state.undo_refused);
    let mut lines = vec![Line::default(), heading("Undo", theme.strong())];
    let words = match (done, undone) {
        (0, 0) => "This session has written nothing, so there is nothing to undo.".to_owned(),
        (_, 0) => format!(
            "{} written so far. u puts back what was there before each of them; what others changed since stays.",
            count(done, "item")
        ),
        _ => {
            format!("{} put back, {} left as found because somebody changed them.", count(undone, "item"), number(left))
        }
    };
    lines.extend(paragraph(&words, 2, width, Style::new()));
    if let Some((at, _, _)) = model.state.replays.last() {
        lines.push(Line::styled(format!("  the last pass ended at {}", time(*at)), theme.dim()));
    }
    lines
}
