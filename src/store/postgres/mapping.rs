//! Tables of dr whose model moved on, seen as the primary's; and columns that nobody looks at.
//!
//! Expressions are the profile's and run on dr alone, in sessions that cannot write. The server itself says whether they are
//! right, and which of dr's columns they use: it is asked the same without one, and must then miss it.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::catalog::{Catalog, Column, KeyColumn, Table};
use super::{fault, names};
use crate::model::Side;
use crate::profile::MappingProfile;
use crate::store::sql::mapping::{self, Models};
use crate::store::{ErrorKind, Result, StoreError};

pub(super) type Covered = mapping::Covered<Catalog>;

/// Where a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A column of dr, by its name there.
    Column(String),
    /// An expression over the table's columns, cast to the column's type.
    Expression(String),
}

impl Source {
    /// The source as an expression over a table that is called `t`.
    fn sql(&self) -> String {
        match self {
            Source::Column(name) => format!("t.{}", names::quoted(name)),
            Source::Expression(sql) => sql.clone(),
        }
    }
}

/// How a table of dr is seen as the primary's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Where each of the table's columns comes from.
    pub(super) sources: Vec<Source>,
    /// dr's own columns.
    own: Vec<Column>,
    /// Those that nothing names.
    pub(super) left: Vec<Column>,
    /// dr's own primary key, where that is not the primary's by other names.
    pub(super) other_key: Option<String>,
    /// Whether the primary's key is computed, so that no index keeps it unique.
    pub(super) is_key_computed: bool,
    /// Where the profile says so.
    pub(super) path: String,
}

impl View {
    /// What `FROM` wants instead of the table.
    pub(super) fn from(&self, columns: &[Column], own: &str) -> String {
        let outputs = self.sources.iter().zip(columns);
        let outputs: Vec<String> =
            outputs.map(|(source, column)| format!("{} AS {}", source.sql(), names::quoted(&column.name))).collect();
        format!("(SELECT t.ctid, {} FROM {own} AS t)", outputs.join(", "))
    }
}

/// Has tables seen as the mappings say. Where `known` is a catalog of the same tables, its views are taken over without asking.
pub(super) async fn apply(
    client: &Client,
    tables: &mut [Table],
    covered: &Covered,
    known: Option<&Catalog>,
) -> Result<()> {
    for mapping in &covered.mappings {
        let Some(table) = tables.iter_mut().find(|table| table.name == mapping.table) else {
            covered.without(mapping)?;
            continue;
        };
        match (&covered.model, known.and_then(|known| known.table(&mapping.table))) {
            (None, _) => leave_out(table, mapping, covered.side)?,
            (Some(_), Some(known)) => see_as_known(table, known),
            (Some(model), None) => {
                let primary = model.table(&mapping.table);
                let primary = primary.ok_or_else(|| mapping::no_such_table(mapping, "the primary's database"))?;
                see_as(client, table, primary, mapping).await?;
            }
        }
    }
    Ok(())
}

/// Leaves out the columns that nobody looks at.
fn leave_out(table: &mut Table, mapping: &MappingProfile, side: Side) -> Result<()> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    if side == Side::Primary {
        mapping::require_columns(mapping, &names)?;
    }
    let key: Vec<&str> = table.key.iter().map(|key| names[key.column]).collect();
    mapping::require_key(mapping, &key)?;
    let numbers: Vec<i16> = table.key.iter().map(|key| table.columns[key.column].number).collect();
    let columns = std::mem::take(&mut table.columns);
    (table.ignored, table.columns) = columns.into_iter().partition(|column| mapping::is_ignored(mapping, &column.name));
    for (key, number) in table.key.iter_mut().zip(numbers) {
        let place = table.columns.iter().position(|column| column.number == number);
        key.column = place.expect("a column of the key is not ignored");
    }
    match table.columns.is_empty() {
        true => Err(mapping::unfit(mapping, "ignore", format!("no column of {} is left to be compared", table.name))),
        false => Ok(()),
    }
}

