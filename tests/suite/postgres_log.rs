//! The change log of a replication slot, on real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failback::digest::key_of;
use failback::model::{Digest, Key, Side, StoreId, Timestamp, Value};
use failback::profile::DatabaseProfile;
use failback::store::postgres::PostgresStore;
use failback::store::{ChangeSet, Changes, Depth, Image, Level, LogMark, LogStart, ReadStore, RowStore};
use tokio_postgres::{Client, Error};

use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{database, leaves, reached, sql};
use crate::postgres_writes::client;
use crate::rig::{Home, now};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Publishes all tables of a database and makes a slot called as the database, the only one of the server: with another, it
/// would begin where that one does.
pub async fn keep_log(client: &Client) -> Result<(), Error> {
    client.batch_execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots").await?;
    let row = client.query_one("SELECT current_database()::text", &[]).await?;
    let name: String = row.get(0);
    client.batch_execute(&format!("CREATE PUBLICATION {name} FOR ALL TABLES")).await?;
    client.batch_execute(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")).await
}

/// A database called `books`, with a log, and a store that follows it.
struct Books {
    server: Server,
    client: Client,
    store: PostgresStore,
}

const TABLES: &str = "CREATE TABLE entry (id int PRIMARY KEY, note text);
 CREATE TABLE full_entry (id int PRIMARY KEY, note text); ALTER TABLE full_entry REPLICA IDENTITY FULL;
 INSERT INTO entry SELECT n, 'seeded' FROM generate_series(1, 200) n; INSERT INTO full_entry VALUES (1, 'seeded')";

impl Books {
    async fn start(major: PostgresMajor, tables: &str) -> Option<Books> {
        let server = peers::postgres(major)?;
        sql(&server, "CREATE DATABASE books").await;
        let client = client(server.port, "books").await;
        client.batch_execute(tables).await.expect("tables");
        keep_log(&client).await.expect("a log");
        let store = store(&server, &["public.*"]).await;
        Some(Books { server, client, store })
    }

    async fn run(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{error:?} in {statements}"));
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
}

async fn store(server: &Server, tables: &[&str]) -> PostgresStore {
    let profile = DatabaseProfile { slot: Some("books".into()), ..database(server.port, "books") };
    let tables: Vec<String> = tables.iter().map(|table| table.to_string()).collect();
    PostgresStore::connect(StoreId("books".into()), Side::Dr, &reached(), &profile, &tables).await.expect("it connects")
}

fn key(table: &str, id: i64) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([("id", Value::Number(id.into()))])]))
}

fn touched(set: &ChangeSet) -> BTreeSet<Key> {
    set.keys.keys().cloned().collect()
}

fn entries(ids: &[i64]) -> BTreeSet<Key> {
    ids.iter().map(|id| key("public.entry", *id)).collect()
}

