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
}

/// Compares the shapes of two sides of the store named `subject`.
pub fn compare_shapes(subject: &str, primary: &Shape, dr: &Shape) -> Vec<Finding> {
    let mut findings = compare_parts(Level::Blocker, subject, &primary.binding, &dr.binding);
    findings.extend(compare_parts(Level::Warning, subject, &primary.advisory, &dr.advisory));
    findings
}

fn compare_parts(
    level: Level,
    subject: &str,
    primary: &BTreeMap<String, String>,
    dr: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let mut parts: Vec<&String> = primary.keys().chain(dr.keys()).collect();
    parts.sort();
    parts.dedup();
    let absent = "absent".to_owned();
    parts
        .into_iter()
        .map(|part| (part, primary.get(part).unwrap_or(&absent), dr.get(part).unwrap_or(&absent)))
        .filter(|(_, primary, dr)| primary != dr)
        .map(|(part, primary, dr)| {
            Finding::new(level, subject, format!("{part} is {primary} on the primary and {dr} on dr"))
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
            advisory: BTreeMap::new(),
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
}
