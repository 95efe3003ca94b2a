//! Failbacks of a MariaDB database by the real program: from checkpoint to undo, and killed on the way.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::{Value as Json, json};

use crate::mysql::{client, run};
use crate::peers::{self, Server};
use crate::rig::{DR, Home, PRIMARY, now};

/// Both sides live in one server, under names of their own; the third is what the primary must hold in the end.
const BOOKS: [&str; 2] = ["books-east", "books-west"];
const TRUTH: &str = "truth";

const SIDES: &str = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
const FREEZE: &str = "[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n";
const REPLAY: &str = "replay p.toml --apply --yes";
const UNDO: &str = "undo p.toml --yes";

/// Every row of every table, by table.
type Rows = BTreeMap<String, Vec<String>>;

struct Books(Server);

impl Books {
    async fn start() -> Option<Books> {
        let books = Books(peers::mariadb()?);
        for name in [BOOKS[PRIMARY], BOOKS[DR], TRUTH] {
            run(&mut client(books.0.port, "").await, &format!("CREATE DATABASE `{name}`")).await.expect("a database");
        }
        Some(books)
    }

    /// A connection at an instant that stands still, so that the same statements leave the same rows.
    async fn client(&self, name: &str) -> Conn {
        let mut conn = client(self.0.port, name).await;
        let pinned = "SET timestamp = 1767225600, time_zone = '+00:00', character_set_results = NULL";
        conn.query_drop(pinned).await.expect("pinned");
        conn
    }

    async fn run(&self, name: &str, statements: &str) {
        if let Err(error) = run(&mut self.client(name).await, statements).await {
            panic!("{error} in:\n{statements}");
        }
    }

    async fn rows(&self, name: &str) -> Rows {
        let mut conn = self.client(name).await;
        let mut all = Rows::new();
        for table in conn.query::<String, _>("SHOW TABLES").await.expect("tables") {
            let rows: Vec<Row> =
                conn.exec(format!("SELECT * FROM `{}`", table.replace('`', "``")), ()).await.expect("rows");
            let mut rows: Vec<String> = rows.into_iter().map(|row| format!("{:?}", row.unwrap())).collect();
            rows.sort();
            all.insert(table, rows);
        }
        all
    }

    async fn next(&self, name: &str, table: &str) -> u64 {
        let query = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
        self.client(name).await.exec_first(query, (name, table)).await.expect("a row").expect("a number")
    }

    fn profile(&self, struck: bool, limits: &str) -> String {
        let (times, base) = match struck {
            true => (format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
            false => (String::new(), ""),
        };
        let [primary, dr] = BOOKS.map(|name| format!("mysql://root@127.0.0.1:{}/{name}", self.0.port));
        format!(
            "name = \"p\"\n{times}{SIDES}[[store]]\nname = \"books\"\nkind = \"mysql\"\nprimary = {{ url = \"{primary}\" }}\n\
             dr = {{ url = \"{dr}\" }}\ntables = [\"*\"]\n{base}\
             policy = {{ overwrite_limit_percent = 100, delete_limit_percent = 100 }}\n{limits}{FREEZE}"
        )
    }
}

/// Odd keys and types, a table that refers to itself, two that refer to each other, one without a key and one without
/// transactions.
const SCHEMA: &str = "CREATE TABLE region (country CHAR(2) COLLATE utf8mb4_general_ci, code SMALLINT,
  name VARCHAR(40) CHARACTER SET latin1 NOT NULL, PRIMARY KEY (country, code));
 CREATE TABLE client (id BINARY(4) PRIMARY KEY, email VARCHAR(60) COLLATE utf8mb4_general_ci NOT NULL UNIQUE, country CHAR(2) COLLATE utf8mb4_general_ci,
  code SMALLINT, state ENUM('new', 'paid', 'gone') NOT NULL DEFAULT 'new', referred_by BINARY(4), FOREIGN KEY (referred_by) REFERENCES client (id),
  FOREIGN KEY (country, code) REFERENCES region (country, code));
 CREATE TABLE invoice (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, client BINARY(4) NOT NULL, net DECIMAL(20, 4) NOT NULL CHECK (net > -1000),
  tax DECIMAL(20, 4) NOT NULL DEFAULT 0, gross DECIMAL(21, 4) AS (net + tax) STORED, detail JSON, tags SET('a', 'b', 'c'), due DATETIME(6),
  touched TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, FOREIGN KEY (client) REFERENCES client (id) ON DELETE CASCADE);
 CREATE TABLE team (id INT PRIMARY KEY, lead INT NOT NULL);
 CREATE TABLE member (id INT PRIMARY KEY, name TEXT, team INT NOT NULL, FOREIGN KEY (team) REFERENCES team (id));
 ALTER TABLE team ADD FOREIGN KEY (lead) REFERENCES member (id);
 CREATE TABLE seat (id INT PRIMARY KEY, place VARCHAR(20) NOT NULL UNIQUE);
 CREATE TABLE `Bü``cher` (`ISBN \"13\"` VARBINARY(20) PRIMARY KEY, `select` TEXT, weight DOUBLE, small FLOAT, flags BIT(5), y YEAR, span TIME(1));
 CREATE TABLE word (w VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n INT);
 CREATE TABLE log (line TEXT, n INT);
 CREATE TABLE legacy (id INT PRIMARY KEY, a INT) ENGINE = MyISAM;\n";

