//! One row a store, and one store in full.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::text::{fit, heading, paragraph, right};
use crate::compare::Comparison;
use crate::model::{StoreId, Verdict};
use crate::report::{bytes, count, duration, how_read, number, steps_of, time};
use crate::session::{READ_BY_VERIFY, StorePlan, StoreVerification, TaskProgress};
use crate::store::{Finding, Level};
use crate::tui::state::{Model, Screen, Tone};

/// Verdicts in columns, with their headings.
const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::DrOnly, "dr-only"),
    (Verdict::Stranded, "strandd"),
    (Verdict::Conflict, "conflct"),
    (Verdict::Unattributed, "unattrb"),
    (Verdict::Expired, "expired"),
];

/// Columns of a number.
const NUMBER: usize = 8;

/// Where one store stands, in a few words.
struct Phase {
    words: String,
    tone: Tone,
}

fn phase(tone: Tone, words: impl Into<String>) -> Phase {
    Phase { words: words.into(), tone }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let theme = model.theme;
    let wide = area.width >= 110;
    let mut head =
        format!("  {}{}", fit("store", name_width(area.width), ""), fit("state", phase_width(area.width), ""));
    head += &right("primary", NUMBER);
    head += &right("dr", NUMBER);
    VERDICTS.iter().for_each(|(_, word)| head += &right(word, NUMBER));
    if wide {
        ["held", "refused"].iter().for_each(|word| head += &right(word, NUMBER));
    }
    let mut lines = vec![Line::styled(head, theme.dim())];
    let selected = model.line(Screen::Stores);
    let fitting = usize::from(area.height.saturating_sub(1) / 2).max(1);
    let first = (selected + 1).saturating_sub(fitting);
    for (at, (store, kind)) in model.setting.stores.iter().enumerate().skip(first).take(fitting) {
        let line = row(model, store, area.width);
        lines.push(if at == selected { line.style(theme.selected()) } else { line });
        lines.push(below(model, store, kind, area.width));
    }
    let used = lines.len();
    lines.extend(findings(model, area.width).into_iter().take(usize::from(area.height).saturating_sub(used)));
    frame.render_widget(Paragraph::new(lines), area);
}

fn name_width(width: u16) -> usize {
    if width >= 110 { 18 } else { 9 }
}

fn phase_width(width: u16) -> usize {
    usize::from(width).saturating_sub(2 + name_width(width) + NUMBER * if width >= 110 { 9 } else { 7 })
}

fn row(model: &Model, store: &StoreId, width: u16) -> Line<'static> {
    let theme = model.theme;
    let ellipsis = theme.sign("…", "~");
    let Phase { words, tone } = phase_of(model, store);
    let comparison = newest(model, store).map(|(_, comparison)| comparison);
    let sign = match tone {
        Tone::Good => theme.done(),
        Tone::Plain => theme.open(),
        Tone::Warning => theme.person(),
        Tone::Bad => theme.failed(),
    };
    let mut spans = vec![
        Span::styled(format!("{sign} "), theme.tone(tone)),
        Span::styled(fit(&store.0, name_width(width).saturating_sub(1), ellipsis) + " ", theme.strong()),
        Span::styled(fit(&words, phase_width(width).saturating_sub(1), ellipsis) + " ", theme.tone(tone)),
    ];
    let items = |of: fn(&Comparison) -> u64| comparison.map_or("-".into(), |comparison| compact(of(comparison)));
    spans.push(Span::raw(right(&items(|c| c.primary.items), NUMBER)));
    spans.push(Span::raw(right(&items(|c| c.dr.items), NUMBER)));
    for (verdict, _) in VERDICTS {
        let found = comparison.map(|comparison| comparison.verdicts.get(verdict));
        let text = found.map_or("-".into(), compact);
        spans.push(Span::styled(right(&text, NUMBER), verdict_style(model, verdict, found.unwrap_or(0))));
    }
    if width >= 110 {
        let steps = steps_of(&model.state, store);
        for (count, style) in [(steps.held, theme.warning()), (steps.refused, theme.bad())] {
            spans.push(Span::styled(right(&compact(count), NUMBER), if count > 0 { style } else { theme.dim() }));
        }
    }
    Line::from(spans)
}

/// A number in at most seven columns; `Store` shows it in full.
fn compact(items: u64) -> String {
    match items {
        0..1_000_000 => number(items),
        1_000_000..1_000_000_000 => format!("{:.2}M", items as f64 / 1e6),
        _ => format!("{:.2}G", items as f64 / 1e9),
    }
}

fn verdict_style(model: &Model, verdict: Verdict, items: u64) -> Style {
    let theme = model.theme;
    match (items, verdict) {
        (0, _) => theme.dim(),
        (_, Verdict::Conflict | Verdict::Unattributed) => theme.warning(),
        (_, Verdict::DrOnly) => theme.accent(),
        _ => Style::new(),
    }
}

