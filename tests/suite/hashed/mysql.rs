//! MariaDB, which stands for MySQL too.

use failback::digest::key_value;
use failback::model::{Key, Side, Value};
use failback::profile::DigestProfile;
use failback::store::RowStore;
use mysql_async::Row;
use mysql_async::prelude::Queryable;

use super::{Pair, SERVER, STREAM, scan_and_fetch_agree};
use crate::loopback::servers::Meter;
use crate::mysql::{ROWS as EVERY_ROW, TYPES, client, scanned, sql, store};
use crate::peers;
use crate::rig::Home;

const ODD: &str = "CREATE TABLE odd (id INT PRIMARY KEY, a VARCHAR(20) COLLATE utf8mb4_general_ci, b TEXT, l VARCHAR(20) CHARACTER SET latin1,
  n DECIMAL(38, 2), f FLOAT, d DOUBLE, raw VARBINARY(9), e ENUM('x', '', '1'), s SET('p', 'q'), dt DATETIME(6), j JSON, bi BIT(9), c CHAR(4));
 CREATE TABLE loose (x INT, y TEXT);
 INSERT INTO loose VALUES (1, 'a'), (1, 'a'), (NULL, '');\n";

/// A column, or two, and what the primary and dr hold in it; by number.
const ROWS: &[(&str, &str, &str)] = &[
    ("a, b", "'a', 'bc'", "'ab', 'c'"),
    ("a, b", "NULL, ''", "'', NULL"),
    ("a", "'é'", "'E\u{301}'"),
    ("a", "'A'", "'a'"),
    ("a", "'a'", "'a '"),
    ("l", "'é'", "'e'"),
    ("l", "'€'", "'€'"),
    ("d", "0.1", "0.10000000000000002"),
    ("d", "5e-324", "1e-323"),
    ("f", "0.1", "0.10000001"),
    ("f", "16777216", "16777217"),
    ("n", "123456789012345678901234567890123456.78", "123456789012345678901234567890123456.79"),
    ("raw", "x'00'", "x'0000'"),
    ("e", "''", "'1'"),
    ("s", "'p'", "'p,q'"),
    ("dt", "'0000-00-00'", "'0000-00-00'"),
    ("dt", "'9999-12-31 23:59:59.999999'", "'9999-12-31 23:59:59.999998'"),
    ("j", "'{\"a\":1}'", "'{\"a\": 1}'"),
    ("bi", "b'100000001'", "b'1'"),
    ("c", "'ab'", "'ab  '"),
    ("a, b", "':1:', '-'", "'-', ':1:'"),
    ("a, b", "'1:a1:b', NULL", "'1:a1:b-', NULL"),
];

/// The same on both sides.
const ALIKE: &[usize] = &[7, 11, 16, 20];

fn odd_rows(side: usize) -> String {
    let row = |(at, (columns, primary, dr)): (usize, &(&str, &str, &str))| {
        format!("INSERT INTO odd (id, {columns}) VALUES ({}, {});\n", at + 1, [primary, dr][side])
    };
    let mode = "SET sql_mode = 'ALLOW_INVALID_DATES';\n".to_owned();
    mode + &ROWS.iter().enumerate().map(row).collect::<String>()
}

