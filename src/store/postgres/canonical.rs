//! Rows straight from the bytes that a server sends to canonical bytes, without values in between.
//!
//! What [`super::row`] makes of the same texts has the same digest and key: a scan goes this way, a fetch that one.

use super::catalog::{Column, Reading, Table};
use super::copy::Fields;
use crate::digest::frame::{self, BYTES, FALSE, ITEM_DOMAIN, LIST, MAP, NULL, NUMBER, TEXT, TRUE, TYPED};
use crate::digest::put_number_text;
use crate::model::{Digest, Key, Leaf};
use crate::store::sql::row::ByName;

/// Writes rows of one table; what it needs on the way is kept for the next row.
pub(super) struct Encoder {
    order: ByName,
    fields: Fields,
    canonical: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(table: &Table) -> Encoder {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let order = ByName::new(names.collect(), table.key.iter().map(|key| key.column).collect());
        Encoder { order, fields: Fields::default(), canonical: Vec::new() }
    }

    /// The leaf of a line of COPY's text format; `None` where it is no row of the table.
    pub(super) fn leaf(&mut self, table: &Table, line: &[u8]) -> Option<Leaf> {
        self.fields.read(line)?;
        if self.fields.count() != table.columns.len() {
            return None;
        }
        let digest = self.digest(table)?;
        let key = self.key(table)?;
        Some(Leaf { key, digest, size: self.fields.bytes(), modified_at: None })
    }

    fn digest(&mut self, table: &Table) -> Option<Digest> {
        let out = &mut self.canonical;
        out.clear();
        out.extend_from_slice(ITEM_DOMAIN);
        put_map(out, table, &self.order.columns, &self.fields)?;
        Some(blake3::hash(out).into())
    }

    fn key(&mut self, table: &Table) -> Option<Key> {
        let out = &mut self.canonical;
        out.clear();
        let list = frame::open(out, LIST);
        frame::put(out, TEXT, table.name.as_bytes());
        put_map(out, table, &self.order.key, &self.fields)?;
        list.close(out);
        Some(Key::from_canonical(out.as_slice()))
    }

    /// The key of a row by the texts of its key's columns, which `write` appends; `None` where it cannot.
    pub(super) fn key_of(
        &mut self,
        table: &Table,
        mut write: impl FnMut(&Column, &mut Vec<u8>) -> Option<()>,
    ) -> Option<Key> {
        self.fields.reset(table.columns.len());
        for key in &table.key {
            let mut is_written = None;
            self.fields.set(key.column, |text| is_written = write(&table.columns[key.column], text));
            is_written?;
        }
        self.key(table)
    }
}

/// Appends a map of the columns at `places`, which are in the order of their names.
fn put_map(out: &mut Vec<u8>, table: &Table, places: &[usize], fields: &Fields) -> Option<()> {
    let map = frame::open(out, MAP);
    for &at in places {
        let column = &table.columns[at];
        frame::put(out, TEXT, column.name.as_bytes());
        put_value(out, column, fields.at(at))?;
    }
    map.close(out);
    Some(())
}

/// Appends a value by its column's output text, which is UTF-8.
fn put_value(out: &mut Vec<u8>, column: &Column, text: Option<&[u8]>) -> Option<()> {
    let Some(text) = text else {
        frame::put(out, NULL, &[]);
        return Some(());
    };
    match column.reading {
        Reading::Bool => match text {
            b"t" => frame::put(out, TRUE, &[]),
            b"f" => frame::put(out, FALSE, &[]),
            _ => return None,
        },
        Reading::Number => {
            let number = frame::open(out, NUMBER);
            put_number_text(out, text).ok()?;
            number.close(out);
        }
        Reading::Text => frame::put(out, TEXT, text),
        Reading::Bytes => {
            let digits = text.strip_prefix(b"\\x")?;
            let bytes = frame::open(out, BYTES);
            let start = out.len();
            out.resize(start + digits.len() / 2, 0);
            hex::decode_to_slice(digits, &mut out[start..]).ok()?;
            bytes.close(out);
        }
        Reading::Typed => {
            let typed = frame::open(out, TYPED);
            frame::put(out, TEXT, column.type_name.as_bytes());
            frame::put(out, TEXT, text);
            typed.close(out);
        }
    }
    Some(())
}
