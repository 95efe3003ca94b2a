//! A failback from checkpoint to undo by the real program, on a table and a bucket the drill knows nothing of.

use std::collections::BTreeMap;

use failback::model::Timestamp;
use serde_json::{Value as Json, json};

use crate::rig::{BUCKET, DR, Home, PRIMARY, Regions, TABLE, now, reading};

/// A profile with a table and a bucket; `more` ends the `[[store]]`s.
fn profile(regions: &Regions, struck: Option<Timestamp>, age_max: u64) -> String {
    let (times, base) = match struck {
        Some(at) => (format!("disaster_at = {at}\n"), "base = { checkpoint = \"step\" }\n"),
        None => (String::new(), ""),
    };
    let stores = [("sensors", "dynamodb", "table", TABLE), ("maps", "s3", "bucket", BUCKET)];
    let stores = stores.map(|(name, kind, word, [primary, dr])| {
        format!(
            "[[store]]\nname = \"{name}\"\nkind = \"{kind}\"\nprimary = {{ {word} = \"{primary}\" }}\n\
             dr = {{ {word} = \"{dr}\" }}\n{base}limits = {{ writes_per_second = 0 }}\n"
        )
    });
    let zone = &regions.zone;
    format!(
        "name = \"p\"\n{times}{}{}[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n[cutover]\n\
         hosted_zone = \"{zone}\"\nrecord = {{ name = \"app.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }}\n\
         stages = [50, 100]\nhold_seconds = 0\ncertificate_age_seconds_max = {age_max}\n",
        regions.sides(),
        stores.concat()
    )
}

/// Items that are in step on both sides.
async fn in_step(regions: &Regions) {
    for side in [PRIMARY, DR] {
        for at in 1..=20 {
            regions.put(side, reading("a", at, "seeded")).await;
        }
        for at in 1..=10 {
            regions.put_object(side, &format!("m/{at:02}"), "seeded").await;
        }
    }
}

/// Every verdict and change that a table without time to live can have; all in sensor `a`, new ones from 100.
async fn disaster(regions: &Regions) {
    let put = async |side, at, value| regions.put(side, reading("a", at, value)).await;
    put(DR, 1, "by dr").await;
    put(DR, 100, "by dr").await;
    regions.delete(DR, "a", 2).await;
    put(PRIMARY, 3, "by primary").await;
    put(PRIMARY, 101, "by primary").await;
    regions.delete(PRIMARY, "a", 4).await;
    put(PRIMARY, 5, "by primary").await;
    put(DR, 5, "by dr").await;
    put(PRIMARY, 102, "by primary").await;
    put(DR, 102, "by dr").await;
    put(PRIMARY, 6, "by primary").await;
    regions.delete(DR, "a", 6).await;
    for side in [PRIMARY, DR] {
        put(side, 7, "by both").await;
        put(side, 103, "by both").await;
        regions.delete(side, "a", 8).await;
    }
    regions.put_object(DR, "m/01", "by dr").await;
    regions.put_object(DR, "new", "by dr").await;
    regions.delete_object(DR, "m/02").await;
    regions.put_object(PRIMARY, "m/03", "by primary").await;
}

/// What a comparison must say: verdict and change by key.
fn planted() -> BTreeMap<String, (&'static str, &'static str)> {
    let rows = [
        (1, "dr_only", "update"),
        (100, "dr_only", "insert"),
        (2, "dr_only", "delete"),
        (3, "stranded", "update"),
        (101, "stranded", "delete"),
        (4, "stranded", "insert"),
        (5, "conflict", "update"),
        (102, "conflict", "update"),
        (6, "conflict", "delete"),
    ];
    let rows = rows.map(|(at, verdict, change)| (row_key(at).to_string(), (verdict, change)));
    let objects = [
        ("m/01", "dr_only", "update"),
        ("new", "dr_only", "insert"),
        ("m/02", "dr_only", "delete"),
        ("m/03", "stranded", "update"),
    ];
    let objects = objects.map(|(key, verdict, change)| (json!({"key": key}).to_string(), (verdict, change)));
    rows.into_iter().chain(objects).collect()
}

fn row_key(at: u32) -> Json {
    json!({"sensor": {"S": "a"}, "at": {"N": at.to_string()}})
}

