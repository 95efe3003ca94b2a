//! Events, each hashing the one before: an edit, a gap or a swap shows.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::head::Head;
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
    let (mut seq, mut previous) = head(transaction)?.map_or((0, vec![0; 32]), |head| (head.seq, head.hash));
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

/// The last event.
pub(super) fn head(connection: &Connection) -> Result<Option<Head>> {
    let last = "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1";
    let mut last = connection.prepare_cached(last)?;
    Ok(last.query_row([], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? })).optional()?)
}

/// Walks the whole chain, and makes sure that it reaches the event that was noted as recorded.
pub(super) fn prove(connection: &Connection, folder: &Path, noted: Option<&Head>) -> Result<()> {
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
        if noted.is_some_and(|noted| noted.seq == seq && noted.hash != hash) {
            return Err(damaged(folder, format!("event {seq} is another than was recorded")));
        }
        (expected, previous) = (seq + 1, hash);
    }
    match noted {
        Some(noted) if noted.seq >= expected => {
            Err(damaged(folder, format!("it ends at event {}, but event {} was recorded", expected - 1, noted.seq)))
        }
        _ => Ok(()),
    }
}

/// Gives the events after `after` in order, up to `limit` of them.
pub(super) fn each(
    connection: &Connection,
    folder: &Path,
    (after, limit): (i64, i64),
    mut told: impl FnMut(EventRecord),
) -> Result<()> {
    let sql = "SELECT seq, at_micros, body FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut rows = connection.prepare_cached(sql)?;
    let mut rows = rows.query([after, limit])?;
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
