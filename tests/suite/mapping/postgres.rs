//! PostgreSQL of two majors.

use failback::digest::{item_digest, key_of};
use failback::model::{Item, Key, Side, StoreId, Timestamp, Value};
use failback::profile::{DatabaseProfile, DigestProfile};
use failback::store::postgres::PostgresStore;
use failback::store::{
    Changes, Depth, ErrorKind, Expected, GuardedWrite, Level, LogStart, Outcome, ReadStore, RowStore, StoreError,
    Wanted, WriteStore,
};
use futures_util::StreamExt;
use tokio_postgres::Client;

use super::{Pair, Story, comes_home, mappings, refuses_another_mapping};
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{database, leaves, reached, sql};
use crate::postgres_log::keep_log;
use crate::postgres_writes::client;

const MODEL: &str =
    "CREATE TABLE orders (id int PRIMARY KEY, amount numeric(10, 2) NOT NULL, channel text NOT NULL DEFAULT 'web',
  price numeric(10, 2), full_name text, search text DEFAULT 'none');
 CREATE TABLE items (sku text PRIMARY KEY, qty smallint UNIQUE, twice int GENERATED ALWAYS AS (qty * 2) STORED);
 CREATE TABLE loose (a int, b text); INSERT INTO loose VALUES (1, 'x'), (1, 'x'), (NULL, '');
 INSERT INTO orders (id, amount, price, full_name, search)
  SELECT n, n, n * 1.5, 'First' || n || ' Last', 's' || n FROM generate_series(1, 6) n;
 INSERT INTO items VALUES ('a', 1), ('b', 2), ('c', 3)";

/// The same after a release.
const RELEASED: &str =
    "CREATE TABLE orders (id int PRIMARY KEY, total_amount numeric(10, 2) NOT NULL, price_cents bigint,
  first_name text, last_name text, loyalty int);
 CREATE TABLE items (code text PRIMARY KEY, qty smallint UNIQUE); CREATE TABLE loose (a int, words text);
 INSERT INTO loose VALUES (NULL, ''), (1, 'x'), (1, 'x');
 INSERT INTO orders SELECT n, n, n * 150, 'First' || n, 'Last', n FROM generate_series(1, 6) n;
 INSERT INTO items VALUES ('a', 1), ('b', 2), ('c', 3)";

const MAPPING: &str = r#"
[[store.mapping]]
table = "public.orders"
rename = { amount = "total_amount" }
default = { channel = "'web'" }
transform = { price = "price_cents / 100.0", full_name = "t.first_name || ' ' || last_name -- both" }
ignore = ["search", "loyalty"]
[[store.mapping]]
table = "public.items"
rename = { sku = "code" }
ignore = ["twice"]
[[store.mapping]]
table = "public.loose"
rename = { b = "words" }
"#;

/// What happened on the primary after Tb, and on dr.
const STRUCK: [&str; 2] = [
    "UPDATE orders SET price = 99 WHERE id = 5; UPDATE orders SET full_name = 'Home' WHERE id = 6;
     UPDATE orders SET search = 'z' WHERE id = 1; INSERT INTO orders (id, amount) VALUES (8, 8)",
    "UPDATE orders SET total_amount = 20, loyalty = 7 WHERE id = 2; DELETE FROM orders WHERE id = 3;
     UPDATE orders SET last_name = 'Dr' WHERE id = 6; INSERT INTO orders VALUES (9, 9, 9, 'Nine', 'Dr', 1);
     UPDATE orders SET loyalty = 5 WHERE id = 4;
     UPDATE items SET qty = 20 WHERE code = 'b'; DELETE FROM items WHERE code = 'c'; INSERT INTO items VALUES ('d', 4)",
];

