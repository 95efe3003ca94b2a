//! Guarded writes to PostgreSQL, against the real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use failback::digest::{key_of, key_value};
use failback::model::{Key, Side, StoreId, Value};
use failback::profile::{DatabaseProfile, DigestProfile};
use failback::store::conformance::{self, Fixture, Pair, Sample};
use failback::store::postgres::PostgresStore;
use failback::store::{Counter, ErrorKind, Level, Outcome, ReadStore, RowStore, WriteStore};
use tokio_postgres::{Client, NoTls};

use crate::conformance::assert_conforms;
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{database, leaves, reached, sql};
use crate::postgres_log::keep_log;
use crate::wishes::{Wish, apply, wishes};

pub async fn client(port: u16, name: &str) -> Client {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it connects");
    tokio::spawn(connection);
    client
}

pub fn row_key(table: &str, id: i64) -> Key {
    key_of(&Value::List(vec![Value::text(table), Value::map([("id", Value::Number(id.into()))])]))
}

fn key_text(key: &Key) -> String {
    match key_value(key).expect("a key") {
        Value::List(parts) => parts[0].as_text().unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

struct PostgresFixture<'s> {
    server: &'s Server,
    digest: DigestProfile,
    made: AtomicU32,
}

struct PostgresPair {
    primary: Arc<PostgresStore>,
    dr: Arc<PostgresStore>,
    clients: [Client; 2],
}

const SAMPLE: &str =
    "CREATE TABLE sample (id int PRIMARY KEY, note text NOT NULL, amount numeric, tags text[], at timestamptz,
  raw bytea, twice int GENERATED ALWAYS AS (id * 2) STORED); CREATE SEQUENCE ids;";

#[async_trait]
impl Fixture for PostgresFixture<'_> {
    async fn fresh(&self) -> Result<Box<dyn Pair>, String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut clients = Vec::new();
        let mut stores = Vec::new();
        for side in [Side::Primary, Side::Dr] {
            let name = format!("{side:?}_{number}").to_lowercase();
            sql(self.server, &format!("CREATE DATABASE {name}")).await;
            let client = client(self.server.port, &name).await;
            client.batch_execute(SAMPLE).await.map_err(|error| error.to_string())?;
            let profile = DatabaseProfile { slot: Some(name.clone()), ..database(self.server.port, &name) };
            let store =
                PostgresStore::connect(StoreId("ledger".into()), side, &reached(), &profile, &["public.*".into()])
                    .await;
            stores.push(Arc::new(store.map_err(|error| format!("{error:?}"))?.hashed_by(self.digest)));
            clients.push(client);
        }
        let [primary, dr] = stores.try_into().map_err(|_| "two stores")?;
        let clients = clients.try_into().map_err(|_| "two clients")?;
        Ok(Box::new(PostgresPair { primary, dr, clients }))
    }
}