const SEED: &str = "INSERT INTO region VALUES ('DE', 1, 'Nord'), ('DE', 2, 'Süd'), ('FR', 1, 'Est'), ('IT', 1, 'Nord');
 INSERT INTO client (id, email, country, code, referred_by) VALUES (x'00000001', 'c1@x', 'DE', 1, NULL), (x'00000002', 'c2@x', 'de', 2, x'00000001'),
  (x'00000003', 'c3@x', 'DE', 1, x'00000001'), (x'00000004', 'c4@x', NULL, NULL, x'00000002'), (x'00000005', 'c5@x', 'FR', 1, NULL);
 INSERT INTO invoice (client, net, tax, detail, tags, due) VALUES (x'00000001', 10.25, 1, '{\"n\":1}', 'a,c', '2026-03-01 10:00:00.000001'),
  (x'00000002', 20.5, 0, NULL, '', NULL), (x'00000003', 30, 0, '[1.50]', NULL, NULL), (x'00000004', 40, 0, NULL, 'b', NULL);
 SET foreign_key_checks = 0;
 INSERT INTO team VALUES (1, 1), (3, 30);
 INSERT INTO member VALUES (1, 'Ada', 1), (2, 'Bo', 1), (30, 'Cy', 3);
 SET foreign_key_checks = 1;
 INSERT INTO seat VALUES (1, 'place 1'), (2, 'place 2'), (3, 'place 3'), (4, 'place 4');
 INSERT INTO `Bü``cher` VALUES (x'00', 'Null', 1.5, 0.1, b'10101', 1999, '10:00:00.5'), (x'00FF', 'é€😀', 0.1, 16777216, NULL, 0, '-00:00:01'),
  (x'', '', NULL, NULL, 0, NULL, '838:59:59');
 INSERT INTO word VALUES ('Straße', 1), ('case', 2), ('pad', 3), ('stays', 4);
 INSERT INTO log VALUES ('a', 1), ('a', 1), ('b', 2);
 INSERT INTO legacy VALUES (1, 1);\n";

/// A difference as it must be found, and the statements of the primary and of dr that made it; whose they are in the end.
struct Edit {
    key: Json,
    verdict: &'static str,
    change: &'static str,
    primary: &'static str,
    dr: &'static str,
}

fn edit(verdict: &'static str, change: &'static str, key: Json, primary: &'static str, dr: &'static str) -> Edit {
    Edit { key, verdict, change, primary, dr }
}

fn by_id(table: &str, id: &str) -> Json {
    json!({"table": table, "id": id})
}

fn word(w: &str) -> Json {
    json!({"table": "word", "w": w})
}

