//! The snapshots that RDS takes of an old primary after an unplanned failover, and copies of them that stay.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbClusterSnapshot;
use serde::Serialize;

use super::chain;
use super::databases::DatabaseSides;
use crate::control::global::{RegionSnapshots, SnapshotFacts, UNPLANNED};
use crate::model::Timestamp;
use crate::profile::SideProfile;
use crate::store::aws::{endpoint, store_error};
use crate::store::sql::rds::client;
use crate::store::sql::rds::global::{Behind, behind, global_clusters};

/// Pages of one listing that are read.
const PAGES_MAX: usize = 100;

/// A copy of a snapshot that would expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RescuedSnapshot {
    /// The store.
    pub store: String,
    /// The Region.
    pub region: String,
    /// The snapshot that RDS took.
    pub source: String,
    /// The manual copy.
    pub copy: String,
    /// How far it is.
    pub state: SnapshotState,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// RDS is making it.
    InProgress,
    /// It is there.
    Completed,
}

impl SnapshotState {
    /// Its word for people.
    pub fn word(self) -> &'static str {
        match self {
            SnapshotState::InProgress => "in progress",
            SnapshotState::Completed => "completed",
        }
    }
}

/// How a Region is reached: as the side that is there, or with the primary's credentials.
pub(super) fn elsewhere(sides: DatabaseSides<'_>, region: &str) -> Result<SideProfile, String> {
    let own = [sides.primary.0, sides.dr.0].into_iter().find(|side| side.region == region);
    if let Some(own) = own {
        return Ok(own.clone());
    }
    let is_loopback = |url: &String| url.contains("://127.0.0.1") || url.contains("://localhost");
    match endpoint(sides.primary.0, "rds") {
        Some(url) if !is_loopback(&url) => {
            Err(format!("the primary's own endpoint of RDS, {url}, does not lead to {region}"))
        }
        _ => Ok(SideProfile { region: region.to_owned(), ..sides.primary.0.clone() }),
    }
}

/// The snapshots of an unplanned failover in one Region, each with its manual copy.
pub(super) async fn unplanned(sides: DatabaseSides<'_>, region: &str) -> RegionSnapshots {
    let found = match elsewhere(sides, region) {
        Ok(reached) => listed(&client(&reached).await, region).await,
        Err(why) => Err(why),
    };
    RegionSnapshots { region: region.to_owned(), found }
}

