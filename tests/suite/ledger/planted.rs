//! The books of both sides in step, and who changed what after that.

use serde_json::{Value as Json, json};

/// Whose row the primary must hold in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    Primary,
    Dr,
}

/// One difference as it must be found, and the statements that made it.
pub struct Edit {
    pub key: Json,
    pub verdict: &'static str,
    pub change: &'static str,
    pub winner: Winner,
    pub primary: &'static str,
    pub dr: &'static str,
}

/// Tables of every kind of key, identifiers that need quotes, and foreign keys in circles.
pub const SCHEMA: &str = r#"
CREATE SCHEMA sales; CREATE SCHEMA counters; CREATE SCHEMA metrics; CREATE SCHEMA "Café";
CREATE TYPE sales.state AS ENUM ('new', 'paid', 'gone');
CREATE TABLE sales.region (country text, code int, name text NOT NULL, PRIMARY KEY (country, code));
CREATE TABLE sales.client (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, country text, code int,
  state sales.state NOT NULL DEFAULT 'new', referred_by uuid REFERENCES sales.client,
  FOREIGN KEY (country, code) REFERENCES sales.region);
CREATE TABLE sales.invoice (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client uuid NOT NULL REFERENCES sales.client,
  net numeric(20,4) NOT NULL CHECK (net > -1000), tax numeric(20,4) NOT NULL DEFAULT 0,
  gross numeric GENERATED ALWAYS AS (net + tax) STORED, lines jsonb, tags text[], due timestamptz);
