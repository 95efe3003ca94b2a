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