/// Key objects compare by text, so their fields need one order.
fn canonical(key: &Json) -> String {
    match (key.get("sensor"), key.get("at")) {
        (Some(sensor), Some(at)) => json!({"sensor": sensor, "at": at}).to_string(),
        _ => key.to_string(),
    }
}

/// In step, checkpointed, struck and changed; gives the home with its profile.
async fn struck(regions: &Regions) -> Home {
    let home = Home::new();
    in_step(regions).await;
    home.write("p.toml", &profile(regions, None, 900));
    home.run("check p.toml").exits(0).prints("ready");
    home.run("checkpoint p.toml --name step").exits(0).prints("in step");
    home.run("checkpoint p.toml --name step").exits(2).says("never overwritten");
    home.write("p.toml", &profile(regions, Some(now()), 900));
    disaster(regions).await;
    home
}

/// The lines of every store's delta in a document with `stores`.
fn delta(home: &Home, stores: &Json) -> Vec<Json> {
    let stores = stores.as_array().expect("stores").iter();
    stores.flat_map(|store| home.lines(store["delta"].as_str().expect("a path").as_ref())).collect()
}

/// Decides every held item.
fn decide(home: &Home, winner: impl Fn(&str) -> &'static str) {
    let lines = home.lines(".failback/p/held.ndjson".as_ref());
    let decided = lines.iter().map(|line| {
        let decision = winner(&canonical(&line["key"]));
        json!({"store": line["store"], "key": line["key"], "decision": decision}).to_string() + "\n"
    });
    home.write("decisions.ndjson", &decided.collect::<String>());
}

fn value_of(rows: &std::collections::HashMap<String, crate::rig::Row>, name: &str) -> Option<String> {
    rows.get(name).map(|row| row["value"].as_s().expect("a text").clone())
}

#[tokio::test]
async fn a_failback_from_checkpoint_to_undo() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;

    let document = home.run("diff p.toml --json").exits(1).json();
    let lines = delta(&home, &document["stores"]);
    let words = |line: &Json, field: &str| line[field].as_str().expect("a word").to_owned();
    let found: BTreeMap<_, _> = lines
        .iter()
        .map(|line| (canonical(&line["key"]), (words(line, "verdict").replace('-', "_"), words(line, "change"))))
        .collect();
    let wanted = planted().into_iter().map(|(key, (verdict, change))| (key, (verdict.into(), change.into()))).collect();
    assert_eq!(found, wanted);
    let verdicts = &document["stores"][0]["verdicts"];
    assert_eq!((&verdicts["converged"], &verdicts["unchanged"]), (&json!(3), &json!(12)), "{verdicts}");

    let planned = home.run("plan p.toml --json").exits(3).json();
    assert_eq!((&planned["held"], &planned["steps"]), (&json!(3), &json!(6)), "{planned}");
    let second = row_key(102).to_string();
    decide(&home, |key| if key == second { "primary" } else { "dr" });
    let planned = home.run("plan p.toml --decisions decisions.ndjson --json").exits(0).json();
    assert_eq!((&planned["held"], &planned["steps"]), (&json!(0), &json!(8)), "{planned}");

    let before = (regions.rows(PRIMARY).await, regions.objects(PRIMARY).await);
    home.run("replay p.toml").exits(0).prints("a dry run: nothing was written");
    assert_eq!((regions.rows(PRIMARY).await, regions.objects(PRIMARY).await), before);
    home.run("verify p.toml").exits(1).prints("NOT AT PARITY");
    assert!(!home.path(".failback/p/certificate.json").exists());
    home.run("cutover p.toml --yes").exits(3).says("run failback verify");

    let dr = (regions.rows(DR).await, regions.objects(DR).await);
    home.run("replay p.toml --apply --yes").exits(0).prints("applied");
    let rows = regions.rows(PRIMARY).await;
    for (name, value) in [
        ("a/1", Some("by dr")),
        ("a/100", Some("by dr")),
        ("a/2", None),
        ("a/3", Some("by primary")),
        ("a/101", Some("by primary")),
        ("a/4", None),
        ("a/5", Some("by dr")),
        ("a/102", Some("by primary")),
        ("a/6", None),
        ("a/7", Some("by both")),
    ] {
        assert_eq!(value_of(&rows, name).as_deref(), value, "{name}");
    }
    let objects = regions.objects(PRIMARY).await;
    let object = |name: &str| objects.get(name).map(String::as_str);
    assert_eq!([object("m/01"), object("new"), object("m/03")], [Some("by dr"), Some("by dr"), Some("by primary")]);
    assert_eq!(object("m/02"), None);
    assert_eq!((regions.rows(DR).await, regions.objects(DR).await), dr, "dr is never written");
    home.run("replay p.toml --apply --yes").exits(0);

    certified_and_moved(&home, &regions).await;

    home.run("undo p.toml --yes").exits(0).prints("restored");
    assert_eq!((regions.rows(PRIMARY).await, regions.objects(PRIMARY).await), before);
    home.run("verify p.toml --undone").exits(0).prints("as before");
    home.run("undo p.toml --yes").exits(0);
    home.run("report p.toml").exits(0);
}

