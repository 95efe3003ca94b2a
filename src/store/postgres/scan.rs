//! One reading of all tables in one snapshot that several connections share.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio_postgres::{Client, CopyOutStream};

use super::catalog::{Catalog, Table};
use super::pool::{Lease, Pool};
use super::row::{self, ReadRow};
use super::{catalog, fault, names};
use crate::model::{Item, Leaf};
use crate::store::{ErrorKind, LeafStream, Result, Scan, StoreError};

/// Leaves in one batch.
const BATCH: usize = 2_000;

/// Pages below which a table is not split.
const PART_PAGES_MIN: u64 = 64;

/// Times the catalog is read again because it changed while the tables were being locked.
const SETTLE_ATTEMPTS_MAX: usize = 3;

/// A table, or the rows of a table that lie in a range of pages; the last range has no end.
#[derive(Clone)]
struct Part {
    table: Arc<Table>,
    pages: Option<(u64, Option<u64>)>,
}

/// A reading of all covered tables in one snapshot.
pub(super) struct PostgresScan {
    pool: Arc<Pool>,
    snapshot: String,
    partitions: Vec<Vec<Part>>,
    rows: u64,
    /// Keeps the snapshot and the tables' locks; never used again.
    _holder: Client,
}

/// Locks the tables against changes of shape, takes a snapshot, and divides the pages.
pub(super) async fn begin(
    pool: &Arc<Pool>,
    patterns: &[String],
    wanted: usize,
) -> Result<(Arc<Catalog>, PostgresScan)> {
    let holder = pool.target.open().await?;
    for _ in 0..SETTLE_ATTEMPTS_MAX {
        let before = catalog::load(&holder, patterns).await?;
        if before.tables.is_empty() {
            let what = format!("no table of {} matches {}", pool.target.place, patterns.join(", "));
            return Err(StoreError::new(ErrorKind::Missing, what));
        }
        let locks: String =
            before.tables.iter().map(|table| format!("LOCK TABLE {} IN ACCESS SHARE MODE;", table.from())).collect();
        let begin =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; {locks}");
        let failed = |error| fault::store_error("cannot lock the tables for reading", &error);
        holder.batch_execute(&begin).await.map_err(failed)?;
        let catalog = catalog::load(&holder, patterns).await?;
        if !catalog.is_same_shape(&before) {
            let failed = |error| fault::store_error("cannot end a transaction", &error);
            holder.batch_execute("ROLLBACK").await.map_err(failed)?;
            continue;
        }
        let failed = |error| fault::store_error("cannot export a snapshot", &error);
        let row = holder.query_typed_one("SELECT pg_export_snapshot()", &[]).await.map_err(failed)?;
        let rows = catalog.tables.iter().map(|table| table.rows).sum();
        let partitions = divide(&catalog, wanted);
        let scan = PostgresScan { pool: pool.clone(), snapshot: row.get(0), partitions, rows, _holder: holder };
        return Ok((Arc::new(catalog), scan));
    }
    Err(StoreError::new(ErrorKind::Unfit, "the tables are being altered; try again when that is over"))
}

/// Splits large tables and puts small ones together.
fn divide(catalog: &Catalog, wanted: usize) -> Vec<Vec<Part>> {
    let total: u64 = catalog.tables.iter().map(|table| table.pages.max(1)).sum();
    let aim = total.div_ceil(wanted.max(1) as u64).max(1);
    let split = aim.max(PART_PAGES_MIN);
    let (mut partitions, mut open, mut open_pages) = (Vec::new(), Vec::new(), 0);
    for table in &catalog.tables {
        let parts = if table.key.is_empty() { 1 } else { table.pages.div_ceil(split).max(1) };
        if parts > 1 && wanted > 1 {
            partitions.extend((0..parts).map(|at| {
                let end = (at + 1 < parts).then_some((at + 1) * split);
                vec![Part { table: table.clone(), pages: Some((at * split, end)) }]
            }));
            continue;
        }
        open.push(Part { table: table.clone(), pages: None });
        open_pages += table.pages.max(1);
        if open_pages >= aim && wanted > 1 {
            partitions.push(std::mem::take(&mut open));
            open_pages = 0;
        }
    }
    if !open.is_empty() {
        partitions.push(open);
    }
    partitions
}

