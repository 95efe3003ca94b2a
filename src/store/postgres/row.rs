//! Rows as values: output text in, canonical contents and keys out, and back to text for writing.

use std::collections::BTreeMap;

use super::catalog::{Column, Reading, Table};
use crate::model::{Item, Key, Value};
use crate::store::sql::guard::RowTable;
use crate::store::sql::row;
use crate::store::{ErrorKind, Result, StoreError};

/// An expression that gives exactly the output function's text, or NULL.
///
/// A cast to text is not the output function for `bpchar`, `inet` and others; `concat` is. `num_nulls` and not `IS NULL`,
/// which is true of a row of NULLs.
pub(super) fn output(reference: &str) -> String {
    format!("CASE num_nulls({reference}) WHEN 0 THEN concat({reference}) END")
}

/// The output expressions of all columns of a table that is called `r`.
pub(super) fn outputs(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| output(&format!("r.{}", super::names::quoted(&column.name))));
    columns.collect::<Vec<_>>().join(", ")
}

fn unreadable(table: &Table) -> StoreError {
    StoreError::new(ErrorKind::Unreadable, format!("a row of {} cannot be understood", table.name))
}

fn value_of(column: &Column, text: Option<String>) -> Option<Value> {
    let Some(text) = text else { return Some(Value::Null) };
    Some(match column.reading {
        Reading::Bool => Value::Bool(match text.as_str() {
            "t" => true,
            "f" => false,
            _ => return None,
        }),
        Reading::Number => Value::Number(text.parse().ok()?),
        Reading::Text => Value::Text(text),
        Reading::Bytes => Value::Bytes(hex::decode(text.strip_prefix("\\x")?).ok()?),
        Reading::Typed => Value::Typed { type_name: column.type_name.clone(), text },
    })
}

/// A value as the text that its column's type reads; `None` is NULL.
fn text_of(value: &Value) -> Option<Option<String>> {
    Some(match value {
        Value::Null => None,
        Value::Bool(flag) => Some(if *flag { "t" } else { "f" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) | Value::Typed { text, .. } => Some(text.clone()),
        Value::Bytes(bytes) => Some(format!("\\x{}", hex::encode(bytes))),
        _ => return None,
    })
}

impl RowTable for Table {
    type KeyCell = String;
    /// The text that the column's type reads; `None` is NULL.
    type Cell = Option<String>;

    fn name(&self) -> &str {
        &self.name
    }

    fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    fn hold(&self) -> Option<String> {
        None
    }

    fn key_cells(&self, columns: &BTreeMap<String, Value>) -> Option<Vec<String>> {
        if columns.len() != self.key.len() {
            return None;
        }
        self.key.iter().map(|key| text_of(columns.get(&self.columns[key.column].name)?)?).collect()
    }

    fn cells(&self, contents: &Value) -> Option<Vec<Option<String>>> {
        let entries = contents.as_map()?;
        if entries.len() != self.columns.len() {
            return None;
        }
        self.columns.iter().map(|column| text_of(entries.get(&column.name)?)).collect()
    }

    fn is_generated(&self, at: usize) -> bool {
        self.columns[at].is_generated()
    }

    fn is_only_inserted(&self, at: usize) -> bool {
        self.columns[at].identity == "a"
    }
}

/// The key of a row of which `text` tells the columns of the primary key, by their places in the table; `None` where it does
/// not tell one, or tells something else than its type.
pub(super) fn key_of_texts(table: &Table, text: impl Fn(usize) -> Option<Option<String>>) -> Option<Key> {
    let mut columns = BTreeMap::new();
    for key in &table.key {
        let column = &table.columns[key.column];
        columns.insert(column.name.clone(), value_of(column, text(key.column)?)?);
    }
    let names = table.key.iter().map(|key| &table.columns[key.column].name);
    Some(row::row_key(&table.name, names, &Value::Map(columns)))
}

/// One row, read: its columns as values in table order, and the size of their text.
pub(super) struct ReadRow {
    contents: Value,
    size: u64,
}

impl ReadRow {
    /// Reads the output texts of all columns in table order.
    pub(super) fn new(table: &Table, texts: Vec<Option<String>>) -> Result<ReadRow> {
        if texts.len() != table.columns.len() {
            return Err(unreadable(table));
        }
        let size = texts.iter().flatten().map(|text| text.len() as u64).sum();
        let mut entries = BTreeMap::new();
        for (column, text) in table.columns.iter().zip(texts) {
            entries.insert(column.name.clone(), value_of(column, text).ok_or_else(|| unreadable(table))?);
        }
        Ok(ReadRow { contents: Value::Map(entries), size })
    }

    fn key(&self, table: &Table) -> Key {
        row::row_key(&table.name, table.key.iter().map(|key| &table.columns[key.column].name), &self.contents)
    }

    /// The item of a row that has a primary key.
    pub(super) fn item(self, table: &Table) -> Item {
        row::item(self.key(table), self.contents, self.size, None)
    }

    /// The item of `count` equal rows of a table without a primary key.
    pub(super) fn repeated(self, table: &Table, count: i64) -> Item {
        row::repeated(&table.name, self.contents, self.size, count)
    }
}
