//! MariaDB, which stands for MySQL too.

use failback::digest::{item_digest, key_of};
use failback::model::{Item, Key, Side, StoreId, Value};
use failback::profile::DigestProfile;
use failback::store::mysql::MysqlStore;
use failback::store::{
    Depth, ErrorKind, Expected, GuardedWrite, Level, Outcome, ReadStore, RowStore, StoreError, Wanted, WriteStore,
};
use futures_util::StreamExt;
use mysql_async::prelude::Queryable;

use super::{Pair, Story, comes_home, mappings, refuses_another_mapping};
use crate::mysql::{client, database, scanned, sql};
use crate::peers::{self, Server};
use crate::postgres::reached;

const MODEL: &str = "CREATE TABLE orders (id INT PRIMARY KEY, amount DECIMAL(10, 2) NOT NULL, channel VARCHAR(20) NOT NULL DEFAULT 'web',
  price DECIMAL(10, 2), full_name VARCHAR(40), placed DATETIME(3), search VARCHAR(20) DEFAULT 'none',
  seen TIMESTAMP NULL DEFAULT '2026-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP);
 CREATE TABLE items (sku VARCHAR(20) PRIMARY KEY, qty SMALLINT UNIQUE, twice INT GENERATED ALWAYS AS (qty * 2) STORED);
 CREATE TABLE loose (a INT, b TEXT);
 INSERT INTO loose VALUES (1, 'x'), (1, 'x'), (NULL, '');
 INSERT INTO orders (id, amount, price, full_name, placed, search)
  SELECT seq, seq, seq * 1.5, CONCAT('First', seq, ' Last'), '2026-01-02', CONCAT('s', seq) FROM seq_1_to_6;
 INSERT INTO items (sku, qty) VALUES ('a', 1), ('b', 2), ('c', 3);\n";

/// The same after a release.
const RELEASED: &str =
    "CREATE TABLE orders (id INT PRIMARY KEY, total_amount DECIMAL(10, 2) NOT NULL, price_cents BIGINT,
  first_name VARCHAR(20), last_name VARCHAR(20), placed_on DATE, loyalty INT);
 CREATE TABLE items (code VARCHAR(20) PRIMARY KEY, qty SMALLINT UNIQUE);
 CREATE TABLE loose (a INT, words TEXT);
 INSERT INTO loose VALUES (NULL, ''), (1, 'x'), (1, 'x');
 INSERT INTO orders SELECT seq, seq, seq * 150, CONCAT('First', seq), 'Last', '2026-01-02', seq FROM seq_1_to_6;
 INSERT INTO items VALUES ('a', 1), ('b', 2), ('c', 3);\n";

const MAPPING: &str = r#"
[[store.mapping]]
table = "orders"
rename = { amount = "total_amount" }
default = { channel = "'web'" }
transform = { price = "price_cents / 100", full_name = "CONCAT(t.first_name, ' ', last_name) -- both", placed = "placed_on" }
ignore = ["search", "seen", "loyalty"]
[[store.mapping]]
table = "items"
rename = { sku = "code" }
ignore = ["twice"]
[[store.mapping]]
table = "loose"
rename = { b = "words" }
"#;

/// What happened on the primary after Tb, and on dr.
const STRUCK: [&str; 2] = [
    "SET time_zone = '+00:00';\n UPDATE orders SET price = 99, seen = seen WHERE id = 5;\n
     UPDATE orders SET full_name = 'Home', seen = seen WHERE id = 6;\n UPDATE orders SET search = 'z', seen = seen WHERE id = 1;\n
     INSERT INTO orders (id, amount) VALUES (8, 8);\n",
    "UPDATE orders SET total_amount = 20, loyalty = 7 WHERE id = 2;\n DELETE FROM orders WHERE id = 3;\n
     UPDATE orders SET last_name = 'Dr' WHERE id = 6;\n INSERT INTO orders VALUES (9, 9, 9, 'Nine', 'Dr', NULL, 1);\n
     UPDATE orders SET loyalty = 5 WHERE id = 4;\n
     UPDATE items SET qty = 20 WHERE code = 'b';\n DELETE FROM items WHERE code = 'c';\n INSERT INTO items VALUES ('d', 4);\n",
];

