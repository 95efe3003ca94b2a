//! How far the members of an Aurora global cluster are behind its writer, which their databases tell and RDS does not.

use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::{Result, mysql, postgres};

/// How far one member is behind, as any database of the group tells it. What is not told, or negative as the writer's own, is
/// `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberLag {
    /// Its Region.
    pub(crate) region: String,
    /// Milliseconds by which its storage is behind.
    pub(crate) durability_ms: Option<u64>,
    /// Milliseconds by which the last commit it has is behind.
    pub(crate) commit_ms: Option<u64>,
    /// How long ago the server reckoned this, in seconds; a clock that is off shows as an age as well.
    pub(crate) age_seconds: Option<u64>,
}

impl MemberLag {
    /// Reads a row: the Region, both lags and the age, each as text.
    pub(in crate::store) fn of([region, durability, commit, age]: [Option<String>; 4]) -> MemberLag {
        let number = |text: &Option<String>| text.as_deref()?.trim().parse::<f64>().ok().filter(|one| one.is_finite());
        let lag = |text| number(text).filter(|one| *one >= 0.0).map(|one| one.ceil() as u64);
        MemberLag {
            durability_ms: lag(&durability),
            commit_ms: lag(&commit),
            age_seconds: number(&age).map(|one| one.abs().ceil() as u64),
            region: region.unwrap_or_default(),
        }
    }
}

/// An engine that has global clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuroraEngine {
    Postgres,
    Mysql,
}

impl AuroraEngine {
    /// By RDS's name of it.
    pub(crate) fn of(name: &str) -> Option<AuroraEngine> {
        match name {
            "aurora-postgresql" => Some(AuroraEngine::Postgres),
            "aurora-mysql" | "aurora" => Some(AuroraEngine::Mysql),
            _ => None,
        }
    }
}

/// Asks one database of a global cluster how far every member is behind.
///
/// # Errors
///
/// Those of resolving and connecting, and of a server that does not tell, or not this user.
pub(crate) async fn member_lags(
    engine: AuroraEngine,
    side: Side,
    reached: &SideProfile,
    database: &DatabaseProfile,
) -> Result<Vec<MemberLag>> {
    match engine {
        AuroraEngine::Postgres => Box::pin(postgres::member_lags(side, reached, database)).await,
        AuroraEngine::Mysql => Box::pin(mysql::member_lags(side, reached, database)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_what_is_no_lag_is_none() {
        let row = |durability: Option<&str>, commit: Option<&str>, age: Option<&str>| {
            let told = MemberLag::of([Some("us-east-1"), durability, commit, age].map(|one| one.map(str::to_owned)));
            assert_eq!(told.region, "us-east-1");
            (told.durability_ms, told.commit_ms, told.age_seconds)
        };
        // As the manual's examples show them: of PostgreSQL and of MySQL, whose lags are floats.
        assert_eq!(row(Some("900"), Some("1090"), Some("0.324512")), (Some(900), Some(1090), Some(1)));
        assert_eq!(row(Some("428"), Some("0"), Some("2")), (Some(428), Some(0), Some(2)));
        assert_eq!(row(Some("3.2e3"), Some("0.4"), Some("-7200")), (Some(3200), Some(1), Some(7200)));
        // The writer's own row in PostgreSQL.
        assert_eq!(row(Some("-1"), Some("-1"), None), (None, None, None));
        for odd in [None, Some(""), Some("NaN"), Some("inf"), Some("soon")] {
            assert_eq!(row(odd, odd, odd), (None, None, None), "{odd:?}");
        }
    }
}