fn edits() -> Vec<Edit> {
    let dr = |change, key, statements| edit("dr_only", change, key, "", statements);
    vec![
        dr(
            "update",
            json!({"table": "region", "country": "DE", "code": "1"}),
            "UPDATE region SET name = 'Küste €' WHERE country = 'DE' AND code = 1",
        ),
        dr(
            "delete",
            json!({"table": "region", "country": "IT", "code": "1"}),
            "DELETE FROM region WHERE country = 'IT'",
        ),
        edit(
            "stranded",
            "update",
            json!({"table": "region", "country": "FR", "code": "1"}),
            "UPDATE region SET name = 'late' WHERE country = 'FR'",
            "",
        ),
        // The new client who was referred sorts before the one who referred them, and both hand out the next number.
        dr(
            "insert",
            by_id("client", "\\x00000090"),
            "INSERT INTO client VALUES (x'00000090', 'new@x', 'DE', 2, 'paid', NULL)",
        ),
        dr(
            "insert",
            by_id("client", "\\x00000040"),
            "INSERT INTO client VALUES (x'00000040', 'C3@X', NULL, NULL, 'new', x'00000090')",
        ),
        // Its address, spelled in another case, went to the new client above.
        edit("dr_only", "update", by_id("client", "\\x00000003"), "", "SELECT 1"),
        edit(
            "conflict",
            "update",
            by_id("client", "\\x00000005"),
            "UPDATE client SET state = 'gone' WHERE id = x'00000005'",
            "UPDATE client SET state = 'paid' WHERE id = x'00000005'",
        ),
        edit(
            "conflict",
            "update",
            by_id("invoice", "5"),
            "INSERT INTO invoice (client, net) VALUES (x'00000001', 1)",
            "INSERT INTO invoice (client, net, tags, due) VALUES (x'00000002', -0.5, 'a,b,c', '0000-00-00'), (x'00000090', 7, NULL, NULL)",
        ),
        dr("insert", by_id("invoice", "6"), ""),
        dr(
            "update",
            by_id("invoice", "1"),
            "UPDATE invoice SET net = 9999999999999999.9999, detail = '{ \"a\" : null }', touched = touched WHERE id = 1",
        ),
        // It touches itself, by the same instant on both sides.
        dr("update", by_id("invoice", "2"), "UPDATE invoice SET tags = 'c' WHERE id = 2"),
        // A parent that is gone, and the child that followed it.
        dr("delete", by_id("client", "\\x00000004"), "DELETE FROM client WHERE id = x'00000004'"),
        dr("delete", by_id("invoice", "4"), ""),
        dr(
            "update",
            by_id("seat", "1"),
            "UPDATE seat SET place = 'aside' WHERE id = 1;\n UPDATE seat SET place = 'place 1' WHERE id = 2;\n UPDATE seat SET place = 'place 2' WHERE id = 1",
        ),
        dr("update", by_id("seat", "2"), ""),
        dr("delete", by_id("seat", "3"), "DELETE FROM seat WHERE id = 3;\n INSERT INTO seat VALUES (7, 'PLACE 3')"),
        dr("insert", by_id("seat", "7"), ""),
        dr(
            "insert",
            by_id("team", "2"),
            "SET foreign_key_checks = 0;\n INSERT INTO member VALUES (20, 'Di', 2);\n INSERT INTO team VALUES (2, 20)",
        ),
        dr("insert", by_id("member", "20"), ""),
        dr(
            "delete",
            by_id("team", "3"),
            "SET foreign_key_checks = 0;\n DELETE FROM member WHERE id = 30;\n DELETE FROM team WHERE id = 3",
        ),
        dr("delete", by_id("member", "30"), ""),
        edit("stranded", "update", by_id("member", "2"), "UPDATE member SET name = NULL WHERE id = 2", ""),
        dr(
            "update",
            json!({"table": "Bü`cher", "ISBN \"13\"": "\\x00"}),
            "UPDATE `Bü``cher` SET weight = 0.30000000000000004, small = 3.4e38, flags = 1 WHERE `ISBN \"13\"` = x'00'",
        ),
        dr(
            "update",
            json!({"table": "Bü`cher", "ISBN \"13\"": "\\x00ff"}),
            "UPDATE `Bü``cher` SET weight = 0.1 + 0.2, y = 2000, span = '-00:00:01.1' WHERE `ISBN \"13\"` = x'00FF'",
        ),
        dr(
            "insert",
            json!({"table": "Bü`cher", "ISBN \"13\"": "\\xffffff00"}),
            "INSERT INTO `Bü``cher` VALUES (x'FFFFFF00', 'tab\\there', 5e-324, 0.1, 31, 2155, NULL)",
        ),
        // The same words to the collation, and others to whoever reads them.
        dr("delete", word("case"), "UPDATE word SET w = 'CASE' WHERE w = 'case'"),
        dr("insert", word("CASE"), ""),
        dr("delete", word("pad"), "UPDATE word SET w = 'pad ' WHERE w = 'pad'"),
        dr("insert", word("pad "), ""),
    ]
}