impl Part {
    fn sql(&self) -> String {
        let table = &self.table;
        if table.key.is_empty() {
            return grouped_sql(table);
        }
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("r.{}", names::quoted(&column.name))).collect();
        let filter = match self.pages {
            None => String::new(),
            Some((from, None)) => format!(" WHERE r.ctid >= '({from},0)'::tid"),
            Some((from, Some(to))) => format!(" WHERE r.ctid >= '({from},0)'::tid AND r.ctid < '({to},0)'::tid"),
        };
        format!("COPY (SELECT {} FROM {} AS r{filter}) TO STDOUT", columns.join(", "), table.from())
    }

    fn leaf(&self, line: &[u8]) -> Result<Leaf> {
        if self.table.key.is_empty() {
            return Ok(repeated_item(&self.table, line)?.leaf());
        }
        let texts = row::copy_fields(line).ok_or_else(|| unreadable(&self.table))?;
        Ok(ReadRow::new(&self.table, texts)?.leaf(&self.table))
    }
}

fn unreadable(table: &Table) -> StoreError {
    StoreError::new(ErrorKind::Unreadable, format!("a row of {} is not UTF-8 text", table.name))
}

/// COPY of the distinct rows of a table without a primary key, each with its count in the last field.
pub(super) fn grouped_sql(table: &Table) -> String {
    let places: Vec<String> = (1..=table.columns.len()).map(|place| place.to_string()).collect();
    format!(
        "COPY (SELECT {}, count(*) FROM {} AS r GROUP BY {}) TO STDOUT",
        row::outputs(table),
        table.from(),
        places.join(", ")
    )
}

/// One line of [`grouped_sql`] as an item.
pub(super) fn repeated_item(table: &Table, line: &[u8]) -> Result<Item> {
    let mut texts = row::copy_fields(line).ok_or_else(|| unreadable(table))?;
    let count = texts.pop().flatten().and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(table))?;
    Ok(ReadRow::new(table, texts)?.repeated(table, count))
}

impl Scan for PostgresScan {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let parts = self.partitions.get(partition).cloned().unwrap_or_default();
        let reader = Reader { scan: self, parts: parts.into(), lease: None, open: None };
        stream::try_unfold(Some(reader), |reader| async {
            let Some(mut reader) = reader else { return Ok(None) };
            let batch = reader.batch().await?;
            Ok(match batch.is_empty() {
                true => {
                    reader.end().await?;
                    None
                }
                false => Some((batch, Some(reader))),
            })
        })
        .boxed()
    }

    fn estimate(&self) -> Option<u64> {
        Some(self.rows)
    }
}

struct Reader<'a> {
    scan: &'a PostgresScan,
    parts: VecDeque<Part>,
    lease: Option<Lease>,
    open: Option<(Part, Pin<Box<CopyOutStream>>)>,
}

impl Reader<'_> {
    /// The next leaves; empty at the end.
    async fn batch(&mut self) -> Result<Vec<Leaf>> {
        let mut leaves = Vec::new();
        while leaves.len() < BATCH {
            if self.open.is_none() && !self.next_part().await? {
                break;
            }
            let Some((part, copy)) = &mut self.open else { break };
            match copy.next().await {
                Some(Ok(line)) => leaves.push(part.leaf(&line)?),
                Some(Err(error)) => return Err(reading(&part.table, &error)),
                None => self.open = None,
            }
        }
        Ok(leaves)
    }

    async fn next_part(&mut self) -> Result<bool> {
        let Some(part) = self.parts.pop_front() else { return Ok(false) };
        if self.lease.is_none() {
            let lease = self.scan.pool.lease().await?;
            let begin = format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}';
                 SET LOCAL statement_timeout = 0",
                self.scan.snapshot
            );
            let failed = |error| fault::store_error("cannot join the snapshot of this reading", &error);
            lease.batch_execute(&begin).await.map_err(failed)?;
            self.lease = Some(lease);
        }
        let lease = self.lease.as_ref().expect("it was just taken");
        let copy = lease.copy_out(&part.sql()).await.map_err(|error| reading(&part.table, &error))?;
        self.open = Some((part, Box::pin(copy)));
        Ok(true)
    }

    async fn end(self) -> Result<()> {
        if let Some(lease) = self.lease {
            let failed = |error| fault::store_error("cannot end the reading", &error);
            lease.batch_execute("COMMIT").await.map_err(failed)?;
            lease.give_back();
        }
        Ok(())
    }
}

fn reading(table: &Table, error: &tokio_postgres::Error) -> StoreError {
    fault::store_error(format!("cannot read {}", table.name), error)
}
