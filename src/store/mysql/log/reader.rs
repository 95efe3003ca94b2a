//! Events to records: which keys were touched, and what cannot be told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mysql_async::Conn;

use super::super::ask;
use super::super::catalog::{Catalog, Table};
use super::super::row;
use super::event::{self, Event, Rows, RowsKind, TableMap, Told};
use super::gtid::GtidSet;
use super::server::Unfit;
use super::statement::{self, Statement};
use super::value::Cell;
use crate::model::{Key, Value};
use crate::store::sql::row as sql_row;
use crate::store::{Image, Result};

/// Records of one reading. Beyond it a scan costs less than reading the touched rows one by one, and memory stays bounded.
pub(super) const RECORDS_MAX: u64 = 400_000;

const COLUMNS: &str = "SELECT TABLE_NAME, COLUMN_NAME, COALESCE(DATETIME_PRECISION, 0)
 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION";

/// A covered table as it lies in the log.
pub(super) struct Layout {
    table: Arc<Table>,
    /// The digits after the second of every column.
    digits: Vec<u64>,
    /// The places of the key's columns.
    key: Vec<usize>,
}

/// How the covered tables lie in the log, by their names.
pub(super) async fn layouts(conn: &mut Conn, catalog: &Catalog) -> Result<HashMap<String, Layout>> {
    let mut columns: HashMap<String, Vec<(String, u64)>> = HashMap::new();
    for mut row in ask::rows(conn, "cannot read the tables' columns", COLUMNS, (&catalog.database,)).await? {
        columns.entry(row.text(0)?).or_default().push((row.text(1)?, row.number(2)?));
    }
    let layout = |table: &Arc<Table>| {
        let columns = columns.get(&table.name).map(Vec::as_slice).unwrap_or_default();
        let place = |at: &usize| {
            let name = table.own_name(*at)?;
            columns.iter().position(|(column, _)| column == name)
        };
        // A key that is nowhere is told of no row.
        let key = table.key.iter().map(place).collect::<Option<Vec<_>>>().unwrap_or_default();
        let digits = columns.iter().map(|(_, digits)| *digits).collect();
        (table.name.clone(), Layout { table: table.clone(), digits, key })
    };
    Ok(catalog.tables.iter().map(layout).collect())
}

/// One touch of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    /// When the last statement of its transaction began, in seconds since the Unix epoch: it was committed no sooner.
    pub(super) begun: u32,
    /// When the latest statement began of all that are in the log up to here.
    pub(super) latest: u32,
    pub(super) before: Image,
    pub(super) after: Image,
}