/// What is only compared and held: a row without a key, and one without transactions.
const HELD: [(&str, &str); 2] =
    [("log", "INSERT INTO log VALUES ('c', 3)"), ("legacy", "UPDATE legacy SET a = 2 WHERE id = 1")];

/// Addresses are given away before they are taken.
const BEFORE: &str = "UPDATE client SET email = 'gave@x' WHERE id = x'00000003'";

fn canonical(key: &Json) -> String {
    let fields: BTreeMap<&String, &Json> = key.as_object().expect("a key is an object").iter().collect();
    serde_json::to_string(&fields).expect("only string keys")
}

async fn struck(books: &Books, home: &Home) {
    for name in [BOOKS[PRIMARY], BOOKS[DR], TRUTH] {
        books.run(name, SCHEMA).await;
        books.run(name, SEED).await;
    }
    home.write("p.toml", &books.profile(false, ""));
    home.run("check p.toml").exits(0).prints("ready");
    home.run("checkpoint p.toml --name step").exits(0).prints("in step");
    home.write("p.toml", &books.profile(true, "limits = { writes_per_second = 0 }\n"));
    for name in [BOOKS[DR], TRUTH] {
        books.run(name, BEFORE).await;
    }
    for edit in edits() {
        books.run(BOOKS[PRIMARY], edit.primary).await;
        books.run(BOOKS[DR], edit.dr).await;
        let won = if edit.verdict == "stranded" { edit.primary } else { edit.dr };
        books.run(TRUTH, won).await;
    }
    for (_, statement) in HELD {
        books.run(BOOKS[DR], statement).await;
    }
}

/// Verdict and change of every difference by its key, those that are held left out and counted.
fn found(home: &Home, document: &Json) -> (BTreeMap<String, (String, String)>, usize) {
    let delta = document["stores"][0]["delta"].as_str().expect("a path");
    let (mut found, mut held) = (BTreeMap::new(), 0);
    for line in home.lines(delta.as_ref()) {
        let word = |field: &str| line[field].as_str().expect("a word").replace('-', "_");
        match HELD.iter().any(|(table, _)| line["key"]["table"] == *table) {
            true => held += 1,
            false => drop(found.insert(canonical(&line["key"]), (word("verdict"), word("change")))),
        }
    }
    (found, held)
}

