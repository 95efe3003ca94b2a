//! Messages of the `pgoutput` plugin, protocol version 1: what they say of transactions, tables and rows.
//!
//! Laid out as in "Logical Replication Message Formats" of PostgreSQL's documentation: numbers are big-endian, texts end with
//! a zero byte, times are microseconds since 2000-01-01.

use bytes::{Buf, TryGetError};

/// Microseconds from the Unix epoch to PostgreSQL's.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// A message is not as the plugin writes them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the replication slot cannot be understood")]
pub(super) struct NotUnderstood;

impl From<TryGetError> for NotUnderstood {
    fn from(_: TryGetError) -> Self {
        NotUnderstood
    }
}

/// One column's value in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Null,
    Text(String),
    /// A long value that is stored apart and was not changed.
    Untold,
}

/// A row before it was changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// The columns of its replica identity; the others are NULL.
    Key(Vec<Told>),
    /// All of it.
    Row(Vec<Told>),
}

/// What happened to one row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowChange {
    Insert(Vec<Told>),
    /// What it was is told where its key changed, or where the table's replica identity is the whole row.
    Update(Option<Before>, Vec<Told>),
    Delete(Before),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Begin {
        /// When the transaction was committed, in microseconds since the Unix epoch.
        committed_at: i64,
        xid: u32,
    },
    /// A table as the messages after this one mean it.
    Table {
        oid: u32,
        columns: Vec<String>,
    },
    Row {
        oid: u32,
        change: RowChange,
    },
    Truncate {
        oids: Vec<u32>,
    },
    /// What says nothing of rows.
    Other,
}

/// Reads one message.
pub(super) fn message(mut data: &[u8]) -> Result<Message, NotUnderstood> {
    let data = &mut data;
    let message = match data.try_get_u8()? {
        b'B' => {
            let _final_lsn = data.try_get_u64()?;
            let committed_at = data.try_get_i64()?.checked_add(EPOCH_MICROSECONDS).ok_or(NotUnderstood)?;
            Message::Begin { committed_at, xid: data.try_get_u32()? }
        }
        b'R' => table(data)?,
        b'I' => {
            let oid = data.try_get_u32()?;
            expect(data, b'N')?;
            Message::Row { oid, change: RowChange::Insert(values(data)?) }
        }
        b'U' => {
            let oid = data.try_get_u32()?;
            let before = match data.first() {
                Some(b'N') => None,
                _ => Some(before(data)?),
            };
            expect(data, b'N')?;
            Message::Row { oid, change: RowChange::Update(before, values(data)?) }
        }
        b'D' => Message::Row { oid: data.try_get_u32()?, change: RowChange::Delete(before(data)?) },
        b'T' => {
            let count = data.try_get_u32()?;
            let _options = data.try_get_u8()?;
            Message::Truncate { oids: (0..count).map(|_| data.try_get_u32()).collect::<Result<_, _>>()? }
        }
        // Commits, origins, types and messages of applications.
        b'C' | b'O' | b'Y' | b'M' => return Ok(Message::Other),
        _ => return Err(NotUnderstood),
    };
    if data.is_empty() { Ok(message) } else { Err(NotUnderstood) }
}

fn expect(data: &mut &[u8], wanted: u8) -> Result<(), NotUnderstood> {
    if data.try_get_u8()? == wanted { Ok(()) } else { Err(NotUnderstood) }
}

fn text(data: &mut &[u8]) -> Result<String, NotUnderstood> {
    let end = data.iter().position(|byte| *byte == 0).ok_or(NotUnderstood)?;
    let text = String::from_utf8(data[..end].to_vec()).map_err(|_| NotUnderstood)?;
    data.advance(end + 1);
    Ok(text)
}

fn table(data: &mut &[u8]) -> Result<Message, NotUnderstood> {
    let oid = data.try_get_u32()?;
    let (_schema, _name, _identity) = (text(data)?, text(data)?, data.try_get_u8()?);
    let count = data.try_get_u16()?;
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let _flags = data.try_get_u8()?;
        columns.push(text(data)?);
        let (_type, _modifier) = (data.try_get_u32()?, data.try_get_i32()?);
    }
    Ok(Message::Table { oid, columns })
}

fn before(data: &mut &[u8]) -> Result<Before, NotUnderstood> {
    match data.try_get_u8()? {
        b'K' => Ok(Before::Key(values(data)?)),
        b'O' => Ok(Before::Row(values(data)?)),
        _ => Err(NotUnderstood),
    }
}

fn values(data: &mut &[u8]) -> Result<Vec<Told>, NotUnderstood> {
    let count = data.try_get_u16()?;
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        values.push(match data.try_get_u8()? {
            b'n' => Told::Null,
            b'u' => Told::Untold,
            b't' => {
                let length = data.try_get_u32()? as usize;
                let bytes = data.get(..length).ok_or(NotUnderstood)?;
                let text = String::from_utf8(bytes.to_vec()).map_err(|_| NotUnderstood)?;
                data.advance(length);
                Told::Text(text)
            }
            _ => return Err(NotUnderstood),
        });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &[u8], values: &[&str]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend((values.len() as u16).to_be_bytes());
        for value in values {
            match *value {
                "NULL" => bytes.push(b'n'),
                "UNTOLD" => bytes.push(b'u'),
                text => {
                    bytes.push(b't');
                    bytes.extend((text.len() as u32).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        bytes
    }

    fn of_table(kind: u8, rest: &[Vec<u8>]) -> Vec<u8> {
        [vec![kind, 0, 0, 0, 7], rest.concat()].concat()
    }

    fn told(text: &str) -> Told {
        Told::Text(text.into())
    }

    #[test]
    fn rows_are_read_as_they_are_written() {
        let change = |bytes: Vec<u8>| match message(&bytes) {
            Ok(Message::Row { oid: 7, change }) => change,
            other => panic!("{other:?}"),
        };
        let inserted = change(of_table(b'I', &[row(b"N", &["1", "NULL", ""])]));
        assert_eq!(inserted, RowChange::Insert(vec![told("1"), Told::Null, told("")]));
        let updated = change(of_table(b'U', &[row(b"N", &["1", "UNTOLD"])]));
        assert_eq!(updated, RowChange::Update(None, vec![told("1"), Told::Untold]));
        let moved = change(of_table(b'U', &[row(b"K", &["1", "NULL"]), row(b"N", &["2", "b"])]));
        let key = Before::Key(vec![told("1"), Told::Null]);
        assert_eq!(moved, RowChange::Update(Some(key), vec![told("2"), told("b")]));
        let deleted = change(of_table(b'D', &[row(b"O", &["1", "b"])]));
        assert_eq!(deleted, RowChange::Delete(Before::Row(vec![told("1"), told("b")])));
    }

    #[test]
    fn a_message_cut_short_or_too_long_is_not_understood() {
        let whole = of_table(b'U', &[row(b"K", &["1"]), row(b"N", &["2"])]);
        for length in 0..whole.len() {
            assert_eq!(message(&whole[..length]), Err(NotUnderstood), "{length}");
        }
        assert_eq!(message(&[whole, vec![0]].concat()), Err(NotUnderstood));
        assert_eq!(message(b"Z"), Err(NotUnderstood));
    }

    #[test]
    fn times_count_from_another_epoch() {
        let begin = [&b"B"[..], &[0; 8], &1_000_000_i64.to_be_bytes(), &9_u32.to_be_bytes()].concat();
        assert_eq!(message(&begin), Ok(Message::Begin { committed_at: 946_684_801_000_000, xid: 9 }));
    }
}
