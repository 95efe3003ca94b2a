//! `[[store.mapping]]`: models that moved on during the disaster, on real servers.

mod mysql;
mod postgres;

use std::collections::BTreeMap;

use failback::profile::{MappingProfile, Profile, Resources};
use serde_json::Value as Json;

use crate::rig::{Home, Ran, now};

const STREAM: &str = "digest = \"stream\"\n";
const SERVER: &str = "digest = \"server\"\n";

const SIDES: &str = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
const FREEZE: &str = "[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n";

/// Two databases of one kind, and a base restored aside.
struct Pair {
    kind: &'static str,
    tables: &'static str,
    /// The URLs of the primary and of dr.
    urls: [String; 2],
    base: String,
}

impl Pair {
    /// `more` is of the store, `mapping` ends it.
    fn profile(&self, more: &str, mapping: &str) -> String {
        format!(
            "name = \"p\"\ndisaster_at = {}\n{SIDES}{FREEZE}[[store]]\nname = \"books\"\nkind = \"{}\"\nprimary = {{ url = \"{}\" }}\n\
             dr = {{ url = \"{}\" }}\ntables = [\"{}\"]\nbase = {{ database = \"{}\" }}\n{more}\
             policy = {{ conflict = \"dr-wins\", overwrite_limit_percent = 100, delete_limit_percent = 100 }}\n{mapping}",
            now(),
            self.kind,
            self.urls[0],
            self.urls[1],
            self.tables,
            self.base
        )
    }

    /// What a fresh session tells of a profile.
    fn told(&self, command: &str, mapping: &str) -> Ran {
        let home = Home::new();
        home.write("p.toml", &self.profile("", mapping));
        home.run(&format!("{command} p.toml"))
    }
}

/// Verdicts by table and key.
fn verdicts(home: &Home, diff: &Ran) -> BTreeMap<String, String> {
    let delta = diff.json()["stores"][0]["delta"].as_str().expect("a path").to_owned();
    let line = |line: &Json| {
        let text = |value: &Json| value.as_str().expect("a text").to_owned();
        let key = line["key"].as_object().expect("a key");
        let named = key.iter().filter(|(name, _)| *name != "table").map(|(name, value)| match name.as_str() {
            "row" => "row".to_owned(),
            _ => format!("{name} {}", text(value)),
        });
        let name = format!("{} {}", text(&key["table"]), named.collect::<Vec<_>>().join(" "));
        (name, format!("{} {}", text(&line["verdict"]), text(&line["change"])))
    };
    home.lines(&home.path(&delta)).iter().map(line).collect()
}

/// The mappings of a store, as a profile's text has them.
pub fn mappings(kind: &str, text: &str) -> Vec<MappingProfile> {
    let text = format!(
        "name = \"p\"\n{SIDES}[[store]]\nname = \"books\"\nkind = \"{kind}\"\nprimary = {{ url = \"{kind}://me@one/x\" }}\n\
         dr = {{ url = \"{kind}://me@two/x\" }}\ntables = [\"*{}\"]\n{text}",
        if kind == "postgres" { ".*" } else { "" }
    );
    let profile = Profile::parse(&text, "p.toml", &|_| None).expect("a profile");
    match &profile.stores[0].resources {
        Resources::Postgres(rows) | Resources::Mysql(rows) => rows.mapping.clone(),
        other => panic!("{other:?}"),
    }
}

/// What a failback must find and leave.
struct Story<'a> {
    mapping: &'a str,
    verdicts: &'a [(&'a str, &'a str)],
    /// The primary's rows after the replay, in order.
    wanted: &'a [&'a str],
}

/// From a diff by each digest to an undo; `rows` gives the primary's rows in order.
async fn comes_home(pair: &Pair, story: &Story<'_>, rows: impl AsyncFn() -> Vec<String>) {
    let expected: BTreeMap<String, String> =
        story.verdicts.iter().map(|(key, verdict)| ((*key).to_owned(), (*verdict).to_owned())).collect();
    for digest in [STREAM, SERVER] {
        let home = Home::new();
        home.write("p.toml", &pair.profile(digest, story.mapping));
        let diff = home.run("diff p.toml --json").exits(1);
        assert_eq!(verdicts(&home, &diff), expected, "{digest}");
        let before = rows().await;
        home.run("plan p.toml --allow-everything --accept-base-age").exits(3);
        let held = home.read(".failback/p/held.ndjson");
        assert!(held.lines().count() == 1 && held.contains("a delete would lose what the primary has"), "{held}");
        home.run("decide p.toml --choice primary --change delete --by mia").exits(0);
        home.run("replay p.toml --apply --yes --freeze --allow-everything --accept-base-age").exits(0);
        assert_eq!(rows().await, story.wanted, "{digest}");
        home.run("verify p.toml").exits(0);
        let certificate = home.read(".failback/p/certificate.json");
        for words in
            ["that the mapping ignores: ", "which dr has not: the mapping takes it as 'web'", "is right to take"]
        {
            assert!(certificate.contains(words), "{certificate}");
        }
        home.run("undo p.toml --yes").exits(0);
        assert_eq!(rows().await, before, "{digest}");
        home.run("verify p.toml --undone").exits(0);
    }
}

/// A plan is for the mapping that it was made by.
fn refuses_another_mapping(pair: &Pair, mapping: &str, other: &str) {
    let home = Home::new();
    home.write("p.toml", &pair.profile("", mapping));
    home.run("plan p.toml --allow-everything --accept-base-age");
    home.write("p.toml", &pair.profile("", other));
    home.run("replay p.toml").exits(3).says("by mapping");
    home.write("p.toml", &pair.profile("", mapping));
    home.run("replay p.toml");
}
