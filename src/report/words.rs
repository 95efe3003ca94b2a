//! Numbers, times and names as people read them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::standing::{step_text, step_word};
use crate::compare::{Comparison, HowRead, SideLogs};
use crate::control::{Guide, GuideStep, RescuedSnapshot};
use crate::model::{StoreId, Timestamp};
use crate::session::{CheckOutcome, RescueOutcome, RescuedExport, RescuedStore, SampleOutcome, StoreSample};

/// A number with thousands separators.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun, in the plural where it is not one.
pub fn count(items: u64, noun: &str) -> String {
    let plural = if items == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(items))
}

/// An instant in UTC, to the second.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An instant, or that it is not known.
pub(super) fn time_or_unknown(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "not known".into(), time)
}

/// A length of time, its two largest units.
pub fn duration(seconds: u64) -> String {
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("min", seconds / 60 % 60), ("s", seconds % 60)];
    let first = units.iter().position(|(_, amount)| *amount > 0).unwrap_or(units.len() - 1);
    let parts = units[first..].iter().take(2).filter(|(_, amount)| *amount > 0 || seconds == 0);
    parts.map(|(unit, amount)| format!("{amount} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Text from outside, safe in a line and in a table cell of markdown.
pub(super) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '\\' => safe.extend(['\\', character]),
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// What [`plain`] was made of.
pub(super) fn unplain(text: &str) -> String {
    let mut characters = text.chars();
    let mut raw = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        raw.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    raw
}

/// Text from outside as code, safe in a line and in a table cell of markdown.
pub(super) fn code(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.replace('|', "\\|");
    let longest = clean.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{clean}{pad}{fence}")
}

/// What an exit code means.
pub fn exit_meaning(code: u8) -> &'static str {
    match code {
        0 => "done",
        1 => "not at parity",
        2 => "bad usage or profile",
        3 => "a person must decide",
        4 => "incomplete: never parity",
        5 => "interrupted",
        _ => "unknown",
    }
}

/// A number of bytes in the largest unit that leaves a whole number.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..UNITS.len()).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    format!("{} {}", number(bytes >> (10 * unit)), UNITS[unit])
}

/// A step of the cutover in words.
pub struct StepWords {
    /// What happened.
    pub words: String,
    /// What is known about it; empty where there is nothing.
    pub detail: String,
    /// Whether somebody must look at it.
    pub grave: bool,
}

/// A step of the cutover in words; `None` for a step that this version does not know.
pub fn step_words(step: &Json) -> Option<StepWords> {
    let text = |field: &str| step_text(step, field).to_owned();
    let told = |words: &str, detail: String, grave| Some(StepWords { words: words.to_owned(), detail, grave });
    let plainly = |words: &str| told(words, String::new(), false);
    match step_word(step) {
        "shift_intended" => plainly("about to shift"),
        "shifted" => plainly("shifted"),
        "insync" => plainly("in force at all DNS servers"),
        "ttl_waited" => {
            let seconds = step.get("seconds").and_then(Json::as_u64).unwrap_or(0);
            plainly(&format!("waited {} for caches", duration(seconds)))
        }
        "health" if step.get("ok").and_then(Json::as_bool) == Some(true) => told("healthy", text("detail"), false),
        "health" => told("NOT healthy", text("detail"), true),
        "retreat_intended" => told("about to retreat", text("reason"), false),
        "retreated" => told("retreated", text("reason"), true),
        "drifted" => told("weights changed by somebody else", text("reason"), true),
        "stopped" => told("stopped", text("reason"), true),
        "done" => plainly("finished"),
        _ => None,
    }
}

/// How the sides were read, where a change log was followed or could not be: one sentence a side; none where everything was
/// read as usual.
pub fn how_read(comparison: &Comparison) -> Vec<String> {
    let sides = comparison.logs.iter().flat_map(SideLogs::sides);
    let words = sides.filter_map(|(side, log)| match &log.how {
        HowRead::Scanned { instead: None } => None,
        HowRead::Scanned { instead: Some(why) } => {
            Some(format!("{side} was read in full, for its change log does not tell all: {why}"))
        }
        HowRead::Followed { keys, records } => Some(format!(
            "{side} was followed by its change log: {} changes of {} items",
            number(*records),
            number(*keys)
        )),
    });
    words.collect()
}

