//! Rows by key.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value as Sql};

use super::catalog::{Catalog, Table};
use super::row::ReadRow;
use super::scan;
use super::{fault, hashed, mapping};
use crate::model::{Item, Key};
use crate::profile::DigestProfile;
use crate::store::Result;
use crate::store::sql::fetch::{self as sql_fetch, Lock, Reads};

/// Keys asked for in one query.
pub(super) const KEYS_MAX: usize = 200;

/// Reads rows over one connection.
struct Reader<'a> {
    conn: &'a mut Conn,
    catalog: &'a Catalog,
    digest: DigestProfile,
}

/// Reads rows by key, in the order of the keys.
pub(super) async fn fetch(
    conn: &mut Conn,
    catalog: &Catalog,
    digest: DigestProfile,
    keys: &[Key],
) -> Result<Vec<Option<Item>>> {
    sql_fetch::read(&mut Reader { conn, catalog, digest }, keys, Lock::None).await
}

#[async_trait]
impl Reads for Reader<'_> {
    type Table = Table;

    const KEYS_MAX: usize = KEYS_MAX;

    fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.catalog.table(name).cloned()
    }

    async fn keyed(&mut self, table: &Table, keys: &[Vec<Sql>], lock: Lock) -> Result<Vec<Item>> {
        match self.digest {
            DigestProfile::Stream => keyed(self.conn, table, keys, lock).await,
            DigestProfile::Server => keyed_and_hashed(self.conn, table, keys).await,
        }
    }

    async fn repeated(&mut self, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
        repeated(self.conn, table, wanted).await
    }
}

/// Rows are asked for as an index finds them and told apart by their bytes: what only a collation calls equal is another key.
pub(super) async fn keyed(conn: &mut Conn, table: &Table, keys: &[Vec<Sql>], lock: Lock) -> Result<Vec<Item>> {
    let suffix = if lock == Lock::Held { " FOR UPDATE" } else { "" };
    let rows = rows(conn, table, keys, "", suffix).await?;
    once_each(table, rows.into_iter().map(|row| item_of(table, row)).collect::<Result<_>>()?)
}

/// Each row with the hash that a scan gives of it.
async fn keyed_and_hashed(conn: &mut Conn, table: &Table, keys: &[Vec<Sql>]) -> Result<Vec<Item>> {
    let row_hash = hashed::row_hash(table);
    let rows = rows(conn, table, keys, &format!(", {}", hashed::hash(table)), "").await?;
    let items = rows.into_iter().map(|row| {
        let mut values = values(row);
        let item = ReadRow::new(table, &mut values)?.item(table);
        Ok(row_hash.with_evidence(item, &hashed::hash_of(table, values.next())?))
    });
    once_each(table, items.collect::<Result<_>>()?)
}

async fn rows(conn: &mut Conn, table: &Table, keys: &[Vec<Sql>], beside: &str, suffix: &str) -> Result<Vec<Row>> {
    let one = format!("({})", near(table));
    let any = vec![one.as_str(); keys.len()].join(" OR ");
    let sql = format!("SELECT {}{beside} FROM {} AS r WHERE {any}{suffix}", table.outputs(), table.from());
    let params = Params::Positional(keys.iter().flatten().cloned().collect());
    let rows: mysql_async::Result<Vec<Row>> = conn.exec(sql, params).await;
    let rows = rows.map_err(|error| fault::store_error(format!("cannot read rows of {}", table.words()), &error))?;
    mapping::require_unwarned(conn, table).await?;
    Ok(rows)
}

/// The items, of which no two have one key: where that is computed, no index keeps them apart.
fn once_each(table: &Table, items: Vec<Item>) -> Result<Vec<Item>> {
    let mut seen = HashSet::new();
    match mapping::is_key_computed(table) && !items.iter().all(|item| seen.insert(&item.key)) {
        true => Err(mapping::not_unique(table)),
        false => Ok(items),
    }
}

/// A condition by which an index finds the row `r` of a key.
pub(super) fn near(table: &Table) -> String {
    table.key_columns().map(|column| column.near()).collect::<Vec<_>>().join(" AND ")
}

/// The item in a row of all columns in table order.
pub(super) fn item_of(table: &Table, row: Row) -> Result<Item> {
    Ok(ReadRow::new(table, &mut values(row))?.item(table))
}

/// The values of a row in their order.
pub(super) fn values(row: Row) -> impl Iterator<Item = Sql> + Send {
    row.unwrap_raw().into_iter().map(|value| value.unwrap_or(Sql::NULL))
}

pub(super) async fn repeated(conn: &mut Conn, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
    let failed = |error: mysql_async::Error| fault::store_error(format!("cannot read {}", table.words()), &error);
    let mut rows = conn.exec_iter(scan::grouped_sql(table), ()).await.map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await.map_err(failed)? {
        let item = scan::repeated_item(table, row)?;
        if wanted.contains(&&item.key) {
            found.push(item);
        }
    }
    drop(rows);
    mapping::require_unwarned(conn, table).await?;
    Ok(found)
}
