//! How far the members of an Aurora global cluster are behind.

use super::ask;
use super::connect::Target;
use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::Result;
use crate::store::sql::pool::Opens;
use crate::store::sql::rds::lag::MemberLag;

/// Aurora's own table, of any instance; every number as text.
const LAGS: &str = "SELECT AWS_REGION, CONCAT(DURABILITY_LAG_IN_MILLISECONDS), CONCAT(RPO_LAG_IN_MILLISECONDS),
 CONCAT(TIMESTAMPDIFF(SECOND, LAST_LAG_CALCULATION_TIMESTAMP, UTC_TIMESTAMP()))
 FROM information_schema.aurora_global_db_status";

/// Asks one database, by a connection of its own.
pub(in crate::store) async fn member_lags(
    side: Side,
    reached: &SideProfile,
    database: &DatabaseProfile,
) -> Result<Vec<MemberLag>> {
    let mut conn = Target::resolve(reached, database, side).await?.open().await?;
    let mut lags = Vec::new();
    for mut row in ask::rows(&mut conn, "cannot ask for the lag of the global cluster", LAGS, ()).await? {
        lags.push(MemberLag::of([row.maybe_text(0)?, row.maybe_text(1)?, row.maybe_text(2)?, row.maybe_text(3)?]));
    }
    Ok(lags)
}
