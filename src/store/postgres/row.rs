//! Rows as values: output text in, canonical contents and keys out, and back to text for writing.

use std::collections::BTreeMap;

use super::catalog::{Column, Reading, Table};
use crate::digest;
use crate::model::{Item, Key, Leaf, Value};
use crate::store::{ErrorKind, Result, StoreError};

/// Why the rows of some tables are left to a person.
pub(super) const NO_KEY: &str = "the table has no primary key: rows can be compared but not told apart";

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

/// The texts of a row in column order, when `contents` holds exactly the columns of the table.
pub(super) fn texts_of(table: &Table, contents: &Value) -> Option<Vec<Option<String>>> {
    let entries = contents.as_map()?;
    if entries.len() != table.columns.len() {
        return None;
    }
    table.columns.iter().map(|column| text_of(entries.get(&column.name)?)).collect()
}

/// The key's table and, where the table has one, the texts of its primary key in key order.
pub(super) fn key_parts(key: &Key) -> Result<(String, BTreeMap<String, Value>)> {
    let unfit = || StoreError::new(ErrorKind::Unfit, "a key is not one of a database row");
    match digest::key_value(key).map_err(|_| unfit())? {
        Value::List(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::Text(table), Value::Map(columns)]) => Ok((table, columns)),
            _ => Err(unfit()),
        },
        _ => Err(unfit()),
    }
}

/// The texts of a primary key in key order, when `columns` holds exactly those columns.
pub(super) fn key_texts(table: &Table, columns: &BTreeMap<String, Value>) -> Option<Vec<String>> {
    if columns.len() != table.key.len() {
        return None;
    }
    let texts = table.key.iter().map(|key| text_of(columns.get(&table.columns[key.column].name)?)?);
    texts.collect()
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
        let part = |name: &String| (name.clone(), self.contents.get(name).cloned().unwrap_or(Value::Null));
        let columns = table.key.iter().map(|key| part(&table.columns[key.column].name)).collect();
        digest::key_of(&Value::List(vec![Value::text(&table.name), Value::Map(columns)]))
    }

    /// The leaf of a row that has a primary key.
    pub(super) fn leaf(&self, table: &Table) -> Leaf {
        Leaf { key: self.key(table), digest: digest::item_digest(&self.contents), size: self.size, modified_at: None }
    }

    /// The item of a row that has a primary key.
    pub(super) fn item(self, table: &Table) -> Item {
        let key = self.key(table);
        item(key, self.contents, self.size, None)
    }

    /// The item of `count` equal rows of a table without a primary key.
    pub(super) fn repeated(self, table: &Table, count: i64) -> Item {
        let row_digest = digest::item_digest(&self.contents);
        let row = Value::map([("row", Value::Bytes(row_digest.as_bytes().to_vec()))]);
        let key = digest::key_of(&Value::List(vec![Value::text(&table.name), row]));
        let contents = Value::map([("row", self.contents), ("count", Value::Number(count.into()))]);
        item(key, contents, self.size.saturating_mul(count.unsigned_abs()), Some(NO_KEY.into()))
    }
}

fn item(key: Key, contents: Value, size: u64, hold: Option<String>) -> Item {
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

/// Splits one line of COPY's text format; `None` where it is not UTF-8 or ends inside an escape.
pub(super) fn copy_fields(line: &[u8]) -> Option<Vec<Option<String>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|&byte| byte == b'\t').map(copy_field).collect()
}

fn copy_field(field: &[u8]) -> Option<Option<String>> {
    if field == b"\\N" {
        return Some(None);
    }
    if !field.contains(&b'\\') {
        return String::from_utf8(field.to_vec()).ok().map(Some);
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match *rest.next()? {
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 11,
                b'f' => 12,
                b'r' => b'\r',
                b'\\' => b'\\',
                // The server writes no other escape.
                _ => return None,
            },
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_lines_are_read_back() {
        let fields = copy_fields(b"a\\tb\t\\N\t\\\\N\t\tx\\n\\r\\\\\\b\\f\\v\n").expect("a line");
        let texts: Vec<Option<&str>> = fields.iter().map(Option::as_deref).collect();
        assert_eq!(texts, [Some("a\tb"), None, Some("\\N"), Some(""), Some("x\n\r\\\u{8}\u{c}\u{b}")]);
        assert_eq!(copy_fields(b"\xff\n"), None);
        assert_eq!(copy_fields(b"a\\\n"), None);
        assert_eq!(copy_fields(b"a\\q\n"), None);
    }
}
