//! Rows as values: what the server sends by the binary protocol in, canonical contents and keys out, and back for writing.

use std::collections::BTreeMap;

use mysql_async::Value as Sql;

use super::catalog::Table;
use super::column::{Column, Reading};
use crate::digest::put_digits;
use crate::model::{Decimal, Item, Key, Value};
use crate::store::sql::guard::RowTable;
use crate::store::sql::row;
use crate::store::{ErrorKind, Result, StoreError};

/// One row, read: its columns as values in table order, and the size of them.
pub(super) struct ReadRow {
    contents: Value,
    size: u64,
}

pub(super) fn unreadable(table: &Table, column: &Column) -> StoreError {
    StoreError::new(ErrorKind::Unreadable, format!("a value of {}.{} cannot be understood", table.name, column.name))
}

impl ReadRow {
    /// Reads the values of all columns in table order.
    pub(super) fn new(table: &Table, values: &mut dyn Iterator<Item = Sql>) -> Result<ReadRow> {
        let (mut entries, mut size) = (BTreeMap::new(), 0);
        for column in &table.columns {
            let value = values.next().ok_or_else(|| unreadable(table, column))?;
            size += size_of(&value);
            let value = value_of(column, value).ok_or_else(|| unreadable(table, column))?;
            entries.insert(column.name.clone(), value);
        }
        Ok(ReadRow { contents: Value::Map(entries), size })
    }

    fn key(&self, table: &Table) -> Key {
        row::row_key(&table.name, table.key_columns().map(|column| &column.name), &self.contents)
    }

    /// The item of a row that has a primary key.
    pub(super) fn item(self, table: &Table) -> Item {
        row::item(self.key(table), self.contents, self.size, table.hold())
    }

    /// The item of `count` equal rows of a table without a primary key.
    pub(super) fn repeated(self, table: &Table, count: i64) -> Item {
        row::repeated(&table.name, self.contents, self.size, count)
    }
}

pub(super) fn size_of(value: &Sql) -> u64 {
    match value {
        Sql::NULL => 0,
        Sql::Bytes(bytes) => bytes.len() as u64,
        Sql::Float(_) => 4,
        Sql::Int(_) | Sql::UInt(_) | Sql::Double(_) | Sql::Date(..) | Sql::Time(..) => 8,
    }
}

pub(super) fn value_of(column: &Column, value: Sql) -> Option<Value> {
    let typed = |text: String| Value::Typed { type_name: column.type_name.clone(), text };
    Some(match (&column.reading, value) {
        (_, Sql::NULL) => Value::Null,
        (Reading::Integer | Reading::Bits, value) => Value::Number(number_of(&value)?),
        (Reading::Decimal | Reading::Plain, Sql::Bytes(bytes)) => typed(String::from_utf8(bytes).ok()?),
        // The shortest digits that name this float and no other, its sign included.
        (Reading::Float, Sql::Float(float)) => typed(format!("{float:?}")),
        (Reading::Double, Sql::Double(float)) => typed(format!("{float:?}")),
        (Reading::Text(charset), Sql::Bytes(bytes)) => charset.read(bytes),
        (Reading::Bytes, Sql::Bytes(bytes)) => Value::Bytes(bytes),
        (Reading::Enum(labels), value) => match place_of(&value)? {
            0 => typed(String::new()),
            place => Value::Text(labels.get(usize::try_from(place).ok()? - 1)?.clone()),
        },
        (Reading::Set(labels), value) => Value::TextSet(members(labels, place_of(&value)?)?),
        (Reading::Temporal(digits), value) => typed(temporal(column, &value, *digits)?),
        _ => return None,
    })
}

