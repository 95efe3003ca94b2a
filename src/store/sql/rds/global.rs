//! Aurora global clusters: what RDS tells of them and of their members, and why a replay may not write a member.

use async_trait::async_trait;
use aws_sdk_rds::Client as Rds;
use aws_sdk_rds::types::{self, DbCluster, DbInstance};

use super::client;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::wrap::Gate;
use crate::store::{ErrorKind, Result, StoreError, aws};

/// Pages of one listing that are read.
const PAGES_MAX: usize = 1_000;

/// How the names of RDS's own hosts end.
const RDS_HOSTS: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

/// An Aurora global cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GlobalCluster {
    pub(crate) id: String,
    pub(crate) status: Option<String>,
    pub(crate) engine: Option<String>,
    pub(crate) version: Option<String>,
    /// A switchover or failover that is under way, in words.
    pub(crate) under_way: Option<String>,
    pub(crate) members: Vec<Member>,
}

/// A cluster within a global cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) arn: String,
    /// Whether it is the one that takes writes; `None` where RDS does not tell.
    pub(crate) is_writer: Option<bool>,
    /// How its replication stands, in RDS's word.
    pub(crate) synchronization: Option<String>,
}

impl Member {
    /// The Region, by the ARN.
    pub(crate) fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }

    /// The cluster's identifier, by the ARN.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or_default()
    }

    /// What it is in its group, for people.
    pub(crate) fn role(&self) -> &'static str {
        match self.is_writer {
            Some(true) => "the writer",
            Some(false) => "a reader",
            None => "a member of an unknown role",
        }
    }
}

impl GlobalCluster {
    fn of(told: &types::GlobalCluster) -> GlobalCluster {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mut members: Vec<Member> = Vec::new();
        for told in told.global_cluster_members() {
            let synchronization = told.synchronization_status().map(|status| status.as_str().to_owned());
            let arn = text(told.db_cluster_arn()).unwrap_or_else(|| "a cluster without an ARN".into());
            members.push(Member { arn, is_writer: told.is_writer(), synchronization });
        }
        // A reader may be named by its writer alone.
        for reader in told.global_cluster_members().iter().flat_map(types::GlobalClusterMember::readers) {
            if !members.iter().any(|member| member.arn == *reader) {
                members.push(Member { arn: reader.clone(), is_writer: Some(false), synchronization: None });
            }
        }
        let under_way = told.failover_state().filter(|state| state.status().is_some()).map(|state| {
            let cluster = |arn: Option<&str>| arn.unwrap_or("a cluster that RDS does not name").to_owned();
            format!(
                "{} from {} to {}",
                state.status().map_or("unknown", |status| status.as_str()),
                cluster(state.from_db_cluster_arn()),
                cluster(state.to_db_cluster_arn())
            )
        });
        GlobalCluster {
            id: text(told.global_cluster_identifier()).unwrap_or_else(|| "without a name".into()),
            status: text(told.status()),
            engine: text(told.engine()),
            version: text(told.engine_version()),
            under_way,
            members,
        }
    }

    /// The member of a Region, where there is one.
    pub(crate) fn member_in(&self, region: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.region() == region)
    }

    /// The member that takes writes, where RDS tells of exactly one.
    pub(crate) fn writer(&self) -> Option<&Member> {
        let mut writers = self.members.iter().filter(|member| member.is_writer == Some(true));
        writers.next().filter(|_| writers.next().is_none())
    }

    /// Why a replay may not write this member: all but a writer without any other member, at rest.
    pub(crate) fn obstacle(&self, arn: &str) -> Option<String> {
        let Some(own) = self.members.iter().find(|member| member.arn == arn) else {
            return Some(format!("RDS counts it to the Aurora global cluster {} and does not list it there", self.id));
        };
        let others: Vec<String> =
            self.members.iter().filter(|member| member.arn != arn).map(|member| member.arn.clone()).collect();
        let is_at_rest = self.status.as_deref() == Some("available") && self.under_way.is_none();
        if others.is_empty() && own.is_writer == Some(true) && is_at_rest {
            return None;
        }
        let with = if others.is_empty() { "no other member".to_owned() } else { others.join(" and ") };
        let status = self.status.as_deref().unwrap_or("of unknown status");
        let moving = self.under_way.as_ref().map_or(String::new(), |what| format!(" ({what})"));
        Some(format!(
            "{} is {} of the Aurora global cluster {}, {status}{moving}, with {with}: such clusters go home by a switchover, \
             not by rows; failback check leads through it",
            own.name(),
            own.role(),
            self.id
        ))
    }
}

