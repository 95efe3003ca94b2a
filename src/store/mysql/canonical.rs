//! Rows of a scan to canonical bytes, without values in between.
//!
//! What [`super::row`] makes of the same values has the same digest and key: a scan goes this way, a fetch that one.

use mysql_async::Value as Sql;

use super::catalog::Table;
use super::column::{Column, Reading};
use super::row::{put_temporal, size_of, unreadable, value_of};
use super::text::Charset;
use crate::digest::frame::{self, BYTES, ITEM_DOMAIN, LIST, MAP, NULL, NUMBER, TEXT, TYPED};
use crate::digest::{encode_into, put_integer};
use crate::model::{Key, Leaf};
use crate::store::Result;
use crate::store::sql::row::ByName;

/// Writes rows of one table; what it needs on the way is kept for the next row.
pub(super) struct Encoder {
    order: ByName,
    canonical: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(table: &Table) -> Encoder {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let order = ByName::new(names.collect(), table.key.clone());
        Encoder { order, canonical: Vec::new() }
    }

    /// The leaf of a row of all columns in table order; what the server did not send is NULL.
    pub(super) fn leaf(&mut self, table: &Table, values: &[Option<Sql>]) -> Result<Leaf> {
        if let Some(column) = table.columns.get(values.len()) {
            return Err(unreadable(table, column));
        }
        let size = values.iter().take(table.columns.len()).flatten().map(size_of).sum();
        self.canonical.clear();
        self.canonical.extend_from_slice(ITEM_DOMAIN);
        put_map(&mut self.canonical, table, &self.order.columns, values)?;
        let digest = blake3::hash(&self.canonical).into();
        Ok(Leaf { key: self.key(table, values)?, digest, size, modified_at: None })
    }

    fn key(&mut self, table: &Table, values: &[Option<Sql>]) -> Result<Key> {
        self.canonical.clear();
        let list = frame::open(&mut self.canonical, LIST);
        frame::put(&mut self.canonical, TEXT, table.name.as_bytes());
        put_map(&mut self.canonical, table, &self.order.key, values)?;
        list.close(&mut self.canonical);
        Ok(Key::from_canonical(self.canonical.as_slice()))
    }
}

/// Appends a map of the columns at `places`, which are in the order of their names.
fn put_map(out: &mut Vec<u8>, table: &Table, places: &[usize], values: &[Option<Sql>]) -> Result<()> {
    let map = frame::open(out, MAP);
    for &at in places {
        let column = &table.columns[at];
        frame::put(out, TEXT, column.name.as_bytes());
        let value = values[at].as_ref().unwrap_or(&Sql::NULL);
        put_value(out, column, value).ok_or_else(|| unreadable(table, column))?;
    }
    map.close(out);
    Ok(())
}