fn number_of(value: &Sql) -> Option<Decimal> {
    match value {
        Sql::Int(number) => Some((*number).into()),
        Sql::UInt(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn place_of(value: &Sql) -> Option<u64> {
    match value {
        Sql::Int(number) => u64::try_from(*number).ok(),
        Sql::UInt(number) => Some(*number),
        _ => None,
    }
}

fn members(labels: &[String], bits: u64) -> Option<Vec<String>> {
    let known = 1u64.checked_shl(u32::try_from(labels.len()).ok()?).map_or(u64::MAX, |next| next - 1);
    (bits & !known == 0).then_some(())?;
    Some(labels.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, label)| label.clone()).collect())
}

/// A date or time as the server itself writes it.
fn temporal(column: &Column, value: &Sql, digits: usize) -> Option<String> {
    let mut text = Vec::new();
    put_temporal(&mut text, column, value, digits)?;
    String::from_utf8(text).ok()
}

/// Appends what [`temporal`] gives.
pub(super) fn put_temporal(out: &mut Vec<u8>, column: &Column, value: &Sql, digits: usize) -> Option<()> {
    let micros = match value {
        Sql::Date(year, month, day, hour, minute, second, micros) => {
            put_parts(out, b'-', [((*year).into(), 4), ((*month).into(), 2), ((*day).into(), 2)]);
            if column.type_name == "date" {
                return Some(());
            }
            out.push(b' ');
            put_parts(out, b':', [*hour, *minute, *second].map(|part| (part.into(), 2)));
            micros
        }
        Sql::Time(is_negative, days, hour, minute, second, micros) => {
            if *is_negative {
                out.push(b'-');
            }
            let hours = u64::from(*days) * 24 + u64::from(*hour);
            put_parts(out, b':', [(hours, 2), ((*minute).into(), 2), ((*second).into(), 2)]);
            micros
        }
        _ => return None,
    };
    if digits > 0 {
        out.push(b'.');
        let start = out.len();
        put_digits(out, (*micros).into(), 6);
        (start + digits <= out.len()).then(|| out.truncate(start + digits))?;
    }
    Some(())
}

/// Appends numbers with at least so many digits each, and a mark between them.
fn put_parts(out: &mut Vec<u8>, between: u8, parts: [(u64, usize); 3]) {
    for (at, (number, digits)) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(between);
        }
        put_digits(out, number, digits);
    }
}

/// A value as its column takes it; `None` where it is none of that column.
pub(super) fn param(column: &Column, value: &Value) -> Option<Sql> {
    Some(match (&column.reading, value) {
        (_, Value::Null) => Sql::NULL,
        (Reading::Integer | Reading::Bits, Value::Number(number)) => {
            let text = number.to_string();
            text.parse().map(Sql::Int).or_else(|_| text.parse().map(Sql::UInt)).ok()?
        }
        (Reading::Decimal | Reading::Plain | Reading::Temporal(_), Value::Typed { text, .. }) => {
            Sql::Bytes(text.as_bytes().to_vec())
        }
        (Reading::Float, Value::Typed { text, .. }) => Sql::Float(text.parse().ok()?),
        (Reading::Double, Value::Typed { text, .. }) => Sql::Double(text.parse().ok()?),
        (Reading::Text(charset), value) => Sql::Bytes(charset.write(value)?),
        (Reading::Bytes, Value::Bytes(bytes)) => Sql::Bytes(bytes.clone()),
        (Reading::Enum(labels), Value::Text(text)) => {
            let place = labels.iter().position(|label| label == text)?;
            Sql::UInt(place as u64 + 1)
        }
        (Reading::Enum(_), Value::Typed { text, .. }) if text.is_empty() => Sql::UInt(0),
        (Reading::Set(labels), Value::TextSet(texts)) => {
            let place = |text: &String| labels.iter().position(|label| label == text);
            let places: Option<Vec<usize>> = texts.iter().map(place).collect();
            Sql::UInt(places?.into_iter().fold(0, |bits, at| bits | 1 << at))
        }
        _ => return None,
    })
}

/// Whether a value is one that the server refuses while it is strict: the place of no label.
pub(super) fn is_refused_when_strict(column: &Column, value: &Value) -> bool {
    matches!((&column.reading, value), (Reading::Enum(_), Value::Typed { .. }))
}

impl RowTable for Table {
    type KeyCell = Sql;
    type Cell = Value;

    fn name(&self) -> &str {
        &self.name
    }

    fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    fn hold(&self) -> Option<String> {
        Table::hold(self)
    }

    fn key_cells(&self, columns: &BTreeMap<String, Value>) -> Option<Vec<Sql>> {
        if columns.len() != self.key.len() {
            return None;
        }
        self.key_columns().map(|column| param(column, columns.get(&column.name)?)).collect()
    }

    /// Each must fit its column.
    fn cells(&self, contents: &Value) -> Option<Vec<Value>> {
        let entries = contents.as_map()?;
        if entries.len() != self.columns.len() {
            return None;
        }
        let value = |column: &Column| entries.get(&column.name).filter(|value| param(column, value).is_some()).cloned();
        self.columns.iter().map(value).collect()
    }

    fn is_generated(&self, at: usize) -> bool {
        self.columns[at].is_generated()
    }

    fn is_only_inserted(&self, _at: usize) -> bool {
        false
    }
}
