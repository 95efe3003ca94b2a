//! The `[[store]]` table: which fields a kind of store has.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::{
    BaseProfile, BucketProfile, DatabaseProfile, LimitsProfile, PolicyProfile, Resources, StoreProfile, TableProfile,
};

impl<'de> Deserialize<'de> for StoreProfile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Tagged::deserialize(deserializer)? {
            Tagged::Memory(common) => {
                let Common { name, base, policy, limits, primary, dr } = common;
                let resources = Resources::Memory { primary: primary.name, dr: dr.name };
                StoreProfile { name, resources, base: base_of(base)?, policy, limits }
            }
            Tagged::DynamoDb(table) => {
                let DynamoDb { name, primary, dr, base, policy, limits, version_attribute, newest_attribute } = table;
                let resources = Resources::DynamoDb { primary, dr, version_attribute, newest_attribute };
                StoreProfile { name, resources, base: base_of(base)?, policy, limits }
            }
            Tagged::S3(common) => {
                let Common { name, base, policy, limits, primary, dr } = common;
                StoreProfile { name, resources: Resources::S3 { primary, dr }, base: base_of(base)?, policy, limits }
            }
            Tagged::Postgres(database) => {
                let Postgres { name, primary, dr, base, policy, limits, tables, newest_column } = database;
                let resources = Resources::Postgres { primary, dr, tables, newest_column };
                StoreProfile { name, resources, base: base_of(base)?, policy, limits }
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    Memory(Common<NameProfile>),
    DynamoDb(DynamoDb),
    S3(Common<BucketProfile>),
    Postgres(Postgres),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameProfile {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common<R> {
    name: String,
    primary: R,
    dr: R,
    base: Option<RawBase>,
    #[serde(default)]
    policy: PolicyProfile,
    #[serde(default)]
    limits: LimitsProfile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DynamoDb {
    name: String,
    primary: TableProfile,
    dr: TableProfile,
    base: Option<RawBase>,
    #[serde(default)]
    policy: PolicyProfile,
    #[serde(default)]
    limits: LimitsProfile,
    version_attribute: Option<String>,
    newest_attribute: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Postgres {
    name: String,
    primary: DatabaseProfile,
    dr: DatabaseProfile,
    base: Option<RawBase>,
    #[serde(default)]
    policy: PolicyProfile,
    #[serde(default)]
    limits: LimitsProfile,
    tables: Vec<String>,
    newest_column: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawBase {
    Word(String),
    Checkpoint(CheckpointBase),
    Table(TableBase),
    Database(DatabaseBase),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointBase {
    checkpoint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableBase {
    table: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseBase {
    database: String,
}

fn base_of<E: de::Error>(base: Option<RawBase>) -> Result<BaseProfile, E> {
    Ok(match base {
        None => BaseProfile::None,
        Some(RawBase::Checkpoint(base)) => BaseProfile::Checkpoint(base.checkpoint),
        Some(RawBase::Table(base)) => BaseProfile::Table(base.table),
        Some(RawBase::Database(base)) => BaseProfile::Database(base.database),
        Some(RawBase::Word(word)) => match word.as_str() {
            "none" => BaseProfile::None,
            "versions" => BaseProfile::Versions,
            other => return Err(E::custom(format!("unknown base `{other}`"))),
        },
    })
}
