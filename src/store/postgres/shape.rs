//! The shape of the covered tables in words.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::catalog::{Catalog, Column, ForeignKey, Table};
use super::{counters, fault};
use crate::store::{Result, Shape, WHOLE};

/// Parts of a covered table and of the database beside columns and foreign keys: each as a part and its words.
///
/// Indexes and constraints go by what they are and not by their names, which may differ between two restores.
const PARTS: &str = "WITH covered AS (SELECT c.oid, n.nspname::text || '.' || c.relname::text AS name
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1))
 SELECT format('%s %s %s', t.name, CASE WHEN i.indisunique THEN 'unique index' ELSE 'index' END,
   substring(pg_get_indexdef(i.indexrelid) FROM ' USING (.*)')), CASE WHEN i.indisvalid THEN 'there' ELSE 'there but not valid' END
  FROM covered t JOIN pg_index i ON i.indrelid = t.oid WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k
   WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
 UNION ALL SELECT format('%s constraint %s', t.name, pg_get_constraintdef(k.oid)), 'there'
  FROM covered t JOIN pg_constraint k ON k.conrelid = t.oid WHERE k.contype IN ('c', 'u', 'x')
 UNION ALL SELECT format('%s trigger %s', t.name, g.tgname),
   CASE g.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'A' THEN 'enabled always' ELSE 'enabled for replicas' END
   || ', ' || substring(pg_get_triggerdef(g.oid) FROM ' ((?:BEFORE|AFTER|INSTEAD OF) .*)')
  FROM covered t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
 UNION ALL SELECT format('extension %s', extname), 'version ' || extversion FROM pg_extension
 UNION ALL SELECT 'server major version', (current_setting('server_version_num')::int / 10000)::text
 UNION ALL SELECT 'database encoding', current_setting('server_encoding')
 UNION ALL SELECT 'database collation', datcollate::text FROM pg_database WHERE datname = current_database()";

/// Binding: tables, columns, types, collations, keys and enum labels. Followed: sequences. Advisory: the rest.
pub(super) async fn shape(client: &Client, catalog: &Catalog) -> Result<Shape> {
    let mut shape = Shape::default();
    for table in &catalog.tables {
        shape.binding.insert(format!("{WHOLE}{}", table.name), "there".into());
        let key: Vec<&str> = table.key.iter().map(|key| table.columns[key.column].name.as_str()).collect();
        let key = match table.view.as_ref().and_then(|view| view.other_key.clone()) {
            Some(other) => other,
            None if key.is_empty() => "none".into(),
            None => key.join(", "),
        };
        shape.binding.insert(format!("{} primary key", table.name), key);
        table.columns.iter().for_each(|column| add_column(&mut shape, table, column));
        for column in table.view.iter().flat_map(|view| &view.left) {
            add_left(&mut shape, table, column);
        }
    }
    for key in &catalog.foreign_keys {
        shape.advisory.insert(format!("{} foreign key {}", key.child_name, key.name), reference_words(key));
    }
    for sequence in counters::list(client, catalog).await?.into_iter().filter(|sequence| sequence.is_covered) {
        shape.followed.insert(format!("sequence {}", sequence.name), format!("by steps of {}", sequence.increment));
    }
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&catalog.oids(), Type::OID_ARRAY)];
    let parts = client.query_typed(PARTS, &params).await;
    let parts = parts.map_err(|error| fault::store_error("cannot read the tables' indexes and constraints", &error))?;
    shape.advisory.extend(parts.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))));
    Ok(shape)
}

/// A column of dr that the mapping of its table does not name; where it goes by the name of a column that is another on dr, it is
/// told apart from that.
fn add_left(shape: &mut Shape, table: &Table, column: &Column) {
    let part = format!("{}.{}", table.name, column.name);
    let is_taken = table.columns.iter().any(|mapped| mapped.name == column.name);
    let part = if is_taken { format!("{part} as dr has it") } else { part };
    shape.binding.insert(part, type_words(column));
}

fn type_words(column: &Column) -> String {
    let null = if column.not_null { "not null" } else { "nullable" };
    let mut words = format!("{} {null}", column.type_name);
    if column.is_generated() {
        words.push_str(" generated");
    }
    if let Some(labels) = &column.labels {
        words = format!("{words} enum({labels})");
    }
    words
}

fn add_column(shape: &mut Shape, table: &Table, column: &Column) {
    let part = format!("{}.{}", table.name, column.name);
    shape.binding.insert(part.clone(), type_words(column));
    if let Some(collation) = &column.collation {
        shape.binding.insert(format!("{part} collation"), collation.clone());
    }
    let (expression, default) = match column.is_generated() {
        true => (column.default.clone(), None),
        false => (None, column.default.clone()),
    };
    let identity = (!column.identity.is_empty()).then(|| column.identity.clone());
    for (kind, words) in [("generated as", expression), ("default", default), ("identity", identity)] {
        if let Some(words) = words {
            shape.advisory.insert(format!("{part} {kind}"), words);
        }
    }
}

fn reference_words(key: &ForeignKey) -> String {
    format!(
        "({}) to {} ({}), on delete {}, on update {}",
        key.child_columns.join(", "),
        key.parent_quoted,
        key.parent_columns.join(", "),
        key.on_delete,
        key.on_update
    )
}
