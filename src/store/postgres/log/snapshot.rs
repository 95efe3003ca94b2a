//! Which transactions a snapshot sees, as `pg_current_snapshot()` writes it: `xmin:xmax:xid,xid,..`.

use std::str::FromStr;

/// A snapshot: transactions before `min` have ended, those from `max` on had not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    min: u64,
    max: u64,
    under_way: Vec<u64>,
}

/// A text is not a snapshot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot")]
pub(super) struct NotASnapshot;

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Snapshot, NotASnapshot> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(NotASnapshot);
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotASnapshot);
        let (min, max, list) = (number(next()?)?, number(next()?)?, next()?);
        let under_way = list.split(',').filter(|xid| !xid.is_empty()).map(number).collect::<Result<_, _>>()?;
        Ok(Snapshot { min, max, under_way })
    }
}

impl Snapshot {
    /// Whether a transaction had ended by then; `xid` lacks its epoch, and is within two billion of the snapshot.
    pub(super) fn sees(&self, xid: u32) -> bool {
        // The lower half of an id is what the log has.
        let distance = i64::from(xid.wrapping_sub(self.max as u32) as i32);
        let whole = self.max.saturating_add_signed(distance);
        whole < self.min || (whole < self.max && !self.under_way.contains(&whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_or_came_later_is_not_seen() {
        let snapshot: Snapshot = "10:20:12,15".parse().expect("a snapshot");
        let seen: Vec<u32> = (8..23).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        let quiet: Snapshot = "20:20:".parse().expect("a snapshot");
        assert!(quiet.sees(19) && !quiet.sees(20));
    }

    #[test]
    fn ids_that_went_round_are_told_apart() {
        let snapshot: Snapshot = "4294967290:4294967300:4294967298".parse().expect("a snapshot");
        assert!(snapshot.sees(u32::MAX) && snapshot.sees(1) && snapshot.sees(3));
        assert!(!snapshot.sees(2) && !snapshot.sees(4) && !snapshot.sees(1000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1", "1:2", "a:2:", "1:2:x", "-1:2:"] {
            assert_eq!(text.parse::<Snapshot>(), Err(NotASnapshot), "{text}");
        }
    }
}
