//! `failback check` on real databases: everything it finds, by name, with what to type.

use serde_json::Value as Json;

use super::{BOOKS, CLERK, Ledgers, SIDES, SUPERUSER, client};
use crate::peers::{self, PostgresMajor};
use crate::rig::{DR, Home, PRIMARY, Ran};

const SAME: [PostgresMajor; 2] = [PostgresMajor::V15, PostgresMajor::V15];

/// A profile of the database, and nothing else.
fn home(ledgers: &Ledgers, tables: &str) -> Home {
    let home = Home::new();
    home.write("p.toml", &format!("name = \"p\"\n{SIDES}{}", ledgers.store(tables, "")));
    home
}

/// Level, side and words of what a check found, notes on versions and missing keys apart.
fn findings(ran: &Ran) -> Vec<String> {
    let document = ran.json();
    let found = document["findings"].as_array().expect("findings").iter();
    let line = |finding: &Json| {
        let word = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let subject = word("subject");
        let side = ["primary", "dr"].into_iter().find(|side| subject.split([' ', ',']).any(|part| part == *side));
        format!("{} {}: {}", word("level"), side.unwrap_or("both"), word("what"))
    };
    let mut lines: Vec<String> = found.map(line).filter(|line| !line.contains("PostgreSQL")).collect();
    lines.sort();
    lines
}

async fn checked(user: &'static str, primary: &str, dr: &str) -> Option<(Ledgers, Home)> {
    let ledgers = Ledgers::start(SAME, user).await?;
    ledgers.run(PRIMARY, primary).await;
    ledgers.run(DR, dr).await;
    let home = home(&ledgers, "[\"public.*\", \"Ünï.*\"]");
    Some((ledgers, home))
}

