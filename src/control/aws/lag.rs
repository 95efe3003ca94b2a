//! The lag of a global cluster's member at home, by a query.

use super::chain;
use super::databases::DatabaseSides;
use crate::control::lag::lag_of;
use crate::model::Side;
use crate::store::sql::rds::global::{Behind, GlobalCluster, Member};
use crate::store::sql::rds::lag::{AuroraEngine, member_lags};

/// Asks for the largest lag of `home` in milliseconds, or tells why it is not known. Any database of the group can tell it;
/// dr's is asked where that is a member, for it usually is the writer.
pub(super) async fn home_lag(
    sides: DatabaseSides<'_>,
    away: Option<&Behind>,
    cluster: &GlobalCluster,
    home: &Member,
) -> Result<u64, String> {
    let engine = cluster.engine.as_deref().and_then(AuroraEngine::of).ok_or("RDS does not tell the engine")?;
    let is_member = away.is_some_and(|away| match away {
        Behind::Cluster(found) => cluster.members.iter().any(|one| Some(one.arn.as_str()) == found.db_cluster_arn()),
        Behind::Instance(_) | Behind::Elsewhere => false,
    });
    let (side, (reached, database)) = if is_member { (Side::Dr, sides.dr) } else { (Side::Primary, sides.primary) };
    let told = Box::pin(member_lags(engine, side, reached, database)).await.map_err(|error| chain(&error))?;
    lag_of(home, &told)
}
