//! Tables of dr whose model moved on, seen as the primary's; and columns that nobody looks at.
//!
//! Expressions are the profile's and run on dr alone, in sessions that cannot write. The server itself says whether they are
//! right, and which of dr's columns they use: it is asked the same without one, and must then miss it. It answers what a cast
//! cannot make with a warning and some other value, so a reading through an expression that was warned of is an error.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::catalog::{Catalog, Table};
use super::column::{Column, Reading};
use super::fault;
use crate::model::Side;
use crate::profile::MappingProfile;
use crate::store::sql::mapping::{self, Models};
use crate::store::{ErrorKind, Result, StoreError};

/// An expression names a column that there is not.
const NO_SUCH_COLUMN: u16 = 1054;

pub(super) type Covered = mapping::Covered<Catalog>;

/// How a table of dr is seen as the primary's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// What `FROM` wants instead of the table.
    pub(super) from: String,
    /// dr's own columns.
    own: Vec<Column>,
    /// By which of those each column is seen, where it is not computed.
    sources: Vec<Option<usize>>,
    /// Those that nothing names.
    pub(super) left: Vec<Column>,
    /// dr's own primary key, where that is not the primary's by other names.
    pub(super) other_key: Option<String>,
    /// Whether the primary's key is computed, so that no index keeps it unique.
    is_key_computed: bool,
    /// Whether any column is computed.
    is_computed: bool,
    /// Where the profile says so.
    pub(super) path: String,
}

impl View {
    /// What dr itself calls a column.
    pub(super) fn own_name(&self, at: usize) -> Option<&str> {
        let own = (*self.sources.get(at)?)?;
        self.own.get(own).map(|column| column.name.as_str())
    }
}

/// Has tables seen as the mappings say.
pub(super) async fn apply(conn: &mut Conn, tables: &mut [Table], covered: &Covered) -> Result<()> {
    for mapping in &covered.mappings {
        let Some(table) = tables.iter_mut().find(|table| table.name == mapping.table) else {
            covered.without(mapping)?;
            continue;
        };
        match &covered.model {
            None => leave_out(table, mapping, covered.side)?,
            Some(model) => {
                let primary = model.table(&mapping.table);
                let primary = primary.ok_or_else(|| mapping::no_such_table(mapping, "the primary's database"))?;
                see_as(conn, table, primary, mapping).await?;
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
    let key: Vec<&str> = table.key_columns().map(|column| column.name.as_str()).collect();
    mapping::require_key(mapping, &key)?;
    let key: Vec<String> = key.into_iter().map(str::to_owned).collect();
    let columns = std::mem::take(&mut table.columns);
    (table.ignored, table.columns) = columns.into_iter().partition(|column| mapping::is_ignored(mapping, &column.name));
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    table.key = key.iter().map(|name| place(name).expect("a column of the key is not ignored")).collect();
    match table.columns.is_empty() {
        true => Err(mapping::unfit(mapping, "ignore", format!("no column of {} is left to be compared", table.name))),
        false => Ok(()),
    }
}

async fn see_as(conn: &mut Conn, table: &mut Table, primary: &Table, mapping: &MappingProfile) -> Result<()> {
    let own = std::mem::take(&mut table.columns);
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
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
                sources.push((format!("t.{}", own[at].quoted()), Some(at)));
            }
            mapping::Source::Expression(expression, field) => {
                let sql = cast(&expression, wanted).ok_or_else(|| {
                    let what =
                        format!("a column of type {} cannot be computed on this kind of server", wanted.type_name);
                    mapping::unfit(mapping, &format!("{field}.{}", wanted.name), what)
                })?;
                let tried = conn.query_drop(try_sql(&table.quoted, &[&sql])).await;
                tried.map_err(|error| refused(mapping, field, &wanted.name, &error))?;
                columns.push(wanted.clone());
                expressions.push(sql.clone());
                sources.push((sql, None));
            }
        }
    }
    let left: Vec<&Column> = resolved.left.iter().map(|&at| &own[at]).collect();
    let left = unused(conn, table, &own, left, &expressions).await?;
    let places: Vec<Option<usize>> = sources.iter().map(|(_, at)| *at).collect();
    let key = Key::of(table, primary, &own, (&columns, &places));
    let outputs = sources.iter().zip(&columns).map(|((sql, _), column)| format!("{sql} AS {}", column.quoted()));
    let from = format!("(SELECT {} FROM {} AS t)", outputs.collect::<Vec<_>>().join(", "), table.quoted);
    table.columns = columns;
    table.key = key.columns;
    table.view = Some(View {
        from,
        own,
        sources: places,
        left,
        other_key: key.other,
        is_key_computed: key.is_computed,
        is_computed: !expressions.is_empty(),
        path: mapping.path.clone(),
    });
    Ok(())
}

/// An expression as a value of a column's type; `None` where the server has no cast to it.
fn cast(expression: &str, column: &Column) -> Option<String> {
    // A line of its own, so that a comment ends where the expression does.
    let inner = format!("(\n{expression}\n)");
    let digits =
        || column.type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(digits, _)| digits);
    let to = match &column.reading {
        Reading::Integer if column.type_name.contains("unsigned") || column.type_name == "year" => {
            "UNSIGNED".to_owned()
        }
        Reading::Integer => "SIGNED".to_owned(),
        Reading::Decimal if !column.type_name.contains("zerofill") => format!("DECIMAL({})", digits()?),
        Reading::Float => "FLOAT".to_owned(),
        Reading::Double => "DOUBLE".to_owned(),
        Reading::Bytes => "BINARY".to_owned(),
        Reading::Temporal(_) if column.type_name == "date" => "DATE".to_owned(),
        Reading::Temporal(digits)
            if column.type_name.starts_with("time") && !column.type_name.starts_with("timestamp") =>
        {
            format!("TIME({digits})")
        }
        Reading::Temporal(digits) => format!("DATETIME({digits})"),
        Reading::Text(_) => {
            let (charset, collation) = (column.charset.as_ref()?, column.collation.as_ref()?);
            return Some(format!("CONVERT({inner} USING {charset}) COLLATE {collation}"));
        }
        Reading::Decimal | Reading::Bits | Reading::Enum(_) | Reading::Set(_) | Reading::Plain => return None,
    };
    Some(format!("CAST({inner} AS {to})"))
}