impl PostgresPair {
    async fn run(&self, side: Side, statements: &str) -> Result<(), String> {
        let client = &self.clients[usize::from(side != Side::Primary)];
        client.batch_execute(statements).await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Pair for PostgresPair {
    fn primary(&self) -> Arc<dyn WriteStore> {
        self.primary.clone()
    }

    fn dr(&self) -> Arc<dyn ReadStore> {
        self.dr.clone()
    }

    fn key(&self, number: u32) -> Key {
        row_key("public.sample", i64::from(number))
    }

    async fn plant(&self, side: Side, samples: &[Sample]) -> Result<(), String> {
        let rows: Vec<String> = samples
            .iter()
            .map(|Sample { number, version }| {
                format!(
                    "INSERT INTO sample VALUES ({number}, 'version {version} é\\t', {version}.50,
                      ARRAY['a', NULL, '{version}'], '2026-01-0{version} 12:00+02', '\\x00ff0{version}')
                     ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note, amount = EXCLUDED.amount,
                      tags = EXCLUDED.tags, at = EXCLUDED.at, raw = EXCLUDED.raw;"
                )
            })
            .collect();
        self.run(side, &rows.concat()).await
    }

    async fn uproot(&self, side: Side, number: u32) -> Result<(), String> {
        self.run(side, &format!("DELETE FROM sample WHERE id = {number}")).await
    }

    async fn keep_log(&self, side: Side) -> Result<bool, String> {
        keep_log(&self.clients[usize::from(side != Side::Primary)]).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    async fn plant_counter(&self, side: Side, value: i64) -> Result<Option<String>, String> {
        self.run(side, &format!("SELECT setval('ids', {value})")).await?;
        Ok(Some("public.ids".to_owned()))
    }
}

async fn conforms(major: PostgresMajor) {
    let Some(server) = peers::postgres(major) else { return };
    sql(&server, "SELECT 1").await;
    for (digest, made) in [(DigestProfile::Stream, 0), (DigestProfile::Server, 1_000)] {
        let fixture = PostgresFixture { server: &server, digest, made: AtomicU32::new(made) };
        assert_conforms(conformance::run_all(&fixture).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15_conforms() {
    conforms(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_conforms() {
    conforms(PostgresMajor::V18).await;
}

/// Both sides in one server, with the same tables; the primary is reached as `user`.
struct Sides {
    server: Server,
    primary: PostgresStore,
    dr: PostgresStore,
}

impl Sides {
    async fn new(major: PostgresMajor, user: &str, shape: &str) -> Option<Sides> {
        let server = peers::postgres(major)?;
        sql(&server, "CREATE ROLE clerk LOGIN").await;
        let grants = "GRANT ALL ON SCHEMA public TO clerk; GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;
          GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk;";
        for name in ["one", "two"] {
            sql(&server, &format!("CREATE DATABASE {name}")).await;
            client(server.port, name).await.batch_execute(&format!("{shape};{grants}")).await.expect("the shape");
        }
        let primary = connect(&server, Side::Primary, "one", user).await;
        let dr = connect(&server, Side::Dr, "two", "postgres").await;
        Some(Sides { server, primary, dr })
    }

    async fn run(&self, name: &str, statements: &str) {
        client(self.server.port, name).await.batch_execute(statements).await.expect("the statements run");
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        let rows = client(self.server.port, "one").await.query_typed(query, &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn wishes(&self, keys: &[Key]) -> Vec<Wish> {
        wishes(&self.primary, &self.dr, keys).await
    }

    async fn bring(&self, keys: &[Key]) -> Vec<Outcome> {
        apply(&self.primary, &self.dr, &self.wishes(keys).await).await
    }
}

async fn connect(server: &Server, side: Side, name: &str, user: &str) -> PostgresStore {
    let mut profile = database(server.port, name);
    profile.user = Some(user.to_owned());
    let tables = ["public.*".to_owned()];
    PostgresStore::connect(StoreId("ledger".into()), side, &reached(), &profile, &tables).await.expect("it connects")
}

const ROLES: [&str; 2] = ["postgres", "clerk"];

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_behind_our_back_is_refused_and_left() {
    for role in ROLES {
        let shape = "CREATE TABLE t (id int PRIMARY KEY, a text, j json)";
        let Some(sides) = Sides::new(PostgresMajor::V18, role, shape).await else { return };
        sides.run("one", r#"INSERT INTO t VALUES (1, 'a', '{"x":1}'), (2, 'b', NULL), (4, 'd', NULL)"#).await;
        sides.run("two", r#"INSERT INTO t VALUES (1, 'A', '{"x":1}'), (3, 'c', NULL), (4, 'D', NULL)"#).await;
        let keys = [1, 2, 3, 4].map(|id| row_key("public.t", id));
        let wishes = sides.wishes(&keys).await;
        let meddle = r#"UPDATE t SET j = '{"x": 1}' WHERE id = 1; UPDATE t SET a = 'z' WHERE id = 2; INSERT INTO t VALUES (3, 'q')"#;
        sides.run("one", meddle).await;
        let outcomes = apply(&sides.primary, &sides.dr, &wishes).await;
        for outcome in &outcomes[..3] {
            assert!(matches!(outcome, Outcome::Refused { found: Some(_), .. }), "{outcome:?}");
        }
        assert_eq!(outcomes[3], Outcome::Applied);
        let rows = sides.texts("SELECT concat(id, a, j) FROM t ORDER BY 1").await;
        assert_eq!(rows, [r#"1a{"x": 1}"#, "2z", "3q", "4D"]);
        assert_eq!(
            sides.bring(&keys).await,
            vec![Outcome::Applied, Outcome::Applied, Outcome::Applied, Outcome::AlreadyApplied]
        );
        assert_eq!(sides.bring(&keys).await, vec![Outcome::AlreadyApplied; 4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_trade_unique_values() {
    for role in ROLES {
        let shape = "CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE)";
        let Some(sides) = Sides::new(PostgresMajor::V15, role, shape).await else { return };
        sides.run("one", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (9, 'taken')").await;
        sides.run("two", "INSERT INTO t VALUES (1, 'b'), (2, 'c'), (3, 'a'), (4, 'e'), (5, 'taken'), (6, 'd')").await;
        // The holder of `taken` is not among the writes: that one stays blocked, the others go through.
        let keys = [1, 2, 3, 6, 4, 5].map(|id| row_key("public.t", id));
        let outcomes = sides.bring(&keys).await;
        assert_eq!(outcomes[..5], vec![Outcome::Applied; 5]);
        let Outcome::Blocked { reason } = &outcomes[5] else { panic!("{:?}", outcomes[5]) };
        assert!(reason.contains("t_a_key") && !reason.contains("taken"), "{reason}");
        let rows = sides.texts("SELECT concat(id, a) FROM t ORDER BY id").await;
        assert_eq!(rows, ["1b", "2c", "3a", "4e", "6d", "9taken"]);
    }
}

const FAMILY: &str = "CREATE TABLE parent (id int PRIMARY KEY, a text);
 CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent);
 CREATE TABLE heir (id int PRIMARY KEY, p int CONSTRAINT heir_of REFERENCES parent ON DELETE CASCADE);";

#[tokio::test(flavor = "multi_thread")]
async fn without_the_replica_role_references_hold_and_nothing_follows() {
    let Some(sides) = Sides::new(PostgresMajor::V18, "clerk", FAMILY).await else { return };
    sides.run("one", "INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (10, 1); INSERT INTO heir VALUES (20, 2)").await;
    sides.run("two", "INSERT INTO parent VALUES (7); INSERT INTO child VALUES (11, 7)").await;
    // Children come before their parents here, which is the wrong order both for inserts and for deletes.
    let keys = [
        row_key("public.child", 11),
        row_key("public.parent", 1),
        row_key("public.parent", 2),
        row_key("public.parent", 3),
        row_key("public.parent", 7),
        row_key("public.child", 10),
    ];
    let outcomes = sides.bring(&keys).await;
    let (blocked, rest): (Vec<_>, Vec<_>) = outcomes.iter().enumerate().partition(|(_, o)| **o != Outcome::Applied);
    assert_eq!(rest.len(), 5, "{outcomes:?}");
    let (2, Outcome::Blocked { reason }) = blocked[0] else { panic!("{blocked:?}") };
    assert!(reason.contains("heir_of"), "{reason}");
    assert_eq!(sides.texts("SELECT concat(id) FROM parent ORDER BY id").await, ["2", "7"]);
    assert_eq!(sides.texts("SELECT concat(id, p) FROM child").await, ["117"]);
    assert_eq!(sides.texts("SELECT concat(id, p) FROM heir").await, ["202"]);
    assert_eq!(sides.primary.check_constraints().await.expect("findings"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_replica_role_broken_references_are_found_afterwards() {
    for major in [PostgresMajor::V15, PostgresMajor::V18] {
        let shape = format!("{FAMILY} CREATE TABLE place (id int PRIMARY KEY, a int UNIQUE DEFERRABLE)");
        let Some(sides) = Sides::new(major, "postgres", &shape).await else { return };
        sides.run("one", "INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (10, 1), (12, NULL); INSERT INTO heir VALUES (20, 2)").await;
        sides.run("one", "INSERT INTO place VALUES (1, 1), (2, NULL), (3, NULL)").await;
        sides.run("two", "INSERT INTO place VALUES (4, 1)").await;
        assert_eq!(sides.primary.check_constraints().await.expect("findings"), []);
        let keys = [row_key("public.parent", 1), row_key("public.parent", 2), row_key("public.place", 4)];
        assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 3]);
        assert_eq!(sides.texts("SELECT concat(id, p) FROM heir").await, ["202"]);
        let findings = sides.primary.check_constraints().await.expect("findings");
        let words: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            words,
            [
                "1 rows of public.child have no parent by child_p_fkey",
                "1 rows of public.heir have no parent by heir_of",
                "1 values of public.place are there more than once: place_a_key is broken",
            ]
        );
        assert!(findings.iter().all(|finding| finding.level == Level::Blocker));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_and_generated_columns_are_written_as_they_are() {
    let shape = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
      CREATE TABLE u (id int PRIMARY KEY, serial int GENERATED ALWAYS AS IDENTITY, a text);
      CREATE TABLE d (id int PRIMARY KEY DEFERRABLE, a text); CREATE TABLE loose (a text);";
    for role in ROLES {
        let Some(sides) = Sides::new(PostgresMajor::V18, role, shape).await else { return };
        sides.run("one", "INSERT INTO t (n) VALUES (1), (2); INSERT INTO u (id, a) VALUES (1, 'a'); INSERT INTO d VALUES (1, 'x')").await;
        let two =
            "INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1, 5), (7, 7); INSERT INTO d VALUES (1, 'y'), (2, 'z');
          INSERT INTO u OVERRIDING SYSTEM VALUE VALUES (1, 9, 'b'); INSERT INTO loose VALUES ('l')";
        sides.run("two", two).await;
        let keys: Vec<Key> = [("t", 1), ("t", 2), ("t", 7), ("u", 1), ("d", 1), ("d", 2)]
            .map(|(table, id)| row_key(&format!("public.{table}"), id))
            .into();
        assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 6]);
        assert_eq!(sides.bring(&keys).await, vec![Outcome::AlreadyApplied; 6]);
        assert_eq!(sides.texts("SELECT concat(id, n, ',', twice) FROM t ORDER BY id").await, ["15,10", "77,14"]);
        assert_eq!(sides.texts("SELECT concat(id, serial, a) FROM u").await, ["19b"]);
        let scan = sides.dr.begin_scan(1).await.expect("a scan");
        let loose = leaves(scan.as_ref()).await.into_keys().find(|key| key_text(key).contains("public.loose"));
        let outcomes = sides.bring(&[loose.expect("the row without a key")]).await;
        assert!(matches!(outcomes[0], Outcome::Refused { .. }), "{outcomes:?}");
        assert!(sides.texts("SELECT a FROM loose").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_trigger_changes_is_not_called_applied() {
    let shape = "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE calm (id int PRIMARY KEY, a text);
      CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := upper(NEW.a); RETURN NEW; END'";
    let Some(sides) = Sides::new(PostgresMajor::V15, "clerk", shape).await else { return };
    sides.run("one", "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout()").await;
    sides.run("two", "INSERT INTO t VALUES (1, 'a'); INSERT INTO calm VALUES (1, 'a')").await;
    let outcomes = sides.bring(&[row_key("public.t", 1), row_key("public.calm", 1)]).await;
    assert!(matches!(outcomes[0], Outcome::Refused { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Applied);
    assert!(sides.texts("SELECT a FROM t").await.is_empty());
    // As superuser the trigger does not run.
    let primary = connect(&sides.server, Side::Primary, "one", "postgres").await;
    let wishes = sides.wishes(&[row_key("public.t", 1)]).await;
    assert_eq!(apply(&primary, &sides.dr, &wishes).await, [Outcome::Applied]);
    let error = sides.dr.apply(&[]).await.expect_err("dr is never written");
    assert_eq!(error.kind, ErrorKind::Unfit);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_go_their_own_way_only() {
    let shape =
        "CREATE SEQUENCE up; CREATE SEQUENCE \"Down's\" INCREMENT -2; CREATE SEQUENCE placed START 10 MINVALUE 1;
      CREATE TABLE t (id serial PRIMARY KEY)";
    let Some(sides) = Sides::new(PostgresMajor::V18, "clerk", shape).await else { return };
    sides.run("one", "SELECT setval('up', 50); SELECT setval('\"Down''s\"', -3)").await;
    sides
        .run("two", "SELECT setval('up', 40); SELECT setval('\"Down''s\"', -9); SELECT setval('placed', 1, false)")
        .await;
    let counters = sides.dr.counters().await.expect("counters");
    let raised = sides.primary.raise_counters(&counters).await.expect("raised");
    assert_eq!(raised, [Counter { name: "public.Down's".into(), value: Some(-9), increment: -2 }]);
    assert_eq!(
        sides.texts("SELECT concat(nextval('up'), nextval('\"Down''s\"'), nextval('placed'))").await,
        ["51-1110"]
    );
    let counter = |name: &str, value| Counter { name: name.into(), value: Some(value), increment: 1 };
    let both = [counter("public.up", 99), counter("public.none", 1)];
    let error = sides.primary.raise_counters(&both).await.expect_err("an error");
    assert!(error.to_string().contains("public.none"), "{error:?}");
    assert_eq!(sides.texts("SELECT concat(last_value) FROM up").await, ["51"]);
    assert_eq!(sides.primary.raise_counters(&both[..1]).await.expect("raised").len(), 1);
}

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN code AS char(4);
 CREATE TABLE every (id uuid, k text, b bytea, PRIMARY KEY (id, k, b), n numeric(38, 5), f float8, f4 float4, i interval,
  t timestamptz, ts timestamp, tz timetz, a text[], aa int[][], j json, jb jsonb, m mood, ms mood[], r int4range, p pair, ps pair[],
  c char(5), q \"char\", nm name, ip inet, net cidr, mac macaddr, v varchar(3), d code, flag bool, big int8, o oid,
  bits bit(5), vb varbit, pt point, poly polygon, ts1 tsvector, mo money, lsn pg_lsn, cls regclass, u text COLLATE blind);
 CREATE TABLE \"Od'd\" (\"Id \"\"x\" numeric PRIMARY KEY, \"select\" text);
 CREATE TABLE split (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
 CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');";

const TYPED_ROWS: &str = "INSERT INTO every VALUES
 ('00000000-0000-0000-0000-000000000001', E'tab\\t\\\\N\\n', '\\x00ff', 123456789012345678901234567890123.12345, '-0', 'NaN', '1 mon -3 days',
  '2026-01-01 00:00+02', 'infinity', '10:00+02', ARRAY['a', NULL, '', 'NULL', '{\"'], '{{1,2},{3,4}}', '{\"a\" : 1, \"a\":2}', '{\"a\":1.0}',
  'so so', '{sad,\"so so\"}', '[1,5)', '(,)', '{\"(1,\\\"x,y\\\")\"}', 'ab', 'q', 'name', '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '  x',
  'x', true, -9223372036854775808, 4294967295, '10101', '101', '(1,2.5)', '((0,0),(1,1),(2,0))', '''a'':1 b', '12.50', '16/B374D848', 'pg_catalog.pg_class', 'Abc');
 INSERT INTO every VALUES ('00000000-0000-0000-0000-000000000001', 'é€😀', '', NULL, 'Infinity');
 INSERT INTO \"Od'd\" VALUES (1.10, 'a'), (2, NULL); INSERT INTO split VALUES (1, '2026-01-05'), (2, '2026-01-06');";

async fn every_type_goes_over(major: PostgresMajor) {
    // The wheel is built without ICU, and only ICU has collations under which different texts are equal.
    let blind = match major {
        PostgresMajor::V15 => "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        PostgresMajor::V18 => "FROM \"C\"",
    };
    let shape = format!("CREATE COLLATION blind {blind}; {TYPES}");
    for role in ROLES {
        let Some(sides) = Sides::new(major, role, &shape).await else { return };
        sides.run("two", TYPED_ROWS).await;
        let scan = sides.dr.begin_scan(1).await.expect("a scan");
        let there = leaves(scan.as_ref()).await;
        let keys: Vec<Key> = there.keys().cloned().collect();
        assert_eq!(keys.len(), 6);
        assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 6]);
        let scan = sides.primary.begin_scan(1).await.expect("a scan");
        assert_eq!(leaves(scan.as_ref()).await, there);
        // What differs in spelling only is brought over as well.
        let respell = "UPDATE every SET u = 'aBC', j = '{\"a\":1,\"a\":2}', n = n + 1, f = 0, flag = false, v = NULL, a = '{}' WHERE n > 0;
          UPDATE \"Od'd\" SET \"select\" = NULL; DELETE FROM split WHERE id = 2";
        sides.run("one", respell).await;
        let outcomes = sides.bring(&keys).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 3, "{outcomes:?}");
        let scan = sides.primary.begin_scan(1).await.expect("a scan");
        assert_eq!(leaves(scan.as_ref()).await, there);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15_takes_every_type() {
    every_type_goes_over(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_takes_every_type() {
    every_type_goes_over(PostgresMajor::V18).await;
}

async fn scanned_keys(store: &PostgresStore) -> Vec<Key> {
    let scan = store.begin_scan(1).await.expect("a scan");
    leaves(scan.as_ref()).await.into_keys().collect()
}

/// Types that extensions bring, among them one whose equality is not that of bytes.
async fn types_of_extensions_go_over(major: PostgresMajor) {
    let shape = "CREATE EXTENSION citext SCHEMA public; CREATE EXTENSION hstore SCHEMA public;
      CREATE TABLE labels (name citext PRIMARY KEY, text citext, marks hstore, lists hstore[])";
    for role in ROLES {
        let Some(sides) = Sides::new(major, role, shape).await else { return };
        let rows = r#"INSERT INTO labels VALUES ('Key', 'Some Text', 'a=>1, b=>NULL, "c d"=>"x\"y"', ARRAY['a=>1'::hstore, '']),
          ('empty', '', '', '{}'), ('nulls', NULL, NULL, NULL), ('Ünïcode', 'ß', 'ü=>"日本"', NULL)"#;
        sides.run("two", rows).await;
        let keys = scanned_keys(&sides.dr).await;
        assert_eq!(keys.len(), 4);
        assert_eq!(sides.bring(&keys).await, vec![Outcome::Applied; 4]);
        assert_eq!(sides.bring(&keys).await, vec![Outcome::AlreadyApplied; 4]);
        // The same to the type itself, and another text: a difference, and guarded as one.
        sides.run("one", "UPDATE labels SET text = upper(text::text) WHERE name = 'key'").await;
        let outcomes = sides.bring(&keys).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 1, "{outcomes:?}");
        sides.run("one", "UPDATE labels SET marks = marks - 'a'::text, lists = NULL WHERE name = 'key'").await;
        assert!(sides.bring(&keys).await.contains(&Outcome::Applied));
        // A key that the type calls equal is another key; with the delete of the old spelling beside it, it goes through.
        sides.run("two", "UPDATE labels SET name = 'KEY' WHERE name = 'key'").await;
        let new: Vec<Key> = scanned_keys(&sides.dr).await.into_iter().filter(|key| !keys.contains(key)).collect();
        assert_eq!(new.len(), 1);
        assert!(matches!(sides.bring(&new).await[..], [Outcome::Blocked { .. }]));
        let mut all = scanned_keys(&sides.primary).await;
        assert_eq!(all.len(), 4, "nothing was written over");
        all.extend(new);
        assert!(sides.bring(&all).await.iter().all(|one| matches!(one, Outcome::Applied | Outcome::AlreadyApplied)));
        assert_eq!(
            sides.texts("SELECT name::text FROM labels ORDER BY name::text COLLATE \"C\" LIMIT 1").await,
            ["KEY"]
        );
        let (primary, dr) = (sides.primary.begin_scan(1).await, sides.dr.begin_scan(1).await);
        let (primary, dr) = (primary.expect("a scan"), dr.expect("a scan"));
        assert_eq!(leaves(primary.as_ref()).await, leaves(dr.as_ref()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15_takes_types_of_extensions() {
    types_of_extensions_go_over(PostgresMajor::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_takes_types_of_extensions() {
    types_of_extensions_go_over(PostgresMajor::V18).await;
}
