//! One reading of all tables in one snapshot, which one connection has and cannot share.
//!
//! Several connections could only have the same snapshot if nobody wrote while they began, which a reader cannot know and a
//! managed server does not let it enforce. So there is one partition, read by one connection, table after table.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value as Sql};
use tokio::sync::Mutex;

use super::canonical::Encoder;
use super::catalog::{Catalog, Reach, Table};
use super::mapping::{self, Covered};
use super::row::ReadRow;
use super::{Pool, catalog, connect, fault, fetch, hashed};
use crate::model::{Item, Leaf};
use crate::profile::DigestProfile;
use crate::store::sql::hashed::RowHash;
use crate::store::sql::pool::Opens;
use crate::store::sql::reading::{self, Taker};
use crate::store::{ErrorKind, LeafStream, Result, Scan, StoreError};

/// Times the catalog is read again because it changed while the snapshot was taken.
const SETTLE_ATTEMPTS_MAX: usize = 3;

/// A reading of all covered tables in one snapshot.
pub(super) struct MysqlScan {
    conn: Arc<Mutex<Conn>>,
    catalog: Arc<Catalog>,
    digest: DigestProfile,
}

/// Takes a snapshot in which the tables are what the catalog says.
pub(super) async fn begin(
    pool: &Pool,
    covered: &Covered,
    digest: DigestProfile,
    reach: Reach,
) -> Result<(Arc<Catalog>, MysqlScan)> {
    let mut conn = pool.target.open().await?;
    let failed = |error| fault::store_error("cannot begin a reading", &error);
    connect::without_limit(&mut conn).await?;
    let isolated = conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await;
    isolated.map_err(failed)?;
    for _ in 0..SETTLE_ATTEMPTS_MAX {
        let before = catalog::load(&mut conn, covered, Reach::Own).await?;
        if before.tables.is_empty() {
            let what = format!("no table of {} matches {}", pool.target.place, covered.patterns.join(", "));
            return Err(StoreError::new(ErrorKind::Missing, what));
        }
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.map_err(failed)?;
        let catalog = catalog::load(&mut conn, covered, reach).await?;
        if catalog.is_same_shape(&before) {
            mapping::require_unique(&mut conn, &catalog).await?;
            let catalog = Arc::new(catalog);
            let scan = MysqlScan { conn: Arc::new(Mutex::new(conn)), catalog: catalog.clone(), digest };
            return Ok((catalog, scan));
        }
        conn.query_drop("ROLLBACK").await.map_err(failed)?;
    }
    Err(StoreError::new(ErrorKind::Unfit, "the tables are being altered; try again when that is over"))
}

/// The distinct rows of a table without a primary key, each with its count in the last field.
pub(super) fn grouped_sql(table: &Table) -> String {
    let exact: Vec<String> = table.columns.iter().map(|column| column.exact()).collect();
    format!("SELECT {}, COUNT(*) FROM {} AS r GROUP BY {}", table.outputs(), table.from(), exact.join(", "))
}

/// One row of [`grouped_sql`] as an item.
pub(super) fn repeated_item(table: &Table, row: Row) -> Result<Item> {
    let mut values = fetch::values(row);
    let row = ReadRow::new(table, &mut values)?;
    match values.next() {
        Some(Sql::Int(count)) => Ok(row.repeated(table, count)),
        _ => Err(StoreError::new(ErrorKind::Unreadable, format!("rows of {} were not counted", table.name))),
    }
}

/// How the rows of a table are read.
enum Rows {
    Whole(Encoder),
    /// Rows without a key go by their contents, which must be here for that.
    Grouped,
    Hashed(RowHash),
}

impl Rows {
    fn of(table: &Table, digest: DigestProfile) -> Rows {
        match digest {
            _ if table.key.is_empty() => Rows::Grouped,
            DigestProfile::Stream => Rows::Whole(Encoder::new(table)),
            DigestProfile::Server => Rows::Hashed(hashed::row_hash(table)),
        }
    }

    fn sql(&self, table: &Table) -> String {
        match self {
            Rows::Whole(_) => format!("SELECT {} FROM {} AS r", table.outputs(), table.from()),
            Rows::Grouped => grouped_sql(table),
            Rows::Hashed(_) => hashed::sql(table),
        }
    }

    fn leaf(&mut self, table: &Table, row: Row) -> Result<Leaf> {
        match self {
            Rows::Whole(encoder) => encoder.leaf(table, &row.unwrap_raw()),
            Rows::Grouped => Ok(repeated_item(table, row)?.leaf()),
            Rows::Hashed(row_hash) => hashed::leaf(table, row_hash, &mut fetch::values(row)),
        }
    }
}

impl Scan for MysqlScan {
    fn partitions(&self) -> usize {
        1
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        if partition != 0 {
            return stream::empty().boxed();
        }
        let (conn, catalog, digest) = (self.conn.clone(), self.catalog.clone(), self.digest);
        reading::in_a_task(async move |taker| {
            let mut conn = conn.lock().await;
            for table in &catalog.tables {
                read_table(&mut conn, table, digest, &taker).await?;
            }
            Ok(())
        })
    }

    fn estimate(&self) -> Option<u64> {
        Some(self.catalog.tables.iter().map(|table| table.rows).sum())
    }
}

async fn read_table(conn: &mut Conn, table: &Table, digest: DigestProfile, taker: &Taker) -> Result<()> {
    let mut reading = Rows::of(table, digest);
    let failed = |error: mysql_async::Error| fault::store_error(format!("cannot read {}", table.words()), &error);
    let mut rows = conn.exec_iter(reading.sql(table), ()).await.map_err(failed)?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next().await.map_err(failed)? {
        leaves.push(reading.leaf(table, row)?);
        taker.take(&mut leaves).await?;
    }
    drop(rows);
    mapping::require_unwarned(conn, table).await?;
    taker.take_all(&mut leaves).await
}
