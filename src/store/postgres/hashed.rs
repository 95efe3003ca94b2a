//! Rows that the server itself hashes: a key and 24 bytes of SHA-256 for each row are all that crosses the wire.
//!
//! What is hashed is every column by name, each with its length or a mark of NULL before it, in its binary form where that is one
//! for one with the type's output text, else as that text: two rows have the same bytes only where every column has. Many rows go in one message, so that a message's own bytes do not count.

use super::canonical::Encoder;
use super::catalog::{Column, Reading, Table};
use super::row::output;
use super::{fault, names};
use crate::digest::put_digits;
use crate::model::Leaf;
use crate::store::sql::hashed::{HASH_BYTES, RowHash};
use crate::store::{ErrorKind, Result, StoreError};

/// Pages whose rows go in one message.
const MESSAGE_PAGES: u64 = 128;

/// Above every page.
const NO_PAGE: u64 = u32::MAX as u64;

/// The first version that reads a range of pages without reading the others.
const VERSION_MIN: i32 = 140_000;

/// Refuses a server that cannot do it well.
pub(super) async fn require_version(client: &tokio_postgres::Client) -> Result<()> {
    let failed = |error| fault::store_error("cannot ask for the server's version", &error);
    let row = client.query_typed_one("SELECT current_setting('server_version_num')::int", &[]).await.map_err(failed)?;
    if row.get::<_, i32>(0) < VERSION_MIN {
        let what = "digest = \"server\" needs PostgreSQL 14 or newer; set digest = \"stream\" in the profile";
        return Err(StoreError::new(ErrorKind::Unfit, what));
    }
    Ok(())
}

/// An expression for the hash of the row `r`.
///
/// `record_send` writes how many columns there are, and of each its type, its length or a mark of NULL, and its bytes.
pub(super) fn hash(table: &Table) -> String {
    let mut columns: Vec<_> = table.columns.iter().collect();
    columns.sort_by(|one, other| one.name.cmp(&other.name));
    let cells = columns.iter().map(|column| {
        let reference = format!("r.{}", names::quoted(&column.name));
        if column.is_binary_exact { reference } else { output(&reference) }
    });
    let row = cells.collect::<Vec<_>>().join(", ");
    format!("substring(sha256(record_send(ROW({row}))) FOR {HASH_BYTES})")
}

/// One message for every few pages from `from` to `to`, which is the end of the table where it is `None`.
pub(super) fn copy_sql(table: &Table, from: u64, to: Option<u64>) -> String {
    let keys = table.key.iter().map(|key| sent(&table.columns[key.column]));
    let row = keys.chain([hash(table)]).collect::<Vec<_>>().join(" || ");
    // Pages that came since the catalog was read are read too.
    let (last, end) = match to {
        Some(to) => (to, to),
        None => (table.pages.max(from + 1), NO_PAGE),
    };
    format!(
        "COPY (SELECT (SELECT string_agg({row}, ''::bytea) FROM {} AS r WHERE r.ctid >= p.low AND r.ctid < p.high)
          FROM (SELECT ('(' || g || ',0)')::tid AS low,
             ('(' || CASE WHEN g + {MESSAGE_PAGES} >= {last} THEN {end} ELSE g + {MESSAGE_PAGES} END || ',0)')::tid AS high
            FROM generate_series({from}::bigint, {last}::bigint - 1, {MESSAGE_PAGES}) AS g) AS p) TO STDOUT (FORMAT binary)",
        table.from()
    )
}

/// A key's column as bytes: eight for a whole number, else the length of its output text and that.
fn sent(column: &Column) -> String {
    let reference = format!("r.{}", names::quoted(&column.name));
    if is_integer(column) {
        return format!("int8send({reference})");
    }
    let bytes = format!("textsend({})", output(&reference));
    format!("int4send(octet_length({bytes})) || {bytes}")
}

fn is_integer(column: &Column) -> bool {
    ["smallint", "integer", "bigint"].contains(&column.type_name.as_str())
}

/// What is the same for every hash of a table: names, and types where they are part of values.
pub(super) fn row_hash(table: &Table) -> RowHash {
    let columns = table.columns.iter().map(|column| {
        let word = match column.reading {
            Reading::Bool => "bool",
            Reading::Number => "number",
            Reading::Text => "text",
            Reading::Bytes => "bytes",
            Reading::Typed => &column.type_name,
        };
        (column.name.as_str(), word)
    });
    RowHash::new(columns.collect())
}

/// A hash, or a message of them, is not what was asked for.
pub(super) fn unreadable(table: &Table) -> StoreError {
    StoreError::new(ErrorKind::Unreadable, format!("hashes of rows of {} cannot be understood", table.name))
}

/// Reads messages of one table.
pub(super) struct Hashes {
    row_hash: RowHash,
    encoder: Encoder,
}

impl Hashes {
    pub(super) fn of(table: &Table) -> Hashes {
        Hashes { row_hash: row_hash(table), encoder: Encoder::new(table) }
    }

    /// The leaves in one message.
    pub(super) fn leaves(&mut self, table: &Table, mut message: &[u8]) -> Result<Vec<Leaf>> {
        let mut leaves = Vec::new();
        while !message.is_empty() {
            leaves.push(self.leaf(table, &mut message).ok_or_else(|| unreadable(table))?);
        }
        Ok(leaves)
    }

    fn leaf(&mut self, table: &Table, message: &mut &[u8]) -> Option<Leaf> {
        let before = message.len();
        let key = self.encoder.key_of(table, |column, text| put_key_text(column, message, text))?;
        let digest = self.row_hash.digest(taken(message, HASH_BYTES)?.try_into().ok()?);
        Some(Leaf { key, digest, size: (before - message.len()) as u64, modified_at: None })
    }
}

/// Appends the output text of a value of a key.
fn put_key_text(column: &Column, message: &mut &[u8], text: &mut Vec<u8>) -> Option<()> {
    if is_integer(column) {
        let number = i64::from_be_bytes(taken(message, 8)?.try_into().ok()?);
        if number < 0 {
            text.push(b'-');
        }
        put_digits(text, number.unsigned_abs(), 1);
        return Some(());
    }
    let length = u32::from_be_bytes(taken(message, 4)?.try_into().ok()?);
    text.extend_from_slice(std::str::from_utf8(taken(message, length as usize)?).ok()?.as_bytes());
    Some(())
}

fn taken<'m>(message: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}
