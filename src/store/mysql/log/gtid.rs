//! Sets of MySQL's global transaction identifiers, as `@@GLOBAL.gtid_executed` tells them: `uuid:1-5:8, uuid:3`.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The server that first ran a transaction, and the transaction's number there.
pub(super) type Gtid = ([u8; 16], u64);

/// Which transactions there are: by their server, ranges of numbers with both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GtidSet(BTreeMap<[u8; 16], Vec<(u64, u64)>>);

/// A text is not a set of GTIDs, or one with tags, which are not known here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a set of GTIDs")]
pub(super) struct NotGtids;

impl FromStr for GtidSet {
    type Err = NotGtids;

    fn from_str(text: &str) -> Result<GtidSet, NotGtids> {
        let mut set = GtidSet::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (server, ranges) = part.split_once(':').ok_or(NotGtids)?;
            let ranges = ranges.split(':').map(range).collect::<Result<Vec<_>, _>>()?;
            set.0.entry(uuid(server.trim())?).or_default().extend(ranges);
        }
        Ok(set)
    }
}

fn uuid(text: &str) -> Result<[u8; 16], NotGtids> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_uuid);
    number.map(u128::to_be_bytes).ok_or(NotGtids)
}

fn range(text: &str) -> Result<(u64, u64), NotGtids> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| NotGtids);
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if (1..=to).contains(&from) { Ok((from, to)) } else { Err(NotGtids) }
}

impl GtidSet {
    /// Whether a transaction is one of these.
    pub(super) fn has(&self, (server, number): Gtid) -> bool {
        self.0.get(&server).is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..=*to).contains(&number)))
    }

    /// Whether all of these are among others; ranges that touch each other count as two.
    pub(super) fn is_within(&self, other: &GtidSet) -> bool {
        let is_in = |server: &[u8; 16], (from, to): &(u64, u64)| {
            let ranges = other.0.get(server).map(Vec::as_slice).unwrap_or_default();
            ranges.iter().any(|(first, last)| first <= from && to <= last)
        };
        self.0.iter().all(|(server, ranges)| ranges.iter().all(|range| is_in(server, range)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const TWO: &str = "3E11FA47-71CA-11E1-9E33-C80AA9429563";

    fn set(text: &str) -> GtidSet {
        text.replace("one", ONE).replace("two", TWO).parse().expect("a set")
    }

    #[test]
    fn transactions_are_found_in_their_ranges() {
        let server = uuid(ONE).expect("a uuid");
        let all = set("one:1-5:8,\ntwo:3");
        let found: Vec<u64> = (0..10).filter(|number| all.has((server, *number))).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 8]);
        assert!(all.has((uuid(TWO).expect("a uuid"), 3)) && !all.has(([0; 16], 3)));
        assert_eq!("".parse(), Ok(GtidSet::default()));
    }

    #[test]
    fn a_set_is_within_one_that_grew() {
        for (small, large, is_within) in [
            ("one:1-5", "one:1-9", true),
            ("one:1-5:7", "one:1-9,two:1", true),
            ("one:1-9", "one:1-5", false),
            ("one:1-5", "two:1-5", false),
            ("one:1-5", "one:1-3:5", false),
            ("", "", true),
        ] {
            assert_eq!(set(small).is_within(&set(large)), is_within, "{small} in {large}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["x", "x:1", "3e11fa47:1", &format!("{ONE}:0"), &format!("{ONE}:5-3"), &format!("{ONE}:tag:1")] {
            assert_eq!(text.parse::<GtidSet>(), Err(NotGtids), "{text}");
        }
    }
}
