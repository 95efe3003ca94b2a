//! Keys as the binary log has them, against those that a scan makes.

use std::collections::{BTreeMap, BTreeSet};

use failback::digest::key_value;
use failback::model::{Digest, Key};
use failback::store::ChangeSet;

use super::{Books, touched};
use crate::mysql::scanned;

/// Key columns of every type, and values at their ends.
const KEYS: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "-1", "0", "127"]),
    ("TINYINT UNSIGNED", &["0", "255"]),
    ("SMALLINT", &["-32768", "32767"]),
    ("SMALLINT UNSIGNED", &["65535"]),
    ("MEDIUMINT", &["-8388608", "-1", "8388607"]),
    ("MEDIUMINT UNSIGNED", &["16777215"]),
    ("INT", &["-2147483648", "-1", "2147483647"]),
    ("INT(7) UNSIGNED ZEROFILL", &["4294967295", "7"]),
    ("BIGINT", &["-9223372036854775808", "-1", "9223372036854775807"]),
    ("BIGINT UNSIGNED", &["18446744073709551615"]),
    ("YEAR", &["0", "1901", "2155"]),
    ("BIT(1)", &["b'0'", "b'1'"]),
    ("BIT(9)", &["b'100000001'"]),
    ("BIT(64)", &["b'1111111111111111111111111111111111111111111111111111111111111111'", "b'1'"]),
    ("DECIMAL(38, 5)", &["123456789012345678901234567890123.12345", "-0.00001", "0", "-99", "1000000000"]),
    ("DECIMAL(9, 9)", &["0.000000001", "-0.999999999", "0"]),
    ("DECIMAL(18, 0) UNSIGNED", &["999999999999999999", "0"]),
    ("DECIMAL(65, 30)", &["-99999999999999999999999999999999999.999999999999999999999999999999"]),
    ("FLOAT", &["0.1", "-3.4028235e38"]),
    ("DOUBLE", &["0.1", "-1.7976931348623157e308", "5e-324"]),
    ("CHAR(5) CHARACTER SET utf8mb4", &["'é€  '", "''", "'\u{1f600}'"]),
    ("CHAR(9) CHARACTER SET ucs2", &["'ab '", "'€'"]),
    ("CHAR(5) CHARACTER SET latin1", &["'é\u{20ac} '"]),
    ("CHAR(255) CHARACTER SET utf8mb4", &["REPEAT('€', 255)", "'a'"]),
    ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", &["'a '", "'a'", "'A'", "''"]),
    ("VARCHAR(20) CHARACTER SET latin1", &["'€é'"]),
    ("VARCHAR(300) CHARACTER SET utf8mb4", &["REPEAT('x', 300)", "'y'"]),
    ("VARCHAR(9) CHARACTER SET ucs2", &["x'263A'"]),
    ("VARCHAR(9) CHARACTER SET utf16", &["'\u{1f600}'"]),
    ("BINARY(4)", &["x'01'", "x'00'", "x'01000200'", "x'20'"]),
    ("BINARY(16)", &["x'123e4567e89b12d3a456426614174000'"]),
    ("VARBINARY(10)", &["x'00FF00'", "x''", "x'20'"]),
    ("DATE", &["'0000-00-00'", "'2026-02-31'", "'9999-12-31'", "'2026-00-00'"]),
    ("DATETIME", &["'0000-00-00 00:00:00'", "'2026-03-29 02:30:00'", "'9999-12-31 23:59:59'"]),
    ("DATETIME(1)", &["'2026-03-29 02:30:00.5'"]),
    ("DATETIME(3)", &["'2026-03-29 02:30:00.005'", "'2026-00-00 00:00:00.120'"]),
    ("DATETIME(6)", &["'1000-01-01 00:00:00.000001'", "'2026-03-29 02:30:00.999999'"]),
    ("TIMESTAMP", &["'1970-01-01 00:00:01'", "'2026-03-29 02:30:00'", "'0000-00-00 00:00:00'"]),
    ("TIMESTAMP(2)", &["'2026-03-29 02:30:00.07'"]),
    ("TIMESTAMP(6)", &["'2038-01-19 03:14:07.999999'", "'2026-12-31 23:59:59.000001'"]),
    ("TIME", &["'-838:59:59'", "'00:00:00'", "'25:00:01'", "'-00:00:01'"]),
    ("TIME(1)", &["'-00:00:00.1'", "'-01:00:00.9'", "'10:11:12.3'"]),
    ("TIME(4)", &["'-838:59:58.0001'", "'-00:00:00.9999'", "'00:00:00.5'"]),
    ("TIME(6)", &["'-838:59:58.000001'", "'-00:00:00.000001'", "'100:00:00.999999'"]),
    ("ENUM('a', 'it''s', 'é', '') CHARACTER SET latin1", &["'it\\'s'", "'é'", "''", "0"]),
    ("SET('p', 'q''', 'r', 's', 't', 'u', 'v', 'w', 'x')", &["'p,x'", "''", "'q\\''"]),
];