const TWO: &str = "CREATE SCHEMA \"Ünï\"; CREATE SCHEMA numbers; CREATE SEQUENCE numbers.\"Next\";
  CREATE TABLE public.plain (id serial PRIMARY KEY, a text);
  CREATE TABLE \"Ünï\".\"T able\" (id int PRIMARY KEY DEFAULT nextval('numbers.\"Next\"'), a text);";

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_told_the_grants_to_type() {
    let Some((ledgers, home)) = checked(CLERK, TWO, TWO).await else { return };
    ledgers.run_both("GRANT USAGE ON SCHEMA public TO clerk; GRANT SELECT, DELETE ON public.plain TO clerk").await;
    let ran = home.run("check p.toml --json").exits(2);
    let document = ran.json();
    assert_eq!((&document["complete"], &document["blocked"]), (&Json::from(true), &Json::from(true)));
    let wanted = [
        "blocker dr: role clerk has no SELECT on sequence numbers.Next",
        "blocker dr: role clerk has no SELECT on sequence public.plain_id_seq",
        "blocker dr: role clerk has no SELECT on Ünï.T able",
        "blocker dr: role clerk may not use schema \"numbers\"",
        "blocker dr: role clerk may not use schema \"Ünï\"",
        "blocker primary: role clerk has no INSERT, UPDATE on public.plain",
        "blocker primary: role clerk has no SELECT, INSERT, UPDATE, DELETE on Ünï.T able",
        "blocker primary: role clerk has no SELECT, UPDATE on sequence numbers.Next",
        "blocker primary: role clerk has no SELECT, UPDATE on sequence public.plain_id_seq",
        "blocker primary: role clerk may not use schema \"numbers\"",
        "blocker primary: role clerk may not use schema \"Ünï\"",
    ];
    assert_eq!(findings(&ran), wanted);
    // Nothing less can be read, and nothing that cannot be read counts.
    home.run("diff p.toml").exits(4).says("permission denied");
    for finding in document["findings"].as_array().expect("findings") {
        let Some(grant) = finding["hint"].as_str().filter(|hint| hint.starts_with("GRANT")) else { continue };
        let side = if finding["subject"].as_str().expect("a subject").contains("primary") { PRIMARY } else { DR };
        ledgers.run(side, grant).await;
    }
    home.run("check p.toml").exits(0).prints("ready");
    ledgers.run(DR, "INSERT INTO public.plain (a) VALUES ('x'); INSERT INTO \"Ünï\".\"T able\" (a) VALUES ('y')").await;
    let policy = "policy = { unattributed = \"dr-wins\" }\n";
    home.write("p.toml", &(home.read("p.toml") + policy));
    home.run("plan p.toml").exits(0);
    home.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(ledgers.rows(PRIMARY).await, ledgers.rows(DR).await);
    assert_eq!(
        ledgers.number(PRIMARY, "SELECT nextval('numbers.\"Next\"')").await,
        2,
        "the number of a default in another schema"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn row_security_blocks_whoever_it_would_hide_rows_from() {
    let secured = "CREATE TABLE public.plain (id int PRIMARY KEY); ALTER TABLE public.plain ENABLE ROW LEVEL SECURITY;
      CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".a (id int PRIMARY KEY); GRANT USAGE ON SCHEMA \"Ünï\" TO clerk;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, \"Ünï\" TO clerk;";
    let Some((ledgers, home)) = checked(CLERK, secured, secured).await else { return };
    let ran = home.run("check p.toml --json").exits(2);
    let what = "row security of public.plain would hide rows from role clerk";
    assert_eq!(findings(&ran), [format!("blocker dr: {what}"), format!("blocker primary: {what}")]);
    assert!(ran.out.contains("ALTER ROLE clerk BYPASSRLS"), "{}", ran.out);
    ledgers.run(PRIMARY, "ALTER ROLE clerk BYPASSRLS").await;
    ledgers.run(DR, "ALTER TABLE public.plain OWNER TO clerk").await;
    assert_eq!(findings(&home.run("check p.toml --json").exits(0)), Vec::<String>::new());
    ledgers.run(DR, "ALTER TABLE public.plain FORCE ROW LEVEL SECURITY").await;
    assert_eq!(findings(&home.run("check p.toml --json").exits(2)), [format!("blocker dr: {what}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn materialized_views_are_named_with_the_command_that_refreshes_them() {
    let views = "CREATE TABLE public.plain (id int PRIMARY KEY); CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE public.part PARTITION OF public.parts DEFAULT;
      CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".a (id int PRIMARY KEY); CREATE SCHEMA other; CREATE TABLE other.b (id int);
      CREATE VIEW other.between AS SELECT count(*) AS n FROM public.plain;
      CREATE MATERIALIZED VIEW other.\"To tal\" AS SELECT * FROM other.between;
      CREATE MATERIALIZED VIEW other.again AS SELECT * FROM other.\"To tal\";
      CREATE MATERIALIZED VIEW other.of_part AS SELECT * FROM public.part;
      CREATE MATERIALIZED VIEW other.apart AS SELECT * FROM other.b;";
    let Some((ledgers, home)) = checked(SUPERUSER, views, views).await else { return };
    let ran = home.run("check p.toml --json").exits(0);
    let what = "materialized views that show the rows of before a replay: other.of_part, other.To tal, other.again";
    assert_eq!(
        findings(&ran),
        ["note dr: not named by tables: other.b".to_owned(), format!("warning primary: {what}")]
    );
    let document = ran.json();
    let found = document["findings"].as_array().expect("findings").iter();
    let hint =
        found.filter_map(|finding| finding["hint"].as_str()).find(|hint| hint.contains("REFRESH")).expect("a hint");
    let commands = hint.strip_prefix("after the final pass: ").expect("when");
    ledgers.run(PRIMARY, "INSERT INTO public.plain VALUES (1)").await;
    ledgers.run(PRIMARY, commands).await;
    assert_eq!(ledgers.number(PRIMARY, "SELECT n FROM other.again").await, 1, "in an order that works");
}

const TRIGGERS: &str = "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".a (id int PRIMARY KEY, at date) ; CREATE TABLE public.b (id int PRIMARY KEY);
  CREATE TRIGGER plain AFTER INSERT ON public.b FOR EACH ROW EXECUTE FUNCTION public.note();
  CREATE TRIGGER \"All ways\" AFTER INSERT ON \"Ünï\".a FOR EACH ROW EXECUTE FUNCTION public.note();
  CREATE TRIGGER of_replicas AFTER UPDATE ON public.b FOR EACH ROW EXECUTE FUNCTION public.note();
  CREATE TRIGGER off AFTER UPDATE ON public.b FOR EACH ROW EXECUTE FUNCTION public.note();
  CREATE RULE doubled AS ON DELETE TO public.b DO ALSO NOTHING;
  ALTER TABLE \"Ünï\".a ENABLE ALWAYS TRIGGER \"All ways\"; ALTER TABLE public.b ENABLE REPLICA TRIGGER of_replicas;
  ALTER TABLE public.b DISABLE TRIGGER off; GRANT USAGE ON SCHEMA \"Ünï\" TO clerk;
  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, \"Ünï\" TO clerk;";

#[tokio::test(flavor = "multi_thread")]
async fn what_would_fire_during_a_replay_is_named() {
    let of_both = "trigger All ways of Ünï.a fires when a replay writes:";
    let (always, cannot) = ("it is enabled for replicas too", "this role cannot keep it from doing so");
    let under_clerk = [
        format!("warning primary: rule doubled of public.b fires when a replay writes: {cannot}"),
        format!("warning primary: {of_both} {cannot}"),
        format!("warning primary: trigger plain of public.b fires when a replay writes: {cannot}"),
    ];
    let under_superuser = [
        format!("warning primary: {of_both} {always}"),
        format!("warning primary: trigger of_replicas of public.b fires when a replay writes: {always}"),
    ];
    for (user, wanted) in [(CLERK, under_clerk.as_slice()), (SUPERUSER, under_superuser.as_slice())] {
        let Some((ledgers, home)) = checked(user, TRIGGERS, TRIGGERS).await else { return };
        let ran = home.run("check p.toml --json").exits(0);
        assert_eq!(findings(&ran), wanted);
        if user == CLERK {
            // What the hint says: then only what is enabled always is left.
            ledgers.run(PRIMARY, "GRANT SET ON PARAMETER session_replication_role TO clerk").await;
            assert_eq!(findings(&home.run("check p.toml --json").exits(0)), under_superuser);
        }
        ledgers.run(PRIMARY, "ALTER TABLE \"Ünï\".\"a\" DISABLE TRIGGER \"All ways\";").await;
        assert!(ran.out.contains("DISABLE TRIGGER \\\"All ways\\\";"), "{}", ran.out);
        ledgers.run(DR, "ALTER TABLE \"Ünï\".\"a\" DISABLE TRIGGER \"All ways\";").await;
        let left = findings(&home.run("check p.toml --json").exits(0));
        assert_eq!(left, &under_superuser[1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn differing_columns_block_one_by_one() {
    let primary = "CREATE TYPE public.mood AS ENUM ('sad', 'ok'); CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".lone (id int PRIMARY KEY, x int, y int);
      CREATE TABLE public.t (id int, part int, same text, kind numeric(10,2), word text COLLATE \"C\", sum int GENERATED ALWAYS AS (id + 1) STORED,
       must int NOT NULL, m public.mood, only_here int, PRIMARY KEY (id, part));
      CREATE SEQUENCE public.lone; CREATE SEQUENCE public.both INCREMENT 2";
    let dr = "CREATE TYPE public.mood AS ENUM ('ok', 'sad'); CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".other (id int PRIMARY KEY);
      CREATE TABLE public.t (id int PRIMARY KEY, part int NOT NULL, same text, kind numeric(12,2), word text COLLATE \"POSIX\", sum int,
       must int, m public.mood, only_there int); CREATE SEQUENCE public.wanted; CREATE SEQUENCE public.both INCREMENT 5";
    let Some((_ledgers, home)) = checked(SUPERUSER, primary, dr).await else { return };
    let ran = home.run("check p.toml --json").exits(2);
    let wanted = [
        "blocker both: public.t primary key is id, part on the primary and id on dr",
        "blocker both: public.t.kind is numeric(10,2) nullable on the primary and numeric(12,2) nullable on dr",
        "blocker both: public.t.m is public.mood nullable enum('sad','ok') on the primary and public.mood nullable enum('ok','sad') on dr",
        "blocker both: public.t.must is integer not null on the primary and integer nullable on dr",
        "blocker both: public.t.only_here is integer nullable on the primary and absent on dr",
        "blocker both: public.t.only_there is absent on the primary and integer nullable on dr",
        "blocker both: public.t.sum is integer nullable generated on the primary and integer nullable on dr",
        "blocker both: public.t.word collation is C on the primary and POSIX on dr",
        "blocker both: sequence public.both is by steps of 2 on the primary and by steps of 5 on dr",
        "blocker both: sequence public.wanted is absent on the primary and by steps of 1 on dr",
        "blocker both: table Ünï.lone is there on the primary and absent on dr",
        "blocker both: table Ünï.other is absent on the primary and there on dr",
        "warning both: public.t.sum generated as is (id + 1) on the primary and absent on dr",
        "warning both: sequence public.lone is by steps of 1 on the primary and absent on dr",
    ];
    assert_eq!(findings(&ran), wanted);
    home.run("diff p.toml").exits(2).says("different shapes").says("public.t.kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_side_lacks_beside_columns_is_a_warning() {
    let table = "CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".p (id int PRIMARY KEY);
      CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';";
    let primary = "CREATE TABLE public.t (id int PRIMARY KEY, a text UNIQUE, b int CHECK (b > 0), p int REFERENCES \"Ünï\".p, c int DEFAULT 1,
       g int GENERATED ALWAYS AS (id * 2) STORED);
      CREATE INDEX named_so ON public.t (b); CREATE INDEX lower_a ON public.t (lower(a)) WHERE b > 1; CREATE EXTENSION pgcrypto;
      CREATE TRIGGER tell AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.note()";
    let dr = "CREATE TABLE public.t (id int PRIMARY KEY, a text, b int, p int, c int DEFAULT 2, g int GENERATED ALWAYS AS (id * 3) STORED,
       EXCLUDE (b WITH =));
      CREATE INDEX named_otherwise ON public.t (b); CREATE UNIQUE INDEX ON public.t (c)";
    let Some((ledgers, home)) = checked(SUPERUSER, &format!("{table}{primary}"), &format!("{table}{dr}")).await else {
        return;
    };
    let ran = home.run("check p.toml --json").exits(0);
    let there = "is there on the primary and absent on dr";
    let lacking = "is absent on the primary and there on dr";
    let wanted = [
        "warning both: extension pgcrypto is version 1.3 on the primary and absent on dr".to_owned(),
        format!("warning both: public.t constraint CHECK ((b > 0)) {there}"),
        format!("warning both: public.t constraint EXCLUDE USING btree (b WITH =) {lacking}"),
        format!("warning both: public.t constraint UNIQUE (a) {there}"),
        "warning both: public.t foreign key t_p_fkey is (p) to \"Ünï\".p (id), on delete a, on update a on the primary and absent on dr".into(),
        format!("warning both: public.t index btree (lower(a)) WHERE (b > 1) {there}"),
        "warning both: public.t trigger tell is enabled, AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.note() on the primary \
         and absent on dr".into(),
        format!("warning both: public.t unique index btree (c) {lacking}"),
        "warning both: public.t.c default is 1 on the primary and 2 on dr".into(),
        "warning both: public.t.g generated as is (id * 2) on the primary and (id * 3) on dr".into(),
    ];
    assert_eq!(findings(&ran), wanted);
    // Beside the columns nothing keeps the rows from being compared.
    ledgers.run(DR, "INSERT INTO public.t (id) VALUES (1)").await;
    home.run("diff p.toml").exits(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_told() {
    let both = "CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".a (id int PRIMARY KEY, line text); CREATE TABLE public.loose (a text); CREATE SCHEMA other;";
    let dr = "CREATE TABLE other.unnamed (id int PRIMARY KEY); CREATE SEQUENCE other.\"by hand\"; SELECT lo_create(0), lo_create(0)";
    let Some((ledgers, home)) = checked(SUPERUSER, both, &format!("{both}{dr}")).await else { return };
    ledgers
        .run(PRIMARY, "CREATE UNLOGGED TABLE public.quick (id int PRIMARY KEY); CREATE TABLE public.nothing ()")
        .await;
    ledgers.run(DR, "CREATE TABLE public.quick (id int PRIMARY KEY); CREATE TABLE public.nothing ()").await;
    let ran = home.run("check p.toml --json").exits(0);
    let no_key = "public.loose has no primary key: compared as a multiset, never written";
    let wanted = [
        "note dr: not named by tables: other.unnamed".to_owned(),
        "warning dr: 2 large objects are not compared and not replayed".into(),
        "warning dr: no column of a named table takes its numbers from these sequences: other.by hand".into(),
        format!("warning dr: {no_key}"),
        "warning dr: public.nothing has no columns and is not compared".into(),
        format!("warning primary: {no_key}"),
        "warning primary: public.nothing has no columns and is not compared".into(),
        "warning primary: public.quick is unlogged and is lost in a crash".into(),
    ];
    assert_eq!(findings(&ran), wanted);
    let document = home.run("diff p.toml --json").exits(0).json();
    let not_checked = document["stores"][0]["not_checked"].to_string();
    assert!(not_checked.contains("large objects, of which dr has some"), "{not_checked}");
    home.write("p.toml", &home.read("p.toml").replace("\"public.*\"", "\"public.*\", \"none.*\""));
    home.run("check p.toml").exits(2).prints("no table matches none.*");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_leads_out_of_the_named_tables_is_told() {
    let both = "CREATE SCHEMA other; CREATE TABLE other.parent (id int PRIMARY KEY); CREATE SCHEMA \"Ünï\"; GRANT USAGE ON SCHEMA \"Ünï\" TO clerk;
      CREATE TABLE public.child (id int PRIMARY KEY, p int CONSTRAINT of REFERENCES other.parent); CREATE TABLE \"Ünï\".a (id int PRIMARY KEY);
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, \"Ünï\" TO clerk;";
    let Some((ledgers, home)) = checked(CLERK, both, both).await else { return };
    let told = [
        "note dr: not named by tables: other.parent",
        "warning primary: foreign key of leads from public.child to other.parent, and tables names only one of them",
    ];
    assert_eq!(findings(&home.run("check p.toml --json").exits(0)), told);
    // Where the server does not look for parents, this program does.
    ledgers.run(PRIMARY, "GRANT SET ON PARAMETER session_replication_role TO clerk").await;
    let wanted = [
        "blocker primary: role clerk has no SELECT on other.parent",
        "blocker primary: role clerk may not use schema other",
        "note dr: not named by tables: other.parent",
        "warning primary: foreign key of leads from public.child to other.parent, and tables names only one of them",
    ];
    assert_eq!(findings(&home.run("check p.toml --json").exits(2)), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_of_one_name_are_not_mixed_up() {
    let tables = "CREATE SCHEMA \"Ünï\"; CREATE TABLE \"Ünï\".\"a.b\" (id int PRIMARY KEY); CREATE SCHEMA \"Ünï.a\"; CREATE TABLE \"Ünï.a\".b (id int PRIMARY KEY);";
    let Some((ledgers, _)) = checked(SUPERUSER, tables, tables).await else { return };
    let home = home(&ledgers, "[\"Ünï*.*\"]");
    for command in ["check", "diff", "plan"] {
        let ran = home.run(&format!("{command} p.toml")).exits(4);
        assert!((ran.out + &ran.err).contains("two tables go by the name Ünï.a.b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_told_and_a_difference_is_a_warning() {
    let Some(ledgers) = Ledgers::start([PostgresMajor::V15, PostgresMajor::V18], SUPERUSER).await else { return };
    ledgers.run_both("CREATE TABLE t (id int PRIMARY KEY)").await;
    let ran = home(&ledgers, "[\"public.*\"]").run("check p.toml").exits(0);
    ran.prints("PostgreSQL 15.")
        .prints("PostgreSQL 18.")
        .prints("server major version is 15 on the primary and 18 on dr");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_connected_says_which_side_and_what_to_do() {
    let Some((ledgers, home)) = checked(SUPERUSER, TWO, TWO).await else { return };
    let profile = home.read("p.toml");
    let dr_port = ledgers.servers[DR].port;
    let rules =
        "COPY (VALUES ('host all postgres 127.0.0.1/32 trust'), ('host all all 127.0.0.1/32 scram-sha-256')) TO '%'";
    let file: String = ledgers.client(DR).await.query_one("SHOW hba_file", &[]).await.expect("a file").get(0);
    ledgers.run(DR, "ALTER ROLE clerk PASSWORD 'right'; GRANT pg_read_all_data TO clerk").await;
    ledgers.run(DR, &rules.replace('%', &file)).await;
    ledgers.run(DR, "SELECT pg_reload_conf()").await;
    let dr = |user: &str, port: u16, database: &str, password: &str| {
        let url = format!("dr = {{ url = \"postgres://postgres@127.0.0.1:{dr_port}/{BOOKS}\" }}");
        let other = format!("dr = {{ url = \"postgres://{user}@127.0.0.1:{port}/{database}\"{password} }}");
        home.write("p.toml", &profile.replace(&url, &other));
    };
    let wrong = ", password = \"wrong secret\"";
    dr("clerk", dr_port, BOOKS, wrong);
    // The new rules are read in the server's own time.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while home.run("check p.toml").code != Some(4) {
        assert!(std::time::Instant::now() < deadline, "the password is never asked for");
    }
    for (password, words) in [(wrong, "password authentication failed"), ("", "password missing")] {
        dr("clerk", dr_port, BOOKS, password);
        let ran = home.run("check p.toml").exits(4).prints("cannot connect to dr").prints(words).prints("credentials");
        assert!(!(ran.out + &ran.err).contains("wrong secret"));
        home.run("diff p.toml").exits(4).says("cannot connect to dr").says(words);
    }
    dr("clerk", dr_port, BOOKS, ", password = \"right\"");
    home.run("check p.toml").exits(0).prints("ready");
    dr("postgres", dr_port, "nowhere", "");
    home.run("check p.toml").exits(2).prints("database \"nowhere\" does not exist").prints("names in the profile");
    home.run("diff p.toml").exits(2).says("cannot connect to dr").says("nowhere");
    dr("nobody", dr_port, BOOKS, wrong);
    home.run("check p.toml").exits(4).prints("password authentication failed");
    dr("postgres", peers::free_port(), BOOKS, "");
    home.run("check p.toml").exits(4).prints("cannot connect to dr").prints("Connection refused").prints("not reached");
    // A database that is there, and is the same one on both sides.
    dr("postgres", ledgers.servers[PRIMARY].port, BOOKS, "");
    assert!(home.run("check p.toml").code == Some(2));
    client(dr_port, "postgres").await.batch_execute("CREATE DATABASE empty").await.expect("a database");
    dr("postgres", dr_port, "empty", "");
    home.run("check p.toml").exits(2).prints("no table matches public.*");
}
