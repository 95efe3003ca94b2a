//! Which tables are covered, and what their columns, keys and references are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mysql_async::Conn;

use super::ask::{self, Cells};
use super::column::{self, Column, Reading};
use super::mapping::{self, Covered, View};
use super::names;
use crate::store::sql::mapping::kept_words;
use crate::store::sql::names as sql_names;
use crate::store::{ErrorKind, Result, StoreError};

/// The one engine whose tables take part in transactions and snapshots.
const TRANSACTIONAL: &str = "InnoDB";

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name, as it stands in keys.
    pub(super) name: String,
    /// `` `database`.`table` ``.
    pub(super) quoted: String,
    pub(super) engine: String,
    pub(super) options: String,
    pub(super) columns: Vec<Column>,
    /// Columns that are neither compared nor written.
    pub(super) ignored: Vec<Column>,
    /// How it is seen as a table of the primary, where its columns are not its own.
    pub(super) view: Option<View>,
    /// The places of the primary key's columns; empty where there is none.
    pub(super) key: Vec<usize>,
    pub(super) rank: u32,
    pub(super) rows: u64,
}

impl Table {
    /// Whether writes to it can be taken back, and readings of it stand still.
    pub(super) fn is_transactional(&self) -> bool {
        self.engine.eq_ignore_ascii_case(TRANSACTIONAL)
    }

    /// Why its rows are left to a person.
    pub(super) fn hold(&self) -> Option<String> {
        let engine = &self.engine;
        (!self.is_transactional())
            .then(|| format!("the table is of engine {engine}, which has no transactions: compared, never written"))
    }

    /// The expressions of all columns of a table that is called `r`.
    pub(super) fn outputs(&self) -> String {
        self.columns.iter().map(Column::output).collect::<Vec<_>>().join(", ")
    }

    /// The table as `FROM` wants it, with the columns that it is seen by.
    pub(super) fn from(&self) -> &str {
        self.view.as_ref().map_or(&self.quoted, |view| &view.from)
    }

    /// The name of a column in the table itself, where it is not computed.
    pub(super) fn own_name(&self, at: usize) -> Option<&str> {
        match &self.view {
            None => self.columns.get(at).map(|column| column.name.as_str()),
            Some(view) => view.own_name(at),
        }
    }

    /// What it is called where it cannot be read.
    pub(super) fn words(&self) -> String {
        match &self.view {
            None => self.name.clone(),
            Some(view) => format!("{} by {}", self.name, view.path),
        }
    }

    /// Ignored columns that hold what cannot be computed again.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Column> {
        self.ignored.iter().filter(|column| !column.is_generated())
    }

    /// Why its rows are not deleted, where they are not.
    pub(super) fn hold_deletes(&self) -> Option<String> {
        let kept: Vec<&str> = self.kept().map(|column| column.name.as_str()).collect();
        (!kept.is_empty()).then(|| kept_words(&kept))
    }

    /// The columns of the primary key in its order.
    pub(super) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|&at| &self.columns[at])
    }
}

/// One foreign key that touches a covered table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// The child's name; with its database where that is another.
    pub(super) child: String,
    pub(super) parent: String,
    pub(super) child_quoted: String,
    pub(super) parent_quoted: String,
    pub(super) child_columns: Vec<String>,
    pub(super) parent_columns: Vec<String>,
    pub(super) on_delete: String,
    pub(super) on_update: String,
}

impl ForeignKey {
    /// `r.column = other.column` for every pair of columns, by the names that the two tables go by.
    pub(super) fn pairs(&self, parent: &str, child: &str) -> String {
        let columns = self.parent_columns.iter().zip(&self.child_columns);
        let pairs =
            columns.map(|(one, other)| format!("{parent}.{} = {child}.{}", names::quoted(one), names::quoted(other)));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// Everything covered, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) database: String,
    pub(super) tables: Vec<Arc<Table>>,
    by_name: BTreeMap<String, usize>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Patterns that match no table.
    pub(super) idle_patterns: Vec<String>,
    /// Tables that no pattern matches.
    pub(super) uncovered: Vec<String>,
    /// What matches a pattern and cannot be covered, with the reason.
    pub(super) left_out: Vec<(String, String)>,
}

const TABLES: &str =
    "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(TABLE_ROWS, 0), COALESCE(CREATE_OPTIONS, '')
 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')";

const COLUMNS: &str =
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME,
  COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, COALESCE(DATETIME_PRECISION, 0)
 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION";

const KEYS: &str = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
 WHERE TABLE_SCHEMA = ? AND INDEX_NAME = 'PRIMARY' ORDER BY TABLE_NAME, SEQ_IN_INDEX";

const FOREIGN_KEYS: &str =
    "SELECT k.CONSTRAINT_NAME, k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA,
  k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE
 FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r
  ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
 WHERE k.REFERENCED_TABLE_NAME IS NOT NULL AND";

const FOREIGN_KEYS_ORDER: &str = "ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION";

/// How far foreign keys are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of the database's own tables.
    Own,
    /// Those of other databases' tables too, which refer to this one: the server opens every table it has to tell.
    Referring,
}

