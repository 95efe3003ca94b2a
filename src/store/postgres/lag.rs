//! How far the members of an Aurora global cluster are behind.

use super::connect::Target;
use super::fault;
use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::Result;
use crate::store::sql::pool::Opens;
use crate::store::sql::rds::lag::MemberLag;

/// Aurora's own function, of any instance; the search path is empty, so that no user's function can stand in for it.
const LAGS: &str = "SELECT aws_region::text, durability_lag_in_msec::text, rpo_lag_in_msec::text,
 extract(epoch FROM clock_timestamp() - last_lag_calculation_time)::text FROM aurora_global_db_status()";

/// Asks one database, by a connection of its own.
pub(in crate::store) async fn member_lags(
    side: Side,
    reached: &SideProfile,
    database: &DatabaseProfile,
) -> Result<Vec<MemberLag>> {
    let client = Target::resolve(reached, database, side).await?.open().await?;
    let rows = client.query_typed(LAGS, &[]).await;
    let rows = rows.map_err(|error| fault::store_error("cannot ask for the lag of the global cluster", &error))?;
    Ok(rows.iter().map(|row| MemberLag::of([0, 1, 2, 3].map(|at| row.get(at)))).collect())
}
