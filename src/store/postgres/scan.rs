//! One reading of all tables in one snapshot that several connections share.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, CopyOutStream, Error};

use super::canonical::Encoder;
use super::catalog::{Catalog, Table};
use super::copy::Fields;
use super::hashed::Hashes;
use super::mapping::{self, Covered};
use super::row::{self, ReadRow};
use super::{Pool, catalog, fault, hashed, names};
use crate::model::{Item, Leaf};
use crate::profile::DigestProfile;
use crate::store::sql::pool::Opens;
use crate::store::sql::reading::{self, Taker};
use crate::store::{ErrorKind, LeafStream, Result, Scan, StoreError};

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
    of: Snapshot,
    partitions: Vec<Vec<Part>>,
    rows: u64,
    /// Keeps the snapshot and the tables' locks; never used again.
    _holder: Client,
}

/// What every connection of a reading shares.
#[derive(Clone)]
struct Snapshot {
    pool: Arc<Pool>,
    name: Arc<str>,
    digest: DigestProfile,
}

/// Locks the tables against changes of shape, takes a snapshot, and divides the pages.
pub(super) async fn begin(
    pool: &Arc<Pool>,
    covered: &Covered,
    digest: DigestProfile,
    wanted: usize,
) -> Result<(Arc<Catalog>, PostgresScan)> {
    let holder = pool.target.open().await?;
    if digest == DigestProfile::Server {
        hashed::require_version(&holder).await?;
    }
    for _ in 0..SETTLE_ATTEMPTS_MAX {
        let before = catalog::load(&holder, covered).await?;
        if before.tables.is_empty() {
            let what = format!("no table of {} matches {}", pool.target.place, covered.patterns.join(", "));
            return Err(StoreError::new(ErrorKind::Missing, what));
        }
        let locks: String =
            before.tables.iter().map(|table| format!("LOCK TABLE {} IN ACCESS SHARE MODE;", table.own())).collect();
        let begin =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; {locks}");
        let failed = |error| fault::store_error("cannot lock the tables for reading", &error);
        holder.batch_execute(&begin).await.map_err(failed)?;
        let catalog = catalog::load_within(&holder, covered, &before).await?;
        if !catalog.is_same_shape(&before) {
            let failed = |error| fault::store_error("cannot end a transaction", &error);
            holder.batch_execute("ROLLBACK").await.map_err(failed)?;
            continue;
        }
        mapping::require_unique(&holder, &catalog).await?;
        let failed = |error| fault::store_error("cannot export a snapshot", &error);
        let row = holder.query_typed_one("SELECT pg_export_snapshot()", &[]).await.map_err(failed)?;
        let rows = catalog.tables.iter().map(|table| table.rows).sum();
        let partitions = divide(&catalog, wanted);
        let of = Snapshot { pool: pool.clone(), name: row.get::<_, &str>(0).into(), digest };
        let scan = PostgresScan { of, partitions, rows, _holder: holder };
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

    fn leaf(&self, encoder: &mut Encoder, line: &[u8]) -> Result<Leaf> {
        if self.table.key.is_empty() {
            return Ok(repeated_item(&self.table, line)?.leaf());
        }
        encoder.leaf(&self.table, line).ok_or_else(|| unreadable(&self.table))
    }
}

fn unreadable(table: &Table) -> StoreError {
    StoreError::new(ErrorKind::Unreadable, format!("a row of {} cannot be understood as UTF-8 text", table.name))
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
    let mut texts = Fields::default().texts(line).ok_or_else(|| unreadable(table))?;
    let count = texts.pop().flatten().and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(table))?;
    Ok(ReadRow::new(table, texts)?.repeated(table, count))
}

impl Scan for PostgresScan {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn leaves(&self, partition: usize) -> LeafStream<'_> {
        let parts = self.partitions.get(partition).cloned().unwrap_or_default();
        let of = self.of.clone();
        reading::in_a_task(async move |taker| of.read(&parts, &taker).await)
    }

    fn estimate(&self) -> Option<u64> {
        Some(self.rows)
    }
}

/// Rows as they come.
enum Rows {
    /// Whole, one a line.
    Lines(Encoder, Pin<Box<CopyOutStream>>),
    /// Keys and hashes of many rows in one message.
    Hashes(Hashes, Pin<Box<BinaryCopyOutStream>>),
}

impl Rows {
    async fn open(client: &Client, part: &Part, digest: DigestProfile) -> std::result::Result<Rows, Error> {
        // Rows without a key go by their contents, which must be here for that.
        if digest == DigestProfile::Stream || part.table.key.is_empty() {
            let copy = client.copy_out(&part.sql()).await?;
            return Ok(Rows::Lines(Encoder::new(&part.table), Box::pin(copy)));
        }
        let (from, to) = part.pages.unwrap_or((0, None));
        let copy = client.copy_out(&hashed::copy_sql(&part.table, from, to)).await?;
        let copy = Box::pin(BinaryCopyOutStream::new(copy, &[Type::BYTEA]));
        Ok(Rows::Hashes(Hashes::of(&part.table), copy))
    }

    /// Adds the leaves of the next message; `false` at the end.
    async fn next(&mut self, part: &Part, leaves: &mut Vec<Leaf>) -> Result<bool> {
        match self {
            Rows::Lines(encoder, copy) => match copy.next().await.transpose() {
                Ok(Some(line)) => leaves.push(part.leaf(encoder, &line)?),
                Ok(None) => return Ok(false),
                Err(error) => return Err(cut(&part.table, &error)),
            },
            Rows::Hashes(hashes, copy) => {
                let message = copy.next().await.transpose().map_err(|error| cut(&part.table, &error))?;
                let Some(message) = message else { return Ok(false) };
                let rows: Option<&[u8]> = message.try_get(0).map_err(|error| cut(&part.table, &error))?;
                leaves.extend(hashes.leaves(&part.table, rows.unwrap_or_default())?);
            }
        }
        Ok(true)
    }
}

impl Snapshot {
    /// Reads parts of tables over a connection of their own.
    async fn read(&self, parts: &[Part], taker: &Taker) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let lease = self.pool.lease().await?;
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}';
             SET LOCAL statement_timeout = 0",
            self.name
        );
        let failed = |error| fault::store_error("cannot join the snapshot of this reading", &error);
        lease.batch_execute(&begin).await.map_err(failed)?;
        let mut leaves = Vec::new();
        for part in parts {
            let mut rows = Rows::open(&lease, part, self.digest).await.map_err(|error| cut(&part.table, &error))?;
            while rows.next(part, &mut leaves).await? {
                taker.take(&mut leaves).await?;
            }
        }
        taker.take_all(&mut leaves).await?;
        let failed = |error| fault::store_error("cannot end the reading", &error);
        lease.batch_execute("COMMIT").await.map_err(failed)?;
        lease.give_back();
        Ok(())
    }
}

fn cut(table: &Table, error: &tokio_postgres::Error) -> StoreError {
    fault::store_error(format!("cannot read {}", table.words()), error)
}