const STORY: Story<'static> = Story {
    mapping: MAPPING,
    verdicts: &[
        ("public.orders id 2", "dr_only update"),
        ("public.orders id 3", "dr_only delete"),
        ("public.orders id 5", "stranded update"),
        ("public.orders id 6", "conflict update"),
        ("public.orders id 8", "stranded delete"),
        ("public.orders id 9", "dr_only insert"),
        ("public.items sku b", "dr_only update"),
        ("public.items sku c", "dr_only delete"),
        ("public.items sku d", "dr_only insert"),
    ],
    wanted: &[
        "(1,1.00,web,1.50,\"First1 Last\",z)",
        "(2,20.00,web,3.00,\"First2 Last\",s2)",
        "(3,3.00,web,4.50,\"First3 Last\",s3)",
        "(4,4.00,web,6.00,\"First4 Last\",s4)",
        "(5,5.00,web,99.00,\"First5 Last\",s5)",
        "(6,6.00,web,9.00,\"First6 Dr\",s6)",
        "(8,8.00,web,,,none)",
        "(9,9.00,web,0.09,\"Nine Dr\",none)",
        "(a,1,2)",
        "(b,20,40)",
        "(d,4,8)",
    ],
};

/// Two servers: the primary's with a base restored aside, and dr's.
struct Shop {
    servers: [Server; 2],
    home: Client,
    away: Client,
}

impl Shop {
    async fn open() -> Option<Shop> {
        let servers = [peers::postgres(PostgresMajor::V15)?, peers::postgres(PostgresMajor::V18)?];
        sql(&servers[0], "CREATE DATABASE home").await;
        sql(&servers[0], "CREATE DATABASE base").await;
        sql(&servers[1], "CREATE DATABASE away").await;
        client(servers[0].port, "base").await.batch_execute(MODEL).await.expect("a model");
        let (home, away) = (client(servers[0].port, "home").await, client(servers[1].port, "away").await);
        home.batch_execute(MODEL).await.expect("a model");
        away.batch_execute(RELEASED).await.expect("a model");
        Some(Shop { servers, home, away })
    }

    async fn run(&self, side: Side, statements: &str) {
        let client = if side == Side::Primary { &self.home } else { &self.away };
        client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{error:?} in {statements}"));
    }

    async fn struck() -> Option<Shop> {
        let shop = Shop::open().await?;
        shop.run(Side::Primary, STRUCK[0]).await;
        shop.run(Side::Dr, STRUCK[1]).await;
        Some(shop)
    }

    fn pair(&self) -> Pair {
        let url = |side: usize, name: &str| format!("postgres://postgres@127.0.0.1:{}/{name}", self.servers[side].port);
        Pair { kind: "postgres", tables: "public.*", urls: [url(0, "home"), url(1, "away")], base: "base".into() }
    }

    async fn rows(&self) -> Vec<String> {
        let query = "SELECT whole FROM (SELECT 1 AS at, orders::text AS whole FROM orders
          UNION ALL SELECT 2, items::text FROM items) AS all_rows ORDER BY at, whole";
        self.home.query(query, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect()
    }

    /// Both sides, seen by a mapping.
    async fn stores(&self, mapping: &str, digest: DigestProfile) -> Result<[PostgresStore; 2], StoreError> {
        let (mappings, tables) = (mappings("postgres", mapping), ["public.*".to_owned()]);
        let connect = async |side: Side, port, name: &str, model: Option<&PostgresStore>| {
            let profile = DatabaseProfile { slot: (side == Side::Dr).then(|| name.into()), ..database(port, name) };
            let store = PostgresStore::connect(StoreId("books".into()), side, &reached(), &profile, &tables).await?;
            Ok::<_, StoreError>(store.mapped_by(&mappings, model).await?.hashed_by(digest))
        };
        let home = connect(Side::Primary, self.servers[0].port, "home", None).await?;
        let away = connect(Side::Dr, self.servers[1].port, "away", Some(&home)).await?;
        Ok([home, away])
    }
}

fn key(table: &str, column: &str, value: Value) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([(column, value)])]))
}