/// What a quick look saw, one sentence a store, and what it is worth.
pub fn sample_sentences(outcome: &SampleOutcome) -> Vec<String> {
    let of_store = |seen: &StoreSample| {
        let StoreSample { store, segments_read, segments, looked_at, changed, only_dr, only_primary, .. } = seen;
        format!(
            "{store}: {} in {segments_read} of {segments} segments: {} changed, {} only in dr, {} only in the primary; at \
             most {:.3}% differ",
            count(*looked_at, "item"),
            number(*changed),
            number(*only_dr),
            number(*only_primary),
            seen.differing_at_most * 100.0
        )
    };
    let mut lines: Vec<String> = outcome.stores.iter().map(of_store).collect();
    lines.push(SAMPLE_MEANS.into());
    lines.push(
        match outcome.differs() {
            true => "The sides differ. A diff reads everything.",
            false => "No difference was seen, which is no parity: what was not looked at is not known.",
        }
        .into(),
    );
    lines
}

/// What the numbers of a quick look mean.
pub const SAMPLE_MEANS: &str = "a sample of segments: \"differ at most\" holds with 95% confidence, as far as items that \
                                differ do not share a partition key";

/// What a check found for a person to do: steps, and lines for the profile; none where it found nothing.
pub fn check_sentences(outcome: &CheckOutcome) -> Vec<String> {
    let mut lines = guide_sentences(&outcome.guides);
    for RescuedStore { store, lines: told } in &outcome.rescued {
        lines.extend(profile_sentences(store, told));
    }
    lines
}

/// What goes into the table of a store in the profile, to be copied as it is.
pub fn profile_sentences(store: &StoreId, lines: &[String]) -> Vec<String> {
    let told = lines.iter().map(|line| format!("  {line}"));
    [format!("for [[store]] {store} of the profile:")].into_iter().chain(told).collect()
}

/// Steps for a person, numbered, each with what to type, a line each.
fn guide_sentences(guides: &[Guide]) -> Vec<String> {
    let mut lines = Vec::new();
    for Guide { store, title, steps } in guides {
        lines.push(format!("{store}: {title}; you take these steps, failback takes none of them"));
        for (at, GuideStep { state, what, commands }) in steps.iter().enumerate() {
            lines.push(format!("  {}. [{}] {what}", at + 1, state.word()));
            lines.extend(commands.iter().map(|command| format!("       {command}")));
        }
    }
    lines
}

/// How far the exports are that save bases, one sentence each, and what to do.
pub fn rescue_sentences(outcome: &RescueOutcome) -> Vec<String> {
    let of_export = |export: &RescuedExport| {
        let place = export.url.clone().unwrap_or_else(|| format!("s3://{}/{}", export.bucket, export.prefix));
        format!("{} {}: {}: {}, {place}", export.store, export.side, export.holds.words(), export.state.word())
    };
    let of_copy = |copy: &RescuedSnapshot| {
        format!("{}: {} in {}, copied as {}: {}", copy.store, copy.source, copy.region, copy.copy, copy.state.word())
    };
    let mut lines: Vec<String> = outcome.exports.iter().map(of_export).collect();
    lines.extend(outcome.snapshots.iter().map(of_copy));
    lines.extend(outcome.problems.iter().map(|problem| format!("problem: {problem}")));
    let stores: BTreeSet<&StoreId> = outcome.exports.iter().map(|export| &export.store).collect();
    for store in stores {
        let told = outcome.profile_lines(store);
        lines.extend(profile_sentences(store, &told).into_iter().filter(|_| !told.is_empty()));
    }
    lines.push(outcome.what_next().into());
    lines
}
