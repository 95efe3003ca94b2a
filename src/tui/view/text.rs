//! Words, and how they fit into columns.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cutover::CutoverEvent;
use crate::digest::{key_text, key_value};
use crate::journal::Event;
use crate::model::{Key, StoreKind, Value};
use crate::report::{count, exit_meaning, step_words};

/// A text in exactly `width` columns: cut with `…`, or padded.
pub fn fit(text: &str, width: usize, ellipsis: &str) -> String {
    let has = text.width();
    if has <= width {
        return format!("{text}{}", " ".repeat(width - has));
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > room {
            break;
        }
        used += columns;
        cut.push(c);
    }
    let pad = width.saturating_sub(used + ellipsis.width());
    format!("{cut}{ellipsis}{}", " ".repeat(pad))
}

/// A text in exactly `width` columns, to the right.
pub fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are some.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let line = lines.last_mut().expect("there is always a line");
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= width {
                line.push_str(&" ".repeat(gap));
                line.push_str(word);
                break;
            }
            if line.is_empty() {
                let cut = fit(word, width, "").trim_end().len().max(1);
                let cut = (cut..=word.len()).find(|at| word.is_char_boundary(*at)).unwrap_or(word.len());
                line.push_str(&word[..cut]);
                word = &word[cut..];
                if word.is_empty() {
                    break;
                }
            }
            lines.push(String::new());
        }
    }
    lines
}

/// A heading.
pub fn heading(text: &str, style: Style) -> Line<'static> {
    Line::styled(text.to_owned(), style)
}

/// Wrapped lines, each indented.
pub fn paragraph(text: &str, indent: usize, width: u16, style: Style) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(indent).max(10);
    let line = |text: String| Line::from(vec![Span::raw(" ".repeat(indent)), Span::styled(text, style)]);
    wrapped(text, room).into_iter().map(line).collect()
}

/// Characters that would move the cursor, replaced.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// What happened, in words; `None` for events of single steps, which are counted elsewhere.
pub fn event_words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Began { command, .. } => format!("{command} began"),
        Event::Ended { command, exit_code } => format!("{command} ended: {} ({exit_code})", exit_meaning(*exit_code)),
        Event::Checked { findings } => {
            let found = findings.as_array().map_or(0, Vec::len) as u64;
            format!("preflight: {}", count(found, "finding"))
        }
        Event::Compared { comparison, .. } => {
            let store = comparison.get("store").and_then(|store| store.as_str()).unwrap_or("a store");
            format!("{store} compared")
        }
        Event::Planned { plan, .. } => format!("plan {} made", &plan.to_string()[..12]),
        Event::Refused { store, key, reason } => format!("{store}: {REFUSED} {}: {reason}", key_words(key)),
        Event::Stale { store, .. } => format!("{store}: dr changed an item since the plan"),
        Event::CountersRaised { store, .. } => format!("{store}: counters raised"),
        Event::Replayed { .. } => "a replay pass ended".into(),
        Event::Frozen { evidence } => {
            let detail = evidence.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default();
            format!("dr's writers are stopped: {detail}")
        }
        Event::Verified { parity: true, certificate: Some(_), .. } => "verified: AT PARITY, certificate issued".into(),
        Event::Verified { parity: true, .. } => "verified: at parity, no certificate".into(),
        Event::Verified { parity: false, .. } => "verified: the sides differ".into(),
        Event::Traffic { share, step } => traffic_words(share.map(|share| share.to_string()), step),
        Event::UndoRefused { store, key, reason } => format!("{store}: not restored: {}: {reason}", key_words(key)),
        Event::Intended { .. } | Event::Done { .. } | Event::UndoIntended { .. } | Event::Undone { .. } => return None,
        Event::Decided { number, by, choice, scope, items, .. } => {
            format!("decision {number} by {by}: {choice} for {scope} ({})", count(*items, "item"))
        }
        Event::TakenBack { number, by } => format!("decision {number} taken back by {by}"),
        Event::Allowed { by, what } => format!("allowed by {by}: {}", what.join("; ")),
    })
}

/// How the words for a refused write go on after its store.
pub const REFUSED: &str = "refused to write";

/// A key in hexadecimal as a person reads it.
fn key_words(key: &str) -> String {
    let Ok(bytes) = hex::decode(key) else { return "an item".into() };
    let key = Key::from_canonical(bytes);
    let kind = match key_value(&key) {
        Ok(Value::List(_)) => StoreKind::Postgres,
        _ => StoreKind::DynamoDb,
    };
    key_text(kind, &key)
}

fn traffic_words(share: Option<String>, step: &serde_json::Value) -> String {
    let told = step_words(step).map_or_else(
        || "a step of the cutover".to_owned(),
        |step| match step.detail.is_empty() {
            true => step.words,
            false => format!("{}: {}", step.words, step.detail),
        },
    );
    let is_shift = matches!(
        serde_json::from_value(step.clone()),
        Ok(CutoverEvent::ShiftIntended { .. } | CutoverEvent::Shifted { .. })
    );
    match share.filter(|_| is_shift) {
        Some(share) => format!("weights: {told} to {share} on the primary"),
        None => format!("weights: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_whatever_they_hold() {
        for text in ["", "short", "a text that is too long", "日本語のキー", "é\u{301}x", "🦀🦀🦀🦀🦀🦀🦀"]
        {
            for width in [1, 2, 5, 9, 30] {
                assert_eq!(fit(text, width, "…").width(), width, "{text:?} in {width}");
            }
        }
    }

    #[test]
    fn lines_break_at_spaces_and_within_long_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("", 3), [""]);
        for text in ["日本語 日本語日本語", "a b c", "🦀🦀🦀"] {
            assert!(wrapped(text, 4).iter().all(|line| line.width() <= 4), "{text}");
        }
    }
}
