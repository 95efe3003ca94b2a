//! `digest = "server"`: databases that hash their rows themselves, held against whole rows that are hashed here.

mod mysql;
mod postgres;

use std::collections::BTreeMap;

use failback::store::{Depth, ReadStore};
use serde_json::Value as Json;

use crate::postgres::leaves;
use crate::rig::{Home, Ran, now};

const SERVER: &str = "digest = \"server\"\n";
const STREAM: &str = "digest = \"stream\"\n";

const SIDES: &str = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
const FREEZE: &str = "[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n";

/// Two databases of one kind.
struct Pair {
    kind: &'static str,
    tables: &'static str,
    /// The URLs of the primary and of dr.
    urls: [String; 2],
}

impl Pair {
    fn profile(&self, base: Option<&str>, more: &str) -> String {
        let (times, base) = match base {
            Some(name) => (format!("disaster_at = {}\n", now()), format!("base = {{ checkpoint = \"{name}\" }}\n")),
            None => (String::new(), String::new()),
        };
        format!(
            "name = \"p\"\n{times}{SIDES}[[store]]\nname = \"books\"\nkind = \"{}\"\nprimary = {{ url = \"{}\" }}\n\
             dr = {{ url = \"{}\" }}\ntables = [\"{}\"]\n{base}{more}\
             policy = {{ overwrite_limit_percent = 100, delete_limit_percent = 100 }}\n{FREEZE}",
            self.kind, self.urls[0], self.urls[1], self.tables
        )
    }

    /// Verdicts by the key's `id`, of a fresh session.
    fn verdicts(&self, home: &Home, more: &str) -> (Ran, BTreeMap<String, String>) {
        home.write("p.toml", &self.profile(None, more));
        let diff = home.run("diff p.toml --json");
        let delta = diff.json()["stores"][0]["delta"].as_str().expect("a path").to_owned();
        let line = |line: &Json| {
            let text = |value: &Json| value.as_str().expect("a text").to_owned();
            (text(&line["key"]["id"]), format!("{} {}", text(&line["verdict"]), text(&line["change"])))
        };
        let lines = home.lines(&home.path(&delta)).iter().map(line).collect();
        (diff, lines)
    }

    /// From a checkpoint to an undo, after `strike` has changed dr; `alike` is whether both sides hold the same.
    async fn fails_back(&self, strike: impl AsyncFnOnce(), alike: impl AsyncFn() -> bool) {
        let home = Home::new();
        home.write("p.toml", &self.profile(None, SERVER));
        let step = home.run("checkpoint p.toml --name step --json").exits(0).json();
        assert_eq!(step["stores"][0]["compared"], "server", "{step}");
        strike().await;
        assert!(!alike().await);
        home.write("p.toml", &self.profile(Some("step"), STREAM));
        home.run("diff p.toml").exits(2).says("was made with digest = \"server\", and the profile says \"stream\"");
        home.write("p.toml", &self.profile(Some("step"), SERVER));
        let diff = home.run("diff p.toml --json").exits(1).json();
        let verdicts = &diff["stores"][0]["verdicts"];
        assert!(verdicts["dr_only"].as_u64() > Some(0), "{verdicts}");
        assert_eq!(verdicts["conflict"].as_u64(), Some(0), "{verdicts}");
        assert_eq!(verdicts["stranded"].as_u64(), Some(0), "{verdicts}");
        home.run("diff p.toml").exits(1).prints("books: rows were compared by hashes that their databases made");
        home.run("plan p.toml --allow-everything").exits(0);
        home.run("replay p.toml --apply --yes --freeze").exits(0);
        assert!(alike().await);
        home.run("verify p.toml").exits(0);
        let certificate = home.read(".failback/p/certificate.json");
        assert!(certificate.contains("hashes that the databases made"), "{certificate}");
        home.run("undo p.toml --yes").exits(0);
        assert!(!alike().await);
        home.run("verify p.toml --undone").exits(0);
    }
}

/// A scan gives of every row what a fetch of it proves.
async fn scan_and_fetch_agree(store: &dyn ReadStore, hashed: impl Fn(&failback::model::Key) -> bool) {
    let scan = store.begin_scan(4).await.expect("a scan");
    let whole = leaves(scan.as_ref()).await;
    let keys: Vec<_> = whole.keys().cloned().collect();
    for item in store.fetch(&keys, Depth::Content).await.expect("items") {
        let item = item.expect("the row is there");
        let leaf = whole[&item.key];
        assert!(item.is_proved_by(&leaf), "{:?}", item.contents);
        assert_eq!(item.is_listed_as(&leaf), hashed(&item.key));
        assert!(item.is_proved() && item.lasting_digest() == item.digest);
    }
}
