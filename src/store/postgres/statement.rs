//! The statements that write rows; every value is text, cast to its column's type.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::catalog::{Column, ForeignKey, Reading, Table};
use super::fetch::{arrays_from, keys_from, keys_match};
use super::names::quoted;
use super::row::output;
use super::{Job, Task};
use crate::store::sql::apply::JobTask;

type Params<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// What tasks of one statement share: their turn, their table, and the columns that they update.
type Place<'a> = ((u8, u32), u32, &'a [usize]);

/// Tasks that go into one statement: of one sort, on one table and, where they update, of the same columns.
pub(super) struct Batch<'a> {
    jobs: Vec<&'a Job<'a>>,
    task: &'a Task,
}

impl<'a> Batch<'a> {
    /// Puts tasks together, in their turns.
    pub(super) fn of(tasks: &'a [JobTask<'a, Table>]) -> Vec<Batch<'a>> {
        let mut batches: BTreeMap<Place<'a>, Batch<'a>> = BTreeMap::new();
        for (job, task) in tasks {
            let changed = match task {
                Task::Update(_, changed) => changed.as_slice(),
                Task::Insert | Task::Delete(_) | Task::Replace(_) => &[],
            };
            let place = (task.turn(job.table.rank), job.table.oid, changed);
            batches.entry(place).or_insert_with(|| Batch { jobs: Vec::new(), task }).jobs.push(job);
        }
        batches.into_values().collect()
    }

    /// Carries its tasks out; what became of the rows is for the caller to read.
    pub(super) async fn write(&self, client: &Client) -> Result<(), Error> {
        write_all(client, &self.jobs, self.task).await
    }
}

/// Carries out one task; what became of the row is for the caller to read.
pub(super) async fn write(client: &Client, job: &Job<'_>, task: &Task) -> Result<(), Error> {
    write_all(client, &[job], task).await
}