/// A table whose own columns are another's is left as it is, which is no longer the same shape.
fn see_as_known(table: &mut Table, known: &Table) {
    if known.view.as_ref().is_some_and(|view| view.own == table.columns) {
        table.columns.clone_from(&known.columns);
        table.key.clone_from(&known.key);
        table.view.clone_from(&known.view);
    }
}

async fn see_as(client: &Client, table: &mut Table, primary: &Table, mapping: &MappingProfile) -> Result<()> {
    let own = std::mem::take(&mut table.columns);
    let names = |columns: &'_ [Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let (ours, theirs, ignored) = (names(&own), names(&primary.columns), names(&primary.ignored));
    let models = Models {
        primary: theirs.iter().map(String::as_str).collect(),
        ignored: ignored.iter().map(String::as_str).collect(),
        dr: ours.iter().map(String::as_str).collect(),
    };
    let resolved = mapping::resolve(mapping, &models)?;
    let (mut columns, mut sources, mut expressions) = (Vec::new(), Vec::new(), Vec::new());
    for (place, source) in resolved.columns {
        let wanted = &primary.columns[place];
        match source {
            mapping::Source::Column(at) => {
                columns.push(Column { name: wanted.name.clone(), ..own[at].clone() });
                sources.push(Source::Column(own[at].name.clone()));
            }
            mapping::Source::Expression(expression, field) => {
                let sql = cast(&expression, &wanted.type_name);
                let tried = client.query_typed(&try_sql(&table.own(), &[&sql]), &[]).await;
                tried.map_err(|error| refused(mapping, field, &wanted.name, &error))?;
                columns.push(wanted.clone());
                expressions.push(sql.clone());
                sources.push(Source::Expression(sql));
            }
        }
    }
    let left: Vec<&Column> = resolved.left.iter().map(|&at| &own[at]).collect();
    let left = unused(client, table, &own, left, &expressions).await?;
    let key = Key::of(table, primary, &own, (&columns, &sources));
    table.columns = columns;
    table.key = key.columns;
    let (other_key, is_key_computed) = (key.other, key.is_computed);
    table.view = Some(View { sources, own, left, other_key, is_key_computed, path: mapping.path.clone() });
    Ok(())
}

/// An expression as a value of a type. Text that is longer than its type takes is not cut, as a cast would: it stays a
/// difference, which no row of the primary can be made to be.
fn cast(expression: &str, type_name: &str) -> String {
    // A line of its own, so that a comment ends where the expression does.
    let inner = format!("(\n{expression}\n)");
    let length = |name: &str| {
        let rest = type_name.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?;
        rest.parse::<u32>().ok()
    };
    match (length("character varying"), length("character")) {
        (Some(_), _) => format!("CAST({inner} AS character varying)"),
        (_, Some(length)) => format!(
            "CASE WHEN char_length(rtrim(CAST({inner} AS text), ' ')) > {length} THEN CAST({inner} AS bpchar)
             ELSE CAST({inner} AS character({length})) END"
        ),
        _ => format!("CAST({inner} AS {type_name})"),
    }
}

/// Expressions over no row of a table. In a condition there is neither an aggregate nor a set, which would make other rows.
fn try_sql(from: &str, expressions: &[&str]) -> String {
    let conditions: Vec<String> = expressions.iter().map(|sql| format!("({sql}) IS NULL")).collect();
    format!("SELECT 1 FROM {from} AS t WHERE {} AND false", conditions.join(" AND "))
}

/// What the server says of an expression, over no row.
fn refused(mapping: &MappingProfile, field: &str, column: &str, error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(said) => {
            mapping::unfit(mapping, &format!("{field}.{column}"), format!("dr's server says: {}", said.message()))
        }
        None => fault::store_error(format!("cannot try {}.{field}.{column}", mapping.path), error),
    }
}

