//! PostgreSQL against the real servers.

use std::collections::BTreeMap;

use failback::model::{Digest, Key, Side, StoreId, Timestamp};
use failback::profile::{DatabaseProfile, DigestProfile, SideProfile};
use failback::store::postgres::PostgresStore;
use failback::store::{Depth, ErrorKind, ReadStore, RowStore, Scan};
use futures_util::StreamExt;

use crate::peers::{self, PostgresMajor, Server};
use crate::rig::now;

pub fn reached() -> SideProfile {
    SideProfile {
        region: "us-east-1".into(),
        aws_profile: None,
        role_arn: None,
        account: None,
        endpoint_url: None,
        endpoints: Default::default(),
        credentials: None,
    }
}

pub fn database(port: u16, name: &str) -> DatabaseProfile {
    DatabaseProfile { url: Some(format!("postgres://postgres@127.0.0.1:{port}/{name}")), ..DatabaseProfile::default() }
}

pub async fn sql(server: &Server, statements: &str) {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    let (client, connection) = loop {
        match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            Ok(pair) => break pair,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    tokio::spawn(connection);
    client.batch_execute(statements).await.expect("the statements run");
}

async fn store(server: &Server, side: Side, tables: &[&str]) -> PostgresStore {
    let tables: Vec<String> = tables.iter().map(|table| table.to_string()).collect();
    let profile = database(server.port, "postgres");
    PostgresStore::connect(StoreId("ledger".into()), side, &reached(), &profile, &tables).await.expect("it connects")
}

pub async fn leaves(scan: &dyn Scan) -> BTreeMap<Key, Digest> {
    let mut all = BTreeMap::new();
    for partition in 0..scan.partitions() {
        let mut stream = scan.leaves(partition);
        while let Some(batch) = stream.next().await {
            for leaf in batch.expect("a batch") {
                assert!(all.insert(leaf.key, leaf.digest).is_none(), "a row in two partitions");
            }
        }
    }
    all
}

pub const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN code AS text;
 CREATE TABLE every (id uuid, k text, b bytea, PRIMARY KEY (id, k, b), n numeric(38, 5), f float8, i interval, t timestamptz,
  a text[], j json, jb jsonb, m mood, r int4range, p pair, c char(5), ip inet, v varchar, d code, flag bool,
  big int8, g int GENERATED ALWAYS AS (length(k)) STORED);
 INSERT INTO every VALUES
  ('00000000-0000-0000-0000-000000000001', E'tab\\t\\\\N\\n', '\\x00ff', 123456789012345678901234567890123.12345, '-0', '1 mon',
   '2026-01-01 00:00+02', ARRAY['a', NULL, ''], '{\"a\" : 1}', '{\"a\":1.0}', 'ok', '[1,5)', '(,)', 'ab', '10.0.0.1', '', 'x', true, 1),
  ('00000000-0000-0000-0000-000000000001', 'é€😀', '', NULL, 'NaN', '-1 year 2 days', 'infinity',
   '{}', NULL, NULL, 'sad', 'empty', NULL, '', '::1', NULL, NULL, NULL, -9223372036854775808);
 CREATE TABLE loose (x int, y text); INSERT INTO loose VALUES (1, 'a'), (1, 'a'), (NULL, '');
 CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent);
 CREATE TABLE many (id int PRIMARY KEY, filler text);
 INSERT INTO many SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n;
 CREATE TABLE split (id int PRIMARY KEY) PARTITION BY RANGE (id);
 CREATE TABLE split1 PARTITION OF split FOR VALUES FROM (0) TO (10);
 INSERT INTO split VALUES (1); CREATE SEQUENCE fresh; CREATE SEQUENCE used; SELECT nextval('used'), nextval('used');
 CREATE SEQUENCE placed; SELECT setval('placed', 100, false); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);";

