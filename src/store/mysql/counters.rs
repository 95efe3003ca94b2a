//! AUTO_INCREMENT: the number that a table gives to its next row.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::catalog::{Catalog, Table};
use super::{ask, fault};
use crate::store::{Counter, ErrorKind, Result, StoreError};

const NEXT: &str = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";

/// The name of a table's counter: its column.
fn name(table: &Table) -> Option<String> {
    let column = table.columns.iter().find(|column| column.is_counted)?;
    Some(format!("{}.{}", table.name, column.name))
}

/// The last number that a table gave; a table that will begin with 1 gave none.
async fn last(conn: &mut Conn, catalog: &Catalog, table: &Table) -> Result<Option<i64>> {
    let what = format!("cannot read the AUTO_INCREMENT of {}", table.name);
    let next = ask::number(conn, &what, NEXT, (&catalog.database, &table.name)).await?;
    let too_large = || StoreError::new(ErrorKind::Unfit, format!("{what}: it is beyond 9223372036854775807"));
    Ok(Some(i64::try_from(next).map_err(|_| too_large())?).filter(|&next| next > 1).map(|next| next - 1))
}

/// Reads the counter of every covered table that has one.
pub(super) async fn read(conn: &mut Conn, catalog: &Catalog) -> Result<Vec<Counter>> {
    let mut counters = Vec::new();
    for table in &catalog.tables {
        if let Some(name) = name(table) {
            counters.push(Counter { name, value: last(conn, catalog, table).await?, increment: 1 });
        }
    }
    Ok(counters)
}

/// Raises counters to at least the given values; gives those that were raised.
pub(super) async fn raise(conn: &mut Conn, catalog: &Catalog, counters: &[Counter]) -> Result<Vec<Counter>> {
    let mut tables = Vec::with_capacity(counters.len());
    for counter in counters {
        let table = catalog.tables.iter().find(|table| name(table).as_deref() == Some(counter.name.as_str()));
        let missing = || StoreError::new(ErrorKind::Missing, format!("there is no AUTO_INCREMENT {}", counter.name));
        tables.push(table.ok_or_else(missing)?);
    }
    let mut raised = Vec::new();
    for (counter, table) in counters.iter().zip(tables) {
        let Some(value) = counter.value else { continue };
        if raise_one(conn, catalog, table, value).await? {
            raised.push(Counter { name: counter.name.clone(), value: Some(value), increment: 1 });
        }
    }
    Ok(raised)
}

/// Compares and raises while nobody writes to the table: the statement that raises would lower as well.
async fn raise_one(conn: &mut Conn, catalog: &Catalog, table: &Table, value: i64) -> Result<bool> {
    let failed = |error| fault::store_error(format!("cannot raise the AUTO_INCREMENT of {}", table.name), &error);
    if last(conn, catalog, table).await?.is_some_and(|last| last >= value) {
        return Ok(false);
    }
    conn.query_drop(format!("LOCK TABLES {} WRITE", table.quoted)).await.map_err(failed)?;
    let is_behind = last(conn, catalog, table).await?.is_none_or(|last| last < value);
    if is_behind {
        let next = value.saturating_add(1);
        let alter = format!("ALTER TABLE {} AUTO_INCREMENT = {next}, ALGORITHM = INPLACE", table.quoted);
        conn.query_drop(alter).await.map_err(failed)?;
    }
    conn.query_drop("UNLOCK TABLES").await.map_err(failed)?;
    if last(conn, catalog, table).await?.is_none_or(|last| last < value) {
        let what = format!("the AUTO_INCREMENT of {} did not rise", table.name);
        return Err(StoreError::new(ErrorKind::Other, what));
    }
    Ok(is_behind)
}
