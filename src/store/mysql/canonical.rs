//! Rows of a scan to canonical bytes, without a map of values in between.
//!
//! What [`super::row`] makes of the same values has the same digest and key: a scan goes this way, a fetch that one.

use mysql_async::Value as Sql;

use super::catalog::Table;
use super::row::{size_of, unreadable, value_of};
use crate::digest::encode_into;
use crate::digest::frame::{self, ITEM_DOMAIN, LIST, MAP, TEXT};
use crate::model::{Key, Leaf, Value};
use crate::store::Result;
use crate::store::sql::row::ByName;

/// Writes rows of one table; what it needs on the way is kept for the next row.
pub(super) struct Encoder {
    order: ByName,
    values: Vec<Value>,
    canonical: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(table: &Table) -> Encoder {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let order = ByName::new(names.collect(), table.key.clone());
        Encoder { order, values: Vec::new(), canonical: Vec::new() }
    }

    /// The leaf of a row of all columns in table order.
    pub(super) fn leaf(&mut self, table: &Table, values: impl Iterator<Item = Sql>) -> Result<Leaf> {
        let mut size = 0;
        self.values.clear();
        for (column, value) in table.columns.iter().zip(values) {
            size += size_of(&value);
            self.values.push(value_of(column, value).ok_or_else(|| unreadable(table, column))?);
        }
        if let Some(column) = table.columns.get(self.values.len()) {
            return Err(unreadable(table, column));
        }
        self.canonical.clear();
        self.canonical.extend_from_slice(ITEM_DOMAIN);
        put_map(&mut self.canonical, table, &self.order.columns, &self.values);
        let digest = blake3::hash(&self.canonical).into();
        Ok(Leaf { key: self.key(table), digest, size, modified_at: None })
    }

    fn key(&mut self, table: &Table) -> Key {
        self.canonical.clear();
        let list = frame::open(&mut self.canonical, LIST);
        frame::put(&mut self.canonical, TEXT, table.name.as_bytes());
        put_map(&mut self.canonical, table, &self.order.key, &self.values);
        list.close(&mut self.canonical);
        Key::from_canonical(self.canonical.as_slice())
    }
}

/// Appends a map of the columns at `places`, which are in the order of their names.
fn put_map(out: &mut Vec<u8>, table: &Table, places: &[usize], values: &[Value]) {
    let map = frame::open(out, MAP);
    for &at in places {
        frame::put(out, TEXT, table.columns[at].name.as_bytes());
        encode_into(out, &values[at]);
    }
    map.close(out);
}