const STORY: Story<'static> = Story {
    mapping: MAPPING,
    verdicts: &[
        ("orders id 2", "dr_only update"),
        ("orders id 3", "dr_only delete"),
        ("orders id 5", "stranded update"),
        ("orders id 6", "conflict update"),
        ("orders id 8", "stranded delete"),
        ("orders id 9", "dr_only insert"),
        ("items sku b", "dr_only update"),
        ("items sku c", "dr_only delete"),
        ("items sku d", "dr_only insert"),
    ],
    wanted: &[
        "1|1.00|web|1.50|First1 Last|2026-01-02 00:00:00.000|z|2026-01-01 00:00:00",
        "2|20.00|web|3.00|First2 Last|2026-01-02 00:00:00.000|s2|2026-01-01 00:00:00",
        "3|3.00|web|4.50|First3 Last|2026-01-02 00:00:00.000|s3|2026-01-01 00:00:00",
        "4|4.00|web|6.00|First4 Last|2026-01-02 00:00:00.000|s4|2026-01-01 00:00:00",
        "5|5.00|web|99.00|First5 Last|2026-01-02 00:00:00.000|s5|2026-01-01 00:00:00",
        "6|6.00|web|9.00|First6 Dr|2026-01-02 00:00:00.000|s6|2026-01-01 00:00:00",
        "8|8.00|web|-|-|-|none|2026-01-01 00:00:00",
        "9|9.00|web|0.09|Nine Dr|-|none|2026-01-01 00:00:00",
        "a|1|2",
        "b|20|40",
        "d|4|8",
    ],
};

/// One server with the primary, the base and dr.
struct Shop(Server);

impl Shop {
    async fn open() -> Option<Shop> {
        let server = peers::mariadb()?;
        sql(&server, "", "CREATE DATABASE home;\n CREATE DATABASE base;\n CREATE DATABASE away;\n").await;
        let zone = "SET time_zone = '+00:00';\n";
        sql(&server, "home", &format!("{zone}{MODEL}")).await;
        sql(&server, "base", &format!("{zone}{MODEL}")).await;
        sql(&server, "away", RELEASED).await;
        Some(Shop(server))
    }

    async fn run(&self, side: Side, statements: &str) {
        sql(&self.0, if side == Side::Primary { "home" } else { "away" }, statements).await;
    }

    fn pair(&self) -> Pair {
        let url = |name: &str| format!("mysql://root@127.0.0.1:{}/{name}", self.0.port);
        Pair { kind: "mysql", tables: "*", urls: [url("home"), url("away")], base: "base".into() }
    }

    async fn rows(&self) -> Vec<String> {
        let mut conn = client(self.0.port, "home").await;
        conn.query_drop("SET time_zone = '+00:00'").await.expect("set");
        let query = "SELECT whole FROM (SELECT 1 AS at, CONCAT_WS('|', id, amount, channel, IFNULL(price, '-'), IFNULL(full_name, '-'),
          IFNULL(placed, '-'), IFNULL(search, '-'), seen) AS whole FROM orders
          UNION ALL SELECT 2, CONCAT_WS('|', sku, qty, twice) FROM items) AS d ORDER BY at, whole";
        conn.query(query).await.expect("rows")
    }

    /// Both sides, seen by a mapping.
    async fn stores(&self, mapping: &str, digest: DigestProfile) -> Result<[MysqlStore; 2], StoreError> {
        let (mappings, tables) = (mappings("mysql", mapping), ["*".to_owned()]);
        let connect = async |side: Side, name: &str, model: Option<&MysqlStore>| {
            let profile = database(self.0.port, "root", name);
            let store = MysqlStore::connect(StoreId("books".into()), side, &reached(), &profile, &tables).await?;
            Ok::<_, StoreError>(store.mapped_by(&mappings, model).await?.hashed_by(digest))
        };
        let home = connect(Side::Primary, "home", None).await?;
        let away = connect(Side::Dr, "away", Some(&home)).await?;
        Ok([home, away])
    }
}

fn key(table: &str, column: &str, value: Value) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([(column, value)])]))
}

fn order(id: i64) -> Key {
    key("orders", "id", Value::Number(id.into()))
}

fn item(sku: &str) -> Key {
    key("items", "sku", Value::text(sku))
}

