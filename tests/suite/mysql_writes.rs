//! Guarded writes to MySQL, against a real MariaDB server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use failback::digest::key_of;
use failback::model::{Key, Side, StoreId, Value};
use failback::profile::DigestProfile;
use failback::store::conformance::{self, Fixture, Pair, Sample};
use failback::store::mysql::MysqlStore;
use failback::store::{
    Counter, ErrorKind, Expected, GuardedWrite, Level, Outcome, ReadStore, RowStore, Wanted, WriteStore,
};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;

use crate::conformance::assert_conforms;
use crate::mysql::{ROWS, TYPES, client, database, run, scanned, sql, store, table_of};
use crate::peers::{self, Server};
use crate::postgres::reached;
use crate::wishes::{Wish, apply, wishes};

fn row_key(table: &str, id: Value) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([("id", id)])]))
}

pub fn number_key(table: &str, id: i64) -> Key {
    row_key(table, Value::Number(id.into()))
}

struct MysqlFixture<'s> {
    server: &'s Server,
    digest: DigestProfile,
    made: AtomicU32,
}

struct MysqlPair {
    primary: Arc<MysqlStore>,
    dr: Arc<MysqlStore>,
    clients: [Mutex<Conn>; 2],
}

const SAMPLE: &str =
    "CREATE TABLE sample (id INT PRIMARY KEY, note VARCHAR(40) NOT NULL, amount DECIMAL(10, 2), f DOUBLE,
  tags SET('a', 'b', 'c'), at DATETIME(3), raw VARBINARY(9), twice INT GENERATED ALWAYS AS (id * 2) STORED);
 CREATE TABLE counted (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY);\n";

#[async_trait]
impl Fixture for MysqlFixture<'_> {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let (mut clients, mut stores) = (Vec::new(), Vec::new());
        for side in [Side::Primary, Side::Dr] {
            let name = format!("{side:?}_{number}").to_lowercase();
            sql(self.server, "", &format!("CREATE DATABASE {name}")).await;
            let mut client = client(self.server.port, &name).await;
            run(&mut client, SAMPLE).await.map_err(|error| error.to_string())?;
            stores.push(Arc::new(store(self.server, side, &name, &["*"]).await.hashed_by(self.digest)));
            clients.push(Mutex::new(client));
        }
        let [primary, dr] = stores.try_into().map_err(|_| "two stores")?;
        let clients = clients.try_into().map_err(|_| "two clients")?;
        Ok(Box::new(MysqlPair { primary, dr, clients }))
    }
}

impl MysqlPair {
    async fn run(&self, side: Side, statements: &str) -> Result<(), String> {
        let mut client = self.clients[usize::from(side != Side::Primary)].lock().await;
        run(&mut client, statements).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pair for MysqlPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        self.primary.clone()
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.dr.clone()
    }

