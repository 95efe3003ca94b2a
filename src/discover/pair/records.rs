//! Weighted records: which of a group is the primary's and which is dr's.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::discover::found::WeightedRecord;
use crate::discover::names::{Names, Regions};

/// A weighted pair that shifts customers between the sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordPair {
    /// The primary's.
    pub primary: WeightedRecord,
    /// dr's.
    pub dr: WeightedRecord,
    /// What shows it.
    pub why: String,
}

/// Weighted records of one name and type whose sides are not plain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordQuestion {
    /// The records, by identifier.
    pub records: Vec<WeightedRecord>,
    /// Why that is so.
    pub why: String,
}

/// The records by name and type, with or without plain sides.
pub(super) fn sorted(records: &[WeightedRecord], regions: Regions<'_>) -> (Vec<RecordPair>, Vec<RecordQuestion>) {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&WeightedRecord>> = BTreeMap::new();
    for record in records {
        groups.entry((&record.zone, &record.name, &record.record_type)).or_default().push(record);
    }
    let (mut pairs, mut questions) = (Vec::new(), Vec::new());
    for group in groups.into_values() {
        match pair(&group, regions) {
            Ok(pair) => pairs.push(pair),
            Err(why) => questions.push(RecordQuestion { records: group.into_iter().cloned().collect(), why }),
        }
    }
    (pairs, questions)
}

fn pair(group: &[&WeightedRecord], regions: Regions<'_>) -> Result<RecordPair, String> {
    // One side's record alone shifts nobody, and any other with a weight takes a share that no stage knows of.
    let sides: Vec<(&WeightedRecord, Names)> = group.iter().map(|record| (*record, side_of(record, regions))).collect();
    let of = |side: Names| sides.iter().filter(move |(_, names)| *names == side).map(|(record, _)| *record);
    let (primaries, drs): (Vec<_>, Vec<_>) = (of(Names::Primary).collect(), of(Names::Dr).collect());
    let (primary, dr) = match (primaries.as_slice(), drs.as_slice()) {
        ([primary], [dr]) => (*primary, *dr),
        ([], _) | (_, []) => return Err("identifiers and targets do not tell which is whose".to_owned()),
        _ => return Err("more than two of them name a side".to_owned()),
    };
    if let Some((other, _)) = sides.iter().find(|(record, names)| is_other(*names) && record.weight != 0) {
        return Err(format!("the record `{}` has a weight too and names no side", other.identifier));
    }
    let why = format!("`{}` names the primary and `{}` names dr", primary.identifier, dr.identifier);
    Ok(RecordPair { primary: primary.clone(), dr: dr.clone(), why })
}

fn is_other(names: Names) -> bool {
    matches!(names, Names::Neither | Names::Both)
}

/// The identifier tells, then the targets; where they contradict each other, neither does.
fn side_of(record: &WeightedRecord, regions: Regions<'_>) -> Names {
    let mut all = record.targets.iter().map(|target| regions.side_of(target)).filter(|names| *names != Names::Neither);
    let targets = match all.next() {
        None => Names::Neither,
        Some(first) => {
            if all.all(|other| other == first) {
                first
            } else {
                Names::Both
            }
        }
    };
    match (regions.side_of(&record.identifier), targets) {
        (names, Names::Neither) => names,
        (Names::Neither, names) => names,
        (one, other) if one == other => one,
        _ => Names::Both,
    }
}