async fn fetched(store: &MysqlStore, key: &Key) -> Option<Item> {
    store.fetch(std::slice::from_ref(key), Depth::Content).await.expect("a fetch").pop().flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_comes_home_though_its_model_moved_on() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(Side::Primary, STRUCK[0]).await;
    shop.run(Side::Dr, STRUCK[1]).await;
    comes_home(&shop.pair(), &STORY, async || shop.rows().await).await;
    let other = MAPPING.replace("'web'", "'shop'");
    refuses_another_mapping(&shop.pair(), MAPPING, &other);
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_read_by_a_mapping_alike_by_scan_and_by_key() {
    let Some(shop) = Shop::open().await else { return };
    for digest in [DigestProfile::Stream, DigestProfile::Server] {
        let [home, away] = shop.stores(MAPPING, digest).await.expect("stores");
        let whole = scanned(&home).await;
        assert_eq!(scanned(&away).await, whole);
        assert_eq!(whole.len(), 6 + 3 + 2);
        let keys: Vec<Key> = whole.keys().cloned().collect();
        for item in away.fetch(&keys, Depth::Content).await.expect("items") {
            let item = item.expect("the row is there");
            assert!(item.is_proved_by(&whole[&item.key]), "{:?}", item.contents);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_mariadb_only_warns_of_ends_the_reading() {
    let Some(shop) = Shop::open().await else { return };
    for (statement, expression, code) in [
        ("UPDATE orders SET first_name = 'much' WHERE id = 2;\n", "IF(first_name = 'much', first_name, 1)", 1292),
        ("UPDATE orders SET price_cents = 99999999999999 WHERE id = 2;\n", "price_cents / 100", 1264),
    ] {
        shop.run(Side::Dr, statement).await;
        let mapping = MAPPING.replace("\"price_cents / 100\"", &format!("\"{expression}\""));
        let mapping = mapping.replace("\"loyalty\"", "\"loyalty\", \"price_cents\"");
        for digest in [DigestProfile::Stream, DigestProfile::Server] {
            let [_, away] = shop.stores(&mapping, digest).await.expect("stores");
            let scan = away.begin_scan(1).await.expect("a scan");
            let read: Vec<_> = scan.leaves(0).collect().await;
            let error = read.into_iter().find_map(Result::err).expect("an error");
            let told = format!(
                "orders by store.books.mapping[1]: a value is not of its column's type (the server warned with error {code})"
            );
            assert_eq!((error.to_string(), error.kind), (told.clone(), ErrorKind::Unreadable));
            let error = away.fetch(&[order(2)], Depth::Content).await.expect_err("an error");
            assert_eq!(error.to_string(), told);
            assert!(fetched(&away, &order(3)).await.is_some());
        }
        shop.pair().told("diff", &mapping).exits(4).says("a value is not of its column's type");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_mariadb_computes_must_differ() {
    let Some(shop) = Shop::open().await else { return };
    let computed = MAPPING.replace("rename = { sku = \"code\" }", "transform = { sku = \"CONCAT(code, '')\" }");
    let [_, away] = shop.stores(&computed, DigestProfile::Stream).await.expect("stores");
    assert!(fetched(&away, &item("a")).await.is_some());
    assert!(away.begin_scan(1).await.is_ok());
    let cut = MAPPING.replace("rename = { sku = \"code\" }", "transform = { sku = \"LEFT(code, 1)\" }");
    shop.run(Side::Dr, "INSERT INTO items VALUES ('ax', 9);\n").await;
    let [_, away] = shop.stores(&cut, DigestProfile::Stream).await.expect("stores");
    let told = "items by store.books.mapping[2] has rows with the same key, or without one: the mapping does not tell them apart";
    let error = away.begin_scan(1).await.err().expect("an error");
    assert_eq!((error.to_string().as_str(), error.kind), (told, ErrorKind::Unfit));
    let error = away.fetch(&[item("a")], Depth::Content).await.expect_err("an error");
    assert_eq!(error.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_ignored_is_lost_on_mariadb() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(
        Side::Primary,
        "ALTER TABLE orders ADD UNIQUE (full_name);\n INSERT INTO orders (id, amount) VALUES (7, 7);\n",
    )
    .await;
    let [home, _] = shop.stores(MAPPING, DigestProfile::Stream).await.expect("stores");
    let held = "a delete would lose what the primary has in columns that the mapping ignores: search, seen";
    assert_eq!(home.holds_deletes(&order(1)).as_deref(), Some(held));
    assert_eq!(home.holds_deletes(&item("a")), None, "what is generated is not lost");
    let apply = async |writes: &[GuardedWrite<'_>]| home.apply(writes).await.expect("applied");
    for (id, is_deleted) in [(1, false), (7, true)] {
        let (key, row) = (order(id), fetched(&home, &order(id)).await.expect("a row"));
        let outcome =
            apply(&[GuardedWrite { key: &key, expected: Expected::Present(&row), wanted: Wanted::Absent }]).await;
        match &outcome[..] {
            [Outcome::Applied] if is_deleted => {}
            [Outcome::Refused { reason, .. }] if !is_deleted => assert_eq!(reason, held),
            other => panic!("{id}: {other:?}"),
        }
        assert_eq!(fetched(&home, &key).await.is_none(), is_deleted);
    }
    // Two rows that trade a unique value would have to leave for a moment, and may not.
    let (one, two) = (fetched(&home, &order(1)).await.expect("a row"), fetched(&home, &order(2)).await.expect("a row"));
    let named = |row: &Item, other: &Item| {
        let mut contents = row.contents.as_map().expect("a row").clone();
        contents.insert("full_name".into(), other.contents.get("full_name").expect("a name").clone());
        let contents = Value::Map(contents);
        Item { digest: item_digest(&contents), contents, ..row.clone() }
    };
    let wanted = [named(&one, &two), named(&two, &one)];
    let writes: Vec<GuardedWrite<'_>> = [&one, &two]
        .into_iter()
        .zip(&wanted)
        .map(|(row, item)| GuardedWrite {
            key: &row.key,
            expected: Expected::Present(row),
            wanted: Wanted::Present { item, body: &home },
        })
        .collect();
    let before = shop.rows().await;
    assert!(apply(&writes).await.iter().all(|outcome| matches!(outcome, Outcome::Blocked { .. })));
    assert_eq!(shop.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_mappings_of_mariadb_are_told_with_their_place() {
    let Some(shop) = Shop::open().await else { return };
    for (from, to, told) in [
        ("\"orders\"", "\"order\"", "mapping[1].table: primary's database has no table order that `tables` names"),
        ("{ amount =", "{ amuont =", "mapping[1].rename: the primary's table orders has no column amuont"),
        ("\"total_amount\"", "\"total\"", "mapping[1].rename: dr's table orders has no column total"),
        (
            "price_cents /",
            "price_pence /",
            "mapping[1].transform.price: dr's server says: Unknown column 'price_pence'",
        ),
        (
            "price_cents / 100",
            "SUM(price_cents)",
            "mapping[1].transform.price: dr's server says: Invalid use of group function",
        ),
        ("[\"search\", ", "[\"id\", ", "mapping[1].ignore: column id is of the primary key of orders"),
    ] {
        assert!(MAPPING.contains(from), "{from}");
        let error = shop.stores(&MAPPING.replacen(from, to, 1), DigestProfile::Stream).await.err().expect(to);
        assert!(error.to_string().contains(told), "{to}: {error}");
        assert_eq!(error.kind, ErrorKind::Unfit);
    }
    let left = MAPPING.replacen(", \"loyalty\"", "", 1);
    let told = shop.pair().told("diff", &left).exits(2);
    let told = told.says("orders.loyalty is absent on the primary and int nullable on dr").says("[[store.mapping]]");
    assert!(!told.err.contains("price_cents") && !told.err.contains("first_name"), "{}", told.err);
    shop.run(Side::Primary, "ALTER TABLE orders ADD state ENUM('a', 'b');\n").await;
    let listed = MAPPING.replacen("default = { ", "default = { state = \"'a'\", ", 1);
    let error = shop.stores(&listed, DigestProfile::Stream).await.err().expect("an error");
    assert!(error.to_string().contains("default.state: a column of type enum('a','b') cannot be computed"), "{error}");
    shop.run(Side::Primary, "ALTER TABLE orders DROP state, MODIFY search VARCHAR(20) NOT NULL;\n").await;
    let [home, _] = shop.stores(MAPPING, DigestProfile::Stream).await.expect("stores");
    let findings = home.check().await;
    let blocker = findings.iter().find(|found| found.level == Level::Blocker).expect("a blocker");
    assert!(blocker.what.starts_with("orders.search is ignored by the mapping, not null and without"), "{blocker:?}");
}
