//! Sequences: those that covered columns own or take their defaults from, and those in schemas that hold a covered table.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::catalog::Catalog;
use super::{fault, names};
use crate::store::{Counter, ErrorKind, Result, StoreError};

/// Every sequence, and whether it is covered; none that is temporary or the system's.
const SEQUENCES: &str = "SELECT n.nspname::text, c.relname::text, s.seqincrement, s.seqstart,
  has_schema_privilege(n.oid, 'USAGE'), has_sequence_privilege(c.oid, 'SELECT'), has_sequence_privilege(c.oid, 'UPDATE'),
  n.nspname = ANY($2) OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY($1) AND d.deptype IN ('a', 'i'))
  OR EXISTS (SELECT 1 FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid WHERE d.classid = 'pg_attrdef'::regclass
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND f.adrelid = ANY($1))
 FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2";

/// One sequence as the catalog has it.
pub(super) struct Sequence {
    schema: String,
    /// `schema.sequence`, unquoted.
    pub(super) name: String,
    /// `"schema"."sequence"`.
    pub(super) quoted: String,
    pub(super) increment: i64,
    start: i64,
    pub(super) may_use_schema: bool,
    pub(super) may_read: bool,
    pub(super) may_raise: bool,
    /// Whether it hands out keys of a covered table, or stands in the schema of one.
    pub(super) is_covered: bool,
}

impl Sequence {
    /// Whether it stands in that schema.
    pub(super) fn is_in(&self, schema: &str) -> bool {
        self.schema == schema
    }

    /// Its schema in double quotes.
    pub(super) fn quoted_schema(&self) -> String {
        names::quoted(&self.schema)
    }
}

/// Lists every sequence of the database in the order of their names.
pub(super) async fn list(client: &Client, catalog: &Catalog) -> Result<Vec<Sequence>> {
    let failed = |error: tokio_postgres::Error| fault::store_error("cannot list the sequences", &error);
    let schemas: Vec<&str> = catalog.tables.iter().map(|table| table.schema.as_str()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&catalog.oids(), Type::OID_ARRAY), (&schemas, Type::TEXT_ARRAY)];
    let rows = client.query_typed(SEQUENCES, &params).await.map_err(failed)?;
    let sequence = |row: &Row| {
        let (schema, name): (String, String) = (row.get(0), row.get(1));
        Sequence {
            name: format!("{schema}.{name}"),
            quoted: format!("{}.{}", names::quoted(&schema), names::quoted(&name)),
            schema,
            increment: row.get(2),
            start: row.get(3),
            may_use_schema: row.get(4),
            may_read: row.get(5),
            may_raise: row.get(6),
            is_covered: row.get(7),
        }
    };
    Ok(rows.iter().map(sequence).collect())
}

/// Reads every covered sequence; one whose next value was set by hand counts as having handed out the value before.
pub(super) async fn read(client: &Client, catalog: &Catalog) -> Result<Vec<Counter>> {
    let mut counters = Vec::new();
    for sequence in list(client, catalog).await?.into_iter().filter(|sequence| sequence.is_covered) {
        let Sequence { name, quoted, increment, start, .. } = sequence;
        let failed = |error| fault::store_error(format!("cannot read the sequence {name}"), &error);
        let sql = format!("SELECT last_value, is_called FROM {quoted}");
        let row = client.query_typed_one(&sql, &[]).await.map_err(failed)?;
        let (last, is_called): (i64, bool) = (row.get(0), row.get(1));
        let value = match is_called {
            true => Some(last),
            false if last == start => None,
            false => last.checked_sub(increment),
        };
        counters.push(Counter { name, value, increment });
    }
    Ok(counters)
}

const NAMED: &str = "SELECT format('%I.%I', n.nspname, c.relname), s.seqincrement
 FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname::text || '.' || c.relname::text = $1";

/// Advances a sequence in the statement that compares, so that a value handed out meanwhile is not lowered.
fn raise_sql(sequence: &str) -> String {
    let literal = sequence.replace('\'', "''");
    format!(
        "WITH own AS (SELECT CASE WHEN is_called THEN last_value::numeric ELSE last_value::numeric - $2::text::bigint END
           AS value FROM {sequence})
         SELECT setval('{literal}', $1::text::bigint, true) FROM own
         WHERE CASE WHEN $2::text::bigint > 0 THEN value < $1::text::bigint ELSE value > $1::text::bigint END"
    )
}

/// Raises sequences to at least the given values, along their own direction; gives those that were raised.
pub(super) async fn raise(client: &Client, counters: &[Counter]) -> Result<Vec<Counter>> {
    let mut sequences = Vec::with_capacity(counters.len());
    for counter in counters {
        sequences.push(named(client, &counter.name).await?);
    }
    let mut raised = Vec::new();
    for (counter, (sequence, increment)) in counters.iter().zip(sequences) {
        let Some(value) = counter.value else { continue };
        let failed = |error| fault::store_error(format!("cannot raise the sequence {}", counter.name), &error);
        let (value_text, increment_text) = (value.to_string(), increment.to_string());
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&value_text, Type::TEXT), (&increment_text, Type::TEXT)];
        if !client.query_typed(&raise_sql(&sequence), &params).await.map_err(failed)?.is_empty() {
            raised.push(Counter { name: counter.name.clone(), value: Some(value), increment });
        }
    }
    Ok(raised)
}

async fn named(client: &Client, name: &str) -> Result<(String, i64)> {
    let failed = |error| fault::store_error(format!("cannot look for the sequence {name}"), &error);
    let rows = client.query_typed(NAMED, &[(&name, Type::TEXT)]).await.map_err(failed)?;
    match rows.as_slice() {
        [row] => Ok((row.get(0), row.get(1))),
        [] => Err(StoreError::new(ErrorKind::Missing, format!("there is no sequence {name}"))),
        _ => Err(StoreError::new(ErrorKind::Unfit, format!("more than one sequence is called {name}"))),
    }
}
