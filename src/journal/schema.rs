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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::journal::{DecisionRow, Event, JOURNAL_FILE, Journal};
    use crate::model::{Digest, FixedClock, StoreId, Timestamp};

    /// A file as it was made before decisions were kept.
    fn of_format_2(folder: &Path) {
        let connection = Connection::open(folder.join(JOURNAL_FILE)).expect("a file");
        connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = 2; COMMIT;")).expect("tables");
    }

    fn held_row() -> DecisionRow {
        DecisionRow {
            plan: 1,
            store: StoreId("orders".into()),
            key_json: "{\"id\":1}".into(),
            primary: Some(Digest([1; 32])),
            dr: None,
            choice: "dr".into(),
        }
    }

    fn decide(journal: &Journal) -> (i64, String) {
        let mut sealed = String::new();
        let decided = journal.decide(
            |writer| writer.item(&held_row()),
            |number, items, seal| {
                sealed.clone_from(&seal);
                let (by, scope) = ("mia".into(), "1 item".into());
                Event::Decided { number, by, choice: "dr".into(), scope, items, seal, file: None }
            },
        );
        (decided.expect("decided").expect("an item"), sealed)
    }

    #[test]
    fn a_file_of_format_2_is_read_as_it_is_and_takes_decisions_once_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH));
        of_format_2(folder.path());
        let reader = Journal::read_only(folder.path(), clock.clone()).expect("read only");
        assert_eq!(reader.undecided(1, &held_row().store, &BTreeSet::new()).expect("counted"), 0);
        assert_eq!(version(&reader.connection()).expect("a version"), 2, "reading changes nothing");
        drop(reader);
        let journal = Journal::open(folder.path(), clock.clone()).expect("opened");
        let (number, seal) = decide(&journal);
        assert_eq!((number, journal.next_decision().expect("a number")), (1, 2));
        drop(journal);
        let journal = Journal::open(folder.path(), clock).expect("opened again");
        let mut rows = Vec::new();
        journal.each_decided(1, &seal, |row| rows.push(row)).expect("sealed");
        assert_eq!(rows, [held_row()]);
        journal.connection().execute("UPDATE decision SET choice = 'primary'", []).expect("edited");
        assert!(matches!(journal.each_decided(1, &seal, |_| ()), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn a_decision_on_nothing_is_not_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(folder.path(), Arc::new(FixedClock(Timestamp::UNIX_EPOCH))).expect("opened");
        let decided = journal.decide(|_| Ok(()), |_, _, _| unreachable!("no event is made"));
        assert_eq!(decided.expect("no failure"), None);
        assert_eq!(journal.events().expect("read"), []);
    }
}
