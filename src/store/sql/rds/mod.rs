//! Where RDS says that an instance or a cluster is, the tokens it lets a user in by, and the global clusters that a replay
//! does not write, with how far their members are behind.

pub(crate) mod global;
pub(crate) mod lag;
mod token;

use aws_sdk_rds::Client as Rds;
use aws_sdk_rds::types::{DbCluster, DbInstance};

pub(in crate::store) use self::token::Tokens;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::{ErrorKind, Result, StoreError, aws};

/// A kind of engine, as RDS and people call it.
pub(in crate::store) struct Engines {
    /// The names that RDS gives it.
    pub(in crate::store) names: &'static [&'static str],
    /// Its name for people.
    pub(in crate::store) product: &'static str,
}

/// A server as RDS knows it.
pub(in crate::store) struct Endpoint {
    pub(in crate::store) host: String,
    pub(in crate::store) port: Option<u16>,
    /// The master user.
    pub(in crate::store) user: Option<String>,
    pub(in crate::store) database: Option<String>,
    /// The resource id, which no other instance or cluster ever has.
    pub(in crate::store) id: Option<String>,
}

impl DatabaseProfile {
    /// The same server and user with another database, or another server altogether when `name_or_url` is a URL.
    pub fn in_database(&self, name_or_url: &str) -> DatabaseProfile {
        // A slot is of one database and one server, and a base is never followed.
        let mut other = DatabaseProfile { slot: None, publication: None, binlog: false, ..self.clone() };
        if name_or_url.contains("://") {
            other.url = Some(name_or_url.to_owned());
            (other.instance, other.cluster, other.global_cluster, other.database) = (None, None, None, None);
        } else {
            other.database = Some(name_or_url.to_owned());
        }
        other
    }
}

/// Asks RDS for the instance, the cluster's writer or the global cluster's member that a profile names; `None` where it names
/// none of them.
pub(in crate::store) async fn endpoint(
    reached: &SideProfile,
    database: &DatabaseProfile,
    engines: &Engines,
) -> Result<Option<Endpoint>> {
    let DatabaseProfile { url, instance, cluster, global_cluster, .. } = database;
    let found = match (url, instance, cluster, global_cluster) {
        (Some(_), None, None, None) => return Ok(None),
        (None, Some(name), None, None) => Box::pin(instance_endpoint(reached, name, engines)).await,
        (None, None, Some(name), None) => {
            let found = Box::pin(async { described_cluster(&client(reached).await, name).await }).await?;
            cluster_server(&found, name, found.endpoint()).endpoint(engines)
        }
        (None, None, None, Some(name)) => Box::pin(member_endpoint(reached, name, engines)).await,
        _ => {
            let what = "a database needs one of url, instance, cluster and global_cluster";
            return Err(StoreError::new(ErrorKind::Unfit, what));
        }
    };
    found.map(Some)
}

/// A client of RDS for one side.
pub(crate) async fn client(reached: &SideProfile) -> Rds {
    let config = aws::sdk_config(reached).await;
    let mut builder = aws_sdk_rds::config::Builder::from(&config);
    builder.set_endpoint_url(aws::endpoint(reached, "rds"));
    Rds::from_conf(builder.build())
}

/// The instance of this name.
pub(crate) async fn described_instance(rds: &Rds, name: &str) -> Result<DbInstance> {
    let reply = rds.describe_db_instances().db_instance_identifier(name).send().await;
    let reply = reply.map_err(|error| aws::store_error(format!("cannot find the RDS instance {name}"), error))?;
    let found = reply.db_instances.unwrap_or_default().into_iter().next();
    found.ok_or_else(|| StoreError::new(ErrorKind::Missing, format!("no RDS instance {name}")))
}

/// The cluster of this name.
pub(crate) async fn described_cluster(rds: &Rds, name: &str) -> Result<DbCluster> {
    let reply = rds.describe_db_clusters().db_cluster_identifier(name).send().await;
    let reply = reply.map_err(|error| aws::store_error(format!("cannot find the RDS cluster {name}"), error))?;
    let found = reply.db_clusters.unwrap_or_default().into_iter().next();
    found.ok_or_else(|| StoreError::new(ErrorKind::Missing, format!("no RDS cluster {name}")))
}

async fn instance_endpoint(reached: &SideProfile, name: &str, engines: &Engines) -> Result<Endpoint> {
    let found = described_instance(&client(reached).await, name).await?;
    let endpoint = found.endpoint();
    let server = RdsServer {
        name,
        engine: found.engine(),
        status: found.db_instance_status(),
        host: endpoint.and_then(|endpoint| endpoint.address()),
        port: endpoint.and_then(|endpoint| endpoint.port()),
        user: found.master_username(),
        database: found.db_name(),
        id: found.dbi_resource_id(),
    };
    server.endpoint(engines)
}

/// Where the member of the side's Region is: its writer, or its readers where another Region has the writer.
async fn member_endpoint(reached: &SideProfile, name: &str, engines: &Engines) -> Result<Endpoint> {
    let rds = client(reached).await;
    let global = global::global_cluster(&rds, name).await?;
    let member = global::member_here(&global, reached)?;
    let found = described_cluster(&rds, member.name()).await?;
    let host = if member.is_writer == Some(true) { found.endpoint() } else { found.reader_endpoint() };
    cluster_server(&found, member.name(), host).endpoint(engines)
}

fn cluster_server<'a>(found: &'a DbCluster, name: &'a str, host: Option<&'a str>) -> RdsServer<'a> {
    RdsServer {
        name,
        engine: found.engine(),
        status: found.status(),
        host,
        port: found.port(),
        user: found.master_username(),
        database: found.database_name(),
        id: found.db_cluster_resource_id(),
    }
}

struct RdsServer<'a> {
    name: &'a str,
    engine: Option<&'a str>,
    status: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<i32>,
    user: Option<&'a str>,
    database: Option<&'a str>,
    id: Option<&'a str>,
}

impl RdsServer<'_> {
    fn endpoint(&self, engines: &Engines) -> Result<Endpoint> {
        let unfit = |what: String| StoreError::new(ErrorKind::Unfit, format!("{} {what}", self.name));
        let engine = self.engine.unwrap_or("of no known engine");
        if !engines.names.contains(&engine) {
            return Err(unfit(format!("is {engine}, not {}", engines.product)));
        }
        let status = self.status.unwrap_or("unknown");
        if status != "available" {
            return Err(unfit(format!("is {status}, not available")));
        }
        Ok(Endpoint {
            host: self.host.ok_or_else(|| unfit("has no endpoint yet".into()))?.to_owned(),
            port: self.port.and_then(|port| u16::try_from(port).ok()),
            user: self.user.map(str::to_owned),
            database: self.database.map(str::to_owned),
            id: self.id.map(str::to_owned),
        })
    }
}