    fn key(&self, number: u32) -> Key {
        number_key("sample", i64::from(number))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        let rows = samples.iter().map(|Sample { number, version }| {
            format!(
                "REPLACE INTO sample (id, note, amount, f, tags, at, raw) VALUES ({number}, 'version {version} é', {version}.50,
                  {version} / 3, 'a,c', '2026-01-0{version} 12:00:00.125', x'00FF0{version}');\n"
            )
        });
        self.run(side, &rows.collect::<String>()).await
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.run(side, &format!("DELETE FROM sample WHERE id = {number}")).await
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.run(side, &format!("ALTER TABLE counted AUTO_INCREMENT = {}", value + 1)).await?;
        Ok(Some("counted.id".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_conforms() {
    let Some(server) = peers::mariadb() else { return };
    for (digest, made) in [(DigestProfile::Stream, 0), (DigestProfile::Server, 1_000)] {
        let fixture = MysqlFixture { server: &server, digest, made: AtomicU32::new(made) };
        assert_conforms(conformance::run_all(&fixture).await);
    }
}

/// Both sides in one server, with the same tables.
struct Sides {
    server: Server,
    primary: MysqlStore,
    dr: MysqlStore,
}

impl Sides {
    async fn new(shape: &str) -> Option<Sides> {
        let server = peers::mariadb()?;
        for name in ["one", "two"] {
            sql(&server, "", &format!("CREATE DATABASE {name}")).await;
            sql(&server, name, shape).await;
        }
        let primary = store(&server, Side::Primary, "one", &["*"]).await;
        let dr = store(&server, Side::Dr, "two", &["*"]).await;
        Some(Sides { server, primary, dr })
    }

    async fn run(&self, name: &str, statements: &str) {
        sql(&self.server, name, statements).await;
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        let rows: Vec<Option<String>> = client(self.server.port, "one").await.query(query).await.expect("rows");
        rows.into_iter().map(|row| row.unwrap_or_else(|| "NULL".into())).collect()
    }

    async fn wishes(&self, keys: &[Key]) -> Vec<Wish> {
        wishes(&self.primary, &self.dr, keys).await
    }

    async fn bring(&self, keys: &[Key]) -> Vec<Outcome> {
        apply(&self.primary, &self.dr, &self.wishes(keys).await).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_behind_our_back_is_refused_and_left() {
    let shape = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_general_ci, f FLOAT, d DOUBLE)";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "INSERT INTO t VALUES (1, 'a', 0.1, 0.1), (2, 'b', NULL, 0), (4, 'd', NULL, NULL)").await;
    sides.run("two", "INSERT INTO t VALUES (1, 'Z', 0.1, 0.1), (3, 'c', 1, 1), (4, 'D', NULL, NULL)").await;
    let keys = [1, 2, 3, 4].map(|id| number_key("t", id));
    let wishes = sides.wishes(&keys).await;
    // Changes that the collation, and a float as text, do not show.
    sides
        .run(
            "one",
            "UPDATE t SET a = 'A' WHERE id = 1;\n UPDATE t SET d = 4.9e-324 WHERE id = 2;\n INSERT INTO t VALUES (3, 'C', 1, 1);\n",
        )
        .await;
    let outcomes = apply(&sides.primary, &sides.dr, &wishes).await;
    for outcome in &outcomes[..3] {
        assert!(matches!(outcome, Outcome::Refused { found: Some(_), .. }), "{outcome:?}");
    }
    assert_eq!(outcomes[3], Outcome::Applied);
    let rows = sides.texts("SELECT CONCAT(id, a) FROM t ORDER BY id").await;
    assert_eq!(rows, ["1A", "2b", "3C", "4D"]);
    assert_eq!(
        sides.bring(&keys).await,
        vec![Outcome::Applied, Outcome::Applied, Outcome::Applied, Outcome::AlreadyApplied]
    );
    assert_eq!(sides.bring(&keys).await, vec![Outcome::AlreadyApplied; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_trade_unique_values() {
    let shape = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) NOT NULL UNIQUE)";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (9, 'taken')").await;
    sides.run("two", "INSERT INTO t VALUES (1, 'b'), (2, 'c'), (3, 'a'), (4, 'e'), (5, 'taken'), (6, 'd')").await;
    // The holder of `taken` is not among the writes: that one stays blocked, the others go through.
    let keys = [1, 2, 3, 6, 4, 5].map(|id| number_key("t", id));
    let outcomes = sides.bring(&keys).await;
    assert_eq!(outcomes[..5], vec![Outcome::Applied; 5]);
    let Outcome::Blocked { reason } = &outcomes[5] else { panic!("{:?}", outcomes[5]) };
    assert!(reason.contains("key a") && !reason.contains("taken"), "{reason}");
    let rows = sides.texts("SELECT CONCAT(id, a) FROM t ORDER BY id").await;
    assert_eq!(rows, ["1b", "2c", "3a", "4e", "6d", "9taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_only_a_collation_calls_equal_are_never_merged() {
    let shape = "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY, a INT)";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "INSERT INTO t VALUES ('A', 1), ('b', 2), ('c', 3)").await;
    sides.run("two", "INSERT INTO t VALUES ('a', 10), ('b ', 20), ('c', 30)").await;
    let key = |text: &str| row_key("t", Value::text(text));
    // Alone, the new spelling is in the way of the old one and nothing is written over.
    let outcomes = sides.bring(&[key("a"), key("b "), key("c")]).await;
    assert!(matches!(&outcomes[0], Outcome::Blocked { reason } if reason.contains("PRIMARY")), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Blocked { .. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Applied);
    assert_eq!(sides.texts("SELECT CONCAT(id, ':', a) FROM t ORDER BY id").await, ["A:1", "b:2", "c:30"]);
    // With the delete of the old spelling beside it, both go through.
    let outcomes = sides.bring(&[key("a"), key("A"), key("b "), key("b")]).await;
    assert_eq!(outcomes, vec![Outcome::Applied; 4]);
    assert_eq!(sides.texts("SELECT CONCAT(id, ':', a) FROM t ORDER BY id").await, ["a:10", "b :20", "c:30"]);
    assert_eq!(scanned(&sides.primary).await, scanned(&sides.dr).await);
}

const FAMILY: &str = "CREATE TABLE parent (id INT PRIMARY KEY, a VARCHAR(9), code INT UNIQUE);
 CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
 CREATE TABLE heir (id INT PRIMARY KEY, p INT, CONSTRAINT heir_of FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);
 CREATE TABLE shadow (id INT PRIMARY KEY, c INT, CONSTRAINT shadow_of FOREIGN KEY (c) REFERENCES parent (code) ON UPDATE CASCADE);\n";

#[tokio::test(flavor = "multi_thread")]
async fn references_hold_and_nothing_follows() {
    let Some(sides) = Sides::new(FAMILY).await else { return };
    sides
        .run(
            "one",
            "INSERT INTO parent (id, code) VALUES (1, 1), (2, 2), (3, 3), (4, 4);\n INSERT INTO child VALUES (10, 1);\n
             INSERT INTO heir VALUES (20, 2);\n INSERT INTO shadow VALUES (30, 4);\n",
        )
        .await;
    sides
        .run("two", "INSERT INTO parent (id, code) VALUES (7, 7), (4, 44);\n INSERT INTO child VALUES (11, 7);\n")
        .await;
    // Children come before their parents here, which is the wrong order both for inserts and for deletes.
    let keys = [
        number_key("child", 11),
        number_key("parent", 1),
        number_key("parent", 2),
        number_key("parent", 3),
        number_key("parent", 4),
        number_key("parent", 7),
        number_key("child", 10),
    ];
    let outcomes = sides.bring(&keys).await;
    let (blocked, rest): (Vec<_>, Vec<_>) = outcomes.iter().enumerate().partition(|(_, o)| **o != Outcome::Applied);
    assert_eq!(rest.len(), 5, "{outcomes:?}");
    let [(2, Outcome::Blocked { reason: heir }), (4, Outcome::Blocked { reason: shadow })] = blocked[..] else {
        panic!("{blocked:?}")
    };
    assert!(heir.contains("heir_of") && shadow.contains("shadow_of"), "{blocked:?}");
    assert_eq!(sides.texts("SELECT CONCAT(id, ':', code) FROM parent ORDER BY id").await, ["2:2", "4:4", "7:7"]);
    assert_eq!(sides.texts("SELECT CONCAT(id, p) FROM child").await, ["117"]);
    assert_eq!(sides.texts("SELECT CONCAT(id, p) FROM heir").await, ["202"]);
    assert_eq!(sides.texts("SELECT CONCAT(id, c) FROM shadow").await, ["304"]);
    assert_eq!(sides.primary.check_constraints().await.expect("findings"), []);
}

const CYCLE: &str = "CREATE TABLE team (id INT PRIMARY KEY, lead INT NOT NULL);
 CREATE TABLE person (id INT PRIMARY KEY, team INT NOT NULL, boss INT NOT NULL, CONSTRAINT in_team FOREIGN KEY (team) REFERENCES team (id),
  CONSTRAINT under FOREIGN KEY (boss) REFERENCES person (id));
 ALTER TABLE team ADD CONSTRAINT led_by FOREIGN KEY (lead) REFERENCES person (id);\n";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_each_other_go_together_or_not_at_all() {
    let Some(sides) = Sides::new(CYCLE).await else { return };
    let plant = "SET foreign_key_checks = 0;\n INSERT INTO team VALUES (1, 1);\n INSERT INTO person VALUES (1, 1, 2), (2, 1, 1);\n";
    sides.run("two", plant).await;
    sides.run("one", plant.replace("(1, 1)", "(9, 9)").replace("(1, 1, 2), (2, 1, 1)", "(9, 9, 9)").as_str()).await;
    let (team, person) = (|id| number_key("team", id), |id| number_key("person", id));
    // One is missing: the server would never look at it again, so nothing is committed.
    let outcomes = sides.bring(&[team(1), person(1), team(9)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Blocked { .. })), "{outcomes:?}");
    assert_eq!(sides.texts("SELECT CONCAT(id, lead) FROM team").await, ["99"]);
    let outcomes = sides.bring(&[team(1), person(1), person(2), team(9), person(9)]).await;
    assert_eq!(outcomes, vec![Outcome::Applied; 5]);
    assert_eq!(scanned(&sides.primary).await, scanned(&sides.dr).await);
    assert_eq!(sides.primary.check_constraints().await.expect("findings"), []);
    // What another session breaks with its checks off is found.
    sides.run("one", "SET foreign_key_checks = 0;\n DELETE FROM team;\n").await;
    let findings = sides.primary.check_constraints().await.expect("findings");
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].what.as_str(), findings[0].level),
        ("2 rows of person have no parent by in_team", Level::Blocker)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_over() {
    let Some(sides) = Sides::new(TYPES).await else { return };
    sides.run("two", ROWS).await;
    let there = scanned(&sides.dr).await;
    let keys: Vec<Key> = there.keys().filter(|key| table_of(key) != "loose").cloned().collect();
    assert_eq!(keys.len(), 6);
    assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 6]);
    let is_keyed = |key: &Key| table_of(key) != "loose";
    let keyed = async || scanned(&sides.primary).await.into_iter().filter(|(key, _)| is_keyed(key)).collect();
    let wanted: std::collections::BTreeMap<_, _> =
        there.iter().filter(|(key, _)| is_keyed(key)).map(|(key, digest)| (key.clone(), *digest)).collect();
    assert_eq!(wanted, keyed().await);
    // What differs in one column is brought over as well, whatever its type, and by an update each.
    for change in [
        "n = n + 1",
        "f = 7",
        "d = 0.30000000000000004",
        "bi = b'1'",
        "bits = 1",
        "y = 1999",
        "dt = NOW(3)",
        "da = '2026-01-02'",
        "ts = ts + INTERVAL 1 SECOND",
        "tm = '10:00:00.25'",
        "e = 'a'",
        "s = 'r'",
        "c = 'x'",
        "l = x'41'",
        "u2 = x'0041'",
        "m3 = 'q'",
        "bl = x'FF'",
        "bn = x'00000001'",
        "j = '{}'",
        "u = UUID()",
        "i = '::2'",
        "geo = POINT(3, 4)",
        "z = 1",
        "ti = 5",
    ] {
        sides.run("one", &format!("UPDATE every SET {change} WHERE k = 'Aé'")).await;
        let outcomes = sides.bring(&keys).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(),
            1,
            "{change}: {outcomes:?}"
        );
        assert_eq!(wanted, keyed().await, "{change}");
        // What differs in the same column of many rows goes together.
        sides.run("one", &format!("UPDATE every SET {change}")).await;
        let outcomes = sides.bring(&keys).await;
        let is_there = |outcome: &&Outcome| matches!(outcome, Outcome::Applied | Outcome::AlreadyApplied);
        assert_eq!(outcomes.iter().filter(is_there).count(), keys.len(), "{change}: {outcomes:?}");
        assert_eq!(wanted, keyed().await, "{change}");
    }
    // And away again, each guarded by all that was there.
    sides.run("two", "DELETE FROM every;\n DELETE FROM `Od``d`;\n").await;
    assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 6]);
    assert!(keyed().await.is_empty());
}

