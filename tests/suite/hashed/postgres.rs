//! PostgreSQL of two majors.

use failback::digest::key_value;
use failback::model::{Side, StoreId, Value};
use failback::profile::DigestProfile;
use failback::store::postgres::PostgresStore;
use failback::store::{ReadStore, RowStore};

use super::{Pair, SERVER, STREAM, scan_and_fetch_agree};
use crate::loopback::servers::Meter;
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{TYPES, database, leaves, reached, sql};
use crate::rig::Home;

const ODD: &str = "CREATE TYPE two AS (x int, y text);
 CREATE TABLE odd (id int PRIMARY KEY, a text, b text, n numeric, f float8, r real, raw bytea, j jsonb, js json, arr text[],
  t timestamptz, i interval, c char(4), p two);
 CREATE TABLE loose (x int, y text); INSERT INTO loose VALUES (1, 'a'), (1, 'a'), (NULL, '');";

/// A column, or two, and what the primary and dr hold in it; by number.
const ROWS: &[(&str, &str, &str)] = &[
    ("a, b", "'a', 'bc'", "'ab', 'c'"),
    ("a, b", "NULL, ''", "'', NULL"),
    ("a", "'é'", "E'e\\u0301'"),
    ("f", "'NaN'", "'NaN'"),
    ("f", "'-0'", "'0'"),
    ("n", "1.0", "1.00"),
    ("n", "12345678901234567890123456789012345678", "12345678901234567890123456789012345679"),
    ("raw", "'\\x00'", "'\\x0000'"),
    ("j", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
    ("js", "'{\"a\":1}'", "'{\"a\": 1}'"),
    ("arr", "ARRAY['a', 'b']", "ARRAY['a,b']"),
    ("arr", "ARRAY[NULL]::text[]", "ARRAY['NULL']"),
    ("t", "'infinity'", "'infinity'"),
    ("t", "'294276-12-31 23:59:59.999999+00'", "'294276-12-31 23:59:59.999998+00'"),
    ("t", "'4713-01-01 00:00:00+00 BC'", "'4713-01-01 02:00:00+02 BC'"),
    ("i", "'1 mon'", "'30 days'"),
    ("c", "'ab'", "'ab  '"),
    ("a, b", "':1:', '-'", "'-', ':1:'"),
    ("f", "0.1", "0.10000000000000002"),
    ("r", "'1e-45'", "'3e-45'"),
    ("p", "ROW(NULL, NULL)::two", "NULL"),
    ("a, b", "'1:a1:b', NULL", "'1:a1:b-', NULL"),
];

/// The same on both sides.
const ALIKE: &[usize] = &[4, 13, 15, 17];

fn odd_rows(side: usize) -> String {
    let row = |(at, (columns, primary, dr)): (usize, &(&str, &str, &str))| {
        format!("INSERT INTO odd (id, {columns}) VALUES ({}, {});\n", at + 1, [primary, dr][side])
    };
    ROWS.iter().enumerate().map(row).collect()
}

fn pair(ports: [u16; 2]) -> Pair {
    let urls = ports.map(|port| format!("postgres://postgres@127.0.0.1:{port}/postgres"));
    Pair { kind: "postgres", tables: "public.*", urls }
}

async fn store(server: &Server, side: Side, digest: DigestProfile) -> PostgresStore {
    let (profile, tables) = (database(server.port, "postgres"), ["public.*".to_owned()]);
    let store = PostgresStore::connect(StoreId("books".into()), side, &reached(), &profile, &tables).await;
    store.expect("it connects").hashed_by(digest)
}

fn majors() -> Option<[Server; 2]> {
    Some([peers::postgres(PostgresMajor::V15)?, peers::postgres(PostgresMajor::V18)?])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_majors_hash_every_type_alike() {
    let Some(servers) = majors() else { return };
    let mut all = Vec::new();
    for server in &servers {
        let wide: Vec<String> = (1..=250).map(|at| format!("c{at} int DEFAULT {at}")).collect();
        let wide = format!("CREATE TABLE wide (id int PRIMARY KEY, {}); INSERT INTO wide VALUES (1);", wide.join(", "));
        sql(server, &format!("{TYPES} {wide} INSERT INTO many VALUES (-7, 'far'); DELETE FROM many WHERE id = 5;"))
            .await;
        let store = store(server, Side::Dr, DigestProfile::Server).await;
        assert_eq!(store.leaves_from(), Some("server"));
        let has_key = |key: &failback::model::Key| !matches!(key_value(key), Ok(Value::List(parts)) if parts[0] == Value::text("public.loose"));
        scan_and_fetch_agree(&store, has_key).await;
        let (one, parts) = (store.begin_scan(1).await.expect("a scan"), store.begin_scan(8).await.expect("a scan"));
        assert!(parts.partitions() > one.partitions());
        let whole = leaves(one.as_ref()).await;
        assert_eq!(leaves(parts.as_ref()).await, whole, "however it is divided");
        assert_eq!(whole.len(), 2 + 2 + 1 + 1 + 5000 + 1 + 1);
        all.push(whole);
    }
    assert_eq!(all[0], all[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_tell_the_same_of_odd_rows() {
    let Some(servers) = majors() else { return };
    for (at, server) in servers.iter().enumerate() {
        sql(server, &format!("{ODD} {}", odd_rows(at))).await;
    }
    let pair = pair([servers[0].port, servers[1].port]);
    let (diff_of_whole_rows, streamed) = pair.verdicts(&Home::new(), STREAM);
    let (diff, hashed) = pair.verdicts(&Home::new(), SERVER);
    assert_eq!(hashed, streamed);
    // 0 and -0, 1.0 and 1.00, and the spaces of a json: bits decide, and how many mean the same is told beside.
    for diff in [&diff, &diff_of_whole_rows] {
        assert_eq!(diff.json()["stores"][0]["differ_in_spelling"], 3);
    }
    let different: Vec<usize> = (1..=ROWS.len()).filter(|at| !ALIKE.contains(at)).collect();
    let mut told: Vec<usize> = hashed.keys().map(|id| id.parse().expect("a number")).collect();
    told.sort_unstable();
    assert_eq!(told, different);
    let words = diff.json()["stores"][0]["not_checked"].to_string();
    assert!(words.contains("by hashes that the databases made"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_by_hashes_goes_from_checkpoint_to_undo() {
    let Some(servers) = majors() else { return };
    for server in &servers {
        sql(server, &format!("{ODD} {}", odd_rows(0))).await;
    }
    let rows = async |server: &Server| {
        let (client, connection) = tokio_postgres::connect(
            &format!("postgres://postgres@127.0.0.1:{}/postgres", server.port),
            tokio_postgres::NoTls,
        )
        .await
        .expect("it connects");
        tokio::spawn(connection);
        let rows = client.query("SELECT whole::text FROM odd AS whole ORDER BY id", &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let strike = async || {
        let struck =
            format!("DELETE FROM odd; {} DELETE FROM odd WHERE id = 4; INSERT INTO odd VALUES (99)", odd_rows(1));
        sql(&servers[1], &struck).await;
    };
    let alike = async || rows(&servers[0]).await == rows(&servers[1]).await;
    pair([servers[0].port, servers[1].port]).fails_back(strike, alike).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_and_hashes_cross_the_wire() {
    let Some(servers) = majors() else { return };
    let rows = 20_000;
    for server in &servers {
        let make = "CREATE TABLE t (id int PRIMARY KEY, filler text); INSERT INTO t SELECT n, repeat('x', 280) FROM";
        sql(server, &format!("{make} generate_series(1, {rows}) n")).await;
    }
    let meters = [Meter::before(servers[0].port), Meter::before(servers[1].port)];
    let pair = pair([meters[0].port, meters[1].port]);
    let mut taken = [STREAM, SERVER].map(|digest| {
        pair.verdicts(&Home::new(), digest).0.exits(0);
        meters.iter().map(Meter::taken).sum::<u64>()
    });
    let catalog = {
        sql(&servers[0], "TRUNCATE t").await;
        sql(&servers[1], "TRUNCATE t").await;
        pair.verdicts(&Home::new(), SERVER).0.exits(0);
        meters.iter().map(Meter::taken).sum::<u64>()
    };
    taken.iter_mut().for_each(|bytes| *bytes -= catalog);
    let [streamed, hashed] = taken;
    assert!(streamed > 2 * rows * 280, "{streamed}");
    assert!(hashed < 2 * rows * 36, "{hashed}");
}
