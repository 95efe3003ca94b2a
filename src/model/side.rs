//! The two sides, the stores on them, and the resources behind those.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which copy of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The original Region's resource, where everything returns to.
    Primary,
    /// The recovery Region's resource; only ever read.
    Dr,
    /// The last state both had in common.
    Base,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Primary => "primary",
            Side::Dr => "dr",
            Side::Base => "base",
        })
    }
}

/// The name of a store in the profile, unique within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(pub String);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// The in-memory reference, for the drill and the tests.
    Memory,
    /// An Amazon DynamoDB table.
    DynamoDb,
    /// Objects of an Amazon S3 bucket under a prefix.
    S3,
    /// Tables of a PostgreSQL database, Amazon RDS and Aurora included.
    Postgres,
    /// Tables of a MySQL or MariaDB database, Amazon RDS and Aurora included.
    Mysql,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreKind::Memory => "memory",
            StoreKind::DynamoDb => "dynamodb",
            StoreKind::S3 => "s3",
            StoreKind::Postgres => "postgres",
            StoreKind::Mysql => "mysql",
        })
    }
}

/// Which very resource a store is: a plan and a certificate are bound to it.
///
/// A resource that was deleted and made again under the same name has another `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What it is.
    pub kind: StoreKind,
    /// Its name for people: an ARN, a bucket with its prefix, a database on a host.
    pub resource: String,
    /// What tells it from a namesake: TableId, bucket + Region + creation date, database system identifier + database.
    pub id: String,
    /// The Region, where it has one.
    pub region: Option<String>,
    /// The account, where it could be told.
    pub account: Option<String>,
}

impl Identity {
    /// Whether both are the same resource: writing one would be writing the other.
    pub fn is_same_resource(&self, other: &Identity) -> bool {
        self.kind == other.kind && self.id == other.id
    }
}
