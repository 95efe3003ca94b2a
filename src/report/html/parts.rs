//! Small pieces that all sections are made of.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::super::ReportContext;
use super::super::disclosure::{ValueDisplay, mask_of};
use super::super::words::{number, time};
use crate::model::{StoreId, Timestamp, Verdict};

/// Rows shown at once; further ones are folded away.
const ROWS_AT_ONCE: usize = 20;

/// Rows on the page at most; files have all of them.
pub(super) const ROWS_MAX: usize = 200;

/// Characters of one value shown.
const VALUE_CHARACTERS_MAX: usize = 2_000;

/// Hexadecimal digits of a root that a person compares.
const ROOT_DIGITS: usize = 12;

/// A section with an anchor.
pub(super) fn section(id: &str, title: &str, body: Markup) -> Markup {
    html! { section id=(id) aria-labelledby={ (id) "-title" } { h2 id={ (id) "-title" } { (title) } (body) } }
}

/// A table that scrolls within its own box on narrow screens.
pub(super) fn table(label: &str, head: Markup, rows: &[Markup]) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" {
            table { thead { tr { (head) } } tbody { @for row in rows { tr { (row) } } } }
        }
    }
}

/// A table in pages: the first is open, the others are folded, and what is left out is said with where to find it.
pub(super) fn paged(label: &str, head: &Markup, rows: &[Markup], total: u64, whereabouts: &Markup) -> Markup {
    let shown = &rows[..rows.len().min(ROWS_MAX)];
    let (first, rest) = shown.split_at(shown.len().min(ROWS_AT_ONCE));
    let left_out = total.saturating_sub(shown.len() as u64);
    html! {
        (table(label, head.clone(), first))
        @if !rest.is_empty() {
            details {
                summary { "Show " (number(rest.len() as u64)) " more" }
                (table(&format!("{label}, continued"), head.clone(), rest))
            }
        }
        p.more {
            @if left_out > 0 { strong { (number(left_out)) " more are not on this page. " } }
            (whereabouts)
        }
    }
}

/// An instant.
pub(super) fn instant(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (time(at)) } }
}

/// An instant, or that it is not known.
pub(super) fn instant_or_unknown(at: Option<Timestamp>) -> Markup {
    at.map_or_else(|| html! { "not known" }, instant)
}

/// The beginning of a root, whole on hover.
pub(super) fn root(root: &crate::model::Digest) -> Markup {
    let text = root.to_string();
    html! { code title=(text) { (text[..ROOT_DIGITS]) } }
}

/// A file's path.
pub(super) fn file(path: &str) -> Markup {
    html! { code.path { (visible(path)) } }
}

/// A verdict with its mark.
pub(super) fn verdict_mark(verdict: Verdict) -> Markup {
    html! { span.verdict.{ "v-" (verdict.word()) } { (verdict) } }
}

/// The mark of a verdict's word, as the journal keeps it.
pub(super) fn word_mark(word: &str) -> Markup {
    match Verdict::ALL.into_iter().find(|verdict| verdict.word() == word) {
        Some(verdict) => verdict_mark(verdict),
        None => html! { (visible(word)) },
    }
}

/// Text from outside with its control characters made visible.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A key for people: its parts by name, or its digest where keys are masked.
pub(super) fn key(key: &Json) -> Markup {
    if let Some(mask) = mask_of(key) {
        return html! { code.key.masked title="BLAKE3 of the key's JSON text" { "#" (mask) } };
    }
    let Some(fields) = key.as_object() else { return html! { code.key { (visible(&key.to_string())) } } };
    html! {
        code.key {
            @for (at, (name, part)) in fields.iter().enumerate() {
                @if at > 0 { " " }
                span.name { (visible(name)) "=" } (visible(&part_words(part)))
            }
        }
    }
}

/// A part of a key without the brackets of its type.
fn part_words(part: &Json) -> String {
    let typed = part.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.values().next());
    match typed.unwrap_or(part) {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value of an item of the primary, as far as the report may show it and the session kept it.
pub(super) fn value(context: &ReportContext, store: &StoreId, key: &Json) -> Markup {
    if context.disclosure.values == ValueDisplay::Masked {
        return html! { span.masked title="masked; --show-values shows it" { "••••" } };
    }
    match context.exhibits.values.get(&(store.clone(), key.to_string())) {
        None => html! { em { "none kept" } },
        Some(None) => html! { em { "no item" } },
        Some(Some(value)) => {
            let text = visible(&value.to_string());
            let shown: String = text.chars().take(VALUE_CHARACTERS_MAX).collect();
            html! { code.value { (shown) @if shown.len() < text.len() { "…" } } }
        }
    }
}

/// A number cell.
pub(super) fn amount(items: u64) -> Markup {
    html! { td.n { (number(items)) } }
}