/// Verify, the certificate by itself, altered and stale ones, cutover there and back.
async fn certified_and_moved(home: &Home, regions: &Regions) {
    let verified = home.run("verify p.toml --freeze --yes --json").exits(0).json();
    assert_eq!(verified["parity"], true);
    let file = verified["certificate"].as_str().expect("a file").to_owned();
    let accepted: u64 =
        verified["stores"].as_array().expect("stores").iter().map(|s| s["accepted"].as_u64().expect("a count")).sum();
    assert_eq!(accepted, 5, "{verified}");
    home.run(&format!("certificate {file}")).exits(0).prints("valid");
    let recomputed = home.run(&format!("certificate {file} --manifest .failback/p/manifests/verify --json")).exits(0);
    assert_eq!((&recomputed.json()["valid"], &recomputed.json()["roots_agree"]), (&json!(true), &json!(true)));

    let text = home.read(&file);
    for (at, byte) in text.char_indices().filter(|(_, byte)| byte.is_ascii_digit()).step_by(97) {
        let mut altered = text.clone();
        altered.replace_range(at..=at, if byte == '7' { "6" } else { "7" });
        home.write("altered.json", &altered);
        let ran = home.run("certificate altered.json");
        assert_eq!(ran.code, Some(3), "byte {at}: {}{}", ran.out, ran.err);
    }
    home.run("cutover p.toml --certificate altered.json --yes").exits(3);
    assert_eq!(regions.weights().await, [0, 100]);
    let fresh = home.read("p.toml");
    home.write("p.toml", &fresh.replace("certificate_age_seconds_max = 900", "certificate_age_seconds_max = 1"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    home.run("cutover p.toml --yes").exits(3).says("certificate");
    assert_eq!(regions.weights().await, [0, 100], "a refused certificate moves nobody");
    home.write("p.toml", &fresh);

    let moved = home.run("cutover p.toml --yes --json").exits(0).json();
    assert_eq!(moved["command"], "cutover");
    let [primary, dr] = regions.weights().await;
    assert!(primary > 0 && dr == 0, "{primary}/{dr}");
    home.run("cutover p.toml --retreat").exits(0);
    let [primary, dr] = regions.weights().await;
    assert!(primary == 0 && dr > 0, "{primary}/{dr}");
}

#[tokio::test]
async fn what_changes_between_plan_and_replay_is_refused_or_stale() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run("plan p.toml").exits(3);
    decide(&home, |_| "dr");
    home.run("plan p.toml --decisions decisions.ndjson").exits(0);
    // dr goes on, and someone writes to the primary.
    regions.put(DR, reading("a", 1, "again by dr")).await;
    home.run("replay p.toml --apply --yes").exits(1).prints("stale");
    assert_eq!(value_of(&regions.rows(PRIMARY).await, "a/1").as_deref(), Some("seeded"));
    home.run("plan p.toml").exits(0);
    regions.put(PRIMARY, reading("a", 1, "late by primary")).await;
    let refused = home.run("replay p.toml --apply --yes --json").exits(3).json();
    assert_eq!(refused["refused"], 1, "{refused}");
    let kept = regions.rows(PRIMARY).await;
    assert_eq!(value_of(&kept, "a/1").as_deref(), Some("late by primary"), "nothing is overwritten unseen");
    home.run("replay p.toml --apply --yes").exits(3).prints("refused");
    home.run("verify p.toml").exits(1);
    home.run("plan p.toml").exits(3);
    decide(&home, |_| "dr");
    home.run("plan p.toml --decisions decisions.ndjson").exits(0);
    home.run("replay p.toml --apply --yes").exits(0);
    home.run("verify p.toml").exits(0);
    assert_eq!(value_of(&regions.rows(PRIMARY).await, "a/1").as_deref(), Some("again by dr"));
}

#[tokio::test]
async fn stores_planned_apart_are_undone_together() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run("verify p.toml --undone").exits(2).says("wrote nothing");
    let before = (regions.rows(PRIMARY).await, regions.objects(PRIMARY).await);
    for store in ["sensors", "maps"] {
        home.run(&format!("plan p.toml --store {store}"));
        home.run("replay p.toml --apply --yes");
    }
    assert_ne!(regions.rows(PRIMARY).await, before.0);
    assert_ne!(regions.objects(PRIMARY).await, before.1);
    home.run("undo p.toml --yes").exits(0);
    assert_eq!((regions.rows(PRIMARY).await, regions.objects(PRIMARY).await), before);
    let undone = home.run("verify p.toml --undone --json").exits(0).json();
    assert_eq!(undone["stores"].as_array().map(Vec::len), Some(2), "{undone}");
}