fn decide(home: &Home) -> usize {
    let lines = home.lines(".failback/p/held.ndjson".as_ref());
    let decided = lines.iter().map(|line| {
        let is_kept = HELD.iter().any(|(table, _)| line["key"]["table"] == *table);
        let decision = if is_kept { "primary" } else { "dr" };
        json!({"store": line["store"], "key": line["key"], "decision": decision}).to_string() + "\n"
    });
    home.write("decisions.ndjson", &decided.collect::<String>());
    lines.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_of_mariadb_there_and_back() {
    let Some(books) = Books::start().await else { return };
    let home = Home::new();
    struck(&books, &home).await;
    let (before, dr) = (books.rows(BOOKS[PRIMARY]).await, books.rows(BOOKS[DR]).await);
    let document = home.run("diff p.toml --json").exits(1).json();
    let own = |edit: &Edit| (canonical(&edit.key), (edit.verdict.to_owned(), edit.change.to_owned()));
    let wanted: BTreeMap<String, (String, String)> = edits().iter().map(own).collect();
    assert_eq!(found(&home, &document), (wanted, HELD.len()));
    home.run("plan p.toml").exits(3);
    assert_eq!(decide(&home), HELD.len() + 2);
    let planned = home.run("plan p.toml --decisions decisions.ndjson --json").exits(0).json();
    let stranded = edits().iter().filter(|edit| edit.verdict == "stranded").count();
    assert_eq!((&planned["held"], &planned["steps"]), (&json!(0), &json!(edits().len() - stranded)), "{planned}");
    home.run("replay p.toml").exits(0).prints("a dry run: nothing was written");
    assert_eq!(books.rows(BOOKS[PRIMARY]).await, before);
    for _ in 0..2 {
        home.run(REPLAY).exits(0);
        assert_eq!(books.rows(BOOKS[PRIMARY]).await, books.rows(TRUTH).await);
    }
    assert!(books.next(BOOKS[PRIMARY], "invoice").await >= books.next(BOOKS[DR], "invoice").await);
    home.run("replay p.toml --apply --freeze --decisions decisions.ndjson --yes").exits(0);
    let verified = home.run("verify p.toml --json").exits(0).json();
    assert_eq!(
        (&verified["parity"], &verified["stores"][0]["accepted"]),
        (&json!(true), &json!(stranded + HELD.len()))
    );
    assert_eq!(books.rows(BOOKS[DR]).await, dr, "dr is never written");
    home.run(UNDO).exits(0).prints("restored");
    assert_eq!(books.rows(BOOKS[PRIMARY]).await, before);
    home.run("verify p.toml --undone").exits(0).prints("as before");
}

const ROWS: u32 = 300;
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program and kills it as soon as so many rows are not as they were; whether it was in time.
async fn killed(books: &Books, home: &Home, arguments: &str, from: &Rows, count: usize) -> bool {
    let mut command = home.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = books.rows(BOOKS[PRIMARY]).await;
        let new = |(table, rows): (&String, &Vec<String>)| {
            rows.iter().filter(|row| from[table].binary_search(row).is_err()).count()
        };
        if now.iter().map(new).sum::<usize>() >= count {
            break;
        }
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "{count} writes do not come");
    }
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("a child");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_killed_at_many_instants_comes_to_its_end() {
    let Some(books) = Books::start().await else { return };
    let schema = "CREATE TABLE parent (id INT PRIMARY KEY, name TEXT);
      CREATE TABLE child (id BIGINT AUTO_INCREMENT PRIMARY KEY, parent INT NOT NULL, place INT UNIQUE, FOREIGN KEY (parent) REFERENCES parent (id));\n";
    let seed = format!(
        "INSERT INTO parent SELECT seq, 'seeded' FROM seq_1_to_{ROWS};\n
         INSERT INTO child (parent, place) SELECT seq, seq FROM seq_1_to_{ROWS};\n"
    );
    for name in BOOKS {
        books.run(name, schema).await;
        books.run(name, &seed).await;
    }
    let home = Home::new();
    home.write("p.toml", &books.profile(false, ""));
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &books.profile(true, "limits = { writes_per_second = 300 }\n"));
    // Children move up by one place each, the last to the first place: no order of single updates does that.
    let changes = format!(
        "INSERT INTO parent SELECT seq + {ROWS}, 'by dr' FROM seq_1_to_150;\n
         DELETE FROM child WHERE id > {ROWS} - 40;\n DELETE FROM parent WHERE id > {ROWS} - 40 AND id <= {ROWS};\n
         UPDATE parent SET name = 'by dr' WHERE id <= 150 AND id % 5 <> 0;\n
         UPDATE child SET place = place + 10000 WHERE id <= 60;\n UPDATE child SET place = 1 + (place - 10000) % 60 WHERE id <= 60;\n
         INSERT INTO child (parent, place) SELECT {ROWS} + seq, 20000 + seq FROM seq_1_to_150;\n"
    );
    books.run(BOOKS[DR], &changes).await;
    let (before, dr) = (books.rows(BOOKS[PRIMARY]).await, books.rows(BOOKS[DR]).await);
    home.run("plan p.toml").exits(0);
    let mut kills = 0;
    for count in [1, 80, 200, 320] {
        kills += u32::from(killed(&books, &home, REPLAY, &before, count).await);
    }
    assert!(kills >= 3, "only {kills} kills of the replay were in time");
    home.run(REPLAY).exits(0);
    assert_eq!(books.rows(BOOKS[PRIMARY]).await, dr);
    home.run("verify p.toml").exits(0);
    let mut kills = 0;
    for count in [1, 60] {
        kills += u32::from(killed(&books, &home, UNDO, &dr, count).await);
    }
    assert!(kills >= 1, "only {kills} kills of the undo were in time");
    home.run(UNDO).exits(0);
    assert_eq!(books.rows(BOOKS[PRIMARY]).await, before);
    home.run("verify p.toml --undone").exits(0);
}
