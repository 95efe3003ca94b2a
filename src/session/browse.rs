//! A window over the session's delta files: filtered, sorted, and never all in memory.
//!
//! The lines are indexed in a private SQLite file beside them, which is gone when the index is dropped. A filter and an
//! order make a list of line numbers there, so that any part of a million lines is read at once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params, params_from_iter};

use super::{Result, SessionError};
use crate::diff::DeltaLine;
use crate::journal::Journal;
use crate::model::{Change, Digest, Key, StoreId, StoreKind, Timestamp, Verdict};

/// The index's page cache, in KiB; beyond it SQLite uses the file.
const CACHE_KIB: i64 = 16 * 1024;
/// Lines between two looks at whether the index is still wanted.
const LINES_AT_ONCE: u64 = 1_000;
/// The longest key text kept for the list, in characters.
const KEY_TEXT_MAX: usize = 4_096;

/// What the newest plan does about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrowseFate {
    /// It is a step.
    Planned,
    /// It is held for a person.
    Held,
    /// It was held, and a person has decided since; the next plan does what was decided.
    Decided,
    /// It is an accepted difference.
    Accepted,
    /// No plan is about it.
    Unplanned,
}

impl BrowseFate {
    const ALL: [BrowseFate; 5] =
        [BrowseFate::Planned, BrowseFate::Held, BrowseFate::Decided, BrowseFate::Accepted, BrowseFate::Unplanned];

    fn number(self) -> i64 {
        BrowseFate::ALL.iter().position(|fate| *fate == self).map_or(0, |at| at as i64)
    }
}

/// Which differences are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this store.
    pub store: Option<StoreId>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// That would do this.
    pub change: Option<Change>,
    /// With this fate.
    pub fate: Option<BrowseFate>,
    /// Whose key text contains this; ASCII letters match in either case.
    pub text: String,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The largest first.
    pub descending: bool,
}

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// As the files have them.
    #[default]
    File,
    /// The key's text.
    Key,
    /// The verdict.
    Verdict,
    /// The change.
    Change,
    /// The size.
    Size,
    /// The last change.
    Time,
}

impl SortBy {
    /// All orders.
    pub const ALL: [SortBy; 6] =
        [SortBy::File, SortBy::Key, SortBy::Verdict, SortBy::Change, SortBy::Size, SortBy::Time];

    /// The word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            SortBy::File => "file",
            SortBy::Key => "key",
            SortBy::Verdict => "verdict",
            SortBy::Change => "change",
            SortBy::Size => "size",
            SortBy::Time => "time",
        }
    }

    fn column(self) -> &'static str {
        match self {
            SortBy::File => "id",
            SortBy::Key => "key_text",
            SortBy::Verdict => "verdict",
            SortBy::Change => "change",
            SortBy::Size => "bytes",
            SortBy::Time => "changed_at",
        }
    }
}

/// One difference as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct BrowseRow {
    /// The store.
    pub store: StoreId,
    /// The key as JSON text.
    pub key_json: String,
    /// The key on one line.
    pub key_text: String,
    /// The key.
    pub canonical_key: Key,
    /// The verdict.
    pub verdict: Verdict,
    /// What following dr would do.
    pub change: Change,
    /// The size in bytes.
    pub bytes: u64,
    /// When it last changed, where the store tells.
    pub changed_at: Option<Timestamp>,
    /// What the newest plan does about it.
    pub fate: BrowseFate,
    /// Why it is held or accepted; else empty.
    pub reason: String,
    /// The primary's digest.
    pub primary: Option<Digest>,
    /// dr's digest.
    pub dr: Option<Digest>,
    /// The base's digest as the delta line has it: hexadecimal, or a word.
    pub base: String,
}

/// Differences of one store, to be indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaFile {
    /// The store.
    pub store: StoreId,
    /// What it is.
    pub kind: StoreKind,
    /// The file.
    pub path: PathBuf,
    /// The newest plan of the store, where there is one.
    pub plan: Option<i64>,
}

