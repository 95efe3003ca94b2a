//! What the comparison says of an item.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened to an item since the base, judged from base, primary and dr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Neither side changed.
    Unchanged,
    /// Both sides changed to the same contents.
    Converged,
    /// Only dr changed: the business of the outage, to be replayed.
    DrOnly,
    /// Only the primary changed: a write that never replicated.
    Stranded,
    /// Both changed, to different contents.
    Conflict,
    /// They differ and no base tells who changed.
    Unattributed,
    /// One side holds it past its expiry, the other no longer has it.
    Expired,
}

impl Verdict {
    /// All verdicts, in the order they are reported.
    pub const ALL: [Verdict; 7] = [
        Verdict::Unchanged,
        Verdict::Converged,
        Verdict::DrOnly,
        Verdict::Stranded,
        Verdict::Conflict,
        Verdict::Unattributed,
        Verdict::Expired,
    ];

    /// The verdict of a word.
    pub fn named(word: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.word() == word)
    }

    /// Whether the two sides differ in this item.
    pub fn is_difference(self) -> bool {
        !matches!(self, Verdict::Unchanged | Verdict::Converged)
    }

    /// The word used in machine-readable output.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Unchanged => "unchanged",
            Verdict::Converged => "converged",
            Verdict::DrOnly => "dr_only",
            Verdict::Stranded => "stranded",
            Verdict::Conflict => "conflict",
            Verdict::Unattributed => "unattributed",
            Verdict::Expired => "expired",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::DrOnly => "dr-only",
            other => other.word(),
        })
    }
}

/// What would happen on the primary if dr were followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// dr has it, the primary does not.
    Insert,
    /// Both have it, with different contents.
    Update,
    /// The primary has it, dr does not.
    Delete,
}

impl Change {
    /// All changes.
    pub const ALL: [Change; 3] = [Change::Insert, Change::Update, Change::Delete];

    /// The change of a word.
    pub fn named(word: &str) -> Option<Change> {
        Change::ALL.into_iter().find(|change| change.word() == word)
    }

    /// The change that turns `primary` into `dr`; `None` where neither has the item.
    pub fn between<T>(primary: Option<T>, dr: Option<T>) -> Option<Change> {
        match (primary, dr) {
            (None, Some(_)) => Some(Change::Insert),
            (Some(_), Some(_)) => Some(Change::Update),
            (Some(_), None) => Some(Change::Delete),
            (None, None) => None,
        }
    }

    /// The word used in machine-readable output.
    pub fn word(self) -> &'static str {
        match self {
            Change::Insert => "insert",
            Change::Update => "update",
            Change::Delete => "delete",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
