//! The statements that write rows; every value goes by the binary protocol, in the form that its column stores.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params, Value as Sql};

use super::catalog::{ForeignKey, Table};
use super::column::{Column, Reading};
use super::fetch::near;
use super::names::quoted;
use super::row::param;
use super::{Job, Task, Wish};
use crate::model::Value;

/// Values above this size are not sent again to be compared: the row's lock holds them as they were read.
const GUARD_BYTES_MAX: usize = 4_096;

/// Rows, values and bytes of one insert.
const ROWS_MAX: usize = 200;
const VALUES_MAX: usize = 30_000;
const BYTES_MAX: usize = 1 << 20;

/// How many rows of one table, each by its values, go into one statement.
pub(super) fn fitting<'v>(rows: impl Iterator<Item = &'v [Value]>) -> usize {
    let (mut values, mut bytes) = (0, 0);
    let fits = |row: &&[Value]| {
        // A key's values are said twice.
        values += 2 * row.len();
        bytes += row.iter().map(size_of).sum::<usize>();
        values <= VALUES_MAX && bytes <= BYTES_MAX
    };
    rows.take(ROWS_MAX).take_while(fits).count().max(1)
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Typed { text, .. } => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 8,
    }
}

/// Runs a statement and gives how many rows it met, changed or not.
async fn run(conn: &mut Conn, sql: String, params: Vec<Sql>) -> Result<u64, Error> {
    let done = conn.exec_iter(sql, Params::Positional(params)).await?;
    let met = done.affected_rows();
    done.drop_result().await?;
    Ok(met)
}

/// Inserts rows, which must not be there.
pub(super) async fn insert(conn: &mut Conn, table: &Table, wishes: &[&Wish]) -> Result<u64, Error> {
    let places: Vec<usize> = (0..table.columns.len()).filter(|&at| !table.columns[at].is_generated()).collect();
    let columns: Vec<String> = places.iter().map(|&at| table.columns[at].quoted()).collect();
    let row: Vec<String> = places.iter().map(|&at| table.columns[at].placeholder()).collect();
    let row = format!("({})", row.join(", "));
    let rows = vec![row.as_str(); wishes.len()].join(", ");
    let values = wishes.iter().flat_map(|wish| places.iter().map(|&at| written(table, wish, at)));
    let params = values.collect();
    run(conn, format!("INSERT INTO {} ({}) VALUES {rows}", table.quoted, columns.join(", ")), params).await
}

/// Wishes hold only values that fit their columns.
fn written(table: &Table, wish: &Wish, at: usize) -> Sql {
    param(&table.columns[at], &wish.cells[at]).unwrap_or(Sql::NULL)
}

/// Carries out a delete or an update on the row that is exactly as it was observed; gives how many rows were met.
pub(super) async fn write(conn: &mut Conn, job: &Job<'_>, task: &Task) -> Result<u64, Error> {
    match (task, &job.wish) {
        (Task::Insert, Some(wish)) => insert(conn, &job.table, &[wish]).await,
        (Task::Update(observed, changed), Some(_)) => update_all(conn, &[(job, observed, changed)]).await,
        (Task::Delete(observed) | Task::Update(observed, _) | Task::Replace(observed), _) => {
            delete(conn, job, observed).await
        }
        (Task::Insert, None) => Ok(0),
    }
}

/// Deletes the row that was observed.
pub(super) async fn delete(conn: &mut Conn, job: &Job<'_>, observed: &[Value]) -> Result<u64, Error> {
    delete_all(conn, &[(job, observed)]).await
}

