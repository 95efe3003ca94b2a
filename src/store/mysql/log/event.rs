//! Events of the binary log: what they say of files, tables, rows and statements.
//!
//! Laid out as in "Replication Protocol" of MariaDB's documentation and "Binary Log Event" of MySQL's source: numbers are
//! little-endian, and the lengths of lists are packed.

use bytes::{Buf, TryGetError};

use super::value::{self, Cell};

/// An event is not as servers write them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the binary log cannot be understood")]
pub(super) struct NotUnderstood;

impl From<TryGetError> for NotUnderstood {
    fn from(_: TryGetError) -> Self {
        NotUnderstood
    }
}

/// One event, as it comes.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) kind: u8,
    /// When the statement began that wrote it, in seconds since the Unix epoch; 0 where it is of no statement.
    pub(super) seconds: u32,
    /// Where it ends in its file; 0 where it is in none.
    pub(super) end: u64,
    pub(super) is_ignorable: bool,
    pub(super) body: Vec<u8>,
}

/// What happened to the rows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsKind {
    Insert,
    Update,
    Delete,
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told<'a> {
    /// What follows is in that file, from that position on.
    Rotate {
        file: &'a [u8],
        position: u64,
    },
    /// A file begins.
    Format,
    /// A transaction begins; by its GTID where the server is MySQL.
    Transaction(Option<([u8; 16], u64)>),
    Commit,
    Statement {
        database: &'a [u8],
        text: &'a [u8],
    },
    Table(TableMap),
    Rows(RowsKind, Rows<'a>),
    /// What says nothing of rows.
    Other,
    /// What may say anything.
    Opaque,
}

/// A table as the rows after it mean it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableMap {
    pub(super) id: u64,
    pub(super) database: Vec<u8>,
    pub(super) table: Vec<u8>,
    pub(super) cells: Vec<Cell>,
}

/// Images of rows, not yet taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows<'a> {
    pub(super) table: u64,
    pub(super) width: usize,
    /// Which columns the first image of a row has, a bit each.
    pub(super) first: &'a [u8],
    /// The same of the second image, which only updates have.
    pub(super) second: &'a [u8],
    pub(super) images: &'a [u8],
}

/// Reads what an event says.
pub(super) fn told(event: &Event) -> Result<Told<'_>, NotUnderstood> {
    let data = &mut event.body.as_slice();
    Ok(match event.kind {
        2 => statement(data)?,
        4 => {
            let position = data.try_get_u64_le()?;
            Told::Rotate { file: data, position }
        }
        15 => Told::Format,
        16 => Told::Commit,
        19 => Told::Table(table(data)?),
        23 | 30 => Told::Rows(RowsKind::Insert, rows(data, event.kind)?),
        24 | 31 => Told::Rows(RowsKind::Update, rows(data, event.kind)?),
        25 | 32 => Told::Rows(RowsKind::Delete, rows(data, event.kind)?),
        33 => {
            let (_flags, server) = (data.try_get_u8()?, taken(data, 16)?);
            let server = <[u8; 16]>::try_from(server).map_err(|_| NotUnderstood)?;
            Told::Transaction(Some((server, data.try_get_u64_le()?)))
        }
        // Without a GTID, and MariaDB's own, which is not needed here.
        34 | 162 => Told::Transaction(None),
        // The end of a file, settings of a statement that comes as such, heartbeats, and what others keep for themselves:
        // texts of statements, lists of GTIDs, checkpoints, encryption that the server undoes.
        3 | 5 | 13 | 14 | 27 | 28 | 29 | 35 | 36 | 37 | 38 | 41 | 160 | 161 | 163 | 164 => Told::Other,
        _ if event.is_ignorable => Told::Other,
        _ => Told::Opaque,
    })
}

fn taken<'a>(data: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotUnderstood> {
    value::taken(data, length).ok_or(NotUnderstood)
}

/// A number that takes one byte while it is small.
fn packed(data: &mut &[u8]) -> Result<usize, NotUnderstood> {
    let number = match data.try_get_u8()? {
        small @ 0..=250 => u64::from(small),
        252 => u64::from(data.try_get_u16_le()?),
        253 => data.try_get_uint_le(3)?,
        254 => data.try_get_u64_le()?,
        _ => return Err(NotUnderstood),
    };
    usize::try_from(number).map_err(|_| NotUnderstood)
}

fn statement<'a>(data: &mut &'a [u8]) -> Result<Told<'a>, NotUnderstood> {
    let (_thread, _took) = (data.try_get_u32_le()?, data.try_get_u32_le()?);
    let (name, _error, settings) = (data.try_get_u8()?, data.try_get_u16_le()?, data.try_get_u16_le()?);
    taken(data, usize::from(settings))?;
    let database = taken(data, usize::from(name))?;
    taken(data, 1)?;
    Ok(Told::Statement { database, text: data })
}

