//! Decisions on held items: taken by the real program or a screen, honoured by the next plan.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use failback::compare::Quiet;
use failback::digest::key_of;
use failback::model::{Side, StoreId, Value};
use failback::plan::Allowances;
use failback::profile::Profile;
use failback::replay::Mode;
use failback::session::{Choice, Exit, Exits, Options, Picked, Rule, Seen, Session, SessionError, Surroundings};
use failback::store::memory::{MemoryRegistry, MemoryTable};

use crate::rig::{Home, Ran};

/// A store that differs in some items, none of which a base explains: all are held.
struct Shop {
    home: Home,
    memory: MemoryRegistry,
}

fn key(id: &str) -> Value {
    Value::map([("id", Value::text(id))])
}

fn put(table: &MemoryTable, id: &str, value: &str) {
    table.put(&key(id), Value::map([("id", Value::text(id)), ("value", Value::text(value))]));
}

fn name(id: &str) -> (StoreId, String) {
    (StoreId("orders".into()), format!("{{\"id\":{{\"S\":\"{id}\"}}}}"))
}

impl Shop {
    fn new(differing: &[&str]) -> Shop {
        let shop = Shop { home: Home::new(), memory: MemoryRegistry::new() };
        for id in differing {
            put(&shop.table(Side::Primary), id, "home");
            put(&shop.table(Side::Dr), id, "away");
        }
        put(&shop.table(Side::Primary), "same", "same");
        put(&shop.table(Side::Dr), "same", "same");
        shop
    }

    fn table(&self, side: Side) -> MemoryTable {
        self.memory.table(if side == Side::Primary { "orders" } else { "orders-dr" })
    }

    fn session(&self) -> Session {
        let store = "[[store]]\nname = \"orders\"\nkind = \"memory\"\nprimary = { name = \"orders\" }\n";
        let sides = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
        let text = format!(
            "name = \"shop\"\n{sides}{store}dr = {{ name = \"orders-dr\" }}\n[freeze]\ncommand = [\"true\"]\nquiet_seconds = 1\n"
        );
        self.home.write("profile.toml", &text);
        let profile = Profile::parse(&text, "profile.toml", &|_| None).expect("a profile");
        let around = Surroundings {
            clock: Arc::new(failback::cli::SystemClock),
            progress: Arc::new(Quiet),
            memory: self.memory.clone(),
            checkpoints: self.home.path("checkpoints"),
            pace: Default::default(),
            dial: None,
        };
        Session::open(&self.home.path("session"), profile, &text, Options::default(), around).expect("a session")
    }

    fn decide(&self, options: &str) -> Ran {
        self.home.run(&format!("decide profile.toml --session session {options}"))
    }

    fn value(&self, side: Side, id: &str) -> Option<String> {
        let entries = self.table(side).entries().into_iter();
        let mut found = entries.filter(|(stored, _)| *stored == key_of(&key(id)));
        found.next().and_then(|(_, entry)| entry.contents.get("value").and_then(Value::as_text).map(str::to_owned))
    }
}

fn held_reasons(session: &Session) -> Vec<(String, String)> {
    let held = session.kept(100).expect("kept").held.into_iter();
    held.map(|kept| (kept.key["id"]["S"].as_str().expect("a text").to_owned(), kept.reason)).collect()
}