async fn reads_everything(major: PostgresMajor) {
    let Some(server) = peers::postgres(major) else { return };
    sql(&server, TYPES).await;
    let store = store(&server, Side::Dr, &["public.*"]).await;
    let one = store.begin_scan(1).await.expect("a scan");
    assert_eq!(one.partitions(), 1);
    let whole = leaves(one.as_ref()).await;
    assert_eq!(whole.len(), 2 + 2 + 1 + 1 + 5000 + 1);
    let parts = store.begin_scan(8).await.expect("a scan");
    assert!(parts.partitions() > 4);
    // A write after the snapshot is not seen by it.
    sql(&server, "INSERT INTO many VALUES (0, 'late'); DELETE FROM loose").await;
    assert_eq!(leaves(parts.as_ref()).await, whole);
    drop(parts);
    sql(&server, "DELETE FROM many WHERE id = 0; INSERT INTO loose VALUES (1, 'a'), (NULL, ''), (1, 'a')").await;
    let keys: Vec<Key> = whole.keys().cloned().collect();
    let items = store.fetch(&keys, Depth::Content).await.expect("items");
    for (key, item) in keys.iter().zip(items) {
        let item = item.expect("the row is there");
        assert_eq!((&item.key, &item.digest), (key, &whole[key]));
    }
    let counters = store.counters().await.expect("counters");
    let counters: Vec<_> = counters.iter().map(|counter| (counter.name.as_str(), counter.value)).collect();
    assert_eq!(counters, [("public.fresh", None), ("public.placed", Some(99)), ("public.used", Some(2))]);
    let shape = store.shape().await.expect("a shape");
    assert_eq!(shape.binding["public.every primary key"], "id, k, b");
    assert_eq!(shape.binding["public.every.m"], "public.mood nullable enum('sad','ok')");
    assert!(store.check().await.iter().any(|finding| finding.what.contains("public.loose has no primary key")));
    assert_eq!(store.identity().await.expect("an identity").id, store.identity().await.expect("an identity").id);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15_is_read_alike_by_scan_parts_and_fetch() {
    reads_everything(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_is_read_alike_by_scan_parts_and_fetch() {
    reads_everything(PostgresMajor::V18).await;
}

/// When each row of a partitioned table and of another was written, by either digest.
async fn written_at(major: PostgresMajor) -> Option<Vec<Option<Timestamp>>> {
    let server = peers::postgres(major)?;
    sql(
        &server,
        "CREATE TABLE whole (id int PRIMARY KEY); INSERT INTO whole VALUES (1);
         CREATE TABLE split (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (9); INSERT INTO split VALUES (1);",
    )
    .await;
    let mut times = Vec::new();
    for digest in [DigestProfile::Stream, DigestProfile::Server] {
        let store = store(&server, Side::Dr, &["public.*"]).await.hashed_by(digest);
        let scan = store.begin_scan(1).await.expect("a scan");
        let keys: Vec<Key> = leaves(scan.as_ref()).await.into_keys().collect();
        assert_eq!(keys.len(), 2);
        let items = store.fetch(&keys, Depth::Evidence).await.expect("items");
        times.extend(items.into_iter().map(|item| item.expect("a row").modified_at));
    }
    Some(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_row_was_written_is_told_where_the_server_keeps_it() {
    let before = now();
    let Some(kept) = written_at(PostgresMajor::V18).await else { return };
    assert_eq!(kept.len(), 4);
    // By the same clock, whose time the server cuts to microseconds.
    let since = Timestamp::from_microsecond(before.as_microsecond()).expect("an instant");
    assert!(kept.iter().all(|at| at.is_some_and(|at| since <= at && at <= now())), "{kept:?} is not after {before}");
    assert_eq!(written_at(PostgresMajor::V15).await, Some(vec![None; 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_connected_says_why() {
    let id = || StoreId("ledger".into());
    let tables = ["public.*".to_owned()];
    let closed = database(peers::free_port(), "postgres");
    let error = PostgresStore::connect(id(), Side::Dr, &reached(), &closed, &tables).await.err().expect("an error");
    assert_eq!(error.kind, ErrorKind::Unreachable);
    let Some(server) = peers::postgres(PostgresMajor::V15) else { return };
    sql(&server, "SELECT 1").await;
    let missing = database(server.port, "postgres").in_database("nowhere");
    let error = PostgresStore::connect(id(), Side::Dr, &reached(), &missing, &tables).await.err().expect("an error");
    assert_eq!(error.kind, ErrorKind::Missing, "{error:?}");
}
