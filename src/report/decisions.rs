//! Who decided what, and what was allowed beyond the limits.

use serde_json::{Value as Json, json};

use super::sections::line;
use super::words::{code, count, plain, time};
use crate::plan::Ruling;
use crate::session::{DecisionMade, SessionState};

/// Decisions and allowances listed, the newest ones; the journal has all of them.
pub(super) const DECISIONS_LISTED_MAX: usize = 200;

/// The newest of `all`, and how many earlier ones are left out.
pub(super) fn newest<T>(all: &[T]) -> (usize, &[T]) {
    let left_out = all.len().saturating_sub(DECISIONS_LISTED_MAX);
    (left_out, &all[left_out..])
}

/// What a choice does, in words; a word of a later version as it is.
pub(super) fn consequence(choice: &str) -> &str {
    match Ruling::named(choice) {
        Some(ruling) => ruling.consequence(),
        None => choice,
    }
}

pub(super) fn decisions_json(state: &SessionState) -> Json {
    let made = |made: &DecisionMade| {
        let DecisionMade { number, at, by, choice, scope, items, seal: _, file, plans_before: _, taken_back } = made;
        json!({
            "number": number, "at": at, "by": by, "choice": choice, "scope": scope, "items": items, "file": file,
            "taken_back": taken_back.as_ref().map(|(at, by)| json!({ "at": at, "by": by })),
        })
    };
    state.decisions.iter().map(made).collect()
}

pub(super) fn allowed_json(state: &SessionState) -> Json {
    state.allowed.iter().map(|(at, by, what)| json!({ "at": at, "by": by, "what": what })).collect()
}

pub(super) fn decisions(text: &mut String, state: &SessionState) {
    if state.decisions.is_empty() && state.allowed.is_empty() {
        return;
    }
    line(text, "\n## Decisions\n");
    let (earlier, decisions) = newest(&state.decisions);
    if earlier > 0 {
        line(text, format!("- {} earlier, in the journal", count(earlier as u64, "decision")));
    }
    for made in decisions {
        let DecisionMade { number, at, by, choice, scope, items, file, taken_back, .. } = made;
        let (by, scope, items) = (plain(by), plain(scope), count(*items, "item"));
        let words = format!("{number}. {by} at {}, on {scope} ({items}): {}", time(*at), plain(consequence(choice)));
        match taken_back {
            None => line(text, format!("- {words}")),
            Some((at, by)) => line(text, format!("- ~~{words}~~ taken back by {} at {}", plain(by), time(*at))),
        }
        if let Some(file) = file {
            line(text, format!("  - both sides' contents: {}", code(file)));
        }
    }
    for (at, by, what) in newest(&state.allowed).1 {
        line(text, format!("- {} at {} allowed: {}", plain(by), time(*at), plain(&what.join("; "))));
    }
}
