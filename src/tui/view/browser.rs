//! The list of differences, and of held items.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::regions;
use super::text::{fit, one_line, right};
use crate::report::{bytes, count, number};
use crate::session::{BrowseFate, BrowseRow};
use crate::tui::state::{Model, Screen};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let theme = model.theme;
    let mut lines = vec![head(model, area.width)];
    let browser = &model.browser;
    if let Some(trouble) = &browser.trouble {
        lines.push(Line::styled(format!("{} {trouble}", theme.failed()), theme.bad()));
    } else if browser.total.is_none() {
        lines.push(Line::styled("reading the session's files", theme.dim()));
    } else if browser.total == Some(0) {
        lines.push(Line::styled(nothing(model), theme.dim()));
    } else {
        let top = regions::list_top(model);
        for line in top..top + u64::from(regions::list_height(model)) {
            let Some(at) = line.checked_sub(browser.first) else { continue };
            let Some(row) = usize::try_from(at).ok().and_then(|at| browser.rows.get(at)) else { break };
            let drawn = self::row(model, row, area.width);
            lines.push(if line == browser.cursor { drawn.style(theme.selected()) } else { drawn });
        }
    }
    frame.render_widget(Paragraph::new(lines), Rect { height: area.height - 1, ..area });
    let last = Rect { y: area.bottom() - 1, height: 1, ..area };
    frame.render_widget(Paragraph::new(foot(model, area.width)), last);
}

fn nothing(model: &Model) -> &'static str {
    match (model.screen, model.state.comparisons.is_empty()) {
        (_, true) => "nothing is compared yet",
        (Screen::Held, _) => "nothing is held here",
        _ => "nothing differs here",
    }
}

fn columns(width: u16) -> (usize, usize) {
    let store = if width >= 110 { 14 } else { 9 };
    let fixed = 2 + store + 13 + 7 + 9 + 10;
    (store, usize::from(width).saturating_sub(fixed))
}

fn head(model: &Model, width: u16) -> Line<'static> {
    let (store, key) = columns(width);
    let text = format!(
        "  {}{}{}{} {}{}",
        fit("store", store, ""),
        fit("verdict", 13, ""),
        fit("change", 7, ""),
        right("size", 8),
        fit("fate", 10, ""),
        fit("key", key, "")
    );
    Line::styled(text, model.theme.dim())
}

fn row(model: &Model, row: &BrowseRow, width: u16) -> Line<'static> {
    let theme = model.theme;
    let ellipsis = theme.sign("…", "~");
    let (store, key) = columns(width);
    let marked = model.browser.marked.contains(&(row.store.clone(), row.key_json.clone()));
    let style = match row.fate {
        BrowseFate::Held => theme.warning(),
        BrowseFate::Accepted | BrowseFate::Decided => theme.dim(),
        BrowseFate::Planned | BrowseFate::Unplanned => ratatui::style::Style::new(),
    };
    let text = format!(
        "{} {}{}{}{} {}{}",
        if marked { theme.sign("●", "*") } else { " " },
        fit(&one_line(&row.store.0), store.saturating_sub(1), ellipsis) + " ",
        fit(&row.verdict.to_string(), 13, ellipsis),
        fit(row.change.word(), 7, ""),
        right(&bytes(row.bytes).replace(' ', ""), 8),
        fit(fate_word(row.fate), 10, ""),
        fit(&one_line(&row.key_text), key, ellipsis)
    );
    Line::styled(text, style)
}

pub(super) fn fate_word(fate: BrowseFate) -> &'static str {
    match fate {
        BrowseFate::Planned => "planned",
        BrowseFate::Held => "HELD",
        BrowseFate::Decided => "decided",
        BrowseFate::Accepted => "accepted",
        BrowseFate::Unplanned => "-",
    }
}

/// What is shown, in which order, and where we are in it.
fn foot(model: &Model, width: u16) -> Line<'static> {
    let browser = &model.browser;
    let filter = &browser.filter;
    let total = browser.total.unwrap_or(0);
    let mut parts = vec![format!("{} of {}", number((browser.cursor + 1).min(total)), count(total, "item"))];
    parts.extend(filter.store.as_ref().map(|store| format!("store {store}")));
    parts.extend(filter.verdict.map(|verdict| format!("verdict {verdict}")));
    parts.extend(filter.change.map(|change| change.word().to_owned()));
    parts.extend((!filter.text.is_empty()).then(|| format!("key has \"{}\"", one_line(&filter.text))));
    let way = if browser.sort.descending { "down" } else { "up" };
    parts.push(format!("by {} {way}", browser.sort.by.word()));
    if !browser.marked.is_empty() {
        parts.push(format!("{} marked", number(browser.marked.len() as u64)));
    }
    if model.screen == Screen::Held {
        parts.push(format!("{} undecided", number(model.undecided)));
        let standing = model.state.decisions.iter().filter(|decision| decision.taken_back.is_none()).count() as u64;
        parts.push(format!("{} (t lists)", count(standing, "decision")));
    }
    Line::styled(fit(&parts.join(" · "), usize::from(width), model.theme.sign("…", "~")), model.theme.dim())
}
