//! Profiles: what is wrong is told exactly, and every example and every field is known.

use std::path::{Path, PathBuf};

use failback::profile::{
    AuthMode, BaseProfile, ConflictPolicy, Profile, ProfileError, Resources, RowsProfile, TlsMode,
};

fn env(name: &str) -> Option<String> {
    match name {
        "PRIMARY_DB_PASSWORD" | "DR_DB_PASSWORD" => Some("hunter2".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn complaints(text: &str) -> String {
    Profile::parse(text, "p.toml", &env).expect_err("a bad profile").to_string()
}

/// The heads of the complaints: `line:column: field: what`.
fn heads(text: &str) -> Vec<String> {
    complaints(text).lines().filter_map(|line| line.strip_prefix("p.toml:")).map(str::to_owned).collect()
}

pub const GOOD: &str = r#"name = "shop"
disaster_at = 2026-11-22T03:10:00Z
[primary]
region = "us-east-1"
[dr]
region = "us-west-2"
[[store]]
name = "orders"
kind = "dynamodb"
primary = { table = "orders" }
dr = { table = "orders" }
base = "none"
[[store]]
name = "media"
kind = "s3"
primary = { bucket = "media-a", prefix = "x/" }
dr = { bucket = "media-b" }
[[store]]
name = "ledger"
kind = "postgres"
primary = { url = "postgres://me@one/ledger", password = "${PRIMARY_DB_PASSWORD}" }
dr = { instance = "ledger", database = "ledger", user = "me" }
tables = ["public.*"]
[cutover]
hosted_zone = "Z1"
record = { name = "a.example.com", type = "A", primary = "p", dr = "d" }
stages = [5, 100]
hold_seconds = 1
health = { url = "https://example.com" }
"#;

#[test]
fn a_good_profile_is_read_with_its_defaults() {
    let profile = Profile::parse(GOOD, "p.toml", &env).expect("a good profile");
    assert_eq!(profile.stores.len(), 3);
    assert_eq!(profile.stores[0].policy.conflict, ConflictPolicy::Hold);
    assert_eq!(profile.stores[0].limits.writes_per_second, 200);
    assert_eq!(profile.machine.memory_mib, 64);
    let Resources::Postgres(RowsProfile { primary, .. }) = &profile.stores[2].resources else { panic!("a database") };
    assert_eq!(primary.password.as_ref().expect("a password").0, "hunter2");
    assert!(!format!("{profile:?}").contains("hunter2"));
}

/// Each mistake replaces one piece of the good profile; what is told of it.
pub const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("[dr]", "[dr", &["5:4: not valid TOML: unclosed table, expected `]`"]),
    (
        "region = \"us-east-1\"",
        "reigon = \"us-east-1\"",
        &[
            "3:1: primary.region: missing field `region` in `primary`",
            "4:1: primary.reigon: unknown field `reigon`, did you mean `region`?",
        ],
    ),
    ("name = \"shop\"", "", &["1:1: name: missing field `name` in the profile"]),
    ("name = \"shop\"", "name = \"a/b\"", &["1:8: name: not fit for a folder's name"]),
    ("name = \"shop\"", "name = 7", &["1:8: name: wrong type: expected a string, found an integer"]),
    ("name = \"shop\"", "name = \"${SHOP}\"", &["1:8: name: environment variables are not substituted here"]),
    (
        "2026-11-22T03:10:00Z",
        "2026-11-22T03:10:00",
        &["2:15: disaster_at: not an instant: a date, a time and an offset are needed"],
    ),
    (
        "2026-11-22T03:10:00Z",
        "2026-11-22T03:10:00Z\ndr_as_of = 2026-11-22T03:10:01Z",
        &["3:12: dr_as_of: dr cannot represent an instant after `disaster_at`"],
    ),
    ("disaster_at =", "dr_as_of =", &["2:12: dr_as_of: `dr_as_of` needs `disaster_at`"]),
    (
        "region = \"us-west-2\"",
        "region = \"us-west-2\"\nendpoints.dynamo = \"http://x\"",
        &["7:11: dr.endpoints.dynamo: unknown field `dynamo`, did you mean `dynamodb`?"],
    ),
    ("\"dynamodb\"", "\"dynamobd\"", &["9:8: store.orders.kind: unknown kind `dynamobd`, did you mean `dynamodb`?"]),
    ("name = \"media\"", "name = \"orders\"", &["14:8: store.orders.name: two stores are named `orders`"]),
    (
        "primary = { table = \"orders\" }",
        "primary = { tabel = \"orders\" }",
        &[
            "10:11: store.orders.primary.table: missing field `table` in `store.orders.primary`",
            "10:13: store.orders.primary.tabel: unknown field `tabel`, did you mean `table`?",
        ],
    ),
    ("primary = { table = \"orders\" }", "", &["7:1: store.orders.primary: missing field `primary` in `store.orders`"]),
    ("base = \"none\"", "base = \"versions\"", &["12:8: store.orders.base: `versions` is a base for kind s3 only"]),
    (
        "base = \"none\"",
        "base = \"version\"",
        &["12:8: store.orders.base: unknown base `version`, did you mean `versions`?"],
    ),
    (
        "base = \"none\"",
        "base = { export = \"s3://x\" }",
        &["12:19: store.orders.base.export: `s3://x` names no export"],
    ),
    (
        "base = \"none\"",
        "base = { export = [\"s3://b/AWSDynamoDB/1\", \"s3://b/AWSDynamoDB/1\", \"b/AWSDynamoDB/2\"] }",
        &[
            "12:44: store.orders.base.export: `s3://b/AWSDynamoDB/1` is listed twice",
            "12:68: store.orders.base.export: `b/AWSDynamoDB/2` names no export",
        ],
    ),
    ("base = \"none\"", "base = { export = [] }", &["12:19: store.orders.base.export: must not be empty"]),
    (
        "base = \"none\"",
        "base = { export = \"s3://b/AWSDynamoDB/1\", table = \"t\" }",
        &[
            "12:8: store.orders.base: exactly one of `checkpoint`, `table`, `database` and `export` is needed, 2 are given",
        ],
    ),
    (
        "base = \"none\"",
        "changes = { dr = \"s3://b/AWSDynamoDB/1\", read = \"changed\" }",
        &["12:49: store.orders.changes.read: `changed` needs exports of `primary` and of `dr`"],
    ),
    (
        "dr = { bucket = \"media-b\" }",
        "dr = { bucket = \"media-b\" }\nbase = { export = \"s3://b/AWSDynamoDB/1\" }",
        &["18:19: store.media.base.export: `export` is a base for kind dynamodb only"],
    ),
    ("[cutover]", "[rescue]\nprimary = \"saved\"\n[cutover]", &["25:11: rescue.primary: `saved` names no bucket"]),
    (
        "base = \"none\"",
        "base = { database = \"x\" }",
        &["12:21: store.orders.base.database: `database` is a base for kinds postgres and mysql only"],
    ),
    (
        "base = \"none\"",
        "base = { table = \"orders\" }",
        &["12:8: store.orders.base: is the same resource as the primary of store `orders`"],
    ),
    (
        "base = \"none\"",
        "base = { checkpoint = \"a\", table = \"b\" }",
        &[
            "12:8: store.orders.base: exactly one of `checkpoint`, `table`, `database` and `export` is needed, 2 are given",
        ],
    ),
    (
        "base = \"none\"",
        "policy = { conflict = \"dr-win\", delete_limit_percent = 101 }",
        &[
            "12:23: store.orders.policy.conflict: unknown conflict `dr-win`, did you mean `dr-wins`?",
            "12:56: store.orders.policy.delete_limit_percent: must be a whole number from 0 to 100",
        ],
    ),
    (
        "base = \"none\"",
        "policy = { conflict = \"newest\" }",
        &["12:10: store.orders.policy: `conflict = \"newest\"` cannot tell which write is the newest"],
    ),
    (
        "base = \"none\"",
        "limits = { writes_per_second = -1 }",
        &["12:32: store.orders.limits.writes_per_second: must be a whole number from 0 to 10000000"],
    ),
    (
        "region = \"us-west-2\"",
        "region = \"us-east-1\"",
        &["11:6: store.orders.dr: is the same resource as the primary of store `orders`"],
    ),
    (
        "bucket = \"media-b\"",
        "bucket = \"media-a\"",
        &["17:6: store.media.dr: overlaps the primary of store `media`: some objects belong to both"],
    ),
    ("bucket = \"media-b\"", "bucket = \"s3://media-b\"", &["17:17: store.media.dr.bucket: not a bucket's name"]),
    (
        "instance = \"ledger\", database = \"ledger\", user = \"me\"",
        "url = \"postgres://you@one:5432/ledger\"",
        &["22:6: store.ledger.dr: is the same resource as the primary of store `ledger`"],
    ),
    (
        "instance = \"ledger\", ",
        "instance = \"ledger\", cluster = \"x\", ",
        &[
            "22:6: store.ledger.dr: exactly one of `url`, `instance`, `cluster` and `global_cluster` is needed, 2 are given",
        ],
    ),
    (
        "database = \"ledger\", user",
        "user",
        &["22:6: store.ledger.dr.database: missing field `database` in `store.ledger.dr`"],
    ),
    (
        "user = \"me\" }",
        "user = \"me\", auth = \"iam\", tls = \"disable\", password = \"x\", ca_file = \"rds.pem\" }",
        &[
            "22:83: store.ledger.dr.tls: `tls = \"disable\"` does not go with `auth = \"iam\"`",
            "22:105: store.ledger.dr.password: a password does not go with `auth = \"iam\"`",
            "22:120: store.ledger.dr.ca_file: `ca_file` does not go with `tls = \"disable\"`",
        ],
    ),
    (
        "${PRIMARY_DB_PASSWORD}",
        "${NOT_SET}",
        &["21:58: store.ledger.primary.password: environment variable `NOT_SET` is not set"],
    ),
    (
        "${PRIMARY_DB_PASSWORD}",
        "${EMPTY}",
        &["21:58: store.ledger.primary.password: environment variable `EMPTY` is empty"],
    ),
    (
        "${PRIMARY_DB_PASSWORD}",
        "a${EMPTY}",
        &["21:58: store.ledger.primary.password: must be one `${NAME}` and nothing else"],
    ),
    (
        "[\"public.*\"]",
        "[\"public.*\", \"entry\", \"public.*\"]",
        &[
            "23:23: store.ledger.tables: `entry` is not `schema.table`, where `*` and `?` may stand for any characters",
            "23:32: store.ledger.tables: `public.*` is listed twice",
        ],
    ),
    (
        "[5, 100]",
        "[25, 5, 90]",
        &[
            "27:15: cutover.stages: stages must ascend: 5 does not come after 25",
            "27:18: cutover.stages: the last stage must be 100",
        ],
    ),
    ("[5, 100]", "[]", &["27:10: cutover.stages: there must be at least one stage"]),
    ("[5, 100]", "[0, 100]", &["27:11: cutover.stages: a stage of 0 shifts nothing"]),
    (
        "health = { url = \"https://example.com\" }",
        "health = { }",
        &["29:10: cutover.health: exactly one of `url`, `health_check` and `command` is needed, 0 are given"],
    ),
    (
        "health = { url",
        "health = { command = [\"x\"], url",
        &["29:10: cutover.health: exactly one of `url`, `health_check` and `command` is needed, 2 are given"],
    ),
    ("dr = \"d\"", "dr = \"p\"", &["26:68: cutover.record.dr: primary and dr cannot be the same record"]),
];

#[test]
fn each_mistake_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        let told = heads(&GOOD.replacen(from, to, 1));
        if told != *expected {
            wrong.push(format!("{from} -> {to}\n  told {told:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_line_is_shown_with_a_caret_and_what_to_do() {
    let text = GOOD.replace("region = \"us-west-2\"", "regoin = \"us-west-2\"");
    let expected = r#"p.toml:5:1: dr.region: missing field `region` in `dr`
  |
5 | [dr]
  | ^^^^

p.toml:6:1: dr.regoin: unknown field `regoin`, did you mean `region`?
  |
6 | regoin
  | ^^^^^^
  = fields here: account, aws_profile, credentials, endpoint_url, endpoints, region, role_arn"#;
    assert_eq!(complaints(&text), expected);
}

#[test]
fn a_profile_without_stores_is_refused() {
    let text = "name = \"a\"\n[primary]\nregion = \"x\"\n[dr]\nregion = \"y\"\n";
    assert_eq!(heads(text), ["1:1: store: missing field `store` in the profile"]);
    let text = format!("store = []\n{text}");
    assert_eq!(heads(&text), ["1:9: store: there must be at least one [[store]]"]);
}

#[test]
fn no_complaint_shows_a_secret() {
    for (from, to) in [
        ("password = \"${PRIMARY_DB_PASSWORD}\"", "password = \"hunter2\", extra = 1"),
        ("password = \"${PRIMARY_DB_PASSWORD}\"", "pasword = \"hunter2\""),
        ("password = \"${PRIMARY_DB_PASSWORD}\"", "pw = \"hunter2\""),
        ("password = \"${PRIMARY_DB_PASSWORD}\"", "password = \"hunter2"),
        ("postgres://me@one", "postgres://me:hunter2@one"),
        ("postgres://me@one/ledger", "postgres://me@one/ledger?password=hunter2"),
    ] {
        let shown = complaints(&GOOD.replacen(from, to, 1));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// Whatever is cut, doubled or made unusual, reading ends with a profile or with complaints within the text.
#[test]
fn damaged_profiles_are_told_and_never_panic() {
    let unusual = GOOD.replace("media", "m\u{e9}dia \u{1f600}").replace('\n', "\r\n");
    for text in [GOOD, &unusual] {
        for (at, piece) in text.char_indices() {
            let after = at + piece.len_utf8();
            let damaged = [
                text[..at].to_owned(),
                format!("{}{}", &text[..at], &text[after..]),
                format!("{}\"{}", &text[..at], &text[at..]),
                format!("{}{{{}", &text[..at], &text[at..]),
            ];
            for text in damaged {
                if let Err(ProfileError::Invalid { complaints, .. }) = Profile::parse(&text, "p.toml", &env) {
                    let lines = text.matches('\n').count() + 1;
                    assert!(!complaints.is_empty());
                    assert!(complaints.iter().all(|complaint| (1..=lines).contains(&complaint.line)), "{text}");
                }
            }
        }
    }
}

#[test]
fn tables_may_be_written_with_headers_or_dots() {
    let inline = "record = { name = \"a.example.com\", type = \"A\", primary = \"p\", dr = \"d\" }\n";
    let header = "[cutover.record]\nname = \"a.example.com\"\ntype = \"A\"\nprimary = \"p\"\n";
    let text = format!("{}{header}", GOOD.replace(inline, ""));
    assert_eq!(heads(&text), ["29:1: cutover.record.dr: missing field `dr` in `cutover.record`"]);
    assert!(Profile::parse(&format!("{text}dr = \"d\"\n"), "p.toml", &env).is_ok());
    let dotted = GOOD.replace("base = \"none\"", "base.checkpoint = \"x\"\npolicy.stranded = \"kepe\"");
    assert_eq!(heads(&dotted), ["13:19: store.orders.policy.stranded: unknown stranded `kepe`, did you mean `keep`?"]);
    let single = GOOD.replacen("[[store]]", "[store]", 1);
    let end = single[7..].find("[[store]]").expect("the second") + 7;
    assert_eq!(
        heads(&single[..end]),
        ["7:1: store: wrong type: expected an array of tables, [[store]], found a table"]
    );
}

#[test]
fn stores_that_meet_are_told() {
    let again = "[[store]]\nname = \"more\"\nkind = \"s3\"\nprimary = { bucket = \"media-a\", prefix = \"x/y/\" }\ndr = { bucket = \"c-c\" }\n";
    assert_eq!(
        heads(&format!("{GOOD}{again}")),
        ["33:11: store.more.primary: overlaps the primary of store `media`: some objects belong to both",]
    );
    let beside = again.replace("x/y/", "z/");
    assert!(Profile::parse(&format!("{GOOD}{beside}"), "p.toml", &env).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Profile::load(Path::new("/nowhere/p.toml"), &env).expect_err("no file");
    assert!(matches!(error, ProfileError::Unreadable { .. }));
    assert_eq!(error.to_string(), "cannot read profile /nowhere/p.toml");
}

#[test]
fn every_example_profile_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("profiles")).expect("profiles/") {
        let path = entry.expect("an entry").path();
        Profile::load(&path, &env).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count >= 6, "{count} examples");
    let ledger = Profile::load(&root().join("profiles/ledger-postgres.toml"), &env).expect("valid");
    assert_eq!(ledger.stores[0].base, BaseProfile::Database("ledger_at_tb".into()));
    let Resources::Postgres(RowsProfile { dr, .. }) = &ledger.stores[0].resources else { panic!("a database") };
    assert_eq!((dr.tls, dr.auth, dr.ca_file.is_some()), (Some(TlsMode::Require), AuthMode::Iam, true));
    let wiki = Profile::load(&root().join("profiles/wiki-mysql.toml"), &env).expect("valid");
    let Resources::Mysql(RowsProfile { tables, .. }) = &wiki.stores[0].resources else { panic!("a database") };
    assert_eq!(tables, &["page", "revision*", "user"]);
    let Resources::Mysql(RowsProfile { primary, dr, .. }) = &wiki.stores[0].resources else { panic!("a database") };
    assert_eq!((primary.binlog, dr.binlog), (false, true), "what is not said is not followed");
}

const WIKI: &str = "name = \"wiki\"\n[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n[[store]]\nname = \"wiki\"
kind = \"mysql\"\nprimary = { url = \"mysql://me@one/wiki\" }\ndr = { url = \"mysql://me@two:3306/wiki\" }\ntables = [\"*\"]\n";

#[test]
fn mysql_stores_name_one_database_and_its_tables() {
    for (from, to, expected) in [
        ("", "", ""),
        ("mysql://me@one", "postgres://me@one", "not a mysql:// URL"),
        ("mysql://me@one", "mysql://one", "the URL names no user"),
        ("one/wiki", "one", "the URL names no database"),
        ("two:3306", "one:3306", "is the same resource as the primary"),
        ("one/wiki\"", "one/wiki\", binlog = true", ""),
        ("one/wiki\"", "one/wiki\", binlog = \"yes\"", "binlog: wrong type: expected true or false, found a string"),
        (
            "\"mysql\"\nprimary = { url = \"mysql://me@one/wiki\"",
            "\"postgres\"\nprimary = { url = \"postgres://me@one/wiki\", binlog = true",
            "unknown field `binlog`",
        ),
        ("[\"*\"]", "[\"a b\"]", "`a b` is not the name of a table"),
        ("[\"*\"]", "[\"p\", \"p\"]", "`p` is listed twice"),
    ] {
        let read = Profile::parse(&WIKI.replacen(from, to, 1), "p.toml", &env);
        match read {
            Ok(_) => assert_eq!(expected, "", "{to} is accepted"),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{to}: {error}"),
        }
    }
}

const MAPPED: &str =
    "\n[[store.mapping]]\ntable = \"page\"\nrename = { title = \"name\" }\ndefault = { lang = \"'en'\" }
transform = { size = \"bytes / 1024\" }\nignore = [\"seen\"]\n";

#[test]
fn a_mapping_is_read_and_what_is_wrong_with_it_is_told() {
    let read = Profile::parse(&format!("{WIKI}{MAPPED}"), "p.toml", &env).expect("a profile");
    let Resources::Mysql(RowsProfile { mapping, .. }) = &read.stores[0].resources else { panic!("a database") };
    assert_eq!(mapping[0].path, "store.wiki.mapping[1]");
    assert_eq!((mapping[0].rename["title"].as_str(), mapping[0].default["lang"].as_str()), ("name", "'en'"));
    let heads_of = |from: &str, to: &str| heads(&format!("{WIKI}{}", MAPPED.replacen(from, to, 1)));
    for (from, to, expected) in [
        ("table = \"page\"", "", "missing field `table` in `store.wiki.mapping[1]`"),
        ("\"page\"", "\"p*\"", "14:9: store.wiki.mapping[1].table: not one table's name"),
        ("ignore", "ignored", "unknown field `ignored`, did you mean `ignore`?"),
        ("[\"seen\"]", "[\"lang\"]", "18:11: store.wiki.mapping[1].ignore: column `lang` is in `default` already"),
        ("[\"seen\"]", "[\"name\"]", "15:12: store.wiki.mapping[1].rename: dr's column `name` is in `ignore` as well"),
        ("{ title = \"name\" }", "{ a = \"n\", b = \"n\" }", "dr's column `n` stands for two columns"),
        ("{ title = \"name\" }", "{ size = \"n\" }", "transform: column `size` is in `rename` already"),
        ("{ title = \"name\" }", "{ title = 3 }", "rename.title: must be a string that is not empty"),
        ("{ title = \"name\" }", "\"name\"", "rename: wrong type: expected a table of strings, found a string"),
        (
            "ignore = [\"seen\"]",
            "[[store.mapping]]\ntable = \"page\"\nignore = [\"x\"]",
            "table `page` has a mapping already",
        ),
        (
            "ignore = [\"seen\"]",
            "[[store.mapping]]\ntable = \"user\"",
            "store.wiki.mapping[2]: the mapping says nothing",
        ),
    ] {
        let told = heads_of(from, to);
        assert!(told.len() == 1 && told[0].contains(expected), "{to}: {told:#?}");
    }
    let ordered = WIKI.replace("tables", "newest_column = \"seen\"\ntables");
    assert!(heads(&format!("{ordered}{MAPPED}"))[0].contains("`seen` is `newest_column`, which is compared"));
    let of_schemas = format!(
        "{GOOD}[[store]]\nname = \"x\"\nkind = \"postgres\"\nprimary = {{ url = \"postgres://me@a/x\" }}
dr = {{ url = \"postgres://me@b/x\" }}\ntables = [\"a.*\"]{MAPPED}"
    );
    assert!(heads(&of_schemas)[0].contains("store.x.mapping[1].table: not one table's full name"));
    let elsewhere = GOOD.replace("base = \"none\"", "mapping = []");
    assert!(heads(&elsewhere)[0].contains("unknown field `mapping`"));
}

/// The public fields of the profile's types, as the profile spells them.
fn field_names() -> Vec<String> {
    let source = std::fs::read_to_string(root().join("src/profile/mod.rs")).expect("the source");
    let resources = source.split("pub enum Resources").nth(1).and_then(|rest| rest.split("\n}\n").next()).expect("it");
    let variants = resources.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let fields = source.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    let names = fields.chain(variants).filter_map(|line| line.split_once(": ")).map(|(name, _)| name);
    let is_field = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let spelled = |name: &str| match name {
        "record_type" => "type".to_owned(),
        "stores" => "store".to_owned(),
        "resources" => "kind".to_owned(),
        other => other.to_owned(),
    };
    names.filter(is_field).map(spelled).collect()
}

#[test]
fn the_documentation_names_every_field() {
    let text = std::fs::read_to_string(root().join("docs/profile.md")).expect("docs/profile.md");
    let names = field_names();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("`{name}`")), "docs/profile.md does not name `{name}`");
    }
}