fn table(data: &mut &[u8]) -> Result<TableMap, NotUnderstood> {
    let (id, _flags) = (data.try_get_uint_le(6)?, data.try_get_u16_le()?);
    let mut name = || {
        let length = data.try_get_u8()?;
        let name = taken(data, usize::from(length))?.to_vec();
        taken(data, 1)?;
        Ok::<_, NotUnderstood>(name)
    };
    let (database, table) = (name()?, name()?);
    let width = packed(data)?;
    let kinds = taken(data, width)?;
    let length = packed(data)?;
    let mut details = taken(data, length)?;
    let cells: Option<Vec<Cell>> = kinds.iter().map(|kind| Cell::read(*kind, &mut details)).collect();
    match cells {
        Some(cells) if details.is_empty() => Ok(TableMap { id, database, table, cells }),
        _ => Err(NotUnderstood),
    }
}

/// The second version, from kind 30 on, has a header of its own length.
fn rows<'a>(data: &mut &'a [u8], kind: u8) -> Result<Rows<'a>, NotUnderstood> {
    let (table, _flags) = (data.try_get_uint_le(6)?, data.try_get_u16_le()?);
    if kind >= 30 {
        let length = data.try_get_u16_le()?;
        taken(data, usize::from(length).checked_sub(2).ok_or(NotUnderstood)?)?;
    }
    let width = packed(data)?;
    let first = taken(data, width.div_ceil(8))?;
    let second = if matches!(kind, 24 | 31) { taken(data, width.div_ceil(8))? } else { &[] };
    Ok(Rows { table, width, first, second, images: data })
}

/// The values of the columns at `wanted` in an image of a row, which is taken from the front of `images`; `None` where the image
/// does not have the column, or has NULL.
pub(super) fn image<'a>(
    images: &mut &'a [u8],
    cells: &[Cell],
    present: &[u8],
    wanted: &[usize],
) -> Result<Vec<Option<&'a [u8]>>, NotUnderstood> {
    let bit = |bits: &[u8], at: usize| bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    let count = (0..cells.len()).filter(|at| bit(present, *at)).count();
    let nulls = taken(images, count.div_ceil(8))?;
    let (mut values, mut seen) = (vec![None; wanted.len()], 0);
    for (at, cell) in cells.iter().enumerate().filter(|(at, _)| bit(present, *at)) {
        let is_null = bit(nulls, seen);
        seen += 1;
        if is_null {
            continue;
        }
        let value = cell.take(images).ok_or(NotUnderstood)?;
        for place in wanted.iter().enumerate().filter(|(_, column)| **column == at).map(|(place, _)| place) {
            values[place] = Some(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Event {
        Event { kind, seconds: 1, end: 2, is_ignorable: false, body: body.to_vec() }
    }

    /// A table `b`.`t` of an INT and a VARCHAR(10).
    const TABLE: &[u8] = b"\x07\0\0\0\0\0\x01\0\x01b\0\x01t\0\x02\x03\x0f\x02\x0a\x00\x02";

    #[test]
    fn rows_are_read_by_the_table_before_them() {
        let mapped = event(19, TABLE);
        let Ok(Told::Table(map)) = told(&mapped) else { panic!("no table") };
        assert_eq!((map.id, map.database.as_slice(), map.table.as_slice()), (7, &b"b"[..], &b"t"[..]));
        let update = event(24, b"\x07\0\0\0\0\0\x01\0\x02\x03\x01\x02\x05\0\0\0\xfe\x09\0\0\0");
        let Ok(Told::Rows(RowsKind::Update, rows)) = told(&update) else { panic!("no rows") };
        let mut images = rows.images;
        let before = image(&mut images, &map.cells, rows.first, &[1, 0]).expect("an image");
        assert_eq!(before, [None, Some(&[5, 0, 0, 0][..])]);
        let after = image(&mut images, &map.cells, rows.second, &[0]).expect("an image");
        assert_eq!((after, images), (vec![Some(&[9, 0, 0, 0][..])], &[][..]));
    }

    #[test]
    fn an_event_cut_short_is_not_understood() {
        for length in 0..TABLE.len() - 1 {
            assert_eq!(told(&event(19, &TABLE[..length])), Err(NotUnderstood), "{length}");
        }
        let rows: &[u8] = b"\x07\0\0\0\0\0\x01\0\x04\0\xaa\xbb\x02\x03";
        for length in 0..rows.len() {
            assert_eq!(told(&event(30, &rows[..length])), Err(NotUnderstood), "{length}");
        }
        assert!(told(&event(30, rows)).is_ok());
        assert_eq!(told(&event(99, b"")), Ok(Told::Opaque));
        assert_eq!(told(&Event { is_ignorable: true, ..event(99, b"") }), Ok(Told::Other));
    }

    #[test]
    fn statements_are_read_with_their_database() {
        let query = event(2, b"\x01\0\0\0\x02\0\0\0\x01\0\0\x03\0abcb\0DROP x");
        assert_eq!(told(&query), Ok(Told::Statement { database: b"b", text: b"DROP x" }));
        let rotate = event(4, b"\x04\0\0\0\0\0\0\0b.000002");
        assert_eq!(told(&rotate), Ok(Told::Rotate { file: b"b.000002", position: 4 }));
        let gtid = event(33, &[&[1][..], &[9; 16], &[5, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(told(&gtid), Ok(Told::Transaction(Some(([9; 16], 5)))));
    }
}
