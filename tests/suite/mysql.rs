//! MySQL against a real MariaDB server: what is read.

use std::collections::BTreeMap;

use failback::digest::{key_of, key_value};
use failback::model::{Digest, Key, Side, StoreId, Value};
use failback::profile::{DatabaseProfile, TlsMode};
use failback::store::mysql::MysqlStore;
use failback::store::{Depth, ErrorKind, ReadStore, RowStore, WHOLE, compare_shapes};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::peers::{self, Server};
use crate::postgres::{leaves, reached};

pub fn database(port: u16, user: &str, name: &str) -> DatabaseProfile {
    DatabaseProfile { url: Some(format!("mysql://{user}@127.0.0.1:{port}/{name}")), ..DatabaseProfile::default() }
}

/// A connection to a database of a server that may only just have begun to listen; an empty name is no database.
pub async fn client(port: u16, name: &str) -> Conn {
    let url = format!("mysql://root@127.0.0.1:{port}/{name}?prefer_socket=false");
    loop {
        match Conn::from_url(&url).await {
            Ok(conn) => return conn,
            Err(mysql_async::Error::Io(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs statements that are parted by semicolons at the ends of lines.
pub async fn run(conn: &mut Conn, statements: &str) -> Result<(), mysql_async::Error> {
    for statement in statements.split(";\n").map(|statement| statement.trim().trim_end_matches(';')) {
        if !statement.is_empty() {
            conn.query_drop(statement).await?;
        }
    }
    Ok(())
}

pub async fn sql(server: &Server, name: &str, statements: &str) {
    run(&mut client(server.port, name).await, statements).await.expect("the statements run");
}

pub async fn store(server: &Server, side: Side, name: &str, tables: &[&str]) -> MysqlStore {
    let tables: Vec<String> = tables.iter().map(|table| table.to_string()).collect();
    let profile = database(server.port, "root", name);
    MysqlStore::connect(StoreId("ledger".into()), side, &reached(), &profile, &tables).await.expect("it connects")
}

/// Every type, in a table with an odd key.
pub const TYPES: &str = "CREATE TABLE every (id BIGINT UNSIGNED, k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
  b VARBINARY(10), PRIMARY KEY (id, k, b), ti TINYINT(1), n DECIMAL(38, 5), f FLOAT, d DOUBLE, bi BIT(9), bits BIT(64), y YEAR,
  dt DATETIME(3), da DATE, ts TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), tm TIME(2),
  e ENUM('a', 'it''s', 'b\\\\c', 'x,y', 'é', '') CHARACTER SET latin1, s SET('p', 'q''', 'r'), c CHAR(5), l VARCHAR(300) CHARACTER SET latin1,
  u2 VARCHAR(9) CHARACTER SET ucs2, m3 TEXT CHARACTER SET utf8mb3, bl BLOB, bn BINARY(4), j JSON, u UUID, i INET6, geo POINT,
  z INT(5) ZEROFILL, g INT GENERATED ALWAYS AS (ti * 2) STORED, v VARCHAR(20) AS (UPPER(k)) VIRTUAL) ENGINE = InnoDB;
 CREATE TABLE `Od``d` (`Id \"x` DECIMAL(10, 2) PRIMARY KEY, `select` TEXT);
 CREATE TABLE loose (x INT, y TEXT, f FLOAT);
 CREATE TABLE parent (id INT AUTO_INCREMENT PRIMARY KEY, boss INT, FOREIGN KEY boss_of (boss) REFERENCES parent (id));
 CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT child_of FOREIGN KEY (p) REFERENCES parent (id));\n";

/// Rows as bytes that other character sets cannot hold, dates that there are not, and floats of many digits.
pub const ROWS: &str = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
 INSERT INTO every (id, k, b, ti, n, f, d, bi, bits, y, dt, da, ts, tm, e, s, c, l, u2, m3, bl, bn, j, u, i, geo, z) VALUES
  (18446744073709551615, 'Aé', x'00FF', 1, 123456789012345678901234567890123.12345, 0.1, 0.1, b'100000001',
   b'1111111111111111111111111111111111111111111111111111111111111111', 2155, '0000-00-00', '2026-02-31', '2026-01-01 00:00:00.000001',
   '-838:59:59', 'é', 'p,r', 'ab  ', x'80E98D20', x'263A', '€', x'00', x'01', '{\"b\" : 1,  \"a\":2}',
   '123e4567-e89b-12d3-a456-426614174000', '::1', POINT(1, 2.5), 42);
 INSERT INTO every (id, k, b, f, d, e, s, y, dt, bl) VALUES (0, 'a ', '', 16777217, -1.7976931348623157e308, '', '', 0, '2026-03-29 02:30:00', '');
 INSERT INTO every (id, k, b, f, d, da) VALUES (0, 'b', '', 3.4028235e38, 5e-324, '2026-00-00');
 INSERT INTO every (id, k, b, e) VALUES (0, 'c', '', 'nope');
 INSERT INTO `Od``d` VALUES (1.10, 'a'), (2, NULL);
 INSERT INTO loose VALUES (1, 'a', 0.1), (1, 'a', 0.1), (1, 'A', 0.1), (NULL, '', NULL);\n";

fn value(item: &failback::model::Item, column: &str) -> Value {
    item.contents.get(column).cloned().expect("a column")
}

fn typed(item: &failback::model::Item, column: &str) -> String {
    value(item, column).as_text().expect("a text").to_owned()
}

/// The key of a row of `every`.
fn every_key(id: &str, k: &str, b: &[u8]) -> Key {
    let columns = Value::map([
        ("id", Value::Number(id.parse().expect("a number"))),
        ("k", Value::text(k)),
        ("b", Value::Bytes(b.to_vec())),
    ]);
    key_of(&Value::List(vec![Value::text("every"), columns]))
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_read_alike_by_scan_and_fetch() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE ledger;\n").await;
    sql(
        &server,
        "ledger",
        &format!("{TYPES}{ROWS} INSERT INTO parent VALUES (7, 7); INSERT INTO child VALUES (1, 7);")
            .replace("; INSERT", ";\n INSERT"),
    )
    .await;
    let store = store(&server, Side::Dr, "ledger", &["*"]).await;
    let scan = store.begin_scan(8).await.expect("a scan");
    assert_eq!(scan.partitions(), 1);
    // A write after the snapshot is not seen by it.
    sql(&server, "ledger", "INSERT INTO `Od``d` VALUES (9, 'late');\n DELETE FROM child;\n").await;
    let whole = leaves(scan.as_ref()).await;
    assert_eq!(whole.len(), 4 + 2 + 3 + 1 + 1);
    assert_eq!(leaves(scan.as_ref()).await, whole, "the snapshot is read again");
    drop(scan);
    sql(&server, "ledger", "DELETE FROM `Od``d` WHERE `Id \"x` = 9;\n INSERT INTO child VALUES (1, 7);\n").await;
    let keys: Vec<Key> = whole.keys().cloned().collect();
    let items = store.fetch(&keys, Depth::Content).await.expect("items");
    for (key, item) in keys.iter().zip(items) {
        let item = item.expect("the row is there");
        assert_eq!((&item.key, &item.digest), (key, &whole[key]));
    }
    let counters = store.counters().await.expect("counters");
    let counters: Vec<_> = counters.iter().map(|counter| (counter.name.as_str(), counter.value)).collect();
    assert_eq!(counters, [("parent.id", Some(7))]);
    assert!(store.check().await.iter().any(|finding| finding.what.contains("loose has no primary key")));
    assert_eq!(store.identity().await.expect("an identity").id, store.identity().await.expect("an identity").id);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_what_is_stored_to_the_bit() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE ledger;\n").await;
    sql(&server, "ledger", &format!("{TYPES}{ROWS}")).await;
    let store = store(&server, Side::Dr, "ledger", &["every"]).await;
    let wanted = [
        every_key("18446744073709551615", "Aé", &[0, 255]),
        every_key("0", "a ", b""),
        every_key("0", "b", b""),
        every_key("0", "c", b""),
        // Equal to another by the collation only, the first by case and the second by its padding.
        every_key("18446744073709551615", "aé", &[0, 255]),
        every_key("0", "a", b""),
    ];
    let items = store.fetch(&wanted, Depth::Content).await.expect("items");
    assert_eq!(items.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, true, false, false]);
    let items: Vec<_> = items.into_iter().flatten().collect();
    let first = &items[0];
    for (column, text) in [
        ("n", "123456789012345678901234567890123.12345"),
        ("f", "0.1"),
        ("d", "0.1"),
        ("dt", "0000-00-00 00:00:00.000"),
        ("da", "2026-02-31"),
        ("ts", "2026-01-01 00:00:00.000001"),
        ("tm", "-838:59:59.00"),
        ("e", "é"),
        ("c", "ab"),
        ("l", "€é\u{8d} "),
        ("m3", "€"),
        ("j", "{\"b\" : 1,  \"a\":2}"),
        ("u", "123e4567-e89b-12d3-a456-426614174000"),
        ("i", "::1"),
        ("v", "AÉ"),
    ] {
        assert_eq!(typed(first, column), text, "{column}");
    }
    assert_eq!(value(first, "bits"), Value::Number("18446744073709551615".parse().expect("a number")));
    assert_eq!(value(first, "bi"), Value::Number(257.into()));
    assert_eq!(value(first, "s"), Value::TextSet(vec!["p".into(), "r".into()]));
    assert_eq!(value(first, "u2"), Value::Bytes(vec![0x26, 0x3a]));
    assert_eq!(value(first, "bn"), Value::Bytes(vec![1, 0, 0, 0]));
    assert_eq!(value(first, "g"), Value::Number(2.into()));
    assert_eq!([typed(&items[1], "f"), typed(&items[1], "d")], ["16777216.0", "-1.7976931348623157e308"]);
    assert_eq!([typed(&items[2], "f"), typed(&items[2], "d")], ["3.4028235e38", "5e-324"]);
    assert_eq!(typed(&items[2], "da"), "2026-00-00");
    // A label that is empty is not the value that stands for a label that was refused.
    assert_eq!(value(&items[1], "e"), Value::text(""));
    assert!(matches!(value(&items[3], "e"), Value::Typed { text, .. } if text.is_empty()));
    let shape = store.shape().await.expect("a shape");
    assert_eq!(shape.binding["every primary key"], "id, k, b");
    assert_eq!(shape.binding["every.e"], "enum('a','it''s','b\\\\c','x,y','é','') nullable");
    assert_eq!(shape.binding["every.g"], "int nullable generated");
    assert_eq!(shape.binding["every.l collation"], "latin1 latin1_swedish_ci");
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_that_differ_are_told_in_words() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    let one = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_bin, e ENUM('x', 'y'), n INT UNSIGNED, KEY (n));
      CREATE TABLE only_one (id INT PRIMARY KEY);\n";
    let two = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_general_ci, e ENUM('y', 'x'), n INT, UNIQUE (n)) ENGINE = Aria;\n";
    sql(&server, "one", one).await;
    sql(&server, "two", two).await;
    let (one, two) =
        (store(&server, Side::Primary, "one", &["*"]).await, store(&server, Side::Dr, "two", &["*"]).await);
    let (one, two) = (one.shape().await.expect("a shape"), two.shape().await.expect("a shape"));
    let findings = compare_shapes("ledger", &one, &two);
    let told = |words: &str| {
        findings.iter().find(|finding| finding.what.contains(words)).unwrap_or_else(|| panic!("{words}: {findings:?}"))
    };
    use failback::store::Level::{Blocker, Warning};
    assert_eq!(
        told("t.a collation is utf8mb4 utf8mb4_bin on the primary and utf8mb4 utf8mb4_general_ci on dr").level,
        Blocker
    );
    assert_eq!(told("t.e is enum('x','y') nullable on the primary and enum('y','x') nullable on dr").level, Blocker);
    assert_eq!(told("t.n is int unsigned nullable on the primary and int nullable on dr").level, Blocker);
    assert_eq!(told(&format!("{WHOLE}only_one is there on the primary and absent on dr")).level, Blocker);
    assert_eq!(told("t engine is InnoDB on the primary").level, Warning);
    assert_eq!(told("t unique index btree (n) is absent on the primary and there on dr").level, Warning);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_made_anew_is_another() {
    let Some(server) = peers::mariadb() else { return };
    let make = "CREATE DATABASE `a-b`;\n CREATE TABLE `a-b`.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT);\n";
    sql(&server, "", make).await;
    let identity = async || store(&server, Side::Dr, "a-b", &["*"]).await.identity().await.expect("an identity");
    let before = identity().await;
    let meanwhile = "INSERT INTO `a-b`.t VALUES (1, 1);\n ALTER TABLE `a-b`.t AUTO_INCREMENT = 500;\n CREATE TABLE `a-b`.u (id INT);\n";
    sql(&server, "", meanwhile).await;
    assert!(identity().await.is_same_resource(&before));
    sql(&server, "", &format!("DROP DATABASE `a-b`;\n {make}")).await;
    assert!(!identity().await.is_same_resource(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_connected_says_why() {
    let tables = ["*".to_owned()];
    let connect = async |profile: &DatabaseProfile| {
        let id = StoreId("ledger".into());
        MysqlStore::connect(id, Side::Dr, &reached(), profile, &tables).await.err().expect("an error")
    };
    assert_eq!(connect(&database(peers::free_port(), "root", "x")).await.kind, ErrorKind::Unreachable);
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE x;\n CREATE USER clerk IDENTIFIED BY 'right';\n").await;
    assert_eq!(connect(&database(server.port, "root", "nowhere")).await.kind, ErrorKind::Missing);
    let mut clerk = database(server.port, "clerk", "x");
    assert_eq!(connect(&clerk).await.kind, ErrorKind::Denied);
    clerk.tls = Some(TlsMode::Require);
    let error = connect(&clerk).await;
    assert_eq!(error.kind, ErrorKind::Unfit, "the server has no TLS: {error:?}");
}

/// The names of tables that keys name.
pub fn table_of(key: &Key) -> String {
    match key_value(key).expect("a key") {
        Value::List(parts) => parts[0].as_text().unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

/// What a scan gives.
pub async fn scanned(store: &dyn ReadStore) -> BTreeMap<Key, Digest> {
    let scan = store.begin_scan(1).await.expect("a scan");
    leaves(scan.as_ref()).await
}