async fn write_all(client: &Client, jobs: &[&Job<'_>], task: &Task) -> Result<(), Error> {
    match task {
        Task::Delete(_) => delete(client, jobs).await,
        Task::Insert => insert(client, jobs).await,
        Task::Update(_, changed) => update(client, jobs, changed).await,
        Task::Replace(_) => {
            delete(client, jobs).await?;
            insert(client, jobs).await
        }
    }
}

fn key_arrays<'a>(jobs: &[&'a Job<'_>]) -> Vec<Vec<&'a str>> {
    let columns = jobs.first().map_or(0, |job| job.key_cells.len());
    (0..columns).map(|at| jobs.iter().map(|job| job.key_cells[at].as_str()).collect()).collect()
}

fn key_params<'a>(arrays: &'a [Vec<&'a str>]) -> Params<'a> {
    arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect()
}

/// What jobs wish for in one column; jobs without a wish are left out.
fn wished<'a>(jobs: &[&'a Job<'_>], at: usize) -> Vec<Option<&'a str>> {
    jobs.iter().filter_map(|job| job.wish.as_ref()).map(|wish| wish.cells[at].as_deref()).collect()
}

async fn delete(client: &Client, jobs: &[&Job<'_>]) -> Result<(), Error> {
    let Some(table) = jobs.first().map(|job| &job.table) else { return Ok(()) };
    let sql = format!("DELETE FROM {} AS r USING {} WHERE {}", table.from(), keys_from(table), keys_match(table));
    let keys = key_arrays(jobs);
    client.execute_typed(&sql, &key_params(&keys)).await.map(drop)
}

async fn insert(client: &Client, jobs: &[&Job<'_>]) -> Result<(), Error> {
    let Some(table) = jobs.first().map(|job| &job.table) else { return Ok(()) };
    let places: Vec<usize> = (0..table.columns.len()).filter(|&at| !table.columns[at].is_generated()).collect();
    let arrays: Vec<Vec<Option<&str>>> = places.iter().map(|&at| wished(jobs, at)).collect();
    let params: Params<'_> = arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
    let columns: Vec<String> = places.iter().map(|&at| quoted(&table.columns[at].name)).collect();
    let values = places.iter().zip(1..).map(|(&at, n)| format!("v.v{n}::{}", table.columns[at].type_name));
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest({}) AS v({})",
        table.quoted,
        columns.join(", "),
        values.collect::<Vec<_>>().join(", "),
        numbered(places.len(), |n| format!("${n}::text[]")),
        numbered(places.len(), |n| format!("v{n}"))
    );
    client.execute_typed(&sql, &params).await.map(drop)
}

fn numbered(count: usize, one: impl Fn(usize) -> String) -> String {
    (1..=count).map(one).collect::<Vec<_>>().join(", ")
}

async fn update(client: &Client, jobs: &[&Job<'_>], changed: &[usize]) -> Result<(), Error> {
    let Some(table) = jobs.first().map(|job| &job.table) else { return Ok(()) };
    let keys = key_arrays(jobs);
    let arrays: Vec<Vec<Option<&str>>> = changed.iter().map(|&at| wished(jobs, at)).collect();
    let mut params = key_params(&keys);
    params.extend(arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)));
    let setting = |(&at, n): (&usize, usize)| {
        let column = &table.columns[at];
        format!("{} = k.k{n}::{}", quoted(&column.name), column.type_name)
    };
    let settings: Vec<String> = changed.iter().zip(keys.len() + 1..).map(setting).collect();
    let sql = update_sql(table, &settings, params.len());
    client.execute_typed(&sql, &params).await.map(drop)
}

/// `arrays` parameters hold the key's columns and, after them, what settings refer to as columns of `k`.
fn update_sql(table: &Table, settings: &[String], arrays: usize) -> String {
    let (settings, from) = (settings.join(", "), arrays_from(arrays));
    format!("UPDATE {} AS r SET {settings} FROM {from} WHERE {}", table.from(), keys_match(table))
}

/// Gives the unique columns among `changed` values that no row has; `false` where there is no such column or value.
pub(super) async fn park(client: &Client, job: &Job<'_>, changed: &[usize]) -> Result<bool, Error> {
    let table = &job.table;
    let columns = changed.iter().map(|&at| &table.columns[at]).filter(|column| column.is_unique);
    let settings: Option<Vec<String>> =
        columns.map(|column| Some(format!("{} = {}", quoted(&column.name), interim(table, column)?))).collect();
    let Some(settings) = settings.filter(|settings| !settings.is_empty()) else { return Ok(false) };
    let keys = key_arrays(&[job]);
    let sql = update_sql(table, &settings, keys.len());
    client.execute_typed(&sql, &key_params(&keys)).await?;
    Ok(true)
}

/// An expression for a value that no row has; never seen outside of its transaction.
fn interim(table: &Table, column: &Column) -> Option<String> {
    let (name, type_name) = (quoted(&column.name), &column.type_name);
    match column.reading {
        _ if !column.not_null => Some("NULL".into()),
        // An explicit cast cuts the text to the column's length.
        Reading::Text => Some(format!("replace(gen_random_uuid()::text, '-', '')::{type_name}")),
        Reading::Typed if type_name == "uuid" => Some("gen_random_uuid()".into()),
        Reading::Typed if !type_name.starts_with("numeric") && type_name != "date" => None,
        Reading::Number | Reading::Typed => {
            Some(format!("(SELECT (max(h.{name}) + 1)::{type_name} FROM {} AS h)", table.from()))
        }
        Reading::Bool | Reading::Bytes => None,
    }
}

/// Whether the row of a job's key holds in an ignored column anything but its default, which a delete would lose.
pub(super) async fn holds_ignored(client: &Client, job: &Job<'_>) -> Result<bool, Error> {
    let table = &job.table;
    let differs: Vec<String> = table.kept().map(is_not_default).collect();
    if differs.is_empty() {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} AS r JOIN {} ON {} WHERE {})",
        table.from(),
        keys_from(table),
        keys_match(table),
        differs.join(" OR ")
    );
    let keys = key_arrays(&[job]);
    Ok(client.query_typed_one(&sql, &key_params(&keys)).await?.get(0))
}

/// A condition that a row meets unless its column holds what an insert would give it again.
fn is_not_default(column: &Column) -> String {
    let value = output(&format!("r.{}", quoted(&column.name)));
    match &column.default {
        // What is called may give another value each time.
        Some(default) if default.contains('(') => "true".into(),
        _ if !column.identity.is_empty() => "true".into(),
        Some(default) => {
            let default = output(&format!("CAST({default} AS {})", column.type_name));
            format!("{value} IS DISTINCT FROM {default}")
        }
        None => format!("{value} IS NOT NULL"),
    }
}

/// Whether a row of the child table refers to the row of a job's key.
pub(super) async fn has_children(client: &Client, job: &Job<'_>, reference: &ForeignKey) -> Result<bool, Error> {
    let table = &job.table;
    let columns = reference.parent_columns.iter().zip(&reference.child_columns).zip(&reference.equals);
    let refers: Vec<String> =
        columns.map(|((parent, child), equals)| format!("r.{parent} {equals} c.{child}")).collect();
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} AS r JOIN {} ON {} JOIN {} AS c ON {})",
        table.from(),
        keys_from(table),
        keys_match(table),
        reference.child_quoted,
        refers.join(" AND ")
    );
    let keys = key_arrays(&[job]);
    Ok(client.query_typed_one(&sql, &key_params(&keys)).await?.get(0))
}