/// Expressions over no row of a table. A condition takes no aggregate, which would make one row of all.
fn try_sql(from: &str, expressions: &[&str]) -> String {
    let conditions: Vec<String> = expressions.iter().map(|sql| format!("({sql}) IS NULL")).collect();
    format!("SELECT 1 FROM {from} AS t WHERE {} AND FALSE", conditions.join(" AND "))
}

/// What the server says of an expression, over no row.
fn refused(mapping: &MappingProfile, field: &str, column: &str, error: &Error) -> StoreError {
    match error {
        Error::Server(said) => {
            mapping::unfit(mapping, &format!("{field}.{column}"), format!("dr's server says: {}", said.message))
        }
        _ => fault::store_error(format!("cannot try {}.{field}.{column}", mapping.path), error),
    }
}

/// Those of the columns without which every expression is as right as with them.
async fn unused(
    conn: &mut Conn,
    table: &Table,
    own: &[Column],
    left: Vec<&Column>,
    expressions: &[String],
) -> Result<Vec<Column>> {
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    let without = |left_out: Option<&Column>| {
        let kept = own.iter().filter(|column| left_out.is_none_or(|out| out.name != column.name));
        let kept: Vec<String> = kept.map(|column| format!("t.{}", column.quoted())).collect();
        let kept = if kept.is_empty() { "NULL".to_owned() } else { kept.join(", ") };
        try_sql(&format!("(SELECT {kept} FROM {} AS t)", table.quoted), &expressions)
    };
    // What needs more of a table than its columns tells nothing of them.
    if left.is_empty() || expressions.is_empty() || conn.query_drop(without(None)).await.is_err() {
        return Ok(left.into_iter().cloned().collect());
    }
    let mut unused = Vec::new();
    for column in left {
        match conn.query_drop(without(Some(column))).await {
            Ok(()) => unused.push(column.clone()),
            Err(Error::Server(said)) if said.code == NO_SUCH_COLUMN => {}
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
    columns: Vec<usize>,
    other: Option<String>,
    is_computed: bool,
}

impl Key {
    /// `places` says where each of the columns is among dr's own, where it is not computed.
    fn of(table: &Table, primary: &Table, own: &[Column], (columns, places): (&[Column], &[Option<usize>])) -> Key {
        let wanted = primary.key_columns().map(|key| columns.iter().position(|column| column.name == key.name));
        let wanted: Option<Vec<usize>> = wanted.collect();
        if let Some(columns) = wanted.filter(|key| key.iter().any(|&at| places[at].is_none())) {
            return Key { columns, other: None, is_computed: true };
        }
        let place = |key: &usize| places.iter().position(|at| *at == Some(*key));
        match table.key.iter().map(place).collect() {
            Some(columns) => Key { columns, other: None, is_computed: false },
            None => {
                let names: Vec<&str> = table.key.iter().map(|&key| own[key].name.as_str()).collect();
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

/// Whether an index keeps the table's keys apart.
pub(super) fn is_key_computed(table: &Table) -> bool {
    table.view.as_ref().is_some_and(|view| view.is_key_computed)
}

/// Refuses a reading of rows whose computed keys are not unique.
pub(super) async fn require_unique(conn: &mut Conn, catalog: &Catalog) -> Result<()> {
    for table in catalog.tables.iter().map(AsRef::as_ref).filter(|table| is_key_computed(table)) {
        let names: Vec<String> = table.key_columns().map(|column| format!("r.{}", column.quoted())).collect();
        let nulls: Vec<String> = names.iter().map(|name| format!("{name} IS NULL")).collect();
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} AS r GROUP BY {} HAVING COUNT(*) > 1 OR {}) AS d",
            table.from(),
            names.join(", "),
            nulls.join(" OR ")
        );
        let failed = |error| fault::store_error(format!("cannot read the keys of {}", table.words()), &error);
        let found: Option<u64> = conn.query_first(sql).await.map_err(failed)?;
        require_unwarned(conn, table).await?;
        if found != Some(0) {
            return Err(not_unique(table));
        }
    }
    Ok(())
}

/// Refuses what was read through expressions when the server warned of it: some value was not what the cast says.
///
/// A warning quotes values of rows, so that only its number is told.
pub(super) async fn require_unwarned(conn: &mut Conn, table: &Table) -> Result<()> {
    if !table.view.as_ref().is_some_and(|view| view.is_computed) || conn.get_warnings() == 0 {
        return Ok(());
    }
    let failed = |error| fault::store_error(format!("cannot ask what was wrong with {}", table.words()), &error);
    let warnings: Vec<Row> = conn.query("SHOW WARNINGS").await.map_err(failed)?;
    let codes = warnings.into_iter().filter_map(|row| mysql_async::from_row_opt::<(String, u32, String)>(row).ok());
    let code = codes.filter(|(level, ..)| level != "Note").map(|(_, code, _)| code).next();
    match code {
        None => Ok(()),
        Some(code) => {
            let what =
                format!("{}: a value is not of its column's type (the server warned with error {code})", table.words());
            Err(StoreError::new(ErrorKind::Unreadable, what))
        }
    }
}