CREATE TABLE sales.team (id int PRIMARY KEY, lead int);
CREATE TABLE sales.member (id int PRIMARY KEY, name text,
  team int NOT NULL REFERENCES sales.team DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE sales.team ADD FOREIGN KEY (lead) REFERENCES sales.member DEFERRABLE;
CREATE TABLE sales.seat (id int PRIMARY KEY, place text UNIQUE NOT NULL);
CREATE SEQUENCE counters.global; CREATE SEQUENCE sales.ticket INCREMENT 5;
CREATE TABLE sales.letter (id bigint PRIMARY KEY DEFAULT nextval('counters.global'), note text);
CREATE TABLE "Café"."Bücher" ("ISBN ""13""" bytea PRIMARY KEY, "Titel" text, weight float8, small float4,
  span tstzrange, price numeric, "select" int[][]);
CREATE TABLE metrics.reading (at timestamptz, sensor int, value float8, PRIMARY KEY (sensor, at)) PARTITION BY RANGE (at);
CREATE TABLE metrics.reading_old PARTITION OF metrics.reading FOR VALUES FROM (MINVALUE) TO ('2026-02-01');
CREATE TABLE metrics.reading_new PARTITION OF metrics.reading FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
CREATE TABLE metrics.log (line text, n int);
GRANT USAGE ON SCHEMA sales, counters, metrics, "Café" TO clerk;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales, metrics, "Café" TO clerk;
GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA sales, counters TO clerk;
"#;

/// The tables of the profile.
pub const TABLES: &str = r#"["sales.*", "Caf?.*", "metrics.*"]"#;

pub const SEED: &str = r#"
INSERT INTO sales.region VALUES ('DE', 1, 'Nord'), ('DE', 2, 'Süd'), ('FR', 1, 'Est'), ('FR', 2, 'Ouest'), ('IT', 1, 'Nord');
INSERT INTO sales.client SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, 'c' || n || '@example.com',
  'DE', 1 + n % 2, 'new', CASE WHEN n > 1 THEN '00000000-0000-4000-8000-000000000001'::uuid END FROM generate_series(1, 12) n;
INSERT INTO sales.invoice (client, net, tax, lines, tags, due) SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid,
  n * 10.25, n, jsonb_build_object('n', n), ARRAY['a', NULL], '2026-03-01 10:00+02' FROM generate_series(1, 8) n;
BEGIN; INSERT INTO sales.member VALUES (1, 'Ada', 1), (2, 'Bo', 1), (30, 'Cy', 3); INSERT INTO sales.team VALUES (1, 1), (3, 30); COMMIT;
INSERT INTO sales.seat SELECT n, 'place ' || n FROM generate_series(1, 6) n;
INSERT INTO sales.letter (note) SELECT 'letter ' || n FROM generate_series(1, 3) n;
SELECT nextval('sales.ticket'), nextval('sales.ticket');
INSERT INTO "Café"."Bücher" VALUES ('\x00', 'Null', 1.5, 0.1, '[2026-01-01,2026-02-01)', 1.0, '{{1,2},{3,4}}'),
  ('\x00ff', 'é€😀', '-0', 'NaN', 'empty', 1.10, NULL), ('\xdeadbeef', NULL, 'Infinity', '-Infinity', NULL, 'NaN', '{}'),
  ('\x', '', NULL, NULL, '(,)', NULL, NULL);
INSERT INTO metrics.reading SELECT timestamptz '2026-01-01 00:00+00' + n * interval '1 day', n % 3, n / 3.0 FROM generate_series(0, 59) n;
INSERT INTO metrics.log VALUES ('a', 1), ('a', 1), ('a', 1), ('b', 2), ('c', 3);
"#;

/// What both sides did alike: no difference.
pub const BOTH: &str = r#"
UPDATE "Café"."Bücher" SET "Titel" = 'both' WHERE "ISBN ""13""" = '\xdeadbeef'; INSERT INTO sales.region VALUES ('PL', 7, 'Both');
DELETE FROM metrics.reading WHERE at = '2026-01-31 00:00+00';
"#;

fn uuid(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn client(number: u32) -> Json {
    json!({"table": "sales.client", "id": uuid(number)})
}

fn by_id(table: &str, id: u32) -> Json {
    json!({"table": table, "id": id.to_string()})
}

fn region(country: &str, code: u32) -> Json {
    json!({"table": "sales.region", "country": country, "code": code.to_string()})
}

fn book(isbn: &str) -> Json {
    json!({"table": "Café.Bücher", "ISBN \"13\"": isbn})
}

fn reading(sensor: u32, at: &str) -> Json {
    json!({"table": "metrics.reading", "sensor": sensor.to_string(), "at": at})
}

fn of_dr(change: &'static str, key: Json, dr: &'static str) -> Edit {
    Edit { key, verdict: "dr_only", change, winner: Winner::Dr, primary: "", dr }
}

fn stranded(change: &'static str, key: Json, primary: &'static str) -> Edit {
    Edit { key, verdict: "stranded", change, winner: Winner::Primary, primary, dr: "" }
}

fn conflict(change: &'static str, key: Json, winner: Winner, primary: &'static str, dr: &'static str) -> Edit {
    Edit { key, verdict: "conflict", change, winner, primary, dr }
}

/// Every difference in a table with a primary key, in the order of the statements; one without is made by the one before it.
pub fn edits() -> Vec<Edit> {
    [sales(), people(), elsewhere()].into_iter().flatten().collect()
}

fn sales() -> Vec<Edit> {
    vec![
        of_dr("update", region("DE", 1), r#"UPDATE sales.region SET name = E'Nord & "Küste"\n\\N' WHERE (country, code) = ('DE', 1)"#),
        of_dr("insert", region("DE", 10), "INSERT INTO sales.region VALUES ('DE', 10, '')"),
        of_dr("delete", region("IT", 1), "DELETE FROM sales.region WHERE country = 'IT'"),
        stranded("update", region("FR", 1), "UPDATE sales.region SET name = 'late' WHERE (country, code) = ('FR', 1)"),
        stranded("insert", region("FR", 2), "DELETE FROM sales.region WHERE (country, code) = ('FR', 2)"),
        // The primary and dr both hand out the next number.
        conflict(
            "update",
            by_id("sales.invoice", 9),
            Winner::Dr,
            "INSERT INTO sales.invoice (client, net) SELECT id, 1 FROM sales.client WHERE email = 'c1@example.com'",
            "INSERT INTO sales.invoice (client, net, tax, tags) SELECT id, n, -0.5, ARRAY['new', '', 'NULL', '{\"x\\y'] FROM sales.client,
              generate_series(1, 3) n WHERE email = 'c2@example.com'",
        ),
        of_dr("insert", by_id("sales.invoice", 10), ""),
        of_dr("insert", by_id("sales.invoice", 11), ""),
        of_dr(
            "update",
            by_id("sales.invoice", 1),
            r#"UPDATE sales.invoice SET net = 99999999999999.9999, lines = '{"a": [1.50, null, "é"], "b": {}}', due = 'infinity' WHERE id = 1"#,
        ),
        of_dr("update", by_id("sales.invoice", 2), "UPDATE sales.invoice SET tags = '{}', due = NULL, lines = 'null' WHERE id = 2"),
        of_dr("delete", by_id("sales.invoice", 8), "DELETE FROM sales.invoice WHERE id = 8"),
        of_dr("insert", by_id("sales.letter", 4), "INSERT INTO sales.letter (note) VALUES ('four'), ('five')"),
        of_dr("insert", by_id("sales.letter", 5), ""),
        of_dr(
            "update",
            by_id("sales.seat", 1),
            "UPDATE sales.seat SET place = 'aside' WHERE id = 1; UPDATE sales.seat SET place = 'place 1' WHERE id = 2;
             UPDATE sales.seat SET place = 'place 2' WHERE id = 1",
        ),
        of_dr("update", by_id("sales.seat", 2), ""),
        // A unique value whose holder leaves goes to a new row.
        of_dr("delete", by_id("sales.seat", 3), "DELETE FROM sales.seat WHERE id = 3; INSERT INTO sales.seat VALUES (7, 'place 3')"),
        of_dr("insert", by_id("sales.seat", 7), ""),
    ]
}

fn people() -> Vec<Edit> {
    vec![
        // The new client who was referred sorts before the one who referred them.
        of_dr(
            "insert",
            client(90),
            "INSERT INTO sales.client VALUES ('00000000-0000-4000-8000-000000000090', 'new@example.com', 'DE', 10, 'paid');
             INSERT INTO sales.client VALUES ('00000000-0000-4000-8000-000000000040', 'referred@example.com', NULL, NULL, 'new',
              '00000000-0000-4000-8000-000000000090')",
        ),
        of_dr("insert", client(40), ""),
        of_dr(
            "update",
            client(11),
            "UPDATE sales.client SET email = 'aside' WHERE email = 'c11@example.com';
             UPDATE sales.client SET email = 'c11@example.com' WHERE email = 'c12@example.com';
             UPDATE sales.client SET email = 'c12@example.com' WHERE email = 'aside'",
        ),
        of_dr("update", client(12), ""),
        // The same between two that invoices refer to.
        of_dr(
            "update",
            client(3),
            "UPDATE sales.client SET email = 'aside' WHERE email = 'c3@example.com';
             UPDATE sales.client SET email = 'c3@example.com' WHERE email = 'c4@example.com';
             UPDATE sales.client SET email = 'c4@example.com' WHERE email = 'aside'",
        ),
        of_dr("update", client(4), ""),
        conflict(
            "update",
            client(5),
            Winner::Dr,
            "UPDATE sales.client SET state = 'gone' WHERE email = 'c5@example.com'",
            "UPDATE sales.client SET state = 'paid' WHERE email = 'c5@example.com'",
        ),
        conflict(
            "delete",
            client(9),
            Winner::Primary,
            "UPDATE sales.client SET state = 'paid' WHERE email = 'c9@example.com'",
            "DELETE FROM sales.client WHERE email = 'c9@example.com'",
        ),
        stranded(
            "delete",
            client(21),
            "INSERT INTO sales.client VALUES ('00000000-0000-4000-8000-000000000021', 'stranded@example.com')",
        ),
        // Two tables that refer to each other.
        of_dr(
            "insert",
            by_id("sales.team", 2),
            "BEGIN; INSERT INTO sales.member VALUES (20, 'Di', 2); INSERT INTO sales.team VALUES (2, 20); COMMIT",
        ),
        of_dr("insert", by_id("sales.member", 20), ""),
        of_dr(
            "delete",
            by_id("sales.team", 3),
            "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM sales.member WHERE id = 30; DELETE FROM sales.team WHERE id = 3; COMMIT",
        ),
        of_dr("delete", by_id("sales.member", 30), ""),
        stranded("update", by_id("sales.member", 2), "UPDATE sales.member SET name = NULL WHERE id = 2"),
    ]
}

fn elsewhere() -> Vec<Edit> {
    vec![
        of_dr(
            "update",
            book("\\x00"),
            r#"UPDATE "Café"."Bücher" SET weight = 'NaN', small = '-Infinity', price = 1.00, "select" = NULL WHERE "ISBN ""13""" = '\x00'"#,
        ),
        // The same number spelled with another sign or scale.
        of_dr(
            "update",
            book("\\x00ff"),
            r#"UPDATE "Café"."Bücher" SET weight = 0, price = 1.1 WHERE "ISBN ""13""" = '\x00ff'"#,
        ),
        of_dr(
            "insert",
            book("\\xffffffff00"),
            r#"INSERT INTO "Café"."Bücher" VALUES ('\xffffffff00', E'tab\there', 1e-300, 3.4e38, '[,infinity)', -1e-20, '{{-1}}')"#,
        ),
        stranded("update", book("\\x"), r#"UPDATE "Café"."Bücher" SET weight = 'Infinity' WHERE "ISBN ""13""" = '\x'"#),
        of_dr(
            "insert",
            reading(7, "infinity"),
            "INSERT INTO metrics.reading VALUES ('infinity', 7, 'NaN'), ('2026-01-15 12:00+00', 7, 1)",
        ),
        of_dr("insert", reading(7, "2026-01-15 12:00:00+00"), ""),
        of_dr(
            "update",
            reading(0, "2026-01-01 00:00:00+00"),
            "UPDATE metrics.reading SET value = 0.1 WHERE at = '2026-01-01 00:00+00'",
        ),
        of_dr(
            "delete",
            reading(2, "2026-03-01 00:00:00+00"),
            "DELETE FROM metrics.reading WHERE at = '2026-03-01 00:00+00'",
        ),
    ]
}

/// Differences in the table without a primary key, whose rows can only be counted: statements, verdict and change of each.
pub const LOOSE: [(usize, &str, &str, &str); 4] = [
    (crate::rig::DR, "INSERT INTO metrics.log VALUES ('a', 1)", "dr_only", "update"),
    (crate::rig::DR, "DELETE FROM metrics.log WHERE line = 'b'", "dr_only", "delete"),
    (crate::rig::DR, "INSERT INTO metrics.log VALUES ('e', NULL), ('e', NULL)", "dr_only", "insert"),
    (crate::rig::PRIMARY, "INSERT INTO metrics.log VALUES ('d', 4)", "stranded", "delete"),
];

/// What dr does while the first replay runs: on rows that it wrote, and on others.
pub fn late() -> Vec<Edit> {
    vec![
        of_dr("update", region("DE", 1), "UPDATE sales.region SET name = 'again' WHERE (country, code) = ('DE', 1)"),
        of_dr("delete", client(40), "DELETE FROM sales.client WHERE email = 'referred@example.com'"),
        of_dr(
            "insert",
            by_id("sales.invoice", 12),
            "INSERT INTO sales.invoice (client, net) SELECT id, 7 FROM sales.client WHERE email = 'new@example.com'",
        ),
        of_dr(
            "update",
            by_id("sales.seat", 1),
            "UPDATE sales.seat SET place = 'aside' WHERE id = 1; UPDATE sales.seat SET place = 'place 2' WHERE id = 2;
             UPDATE sales.seat SET place = 'place 1' WHERE id = 4; UPDATE sales.seat SET place = 'place 4' WHERE id = 1",
        ),
        of_dr("update", by_id("sales.seat", 2), ""),
        of_dr("update", by_id("sales.seat", 4), ""),
        of_dr("insert", by_id("sales.seat", 3), "INSERT INTO sales.seat VALUES (3, 'back')"),
    ]
}
