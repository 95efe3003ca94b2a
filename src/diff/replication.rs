//! How far the service's own replication came with an item: why it differs, and when a verdict must be doubted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Verdict;

/// The word for an item that no replication rule took.
pub const NOT_REPLICATED: &str = "none";

/// How each side's copy stands in its side's replication, in the service's words: `PENDING`, `FAILED`, `COMPLETED`,
/// `REPLICA`, or [`NOT_REPLICATED`]. A side that has no such item has no word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// The primary's copy.
    pub primary: Option<String>,
    /// dr's copy.
    pub dr: Option<String>,
}

impl Replication {
    /// Both words; `None` where neither side replicates.
    pub fn of(primary: Option<&str>, dr: Option<&str>) -> Option<Replication> {
        let is_told = |word: Option<&str>| word.is_some_and(|word| word != NOT_REPLICATED);
        let kept = |word: Option<&str>| word.map(str::to_owned);
        (is_told(primary) || is_told(dr)).then(|| Replication { primary: kept(primary), dr: kept(dr) })
    }

    /// The word of the side that explains a difference: the one that changed, where it has the item.
    pub fn word(&self, verdict: Verdict) -> &str {
        let (first, second) = match verdict {
            Verdict::DrOnly => (&self.dr, &self.primary),
            _ => (&self.primary, &self.dr),
        };
        first.as_deref().or(second.as_deref()).unwrap_or(NOT_REPLICATED)
    }

    /// Why nobody should follow dr without a look, though the verdict alone would: what replication says contradicts it.
    pub fn doubt(&self, verdict: Verdict) -> Option<String> {
        if !matches!(verdict, Verdict::DrOnly | Verdict::Unattributed) {
            return None;
        }
        match (self.primary.as_deref(), self.dr.as_deref()) {
            (Some(word @ ("PENDING" | "FAILED")), _) => {
                Some(format!("the primary's object never reached dr (replication {word}): dr's may be older"))
            }
            (Some(_), Some("REPLICA")) => {
                Some("dr's object is a replica that dr never wrote: the primary's may be newer".into())
            }
            (None, Some("REPLICA")) => Some(
                "dr's object is a replica, and the primary no longer has it: it was deleted or erased there".into(),
            ),
            _ => None,
        }
    }
}

/// Differences by the word that explains them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicationCounts(BTreeMap<String, u64>);

impl ReplicationCounts {
    /// Counts one difference.
    pub fn add(&mut self, verdict: Verdict, replication: Option<&Replication>) {
        let word = replication.map_or(NOT_REPLICATED, |replication| replication.word(verdict));
        *self.0.entry(word.to_owned()).or_default() += 1;
    }

    /// Whether any difference has a word of replication.
    pub fn is_told(&self) -> bool {
        self.0.keys().any(|word| word != NOT_REPLICATED)
    }

    /// The counts in words: `312 differ: 290 PENDING, 22 FAILED`.
    pub fn sentence(&self) -> String {
        let mut counts: Vec<(&String, &u64)> = self.0.iter().collect();
        counts.sort_by_key(|(word, items)| (std::cmp::Reverse(**items), *word));
        let told = counts.into_iter().map(|(word, items)| {
            if word == NOT_REPLICATED { format!("{items} under no rule") } else { format!("{items} {word}") }
        });
        format!("{} differ: {}", self.0.values().sum::<u64>(), told.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_explains_and_doubts() {
        let of = |primary, dr| Replication::of(primary, dr);
        assert_eq!(of(Some("none"), Some("none")), None);
        let pending = of(Some("PENDING"), Some("none")).expect("told");
        assert_eq!((pending.word(Verdict::Stranded), pending.word(Verdict::DrOnly)), ("PENDING", "none"));
        assert!(pending.doubt(Verdict::DrOnly).is_some_and(|why| why.contains("PENDING")));
        assert!(pending.doubt(Verdict::Unattributed).is_some());
        assert_eq!(pending.doubt(Verdict::Stranded), None);
        for primary in [None, Some("COMPLETED"), Some("none")] {
            let replica = of(primary, Some("REPLICA")).expect("told");
            assert!(replica.doubt(Verdict::DrOnly).is_some_and(|why| why.contains("replica")), "{primary:?}");
        }
        assert_eq!(of(Some("COMPLETED"), Some("none")).and_then(|both| both.doubt(Verdict::DrOnly)), None);
    }

    #[test]
    fn counts_are_told_most_first() {
        let mut counts = ReplicationCounts::default();
        assert!(!counts.is_told());
        counts.add(Verdict::Stranded, None);
        assert!(!counts.is_told());
        for word in ["FAILED", "PENDING", "PENDING"] {
            counts.add(Verdict::Stranded, Replication::of(Some(word), None).as_ref());
        }
        assert_eq!(counts.sentence(), "4 differ: 2 PENDING, 1 FAILED, 1 under no rule");
        assert!(counts.is_told());
    }
}