#[tokio::test]
async fn an_empty_dr_and_a_recreated_table_stop_the_plan() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    in_step(&regions).await;
    home.write("p.toml", &profile(&regions, None, 900));
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &profile(&regions, Some(now()), 900));
    for at in 1..=20 {
        regions.delete(DR, "a", at).await;
    }
    let held = home.run("plan p.toml --json").exits(3).json();
    assert_eq!((&held["steps"], &held["held"]), (&json!(0), &json!(20)), "{held}");
    home.run("plan p.toml --allow-deletes").exits(3).prints("all steps held");
    home.run("replay p.toml --apply --yes").exits(3);
    assert_eq!(regions.rows(PRIMARY).await.len(), 20);
    let allowed = home.run("plan p.toml --allow-empty-dr --allow-deletes --allow-everything --json").exits(0).json();
    assert_eq!(allowed["steps"], 20, "{allowed}");
    // The plan is for the table it was made for, not for one of the same name.
    regions.recreate(PRIMARY).await;
    home.run("replay p.toml --apply --yes").exits(3).says("the plan no longer fits");
}

#[tokio::test]
async fn a_certificate_of_some_stores_or_of_another_session_moves_nobody() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    in_step(&regions).await;
    home.write("p.toml", &profile(&regions, None, 900));
    home.run("verify p.toml --store sensors").exits(0);
    home.run("cutover p.toml --yes").exits(3).says("maps");
    home.run("verify p.toml --session elsewhere").exits(0);
    home.run("cutover p.toml --certificate elsewhere/certificate.json --yes").exits(3).says("refused");
    home.run("verify p.toml").exits(0);
    // What happened since the certificate was issued ends its worth.
    regions.put(PRIMARY, reading("a", 1, "late")).await;
    home.run("verify p.toml").exits(1);
    home.run("cutover p.toml --yes").exits(3).says("the sides differ").says("after it was issued");
    regions.put(PRIMARY, reading("a", 1, "seeded")).await;
    home.run("verify p.toml").exits(0);
    // A key of one's own is used for both, and never made; the session's certificate is then another's.
    let own = home.read("p.toml").replace("name = \"p\"\n", "name = \"p\"\nsigning_key = \"own.pem\"\n");
    home.write("own.toml", &own);
    home.run("verify own.toml").says("own.pem");
    assert!(!home.path("own.pem").exists());
    std::fs::copy(home.path("elsewhere/signing.key"), home.path("own.pem")).expect("a key");
    home.run("cutover own.toml --yes").exits(3).says("signed with another session's key");
    home.run("verify own.toml").exits(0);
    home.run("cutover p.toml --yes").exits(3).says("signed with another session's key");
    // Of the same stores and session, but one of them has since been made anew.
    regions.recreate(DR).await;
    home.run("cutover p.toml --yes").exits(3).says("refused");
    assert_eq!(regions.weights().await, [0, 100]);
}
