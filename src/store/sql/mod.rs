//! What all stores of SQL rows share: keys and items, readings, the course of guarded writes, names and ranks of tables, connections,
//! whom they trust, and where RDS says they lead.
//!
//! Statements, catalogs, types and errors differ too much between databases and stay with each of them.

pub(super) mod apply;
pub(super) mod fetch;
pub(super) mod group;
pub(super) mod guard;
pub(super) mod hashed;
pub(super) mod mapping;
pub(super) mod names;
pub(super) mod pool;
pub(crate) mod rds;
pub(super) mod reading;
pub(super) mod row;
pub(super) mod tls;

pub(crate) use self::names::matches;

use async_trait::async_trait;

use super::{Result, WriteStore};
use crate::model::{Side, StoreId};
use crate::profile::{DatabaseProfile, DigestProfile, MappingProfile, SideProfile};

/// Tables of one database as a store.
#[async_trait]
pub trait RowStore: WriteStore + Sized + 'static {
    /// Connects and reads the catalog; every side but the primary is held read-only by its session.
    ///
    /// `tables` are patterns with `*` and `?`: of `schema.table` in PostgreSQL, of names within the database in MySQL.
    ///
    /// # Errors
    ///
    /// `Missing`, `Denied`, `Unreachable` or `Unfit`, as the database, RDS or the profile has it.
    async fn connect(
        id: StoreId,
        side: Side,
        reached: &SideProfile,
        database: &DatabaseProfile,
        tables: &[String],
    ) -> Result<Self>;

    /// The same store, told where its rows are hashed.
    fn hashed_by(self, digest: DigestProfile) -> Self;

    /// The same store, some of whose tables are seen by mappings: dr in the columns of `primary`, the others without those that
    /// nobody looks at.
    ///
    /// # Errors
    ///
    /// `Unfit` where a mapping does not fit the tables, and the connection's own.
    async fn mapped_by(self, mappings: &[MappingProfile], primary: Option<&Self>) -> Result<Self>;
}
