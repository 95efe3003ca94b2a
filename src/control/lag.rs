//! Whether the member at home is close enough behind the writer for a switchover.

use crate::store::sql::rds::global::Member;
use crate::store::sql::rds::lag::{AuroraEngine, MemberLag};

/// The lag from which on a switchover waits, in milliseconds. A switchover stops writes and then waits until the member at
/// home has everything, so that the lag is time in which customers cannot write. Aurora's storage is usually well below a
/// second behind; one that is not does not keep up, and what it waits for may not be over soon.
pub(super) const LAG_MS_MAX: u64 = 1_000;

/// An age from which on a lag says nothing of now, in seconds: servers reckon it anew every few.
const AGE_SECONDS_MAX: u64 = 60;

/// The largest lag of the member at home, in milliseconds.
///
/// # Errors
///
/// Why it is not known: no lag is ever taken for a low one.
pub(super) fn lag_of(home: &Member, told: &[MemberLag]) -> Result<u64, String> {
    let region = home.region();
    let mut largest = None;
    for lag in told.iter().filter(|lag| lag.region == region) {
        let MemberLag { region: _, durability_ms, commit_ms, age_seconds } = lag;
        match age_seconds {
            None => return Err(format!("the database does not tell when the lag of {region} was reckoned")),
            Some(age) if *age > AGE_SECONDS_MAX => {
                return Err(format!("the database reckoned the lag of {region} {age} s ago, or not at all"));
            }
            Some(_) => {}
        }
        let (Some(durability), Some(commit)) = (durability_ms, commit_ms) else {
            return Err(format!("the database tells no lag of {region}"));
        };
        largest = largest.max(Some(*durability.max(commit)));
    }
    largest.ok_or_else(|| format!("the database tells of no member in {region}"))
}

/// A lag in words.
pub(super) fn in_seconds(milliseconds: u64) -> String {
    // Rounded up: 1.04 s is not 1.0 s.
    let tenths = milliseconds.div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// The command that shows the lags of all members.
pub(super) fn command(engine: Option<&str>) -> String {
    let (client, query) = match engine.and_then(AuroraEngine::of) {
        Some(AuroraEngine::Mysql) => (
            "mysql -h WRITER -u USER -p -e",
            "SELECT aws_region, durability_lag_in_milliseconds, rpo_lag_in_milliseconds FROM \
             information_schema.aurora_global_db_status",
        ),
        _ => (
            "psql -h WRITER -U USER -d DATABASE -c",
            "SELECT aws_region, durability_lag_in_msec, rpo_lag_in_msec FROM aurora_global_db_status()",
        ),
    };
    format!("{client} \"{query}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(region: &str, lags: (Option<u64>, Option<u64>), age_seconds: Option<u64>) -> MemberLag {
        MemberLag { region: region.into(), durability_ms: lags.0, commit_ms: lags.1, age_seconds }
    }

    #[test]
    fn the_largest_lag_of_the_member_counts_and_nothing_unknown_is_low() {
        let home = Member {
            arn: "arn:aws:rds:us-east-1:111122223333:cluster:books-home".into(),
            is_writer: Some(false),
            synchronization: None,
        };
        let writer = told("us-west-2", (None, None), Some(1_795_000_000));
        let of = |lag: MemberLag| lag_of(&home, &[writer.clone(), lag]);
        assert_eq!(of(told("us-east-1", (Some(120), Some(3200)), Some(1))), Ok(3200));
        assert_eq!(of(told("us-east-1", (Some(900), Some(0)), Some(60))), Ok(900));
        for (lag, why) in [
            (told("us-east-1", (None, Some(1)), Some(1)), "no lag of us-east-1"),
            (told("us-east-1", (Some(1), None), Some(1)), "no lag of us-east-1"),
            (told("us-east-1", (Some(1), Some(1)), Some(61)), "61 s ago"),
            (told("us-east-1", (Some(1), Some(1)), None), "does not tell when"),
            (told("eu-west-1", (Some(1), Some(1)), Some(1)), "of no member in us-east-1"),
        ] {
            assert!(of(lag).is_err_and(|told| told.contains(why)), "{why}");
        }
        assert!(lag_of(&home, &[]).is_err());
    }

    #[test]
    fn a_lag_is_rounded_up() {
        let words = [0, 1, 300, 999, 1_000, 1_001, 3_200, 75_000].map(in_seconds);
        assert_eq!(words, ["0.0 s", "0.1 s", "0.3 s", "1.0 s", "1.0 s", "1.1 s", "3.2 s", "75.0 s"]);
    }

    #[test]
    fn each_engine_is_asked_in_its_own_words() {
        assert!(command(Some("aurora-mysql")).contains("durability_lag_in_milliseconds"));
        assert!(command(Some("aurora-postgresql")).contains("aurora_global_db_status()"));
    }
}