/// The comparison that counts now, and the command that read it.
fn newest<'a>(model: &'a Model, store: &StoreId) -> Option<(&'static str, &'a Comparison)> {
    model.state.newest_comparisons().get(store).copied()
}

/// The store's verification, where nothing was replayed since.
fn verification<'a>(model: &'a Model, store: &StoreId) -> Option<&'a StoreVerification> {
    let replayed_at = model.state.replays.last().map(|(at, _, _)| *at);
    let (_, _, stores) = model.state.verified.as_ref().filter(|(at, _, _)| Some(*at) >= replayed_at)?;
    stores.iter().find(|found| found.comparison.store == *store)
}

fn newest_plan<'a>(model: &'a Model, store: &StoreId) -> Option<&'a StorePlan> {
    let plans = model.state.plans.iter().rev().flat_map(|(_, _, summary)| &summary.stores);
    plans.into_iter().find(|planned| planned.store == *store)
}

/// The task of a store that is under way.
fn task<'a>(model: &'a Model, store: &StoreId) -> Option<&'a TaskProgress> {
    let of_store = |task: &&TaskProgress| !task.ended && task.task.split(' ').any(|word| word == store.0);
    model.tasks.iter().rev().find(of_store)
}

fn phase_of(model: &Model, store: &StoreId) -> Phase {
    if let Some(task) = task(model, store) {
        let verb = task.task.split(' ').next().unwrap_or_default();
        return phase(
            Tone::Plain,
            match verb {
                "read" => "reading",
                "replay" => "replaying",
                "undo" => "undoing",
                other => other,
            },
        );
    }
    let steps = steps_of(&model.state, store);
    let compared = model.state.comparisons.get(store);
    if let Some(found) = verification(model, store) {
        return match found.at_parity {
            true => phase(Tone::Good, "at parity"),
            false => phase(Tone::Bad, format!("{} differ", number(found.unaccepted))),
        };
    }
    match compared {
        _ if steps.refused > 0 => phase(Tone::Bad, format!("{} refused", number(steps.refused))),
        _ if steps.held > 0 => phase(Tone::Warning, format!("{} held", number(steps.held))),
        _ if steps.planned > 0 && steps.open > 0 => phase(Tone::Plain, format!("{} planned", number(steps.open))),
        _ if steps.planned > 0 => phase(Tone::Good, format!("{} replayed", number(steps.done))),
        Some(compared) if compared.verdicts.differing() == 0 => phase(Tone::Plain, "equal, unproved"),
        Some(_) => phase(Tone::Plain, "compared"),
        None => phase(Tone::Plain, "not compared"),
    }
}

/// The line below a store's: how its task gets on, or what it is.
fn below(model: &Model, store: &StoreId, kind: &str, width: u16) -> Line<'static> {
    let theme = model.theme;
    let Some(task) = task(model, store) else {
        let newest = newest(model, store);
        let read = newest
            .map_or(String::new(), |(_, found)| format!(", read at {}", found.read_until().strftime("%H:%M:%SZ")));
        let base = newest.map_or(String::new(), |(by, found)| match (&found.base, by) {
            (Some(base), _) => format!(", base: {}", base.kind),
            (None, READ_BY_VERIFY) => " by the verification".into(),
            (None, _) => ", NO BASE".into(),
        });
        let accepted = match verification(model, store).map_or(0, |found| found.accepted) {
            0 => String::new(),
            accepted => format!(", {} accepted", count(accepted, "difference")),
        };
        return Line::styled(
            fit(&format!("  {kind}{read}{base}{accepted}"), usize::from(width), theme.sign("…", "~")),
            theme.dim(),
        );
    };
    Line::styled(
        fit(&format!("  {}", task_words(model, task)), usize::from(width), theme.sign("…", "~")),
        theme.accent(),
    )
}

/// A task with its bar, rate and time left.
pub(super) fn task_words(model: &Model, task: &TaskProgress) -> String {
    let bar = task.ratio().map(|ratio| format!("{} {:>3.0}% ", model.theme.bar(ratio, 20), ratio * 100.0));
    let of = task.items.map(|items| format!("/{}", number(items.max(task.done)))).unwrap_or_default();
    let left = task.seconds_left().map(|left| format!("  {} left", duration(left))).unwrap_or_default();
    format!(
        "{:<20} {}{}{of}  {}/s{left}",
        task.task,
        bar.unwrap_or_default(),
        number(task.done),
        number(task.per_second.round() as u64)
    )
}

