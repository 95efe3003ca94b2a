//! Events, each hashing the one before: an edit, a gap or a swap shows.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Event, EventRecord, JournalError, Result};
use crate::model::Timestamp;

const DOMAIN: &[u8] = b"failback event 1\0";

fn link(previous: &[u8], seq: i64, at: i64, body: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(previous);
    hasher.update(&seq.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    hasher.update(body.as_bytes());
    *hasher.finalize().as_bytes()
}

pub(super) fn append(transaction: &Transaction<'_>, at: Timestamp, events: &[Event]) -> Result<()> {
    let last: Option<(i64, Vec<u8>)> = transaction
        .query_row("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (mut seq, mut previous) = last.unwrap_or((0, vec![0; 32]));
    let mut insert =
        transaction.prepare_cached("INSERT INTO event (seq, at_micros, body, hash) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        seq += 1;
        let body = serde_json::to_string(event)?;
        previous = link(&previous, seq, at.as_microsecond(), &body).to_vec();
        insert.execute(params![seq, at.as_microsecond(), body, previous])?;
    }
    Ok(())
}

/// Walks the whole chain.
pub(super) fn prove(connection: &Connection, folder: &Path) -> Result<()> {
    let mut rows = connection.prepare("SELECT seq, at_micros, body, hash FROM event ORDER BY seq")?;
    let mut rows = rows.query([])?;
    let (mut expected, mut previous) = (1, vec![0; 32]);
    while let Some(row) = rows.next()? {
        let (seq, at, body, hash): (i64, i64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if seq != expected {
            return Err(damaged(folder, format!("event {expected} is missing")));
        }
        if link(&previous, seq, at, &body).as_slice() != hash {
            return Err(damaged(folder, format!("event {seq} was altered")));
        }
        (expected, previous) = (seq + 1, hash);
    }
    Ok(())
}

/// Gives every event in order.
pub(super) fn each(connection: &Connection, folder: &Path, mut told: impl FnMut(EventRecord)) -> Result<()> {
    let mut rows = connection.prepare("SELECT seq, at_micros, body FROM event ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, at, body): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let at = Timestamp::from_microsecond(at).map_err(|_| damaged(folder, format!("event {seq} has no time")))?;
        let event = serde_json::from_str(&body).map_err(|error| damaged(folder, format!("event {seq}: {error}")))?;
        told(EventRecord { seq, at, event });
    }
    Ok(())
}

fn damaged(folder: &Path, what: String) -> JournalError {
    JournalError::Damaged { folder: folder.to_owned(), what }
}