#[tokio::test]
async fn the_program_decides_by_key_by_rule_and_by_file_and_the_next_plan_obeys() {
    let shop = Shop::new(&["a-1", "a-2", "b-1", "c-1"]);
    let session = shop.session();
    assert_eq!(session.plan().await.expect("a plan").summary.held(), 4);
    drop(session);
    shop.decide("--choice dr --key {\"id\":{\"S\":\"a-1\"}} --by mia").exits(3).prints("decision 1 on 1 items");
    let by_rule = shop.decide("--choice primary --verdict unattributed --containing a-2 --by mia --json").exits(3);
    assert_eq!((&by_rule.json()["items"], &by_rule.json()["undecided"]), (&1.into(), &2.into()));
    shop.decide("--choice primary --change insert").exits(2).says("holds no such item");
    shop.decide("--choice primary --key {\"id\":{\"S\":\"same\"}}").exits(2).says("holds no item");
    let held = shop.home.read("session/held.ndjson");
    let rest: Vec<&str> = held.lines().filter(|line| !line.contains("\"a-")).collect();
    shop.home.write("rest.ndjson", &rest.join("\n"));
    shop.decide("--choice dr --file rest.ndjson").exits(0).prints("nothing is left to decide");
    let list = shop.decide("--list --json").exits(0).json();
    let listed = list["decisions"].as_array().expect("decisions").iter();
    let listed: Vec<_> =
        listed.map(|made| (made["choice"].as_str(), made["scope"].as_str(), made["items"].as_u64())).collect();
    let rule = "held items verdict unattributed, with \"a-2\" in the key";
    assert_eq!(
        listed,
        [
            (Some("dr"), Some("1 item"), Some(1)),
            (Some("primary"), Some(rule), Some(1)),
            (Some("dr"), Some("2 items"), Some(2))
        ]
    );
    let by = list["decisions"][2]["by"].as_str().expect("who");
    assert!(by.contains('@'), "the user and the machine: {by}");

    let session = shop.session();
    let planned = session.plan().await.expect("a plan");
    assert_eq!((planned.summary.steps(), planned.summary.held()), (3, 0));
    let accepted = session.kept(10).expect("kept").accepted;
    assert_eq!(accepted.len(), 1);
    assert!(accepted[0].reason.starts_with("decided by mia at "), "{}", accepted[0].reason);
    assert!(accepted[0].reason.ends_with(": keep primary"), "{}", accepted[0].reason);
    session.replay(Mode::Apply).await.expect("a replay");
    for (id, value) in [("a-1", "away"), ("a-2", "home"), ("b-1", "away"), ("c-1", "away")] {
        assert_eq!(shop.value(Side::Primary, id).as_deref(), Some(value), "{id}");
    }
    drop(session);
    shop.decide("--take-back 3").exits(2).says("2 of its 2 items were replayed already; failback undo");
    shop.decide("--take-back 9").exits(2).says("no such decision");
    shop.decide("--take-back 2 --by mia").exits(0);
    shop.decide("--take-back 2").exits(2).says("mia took it back");
    shop.decide("--list").exits(0).prints("by mia");

    let session = shop.session();
    let verified = session.verify().await.expect("verified");
    assert_eq!((verified.at_parity(), verified.stores[0].unaccepted), (false, 1), "nobody accepts it any more");
    assert_eq!(session.plan().await.expect("a plan").summary.held(), 1);
    session.undo().await.expect("an undo");
    session.take_back(3, "mia").expect("what was put back can be taken back");
}

#[tokio::test]
async fn a_decision_ends_when_either_side_changes() {
    let shop = Shop::new(&["dr-changed", "primary-changed", "kept", "replayed"]);
    let session = shop.session();
    session.plan().await.expect("a plan");
    let choose =
        async |id: &str, choice| session.decide(&Picked::Items(vec![name(id)]), choice, "mia").await.expect("decided");
    choose("dr-changed", Choice::Dr).await;
    choose("primary-changed", Choice::Dr).await;
    choose("kept", Choice::Primary).await;
    assert_eq!(choose("replayed", Choice::Dr).await.undecided, 0);
    put(&shop.table(Side::Dr), "dr-changed", "later");
    put(&shop.table(Side::Primary), "primary-changed", "later");
    put(&shop.table(Side::Dr), "kept", "later");
    let planned = session.plan().await.expect("a plan");
    assert_eq!((planned.summary.steps(), planned.summary.held()), (1, 3));
    for (id, reason) in held_reasons(&session) {
        assert!(reason.starts_with("changed since it was decided (decision "), "{id}: {reason}");
    }
    assert_eq!(session.undecided().expect("counted"), 3, "what was decided on another plan is to be decided anew");
    session.replay(Mode::Apply).await.expect("a replay");
    put(&shop.table(Side::Dr), "replayed", "later");
    let planned = session.plan().await.expect("a plan");
    assert_eq!(planned.summary.held(), 3, "what was carried out binds no longer: {:?}", held_reasons(&session));
    assert_eq!(planned.summary.steps(), 1);
    choose("dr-changed", Choice::Primary).await;
    choose("dr-changed", Choice::Dr).await;
    session.plan().await.expect("a plan");
    session.replay(Mode::Apply).await.expect("a replay");
    assert_eq!(shop.value(Side::Primary, "dr-changed").as_deref(), Some("later"), "the latest decision wins");
    assert_eq!(shop.value(Side::Primary, "kept").as_deref(), Some("home"));
}

#[tokio::test]
async fn a_plan_that_rests_on_what_was_taken_back_is_not_carried_out() {
    let shop = Shop::new(&["a", "b"]);
    for side in [Side::Primary, Side::Dr] {
        shop.table(side).remove(&key("same"));
    }
    let session = shop.session();
    session.plan().await.expect("a plan");
    let all = Picked::Rule(Rule::default());
    session.decide(&all, Choice::Dr, "mia").await.expect("decided");
    assert_eq!(session.plan().await.expect("a plan").exit(), Exit::Undecided, "every item would be touched");
    session
        .allow(Allowances { overwrites: true, everything: true, ..Allowances::default() }, vec!["all".into()], "mia")
        .expect("allowed");
    assert_eq!(session.plan().await.expect("a plan").summary.steps(), 2);
    session.take_back(1, "tom").expect("taken back");
    let refused = session.replay(Mode::Apply).await.expect_err("a plan without its decision");
    assert!(matches!(refused, SessionError::DecisionTakenBack { number: 1 }), "{refused}");
    assert_eq!(shop.value(Side::Primary, "a").as_deref(), Some("home"));
    drop(session);
    let replay = "replay profile.toml --session session --apply --yes";
    shop.home.run(replay).exits(3).says("decision 1 stood, which was taken back since").says("run failback plan");
    let session = shop.session();
    assert_eq!(session.plan().await.expect("a plan").summary.held(), 2);
    session.replay(Mode::Apply).await.expect("nothing to do");
    assert_eq!(session.state().expect("a state").allowed[0].2, ["all"]);
    drop(session);
    shop.decide("--list").exits(3).prints("mia allowed: all").prints("by tom");
}