async fn follows(major: PostgresMajor) {
    let Some(books) = Books::start(major, TABLES).await else { return };
    let open = client(books.server.port, "books").await;
    open.batch_execute("BEGIN; UPDATE entry SET note = 'under way' WHERE id = 1").await.expect("under way");
    books.run("UPDATE entry SET note = 'before' WHERE id = 2").await;
    let mark = books.mark().await;
    // The later transaction is committed first.
    books.run("UPDATE entry SET note = 'after' WHERE id = 3").await;
    let set = books.changes(&mark).await;
    assert_eq!(touched(&set), entries(&[3]));
    open.batch_execute("COMMIT").await.expect("committed");
    let late = books.changes(&set.until).await;
    assert_eq!(touched(&late), entries(&[1]), "what was under way at a mark comes after it");
    assert_eq!(touched(&books.changes(&mark).await), entries(&[1, 3]));
    assert!(books.changes(&late.until).await.keys.is_empty());

    books.run("UPDATE entry SET id = 1004 WHERE id = 4").await;
    books.run("BEGIN; DELETE FROM entry WHERE id = 5; ROLLBACK").await;
    let moved = books.changes(&late.until).await;
    assert_eq!(touched(&moved), entries(&[4, 1004]), "a row that takes another key touches both; what is undone, none");
    assert_eq!(moved.keys[&key("public.entry", 4)][0].after, Image::Absent);

    let whole = key("public.full_entry", 1);
    let digest =
        async || books.store.fetch(std::slice::from_ref(&whole), Depth::Content).await.expect("a row")[0].clone();
    let before = digest().await.expect("a row").digest;
    books.run("UPDATE full_entry SET note = 'after' WHERE id = 1").await;
    let after = digest().await.expect("a row").digest;
    let record = books.changes(&moved.until).await.keys[&whole][0];
    assert_eq!((record.before, record.after), (Image::Present(before), Image::Present(after)));

    let history = books.store.history(NOW).await.expect("a history");
    let Changes::All(all) = history.changes else { panic!("{:?}", history.changes) };
    assert_eq!(all.keys.len(), 6);
    let since = history.whole_since.expect("an instant");
    assert!(now().duration_since(since).as_secs() < 600, "{since}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_postgres_15_tells_what_was_committed_since_a_mark() {
    follows(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_postgres_18_tells_what_was_committed_since_a_mark() {
    follows(PostgresMajor::V18).await;
}

/// Writes at random, in transactions of a few rows, until it is told to stop; some end late, some are undone.
async fn write(port: u16, seed: u32, stop: Arc<AtomicBool>) -> u32 {
    let client = client(port, "books").await;
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut written = 0;
    // Such commits are seen before they are in the log.
    client.batch_execute("SET synchronous_commit = off").await.expect("set");
    while !stop.load(Ordering::SeqCst) {
        // Each writer has rows of its own, so that none waits for another.
        let row = |number: u32| number * 4 + seed;
        let mut statements = String::from("BEGIN;");
        for _ in 0..=next(3) {
            let id = row(next(60));
            statements += &match next(4) {
                0 => format!("DELETE FROM entry WHERE id = {id};"),
                _ => format!(
                    "INSERT INTO entry VALUES ({id}, '{written}') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note;"
                ),
            };
        }
        client.batch_execute(&statements).await.expect("written");
        tokio::time::sleep(Duration::from_millis(u64::from(next(20)))).await;
        client.batch_execute(if next(5) == 0 { "ROLLBACK" } else { "COMMIT" }).await.expect("ended");
        written += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn under_writers_a_reading_kept_up_by_the_slot_is_what_a_reading_of_everything_is() {
    let Some(books) = Books::start(PostgresMajor::V15, TABLES).await else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4).map(|seed| tokio::spawn(write(books.server.port, seed, stop.clone()))).collect();
    let mut kept: Vec<(LogMark, BTreeMap<Key, Digest>)> = Vec::new();
    for _ in 0..25 {
        let mark = books.mark().await;
        let scan = books.store.begin_scan(2).await.expect("a scan");
        kept.push((mark, leaves(scan.as_ref()).await));
        drop(scan);
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
    let truth = leaves(books.store.begin_scan(1).await.expect("a scan").as_ref()).await;
    for (at, reading) in kept.iter_mut().enumerate() {
        keep_up(&books, reading).await;
        assert!(reading.1 == truth, "reading {at} missed a change");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slot_cannot_tell_in_full_is_a_gap() {
    let Some(books) = Books::start(PostgresMajor::V18, TABLES).await else { return };
    for (statements, why) in [
        ("TRUNCATE full_entry", "table public.full_entry was altered since"),
        ("ALTER TABLE entry ADD COLUMN more int DEFAULT 7", "table public.entry was altered since"),
        ("VACUUM FULL full_entry", "table public.full_entry was altered since"),
        (
            "ALTER PUBLICATION books SET (publish = 'insert'); ALTER PUBLICATION books SET (publish = 'insert, update, delete, truncate')",
            "publication books was altered since",
        ),
        ("SELECT pg_replication_slot_advance('books', pg_current_wal_lsn())", "was moved on or made anew since"),
    ] {
        let mark = books.mark().await;
        books.run(statements).await;
        let told = books.gap(&mark).await;
        assert!(told.contains(why), "{statements}: {told}");
        let next = books.mark().await;
        books.changes(&next).await;
    }
    let mark = books.mark().await;
    books.run("SELECT pg_drop_replication_slot('books')").await;
    assert_eq!(books.no_log().await, "there is no replication slot books");
    assert!(matches!(books.store.changes(&mark, NOW).await, Ok(Changes::NoLog(_))));
    books.run("INSERT INTO entry VALUES (900, 'unseen')").await;
    books.run("SELECT pg_create_logical_replication_slot('books', 'pgoutput')").await;
    assert!(books.gap(&mark).await.contains("was moved on or made anew"));
    // A history says nothing of the time before an alteration, where it cannot tell what rows were then.
    books.run("ALTER TABLE entry ADD COLUMN last int").await;
    let history = books.store.history(NOW).await.expect("a history");
    assert!(matches!(history.changes, Changes::Gap(_)) && history.whole_since.is_none(), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slot_cannot_follow_is_told_with_what_to_do() {
    let Some(books) = Books::start(PostgresMajor::V15, TABLES).await else { return };
    for (statements, undo, why) in [
        ("CREATE TABLE t (x int)", "DROP TABLE t", "table public.t has no primary key"),
        ("CREATE UNLOGGED TABLE t (x int PRIMARY KEY)", "DROP TABLE t", "table public.t is not logged"),
        ("CREATE TABLE t (x int PRIMARY KEY) PARTITION BY RANGE (x)", "DROP TABLE t", "table public.t is partitioned"),
        (
            "CREATE TABLE t (x int PRIMARY KEY DEFERRABLE)",
            "DROP TABLE t",
            "table public.t has a deferrable primary key",
        ),
        (
            "ALTER TABLE entry REPLICA IDENTITY NOTHING",
            "ALTER TABLE entry REPLICA IDENTITY DEFAULT",
            "table public.entry has a replica identity that is not its primary key",
        ),
        (
            "ALTER PUBLICATION books SET (publish = 'insert')",
            "ALTER PUBLICATION books SET (publish = 'insert, update, delete, truncate')",
            "the publication books leaves out",
        ),
        ("DROP PUBLICATION books", "CREATE PUBLICATION books FOR TABLE entry", "there is no publication books"),
        (
            "SELECT 1",
            "DROP PUBLICATION books; CREATE PUBLICATION books FOR TABLE full_entry, entry WHERE (id > 5)",
            "table public.full_entry is not in the publication",
        ),
        ("SELECT 1", "SELECT 1", "table public.entry is in the publication with a row filter"),
    ] {
        books.run(statements).await;
        assert!(books.no_log().await.contains(why), "{statements}: {}", books.no_log().await);
        let findings = books.store.check().await;
        let told = findings.iter().find(|finding| finding.what.contains("passes while dr is live read everything"));
        let told = told.unwrap_or_else(|| panic!("{findings:?}"));
        assert_eq!(told.level, Level::Warning);
        assert!(told.hint.as_deref().is_some_and(|hint| hint.contains("pg_create_logical_replication_slot('books'")));
        books.run(undo).await;
    }
    sql(&books.server, "SELECT pg_create_physical_replication_slot('physical')").await;
    let profile = DatabaseProfile { slot: Some("physical".into()), ..database(books.server.port, "books") };
    let tables = ["public.*".to_owned()];
    let other = PostgresStore::connect(StoreId("books".into()), Side::Dr, &reached(), &profile, &tables).await;
    match other.expect("it connects").log_start(NOW).await.expect("an answer") {
        LogStart::NoLog(why) => assert!(why.contains("is not a logical one of this database"), "{why}"),
        LogStart::Mark(mark) => panic!("{mark:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_while_dr_is_live_read_what_its_slot_tells() {
    let servers = [peers::postgres(PostgresMajor::V15), peers::postgres(PostgresMajor::V18)];
    let [Some(primary), Some(dr)] = servers else { return };
    let (home, mut clients) = (Home::new(), Vec::new());
    for server in [&primary, &dr] {
        sql(server, "CREATE DATABASE books").await;
        let client = client(server.port, "books").await;
        client.batch_execute(TABLES).await.expect("tables");
        clients.push(client);
    }
    let profile = |times: &str, base: &str| {
        format!(
            "name = \"p\"\n{times}[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n[[store]]\nname = \"books\"\n\
             kind = \"postgres\"\nprimary = {{ url = \"postgres://postgres@127.0.0.1:{}/books\" }}\n\
             dr = {{ url = \"postgres://postgres@127.0.0.1:{}/books\", slot = \"books\" }}\ntables = [\"public.*\"]\n{base}\
             limits = {{ writes_per_second = 0 }}\n",
            primary.port, dr.port
        )
    };
    home.write("p.toml", &profile("", ""));
    home.run("checkpoint p.toml --name step").exits(0);
    keep_log(&clients[1]).await.expect("a log");
    let times = format!("disaster_at = {}\n", now());
    home.write("p.toml", &profile(&times, "base = { checkpoint = \"step\" }\n"));
    clients[1]
        .batch_execute("UPDATE entry SET note = 'by dr' WHERE id <= 3; DELETE FROM entry WHERE id = 9")
        .await
        .expect("run");
    let bulk = home.run("plan p.toml").exits(0);
    assert!(!bulk.err.contains("followed by its change log"), "the first pass reads everything:\n{}", bulk.err);
    home.run("replay p.toml --apply --yes").exits(0);
    clients[1].batch_execute("UPDATE entry SET note = 'later' WHERE id = 5").await.expect("run");
    let next = home.run("plan p.toml --json").exits(0).says("books: dr was followed by its change log");
    assert_eq!(next.json()["stores"][0]["counts"]["updates"], 1, "{}", next.out);
    clients[1].batch_execute("TRUNCATE full_entry").await.expect("run");
    let after = home.run("plan p.toml --json --allow-everything").exits(0);
    assert!(!after.err.contains("dr was followed"), "{}", after.err);
    assert!(after.err.contains("was altered since"), "why everything is read is told:\n{}", after.err);
}