/// Every global cluster with a member in the client's Region.
pub(crate) async fn global_clusters(rds: &Rds) -> Result<Vec<GlobalCluster>> {
    let (mut found, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = rds.describe_global_clusters().set_marker(marker).send().await;
        let page = page.map_err(|error| aws::store_error("cannot list Aurora global clusters", error))?;
        found.extend(page.global_clusters().iter().map(GlobalCluster::of));
        marker = page.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(found);
        }
    }
    Err(StoreError::new(ErrorKind::Unfit, format!("there are more than {PAGES_MAX} pages of Aurora global clusters")))
}

/// The global cluster of this name.
pub(crate) async fn global_cluster(rds: &Rds, name: &str) -> Result<GlobalCluster> {
    let reply = rds.describe_global_clusters().global_cluster_identifier(name).send().await;
    let reply = reply.map_err(|error| aws::store_error(format!("cannot find the global cluster {name}"), error))?;
    let found = reply.global_clusters().iter().map(GlobalCluster::of).find(|found| found.id == name);
    found.ok_or_else(|| StoreError::new(ErrorKind::Missing, format!("no Aurora global cluster {name}")))
}

/// What stands behind a side of a profile.
pub(crate) enum Behind {
    /// A cluster.
    Cluster(Box<DbCluster>),
    /// An instance by itself.
    Instance(Box<DbInstance>),
    /// A server that is not RDS's, as far as its address says.
    Elsewhere,
}

/// Asks RDS what a side's profile names: by identifier, or by a host of RDS's own.
///
/// # Errors
///
/// `Missing` where there is no such thing; `Unfit` for a host of RDS's that no instance and no cluster has.
pub(crate) async fn behind(reached: &SideProfile, database: &DatabaseProfile) -> Result<Behind> {
    let host = match database.url.as_deref().map(rds_host) {
        Some(None) => return Ok(Behind::Elsewhere),
        host => host.flatten(),
    };
    let rds = client(reached).await;
    if let Some(host) = host {
        return behind_host(&rds, &host).await;
    }
    if let Some(name) = &database.cluster {
        return Ok(Behind::Cluster(Box::new(super::described_cluster(&rds, name).await?)));
    }
    if let Some(name) = &database.global_cluster {
        let global = global_cluster(&rds, name).await?;
        let member = member_here(&global, reached)?;
        return Ok(Behind::Cluster(Box::new(super::described_cluster(&rds, member.name()).await?)));
    }
    let Some(name) = &database.instance else {
        let what = "a database needs one of url, instance, cluster and global_cluster";
        return Err(StoreError::new(ErrorKind::Unfit, what));
    };
    of_instance(&rds, super::described_instance(&rds, name).await?).await
}

/// An instance, or the cluster it belongs to.
async fn of_instance(rds: &Rds, instance: DbInstance) -> Result<Behind> {
    match instance.db_cluster_identifier().filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => Ok(Behind::Cluster(Box::new(super::described_cluster(rds, cluster).await?))),
        None => Ok(Behind::Instance(Box::new(instance))),
    }
}

/// The member of the side's Region.
pub(super) fn member_here<'g>(global: &'g GlobalCluster, reached: &SideProfile) -> Result<&'g Member> {
    global.member_in(&reached.region).ok_or_else(|| {
        let places: Vec<String> =
            global.members.iter().map(|member| format!("{} in {}", member.name(), member.region())).collect();
        let what = format!(
            "the Aurora global cluster {} has no member in {}: its members are {}",
            global.id,
            reached.region,
            if places.is_empty() { "not told".to_owned() } else { places.join(" and ") }
        );
        StoreError::new(ErrorKind::Missing, what)
    })
}

