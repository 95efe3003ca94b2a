//! Rows that the server itself hashes: a key and 24 bytes of SHA-256 for each row are all that crosses the wire.
//!
//! What is hashed is every column by name, each with its length or a mark of NULL before it: two rows have the same bytes
//! only where every column has.

use mysql_async::Value as Sql;

use super::catalog::Table;
use super::column::{Column, Reading};
use super::row::value_of;
use super::text::Charset;
use crate::model::{Leaf, Value};
use crate::store::sql::hashed::{HASH_BYTES, Hash, RowHash};
use crate::store::sql::row;
use crate::store::{ErrorKind, Result, StoreError};

/// An expression for the hash of the row `r`; NULL where the server cannot make one.
pub(super) fn hash(table: &Table) -> String {
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    columns.sort_by(|one, other| one.name.cmp(&other.name));
    let cells = columns.iter().map(|column| {
        let bytes = bytes(column);
        // What is too large is NULL, and must not pass for a value that is.
        format!("IF(r.{} IS NULL, '-', CONCAT(LENGTH({bytes}), ':', {bytes}))", column.quoted())
    });
    format!("UNHEX(LEFT(SHA2(CONCAT({}), 256), {}))", cells.collect::<Vec<_>>().join(", "), 2 * HASH_BYTES)
}

/// Bytes that are the same for two values only where every bit of them is.
fn bytes(column: &Column) -> String {
    let output = column.output();
    match column.reading {
        Reading::Text(_) | Reading::Bytes => format!("CAST({output} AS BINARY)"),
        // As text a FLOAT has six digits; as a DOUBLE it is itself, and has as many as it takes.
        Reading::Float => format!("CAST(CAST({output} AS DOUBLE) AS CHAR)"),
        _ => format!("CAST({output} AS CHAR)"),
    }
}

/// The keys and hashes of all rows.
pub(super) fn sql(table: &Table) -> String {
    let outputs = table.key_columns().map(Column::output).chain([hash(table)]);
    format!("SELECT {} FROM {} AS r", outputs.collect::<Vec<_>>().join(", "), table.from())
}

/// What is the same for every hash of a table: names, and types where they are part of values.
pub(super) fn row_hash(table: &Table) -> RowHash {
    let columns = table.columns.iter().map(|column| {
        let word = match column.reading {
            Reading::Integer | Reading::Bits => "number",
            Reading::Bytes => "bytes",
            Reading::Text(Charset::Utf8) => "text",
            _ => &column.type_name,
        };
        (column.name.as_str(), word)
    });
    RowHash::new(columns.collect())
}

/// The hash at the end of a row.
pub(super) fn hash_of(table: &Table, value: Option<Sql>) -> Result<Hash> {
    let hash = value.and_then(|value| match value {
        Sql::Bytes(hash) => hash.try_into().ok(),
        _ => None,
    });
    hash.ok_or_else(|| {
        let what = format!(
            "the server gave no hash of a row of {}, which may be larger than its max_allowed_packet; raise that, or set \
             digest = \"stream\" in the profile",
            table.name
        );
        StoreError::new(ErrorKind::Unreadable, what)
    })
}

/// The leaf of one row of [`sql`].
pub(super) fn leaf(table: &Table, row_hash: &RowHash, values: &mut dyn Iterator<Item = Sql>) -> Result<Leaf> {
    let mut columns = Vec::with_capacity(table.key.len());
    for column in table.key_columns() {
        let value = values.next().and_then(|value| value_of(column, value)).ok_or_else(|| {
            StoreError::new(ErrorKind::Unreadable, format!("a key of {} cannot be understood", table.name))
        })?;
        columns.push((column.name.clone(), value));
    }
    let digest = row_hash.digest(&hash_of(table, values.next())?);
    let contents = Value::Map(columns.into_iter().collect());
    let key = row::row_key(&table.name, table.key_columns().map(|column| &column.name), &contents);
    Ok(Leaf { key, digest, size: HASH_BYTES as u64, modified_at: None })
}