/// Folds events into touches.
pub(super) struct Reader<'a> {
    database: &'a str,
    layouts: &'a HashMap<String, Layout>,
    /// Transactions that are left out.
    seen: Option<&'a GtidSet>,
    /// Tables of the transaction under way; those that are not covered are there without a layout.
    maps: HashMap<u64, (Option<&'a Layout>, Vec<Cell>)>,
    is_seen: bool,
    begun: u32,
    pub(super) latest: u32,
    pending: Vec<(Key, Image, Image)>,
    records: u64,
    pub(super) keys: BTreeMap<Key, Vec<Touch>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        database: &'a str,
        layouts: &'a HashMap<String, Layout>,
        seen: Option<&'a GtidSet>,
    ) -> Reader<'a> {
        Reader {
            database,
            layouts,
            seen,
            maps: HashMap::new(),
            is_seen: false,
            begun: 0,
            latest: 0,
            pending: Vec::new(),
            records: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Forgets every change so far.
    pub(super) fn forget(&mut self) {
        self.keys.clear();
        self.pending.clear();
        self.records = 0;
    }

    /// Takes one event; an error says why what is known by now is not all.
    pub(super) fn take(&mut self, event: &Event) -> std::result::Result<(), Unfit> {
        self.begun = self.begun.max(event.seconds);
        self.latest = self.latest.max(event.seconds);
        let not_understood = |error: event::NotUnderstood| error.to_string();
        match event::told(event).map_err(not_understood)? {
            Told::Transaction(gtid) => {
                self.commit();
                self.begun = event.seconds;
                self.is_seen = match (self.seen, gtid) {
                    (None, _) => false,
                    (Some(seen), Some(gtid)) => seen.has(gtid),
                    (Some(_), None) => return Err("a transaction has no GTID".into()),
                };
            }
            _ if self.is_seen => {}
            Told::Commit => self.commit(),
            Told::Statement { database, text } => self.statement(database, text)?,
            Told::Table(map) => self.map(map)?,
            Told::Rows(kind, rows) => self.rows(kind, &rows)?,
            Told::Opaque => return Err(opaque(event.kind)),
            Told::Rotate { .. } | Told::Format | Told::Other => {}
        }
        Ok(())
    }

    /// Ends the transaction under way.
    pub(super) fn commit(&mut self) {
        let (begun, latest) = (self.begun, self.latest);
        for (key, before, after) in self.pending.drain(..) {
            self.keys.entry(key).or_default().push(Touch { begun, latest, before, after });
        }
        self.maps.clear();
        self.begun = 0;
    }

    fn statement(&mut self, own: &[u8], text: &[u8]) -> std::result::Result<(), Unfit> {
        match statement::read(text) {
            Statement::Harmless => Ok(()),
            Statement::Commit => {
                self.commit();
                Ok(())
            }
            Statement::Doubtful => {
                self.pending
                    .iter_mut()
                    .for_each(|(_, before, after)| (*before, *after) = (Image::Untold, Image::Untold));
                Ok(())
            }
            Statement::Late => Err("a transaction that was prepared before (XA) was committed since".into()),
            Statement::Definition(word) if statement::may_touch(text, own, self.database) => {
                Err(format!("database {} was altered since, by {word}", self.database))
            }
            Statement::Definition(_) => Ok(()),
            Statement::Unknown(word) => {
                Err(format!("a change was logged as a statement ({word}), which does not tell its rows"))
            }
        }
    }

    fn map(&mut self, map: TableMap) -> std::result::Result<(), Unfit> {
        let name = std::str::from_utf8(&map.table).ok().filter(|_| map.database == self.database.as_bytes());
        let layout = name.and_then(|name| self.layouts.get(name));
        if let Some(layout) = layout {
            let name = &layout.table.name;
            if layout.digits.len() != map.cells.len() {
                return Err(format!(
                    "table {name} has {} columns, {} in the log",
                    layout.digits.len(),
                    map.cells.len()
                ));
            }
            let mut cells = map.cells.iter().zip(&layout.digits);
            if cells.any(|(cell, digits)| cell.is_old_time() && *digits > 0) {
                return Err(format!("table {name} keeps times in an old format, whose length the log does not tell"));
            }
        }
        self.maps.insert(map.id, (layout, map.cells));
        Ok(())
    }

    fn rows(&mut self, kind: RowsKind, rows: &Rows<'_>) -> std::result::Result<(), Unfit> {
        let (layout, cells) = match self.maps.get(&rows.table) {
            None => return Err("rows are told of a table that is not".into()),
            Some((None, _)) => return Ok(()),
            Some((Some(layout), cells)) => (*layout, cells.as_slice()),
        };
        let untold = |_| format!("a change of {} does not tell its key", layout.table.name);
        if cells.len() != rows.width {
            return Err(untold(event::NotUnderstood));
        }
        let (mut images, mut found) = (rows.images, Vec::new());
        while !images.is_empty() {
            found.extend(layout.touched(kind, rows, cells, &mut images).map_err(untold)?);
            if self.records + found.len() as u64 > RECORDS_MAX {
                return Err(format!("more than {RECORDS_MAX} changes: reading the tables takes less"));
            }
        }
        self.records += found.len() as u64;
        self.pending.append(&mut found);
        Ok(())
    }
}

impl Layout {
    /// The keys that one row's change touches, with what was there before and is after.
    fn touched(
        &self,
        kind: RowsKind,
        rows: &Rows<'_>,
        cells: &[Cell],
        images: &mut &[u8],
    ) -> std::result::Result<Vec<(Key, Image, Image)>, event::NotUnderstood> {
        let first = event::image(images, cells, rows.first, &self.key)?;
        let key = |values: &[Option<&[u8]>]| self.key_of(cells, values).ok_or(event::NotUnderstood);
        Ok(match kind {
            RowsKind::Insert => vec![(key(&first)?, Image::Absent, Image::Untold)],
            RowsKind::Delete => vec![(key(&first)?, Image::Untold, Image::Absent)],
            RowsKind::Update => {
                let second = event::image(images, cells, rows.second, &self.key)?;
                // What an image leaves out was not changed.
                let second: Vec<_> = second.iter().zip(&first).map(|(after, before)| after.or(*before)).collect();
                match (key(&first)?, key(&second)?) {
                    (before, after) if before == after => vec![(after, Image::Untold, Image::Untold)],
                    // The row went from one key to another, which no other row can have had.
                    (before, after) => {
                        vec![(before, Image::Untold, Image::Absent), (after, Image::Absent, Image::Untold)]
                    }
                }
            }
        })
    }

    fn key_of(&self, cells: &[Cell], values: &[Option<&[u8]>]) -> Option<Key> {
        let columns: Vec<_> = self.table.key_columns().collect();
        if columns.is_empty() || columns.len() != values.len() {
            return None;
        }
        let read = columns.iter().zip(&self.key).zip(values).map(|((column, at), bytes)| {
            let value = cells.get(*at)?.value(column, (*bytes)?)?;
            Some((column.name.clone(), row::value_of(column, value)?))
        });
        let contents = Value::Map(read.collect::<Option<_>>()?);
        Some(sql_row::row_key(&self.table.name, columns.iter().map(|column| &column.name), &contents))
    }
}

/// Why an event that is not taken apart here makes a gap.
fn opaque(kind: u8) -> Unfit {
    match kind {
        26 => "the server says of itself that changes are missing in its log".into(),
        6..=12 | 17 | 18 => "rows were loaded by a statement (LOAD DATA), which does not tell them".into(),
        39 => "changes are told in parts of values (binlog_row_value_options)".into(),
        40 | 165..=171 => "changes are compressed in the log".into(),
        _ => format!("the log has an event of kind {kind}, which is not understood"),
    }
}