/// The host of a URL where it is one of RDS's own.
fn rds_host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?.to_lowercase();
    RDS_HOSTS.iter().any(|end| host.ends_with(end)).then_some(host)
}

async fn behind_host(rds: &Rds, host: &str) -> Result<Behind> {
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let page = rds.describe_db_clusters().set_marker(marker).send().await;
        let mut page = page.map_err(|error| aws::store_error("cannot list RDS clusters", error))?;
        let mut clusters = page.db_clusters.take().unwrap_or_default().into_iter();
        if let Some(found) = clusters.find(|cluster| has_host(cluster, host)) {
            return Ok(Behind::Cluster(Box::new(found)));
        }
        marker = page.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let page = rds.describe_db_instances().set_marker(marker).send().await;
        let mut page = page.map_err(|error| aws::store_error("cannot list RDS instances", error))?;
        let is_it = |one: &DbInstance| {
            let address = one.endpoint().and_then(|endpoint| endpoint.address());
            address.is_some_and(|address| address.eq_ignore_ascii_case(host))
        };
        if let Some(found) = page.db_instances.take().unwrap_or_default().into_iter().find(is_it) {
            return of_instance(rds, found).await;
        }
        marker = page.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    let what = format!(
        "RDS knows no instance and no cluster at {host} in this Region: name it by `instance`, `cluster` or `global_cluster`"
    );
    Err(StoreError::new(ErrorKind::Unfit, what))
}

fn has_host(cluster: &DbCluster, host: &str) -> bool {
    let all = [cluster.endpoint(), cluster.reader_endpoint()].into_iter().flatten();
    all.chain(cluster.custom_endpoints().iter().map(String::as_str)).any(|one| one.eq_ignore_ascii_case(host))
}

/// Whether a database may be written by a replay: not while its service replicates it to other Regions.
pub(crate) struct GlobalGate {
    reached: SideProfile,
    database: DatabaseProfile,
}

impl GlobalGate {
    /// A gate before a database of RDS's; `None` for another server.
    pub(crate) fn of(reached: &SideProfile, database: &DatabaseProfile) -> Option<GlobalGate> {
        let is_elsewhere = database.url.as_ref().is_some_and(|url| rds_host(url).is_none());
        (!is_elsewhere).then(|| GlobalGate { reached: reached.clone(), database: database.clone() })
    }
}

#[async_trait]
impl Gate for GlobalGate {
    async fn closed(&self) -> Result<Option<String>> {
        let Behind::Cluster(cluster) = behind(&self.reached, &self.database).await? else { return Ok(None) };
        // Only Aurora has global clusters; a Multi-AZ cluster of another engine has none to be a member of.
        if !cluster.engine().is_some_and(|engine| engine.starts_with("aurora")) {
            return Ok(None);
        }
        let globals = global_clusters(&client(&self.reached).await).await?;
        Ok(closed_by(&cluster, &globals))
    }
}

