//! When the differences came to be, as far as a store tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Hours before the instant that are counted apart; what is older counts with the first of them.
pub const HOURS_BEFORE_MAX: i32 = 24;

/// Hours after the instant that are counted apart, two weeks; what is younger counts with the last of them.
pub const HOURS_AFTER_MAX: i32 = 14 * 24;

/// Differences by the hour of their last change, counted from an instant: T0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourCounts {
    /// The instant: hour 0 begins at it.
    pub since: Timestamp,
    /// Items by hour, negative before the instant; hours without a change are left out.
    pub hours: BTreeMap<i32, u64>,
    /// Items whose last change the store does not tell, such as deletes.
    pub untold: u64,
}

impl HourCounts {
    /// No differences yet.
    pub fn since(since: Timestamp) -> HourCounts {
        HourCounts { since, hours: BTreeMap::new(), untold: 0 }
    }

    /// Counts one difference.
    pub fn add(&mut self, changed_at: Option<Timestamp>) {
        let Some(at) = changed_at else {
            self.untold += 1;
            return;
        };
        let hour = (at.as_second() - self.since.as_second()).div_euclid(3_600);
        let hour = hour.clamp(i64::from(-HOURS_BEFORE_MAX), i64::from(HOURS_AFTER_MAX));
        *self.hours.entry(i32::try_from(hour).expect("a clamped hour fits")).or_default() += 1;
    }

    /// Whether the store told the time of any difference.
    pub fn is_told(&self) -> bool {
        !self.hours.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_from_the_instant_and_bounded() {
        let since: Timestamp = "2026-11-22T03:10:00Z".parse().expect("an instant");
        let mut counts = HourCounts::since(since);
        for text in ["2026-11-22T03:10:00Z", "2026-11-22T04:09:59Z", "2026-11-22T04:10:00Z", "2026-11-22T03:09:59Z"] {
            counts.add(Some(text.parse().expect("an instant")));
        }
        counts.add(Some("2020-01-01T00:00:00Z".parse().expect("an instant")));
        counts.add(Some("2030-01-01T00:00:00Z".parse().expect("an instant")));
        counts.add(None);
        assert_eq!(counts.hours, BTreeMap::from([(-24, 1), (-1, 1), (0, 2), (1, 1), (336, 1)]));
        assert_eq!(counts.untold, 1);
    }
}