/// Deletes rows of one table that were observed.
pub(super) async fn delete_all(conn: &mut Conn, rows: &[(&Job<'_>, &[Value])]) -> Result<u64, Error> {
    let Some((first, _)) = rows.first() else { return Ok(0) };
    let (mut guards, mut params) = (Vec::with_capacity(rows.len()), Vec::new());
    for (job, observed) in rows {
        let (guard, guarding) = guarded(job, observed);
        guards.push(format!("({guard})"));
        params.extend(guarding);
    }
    // The form with a list of tables lets the table have another name, in every version.
    run(conn, format!("DELETE r FROM {} AS r WHERE {}", first.table.quoted, guards.join(" OR ")), params).await
}

/// A row to be updated: its job, what was observed, and the places of the columns that change.
pub(super) type Update<'a> = (&'a Job<'a>, &'a [Value], &'a [usize]);

/// The places of the columns that an update says: those that change, and those that the server sets on every update, so that it
/// does not.
fn said(table: &Table, changed: &[usize]) -> Vec<usize> {
    (0..table.columns.len()).filter(|at| changed.contains(at) || table.columns[*at].is_touched).collect()
}

/// Whether updates of these columns may go together: a choice between values of a column must be a value of its type.
pub(super) fn is_chosen_exactly(table: &Table, changed: &[usize]) -> bool {
    let is_exact = |at: &usize| {
        let reading = &table.columns[*at].reading;
        matches!(
            reading,
            Reading::Integer | Reading::Text(_) | Reading::Bytes | Reading::Decimal | Reading::Temporal(_)
        )
    };
    said(table, changed).iter().all(is_exact)
}

/// How many updates of the same columns of one table go into one statement.
pub(super) fn fitting_updates(rows: &[Update<'_>]) -> usize {
    let (mut values, mut bytes) = (0, 0);
    let fits = |(job, observed, changed): &&Update<'_>| {
        let keys = job.table.key.len();
        values += said(&job.table, changed).len() * (keys + 1) + keys + observed.len();
        let wished = job.wish.iter().flat_map(|wish| &wish.cells);
        bytes += observed.iter().chain(wished).map(size_of).sum::<usize>();
        values <= VALUES_MAX && bytes <= BYTES_MAX
    };
    rows.iter().take(ROWS_MAX).take_while(fits).count().max(1)
}

/// Updates the same columns of rows of one table that were observed: each row chooses its values by its key, which stays.
pub(super) async fn update_all(conn: &mut Conn, rows: &[Update<'_>]) -> Result<u64, Error> {
    let Some((first, _, changed)) = rows.first() else { return Ok(0) };
    let table = &first.table;
    let (mut settings, mut params) = (Vec::new(), Vec::new());
    for at in said(table, changed) {
        let column = &table.columns[at];
        let place = format!("r.{}", column.quoted());
        let choice = match rows {
            [_] => column.placeholder(),
            _ => {
                let when = format!("WHEN {} THEN {}", key_guard(table), column.placeholder());
                format!("CASE {} ELSE {place} END", vec![when; rows.len()].join(" "))
            }
        };
        settings.push(format!("{place} = {choice}"));
        for (job, observed, _) in rows {
            if rows.len() > 1 {
                params.extend(table.key.iter().filter_map(|&key| param(&table.columns[key], &observed[key])));
            }
            params.extend(job.wish.iter().map(|wish| written(table, wish, at)));
        }
    }
    let left_alone = table.ignored.iter().filter(|column| column.is_touched).map(Column::quoted);
    settings.extend(left_alone.map(|name| format!("r.{name} = r.{name}")));
    let mut guards = Vec::with_capacity(rows.len());
    for (job, observed, _) in rows {
        let (guard, guarding) = guarded(job, observed);
        guards.push(format!("({guard})"));
        params.extend(guarding);
    }
    let (settings, guards) = (settings.join(", "), guards.join(" OR "));
    run(conn, format!("UPDATE {} AS r SET {settings} WHERE {guards}", table.quoted), params).await
}

/// The row `r` has this very key.
fn key_guard(table: &Table) -> String {
    table.key_columns().map(Column::guard).collect::<Vec<_>>().join(" AND ")
}

/// Whether the row of a job's key holds in an ignored column anything but its default, which a delete would lose.
pub(super) async fn holds_ignored(conn: &mut Conn, job: &Job<'_>) -> Result<bool, Error> {
    let table = &job.table;
    let differs: Vec<String> = table.kept().map(is_not_default).collect();
    if differs.is_empty() {
        return Ok(false);
    }
    let (near, differs) = (near(table), differs.join(" OR "));
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} AS r WHERE {near} AND ({differs}))", table.quoted);
    exists(conn, sql, job.key_cells.clone()).await
}

/// A condition that a row meets unless its column holds what an insert would give it again.
fn is_not_default(column: &Column) -> String {
    let name = format!("r.{}", column.quoted());
    let default = column.default.as_deref().unwrap_or_default().to_lowercase();
    match column.reading {
        // What is called may give another value each time.
        _ if column.is_counted || default.contains('(') || default.starts_with("current_timestamp") => "TRUE".into(),
        Reading::Text(_) | Reading::Bytes => {
            format!("NOT (CAST({name} AS BINARY) <=> CAST(DEFAULT({name}) AS BINARY))")
        }
        _ => format!("NOT ({name} <=> DEFAULT({name}))"),
    }
}

/// The row of the key, found by its index, every column of which is still what was observed.
fn guarded(job: &Job<'_>, observed: &[Value]) -> (String, Vec<Sql>) {
    let table = &job.table;
    let (mut conditions, mut params) = (vec![near(table)], job.key_cells.clone());
    for (at, (column, value)) in table.columns.iter().zip(observed).enumerate() {
        let is_compared = table.key.contains(&at) || (!column.is_generated() && size_of(value) <= GUARD_BYTES_MAX);
        if let Some(value) = is_compared.then(|| param(column, value)).flatten() {
            conditions.push(column.guard());
            params.push(value);
        }
    }
    (conditions.join(" AND "), params)
}

/// Whether a row of the child table refers to the row of a job's key.
pub(super) async fn has_children(conn: &mut Conn, job: &Job<'_>, reference: &ForeignKey) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} AS r JOIN {} AS c ON {} WHERE {})",
        job.table.quoted,
        reference.child_quoted,
        reference.pairs("r", "c"),
        near(&job.table)
    );
    exists(conn, sql, job.key_cells.clone()).await
}

