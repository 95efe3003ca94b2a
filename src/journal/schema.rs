//! The journal's tables.

use rusqlite::Connection;

use super::{JOURNAL_FORMAT, JournalError, Result};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS profile (
    digest BLOB PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS plan (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    at_micros INTEGER NOT NULL,
    summary TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS step (
    plan INTEGER NOT NULL,
    position INTEGER NOT NULL,
    store TEXT NOT NULL,
    key BLOB NOT NULL,
    key_json TEXT NOT NULL,
    verdict TEXT NOT NULL,
    change TEXT NOT NULL,
    expected BLOB,
    wanted BLOB,
    phase INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    reason TEXT,
    PRIMARY KEY (plan, position)
) STRICT;
CREATE INDEX IF NOT EXISTS step_by_key ON step (plan, store, key);
CREATE TABLE IF NOT EXISTS kept (
    plan INTEGER NOT NULL,
    held INTEGER NOT NULL,
    store TEXT NOT NULL,
    key_json TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS kept_by_key ON kept (plan, store, key_json);
CREATE TABLE IF NOT EXISTS prior (
    store TEXT NOT NULL,
    key BLOB NOT NULL,
    digest BLOB,
    image BLOB,
    after BLOB,
    pending BLOB,
    is_pending INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (store, key)
) STRICT;
CREATE TABLE IF NOT EXISTS prior_history (
    number INTEGER PRIMARY KEY,
    store TEXT NOT NULL,
    key BLOB NOT NULL,
    digest BLOB,
    image BLOB
) STRICT;
";

pub(super) fn prepare(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {JOURNAL_FORMAT}; COMMIT;"))?;
        return Ok(());
    }
    check_version(connection)
}

pub(super) fn check_version(connection: &Connection) -> Result<()> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        JOURNAL_FORMAT => Ok(()),
        found => Err(JournalError::Version { found }),
    }
}
