//! The binary log as a change log, on real servers.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failback::digest::key_of;
use failback::model::{Digest, Key, Side, StoreId, Timestamp, Value};
use failback::profile::DatabaseProfile;
use failback::store::mysql::MysqlStore;
use failback::store::{ChangeSet, Changes, Depth, Finding, Image, Level, LogMark, LogStart, ReadStore, RowStore};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::mysql::{client, database, run, scanned};
use crate::peers::{self, Server};
use crate::postgres::reached;
use crate::rig::{Home, now};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

const TABLES: &str = "CREATE TABLE entry (id INT PRIMARY KEY, note VARCHAR(40));
 CREATE TABLE other (id INT PRIMARY KEY, note TEXT);
 INSERT INTO entry SELECT seq, 'seeded' FROM seq_1_to_200;
 INSERT INTO other VALUES (1, 'seeded');\n";

/// A database called `books` with a binary log, and a store that follows it.
struct Books {
    server: Server,
    client: Conn,
    store: MysqlStore,
}

impl Books {
    async fn start(tables: &str, options: &[&str]) -> Option<Books> {
        let server = peers::mariadb_with(options)?;
        run(&mut client(server.port, "").await, "CREATE DATABASE books").await.expect("a database");
        let mut client = client(server.port, "books").await;
        run(&mut client, tables).await.expect("tables");
        let store = store(&server, "root", Side::Dr, &["*"]).await;
        Some(Books { server, client, store })
    }

    async fn run(&mut self, statements: &str) {
        run(&mut self.client, statements).await.unwrap_or_else(|error| panic!("{error:?} in {statements}"));
    }

    async fn mark(&self) -> LogMark {
        match self.store.log_start(NOW).await.expect("a start") {
            LogStart::Mark(mark) => mark,
            LogStart::NoLog(why) => panic!("{why}"),
        }
    }

    async fn no_log(&self) -> String {
        match self.store.log_start(NOW).await.expect("an answer") {
            LogStart::NoLog(why) => why,
            LogStart::Mark(mark) => panic!("{mark:?}"),
        }
    }

    async fn changes(&self, since: &LogMark) -> ChangeSet {
        match self.store.changes(since, NOW).await.expect("changes") {
            Changes::All(set) => set,
            other => panic!("{other:?}"),
        }
    }

    async fn gap(&self, since: &LogMark) -> String {
        match self.store.changes(since, NOW).await.expect("an answer") {
            Changes::Gap(why) => why,
            other => panic!("{other:?}"),
        }
    }

    async fn found(&self, words: &str) -> Finding {
        let findings = self.store.check().await;
        let found = findings.iter().find(|finding| finding.what.contains(words)).cloned();
        found.unwrap_or_else(|| panic!("{words}: {findings:?}"))
    }
}

async fn store(server: &Server, user: &str, side: Side, tables: &[&str]) -> MysqlStore {
    let profile = DatabaseProfile { binlog: true, ..database(server.port, user, "books") };
    let tables: Vec<String> = tables.iter().map(|table| table.to_string()).collect();
    MysqlStore::connect(StoreId("books".into()), side, &reached(), &profile, &tables).await.expect("it connects")
}

fn key(table: &str, id: i64) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([("id", Value::Number(id.into()))])]))
}

fn touched(set: &ChangeSet) -> BTreeSet<Key> {
    set.keys.keys().cloned().collect()
}