async fn listed(rds: &Client, region: &str) -> Result<Vec<SnapshotFacts>, String> {
    let (mut all, mut marker) = (Vec::new(), None);
    for page in 0.. {
        if page == PAGES_MAX {
            return Err(format!("there are more than {PAGES_MAX} pages of snapshots in {region}"));
        }
        let reply = rds.describe_db_cluster_snapshots().set_marker(marker).send().await;
        let reply =
            reply.map_err(|error| chain(&store_error(format!("cannot list the snapshots of {region}"), error)))?;
        all.extend(reply.db_cluster_snapshots.unwrap_or_default());
        marker = reply.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    let is_unplanned =
        |one: &&DbClusterSnapshot| one.db_cluster_snapshot_identifier().is_some_and(|id| id.starts_with(UNPLANNED));
    Ok(all.iter().filter(is_unplanned).map(|one| facts_of(one, &all)).collect())
}

fn facts_of(one: &DbClusterSnapshot, all: &[DbClusterSnapshot]) -> SnapshotFacts {
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let mut facts = SnapshotFacts {
        id: text(one.db_cluster_snapshot_identifier()).unwrap_or_default(),
        taken: one.snapshot_create_time().and_then(|at| Timestamp::from_second(at.secs()).ok()),
        engine: text(one.engine()),
        version: text(one.engine_version()),
        retention_days: one.backup_retention_period(),
        copy: None,
    };
    let own = facts.copy_name();
    let arn = text(one.db_cluster_snapshot_arn());
    let is_copy = |other: &&DbClusterSnapshot| {
        let by_source = arn.is_some() && text(other.source_db_cluster_snapshot_arn()) == arn;
        by_source || other.db_cluster_snapshot_identifier() == Some(own.as_str())
    };
    let copies = all.iter().filter(is_copy).filter_map(|copy| {
        Some((text(copy.db_cluster_snapshot_identifier())?, text(copy.status()).unwrap_or_else(|| "unknown".into())))
    });
    // One that is there goes before one that is being made.
    facts.copy = copies.max_by_key(|(_, status)| status == "available");
    facts
}

/// Starts the copy of every snapshot of an unplanned failover that has none yet, in every Region of the global cluster
/// that the primary or dr is a member of; tells what could not be asked. Asking again starts nothing anew, for the copy's
/// name follows from the snapshot's.
pub async fn rescue_snapshots(sides: DatabaseSides<'_>) -> (Vec<RescuedSnapshot>, Vec<String>) {
    let (mut rescued, mut problems) = (Vec::new(), Vec::new());
    let mut regions = Vec::new();
    for (reached, database) in [sides.primary, sides.dr] {
        match regions_of(reached, database).await {
            Ok(found) => regions.extend(found),
            Err(why) => problems.push(format!("{} in {}: {why}", sides.store, reached.region)),
        }
    }
    regions.sort();
    regions.dedup();
    for region in regions {
        match elsewhere(sides, &region) {
            Ok(reached) => {
                let rds = client(&reached).await;
                match listed(&rds, &region).await {
                    Ok(found) => {
                        for snapshot in found {
                            match copied(&rds, sides.store, &region, &snapshot).await {
                                Ok(copy) => rescued.push(copy),
                                Err(why) => problems.push(format!("{}: {why}", sides.store)),
                            }
                        }
                    }
                    Err(why) => problems.push(format!("{}: {why}", sides.store)),
                }
            }
            Err(why) => problems.push(format!("{}: {why}", sides.store)),
        }
    }
    (rescued, problems)
}

/// The Regions of the global cluster behind a side; none where there is no such cluster.
async fn regions_of(reached: &SideProfile, database: &crate::profile::DatabaseProfile) -> Result<Vec<String>, String> {
    let cluster = match behind(reached, database).await.map_err(|error| chain(&error))? {
        Behind::Cluster(cluster) if cluster.engine().is_some_and(|engine| engine.starts_with("aurora")) => cluster,
        _ => return Ok(Vec::new()),
    };
    let globals = global_clusters(&client(reached).await).await.map_err(|error| chain(&error))?;
    let arn = cluster.db_cluster_arn().unwrap_or_default();
    let global = globals.iter().find(|global| global.members.iter().any(|member| member.arn == arn));
    let regions = global.map(|global| global.members.iter().map(|member| member.region().to_owned()).collect());
    Ok(regions.unwrap_or_default())
}

async fn copied(rds: &Client, store: &str, region: &str, snapshot: &SnapshotFacts) -> Result<RescuedSnapshot, String> {
    let rescued = |copy: String, state| RescuedSnapshot {
        store: store.to_owned(),
        region: region.to_owned(),
        source: snapshot.id.clone(),
        copy,
        state,
    };
    match &snapshot.copy {
        Some((copy, status)) if status == "available" => return Ok(rescued(copy.clone(), SnapshotState::Completed)),
        Some((copy, status)) if ["creating", "copying", "pending"].contains(&status.as_str()) => {
            return Ok(rescued(copy.clone(), SnapshotState::InProgress));
        }
        Some((copy, status)) => {
            return Err(format!("the copy {copy} in {region} is {status}: delete it and run the same command again"));
        }
        None => {}
    }
    let target = snapshot.copy_name();
    let request = rds.copy_db_cluster_snapshot().source_db_cluster_snapshot_identifier(&snapshot.id);
    match request.target_db_cluster_snapshot_identifier(&target).send().await {
        Ok(_) => Ok(rescued(target, SnapshotState::InProgress)),
        Err(error) => {
            let is_there =
                error.as_service_error().is_some_and(|error| error.is_db_cluster_snapshot_already_exists_fault());
            match is_there {
                true => Ok(rescued(target, SnapshotState::InProgress)),
                false => Err(chain(&store_error(format!("cannot copy {} in {region}", snapshot.id), error))),
            }
        }
    }
}
