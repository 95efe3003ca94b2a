//! The judge: what became of the stores against what was planted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;

use super::leader::Leader;
use super::ledger::SEQUENCES;
use super::place::Place;
use super::plant::{Planted, PlantedStore, Wanted};
use super::world::World;
use super::{Result, StoryError};
use crate::digest::{encode, key_json, key_of};
use crate::model::{Change, StoreKind, Value, Verdict};
use crate::plan::Kept;

/// One thing that is not as planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The store, or `route53`.
    pub store: String,
    /// The item's key as JSON, or what else is meant.
    pub subject: String,
    /// What was expected and what was found, without contents.
    pub what: String,
}

/// What the judge found in one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What was counted, as one line for people.
    pub summary: String,
    /// Everything that is not as planted.
    pub mismatches: Vec<Mismatch>,
}

impl Judgement {
    /// It in words: what was counted, and a line for each thing that is not as planted.
    pub fn lines(&self) -> Vec<String> {
        let mismatches = self.mismatches.iter();
        let mismatches =
            mismatches.map(|Mismatch { store, subject, what }| format!("MISMATCH {store} {subject}: {what}"));
        std::iter::once(format!("truth: {}", self.summary)).chain(mismatches).collect()
    }
}

type Said = BTreeMap<String, (String, String)>;

/// Store and key of the items whose difference was accepted.
type Accepted = BTreeSet<(String, String)>;

impl World {
    /// Compares the delta of the first comparison after the outage's business, an NDJSON file, with what was planted.
    ///
    /// # Errors
    ///
    /// When there is no such store, or the file cannot be read.
    pub fn judge_verdicts(&self, store: &str, delta: &Path) -> Result<Judgement> {
        let planted = self.planted().find(|planted| planted.name == store);
        let planted = planted.ok_or_else(|| StoryError::new(format!("no store {store} was planted")))?;
        judge_verdicts(planted, planted.kind, delta)
    }

    /// Reads the whole primary and compares it with what it must hold at the end, sequences included.
    ///
    /// `accepted` are the differences that the newest plan leaves. Where an operator decides the conflicts, a conflict among
    /// them was decided for the primary, and every other one for dr; elsewhere they change nothing.
    ///
    /// # Errors
    ///
    /// When a store cannot be read.
    pub async fn judge_contents(&self, accepted: &[Kept]) -> Result<Vec<Judgement>> {
        let accepted = accepted.iter().map(|kept| (kept.store.0.clone(), canonical(&kept.key))).collect();
        let mut judgements = Vec::with_capacity(self.shelves.len());
        for shelf in &self.shelves {
            let found = shelf.primary.read_all().await?;
            let mut judgement = self.judge_store(&shelf.planted, found, &accepted);
            if let (Place::Ledger(primary), Place::Ledger(dr)) = (&shelf.primary, &shelf.dr) {
                for sequence in SEQUENCES {
                    let (primary, dr) = (primary.last_value(sequence).await?, dr.last_value(sequence).await?);
                    if primary < dr {
                        let what = format!("the primary's sequence stands at {primary}, dr's at {dr}");
                        judgement.mismatches.push(mismatch(&shelf.planted, sequence, what));
                    }
                }
            }
            judgements.push(judgement);
        }
        Ok(judgements)
    }

    fn judge_store(&self, planted: &PlantedStore, found: Vec<(Value, Value)>, accepted: &Accepted) -> Judgement {
        let summary = format!("{}: {} items on the primary", planted.name, found.len());
        let mut found: BTreeMap<Vec<u8>, (Value, Value)> =
            found.into_iter().map(|(key, contents)| (encode(&key), (key, contents))).collect();
        let mut mismatches = Vec::new();
        let subject = |key: &Value| canonical(&key_json(planted.kind, &key_of(key)));
        for item in &planted.items {
            let found = found.remove(&encode(&item.key)).map(|(_, contents)| contents);
            let kept = || accepted.contains(&(planted.name.to_owned(), subject(&item.key)));
            let what = match (self.wanted(item, kept), &found) {
                (Must { hold, .. }, found) if hold == found.as_ref() => continue,
                (Must { or_nothing: true, .. }, None) => continue,
                (Must { hold: None, .. }, _) => "it should not be there",
                (Must { hold: Some(_), .. }, None) => "it is missing",
                (Must { hold: Some(_), .. }, Some(_)) => "its contents are others than planted",
            };
            mismatches.push(mismatch(planted, &subject(&item.key), format!("{what} ({:?})", item.fate)));
        }
        for (key, _) in found.values() {
            mismatches.push(mismatch(planted, &subject(key), "nobody planted it".into()));
        }
        Judgement { summary, mismatches }
    }