async fn exists(conn: &mut Conn, sql: String, params: Vec<Sql>) -> Result<bool, Error> {
    let found: Option<u64> = conn.exec_first(sql, Params::Positional(params)).await?;
    Ok(found.is_some_and(|found| found > 0))
}

/// Whether the row of a job's key refers to a parent that is not there; a parent that is, is locked.
pub(super) async fn lacks_parent(conn: &mut Conn, job: &Job<'_>, reference: &ForeignKey) -> Result<bool, Error> {
    let sql = format!(
        "SELECT COUNT(*) FROM {} AS r LEFT JOIN {} AS p ON {} WHERE {} AND {} LOCK IN SHARE MODE",
        job.table.quoted,
        reference.parent_quoted,
        reference.pairs("p", "r"),
        near(&job.table),
        orphaned(reference, "r")
    );
    exists(conn, sql, job.key_cells.clone()).await
}

/// Whether a row still refers to what a parent was, which is no longer there.
pub(super) async fn has_orphans(
    conn: &mut Conn,
    job: &Job<'_>,
    reference: &ForeignKey,
    observed: &[Value],
) -> Result<bool, Error> {
    let (mut conditions, mut params) = (Vec::new(), Vec::new());
    for (parent, child) in reference.parent_columns.iter().zip(&reference.child_columns) {
        let Some(at) = job.table.columns.iter().position(|column| column.name == *parent) else { continue };
        let column = &job.table.columns[at];
        let value = param(column, &observed[at]).filter(|value| *value != Sql::NULL);
        // Nobody refers to what is not there.
        let Some(value) = value else { return Ok(false) };
        conditions.push(format!("c.{} = {}", quoted(child), column.near_value()));
        params.push(value);
    }
    let sql = format!(
        "SELECT COUNT(*) FROM {} AS c LEFT JOIN {} AS p ON {} WHERE {} AND {} LOCK IN SHARE MODE",
        reference.child_quoted,
        reference.parent_quoted,
        reference.pairs("p", "c"),
        conditions.join(" AND "),
        orphaned(reference, "c")
    );
    exists(conn, sql, params).await
}

/// The child refers to something and the parent, joined as `p`, is not there.
pub(super) fn orphaned(reference: &ForeignKey, child: &str) -> String {
    let refers = reference.child_columns.iter().map(|column| format!("{child}.{} IS NOT NULL", quoted(column)));
    let parent = reference.parent_columns.iter().take(1).map(|column| format!("p.{} IS NULL", quoted(column)));
    refers.chain(parent).collect::<Vec<_>>().join(" AND ")
}
