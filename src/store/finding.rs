//! What checks find.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Note,
    /// Can go on, at a risk that is named.
    Warning,
    /// Must be mended first.
    Blocker,
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is about, for example `orders primary`.
    pub subject: String,
    /// What was found, one sentence, lowercase.
    pub what: String,
    /// What to do about it, where there is something to do.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub fn new(level: Level, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { level, subject: subject.into(), what: what.into(), hint: None }
    }

    /// The same finding with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }
}

/// A resource's shape in words: what must be alike on both sides, and what had better be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Part (`key schema`, `public.orders.total`) to description; a difference blocks.
    pub binding: BTreeMap<String, String>,
    /// Part to description; a difference is a warning.
    pub advisory: BTreeMap<String, String>,
    /// Part to description of what the primary must have as dr has it; what the primary alone has is a warning.
    pub followed: BTreeMap<String, String>,
}

/// How the part of a shape is called that stands for a whole: `table public.orders`. Where one side lacks it, the parts
/// within, such as `public.orders.total`, go without saying.
pub const WHOLE: &str = "table ";

/// Compares the shapes of two sides of the store named `subject`.
pub fn compare_shapes(subject: &str, primary: &Shape, dr: &Shape) -> Vec<Finding> {
    let lone: Vec<&str> =
        lone_wholes(&primary.binding, &dr.binding).chain(lone_wholes(&dr.binding, &primary.binding)).collect();
    let mut findings = compare_parts(subject, &primary.binding, &dr.binding, &lone, |_| Level::Blocker);
    findings.extend(compare_parts(subject, &primary.followed, &dr.followed, &lone, |part| {
        if dr.followed.contains_key(part) { Level::Blocker } else { Level::Warning }
    }));
    findings.extend(compare_parts(subject, &primary.advisory, &dr.advisory, &lone, |_| Level::Warning));
    findings
}

/// The wholes that only the first side has.
fn lone_wholes<'a>(
    one: &'a BTreeMap<String, String>,
    other: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a str> {
    one.keys().filter(|part| !other.contains_key(*part)).filter_map(|part| part.strip_prefix(WHOLE))
}

fn compare_parts(
    subject: &str,
    primary: &BTreeMap<String, String>,
    dr: &BTreeMap<String, String>,
    lone: &[&str],
    level: impl Fn(&str) -> Level,
) -> Vec<Finding> {
    let mut parts: Vec<&String> = primary.keys().chain(dr.keys()).collect();
    parts.sort();
    parts.dedup();
    let absent = "absent".to_owned();
    let is_within = |part: &str, whole: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with(['.', ' ']));
    parts
        .into_iter()
        .filter(|part| !lone.iter().any(|whole| is_within(part, whole)))
        .map(|part| (part, primary.get(part).unwrap_or(&absent), dr.get(part).unwrap_or(&absent)))
        .filter(|(_, primary, dr)| primary != dr)
        .map(|(part, primary, dr)| {
            Finding::new(level(part), subject, format!("{part} is {primary} on the primary and {dr} on dr"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_differ_are_named_part_by_part() {
        let shape = |binding: &[(&str, &str)]| Shape {
            binding: binding.iter().map(|(part, what)| (part.to_string(), what.to_string())).collect(),
            ..Shape::default()
        };
        let findings = compare_shapes(
            "orders",
            &shape(&[("id", "bigint"), ("a", "text")]),
            &shape(&[("id", "integer"), ("b", "text")]),
        );
        let words: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            words,
            [
                "a is text on the primary and absent on dr",
                "b is absent on the primary and text on dr",
                "id is bigint on the primary and integer on dr",
            ]
        );
    }

    #[test]
    fn a_table_that_one_side_lacks_is_one_finding_and_a_counter_must_be_where_it_is_raised() {
        let map = |parts: &[&str]| parts.iter().map(|part| (part.to_string(), "there".to_owned())).collect();
        let shape = |binding: &[&str], followed: &[&str]| Shape {
            binding: map(binding),
            followed: map(followed),
            advisory: BTreeMap::new(),
        };
        let primary = shape(&["table a.b", "a.b.c", "a.b primary key", "a.bc.d"], &["sequence a.lone"]);
        let found = compare_shapes("ledger", &primary, &shape(&[], &["sequence a.other"]));
        let found: Vec<(Level, &str)> = found.iter().map(|finding| (finding.level, finding.what.as_str())).collect();
        assert_eq!(
            found,
            [
                (Level::Blocker, "a.bc.d is there on the primary and absent on dr"),
                (Level::Blocker, "table a.b is there on the primary and absent on dr"),
                (Level::Warning, "sequence a.lone is there on the primary and absent on dr"),
                (Level::Blocker, "sequence a.other is absent on the primary and there on dr"),
            ]
        );
    }
}
