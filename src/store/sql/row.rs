//! What keys and items of rows look like, whatever the database.

use std::collections::BTreeMap;

use crate::digest;
use crate::model::{Item, Key, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// Why the rows of some tables are left to a person.
pub(in crate::store) const NO_KEY: &str = "the table has no primary key: rows can be compared but not told apart";

/// The key's table and, where the table has one, the columns of its primary key.
pub(in crate::store) fn key_parts(key: &Key) -> Result<(String, BTreeMap<String, Value>)> {
    let unfit = || StoreError::new(ErrorKind::Unfit, "a key is not one of a database row");
    match digest::key_value(key).map_err(|_| unfit())? {
        Value::List(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::Text(table), Value::Map(columns)]) => Ok((table, columns)),
            _ => Err(unfit()),
        },
        _ => Err(unfit()),
    }
}

/// The places of a table's columns in the order of their names, which is that of canonical maps.
pub(in crate::store) struct ByName {
    /// All of them.
    pub(in crate::store) columns: Vec<usize>,
    /// Those of the primary key.
    pub(in crate::store) key: Vec<usize>,
}

impl ByName {
    /// Of columns with these names, of which those at `key` are the primary key.
    pub(in crate::store) fn new(names: Vec<&str>, mut key: Vec<usize>) -> ByName {
        let mut columns: Vec<usize> = (0..names.len()).collect();
        columns.sort_by_key(|at| names[*at]);
        key.sort_by_key(|at| names[*at]);
        ByName { columns, key }
    }
}

/// The key of a row of `table` by the columns of its primary key.
pub(in crate::store) fn row_key<'a>(table: &str, columns: impl Iterator<Item = &'a String>, contents: &Value) -> Key {
    let part = |name: &String| (name.clone(), contents.get(name).cloned().unwrap_or(Value::Null));
    let columns = columns.map(part).collect();
    digest::key_of(&Value::List(vec![Value::text(table), Value::Map(columns)]))
}

/// The item of a row.
pub(in crate::store) fn item(key: Key, contents: Value, size: u64, hold: Option<String>) -> Item {
    Item {
        key,
        digest: digest::item_digest(&contents),
        evidence: Vec::new(),
        contents,
        size,
        modified_at: None,
        expires_at: None,
        hold,
    }
}

/// The item of `count` equal rows of a table without a primary key.
pub(in crate::store) fn repeated(table: &str, row: Value, size: u64, count: i64) -> Item {
    let row_digest = digest::item_digest(&row);
    let name = Value::map([("row", Value::Bytes(row_digest.as_bytes().to_vec()))]);
    let key = digest::key_of(&Value::List(vec![Value::text(table), name]));
    let contents = Value::map([("row", row), ("count", Value::Number(count.into()))]);
    item(key, contents, size.saturating_mul(count.unsigned_abs()), Some(NO_KEY.into()))
}

/// Why a guard does not hold.
pub(in crate::store) fn refusal(is_expected: bool, is_found: bool) -> &'static str {
    match (is_expected, is_found) {
        (false, _) => "a row is there where none was expected",
        (true, true) => "the row changed since it was read",
        (true, false) => "the row is gone since it was read",
    }
}
