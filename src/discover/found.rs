//! What was found, without any service's own types.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cutover::Weighted;
use crate::model::{Side, Timestamp};

/// A resource's address: what an ARN says that a failback goes by.
///
/// Accounts are left out: a recovery point that is copied to another account keeps naming its source in the first one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// What it is.
    pub kind: ResourceKind,
    /// Its Region; empty for buckets, whose names are their own everywhere.
    pub region: String,
    /// Its name.
    pub name: String,
}

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A DynamoDB table.
    Table,
    /// An S3 bucket.
    Bucket,
    /// An RDS instance or cluster.
    Database,
}

impl ResourceKind {
    /// The word for one of them.
    pub fn word(self) -> &'static str {
        match self {
            ResourceKind::Table => "table",
            ResourceKind::Bucket => "bucket",
            ResourceKind::Database => "database",
        }
    }
}

impl Place {
    /// The address in an ARN; `None` where it names nothing that has a counterpart.
    pub fn of_arn(arn: &str) -> Option<Place> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, service, region, _, resource] = parts.as_slice() else { return None };
        let (kind, region, name) = match *service {
            "dynamodb" => (ResourceKind::Table, *region, resource.strip_prefix("table/")?),
            "s3" => (ResourceKind::Bucket, "", *resource),
            "rds" => {
                let name = resource.strip_prefix("db:").or_else(|| resource.strip_prefix("cluster:"))?;
                (ResourceKind::Database, *region, name)
            }
            _ => return None,
        };
        let name = name.split('/').next().filter(|name| !name.is_empty())?;
        Some(Place { kind, region: region.to_owned(), name: name.to_owned() })
    }
}

/// One resource of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its name: a table's, a bucket's, or a database's identifier.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What else is known of it.
    #[serde(flatten)]
    pub found: Found,
}

impl Resource {
    /// What it is.
    pub fn kind(&self) -> ResourceKind {
        match &self.found {
            Found::Table(_) => ResourceKind::Table,
            Found::Bucket(_) => ResourceKind::Bucket,
            Found::Database(_) => ResourceKind::Database,
        }
    }

    /// Its address in a Region.
    pub fn place(&self, region: &str) -> Place {
        let region = if self.kind() == ResourceKind::Bucket { "" } else { region };
        Place { kind: self.kind(), region: region.to_owned(), name: self.name.clone() }
    }
}

/// What is known of a resource, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Found {
    /// A DynamoDB table.
    Table(Table),
    /// An S3 bucket.
    Bucket(Bucket),
    /// An RDS instance or cluster.
    Database(Database),
}

/// What is known of a DynamoDB table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Table {
    /// Whether it can be restored to a point in time; `None` where that could not be asked.
    pub point_in_time_recovery: Option<bool>,
    /// Whether it has a stream.
    pub stream: bool,
    /// The other Regions of a global table.
    pub global_regions: Vec<String>,
}

/// What is known of an S3 bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Bucket {
    /// Whether it keeps versions; `None` where that could not be asked.
    pub versioned: Option<bool>,
    /// The buckets that its replication rules write to.
    pub replicates_to: Vec<String>,
}

/// What is known of a database server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    /// Whether it is an instance or a cluster.
    pub form: DatabaseForm,
    /// Which program it runs.
    pub engine: Engine,
    /// The database it was made with.
    pub database: Option<String>,
    /// Its master user.
    pub user: Option<String>,
    /// What it is still a replica of.
    pub replica_of: Option<Place>,
    /// The global cluster it belongs to.
    pub global_cluster: Option<String>,
}

/// How RDS runs a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseForm {
    /// By itself.
    Instance,
    /// As a cluster with a writer.
    Cluster,
}

/// Which program a database server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// PostgreSQL, Aurora's included.
    Postgres,
    /// MySQL or MariaDB, Aurora's included.
    Mysql,
    /// Another one, as RDS spells it.
    Other(String),
}

impl Engine {
    /// The program behind an engine's name.
    pub fn of(name: &str) -> Engine {
        match name {
            "postgres" | "aurora-postgresql" => Engine::Postgres,
            "mysql" | "mariadb" | "aurora-mysql" | "aurora" => Engine::Mysql,
            other => Engine::Other(other.to_owned()),
        }
    }
}

/// A restore that has ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restore {
    /// What was backed up.
    pub source: Place,
    /// What the restore made.
    pub created: Place,
    /// The instant the restored data represents.
    pub as_of: Option<Timestamp>,
    /// What tells of it, such as a restore job.
    pub told_by: String,
}

/// What one side holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideFound {
    /// The Region.
    pub region: String,
    /// The account, where it could be asked.
    pub account: Option<String>,
    /// The resources, by kind and name.
    pub resources: Vec<Resource>,
}

/// A weighted record.
pub type WeightedRecord = Weighted;

/// Something that could not be listed or asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The side, or none for what belongs to both.
    pub side: Option<Side>,
    /// What could not be listed, such as `S3 buckets`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The primary Region's.
    pub primary: SideFound,
    /// The dr Region's.
    pub dr: SideFound,
    /// Restores in either Region.
    pub restores: Vec<Restore>,
    /// Weighted records, in the order of the zones.
    pub records: Vec<WeightedRecord>,
    /// What could not be listed.
    pub gaps: Vec<Gap>,
}