const LONG_KEYS: &[(&str, &[&str])] =
    &[("TEXT CHARACTER SET utf8mb4", &["REPEAT('é', 100)", "'a '"]), ("BLOB", &["REPEAT(x'00', 300)", "x'01'"])];

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_those_that_a_scan_makes() {
    let Some(mut books) = Books::start("", &["--binlog-row-image=FULL"]).await else { return };
    let mut tables = String::new();
    for (at, (kind, _)) in KEYS.iter().chain(LONG_KEYS).enumerate() {
        let prefix = if at < KEYS.len() { "" } else { "(9)" };
        // Columns of other types lie before the key and after it.
        tables += &format!(
            "CREATE TABLE t{at:02} (a MEDIUMBLOB, b CHAR(255) CHARACTER SET utf8mb4, g INT AS (c + 1) VIRTUAL, c INT, k {kind} NOT NULL,
             s INT AS (c * 2) STORED, n DECIMAL(20, 3), j JSON, i INET6, f FLOAT, d TIME(3), v VARCHAR(400) COMPRESSED, p POINT,
             l LONGTEXT COMPRESSED, e ENUM('x', 'y'), z BIT(3), PRIMARY KEY (k{prefix}));\n"
        );
    }
    books.run(&tables).await;
    let mode =
        "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,ANSI_QUOTES', time_zone = '+00:00', NAMES utf8mb4";
    books.run(&mode.replace(", NAMES", ";\n SET NAMES")).await;
    for image in ["FULL", "NOBLOB", "MINIMAL"] {
        books.run(&format!("SET binlog_row_image = {image}")).await;
        let start = books.mark().await;
        for (at, (_, values)) in KEYS.iter().chain(LONG_KEYS).enumerate() {
            for value in *values {
                let columns = "a, b, c, n, j, i, f, d, v, p, l, e, z, k";
                books
                    .run(&format!(
                        "INSERT INTO t{at:02} ({columns}) VALUES (x'00FF', 'b', 1, 1.5, '{{}}', '::1', 0.5, '-01:02:03.456', REPEAT('v', 300),
                         POINT(1, 2), REPEAT('l', 3000), 'y', b'101', {value})"
                    ))
                    .await;
            }
        }
        let rows = scanned(&books.store).await;
        let inserted = books.changes(&start).await;
        assert_same_keys(&inserted, &rows, image);
        for at in 0..KEYS.len() + LONG_KEYS.len() {
            books.run(&format!("UPDATE t{at:02} SET c = NULL, l = NULL, j = NULL, d = NULL, z = NULL, i = NULL")).await;
        }
        let updated = books.changes(&inserted.until).await;
        assert_same_keys(&updated, &rows, image);
        for at in 0..KEYS.len() + LONG_KEYS.len() {
            books.run(&format!("DELETE FROM t{at:02}")).await;
        }
        let deleted = books.changes(&updated.until).await;
        assert_same_keys(&deleted, &rows, image);
        assert!(scanned(&books.store).await.is_empty());
    }
}

fn assert_same_keys(set: &ChangeSet, rows: &BTreeMap<Key, Digest>, image: &str) {
    let (told, read): (BTreeSet<_>, BTreeSet<_>) = (touched(set), rows.keys().cloned().collect());
    let words =
        |keys: Vec<&Key>| keys.into_iter().map(|key| format!("{:?}", key_value(key))).collect::<Vec<_>>().join("\n");
    let (missed, others) = (told.difference(&read).collect(), read.difference(&told).collect());
    assert!(told == read, "{image}: only the log has\n{}\nonly the scan has\n{}", words(missed), words(others));
}
