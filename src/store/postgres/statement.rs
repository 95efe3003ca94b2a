//! The statements that write rows; every value is text, cast to its column's type.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::catalog::{Column, ForeignKey, Reading, Table};
use super::fetch::{keys_from, keys_match};
use super::guard::{Job, Task, Wish};
use super::names::quoted;

type Params<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// Carries out one task; what became of the row is for the caller to read.
pub(super) async fn write(client: &Client, job: &Job<'_>, task: &Task) -> Result<(), Error> {
    match (task, &job.wish) {
        (Task::Delete, _) | (_, None) => delete(client, job).await,
        (Task::Insert, Some(wish)) => insert(client, &job.table, wish).await,
        (Task::Update(changed), Some(wish)) => update(client, job, wish, changed).await,
        (Task::Replace, Some(wish)) => {
            delete(client, job).await?;
            insert(client, &job.table, wish).await
        }
    }
}

fn key_arrays<'a>(job: &'a Job<'_>) -> Vec<Vec<&'a str>> {
    job.key_texts.iter().map(|text| vec![text.as_str()]).collect()
}

fn key_params<'a>(arrays: &'a [Vec<&'a str>]) -> Params<'a> {
    arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect()
}

/// Deletes the row of a job's key.
pub(super) async fn delete(client: &Client, job: &Job<'_>) -> Result<(), Error> {
    let table = &job.table;
    let sql = format!("DELETE FROM {} AS r USING {} WHERE {}", table.from(), keys_from(table), keys_match(table));
    let keys = key_arrays(job);
    client.execute_typed(&sql, &key_params(&keys)).await.map(drop)
}

/// Inserts a row.
pub(super) async fn insert(client: &Client, table: &Table, wish: &Wish) -> Result<(), Error> {
    let (mut columns, mut values, mut params) = (Vec::new(), Vec::new(), Params::new());
    for (column, text) in table.columns.iter().zip(&wish.texts).filter(|(column, _)| !column.is_generated()) {
        params.push((text, Type::TEXT));
        columns.push(quoted(&column.name));
        values.push(format!("${}::text::{}", params.len(), column.type_name));
    }
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
        table.quoted,
        columns.join(", "),
        values.join(", ")
    );
    client.execute_typed(&sql, &params).await.map(drop)
}

async fn update(client: &Client, job: &Job<'_>, wish: &Wish, changed: &[usize]) -> Result<(), Error> {
    let table = &job.table;
    let keys = key_arrays(job);
    let mut params = key_params(&keys);
    let mut settings = Vec::with_capacity(changed.len());
    for &at in changed {
        params.push((&wish.texts[at], Type::TEXT));
        let column = &table.columns[at];
        settings.push(format!("{} = ${}::text::{}", quoted(&column.name), params.len(), column.type_name));
    }
    let sql = update_sql(table, &settings);
    client.execute_typed(&sql, &params).await.map(drop)
}

fn update_sql(table: &Table, settings: &[String]) -> String {
    let settings = settings.join(", ");
    format!("UPDATE {} AS r SET {settings} FROM {} WHERE {}", table.from(), keys_from(table), keys_match(table))
}

/// Gives the unique columns among `changed` values that no row has; `false` where there is no such column or value.
pub(super) async fn park(client: &Client, job: &Job<'_>, changed: &[usize]) -> Result<bool, Error> {
    let table = &job.table;
    let columns = changed.iter().map(|&at| &table.columns[at]).filter(|column| column.is_unique);
    let settings: Option<Vec<String>> =
        columns.map(|column| Some(format!("{} = {}", quoted(&column.name), interim(table, column)?))).collect();
    let Some(settings) = settings.filter(|settings| !settings.is_empty()) else { return Ok(false) };
    let sql = update_sql(table, &settings);
    let keys = key_arrays(job);
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
    let keys = key_arrays(job);
    Ok(client.query_typed_one(&sql, &key_params(&keys)).await?.get(0))
}