fn entries(ids: &[i64]) -> BTreeSet<Key> {
    ids.iter().map(|id| key("entry", *id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_log_tells_what_was_committed_since_a_mark() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    let mut open = client(books.server.port, "books").await;
    run(&mut open, "BEGIN;\n UPDATE entry SET note = 'under way' WHERE id = 1").await.expect("under way");
    books.run("UPDATE entry SET note = 'before' WHERE id = 2").await;
    let mark = books.mark().await;
    assert!(books.changes(&mark).await.keys.is_empty());
    books.run("UPDATE entry SET note = 'after' WHERE id = 3").await;
    let set = books.changes(&mark).await;
    assert_eq!(touched(&set), entries(&[3]));
    run(&mut open, "COMMIT").await.expect("committed");
    let late = books.changes(&set.until).await;
    assert_eq!(touched(&late), entries(&[1]), "what was under way at a mark comes after it");
    assert_eq!(touched(&books.changes(&mark).await), entries(&[1, 3]));
    assert!(books.changes(&late.until).await.keys.is_empty());

    books.run("UPDATE entry SET id = 1004 WHERE id = 4;\n INSERT INTO entry VALUES (900, 'new')").await;
    books.run("BEGIN;\n DELETE FROM entry WHERE id = 5;\n ROLLBACK;\n DELETE FROM entry WHERE id = 6").await;
    books.run("BEGIN;\n DELETE FROM entry WHERE id = 7;\n SAVEPOINT a;\n DELETE FROM entry WHERE id = 8;\n ROLLBACK TO a;\n COMMIT").await;
    books.run("REPLACE INTO entry VALUES (9, 'replaced');\n INSERT INTO entry VALUES (10, 'x') ON DUPLICATE KEY UPDATE note = 'upserted'").await;
    let moved = books.changes(&late.until).await;
    let expected = entries(&[4, 1004, 900, 6, 7, 9, 10]);
    assert_eq!(touched(&moved), expected, "a row that takes another key touches both; what is undone, none");
    let images = |id| (moved.keys[&key("entry", id)][0].before, moved.keys[&key("entry", id)][0].after);
    assert_eq!(images(4), (Image::Untold, Image::Absent));
    assert_eq!(images(1004), (Image::Absent, Image::Untold));
    assert_eq!(images(900), (Image::Absent, Image::Untold));
    assert_eq!(images(6), (Image::Untold, Image::Absent));
    let at = moved.keys[&key("entry", 900)][0].at.expect("a time");
    assert!(now().duration_since(at).as_secs() < 600, "{at}");

    run(&mut client(books.server.port, "").await, "CREATE DATABASE elsewhere").await.expect("a database");
    // A file that ends leads on to the next, and what is not covered is not told.
    books.run("FLUSH BINARY LOGS;\n USE elsewhere;\n CREATE TABLE entry (id INT PRIMARY KEY);\n USE books").await;
    books.run("INSERT INTO elsewhere.entry VALUES (1);\n UPDATE other SET note = 'o';\n FLUSH BINARY LOGS").await;
    let next = books.changes(&moved.until).await;
    assert_eq!(touched(&next), BTreeSet::from([key("other", 1)]));
    assert_ne!(next.until.log, moved.until.log);
    assert!(books.changes(&next.until).await.keys.is_empty());
    let only_entries = store(&books.server, "root", Side::Dr, &["entry"]).await;
    let Ok(Changes::All(set)) = only_entries.changes(&moved.until, NOW).await else { panic!("no changes") };
    assert!(set.keys.is_empty());
}

/// Writes at random, in transactions of a few rows, until it is told to stop; some are undone.
async fn write(port: u16, seed: u32, stop: Arc<AtomicBool>) -> u32 {
    let mut client = client(port, "books").await;
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        // Each writer has rows of its own, so that none waits for another.
        let mut statements = vec!["BEGIN".to_owned()];
        for _ in 0..=next(3) {
            let id = next(60) * 4 + seed;
            statements.push(match next(4) {
                0 => format!("DELETE FROM entry WHERE id = {id}"),
                _ => format!("REPLACE INTO entry VALUES ({id}, '{written}')"),
            });
        }
        statements.push(if next(5) == 0 { "ROLLBACK".into() } else { "COMMIT".into() });
        if next(40) == 0 {
            statements.push("FLUSH BINARY LOGS".into());
        }
        for statement in statements {
            client.query_drop(statement).await.expect("written");
        }
        written += 1;
    }
    written
}

async fn keep_up(books: &Books, (mark, rows): &mut (LogMark, BTreeMap<Key, Digest>)) {
    let set = books.changes(mark).await;
    let keys: Vec<Key> = set.keys.keys().cloned().collect();
    for (key, item) in keys.iter().zip(books.store.fetch(&keys, Depth::Evidence).await.expect("rows")) {
        match item {
            Some(item) => rows.insert(key.clone(), item.digest),
            None => rows.remove(key),
        };
    }
    *mark = set.until;
}

async fn under_writers(options: &[&str]) {
    let Some(books) = Books::start(TABLES, options).await else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4).map(|seed| tokio::spawn(write(books.server.port, seed, stop.clone()))).collect();
    let mut kept: Vec<(LogMark, BTreeMap<Key, Digest>)> = Vec::new();
    for _ in 0..25 {
        let mark = books.mark().await;
        kept.push((mark, scanned(&books.store).await));
        // One that was read long ago is kept up too.
        let at = kept.len() / 2;
        keep_up(&books, &mut kept[at]).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("it wrote");
    }
    assert!(written > 100, "only {written} transactions");
    let truth = scanned(&books.store).await;
    for (at, reading) in kept.iter_mut().enumerate() {
        keep_up(&books, reading).await;
        assert!(reading.1 == truth, "reading {at} missed a change");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_writers_a_reading_kept_up_by_the_binary_log_is_what_a_reading_of_everything_is() {
    under_writers(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_synced_and_wait_for_each_other_are_told_too() {
    under_writers(&["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--binlog-checksum=NONE"]).await;
}

/// The end of the server's log.
async fn end(client: &mut Conn) -> u64 {
    let row: mysql_async::Row = client.query_first("SHOW MASTER STATUS").await.expect("a status").expect("a log");
    row.get("Position").expect("a position")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_and_not_yet_seen_comes_after_a_mark() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    // A commit is in the log, and waits for a replica that there is not before readers see it.
    let waits =
        "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC;\n SET GLOBAL rpl_semi_sync_master_timeout = 600000;\n
      SET GLOBAL rpl_semi_sync_master_enabled = ON";
    books.run(waits).await;
    let (before, rows) = (end(&mut books.client).await, scanned(&books.store).await);
    let port = books.server.port;
    let writer = tokio::spawn(async move {
        run(&mut client(port, "books").await, "UPDATE entry SET note = 'waits' WHERE id = 7").await.expect("written");
    });
    while end(&mut books.client).await == before {
        tokio::task::yield_now().await;
    }
    let mark = books.mark().await;
    assert_eq!(mark.position["position"], before, "the mark is where readers see up to");
    assert!(scanned(&books.store).await == rows, "readers do not see it yet");
    assert!(books.changes(&mark).await.keys.is_empty());
    books.run("SET GLOBAL rpl_semi_sync_master_enabled = OFF").await;
    writer.await.expect("it wrote");
    assert_eq!(touched(&books.changes(&mark).await), entries(&[7]));
}

/// Has the server forget its first file; it keeps one that anybody reads, if only to find that they are gone.
async fn purge(client: &mut Conn) {
    client.query_drop("FLUSH BINARY LOGS").await.expect("flushed");
    loop {
        client.query_drop("PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY").await.expect("purged");
        let first: Option<(String, u64)> = client.query_first("SHOW BINARY LOGS").await.expect("files");
        if first.is_some_and(|(file, _)| file != "b.000001") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_binary_log_cannot_tell_in_full_is_a_gap() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    let unlogged = |statement: &str| format!("SET sql_log_bin = 0;\n {statement};\n SET sql_log_bin = 1");
    let hidden = [
        unlogged("ALTER TABLE entry ADD COLUMN hidden INT"),
        format!("UPDATE other SET note = 'x';\n {}", unlogged("ALTER TABLE other MODIFY id BIGINT")),
    ];
    let old = "SET GLOBAL mysql56_temporal_format = OFF;\n CREATE TABLE old (id INT PRIMARY KEY, t TIME(3))";
    for (before, statements, why) in [
        ("", "TRUNCATE other", "database books was altered since, by TRUNCATE"),
        ("", "ALTER TABLE entry ADD COLUMN more INT DEFAULT 7", "database books was altered since, by ALTER"),
        ("CREATE DATABASE x", "USE x;\n RENAME TABLE books.other TO x.o, x.o TO books.other;\n USE books", "by RENAME"),
        (
            "",
            "SET binlog_format = 'STATEMENT';\n UPDATE entry SET note = 'secret' WHERE id = 1;\n SET binlog_format = 'ROW'",
            "a change was logged as a statement (UPDATE), which does not tell its rows",
        ),
        (
            "XA START 'a';\n DELETE FROM entry WHERE id = 9;\n XA END 'a';\n XA PREPARE 'a'",
            "XA COMMIT 'a'",
            "a transaction that was prepared before (XA) was committed since",
        ),
        (
            "SELECT 500 INTO OUTFILE 'ids.txt'",
            "SET binlog_format = 'STATEMENT';\n LOAD DATA INFILE 'ids.txt' INTO TABLE entry (id);\n SET binlog_format = 'ROW'",
            "rows were loaded by a statement (LOAD DATA)",
        ),
        (
            "",
            "SET GLOBAL log_bin_compress = ON;\n INSERT INTO other VALUES (5, REPEAT('x', 5000));\n SET GLOBAL log_bin_compress = OFF",
            "changes are compressed in the log",
        ),
        (&hidden[0], "UPDATE entry SET note = 'y' WHERE id = 2", ""),
        (
            "",
            &format!("UPDATE entry SET note = 'z' WHERE id = 2;\n {}", unlogged("ALTER TABLE entry DROP hidden")),
            "table entry has 3 columns, 4 in the log",
        ),
        ("", &hidden[1], "a change of other does not tell its key"),
        (old, "INSERT INTO old VALUES (1, '1:02:03.5')", "keeps times in an old format"),
        (
            "CREATE TABLE many (id INT PRIMARY KEY)",
            "INSERT INTO many SELECT seq FROM seq_1_to_400001",
            "more than 400000 changes",
        ),
    ] {
        books.run(before).await;
        let mark = books.mark().await;
        books.run(statements).await;
        if why.is_empty() {
            assert_eq!(touched(&books.changes(&mark).await), entries(&[2]));
            continue;
        }
        let told = books.gap(&mark).await;
        assert!(told.contains(why) && !told.contains("secret"), "{statements}: {told}");
        let next = books.mark().await;
        assert!(books.changes(&next).await.keys.is_empty());
    }
    let mark = books.mark().await;
    purge(&mut books.client).await;
    assert!(books.gap(&mark).await.contains("the server no longer has the binary log from b.000001 on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_reset_is_another() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    let mark = books.mark().await;
    // A file is begun when the statement was that begins it: this one in another second than the file before it.
    books.run("SET timestamp = 1700000000;\n RESET MASTER;\n SET timestamp = DEFAULT").await;
    assert!(books.gap(&mark).await.contains("the server no longer has the binary log from b.000001 on"));
    books.run("INSERT INTO entry SELECT seq, 'more' FROM seq_1001_to_1200").await;
    books.run("UPDATE entry SET note = 'again';\n UPDATE entry SET note = 'and again'").await;
    let told = books.gap(&mark).await;
    assert!(told.contains("binary log b.000001 was made anew since") || told.contains("b.000001 on"), "{told}");
    // The same place of a file that was begun at another time.
    let next = books.mark().await;
    let other = LogMark { log: mark.log, ..next.clone() };
    assert_eq!(books.gap(&other).await, "binary log b.000001 was made anew since");
    assert!(books.changes(&next).await.keys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_rows_as_they_are_is_no_gap() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    run(&mut client(books.server.port, "").await, "CREATE DATABASE elsewhere").await.expect("a database");
    let mark = books.mark().await;
    books
        .run(
            "CREATE USER reader;\n GRANT SELECT ON books.* TO reader;\n ANALYZE TABLE entry;\n FLUSH TABLES;\n
             CREATE TEMPORARY TABLE t (id INT);\n INSERT INTO t VALUES (1);\n DROP TEMPORARY TABLE t;\n
             USE elsewhere;\n CREATE TABLE t (id INT PRIMARY KEY) ENGINE = MyISAM;\n INSERT INTO t VALUES (1);\n DROP TABLE t;\n USE books;\n
             XA START 'a';\n UPDATE entry SET note = 'never' WHERE id = 1;\n XA END 'a';\n XA PREPARE 'a';\n XA ROLLBACK 'a';\n
             XA START 'b';\n UPDATE entry SET note = 'b' WHERE id = 2;\n XA END 'b';\n XA COMMIT 'b' ONE PHASE",
        )
        .await;
    // What was prepared and undone may be told, for nothing is lost by that.
    let told = touched(&books.changes(&mark).await);
    assert!(told == entries(&[1, 2]) || told == entries(&[2]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_binary_log_cannot_follow_is_told_with_what_to_do() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    let children = |rule: &str| {
        format!(
            "CREATE TABLE t (id INT PRIMARY KEY, e INT, CONSTRAINT of FOREIGN KEY (e) REFERENCES entry (id) {rule})"
        )
    };
    let (deletes, nulls, updates) =
        (children("ON DELETE CASCADE"), children("ON DELETE SET NULL"), children("ON UPDATE CASCADE"));
    for (statements, undo, why) in [
        ("CREATE TABLE t (x INT)", "DROP TABLE t", "table t has no primary key"),
        ("CREATE TABLE t (x INT PRIMARY KEY) ENGINE = MyISAM", "DROP TABLE t", "table t is of engine MyISAM"),
        ("CREATE TABLE t (x UUID PRIMARY KEY)", "DROP TABLE t", "table t has x of type uuid in its key"),
        ("CREATE TABLE t (x INET6 PRIMARY KEY)", "DROP TABLE t", "table t has x of type inet6 in its key"),
        (
            "CREATE TABLE t (x DECIMAL(9, 2) ZEROFILL PRIMARY KEY)",
            "DROP TABLE t",
            "table t has x in its key, whose leading zeroes",
        ),
        (
            &deletes,
            "DROP TABLE t",
            "table t has foreign key of with ON DELETE CASCADE: what that does is not in the binary log",
        ),
        (&nulls, "DROP TABLE t", "ON DELETE SET NULL"),
        (&updates, "DROP TABLE t", "ON UPDATE CASCADE"),
        ("SET GLOBAL binlog_format = 'MIXED'", "SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_format = 'ROW'"),
        ("SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress = OFF", "SET GLOBAL log_bin_compress = OFF"),
        (
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'",
            "RESET SLAVE ALL",
            "the server is a replica that does not log what it takes: log_slave_updates is off",
        ),
    ] {
        books.run(statements).await;
        let told = books.no_log().await;
        assert!(told.contains(why), "{statements}: {told}");
        let found = books.found("passes while dr is live read everything").await;
        assert!(found.level == Level::Warning && found.what.contains(why), "{found:?}");
        books.run(undo).await;
    }
    assert_eq!(books.found("passes while dr is live read what the binary log tells").await.level, Level::Note);
    let restricted = children("ON DELETE RESTRICT ON UPDATE NO ACTION");
    books.run(&format!("{restricted};\n SET GLOBAL binlog_expire_logs_seconds = 3600")).await;
    let found = books.found("kept for 3600 seconds only").await;
    assert!(found.level == Level::Warning && found.hint.as_deref() == Some("SET GLOBAL expire_logs_days = 7;"));
    let profile = database(books.server.port, "root", "books");
    let unasked = MysqlStore::connect(StoreId("books".into()), Side::Dr, &reached(), &profile, &["*".into()]).await;
    let start = unasked.expect("it connects").log_start(NOW).await.expect("an answer");
    assert!(
        matches!(start, LogStart::NoLog(why) if why.contains("does not say that the binary log is to be followed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_out_changes_is_not_followed() {
    for (option, why) in [
        ("--binlog-ignore-db=elsewhere", "the binary log leaves out what binlog_ignore_db says"),
        ("--binlog-do-db=books", "the binary log leaves out what binlog_do_db says"),
        ("--skip-log-bin", "the server keeps no binary log"),
    ] {
        let Some(books) = Books::start(TABLES, &[option]).await else { return };
        let told = books.no_log().await;
        assert!(told.contains(why), "{option}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    books.run("CREATE USER clerk;\n GRANT SELECT ON books.* TO clerk;\n GRANT PROCESS ON *.* TO clerk").await;
    let mark = books.mark().await;
    for right in ["BINLOG MONITOR", "SLAVE MONITOR", "REPLICATION SLAVE"] {
        let clerk = store(&books.server, "clerk", Side::Dr, &["*"]).await;
        let grant = format!("GRANT {right} ON *.* TO 'clerk'@'%'");
        let start = clerk.log_start(NOW).await.expect("an answer");
        assert!(matches!(&start, LogStart::NoLog(why) if why.contains(&grant)), "{start:?}");
        let changes = clerk.changes(&mark, NOW).await.expect("an answer");
        assert!(matches!(&changes, Changes::NoLog(why) | Changes::Gap(why) if why.contains(&grant)), "{changes:?}");
        let history = clerk.history(NOW).await.expect("an answer");
        assert!(
            matches!(&history.changes, Changes::NoLog(why) | Changes::Gap(why) if why.contains(&grant)),
            "{history:?}"
        );
        let findings = clerk.check().await;
        assert!(
            findings.iter().any(|found| found.what.contains(&grant) && found.level == Level::Warning),
            "{findings:?}"
        );
        books.run(&grant).await;
    }
    books.run("DELETE FROM entry WHERE id = 3").await;
    let clerk = store(&books.server, "clerk", Side::Dr, &["*"]).await;
    let Ok(Changes::All(set)) = clerk.changes(&mark, NOW).await else { panic!("no changes") };
    assert_eq!(touched(&set), entries(&[3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_begins_after_the_last_thing_that_it_cannot_tell() {
    let Some(mut books) = Books::start(TABLES, &[]).await else { return };
    books.run("DELETE FROM entry WHERE id = 8;\n ALTER TABLE other ADD COLUMN more INT;\n FLUSH BINARY LOGS").await;
    books.run("INSERT INTO entry VALUES (900, 'new');\n UPDATE entry SET note = 'x' WHERE id = 1;\n DELETE FROM entry WHERE id = 2").await;
    let history = books.store.history(NOW).await.expect("a history");
    let Changes::All(set) = history.changes else { panic!("{:?}", history.changes) };
    assert_eq!(touched(&set), entries(&[1, 2, 900]));
    // A statement may take an hour, and a log tells only when it began.
    let hours = |at: Timestamp| at.duration_since(now()).as_secs_f64() / 3600.0;
    let since = hours(history.whole_since.expect("an instant"));
    assert!((0.9..1.01).contains(&since), "{since}");
    let told = |id| {
        set.keys[&key("entry", id)].iter().map(|record| (record.at.expect("a time"), record.before)).collect::<Vec<_>>()
    };
    let [(first, Image::Absent), (last, Image::Untold)] = told(900)[..] else { panic!("{:?}", told(900)) };
    assert!((-0.1..0.01).contains(&hours(first)) && (0.9..1.01).contains(&hours(last)), "{first} {last}");
    let [(only, Image::Untold)] = told(1)[..] else { panic!("{:?}", told(1)) };
    assert!(hours(only) > 0.9);
    assert!(books.changes(&set.until).await.keys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_by_the_names_that_a_mapping_gives_them() {
    let Some(mut books) = Books::start("CREATE TABLE entry (extra INT, note TEXT, number INT PRIMARY KEY)", &[]).await
    else {
        return;
    };
    run(&mut books.client, "CREATE DATABASE home;\n CREATE TABLE home.entry (id INT PRIMARY KEY, note TEXT)")
        .await
        .expect("home");
    let tables = ["*".to_owned()];
    let home = database(books.server.port, "root", "home");
    let home =
        MysqlStore::connect(StoreId("books".into()), Side::Primary, &reached(), &home, &tables).await.expect("home");
    for (columns, expected) in [
        ("rename = { id = \"number\" }\nignore = [\"extra\"]", Ok(())),
        ("transform = { id = \"t.number + 1\" }\nignore = [\"extra\"]", Err("has a key that the mapping computes")),
    ] {
        let mappings = crate::mapping::mappings("mysql", &format!("[[store.mapping]]\ntable = \"entry\"\n{columns}\n"));
        let away = store(&books.server, "root", Side::Dr, &["*"])
            .await
            .mapped_by(&mappings, Some(&home))
            .await
            .expect("mapped");
        match (away.log_start(NOW).await.expect("a start"), expected) {
            (LogStart::NoLog(told), Err(why)) => assert!(told.contains(why), "{told}"),
            (LogStart::Mark(mark), Ok(())) => {
                books
                    .run("INSERT INTO entry VALUES (1, 'a', 7), (2, 'b', 8);\n DELETE FROM entry WHERE number = 8")
                    .await;
                let Ok(Changes::All(set)) = away.changes(&mark, NOW).await else { panic!("no changes") };
                assert_eq!(touched(&set), entries(&[7, 8]));
                assert!(scanned(&away).await.keys().all(|read| *read == key("entry", 7)));
            }
            (start, _) => panic!("{columns}: {start:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_while_dr_is_live_read_what_its_binary_log_tells() {
    let (Some(mut dr), Some(mut primary)) = (Books::start(TABLES, &[]).await, Books::start(TABLES, &[]).await) else {
        return;
    };
    let home = Home::new();
    let profile = |times: &str, base: &str| {
        format!(
            "name = \"p\"\n{times}[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n[[store]]\nname = \"books\"\n\
             kind = \"mysql\"\nprimary = {{ url = \"mysql://root@127.0.0.1:{}/books\", binlog = true }}\n\
             dr = {{ url = \"mysql://root@127.0.0.1:{}/books\", binlog = true }}\ntables = [\"*\"]\n{base}\
             limits = {{ writes_per_second = 0 }}\n",
            primary.server.port, dr.server.port
        )
    };
    home.write("p.toml", &profile("", ""));
    home.run("checkpoint p.toml --name step").exits(0);
    // The primary's log as one that reaches back for a day.
    let yesterday = now().as_second() - 24 * 3600;
    let (an_hour_ago, two_hours_ago) = (now().as_second() - 3600, now().as_second() - 2 * 3600);
    let at = |seconds: i64| Timestamp::from_second(seconds).expect("an instant");
    let texts = [
        profile(&format!("disaster_at = {}\n", at(two_hours_ago)), ""),
        profile(&format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
    ];
    primary.run(&format!("SET timestamp = {yesterday};\n RESET MASTER;\n SET timestamp = {an_hour_ago};\n INSERT INTO entry VALUES (700, 'stranded');\n SET timestamp = DEFAULT")).await;
    dr.run("UPDATE entry SET note = 'by dr' WHERE id <= 3;\n DELETE FROM entry WHERE id = 9").await;
    home.write("p.toml", &texts[0]);
    let attributed = home.run("plan p.toml --json").exits(0).json();
    assert_eq!(attributed["comparisons"][0]["verdicts"]["stranded"], 1, "{attributed}");
    assert_eq!(attributed["comparisons"][0]["verdicts"]["dr_only"], 4, "{attributed}");
    primary.run("DELETE FROM entry WHERE id = 700").await;

    home.write("p.toml", &texts[1]);
    let bulk = home.run("plan p.toml --rescan").exits(0);
    assert!(!bulk.err.contains("followed by its change log"), "it was to read everything:\n{}", bulk.err);
    home.run("replay p.toml --apply --yes").exits(0);
    dr.run("UPDATE entry SET note = 'later' WHERE id = 5").await;
    let next = home.run("plan p.toml --json").exits(0).says("books: dr was followed by its change log");
    let next = next.says("books: primary was followed by its change log");
    assert_eq!(next.json()["stores"][0]["counts"]["updates"], 1, "{}", next.out);
    dr.run("TRUNCATE other").await;
    let after = home.run("plan p.toml --json --allow-everything").exits(0);
    assert!(!after.err.contains("dr was followed"), "{}", after.err);
    assert!(
        after.err.contains("database books was altered since, by TRUNCATE"),
        "why everything is read is told:\n{}",
        after.err
    );
}
