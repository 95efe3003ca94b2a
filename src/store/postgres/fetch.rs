//! Rows by key.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::catalog::{Catalog, Table};
use super::row::{self, ReadRow};
use super::scan;
use super::{fault, hashed, mapping, names};
use crate::model::{Item, Key, Timestamp};
use crate::profile::DigestProfile;
use crate::store::sql::fetch::{self as sql_fetch, Lock, Reads};
use crate::store::{Result, StoreError};

/// Keys asked for in one query.
pub(super) const KEYS_MAX: usize = 1_000;

/// Reads rows over one connection.
struct Reader<'a> {
    client: &'a Client,
    catalog: &'a Catalog,
    digest: DigestProfile,
}

/// Reads rows by key, in the order of the keys.
pub(super) async fn fetch(
    client: &Client,
    catalog: &Catalog,
    digest: DigestProfile,
    keys: &[Key],
) -> Result<Vec<Option<Item>>> {
    sql_fetch::read(&mut Reader { client, catalog, digest }, keys, Lock::None).await
}

#[async_trait]
impl Reads for Reader<'_> {
    type Table = Table;

    const KEYS_MAX: usize = KEYS_MAX;

    fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.catalog.table(name).cloned()
    }

    async fn keyed(&mut self, table: &Table, keys: &[Vec<String>], lock: Lock) -> Result<Vec<Item>> {
        match self.digest {
            DigestProfile::Stream => keyed(self.client, table, keys, lock).await,
            DigestProfile::Server => keyed_and_hashed(self.client, table, keys).await,
        }
    }

    async fn repeated(&mut self, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
        repeated(self.client, table, wanted).await
    }
}

/// When the row `r` was written last, in microseconds since the Unix epoch, where the server keeps that of its transaction. A
/// standby keeps what its primary says, which is not asked.
///
/// Source: "Committed Transaction Information Functions" in PostgreSQL's documentation.
const COMMITTED_AT: &str = "CASE WHEN NOT pg_is_in_recovery() AND current_setting('track_commit_timestamp') = 'on'
  THEN (extract(epoch FROM pg_xact_commit_timestamp(r.xmin)) * 1000000)::bigint END";

/// [`COMMITTED_AT`] of a table; one that is seen by a mapping does not show which transactions wrote its rows.
fn committed_at(table: &Table) -> &'static str {
    if table.view.is_some() { "NULL::bigint" } else { COMMITTED_AT }
}

pub(super) async fn keyed(client: &Client, table: &Table, keys: &[Vec<String>], lock: Lock) -> Result<Vec<Item>> {
    let (beside, suffix) = match lock {
        Lock::None => (committed_at(table), ""),
        Lock::Held => ("NULL::bigint", " FOR UPDATE OF r"),
    };
    let rows = rows(client, table, keys, &format!("{}{suffix}", keyed_sql(table, beside))).await?;
    let items: Result<Vec<Item>> = rows.iter().map(|row| item_of(table, row)).collect();
    once_each(table, items?)
}

/// The items, of which no two have one key: where that is computed, no index keeps them apart.
fn once_each(table: &Table, items: Vec<Item>) -> Result<Vec<Item>> {
    let is_computed = table.view.as_ref().is_some_and(|view| view.is_key_computed);
    let mut seen = HashSet::new();
    match is_computed && !items.iter().all(|item| seen.insert(&item.key)) {
        true => Err(mapping::not_unique(table)),
        false => Ok(items),
    }
}

/// Each row with the hash that a scan gives of it.
async fn keyed_and_hashed(client: &Client, table: &Table, keys: &[Vec<String>]) -> Result<Vec<Item>> {
    let sql = keyed_sql(table, &format!("{}, {}", committed_at(table), hashed::hash(table)));
    let row_hash = hashed::row_hash(table);
    let items = rows(client, table, keys, &sql).await?.into_iter().map(|row| {
        let hash: &[u8] = row.try_get(table.columns.len() + 1).map_err(|error| unreadable(table, &error))?;
        let hash = hash.try_into().map_err(|_| hashed::unreadable(table))?;
        Ok(row_hash.with_evidence(item_of(table, &row)?, &hash))
    });
    once_each(table, items.collect::<Result<_>>()?)
}

fn unreadable(table: &Table, error: &tokio_postgres::Error) -> StoreError {
    fault::store_error(format!("a row of {} cannot be read", table.name), error)
}

async fn rows(client: &Client, table: &Table, texts: &[Vec<String>], sql: &str) -> Result<Vec<Row>> {
    let columns: Vec<Vec<&str>> =
        (0..table.key.len()).map(|at| texts.iter().map(|key| key[at].as_str()).collect()).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        columns.iter().map(|texts| (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
    let rows = client.query_typed(sql, &params).await;
    rows.map_err(|error| fault::store_error(format!("cannot read rows of {}", table.words()), &error))
}

fn keyed_sql(table: &Table, beside: &str) -> String {
    let (keys, conditions) = (keys_from(table), keys_match(table));
    format!("SELECT {}, {beside} FROM {} AS r JOIN {keys} ON {conditions}", row::outputs(table), table.from())
}

/// One array of texts per key column, as a table `k`.
pub(super) fn keys_from(table: &Table) -> String {
    arrays_from(table.key.len())
}

/// So many arrays of texts as the columns of a table `k`.
pub(super) fn arrays_from(count: usize) -> String {
    let arrays: Vec<String> = (1..=count).map(|at| format!("${at}::text[]")).collect();
    let aliases: Vec<String> = (1..=count).map(|at| format!("k{at}")).collect();
    format!("unnest({}) AS k({})", arrays.join(", "), aliases.join(", "))
}

/// The row `r` of the table is one whose key is in `k`.
pub(super) fn keys_match(table: &Table) -> String {
    let conditions = table.key.iter().zip(1..).map(|(key, at)| {
        let column = &table.columns[key.column];
        format!("r.{} {} k.k{at}::{}", names::quoted(&column.name), key.equals, column.type_name)
    });
    conditions.collect::<Vec<_>>().join(" AND ")
}

/// The item in a row of output texts in table order, and when it was written.
fn item_of(table: &Table, row: &Row) -> Result<Item> {
    let texts =
        (0..table.columns.len()).map(|at| row.try_get::<_, Option<String>>(at)).collect::<std::result::Result<_, _>>();
    let texts = texts.map_err(|error| unreadable(table, &error))?;
    let committed_at: Option<i64> = row.try_get(table.columns.len()).map_err(|error| unreadable(table, &error))?;
    let modified_at = committed_at.and_then(|at| Timestamp::from_microsecond(at).ok());
    Ok(Item { modified_at, ..ReadRow::new(table, texts)?.item(table) })
}

pub(super) async fn repeated(client: &Client, table: &Table, wanted: &[&Key]) -> Result<Vec<Item>> {
    let failed = |error: tokio_postgres::Error| fault::store_error(format!("cannot read {}", table.words()), &error);
    let copy = client.copy_out(&scan::grouped_sql(table)).await.map_err(failed)?;
    let (mut copy, mut found) = (Box::pin(copy), Vec::new());
    while let Some(line) = copy.next().await {
        let item = scan::repeated_item(table, &line.map_err(failed)?)?;
        if wanted.contains(&&item.key) {
            found.push(item);
        }
    }
    Ok(found)
}