/// Appends a value; `None` where it is none of its column.
fn put_value(out: &mut Vec<u8>, column: &Column, value: &Sql) -> Option<()> {
    match (&column.reading, value) {
        (_, Sql::NULL) => frame::put(out, NULL, &[]),
        (Reading::Integer | Reading::Bits, Sql::Int(number)) => {
            let frame = frame::open(out, NUMBER);
            put_integer(out, *number);
            frame.close(out);
        }
        (Reading::Text(Charset::Utf8), Sql::Bytes(bytes)) => {
            frame::put(out, if std::str::from_utf8(bytes).is_ok() { TEXT } else { BYTES }, bytes);
        }
        (Reading::Bytes, Sql::Bytes(bytes)) => frame::put(out, BYTES, bytes),
        (Reading::Decimal | Reading::Plain, Sql::Bytes(bytes)) => {
            std::str::from_utf8(bytes).ok()?;
            let typed = frame::open(out, TYPED);
            frame::put(out, TEXT, column.type_name.as_bytes());
            frame::put(out, TEXT, bytes);
            typed.close(out);
        }
        (Reading::Temporal(digits), value) => {
            let typed = frame::open(out, TYPED);
            frame::put(out, TEXT, column.type_name.as_bytes());
            let text = frame::open(out, TEXT);
            put_temporal(out, column, value, *digits)?;
            text.close(out);
            typed.close(out);
        }
        // The others are rare.
        _ => encode_into(out, &value_of(column, value.clone())?),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(type_name: &str, reading: Reading) -> Column {
        Column {
            name: "c".into(),
            type_name: type_name.into(),
            reading,
            not_null: false,
            generated: None,
            charset: None,
            collation: None,
            default: None,
            is_touched: false,
            is_counted: false,
        }
    }

    fn columns() -> Vec<Column> {
        let labels = || vec!["a".to_owned(), "é".to_owned()];
        let mut columns = vec![
            column("bigint unsigned", Reading::Integer),
            column("bit(64)", Reading::Bits),
            column("decimal(65,30)", Reading::Decimal),
            column("float", Reading::Float),
            column("double", Reading::Double),
            column("blob", Reading::Bytes),
            column("enum('a','é')", Reading::Enum(labels())),
            column("set('a','é')", Reading::Set(labels())),
            column("json", Reading::Plain),
            column("date", Reading::Temporal(0)),
        ];
        columns.extend([Charset::Utf8, Charset::Latin1, Charset::Other].map(|set| column("text", Reading::Text(set))));
        columns.extend([0, 1, 3, 6].map(|digits| column("datetime", Reading::Temporal(digits))));
        columns
    }

    fn sql() -> impl Strategy<Value = Sql> {
        prop_oneof![
            Just(Sql::NULL),
            any::<Vec<u8>>().prop_map(Sql::Bytes),
            ".*".prop_map(|text| Sql::Bytes(text.into_bytes())),
            any::<i64>().prop_map(Sql::Int),
            (-3_i64..5).prop_map(Sql::Int),
            any::<u64>().prop_map(Sql::UInt),
            (0_u64..5).prop_map(Sql::UInt),
            any::<f32>().prop_map(Sql::Float),
            any::<f64>().prop_map(Sql::Double),
            any::<(u16, u8, u8, u8, u8, u8, u32)>().prop_map(|(y, m, d, h, i, s, u)| Sql::Date(y, m, d, h, i, s, u)),
            any::<(bool, u32, u8, u8, u8, u32)>().prop_map(|(n, d, h, i, s, u)| Sql::Time(n, d, h, i, s, u)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_a_value_would_be(value in sql()) {
            for column in columns() {
                let mut written = Vec::new();
                let is_written = put_value(&mut written, &column, &value).is_some();
                let expected = value_of(&column, value.clone()).map(|value| crate::digest::encode(&value));
                prop_assert_eq!(is_written.then_some(written), expected, "{} {:?}", column.type_name, value);
            }
        }
    }

    #[test]
    fn times_are_written_as_the_server_does() {
        let text = |type_name: &str, digits, value: Sql| {
            let mut out = Vec::new();
            put_temporal(&mut out, &column(type_name, Reading::Temporal(digits)), &value, digits)?;
            String::from_utf8(out).ok()
        };
        let date = || Sql::Date(2026, 1, 2, 3, 4, 5, 60_700);
        assert_eq!(text("date", 0, date()).as_deref(), Some("2026-01-02"));
        assert_eq!(text("datetime", 0, date()).as_deref(), Some("2026-01-02 03:04:05"));
        assert_eq!(text("datetime(3)", 3, date()).as_deref(), Some("2026-01-02 03:04:05.060"));
        assert_eq!(
            text("timestamp(6)", 6, Sql::Date(0, 0, 0, 0, 0, 0, 0)).as_deref(),
            Some("0000-00-00 00:00:00.000000")
        );
        assert_eq!(text("time(1)", 1, Sql::Time(true, 34, 22, 59, 59, 900_000)).as_deref(), Some("-838:59:59.9"));
        assert_eq!(text("time", 0, Sql::Int(1)), None);
    }
}