impl Reach {
    fn conditions(self) -> &'static [&'static str] {
        match self {
            // Said of both views, for a server looks into the tables of one database only where it is told which.
            Reach::Own => &["k.TABLE_SCHEMA = ? AND r.CONSTRAINT_SCHEMA = ?"],
            Reach::Referring => &[
                "k.TABLE_SCHEMA = ? AND r.CONSTRAINT_SCHEMA = ?",
                "k.REFERENCED_TABLE_SCHEMA = ? AND k.TABLE_SCHEMA <> ?",
            ],
        }
    }
}

/// Reads the catalog of all covered tables.
pub(super) async fn load(conn: &mut Conn, covered: &Covered, reach: Reach) -> Result<Catalog> {
    let patterns = &covered.patterns;
    let what = "cannot read the database's catalog";
    let database = ask::rows(conn, what, "SELECT DATABASE()", ()).await?;
    let database = database.into_iter().next().map(|mut row| row.text(0)).transpose()?.unwrap_or_default();
    let mut catalog = Catalog { database: database.clone(), ..Catalog::default() };
    let mut tables = Vec::new();
    for mut row in ask::rows(conn, what, TABLES, (&database,)).await? {
        sort_table(&mut catalog, &mut tables, patterns, &mut row)?;
    }
    tables.sort_by(|one: &Table, other| one.name.cmp(&other.name));
    let is_idle = |pattern: &&String| {
        let mut names = tables.iter().map(|table| &table.name).chain(catalog.left_out.iter().map(|(name, _)| name));
        !names.any(|name| sql_names::matches(pattern, name))
    };
    catalog.idle_patterns = patterns.iter().filter(is_idle).cloned().collect();
    for mut row in ask::rows(conn, what, COLUMNS, (&database,)).await? {
        let name = row.text(0)?;
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            let column = column_of(table, &mut row)?;
            table.columns.push(column);
        }
    }
    for mut row in ask::rows(conn, what, KEYS, (&database,)).await? {
        let (name, column) = (row.text(0)?, row.text(1)?);
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            add_key_column(table, &column)?;
        }
    }
    for condition in reach.conditions() {
        let sql = format!("{FOREIGN_KEYS} {condition} {FOREIGN_KEYS_ORDER}");
        for mut row in ask::rows(conn, what, &sql, (&database, &database)).await? {
            add_reference(&mut catalog, &mut row)?;
        }
    }
    let is_covered = |name: &str| tables.iter().any(|table| table.name == name);
    catalog.foreign_keys.retain(|key| is_covered(&key.child) || is_covered(&key.parent));
    catalog.foreign_keys.iter_mut().for_each(|key| spell_columns(key, &tables));
    rank(&mut tables, &catalog.foreign_keys);
    require_columns(&tables)?;
    mapping::apply(conn, &mut tables, covered).await?;
    catalog.by_name = tables.iter().enumerate().map(|(at, table)| (table.name.clone(), at)).collect();
    catalog.tables = tables.into_iter().map(Arc::new).collect();
    Ok(catalog)
}

/// Puts a table among those that are covered, those that are not, and those that cannot be.
fn sort_table(catalog: &mut Catalog, tables: &mut Vec<Table>, patterns: &[String], row: &mut Cells) -> Result<()> {
    let (name, sort, engine) = (row.text(0)?, row.text(1)?, row.text(2)?);
    if !patterns.iter().any(|pattern| sql_names::matches(pattern, &name)) {
        catalog.uncovered.push(name);
        return Ok(());
    }
    let reason = match sort.as_str() {
        "BASE TABLE" => None,
        "SEQUENCE" => Some("a sequence, which is not raised on the primary".to_owned()),
        "SYSTEM VERSIONED" => Some("system-versioned: its history cannot be brought over".to_owned()),
        other => Some(format!("a {}, which is not understood", other.to_lowercase())),
    };
    if let Some(reason) = reason {
        catalog.left_out.push((name, reason));
        return Ok(());
    }
    tables.push(Table {
        quoted: format!("{}.{}", names::quoted(&catalog.database), names::quoted(&name)),
        name,
        engine,
        rows: row.number(3)?,
        options: row.text(4)?,
        columns: Vec::new(),
        ignored: Vec::new(),
        view: None,
        key: Vec::new(),
        rank: 0,
    });
    Ok(())
}