/// Rows that choose their values by their keys in one statement, more than go into one, with a column that sets itself.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_in_the_same_columns_go_together() {
    let shape = "CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_general_ci, n INT, a VARCHAR(300), u BIGINT UNSIGNED, d DECIMAL(30, 10),
      at DATETIME(3), raw VARBINARY(20), touched TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
      PRIMARY KEY (k, n))";
    let Some(sides) = Sides::new(shape).await else { return };
    let fill = "INSERT INTO t SELECT CONCAT('ké', seq), seq % 3, CONCAT('a', seq), seq, seq / 7, '2026-01-01', x'00', '2026-01-01'
      FROM seq_1_to_700";
    for name in ["one", "two"] {
        sides.run(name, fill).await;
    }
    sides
        .run(
            "two",
            "UPDATE t SET a = IF(n = 0, NULL, CONCAT('Ünïcode 🌍 ''\\ ', k)), u = 18446744073709551615 - u, d = -d,
              at = IF(n = 1, NULL, '9999-12-31 23:59:59.999'), raw = IF(n = 2, x'', CONCAT(x'FF00', CAST(k AS BINARY))), touched = '2026-02-02 02:02:02.5'",
        )
        .await;
    let keys: Vec<Key> = scanned(&sides.dr).await.into_keys().collect();
    let wishes = sides.wishes(&keys).await;
    // One of them changes behind our back: the others go through all the same.
    sides.run("one", "UPDATE t SET a = UPPER(a) WHERE k = 'ké350'").await;
    let outcomes = apply(&sides.primary, &sides.dr, &wishes).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused { found: Some(_), .. })).count();
    let applied = outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count();
    assert_eq!((refused, applied), (1, 699));
    assert_eq!(sides.texts("SELECT a FROM t WHERE k = 'ké350'").await, ["A350"]);
    assert_eq!(sides.bring(&keys).await.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 1);
    assert_eq!(scanned(&sides.primary).await, scanned(&sides.dr).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_set_themselves_are_written_as_they_are() {
    let shape =
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT, twice INT GENERATED ALWAYS AS (n * 2) STORED,
      touched TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6));
      CREATE TABLE old (id INT PRIMARY KEY, a INT) ENGINE = MyISAM;\n";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "INSERT INTO t (id, n, touched) VALUES (1, 1, '2026-01-01'), (2, 2, '2026-01-01');\n INSERT INTO old VALUES (1, 1);\n").await;
    let two = "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n INSERT INTO t (id, n, touched) VALUES (0, 9, '2026-01-02'), (1, 5, '2026-01-01');\n
      INSERT INTO old VALUES (1, 2);\n";
    sides.run("two", two).await;
    let keys = [0, 1, 2].map(|id| number_key("t", id));
    assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 3]);
    assert_eq!(sides.bring(&keys).await, vec![Outcome::AlreadyApplied; 3]);
    let rows = sides.texts("SELECT CONCAT(id, ',', n, ',', twice, ',', DATE(touched)) FROM t ORDER BY id").await;
    assert_eq!(rows, ["0,9,18,2026-01-02", "1,5,10,2026-01-01"]);
    let outcomes = sides.bring(&[number_key("old", 1)]).await;
    assert!(matches!(&outcomes[0], Outcome::Refused { reason, .. } if reason.contains("MyISAM")), "{outcomes:?}");
    assert_eq!(sides.texts("SELECT CONCAT(id, a) FROM old").await, ["11"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_trigger_changes_is_not_called_applied() {
    let shape = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_bin);\n CREATE TABLE calm (id INT PRIMARY KEY, a VARCHAR(9));\n";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW SET NEW.a = UPPER(NEW.a)").await;
    sides.run("two", "INSERT INTO t VALUES (1, 'a');\n INSERT INTO calm VALUES (1, 'a');\n").await;
    let outcomes = sides.bring(&[number_key("t", 1), number_key("calm", 1)]).await;
    assert!(matches!(&outcomes[0], Outcome::Refused { reason, .. } if reason.contains("by a trigger")), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Applied);
    assert!(sides.texts("SELECT a FROM t").await.is_empty());
    assert!(
        sides
            .primary
            .check()
            .await
            .iter()
            .any(|finding| finding.what.contains("trigger shout of t fires before insert"))
    );
    let error = sides.dr.apply(&[]).await.expect_err("dr is never written");
    assert_eq!(error.kind, ErrorKind::Unfit);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_raised_past_both_sides_and_never_lowered() {
    let shape = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY);\n CREATE TABLE u (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY);\n";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "ALTER TABLE t AUTO_INCREMENT = 51;\n ALTER TABLE u AUTO_INCREMENT = 3;\n").await;
    sides.run("two", "ALTER TABLE t AUTO_INCREMENT = 41;\n ALTER TABLE u AUTO_INCREMENT = 4294967297;\n").await;
    let counters = sides.dr.counters().await.expect("counters");
    let raised = sides.primary.raise_counters(&counters).await.expect("raised");
    assert_eq!(raised, [Counter { name: "u.id".into(), value: Some(4_294_967_296), increment: 1 }]);
    sides.run("one", "INSERT INTO t VALUES ();\n INSERT INTO u VALUES ();\n").await;
    assert_eq!(sides.texts("SELECT CONCAT((SELECT id FROM t), ' ', (SELECT id FROM u))").await, ["51 4294967297"]);
    let counter = |name: &str| Counter { name: name.into(), value: Some(99), increment: 1 };
    let error = sides.primary.raise_counters(&[counter("t.id"), counter("none.id")]).await.expect_err("an error");
    assert!(error.to_string().contains("none.id"), "{error:?}");
    assert_eq!(sides.primary.raise_counters(&[counter("t.id")]).await.expect("raised").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_lacks_is_told_with_the_grant_to_type() {
    let shape = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT)";
    let Some(sides) = Sides::new(shape).await else { return };
    sides.run("one", "CREATE USER clerk;\n GRANT SELECT, INSERT ON one.t TO clerk;\n").await;
    let profile = database(sides.server.port, "clerk", "one");
    let connect = async || {
        let id = StoreId("ledger".into());
        MysqlStore::connect(id, Side::Primary, &reached(), &profile, &["*".to_owned()]).await.expect("it connects")
    };
    let findings = connect().await.check().await;
    let hints: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.level == Level::Blocker)
        .filter_map(|finding| finding.hint.as_deref())
        .collect();
    assert_eq!(
        hints,
        ["GRANT UPDATE, DELETE, ALTER ON `one`.`t` TO 'clerk'@'%';", "GRANT LOCK TABLES ON `one`.* TO 'clerk'@'%';"],
        "{findings:?}"
    );
    // Having typed what it says, there is nothing left but what is good to know.
    let hints: Vec<String> = findings.iter().filter_map(|finding| finding.hint.clone()).collect();
    sides.run("one", &hints.join("\n")).await;
    let findings = connect().await.check().await;
    assert!(findings.iter().all(|finding| finding.level == Level::Note), "{findings:?}");
    sides.run("one", "SET GLOBAL read_only = ON").await;
    let findings = connect().await.check().await;
    assert!(
        findings.iter().any(|finding| finding.level == Level::Blocker && finding.what.contains("read_only")),
        "{findings:?}"
    );
    sides.run("one", "INSERT INTO two.t VALUES (1, 1)").await;
    let wishes = sides.wishes(&[number_key("t", 1)]).await;
    let write = GuardedWrite {
        key: &wishes[0].key,
        expected: Expected::Absent,
        wanted: Wanted::Present { item: wishes[0].wanted.as_ref().expect("a row"), body: &sides.dr },
    };
    let error = connect().await.apply(&[write]).await.expect_err("the server takes no writes");
    assert_eq!(error.kind, ErrorKind::Unfit, "{error:?}");
}