/// Those of the columns without which every expression is as right as with them.
async fn unused(
    client: &Client,
    table: &Table,
    own: &[Column],
    left: Vec<&Column>,
    expressions: &[String],
) -> Result<Vec<Column>> {
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    let without = |left_out: Option<&Column>| {
        let kept = own.iter().filter(|column| left_out.is_none_or(|out| out.name != column.name));
        let kept: Vec<String> = kept.map(|column| format!("t.{}", names::quoted(&column.name))).collect();
        let kept = if kept.is_empty() { "NULL".to_owned() } else { kept.join(", ") };
        try_sql(&format!("(SELECT {kept} FROM {} AS t)", table.own()), &expressions)
    };
    // What needs more of a table than its columns tells nothing of them.
    if left.is_empty() || expressions.is_empty() || client.query_typed(&without(None), &[]).await.is_err() {
        return Ok(left.into_iter().cloned().collect());
    }
    let mut unused = Vec::new();
    for column in left {
        match client.query_typed(&without(Some(column)), &[]).await {
            Ok(_) => unused.push(column.clone()),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => {}
            Err(error) => {
                let what = format!("cannot ask whether column {} of {} is used", column.name, table.name);
                return Err(fault::store_error(what, &error));
            }
        }
    }
    Ok(unused)
}

/// By what rows of dr are told apart.
struct Key {
    columns: Vec<KeyColumn>,
    other: Option<String>,
    is_computed: bool,
}

impl Key {
    fn of(table: &Table, primary: &Table, own: &[Column], (columns, sources): (&[Column], &[Source])) -> Key {
        let wanted = primary.key.iter().map(|key| {
            let name = &primary.columns[key.column].name;
            let column = columns.iter().position(|column| column.name == *name)?;
            Some(KeyColumn { column, equals: key.equals.clone() })
        });
        let wanted: Option<Vec<KeyColumn>> = wanted.collect();
        let is_expression = |key: &KeyColumn| matches!(sources[key.column], Source::Expression(_));
        if let Some(columns) = wanted.filter(|key| key.iter().any(is_expression)) {
            return Key { columns, other: None, is_computed: true };
        }
        let place = |key: &KeyColumn| {
            let name = &own[key.column].name;
            let column = sources.iter().position(|source| matches!(source, Source::Column(from) if from == name))?;
            Some(KeyColumn { column, equals: key.equals.clone() })
        };
        match table.key.iter().map(place).collect() {
            Some(columns) => Key { columns, other: None, is_computed: false },
            None => {
                let names: Vec<&str> = table.key.iter().map(|key| own[key.column].name.as_str()).collect();
                let other = Some(format!("{}, by dr's own names", names.join(", ")));
                Key { columns: Vec::new(), other, is_computed: false }
            }
        }
    }
}

/// Two rows with one key.
pub(super) fn not_unique(table: &Table) -> StoreError {
    let what =
        format!("{} has rows with the same key, or without one: the mapping does not tell them apart", table.words());
    StoreError::new(ErrorKind::Unfit, what)
}

/// Refuses a reading of rows whose computed keys are not unique.
pub(super) async fn require_unique(client: &Client, catalog: &Catalog) -> Result<()> {
    let is_computed = |table: &&Table| table.view.as_ref().is_some_and(|view| view.is_key_computed);
    for table in catalog.tables.iter().map(AsRef::as_ref).filter(is_computed) {
        let key = table.key.iter().map(|key| format!("r.{}", names::quoted(&table.columns[key.column].name)));
        let key = key.collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} AS r GROUP BY {key} HAVING count(*) > 1 OR num_nulls({key}) > 0)",
            table.from()
        );
        let found = client.query_typed_one(&sql, &[]).await;
        let found =
            found.map_err(|error| fault::store_error(format!("cannot read the keys of {}", table.words()), &error))?;
        if found.get(0) {
            return Err(not_unique(table));
        }
    }
    Ok(())
}
