//! Sequences: those of covered columns, and those in schemas that hold a covered table.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::catalog::Catalog;
use super::{fault, names};
use crate::store::{Counter, Result};

const SEQUENCES: &str = "SELECT n.nspname::text, c.relname::text, s.seqincrement, s.seqstart
 FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND (n.nspname = ANY($2) OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
  AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY($1) AND d.deptype IN ('a', 'i')))
 ORDER BY 1, 2";

/// Reads every covered sequence; one whose next value was set by hand counts as having handed out the value before.
pub(super) async fn read(client: &Client, catalog: &Catalog) -> Result<Vec<Counter>> {
    let failed = |error: tokio_postgres::Error| fault::store_error("cannot read the sequences", &error);
    let schemas: Vec<&str> = catalog.tables.iter().map(|table| table.schema.as_str()).collect();
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&catalog.oids(), Type::OID_ARRAY), (&schemas, Type::TEXT_ARRAY)];
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