/// An index over delta files.
pub struct DeltaIndex {
    files: Vec<DeltaFile>,
    /// The same files as they were when they were indexed: a newer comparison puts others in their place.
    opened: Vec<File>,
    connection: Connection,
    /// Where the index was made, for words; its name is gone from the folder, so that a process that is killed leaves nothing.
    made_at: PathBuf,
}

const TABLES: &str = "
CREATE TABLE line (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    change INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    changed_at INTEGER,
    fate INTEGER NOT NULL,
    reason TEXT NOT NULL,
    key_text TEXT NOT NULL
) STRICT;
CREATE TABLE selected (position INTEGER PRIMARY KEY, line INTEGER NOT NULL) STRICT;
";

const CHANGES: [Change; 3] = [Change::Insert, Change::Update, Change::Delete];

fn change_number(change: Change) -> i64 {
    CHANGES.iter().position(|one| *one == change).map_or(0, |at| at as i64)
}

fn verdict_number(verdict: Verdict) -> i64 {
    Verdict::ALL.iter().position(|one| *one == verdict).map_or(0, |at| at as i64)
}

impl DeltaIndex {
    /// Indexes delta files in a private file in `folder`; blocks. `None` when `unwanted` became true meanwhile.
    ///
    /// # Errors
    ///
    /// [`SessionError::DamagedFile`] naming file and line, and [`SessionError::File`] when one cannot be read.
    pub fn build(
        folder: &Path,
        files: Vec<DeltaFile>,
        (journal, taken_back): (&Journal, &BTreeSet<i64>),
        unwanted: &AtomicBool,
    ) -> Result<Option<DeltaIndex>> {
        let made = tempfile::Builder::new().prefix("browse-").suffix(".sqlite").tempfile_in(folder);
        let file = made.map_err(|source| SessionError::File { path: folder.to_owned(), source })?.into_temp_path();
        let connection = Connection::open(&file).map_err(|error| broken(&file, error))?;
        let prepare = format!(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = FILE;
             PRAGMA locking_mode = EXCLUSIVE; {TABLES}"
        );
        connection.execute_batch(&prepare).map_err(|error| broken(&file, error))?;
        let made_at = file.to_path_buf();
        file.close().map_err(|source| SessionError::File { path: made_at.clone(), source })?;
        let open = |file: &DeltaFile| {
            File::open(&file.path).map_err(|source| SessionError::File { path: file.path.clone(), source })
        };
        let opened = files.iter().map(open).collect::<Result<Vec<File>>>()?;
        let index = DeltaIndex { files, opened, connection, made_at };
        let plans: BTreeSet<i64> = index.files.iter().filter_map(|file| file.plan).collect();
        plans.into_iter().try_for_each(|plan| journal.prove_kept(plan))?;
        index.sql("BEGIN")?;
        for number in 0..index.files.len() {
            if !index.add(number, (journal, taken_back), unwanted)? {
                return Ok(None);
            }
        }
        index.sql("COMMIT")?;
        Ok(Some(index))
    }

    fn sql(&self, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(|error| broken(&self.made_at, error))
    }

