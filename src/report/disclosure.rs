//! What a report shows of keys and contents.

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::ReportContext;
use crate::diff::DeltaLine;
use crate::session::SessionState;

/// Hexadecimal digits of a masked key: enough to tell keys apart, and to find one in a delta file by hashing its lines.
const MASK_DIGITS: usize = 16;

/// The field of a masked key.
const MASK_FIELD: &str = "blake3";

/// How keys are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyDisplay {
    /// As they are.
    #[default]
    Shown,
    /// By a short BLAKE3 digest of their JSON text.
    Masked,
}

/// How contents of items are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueDisplay {
    /// Not at all.
    #[default]
    Masked,
    /// As the session's journal kept them.
    Shown,
}

/// What a report shows of keys and contents; told on the report itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Disclosure {
    /// Keys.
    pub keys: KeyDisplay,
    /// Contents of items.
    pub values: ValueDisplay,
}

impl Disclosure {
    /// How keys are shown, in one sentence.
    pub(super) fn keys_words(self) -> &'static str {
        match self.keys {
            KeyDisplay::Shown => "Keys are shown as they are (--mask-keys replaces them by digests).",
            KeyDisplay::Masked => {
                "Keys are masked (--mask-keys): each is the first 16 digits of the BLAKE3 of its JSON text. Whoever can \
                 guess a key can check the guess."
            }
        }
    }

    /// How contents are shown, in one sentence.
    pub(super) fn values_words(self) -> &'static str {
        match self.values {
            ValueDisplay::Masked => "Values are masked (--show-values shows those that the session kept).",
            ValueDisplay::Shown => {
                "VALUES ARE SHOWN (--show-values): of an item of the primary the newest image that this session kept, where \
                 it kept one: what it held before a write of this session, or what a refused write found. Treat this file as you treat the data."
            }
        }
    }
}

/// A key by a short digest of its JSON text.
fn masked(key: &Json) -> Json {
    let digest = blake3::hash(key.to_string().as_bytes()).to_hex();
    json!({ MASK_FIELD: &digest[..MASK_DIGITS] })
}

/// The digest of a key that was masked.
pub(super) fn mask_of(key: &Json) -> Option<&str> {
    let fields = key.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(MASK_FIELD)?.as_str()
}

/// Masks the keys of everything that a report is made from, where that is wanted.
pub fn disclose(state: &mut SessionState, context: &mut ReportContext) {
    if context.disclosure.keys == KeyDisplay::Shown {
        return;
    }
    let listed = state.verified.iter_mut().flat_map(|(_, _, stores)| stores).flat_map(|store| &mut store.listed);
    listed.filter_map(|line| line.get_mut("key")).for_each(|key| *key = masked(key));
    let verified = state.verified.iter_mut().flat_map(|(_, _, stores)| stores).map(|store| &mut store.comparison);
    let compared = state.first_comparisons.values_mut().chain(state.comparisons.values_mut()).chain(verified);
    let lost = compared.filter_map(|comparison| comparison.lost_writes.as_mut()).flat_map(|lost| &mut lost.listed);
    lost.for_each(|lost| lost.key = masked(&lost.key));
    for kept in context.held.iter_mut().chain(&mut context.accepted) {
        kept.key = masked(&kept.key);
        kept.canonical_key.clear();
        // A command to type has the key in quotes.
        kept.reason = without_quoted(&kept.reason);
    }
    for finding in state.findings.iter_mut().flatten() {
        finding.what = without_quoted(&finding.what);
        let has_key = |hint: &&mut String| hint.contains("--key \"");
        finding.hint.as_mut().filter(has_key).into_iter().for_each(|hint| *hint = without_quoted(hint));
    }
    state.decisions.iter_mut().for_each(|made| made.scope = without_quoted(&made.scope));
    let exhibits = &mut context.exhibits;
    exhibits.refused.iter_mut().for_each(|step| {
        step.key = masked(&step.key);
        step.reason = without_quoted(&step.reason);
    });
    for sample in exhibits.delta.values_mut() {
        if let crate::session::DeltaSample::Lines(lines) = sample {
            lines.iter_mut().for_each(mask_line);
        }
    }
    exhibits.values.clear();
}

/// Words without what is quoted in them: a part of a key.
fn without_quoted(words: &str) -> String {
    match (words.find('"'), words.rfind('"')) {
        (Some(from), Some(to)) if from < to => format!("{}\"…\"{}", &words[..from], &words[to + 1..]),
        _ => words.to_owned(),
    }
}

fn mask_line(line: &mut DeltaLine) {
    line.key = masked(&line.key);
    line.canonical_key.clear();
    line.hold = line.hold.as_deref().map(without_quoted);
}

/// A key as the disclosure shows it.
pub(super) fn shown_key(key: &Json, keys: KeyDisplay) -> Json {
    match keys {
        KeyDisplay::Shown => key.clone(),
        KeyDisplay::Masked => masked(key),
    }
}
