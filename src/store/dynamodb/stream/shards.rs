//! Which shards of a stream are read, from where, and in which order. Decides only; reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Generations of shards of one stream: a day of splits every few hours has a dozen.
const GENERATIONS_MAX: usize = 1_000;

/// A shard as the service describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    /// No more records come to it: it was split or its time was over.
    pub(super) is_closed: bool,
}

/// How far a shard has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    /// Nothing of it was read: it is read from the oldest record it still has.
    Unread,
    /// Up to and including this sequence number.
    After(String),
    /// To its end.
    Done,
}

/// How far every shard of a stream has been read.
pub(super) type Positions = BTreeMap<String, Position>;

/// A shard to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) shard: Shard,
    pub(super) from: Position,
}

/// Where every shard stands for a reader that wants what comes from now on: what is closed already holds nothing new.
pub(super) fn positions_now(shards: &[Shard]) -> Positions {
    let position = |shard: &Shard| if shard.is_closed { Position::Done } else { Position::Unread };
    shards.iter().map(|shard| (shard.id.clone(), position(shard))).collect()
}

/// The shards to read to know all that came since `since`, in generations: parents before their children. An error says,
/// in words, what is lost.
pub(super) fn readings(shards: &[Shard], since: &Positions) -> Result<Vec<Vec<Reading>>, String> {
    let described: BTreeMap<&str, &Shard> = shards.iter().map(|shard| (shard.id.as_str(), shard)).collect();
    let gone =
        |(id, position): &(&String, &Position)| **position != Position::Done && !described.contains_key(id.as_str());
    if let Some((id, _)) = since.iter().find(gone) {
        return Err(format!("shard {id} was dropped before it was read to its end"));
    }
    let mut pending: Vec<&Shard> =
        shards.iter().filter(|shard| since.get(&shard.id) != Some(&Position::Done)).collect();
    let mut settled: BTreeSet<&str> = since.keys().map(String::as_str).collect();
    for shard in &pending {
        settled.remove(shard.id.as_str());
    }
    let mut generations = Vec::new();
    while !pending.is_empty() {
        // A shard that was known before needs its parent only where that is still to be read as well.
        let is_ready = |shard: &&Shard| match &shard.parent {
            Some(parent) => {
                settled.contains(parent.as_str())
                    || (since.contains_key(&shard.id) && !described.contains_key(parent.as_str()))
            }
            None => since.contains_key(&shard.id),
        };
        let (ready, rest): (Vec<&Shard>, Vec<&Shard>) = pending.into_iter().partition(is_ready);
        if ready.is_empty() || generations.len() == GENERATIONS_MAX {
            return Err(format!("the parent of shard {} came and went unread", rest[0].id));
        }
        settled.extend(ready.iter().map(|shard| shard.id.as_str()));
        let from = |shard: &Shard| since.get(&shard.id).cloned().unwrap_or(Position::Unread);
        generations.push(ready.into_iter().map(|shard| Reading { from: from(shard), shard: shard.clone() }).collect());
        pending = rest;
    }
    Ok(generations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>, is_closed: bool) -> Shard {
        Shard { id: id.into(), parent: parent.map(str::to_owned), is_closed }
    }

    fn ids(generations: &[Vec<Reading>]) -> Vec<Vec<(String, Position)>> {
        let named = |reading: &'_ Reading| (reading.shard.id.clone(), reading.from.clone());
        generations.iter().map(|generation| generation.iter().map(named).collect()).collect()
    }

    #[test]
    fn parents_come_before_children_and_what_was_closed_is_left_out() {
        let before = [shard("a", Some("trimmed"), true), shard("b", Some("a"), false), shard("c", Some("a"), false)];
        let mut since = positions_now(&before);
        assert_eq!(since["a"], Position::Done);
        since.insert("c".into(), Position::After("7".into()));
        let now = [
            shard("e", Some("d"), false),
            shard("d", Some("b"), true),
            shard("c", Some("a"), false),
            shard("b", Some("a"), true),
            shard("a", Some("trimmed"), true),
        ];
        let generations = readings(&now, &since).expect("no gap");
        let at = |id: &str, from: Position| (id.to_owned(), from);
        let first = vec![at("c", Position::After("7".into())), at("b", Position::Unread)];
        assert_eq!(ids(&generations), [first, vec![at("d", Position::Unread)], vec![at("e", Position::Unread)]]);
    }

    #[test]
    fn a_parent_that_is_still_to_be_read_goes_first_though_the_child_is_known() {
        let both = [shard("b", Some("a"), false), shard("a", None, false)];
        let generations = readings(&both, &positions_now(&both)).expect("no gap");
        assert_eq!(ids(&generations), [vec![("a".into(), Position::Unread)], vec![("b".into(), Position::Unread)]]);
        let lone = [shard("b", Some("a"), false)];
        assert_eq!(readings(&lone, &positions_now(&lone)).expect("no gap").len(), 1, "its parent was trimmed long ago");
    }

    #[test]
    fn what_came_and_went_unread_is_a_gap() {
        let since = positions_now(&[shard("a", None, false)]);
        let gap = |shards: &[Shard]| readings(shards, &since).expect_err("a gap");
        assert!(gap(&[shard("b", Some("a"), false)]).contains("shard a was dropped"));
        let lost = [shard("a", None, true), shard("c", Some("b"), false)];
        assert!(gap(&lost).contains("the parent of shard c"));
        assert!(gap(&[shard("a", None, true), shard("x", None, false)]).contains("shard x"));
        let in_a_ring = [shard("a", None, true), shard("x", Some("y"), false), shard("y", Some("x"), false)];
        assert!(gap(&in_a_ring).contains("came and went"));
    }

    #[test]
    fn a_shard_read_to_its_end_may_be_dropped() {
        let since = Positions::from([("a".into(), Position::Done)]);
        assert_eq!(readings(&[], &since), Ok(Vec::new()));
        assert_eq!(readings(&[shard("b", Some("a"), false)], &since).expect("no gap").len(), 1);
    }
}