    /// Adds the lines of one file; `false` when they are not wanted any more.
    fn add(&self, number: usize, decided: (&Journal, &BTreeSet<i64>), unwanted: &AtomicBool) -> Result<bool> {
        let DeltaFile { store, kind, path, plan } = &self.files[number];
        let file_error = |source| SessionError::File { path: path.clone(), source };
        let sql_error = |error| broken(&self.made_at, error);
        let mut insert = self
            .connection
            .prepare(
                "INSERT INTO line (file, start, length, verdict, change, bytes, changed_at, fate, reason, key_text)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .map_err(sql_error)?;
        let mut reader = BufReader::new(&self.opened[number]);
        let (mut start, mut count, mut text) = (0_u64, 0_u64, String::new());
        loop {
            text.clear();
            let length = reader.read_line(&mut text).map_err(file_error)? as u64;
            if length == 0 {
                return Ok(true);
            }
            count += 1;
            let line = parsed(path, count, &text)?;
            let (fate, reason) = fate_of(decided, *plan, store, &line)?;
            let key = line.key().map_err(|error| damaged(path, count, error))?;
            let key_text: String = crate::digest::key_text(*kind, &key).chars().take(KEY_TEXT_MAX).collect();
            insert
                .execute(params![
                    number as i64,
                    start as i64,
                    length as i64,
                    verdict_number(line.verdict),
                    change_number(line.change),
                    i64::try_from(line.bytes).unwrap_or(i64::MAX),
                    line.changed_at.map(|at| at.as_microsecond()),
                    fate.number(),
                    reason,
                    key_text
                ])
                .map_err(sql_error)?;
            start += length;
            if count.is_multiple_of(LINES_AT_ONCE) && unwanted.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }

    /// Makes the list of what a filter wants, in an order; gives its length.
    ///
    /// # Errors
    ///
    /// [`SessionError::DamagedFile`] when the index cannot be used.
    pub fn select(&self, filter: &Filter, sort: Sort) -> Result<u64> {
        let Filter { store, verdict, change, fate, text } = filter;
        let mut wanted: Vec<(&str, Sql)> = Vec::new();
        if let Some(store) = store {
            let at = self.files.iter().position(|file| file.store == *store).map_or(-1, |at| at as i64);
            wanted.push(("file =", at.into()));
        }
        wanted.extend(verdict.map(|verdict| ("verdict =", verdict_number(verdict).into())));
        wanted.extend(change.map(|change| ("change =", change_number(change).into())));
        wanted.extend(fate.map(|fate| ("fate =", fate.number().into())));
        if !text.is_empty() {
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            wanted.push(("key_text LIKE", format!("%{escaped}%").into()));
        }
        let conditions: String = wanted
            .iter()
            .enumerate()
            .map(|(at, (condition, _))| {
                let escape = if condition.ends_with("LIKE") { " ESCAPE '\\'" } else { "" };
                format!(" AND {condition} ?{}{escape}", at + 1)
            })
            .collect();
        let way = if sort.descending { "DESC" } else { "ASC" };
        let sql = format!(
            "INSERT INTO selected (line) SELECT id FROM line WHERE true{conditions} ORDER BY {} {way}, id {way}",
            sort.by.column()
        );
        let values = params_from_iter(wanted.into_iter().map(|(_, value)| value));
        self.sql("BEGIN; DELETE FROM selected")?;
        let selected = self.connection.execute(&sql, values).map_err(|error| broken(&self.made_at, error));
        self.sql(if selected.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        Ok(selected? as u64)
    }

    /// Up to `rows` lines of the list, from `first` on, counted from 0.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when a delta file was changed or removed since it was indexed.
    pub fn window(&self, first: u64, rows: usize) -> Result<Vec<BrowseRow>> {
        let sql_error = |error| broken(&self.made_at, error);
        let from =
            "SELECT id, file, start, length, fate, reason, key_text FROM selected JOIN line ON line.id = selected.line
                    WHERE position > ?1 ORDER BY position LIMIT ?2";
        let mut found = self.connection.prepare_cached(from).map_err(sql_error)?;
        let bounds = params![i64::try_from(first).unwrap_or(i64::MAX), i64::try_from(rows).unwrap_or(i64::MAX)];
        let found = found.query_map(bounds, |row| {
            let place = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?);
            Ok((place, row.get::<_, i64>(4)?, row.get::<_, String>(5)?, row.get::<_, String>(6)?))
        });
        let mut window = Vec::new();
        for row in found.map_err(sql_error)? {
            let (place, fate, reason, key_text) = row.map_err(sql_error)?;
            let line = self.line_at(place)?;
            let canonical_key = line.key().map_err(|error| damaged(&self.files[place.0 as usize].path, 0, error))?;
            let fate = usize::try_from(fate).ok().and_then(|at| BrowseFate::ALL.get(at).copied());
            let base = serde_json::to_value(&line).ok().and_then(|json| json.get("base").cloned()).unwrap_or_default();
            window.push(BrowseRow {
                store: line.store,
                key_json: line.key.to_string(),
                key_text,
                canonical_key,
                verdict: line.verdict,
                change: line.change,
                bytes: line.bytes,
                changed_at: line.changed_at,
                fate: fate.unwrap_or(BrowseFate::Unplanned),
                reason,
                primary: line.primary,
                dr: line.dr,
                base: base.as_str().unwrap_or("absent").to_owned(),
            });
        }
        Ok(window)
    }

    fn line_at(&self, (file, start, length): (i64, i64, i64)) -> Result<DeltaLine> {
        use std::os::unix::fs::FileExt;
        let at = usize::try_from(file).unwrap_or(0);
        let path = &self.files[at].path;
        let read = || -> std::io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            self.opened[at].read_exact_at(&mut bytes, start.unsigned_abs())?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| SessionError::File { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|error| SessionError::DamagedFile {
            path: path.clone(),
            what: format!("it was changed since it was indexed: {error}"),
        })
    }
}

fn parsed(path: &Path, count: u64, text: &str) -> Result<DeltaLine> {
    serde_json::from_str(text).map_err(|error| damaged(path, count, error))
}

fn fate_of(
    (journal, taken_back): (&Journal, &BTreeSet<i64>),
    plan: Option<i64>,
    store: &StoreId,
    line: &DeltaLine,
) -> Result<(BrowseFate, String)> {
    let unplanned = || (BrowseFate::Unplanned, String::new());
    let Some(plan) = plan else { return Ok(unplanned()) };
    let key = line.key.to_string();
    let Some((held, body)) = journal.kept_at(plan, store, &key)? else {
        let step = line.key().ok().map(|key| journal.step(plan, store, &key)).transpose()?.flatten();
        let is_step = step.is_some_and(|step| (step.expected, step.wanted) == (line.primary, line.dr));
        return Ok(if is_step { (BrowseFate::Planned, String::new()) } else { unplanned() });
    };
    let reason = body.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default().to_owned();
    if !held {
        // Accepted was what the plan saw; what changed since is a difference like any other.
        let seen = |side: &str| body.get(side).and_then(|digest| digest.as_str()).map(str::to_owned);
        let now = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        let is_same = (seen("primary"), seen("dr")) == (now(line.primary), now(line.dr));
        return Ok(if is_same { (BrowseFate::Accepted, reason) } else { unplanned() });
    }
    Ok(match journal.choice_on(plan, store, &key, taken_back)? {
        Some(choice) => (BrowseFate::Decided, format!("decided: {choice}")),
        None => (BrowseFate::Held, reason),
    })
}

fn damaged(path: &Path, line: u64, error: impl std::fmt::Display) -> SessionError {
    SessionError::DamagedFile { path: path.to_owned(), what: format!("line {line}: {error}") }
}

fn broken(path: &Path, error: rusqlite::Error) -> SessionError {
    SessionError::DamagedFile {
        path: path.to_owned(),
        what: format!("the index of differences cannot be used: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::digest::key_of;
    use crate::model::{Clock, Value};

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    const VERDICTS: [&str; 3] = ["dr_only", "conflict", "stranded"];

    fn line(at: usize, id: &str) -> String {
        let key = key_of(&Value::map([("id", Value::text(id))]));
        let change = ["insert", "update", "delete"][at % 3];
        json!({
            "store": "orders", "key": {"id": {"S": id}}, "verdict": VERDICTS[at % 3],
            "change": change, "primary": null, "dr": null, "base": "unknown",
            "canonical_key": hex::encode(key.as_bytes()), "bytes": at, "primary_untouched": false,
        })
        .to_string()
    }

    struct Folder {
        folder: tempfile::TempDir,
        journal: Journal,
    }

    impl Folder {
        fn new() -> Folder {
            let folder = tempfile::tempdir().expect("a folder");
            let journal = Journal::open(&folder.path().join("session"), Arc::new(Still)).expect("a journal");
            Folder { folder, journal }
        }

        fn index(&self, lines: &[String]) -> Result<DeltaIndex> {
            let path = self.folder.path().join("delta.ndjson");
            let mut file = File::create(&path).expect("a file");
            lines.iter().for_each(|line| writeln!(file, "{line}").expect("written"));
            let file = DeltaFile { store: StoreId("orders".into()), kind: StoreKind::DynamoDb, path, plan: None };
            let built = DeltaIndex::build(
                self.folder.path(),
                vec![file],
                (&self.journal, &BTreeSet::new()),
                &AtomicBool::new(false),
            )?;
            Ok(built.expect("wanted"))
        }
    }

    fn keys(rows: &[BrowseRow]) -> Vec<String> {
        rows.iter().map(|row| row.key_json.clone()).collect()
    }

    #[test]
    fn any_window_of_a_long_list_is_what_the_files_say() {
        let folder = Folder::new();
        let lines: Vec<String> = (0..20_000).map(|at| line(at, &format!("o-{at:05}"))).collect();
        let index = folder.index(&lines).expect("indexed");
        assert_eq!(index.select(&Filter::default(), Sort::default()).expect("selected"), 20_000);
        for first in [0, 1, 9_999, 19_997] {
            let window = index.window(first, 5).expect("a window");
            let wanted: Vec<u64> = (first..(first + 5).min(20_000)).collect();
            assert_eq!(window.iter().map(|row| row.bytes).collect::<Vec<_>>(), wanted);
        }
        assert!(index.window(20_000, 5).expect("a window").is_empty());
        let conflicts = Filter { verdict: Some(Verdict::Conflict), text: "O-0000".into(), ..Filter::default() };
        let down = Sort { by: SortBy::Size, descending: true };
        assert_eq!(index.select(&conflicts, down).expect("selected"), 3);
        assert_eq!(index.window(0, 9).expect("a window").iter().map(|row| row.bytes).collect::<Vec<_>>(), [7, 4, 1]);
        let nowhere = Filter { store: Some(StoreId("other".into())), ..Filter::default() };
        assert_eq!(index.select(&nowhere, down).expect("selected"), 0);
    }

    #[test]
    fn odd_keys_are_found_and_come_back_whole() {
        let folder = Folder::new();
        let long = "k".repeat(10_000);
        let odd = ["", "日本語", "with \"quotes\"", "line\nbreak", "100%_sure", "back\\slash", &long];
        let lines: Vec<String> = odd.iter().enumerate().map(|(at, id)| line(at, id)).collect();
        let index = folder.index(&lines).expect("indexed");
        for (text, wanted) in [("日本", 1), ("%_", 1), ("%", 1), ("\\", 1), ("\"q", 1), ("kkk", 1), ("nothing", 0)] {
            let filter = Filter { text: text.into(), ..Filter::default() };
            assert_eq!(index.select(&filter, Sort::default()).expect("selected"), wanted, "{text}");
        }
        index.select(&Filter::default(), Sort::default()).expect("selected");
        let wanted: Vec<String> = odd.iter().map(|id| json!({"id": {"S": id}}).to_string()).collect();
        assert_eq!(keys(&index.window(0, 10).expect("a window")), wanted);
    }

    #[test]
    fn a_damaged_line_is_named_and_nothing_is_left_behind() {
        let folder = Folder::new();
        let Err(error) = folder.index(&[line(1, "a"), "{\"store\": 1".into()]) else { panic!("damage was not seen") };
        let words = error.to_string();
        assert!(words.contains("delta.ndjson") && words.contains("line 2"), "{words}");
        drop(folder.index(&[]).expect("an empty file is no damage"));
        let left = std::fs::read_dir(folder.folder.path()).expect("a folder");
        let left = left
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains("browse")));
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn an_index_that_is_not_wanted_any_more_ends() {
        let folder = Folder::new();
        let path = folder.folder.path().join("long.ndjson");
        let lines: String = (0..3_000).map(|at| line(at, &format!("k{at}")) + "\n").collect();
        std::fs::write(&path, lines).expect("written");
        let file = DeltaFile { store: StoreId("orders".into()), kind: StoreKind::DynamoDb, path, plan: None };
        let built = DeltaIndex::build(
            folder.folder.path(),
            vec![file],
            (&folder.journal, &BTreeSet::new()),
            &AtomicBool::new(true),
        );
        assert!(built.expect("no error").is_none());
    }
}