fn pair(port: u16) -> Pair {
    Pair {
        kind: "mysql",
        tables: "*",
        urls: ["one", "two"].map(|name| format!("mysql://root@127.0.0.1:{port}/{name}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_hashed_as_it_is_fetched() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    for name in ["one", "two"] {
        sql(&server, name, &format!("{TYPES}{EVERY_ROW}")).await;
        let store = store(&server, Side::Dr, name, &["*"]).await.hashed_by(DigestProfile::Server);
        let has_key = |key: &Key| !matches!(key_value(key), Ok(Value::List(parts)) if parts[0] == Value::text("loose"));
        scan_and_fetch_agree(&store, has_key).await;
    }
    let both = [store(&server, Side::Primary, "one", &["*"]).await, store(&server, Side::Dr, "two", &["*"]).await];
    let [one, two] = both.map(|store| store.hashed_by(DigestProfile::Server));
    // Where none was said, a timestamp is the instant at which the row came.
    for name in ["one", "two"] {
        sql(&server, name, "UPDATE every SET ts = '2026-01-01 00:00:00.5';\n").await;
    }
    assert_eq!(scanned(&one).await, scanned(&two).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_tell_the_same_of_odd_rows() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    for (at, name) in ["one", "two"].into_iter().enumerate() {
        sql(&server, name, &format!("{ODD}{}", odd_rows(at))).await;
    }
    let pair = pair(server.port);
    let (_, streamed) = pair.verdicts(&Home::new(), STREAM);
    let (diff, hashed) = pair.verdicts(&Home::new(), SERVER);
    assert_eq!(hashed, streamed);
    let different: Vec<usize> = (1..=ROWS.len()).filter(|at| !ALIKE.contains(at)).collect();
    let mut told: Vec<usize> = hashed.keys().map(|id| id.parse().expect("a number")).collect();
    told.sort_unstable();
    assert_eq!(told, different);
    let words = diff.json()["stores"][0]["not_checked"].to_string();
    assert!(words.contains("by hashes that the databases made"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_by_hashes_goes_from_checkpoint_to_undo() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    for name in ["one", "two"] {
        sql(&server, name, &format!("{ODD}{}", odd_rows(0))).await;
    }
    let rows = async |name: &str| {
        let mut conn = client(server.port, name).await;
        let rows: Vec<Row> = conn.exec("SELECT * FROM odd ORDER BY id", ()).await.expect("rows");
        rows.into_iter().map(|row| format!("{:?}", row.unwrap())).collect::<Vec<String>>()
    };
    let strike = async || {
        let more = "DELETE FROM odd WHERE id = 7;\n INSERT INTO odd (id) VALUES (99);\n";
        sql(&server, "two", &format!("DELETE FROM odd;\n{}{more}", odd_rows(1))).await;
    };
    let alike = async || rows("one").await == rows("two").await;
    pair(server.port).fails_back(strike, alike).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_are_hashed_to_the_bit() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE TABLE one.t (d DOUBLE, f FLOAT);\n").await;
    let mut conn = client(server.port, "one").await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (double, float) = (f64::from_bits(state), f32::from_bits((state >> 32) as u32));
        if double.is_finite() && float.is_finite() {
            conn.exec_drop("INSERT INTO t VALUES (?, ?)", (double, float)).await.expect("a row");
        }
    }
    conn.exec_drop("INSERT INTO t VALUES (?, ?)", (-0.0_f64, -0.0_f32)).await.expect("a row");
    let sql = "SELECT d, CAST(d AS CHAR), f, CAST(CAST(f AS DOUBLE) AS CHAR) FROM t";
    let rows: Vec<(f64, String, f32, String)> = conn.exec(sql, ()).await.expect("rows");
    assert!(rows.len() > 1_000);
    for (double, double_text, float, float_text) in rows {
        assert_eq!(double_text.parse::<f64>().expect("a number").to_bits(), double.to_bits(), "{double_text}");
        assert_eq!(float_text.parse::<f64>().expect("a number").to_bits(), f64::from(float).to_bits(), "{float_text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_hashed_is_an_error_and_no_value() {
    let Some(server) = peers::mariadb_with(&["--max-allowed-packet=1M"]) else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    let make = "CREATE TABLE t (id INT PRIMARY KEY, a LONGBLOB, b LONGBLOB);\n INSERT INTO t VALUES (1, REPEAT('x', 700000), REPEAT('y', 700000));\n";
    for name in ["one", "two"] {
        sql(&server, name, make).await;
    }
    let home = Home::new();
    home.write("p.toml", &pair(server.port).profile(None, SERVER));
    home.run("diff p.toml").exits(4).says("larger than its max_allowed_packet");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_and_hashes_cross_the_wire() {
    let Some(server) = peers::mariadb() else { return };
    sql(&server, "", "CREATE DATABASE one;\n CREATE DATABASE two;\n").await;
    let rows = 20_000;
    for name in ["one", "two"] {
        let make = format!(
            "CREATE TABLE t (id INT PRIMARY KEY, filler TEXT);\n INSERT INTO t SELECT seq, REPEAT('x', 280) FROM seq_1_to_{rows};\n"
        );
        sql(&server, name, &make).await;
    }
    let meter = Meter::before(server.port);
    let pair = pair(meter.port);
    let [streamed, hashed] = [STREAM, SERVER].map(|digest| {
        pair.verdicts(&Home::new(), digest).0.exits(0);
        meter.taken()
    });
    assert!(streamed > 2 * rows * 280, "{streamed}");
    assert!(hashed < 2 * rows * 45, "{hashed}");
}