fn closed_by(cluster: &DbCluster, globals: &[GlobalCluster]) -> Option<String> {
    let Some(arn) = cluster.db_cluster_arn() else { return Some("RDS does not tell the cluster's ARN".into()) };
    let told = cluster.global_cluster_identifier().filter(|name| !name.is_empty());
    let is_of = |global: &&GlobalCluster| {
        global.members.iter().any(|member| member.arn == arn) || told.is_some_and(|name| name == global.id)
    };
    match (globals.iter().find(is_of), told) {
        (Some(global), _) => global.obstacle(arn),
        (None, Some(name)) => Some(format!("RDS counts it to the Aurora global cluster {name} and does not list that")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{FailoverState, FailoverStatus, GlobalClusterMember};

    use super::*;

    const HOME: &str = "arn:aws:rds:us-east-1:111122223333:cluster:ledger";
    const AWAY: &str = "arn:aws:rds:us-west-2:111122223333:cluster:ledger-dr";

    fn member(arn: &str, is_writer: bool) -> GlobalClusterMember {
        GlobalClusterMember::builder().db_cluster_arn(arn).is_writer(is_writer).build()
    }

    fn global(status: &str, members: Vec<GlobalClusterMember>) -> types::builders::GlobalClusterBuilder {
        let named = types::GlobalCluster::builder().global_cluster_identifier("books").status(status);
        named.set_global_cluster_members(Some(members))
    }

    fn named() -> types::builders::DbClusterBuilder {
        DbCluster::builder().db_cluster_arn(HOME).engine("aurora-postgresql")
    }

    fn cluster() -> DbCluster {
        named().build()
    }

    #[test]
    fn every_member_but_a_lone_writer_at_rest_is_an_obstacle() {
        let moving =
            FailoverState::builder().status(FailoverStatus::from("switching-over")).from_db_cluster_arn(HOME).build();
        let both = || vec![member(AWAY, true), member(HOME, false)];
        let rows = [
            (global("available", vec![member(HOME, true)]).build(), None),
            (
                global("available", both()).build(),
                Some("ledger is a reader of the Aurora global cluster books, available"),
            ),
            (global("available", vec![member(HOME, true), member(AWAY, false)]).build(), Some("ledger is the writer")),
            (global("modifying", vec![member(HOME, true)]).build(), Some("modifying, with no other member")),
            (global("of-a-later-year", vec![member(HOME, true)]).build(), Some("of-a-later-year")),
            (global("available", vec![member(HOME, false)]).build(), Some("is a reader")),
            (global("available", vec![member(HOME, true)]).failover_state(moving).build(), Some("switching-over from")),
        ];
        for (told, expected) in rows {
            let closed = closed_by(&cluster(), &[GlobalCluster::of(&told)]);
            match (&closed, expected) {
                (None, None) => {}
                (Some(why), Some(words)) => assert!(why.contains(words), "{why}"),
                _ => panic!("{told:?}: {closed:?}"),
            }
        }
        let untold = GlobalClusterMember::builder().db_cluster_arn(HOME).build();
        let closed = closed_by(&cluster(), &[GlobalCluster::of(&global("available", vec![untold]).build())]);
        assert!(closed.is_some_and(|why| why.contains("unknown role")));
    }

    #[test]
    fn a_cluster_that_was_taken_out_may_be_written_and_one_that_is_half_out_may_not() {
        let other = GlobalCluster::of(&global("available", vec![member(AWAY, true)]).build());
        assert_eq!(closed_by(&cluster(), std::slice::from_ref(&other)), None);
        let counted = named().global_cluster_identifier("books").build();
        assert!(closed_by(&counted, &[other]).is_some_and(|why| why.contains("does not list it there")));
        assert!(closed_by(&counted, &[]).is_some_and(|why| why.contains("does not list that")));
        let nameless = named().set_db_cluster_arn(None).build();
        assert!(closed_by(&nameless, &[]).is_some());
    }

    #[test]
    fn a_reader_that_only_its_writer_names_is_a_member() {
        let writer = GlobalClusterMember::builder().db_cluster_arn(AWAY).readers(HOME).is_writer(true).build();
        let told = GlobalCluster::of(&global("available", vec![writer]).build());
        assert_eq!(told.writer().map(Member::region), Some("us-west-2"));
        let home = told.member_in("us-east-1").expect("a member");
        assert_eq!((home.name(), home.is_writer), ("ledger", Some(false)));
    }

    #[test]
    fn hosts_of_rds_are_told_from_others() {
        for (url, expected) in [
            ("postgres://me@ledger.cluster-abc.us-east-1.rds.amazonaws.com:5432/x", true),
            ("postgres://me@LEDGER.abc.cn-north-1.RDS.amazonaws.com.cn/x?a=b", true),
            ("mysql://me@127.0.0.1:3306/x", false),
            ("mysql://me@rds.amazonaws.com.example/x", false),
        ] {
            assert_eq!(rds_host(url).is_some(), expected, "{url}");
        }
    }
}
