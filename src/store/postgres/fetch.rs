//! Rows by key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::catalog::{Catalog, Table};
use super::row::{self, ReadRow};
use super::scan;
use super::{fault, names};
use crate::model::{Item, Key, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// Keys asked for in one query.
const KEYS_MAX: usize = 1_000;

/// The columns of a primary key by name.
type KeyColumns = BTreeMap<String, Value>;

/// Reads rows by key, in the order of the keys.
pub(super) async fn fetch(client: &Client, catalog: &Catalog, keys: &[Key]) -> Result<Vec<Option<Item>>> {
    read(client, catalog, keys, "").await
}

/// Reads rows by key and locks them until the transaction ends, so that they stay as they were read.
pub(super) async fn lock(client: &Client, catalog: &Catalog, keys: &[Key]) -> Result<Vec<Option<Item>>> {
    read(client, catalog, keys, " FOR UPDATE OF r").await
}

async fn read(client: &Client, catalog: &Catalog, keys: &[Key], suffix: &str) -> Result<Vec<Option<Item>>> {
    let mut by_table: BTreeMap<String, Vec<(&Key, KeyColumns)>> = BTreeMap::new();
    for key in keys {
        let (table, columns) = row::key_parts(key)?;
        by_table.entry(table).or_default().push((key, columns));
    }
    let mut found: HashMap<Key, Item> = HashMap::new();
    for (name, wanted) in by_table {
        let table = catalog.table(&name).ok_or_else(|| {
            StoreError::new(ErrorKind::Unfit, format!("a key names {name}, which is not a table of this store"))
        })?;
        if table.key.is_empty() {
            let wanted: Vec<&Key> = wanted.iter().map(|(key, _)| *key).collect();
            repeated(client, table, &wanted, &mut found).await?;
            continue;
        }
        let texts: Option<Vec<Vec<String>>> =
            wanted.iter().map(|(_, columns)| row::key_texts(table, columns)).collect();
        let texts = texts.ok_or_else(|| {
            StoreError::new(ErrorKind::Unfit, format!("a key does not have the primary key columns of {name}"))
        })?;
        for texts in texts.chunks(KEYS_MAX) {
            keyed(client, table, texts, suffix, &mut found).await?;
        }
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

async fn keyed(
    client: &Client,
    table: &Arc<Table>,
    texts: &[Vec<String>],
    suffix: &str,
    found: &mut HashMap<Key, Item>,
) -> Result<()> {
    let columns: Vec<Vec<&str>> =
        (0..table.key.len()).map(|at| texts.iter().map(|key| key[at].as_str()).collect()).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        columns.iter().map(|texts| (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
    let rows = client.query_typed(&format!("{}{suffix}", keyed_sql(table)), &params).await;
    for row in rows.map_err(|error| fault::store_error(format!("cannot read rows of {}", table.name), &error))? {
        let item = item_of(table, &row)?;
        found.insert(item.key.clone(), item);
    }
    Ok(())
}

fn keyed_sql(table: &Table) -> String {
    let (keys, conditions) = (keys_from(table), keys_match(table));
    format!("SELECT {} FROM {} AS r JOIN {keys} ON {conditions}", row::outputs(table), table.from())
}

/// One array of texts per key column, as a table `k`.
pub(super) fn keys_from(table: &Table) -> String {
    let arrays: Vec<String> = (1..=table.key.len()).map(|at| format!("${at}::text[]")).collect();
    let aliases: Vec<String> = (1..=table.key.len()).map(|at| format!("k{at}")).collect();
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

/// The item in a row of output texts in table order.
pub(super) fn item_of(table: &Table, row: &Row) -> Result<Item> {
    let texts =
        (0..table.columns.len()).map(|at| row.try_get::<_, Option<String>>(at)).collect::<std::result::Result<_, _>>();
    let texts = texts.map_err(|error| fault::store_error(format!("a row of {} cannot be read", table.name), &error))?;
    Ok(ReadRow::new(table, texts)?.item(table))
}

/// Rows without a key are found by their digest, so all of them are read.
async fn repeated(client: &Client, table: &Arc<Table>, wanted: &[&Key], found: &mut HashMap<Key, Item>) -> Result<()> {
    let failed = |error: tokio_postgres::Error| fault::store_error(format!("cannot read {}", table.name), &error);
    let copy = client.copy_out(&scan::grouped_sql(table)).await.map_err(failed)?;
    let mut copy = Box::pin(copy);
    while let Some(line) = copy.next().await {
        let item = scan::repeated_item(table, &line.map_err(failed)?)?;
        if wanted.contains(&&item.key) {
            found.insert(item.key.clone(), item);
        }
    }
    Ok(())
}