/// What the preflight found, the worst first.
fn findings(model: &Model, width: u16) -> Vec<Line<'static>> {
    let Some(findings) = &model.state.findings else {
        let hello = match model.state.comparisons.is_empty() {
            true => "Nothing was looked at yet. n begins with the preflight, which changes nothing. ? shows all keys.",
            false => "The preflight was not run: : check runs it, and changes nothing. ? shows all keys.",
        };
        let mut lines = vec![Line::default()];
        lines.extend(paragraph(hello, 2, width, model.theme.accent()));
        return lines;
    };
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let title = if sorted.is_empty() { "  Preflight: nothing to tell" } else { "  Preflight" };
    let mut lines = vec![Line::default(), heading(title, model.theme.strong())];
    lines.extend(sorted.into_iter().flat_map(|finding| finding_lines(model, finding, width)));
    lines
}

fn finding_lines(model: &Model, finding: &Finding, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let (sign, style) = match finding.level {
        Level::Blocker => (theme.failed(), theme.bad()),
        Level::Warning => (theme.person(), theme.warning()),
        Level::Note => (theme.closed(), theme.dim()),
    };
    let mut lines = paragraph(&format!("{sign} {}: {}", finding.subject, finding.what), 2, width, style);
    if let Some(hint) = finding.hint.as_ref().filter(|_| finding.level != Level::Note) {
        lines.extend(paragraph(&format!("{} {hint}", theme.towards()), 4, width, theme.dim()));
    }
    lines
}

/// Everything about the selected store.
pub(super) fn details(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let Some((store, kind)) = model.setting.stores.get(model.line(Screen::Stores)) else { return Vec::new() };
    let Phase { words, tone } = phase_of(model, store);
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("{store} "), theme.strong()),
        Span::styled(format!("{kind}, "), theme.dim()),
        Span::styled(words, theme.tone(tone)),
    ])];
    lines.extend(task(model, store).map(|task| Line::styled(task_words(model, task), theme.accent())));
    lines.extend(comparison_lines(model, store, width));
    if let Some(planned) = newest_plan(model, store) {
        let counts = &planned.counts;
        let words = format!(
            "Newest plan: {} inserted, {} overwritten, {} deleted, {} held, {} accepted; {}",
            number(counts.inserts),
            number(counts.updates),
            number(counts.deletes),
            number(counts.held),
            number(counts.accepted),
            bytes(counts.bytes)
        );
        lines.extend(paragraph(&words, 0, width, Style::new()));
        for limit in &planned.limits {
            lines.extend(paragraph(&format!("{} {limit}", theme.person()), 2, width, theme.warning()));
        }
    }
    let steps = steps_of(&model.state, store);
    if steps.planned > 0 {
        let words = format!(
            "Steps: {} of {} done, {} refused, {} stale, {} open",
            number(steps.done),
            number(steps.planned),
            number(steps.refused),
            number(steps.stale),
            number(steps.open)
        );
        lines.push(Line::raw(words));
    }
    let about = |finding: &&Finding| finding.subject.split(' ').next() == Some(store.0.as_str());
    let found: Vec<&Finding> = model.state.findings.iter().flatten().filter(about).collect();
    if !found.is_empty() {
        lines.push(heading("Preflight", theme.strong()));
        lines.extend(found.into_iter().flat_map(|finding| finding_lines(model, finding, width)));
    }
    lines
}

fn comparison_lines(model: &Model, store: &StoreId, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let Some((by, found)) = newest(model, store) else {
        return vec![Line::styled("Not compared yet.", theme.dim())];
    };
    let mut lines = Vec::new();
    for (name, side) in [("primary", &found.primary), ("dr", &found.dr)] {
        lines.push(Line::raw(format!(
            "{name:<8} {}, root {}",
            count(side.items, "item"),
            &side.root.to_string()[..16]
        )));
        let read = format!(
            "{}, read {} to {}",
            side.identity.resource,
            time(side.read_from),
            side.read_until.strftime("%H:%M:%S")
        );
        lines.extend(paragraph(&read, 9, width, theme.dim()));
    }
    for words in how_read(found) {
        lines.extend(paragraph(&words, 9, width, theme.dim()));
    }
    lines.push(match &found.base {
        Some(base) => Line::raw(format!(
            "base     {}{}",
            base.kind,
            base.as_of.map_or(", of unknown age".into(), |at| format!(", as of {}", time(at)))
        )),
        None if by == READ_BY_VERIFY => Line::styled("base     a verification asks for none", theme.dim()),
        None => Line::styled("base     none: who changed what cannot be told", theme.warning()),
    });
    let counts =
        found.verdicts.words().into_iter().map(|(word, items)| format!("{} {}", word.replace('_', "-"), number(items)));
    lines.extend(paragraph(&format!("Verdicts: {}", counts.collect::<Vec<_>>().join(", ")), 0, width, Style::new()));
    for what in &found.not_checked {
        lines.extend(paragraph(&format!("not looked at: {what}"), 2, width, theme.dim()));
    }
    lines
}