    /// What the primary must hold of an item, by how this drill went.
    fn wanted<'a>(&self, item: &'a Planted, kept: impl Fn() -> bool) -> Must<'a> {
        let exactly = |hold: &'a Option<Value>| Must { hold: hold.as_ref(), or_nothing: false };
        match (item.verdict, &item.wanted) {
            (Verdict::Conflict, _) if self.leader() == Leader::Operator => {
                exactly(if kept() { &item.primary } else { &item.dr })
            }
            (Verdict::Stranded | Verdict::Conflict, Wanted::Exactly(wanted)) => exactly(wanted),
            (_, Wanted::MayExpire(wanted)) => Must { hold: Some(wanted), or_nothing: true },
            (Verdict::Expired, Wanted::Exactly(wanted)) => exactly(wanted),
            (_, Wanted::Exactly(wanted)) if self.late_business_made() => exactly(wanted),
            _ => exactly(&item.dr),
        }
    }

    /// Reads the weights and compares them with `primary_percent`.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn judge_weights(&self, primary_percent: i64) -> Result<Judgement> {
        let dns = self.dns.as_ref().ok_or_else(|| StoryError::new("there are no weights in memory"))?;
        let weights = dns.read().await?;
        let total = weights.primary + weights.dr;
        let summary = format!("route53: weights {} primary, {} dr", weights.primary, weights.dr);
        let as_wanted = total > 0 && weights.primary * 100 == primary_percent * total;
        let what = format!("the primary should have {primary_percent}% of the traffic");
        let mismatch = Mismatch { store: "route53".into(), subject: "weights".into(), what };
        Ok(Judgement { summary, mismatches: if as_wanted { Vec::new() } else { vec![mismatch] } })
    }
}

/// What must be there of an item.
struct Must<'a> {
    hold: Option<&'a Value>,
    /// It has expired: nothing is right too.
    or_nothing: bool,
}

/// Compares a delta file with the planted verdicts, keys written as stores of `kind` write them.
fn judge_verdicts(planted: &PlantedStore, kind: StoreKind, delta: &Path) -> Result<Judgement> {
    let mut expected = Said::new();
    for item in planted.items.iter().filter(|item| item.verdict.is_difference()) {
        let change = Change::between(item.primary.as_ref(), item.dr.as_ref()).map_or("none", Change::word);
        let key = canonical(&key_json(kind, &key_of(&item.key)));
        expected.insert(key, (item.verdict.word().to_owned(), change.to_owned()));
    }
    let (said, mut mismatches) = read_delta(planted, delta)?;
    let keys: BTreeSet<&String> = expected.keys().chain(said.keys()).collect();
    for key in keys {
        let (expected, said) = (expected.get(key), said.get(key));
        if expected != said {
            let words = |pair: Option<&(String, String)>| {
                pair.map_or_else(|| "no difference".to_owned(), |(verdict, change)| format!("{verdict} ({change})"))
            };
            mismatches.push(mismatch(planted, key, format!("planted {}, said {}", words(expected), words(said))));
        }
    }
    let counts = differences(|verdict| said.values().filter(|(word, _)| word == verdict.word()).count());
    let summary = format!("{}: {counts}", planted.name);
    Ok(Judgement { summary, mismatches })
}

/// The differences in words, by the count that each verdict has.
pub(super) fn differences(count: impl Fn(Verdict) -> usize) -> String {
    let counts = Verdict::ALL.into_iter().filter(|verdict| verdict.is_difference()).filter_map(|verdict| {
        let count = count(verdict);
        (count > 0).then(|| format!("{count} {verdict}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

fn read_delta(planted: &PlantedStore, delta: &Path) -> Result<(Said, Vec<Mismatch>)> {
    let text = std::fs::read_to_string(delta);
    let text = text.map_err(StoryError::caused(format!("cannot read {}", delta.display())))?;
    let (mut said, mut mismatches) = (Said::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line: Json = serde_json::from_str(line).map_err(StoryError::caused("a delta line is not JSON"))?;
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        // An item that both sides changed alike may be told, but is no difference.
        if word("verdict") == Verdict::Converged.word() {
            continue;
        }
        let key = canonical(&line["key"]);
        if said.insert(key.clone(), (word("verdict"), word("change"))).is_some() {
            mismatches.push(mismatch(planted, &key, "said twice".into()));
        }
    }
    Ok((said, mismatches))
}

fn mismatch(planted: &PlantedStore, subject: &str, what: String) -> Mismatch {
    Mismatch { store: planted.name.into(), subject: subject.into(), what }
}

/// JSON text with object members in one order.
fn canonical(json: &Json) -> String {
    match json {
        Json::Object(members) => {
            let sorted: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            let members: Vec<String> =
                sorted.iter().map(|(name, value)| format!("{}: {value}", Json::from(name.as_str()))).collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
