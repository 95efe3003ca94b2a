//! What the replica role leaves unchecked: foreign keys, and unique constraints that are deferrable.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::catalog::{Catalog, DeferrableUnique, ForeignKey};
use super::fault;
use crate::store::{Finding, Level, Result};

/// Unique constraints in which NULLs count as equal, and deferrable exclusion constraints, both by table and name.
const SPECIAL: &str = "SELECT k.conrelid, k.conname::text, k.contype = 'x'
 FROM pg_constraint k JOIN pg_index i ON i.indexrelid = k.conindid
 WHERE k.conrelid = ANY($1) AND k.condeferrable AND k.conparentid = 0
  AND (k.contype = 'x' OR coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false)) ORDER BY 1, 2";

/// Looks for rows that break a constraint of a covered table; the client is in no transaction.
pub(super) async fn check(client: &Client, catalog: &Catalog, subject: &str) -> Result<Vec<Finding>> {
    let failed = |error| fault::store_error("cannot check the constraints", &error);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
    client.batch_execute(begin).await.map_err(failed)?;
    let mut findings = Vec::new();
    let special = client.query_typed(SPECIAL, &[(&catalog.oids(), Type::OID_ARRAY)]).await.map_err(failed)?;
    let special: Vec<(u32, String, bool)> = special.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    for key in &catalog.foreign_keys {
        findings.extend(check_reference(client, catalog, subject, key).await?);
    }
    for unique in &catalog.deferrable {
        let nulls_equal = special.iter().any(|(table, name, _)| (*table, name) == (unique.table, &unique.name));
        findings.extend(check_unique(client, catalog, subject, unique, nulls_equal).await?);
    }
    for (table, name, _) in special.iter().filter(|(_, _, is_exclusion)| *is_exclusion) {
        let what = format!("{} {name} is deferrable and was not checked", name_of(catalog, *table));
        findings.push(Finding::new(Level::Warning, subject, what).with_hint("check it by hand"));
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    Ok(findings)
}

fn name_of(catalog: &Catalog, oid: u32) -> &str {
    catalog.tables.iter().find(|table| table.oid == oid).map_or("a table", |table| table.name.as_str())
}

/// A table as `FROM` wants it, also where it is not covered.
fn from_of(catalog: &Catalog, oid: u32, quoted: &str) -> String {
    let table = catalog.tables.iter().find(|table| table.oid == oid);
    table.map_or_else(|| quoted.to_owned(), |table| table.from())
}

async fn check_reference(
    client: &Client,
    catalog: &Catalog,
    subject: &str,
    key: &ForeignKey,
) -> Result<Option<Finding>> {
    if key.equals.iter().any(|operator| !operator.ends_with(".=)")) {
        let what = format!("{} {} is not a plain foreign key and was not checked", key.child_name, key.name);
        return Ok(Some(Finding::new(Level::Warning, subject, what).with_hint("check it by hand")));
    }
    let what = format!("cannot check {} {}", key.child_name, key.name);
    let row = client.query_typed_one(&reference_sql(catalog, key), &[]).await;
    let count: i64 = row.map_err(|error| fault::store_error(what, &error))?.get(0);
    // A constraint that was never validated may have been broken all along.
    let level = if key.is_validated { Level::Blocker } else { Level::Warning };
    let what = format!("{count} rows of {} have no parent by {}", key.child_name, key.name);
    Ok((count > 0).then(|| Finding::new(level, subject, what)))
}

fn reference_sql(catalog: &Catalog, key: &ForeignKey) -> String {
    let pairs = key.parent_columns.iter().zip(&key.child_columns).zip(&key.equals);
    let refers: Vec<String> = pairs.map(|((parent, child), equals)| format!("p.{parent} {equals} c.{child}")).collect();
    let columns: Vec<String> = key.child_columns.iter().map(|column| format!("c.{column}")).collect();
    let columns = columns.join(", ");
    let orphan = format!(
        "num_nulls({columns}) = 0 AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})",
        from_of(catalog, key.parent, &key.parent_quoted),
        refers.join(" AND ")
    );
    let mixed = match key.is_match_full {
        true => format!(" OR num_nulls({columns}) NOT IN (0, {})", key.child_columns.len()),
        false => String::new(),
    };
    format!("SELECT count(*) FROM {} AS c WHERE {orphan}{mixed}", from_of(catalog, key.child, &key.child_quoted))
}

async fn check_unique(
    client: &Client,
    catalog: &Catalog,
    subject: &str,
    unique: &DeferrableUnique,
    nulls_equal: bool,
) -> Result<Option<Finding>> {
    let Some(table) = catalog.tables.iter().find(|table| table.oid == unique.table) else { return Ok(None) };
    let columns = unique.columns.join(", ");
    let filter = if nulls_equal { String::new() } else { format!(" WHERE num_nulls({columns}) = 0") };
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {}{filter} GROUP BY {columns} HAVING count(*) > 1) AS d",
        table.from()
    );
    let what = format!("cannot check {} {}", table.name, unique.name);
    let row = client.query_typed_one(&sql, &[]).await;
    let count: i64 = row.map_err(|error| fault::store_error(what, &error))?.get(0);
    let what = format!("{count} values of {} are there more than once: {} is broken", table.name, unique.name);
    Ok((count > 0).then(|| Finding::new(Level::Blocker, subject, what)))
}