fn order(id: i64) -> Key {
    key("public.orders", "id", Value::Number(id.into()))
}

fn item(sku: &str) -> Key {
    key("public.items", "sku", Value::text(sku))
}

async fn fetched(store: &PostgresStore, key: &Key) -> Option<Item> {
    store.fetch(std::slice::from_ref(key), Depth::Content).await.expect("a fetch").pop().flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_home_though_its_model_moved_on() {
    let Some(shop) = Shop::struck().await else { return };
    comes_home(&shop.pair(), &STORY, async || shop.rows().await).await;
    let other = MAPPING.replace("'web'", "'shop'");
    refuses_another_mapping(&shop.pair(), MAPPING, &other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_table_is_read_alike_however_it_is_divided_and_by_key() {
    let Some(shop) = Shop::open().await else { return };
    let many = "INSERT INTO orders (id, amount, price, full_name) SELECT n, 1, n, repeat('x', 300) || ' y' FROM generate_series(100, 6000) n";
    let moved = "INSERT INTO orders SELECT n, 1, n * 100, repeat('x', 300), 'y' FROM generate_series(100, 6000) n";
    shop.run(Side::Primary, many).await;
    shop.run(Side::Dr, moved).await;
    for digest in [DigestProfile::Stream, DigestProfile::Server] {
        let [home, away] = shop.stores(MAPPING, digest).await.expect("stores");
        let whole = leaves(home.begin_scan(1).await.expect("a scan").as_ref()).await;
        let parts = away.begin_scan(8).await.expect("a scan");
        assert!(parts.partitions() > 2);
        assert_eq!(leaves(parts.as_ref()).await, whole);
        let keys: Vec<Key> = whole.keys().cloned().collect();
        for item in away.fetch(&keys, Depth::Content).await.expect("items") {
            let item = item.expect("the row is there");
            assert!(item.is_proved_by(&whole[&item.key]), "{:?}", item.contents);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_cast_ends_the_reading() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(Side::Dr, "ALTER TABLE items ALTER qty TYPE int; INSERT INTO items VALUES ('far', 70000)").await;
    let mapping = "[[store.mapping]]\ntable = \"public.items\"\nrename = { sku = \"code\" }\ntransform = { qty = \"qty\" }\nignore = [\"twice\"]";
    for digest in [DigestProfile::Stream, DigestProfile::Server] {
        let [_, away] = shop.stores(mapping, digest).await.expect("stores");
        let scan = away.begin_scan(1).await.expect("a scan");
        let read: Vec<_> = scan.leaves(0).collect().await;
        let error = read.into_iter().find_map(Result::err).expect("an error");
        let told = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
        assert_eq!(told, "cannot read public.items by store.books.mapping[1]: SQLSTATE 22003");
        let error = away.fetch(&[item("far")], Depth::Content).await.expect_err("an error");
        assert!(error.to_string().contains("cannot read rows of public.items by store.books.mapping[1]"), "{error}");
        assert!(fetched(&away, &item("a")).await.is_some());
    }
    let rest = MAPPING
        .split("[[store.mapping]]")
        .filter(|one| !one.contains("items"))
        .collect::<Vec<_>>()
        .join("[[store.mapping]]");
    let told = shop.pair().told("diff", &format!("{rest}{mapping}"));
    told.exits(4).says("cannot read public.items by store.books.mapping[3]");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_too_long_for_the_primary_is_never_cut() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(Side::Primary, "ALTER TABLE orders ALTER full_name TYPE varchar(11), ALTER channel TYPE char(4)").await;
    let long =
        "UPDATE orders SET first_name = 'Longer' WHERE id = 1; UPDATE orders SET first_name = 'Longest' WHERE id = 2";
    shop.run(Side::Dr, long).await;
    let [home, away] = shop.stores(MAPPING, DigestProfile::Stream).await.expect("stores");
    for (id, is_whole) in [(1, true), (2, false), (3, true)] {
        let (was, wish) =
            (fetched(&home, &order(id)).await.expect("a row"), fetched(&away, &order(id)).await.expect("a row"));
        assert_eq!(was.digest == wish.digest, id == 3, "{:?}", wish.contents);
        let wanted = Wanted::Present { item: &wish, body: &away };
        let writes = [GuardedWrite { key: &was.key, expected: Expected::Present(&was), wanted }];
        let outcomes = home.apply(&writes).await.expect("applied");
        assert_eq!(!matches!(outcomes[..], [Outcome::Refused { .. }]), is_whole, "{id}: {outcomes:?}");
        let there = fetched(&home, &order(id)).await.expect("a row");
        assert_eq!(there.digest == wish.digest, is_whole);
        assert!(is_whole || there.digest == was.digest);
    }
    let cut = MAPPING.replace("\"'web'\"", "\"'website'\"");
    let [home, away] = shop.stores(&cut, DigestProfile::Server).await.expect("stores");
    let wish = fetched(&away, &order(3)).await.expect("a row");
    assert_eq!(wish.contents.get("channel"), Some(&Value::text("website")));
    assert_ne!(fetched(&home, &order(3)).await.expect("a row").digest, wish.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_by_another_name_is_followed_and_one_that_is_computed_is_not() {
    let Some(shop) = Shop::open().await else { return };
    // What has no key is in no log.
    shop.run(Side::Primary, "DROP TABLE loose").await;
    shop.run(Side::Dr, "DROP TABLE loose").await;
    let (mapping, _) = MAPPING.split_once("[[store.mapping]]\ntable = \"public.loose\"").expect("the last");
    keep_log(&shop.away).await.expect("a log");
    let [_, away] = shop.stores(mapping, DigestProfile::Stream).await.expect("stores");
    let now = Timestamp::UNIX_EPOCH;
    let LogStart::Mark(mark) = away.log_start(now).await.expect("a start") else { panic!("a log") };
    shop.run(Side::Dr, "UPDATE items SET code = 'z' WHERE code = 'a'; UPDATE orders SET price_cents = 1 WHERE id = 1")
        .await;
    let Changes::All(set) = away.changes(&mark, now).await.expect("changes") else { panic!("changes") };
    assert_eq!(set.keys.len(), 3);
    assert!([item("a"), item("z"), order(1)].iter().all(|key| set.keys.contains_key(key)));

    let computed = mapping.replace("rename = { sku = \"code\" }", "transform = { sku = \"upper(code)\" }");
    let [_, away] = shop.stores(&computed, DigestProfile::Stream).await.expect("stores");
    let LogStart::NoLog(why) = away.log_start(now).await.expect("a start") else { panic!("no log") };
    assert_eq!(why, "table public.items has a key that the mapping computes, which no log tells");
    let findings = away.check().await;
    assert!(findings.iter().any(|found| found.what.contains("which no log tells")), "{findings:?}");
    assert!(fetched(&away, &item("Z")).await.is_some());
    shop.run(Side::Dr, "INSERT INTO items VALUES ('Z', 9)").await;
    let told = "public.items by store.books.mapping[2] has rows with the same key, or without one: the mapping does not tell them apart";
    let error = away.begin_scan(1).await.err().expect("an error");
    assert_eq!((error.to_string().as_str(), error.kind), (told, ErrorKind::Unfit));
    let error = away.fetch(&[item("Z")], Depth::Content).await.expect_err("an error");
    assert_eq!(error.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_ignored_is_lost() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(Side::Primary, "ALTER TABLE orders ADD UNIQUE (full_name); INSERT INTO orders (id, amount) VALUES (7, 7)")
        .await;
    let [home, _] = shop.stores(MAPPING, DigestProfile::Stream).await.expect("stores");
    let held = "a delete would lose what the primary has in columns that the mapping ignores: search";
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
    // Two rows trade a unique value: they stay, and keep what is ignored.
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
    assert!(apply(&writes).await.iter().all(|outcome| matches!(outcome, Outcome::Applied)));
    let rows = shop.rows().await;
    assert_eq!(rows[..2], ["(1,1.00,web,1.50,\"First2 Last\",s1)", "(2,2.00,web,3.00,\"First1 Last\",s2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_mappings_are_told_with_their_place() {
    let Some(shop) = Shop::open().await else { return };
    for (from, to, told) in [
        (
            "public.orders",
            "public.order",
            "mapping[1].table: primary's database has no table public.order that `tables` names",
        ),
        ("{ amount =", "{ amuont =", "mapping[1].rename: the primary's table public.orders has no column amuont"),
        ("\"total_amount\"", "\"total\"", "mapping[1].rename: dr's table public.orders has no column total"),
        ("\"loyalty\"", "\"royalty\"", "mapping[1].ignore: neither side's table public.orders has a column royalty"),
        (
            "price_cents",
            "price_pence",
            "mapping[1].transform.price: dr's server says: column \"price_pence\" does not exist",
        ),
        ("'web'", "web", "mapping[1].default.channel: dr's server says: column \"web\" does not exist"),
        (
            "price_cents / 100.0",
            "sum(price_cents)",
            "mapping[1].transform.price: dr's server says: aggregate functions are not allowed",
        ),
        (
            "price_cents / 100.0",
            "generate_series(1, 2)",
            "mapping[1].transform.price: dr's server says: set-returning functions",
        ),
        ("price_cents / 100.0", "'much'", "mapping[1].transform.price: dr's server says: invalid input syntax"),
        ("[\"search\", ", "[\"id\", ", "mapping[1].ignore: column id is of the primary key of public.orders"),
    ] {
        assert!(MAPPING.contains(from), "{from}");
        let error = shop.stores(&MAPPING.replacen(from, to, 1), DigestProfile::Stream).await.err().expect(to);
        assert!(error.to_string().contains(told), "{to}: {error}");
        assert_eq!(error.kind, ErrorKind::Unfit);
    }
    let wrong = MAPPING.replacen("price_cents", "price_pence", 1);
    shop.pair()
        .told("check", &wrong)
        .prints("store.books.mapping[1].transform.price: dr's server says: column \"price_pence\"");
    shop.pair().told("diff", &wrong).says("column \"price_pence\" does not exist");
    // What is neither named nor used blocks, and the advice is told.
    let left = MAPPING.replacen(", \"loyalty\"", "", 1);
    let told = shop.pair().told("diff", &left).exits(2);
    let told = told
        .says("public.orders.loyalty is absent on the primary and integer nullable on dr")
        .says("[[store.mapping]]");
    assert!(!told.err.contains("price_cents") && !told.err.contains("first_name"), "{}", told.err);
    shop.pair()
        .told("diff", "")
        .exits(2)
        .says("public.orders.amount is numeric(10,2) not null on the primary and absent on dr");
    shop.run(Side::Dr, "ALTER TABLE orders ALTER total_amount TYPE numeric(12, 3)").await;
    let told = shop.pair().told("diff", MAPPING).exits(2);
    told.says("public.orders.amount is numeric(10,2) not null on the primary and numeric(12,3) not null on dr");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_column_that_an_insert_must_name_is_a_blocker() {
    let Some(shop) = Shop::open().await else { return };
    shop.run(Side::Primary, "ALTER TABLE orders ALTER search DROP DEFAULT, ALTER search SET NOT NULL").await;
    let [home, _] = shop.stores(MAPPING, DigestProfile::Stream).await.expect("stores");
    let findings = home.check().await;
    let blocker = findings.iter().find(|found| found.level == Level::Blocker).expect("a blocker");
    assert_eq!(
        blocker.what,
        "public.orders.search is ignored by the mapping, not null and without a default: no row could be inserted"
    );
}