#[tokio::test]
async fn both_sides_contents_are_kept_for_the_business_before_the_decision_is() {
    let shop = Shop::new(&["kept", "changed"]);
    shop.table(Side::Dr).remove(&key("changed"));
    put(&shop.table(Side::Dr), "new", "away");
    let session = shop.session();
    session.plan().await.expect("a plan");
    put(&shop.table(Side::Primary), "changed", "later");
    let outcome = session.decide(&Picked::Rule(Rule::default()), Choice::Both, "mia").await.expect("decided");
    assert_eq!((outcome.items, outcome.changed, outcome.undecided), (2, 1, 1));
    let file = outcome.file.clone().expect("a file");
    assert_eq!(file, shop.home.path("session/business/decision-1.ndjson"));
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let lines = shop.home.lines(&file);
    let of = |id: &str| lines.iter().find(|line| line["key"]["id"]["S"] == id);
    assert_eq!(lines.len(), 2);
    assert_eq!(of("changed"), None, "nobody saw what it is now");
    let kept = of("kept").expect("a line");
    assert_eq!(kept["primary"]["M"]["value"]["S"], "home");
    assert_eq!((&kept["dr"]["M"]["value"]["S"], &kept["decided_by"]), (&"away".into(), &"mia".into()));
    assert_eq!(of("new").map(|line| line["primary"].clone()), Some(serde_json::Value::Null));
    let state = session.state().expect("a state");
    assert_eq!(state.decisions[0].file, Some(file.display().to_string()));
    let planned = session.plan().await.expect("a plan");
    assert_eq!((planned.summary.steps(), planned.summary.held()), (2, 1));
    put(&shop.table(Side::Primary), "changed", "even later");
    let all = session.decide(&Picked::Items(vec![name("changed")]), Choice::Both, "mia").await;
    assert!(matches!(all, Err(SessionError::NotDecided { .. })), "{all:?}");
    assert!(!shop.home.path("session/business/decision-2.ndjson").exists());
}

#[tokio::test]
async fn an_item_is_seen_side_by_side_as_it_is_now() {
    let shop = Shop::new(&["a"]);
    put(&shop.table(Side::Dr), "only-dr", "away");
    let session = shop.session();
    let store = StoreId("orders".into());
    let seen = session.look(&store, &key_of(&key("a"))).await.expect("seen");
    let value = |seen: &Seen| match seen {
        Seen::Contents(contents) => contents["M"]["value"]["S"].as_str().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!((value(&seen.primary).as_deref(), value(&seen.dr).as_deref()), (Some("home"), Some("away")));
    assert_eq!(seen.base, Seen::Unknown("this store has no base".into()));
    let seen = session.look(&store, &key_of(&key("only-dr"))).await.expect("seen");
    assert_eq!(seen.primary, Seen::Absent);
    assert!(session.look(&StoreId("media".into()), &key_of(&key("a"))).await.is_err());
}

#[test]
fn what_is_to_be_decided_must_be_said() {
    let shop = Shop::new(&[]);
    drop(shop.session());
    for (options, words) in [
        ("", "--choice"),
        ("--choice dr", "which held items is not said"),
        ("--choice dr --all --verdict conflict", "cannot be used with"),
        ("--choice dr --key {} --all", "cannot be used with"),
        ("--choice newest --all", "invalid value"),
        ("--choice dr --verdict odd", "invalid value"),
        ("--verdict conflict", "--choice"),
        ("--list --choice dr --all", "cannot be used with"),
        ("--choice dr --key {", "not JSON"),
        ("--choice dr --all", "no plan"),
        ("--choice dr --file none", "cannot read items none"),
    ] {
        let ran = shop.decide(options).exits(2).says(words);
        assert_eq!(ran.out, "", "{options}");
    }
    shop.home.write("bad.ndjson", "{\"store\":\"orders\"}\n");
    shop.decide("--choice dr --file bad.ndjson").exits(2).says("bad.ndjson:1: not an item").says("`key`");
}