fn column_of(table: &Table, row: &mut Cells) -> Result<Column> {
    let (name, data_type, column_type) = (row.text(1)?, row.text(2)?.to_lowercase(), row.text(3)?);
    let charset = row.maybe_text(5)?;
    let extra = row.text(8)?.to_lowercase();
    let digits = usize::try_from(row.number(10)?).unwrap_or(6);
    let reading = Reading::of(&data_type, &column_type, charset.as_deref(), digits).ok_or_else(|| {
        let what = format!("{}.{name} is of type {data_type}, which this program does not read", table.name);
        StoreError::new(ErrorKind::Unfit, what)
    })?;
    Ok(Column {
        type_name: column::type_name(&data_type, &column_type),
        reading,
        not_null: row.text(4)? == "NO",
        generated: row.maybe_text(9)?.filter(|expression| !expression.is_empty()),
        charset,
        collation: row.maybe_text(6)?,
        default: row.maybe_text(7)?,
        is_touched: extra.contains("on update"),
        is_counted: extra.contains("auto_increment"),
        name,
    })
}

fn add_key_column(table: &mut Table, name: &str) -> Result<()> {
    let Some(at) = table.columns.iter().position(|column| column.name == name) else {
        let what = format!("the primary key of {} has a column {name} that cannot be read", table.name);
        return Err(StoreError::new(ErrorKind::Unfit, what));
    };
    table.key.push(at);
    Ok(())
}

fn add_reference(catalog: &mut Catalog, row: &mut Cells) -> Result<()> {
    let (name, child_schema, child, child_column) = (row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
    let (parent_schema, parent, parent_column) = (row.text(4)?, row.text(5)?, row.text(6)?);
    let in_words = |schema: &str, table: &str| match schema == catalog.database {
        true => table.to_owned(),
        false => format!("{schema}.{table}"),
    };
    let (child_name, parent_name) = (in_words(&child_schema, &child), in_words(&parent_schema, &parent));
    match catalog.foreign_keys.last_mut().filter(|key| key.name == name && key.child == child_name) {
        Some(key) => {
            key.child_columns.push(child_column);
            key.parent_columns.push(parent_column);
        }
        None => catalog.foreign_keys.push(ForeignKey {
            name,
            child: child_name,
            parent: parent_name,
            child_quoted: format!("{}.{}", names::quoted(&child_schema), names::quoted(&child)),
            parent_quoted: format!("{}.{}", names::quoted(&parent_schema), names::quoted(&parent)),
            child_columns: vec![child_column],
            parent_columns: vec![parent_column],
            on_delete: row.text(7)?,
            on_update: row.text(8)?,
        }),
    }
    Ok(())
}

/// A foreign key may spell the names of columns in another case than their tables do.
fn spell_columns(key: &mut ForeignKey, tables: &[Table]) {
    for (table, names) in [(&key.child, &mut key.child_columns), (&key.parent, &mut key.parent_columns)] {
        let Some(table) = tables.iter().find(|own| own.name == *table) else { continue };
        for name in names {
            let column = table.columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase());
            if let Some(column) = column {
                name.clone_from(&column.name);
            }
        }
    }
}

fn rank(tables: &mut [Table], foreign_keys: &[ForeignKey]) {
    let at = |name: &str| tables.iter().position(|table| table.name == name);
    let references: Vec<(usize, usize)> =
        foreign_keys.iter().filter_map(|key| Some((at(&key.child)?, at(&key.parent)?))).collect();
    let ranks = sql_names::ranks(tables.len(), &references);
    for (table, rank) in tables.iter_mut().zip(ranks) {
        table.rank = rank;
    }
}

/// Columns are told only to who may see them: a table without any is one that cannot be read.
fn require_columns(tables: &[Table]) -> Result<()> {
    let mut seen = BTreeSet::new();
    if let Some(table) = tables.iter().find(|table| table.columns.is_empty()) {
        let what = format!("the columns of {} cannot be read", table.name);
        return Err(StoreError::new(ErrorKind::Denied, what));
    }
    match tables.iter().find(|table| !seen.insert(&table.name)) {
        None => Ok(()),
        Some(table) => Err(StoreError::new(ErrorKind::Unfit, format!("two tables go by the name {}", table.name))),
    }
}

impl Catalog {
    /// The covered table of that name.
    pub(super) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.by_name.get(name).and_then(|&at| self.tables.get(at))
    }

    /// Foreign keys of which `table` is the parent.
    pub(super) fn references_to<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a ForeignKey> {
        self.foreign_keys.iter().filter(move |key| key.parent == table)
    }

    /// Foreign keys of which `table` is the child.
    pub(super) fn references_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a ForeignKey> {
        self.foreign_keys.iter().filter(move |key| key.child == table)
    }

    /// Whether both describe the same tables alike; estimates may move.
    pub(super) fn is_same_shape(&self, other: &Catalog) -> bool {
        let alike = |one: &Table, other: &Table| {
            let is_seen_alike = one.ignored == other.ignored && one.view == other.view;
            is_seen_alike && one.name == other.name && one.columns == other.columns && one.key == other.key
        };
        self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(|(one, other)| alike(one, other))
    }
}
