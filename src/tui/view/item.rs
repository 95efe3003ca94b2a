//! One item: base, primary and dr side by side.

use std::collections::{BTreeMap, BTreeSet};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::Value as Json;

use super::browser::fate_word;
use super::text::{fit, one_line, paragraph};
use crate::session::{BrowseFate, ItemSides, Seen};
use crate::tui::state::{Model, OpenItem};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let Some(item) = &model.item else { return };
    let mut lines = head(model, item, area.width);
    match &item.sides {
        None => lines.push(Line::styled("reading the item on all sides", model.theme.dim())),
        Some(Err(why)) => {
            lines.extend(paragraph(&format!("{} {why}", model.theme.failed()), 0, area.width, model.theme.bad()))
        }
        Some(Ok(sides)) => {
            let fields = fields(model, item, sides, area.width);
            let first = usize::from(item.scroll).min(fields.len().saturating_sub(1));
            lines.extend(fields.into_iter().skip(first));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn head(model: &Model, item: &OpenItem, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let row = &item.row;
    let mut lines = paragraph(&format!("{} {}", row.store, one_line(&row.key_text)), 0, width, theme.strong());
    lines.truncate(3);
    let fate = match row.fate {
        BrowseFate::Unplanned => "no plan is about it yet".to_owned(),
        fate => fate_word(fate).to_lowercase(),
    };
    let what = format!("{}, following dr would {} it; {fate}", row.verdict, row.change.word());
    let reason = if row.reason.is_empty() { String::new() } else { format!(": {}", row.reason) };
    lines.extend(paragraph(&format!("{what}{reason}"), 0, width, Style::new()));
    let masked =
        if item.revealed { "contents are shown (m masks them)" } else { "contents are masked (m reveals them)" };
    lines.push(Line::styled(masked, theme.dim()));
    lines
}

/// Field names and what each side has there.
type Fields = BTreeMap<String, String>;

fn fields_of(seen: &Seen) -> Fields {
    match seen {
        Seen::Contents(contents) => flat(contents),
        Seen::Absent | Seen::Gone(_) | Seen::DigestOnly(_) | Seen::Unknown(_) => Fields::new(),
    }
}

/// A map's entries as text; anything else as one field.
fn flat(contents: &Json) -> Fields {
    match contents.get("M").and_then(Json::as_object) {
        Some(entries) => entries.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        None => Fields::from([("value".to_owned(), plain(contents))]),
    }
}

/// A value in DynamoDB JSON as a person reads it.
fn plain(value: &Json) -> String {
    let Some((tag, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return value.to_string();
    };
    match (tag.as_str(), inner) {
        ("S" | "N", Json::String(text)) => text.clone(),
        ("BOOL", flag) => flag.to_string(),
        ("NULL", _) => "null".into(),
        ("X", typed) => typed.get("text").and_then(Json::as_str).unwrap_or_default().to_owned(),
        (_, inner) => inner.to_string(),
    }
}

fn state_words(seen: &Seen) -> String {
    match seen {
        Seen::Absent => "not there".into(),
        Seen::Gone(how) => format!("not there: {how}"),
        Seen::Contents(contents) => match contents["M"]["location"]["M"]["replication"]["S"].as_str() {
            Some(word) => format!("there, {word}"),
            None => "there".into(),
        },
        Seen::DigestOnly(digest) => format!("digest {}", &digest.to_string()[..12]),
        Seen::Unknown(why) => format!("not known: {why}"),
    }
}

fn fields(model: &Model, item: &OpenItem, sides: &ItemSides, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let ellipsis = theme.sign("…", "~");
    let all = [&sides.base, &sides.primary, &sides.dr];
    let found = all.map(fields_of);
    let names: BTreeSet<&String> = found.iter().flat_map(BTreeMap::keys).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(5).clamp(5, usize::from(width) / 4);
    let column = (usize::from(width).saturating_sub(name_width + 3)) / 3;
    let cells =
        |texts: [String; 3]| texts.map(|text| fit(&one_line(&text), column.saturating_sub(1), ellipsis) + " ").concat();
    let heads = ["base", "primary", "dr"].map(str::to_owned);
    let mut lines = vec![
        Line::styled(format!("  {} {}", " ".repeat(name_width), cells(heads)), theme.strong()),
        Line::styled(format!("  {} {}", fit("item", name_width, ""), cells(all.map(state_words))), theme.dim()),
    ];
    for name in names {
        let values = [0, 1, 2].map(|side| found[side].get(name));
        let differs = values[1] != values[2];
        let shown = values.map(|value| value.map_or("-".to_owned(), |value| mask(value, item.revealed)));
        let sign = if differs { theme.sign("≠", "!") } else { " " };
        let style = if differs { theme.warning() } else { Style::new() };
        lines.push(Line::from(vec![
            Span::styled(format!("{sign} "), style),
            Span::styled(fit(&one_line(name), name_width, ellipsis) + " ", theme.strong()),
            Span::styled(cells(shown), style),
        ]));
    }
    lines
}

/// Contents as they are shown: masked until they are asked for.
fn mask(value: &str, revealed: bool) -> String {
    match revealed {
        true => value.to_owned(),
        false => format!("*** {} chars", value.chars().count()),
    }
}
