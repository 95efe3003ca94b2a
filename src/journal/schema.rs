//! The journal's tables.

use rusqlite::Connection;

use super::{JOURNAL_FORMAT, JournalError, Result};

const TABLES: &str = "
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE profile (
    digest BLOB PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE plan (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    at_micros INTEGER NOT NULL,
    summary TEXT NOT NULL,
    steps_seal BLOB NOT NULL,
    kept_seal BLOB NOT NULL
) STRICT;
CREATE TABLE step (
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
CREATE INDEX step_by_key ON step (plan, store, key);
CREATE TABLE kept (
    plan INTEGER NOT NULL,
    held INTEGER NOT NULL,
    store TEXT NOT NULL,
    key_json TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX kept_by_key ON kept (plan, store, key_json);
CREATE TABLE prior (
    store TEXT NOT NULL,
    key BLOB NOT NULL,
    digest BLOB,
    image BLOB,
    after BLOB,
    pending BLOB,
    is_pending INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    state TEXT NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (store, key)
) STRICT;
CREATE TABLE prior_history (
    number INTEGER PRIMARY KEY,
    store TEXT NOT NULL,
    key BLOB NOT NULL,
    digest BLOB,
    image BLOB
) STRICT;
";

/// What format 3 added: decisions of persons on held items.
const DECISIONS: &str = "
CREATE TABLE decision (
    number INTEGER NOT NULL,
    plan INTEGER NOT NULL,
    store TEXT NOT NULL,
    key_json TEXT NOT NULL,
    primary_digest BLOB,
    dr_digest BLOB,
    choice TEXT NOT NULL
) STRICT;
CREATE INDEX decision_by_key ON decision (store, key_json);
";

/// The format before decisions were kept.
const WITHOUT_DECISIONS: i64 = 2;

/// Makes the tables of a new file.
pub(super) fn create(connection: &Connection) -> Result<()> {
    let version = format!("PRAGMA user_version = {JOURNAL_FORMAT};");
    connection.execute_batch(&format!("BEGIN; {TABLES} {DECISIONS} {version} COMMIT;"))?;
    Ok(())
}

pub(super) fn prepare(connection: &Connection) -> Result<()> {
    check_version(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if version(connection)? == WITHOUT_DECISIONS {
        let version = format!("PRAGMA user_version = {JOURNAL_FORMAT};");
        connection.execute_batch(&format!("BEGIN; {DECISIONS} {version} COMMIT;"))?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Whether the file keeps decisions: one of an older format that is only read does not.
pub(super) fn has_decisions(connection: &Connection) -> Result<bool> {
    Ok(version(connection)? > WITHOUT_DECISIONS)
}

pub(super) fn check_version(connection: &Connection) -> Result<()> {
    match version(connection)? {
        JOURNAL_FORMAT | WITHOUT_DECISIONS => Ok(()),
        found => Err(JournalError::Version { found }),
    }
}
