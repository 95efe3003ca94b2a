//! Sequences: those of covered columns, and those in schemas that hold a covered table.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::catalog::Catalog;
use super::{fault, names};
use crate::store::{Counter, ErrorKind, Result, StoreError};

const SEQUENCES: &str = "SELECT n.nspname::text, c.relname::text, s.seqincrement, s.seqstart
 FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND (n.nspname = ANY($2) OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
  AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY($1) AND d.deptype IN ('a', 'i')))
 ORDER BY 1, 2";

/// Reads every covered sequence; one whose next value was set by hand counts as having handed out the value before.
pub(super) async fn read(client: &Client, catalog: &Catalog) -> Result<Vec<Counter>> {
    let failed = |error: tokio_postgres::Error| fault::store_error("cannot read the sequences", &error);
    let schemas: Vec<&str> = catalog.tables.iter().map(|table| table.schema.as_str()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&catalog.oids(), Type::OID_ARRAY), (&schemas, Type::TEXT_ARRAY)];
    let mut counters = Vec::new();
    for row in client.query_typed(SEQUENCES, &params).await.map_err(failed)? {
        let (schema, name, increment, start): (String, String, i64, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let sql = format!("SELECT last_value, is_called FROM {}.{}", names::quoted(&schema), names::quoted(&name));
        let row = client.query_typed_one(&sql, &[]).await.map_err(failed)?;
        let (last, is_called): (i64, bool) = (row.get(0), row.get(1));
        let value = match is_called {
            true => Some(last),
            false if last == start => None,
            false => last.checked_sub(increment),
        };
        counters.push(Counter { name: format!("{schema}.{name}"), value, increment });
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
