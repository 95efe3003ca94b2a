//! The weighted pair: finding it, reading it, and the batch that changes it.

use aws_sdk_route53::types::{Change, ChangeAction, ResourceRecordSet};

use crate::cutover::dial::{Result, Weights};
use crate::cutover::error::{CutoverError, CutoverErrorKind};
use crate::cutover::next_move::Share;
use crate::profile::RecordProfile;

/// How long answers of an alias record are cached, in seconds: Route 53 gives an alias its target's TTL, which is 60 for load
/// balancers and other AWS resources.
const ALIAS_TTL_SECONDS: u64 = 60;

/// Both records of a weighted pair, exactly as observed.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    primary: ResourceRecordSet,
    dr: ResourceRecordSet,
    share: Share,
}

impl Pair {
    /// Finds the pair among the records of its name and type.
    pub(super) fn find(records: Vec<ResourceRecordSet>, wanted: &RecordProfile) -> Result<Pair> {
        let RecordProfile { name, record_type, primary, dr } = wanted;
        let unfit = |what: String| CutoverError::new(CutoverErrorKind::Unfit, what);
        if primary == dr {
            return Err(unfit(format!("primary and dr of {name} have the same set identifier")));
        }
        let find = |identifier: &str| {
            let found = records.iter().find(|record| record.set_identifier.as_deref() == Some(identifier));
            found.cloned().ok_or_else(|| {
                unfit(format!("there is no {record_type} record {name} with set identifier {identifier}"))
            })
        };
        let (primary, dr) = (find(primary)?, find(dr)?);
        let others = records
            .iter()
            .filter(|record| ![&primary.set_identifier, &dr.set_identifier].contains(&&record.set_identifier));
        for other in others {
            if other.weight != Some(0) {
                let identifier = other.set_identifier.as_deref().unwrap_or("no identifier");
                return Err(unfit(format!("another {record_type} record {name} ({identifier}) shares its traffic")));
            }
        }
        let share = Share { primary: weight(&primary, name)?, dr: weight(&dr, name)? };
        Ok(Pair { primary, dr, share })
    }

    pub(super) fn weights(&self) -> Weights {
        let ttl_of = |record: &ResourceRecordSet| match record.ttl {
            Some(ttl) => u64::try_from(ttl).unwrap_or(ALIAS_TTL_SECONDS),
            None => ALIAS_TTL_SECONDS,
        };
        let rest = format!("{:?}", [unweighted(&self.primary), unweighted(&self.dr)]);
        Weights {
            share: self.share,
            ttl_seconds: ttl_of(&self.primary).max(ttl_of(&self.dr)),
            alias: self.primary.alias_target.is_some() || self.dr.alias_target.is_some(),
            rest: blake3::hash(rest.as_bytes()).into(),
        }
    }

    /// Whether this is `before` with the weights `share`, and nothing else changed.
    pub(super) fn is_as(&self, before: &Pair, share: Share) -> bool {
        self.share == share && self.weights().rest == before.weights().rest
    }

    /// Deletes both records as observed and creates them with other weights.
    pub(super) fn changes_to(&self, share: Share) -> Result<Vec<Change>> {
        let mut changes = Vec::with_capacity(4);
        for (record, weight) in [(&self.primary, share.primary), (&self.dr, share.dr)] {
            let mut wanted = record.clone();
            wanted.weight = Some(i64::from(weight));
            changes.push(change(ChangeAction::Delete, record.clone())?);
            changes.push(change(ChangeAction::Create, wanted)?);
        }
        Ok(changes)
    }
}

fn change(action: ChangeAction, record: ResourceRecordSet) -> Result<Change> {
    let built = Change::builder().action(action).resource_record_set(record).build();
    built.map_err(|error| CutoverError::caused(CutoverErrorKind::Unfit, "cannot describe a change", error))
}

fn unweighted(record: &ResourceRecordSet) -> ResourceRecordSet {
    let mut record = record.clone();
    record.weight = None;
    record
}

fn weight(record: &ResourceRecordSet, name: &str) -> Result<u8> {
    let identifier = record.set_identifier.as_deref().unwrap_or_default();
    let unfit = |what: &str| CutoverError::new(CutoverErrorKind::Unfit, format!("record {name} ({identifier}) {what}"));
    if record.traffic_policy_instance_id.is_some() {
        return Err(unfit("belongs to a traffic policy, which alone can change it"));
    }
    record.weight.and_then(|weight| u8::try_from(weight).ok()).ok_or_else(|| unfit("is not a weighted record"))
}

/// A record's name as Route 53 spells it: lower case, a trailing dot, and an octal escape for every character but letters,
/// digits, hyphen, underscore and dot. Escapes that are there already stay.
pub(super) fn canonical_name(name: &str) -> String {
    let mut canonical = String::with_capacity(name.len() + 1);
    let bytes = name.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let is_escape = *byte == b'\\'
            && bytes
                .get(index + 1..index + 4)
                .is_some_and(|octal| octal.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => canonical.push(char::from(*byte)),
            b'A'..=b'Z' => canonical.push(char::from(byte.to_ascii_lowercase())),
            _ if is_escape => canonical.push('\\'),
            other => canonical.push_str(&format!("\\{other:03o}")),
        }
    }
    if !canonical.ends_with('.') {
        canonical.push('.');
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_route_53_spells_them() {
        let rows = [
            ("app.example.com", "app.example.com."),
            ("App.Example.COM.", "app.example.com."),
            ("*.example.com", "\\052.example.com."),
            ("\\052.example.com.", "\\052.example.com."),
            ("_a-b.example.com", "_a-b.example.com."),
            ("a\\b.example.com", "a\\134b.example.com."),
        ];
        for (given, expected) in rows {
            assert_eq!(canonical_name(given), expected, "{given}");
        }
    }
}
