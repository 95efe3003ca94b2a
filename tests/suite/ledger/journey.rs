//! A failback from checkpoint to undo by the real program: a database, two tables and two buckets.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue as A, ScalarAttributeType};
use failback::model::Timestamp;
use serde_json::{Value as Json, json};

use super::planted::{self, Edit, Winner};
use super::{BOOKS, CLERK, Ledgers, Rows, SUPERUSER, TRUTH, canonical, client, rows, run};
use crate::peers::PostgresMajor;
use crate::rig::{BUCKET, DR, Home, PRIMARY, Regions, Row, TABLE, now, reading};

/// The second table and bucket, beside those of [`Regions`].
const ROOMS: [&str; 2] = ["rooms", "rooms-west"];
const PLANS: [&str; 2] = ["plans-east", "plans-west"];

/// All stores of both sides, and what must be found in them.
struct Estate {
    regions: Regions,
    ledgers: Ledgers,
    /// Verdict and change by store and key.
    planted: BTreeMap<String, (&'static str, &'static str)>,
    /// Keys whose conflict a person decides for the primary.
    of_primary: Vec<String>,
}

/// Everything a side holds, by the plain clients.
#[derive(Debug, PartialEq)]
struct Holdings {
    books: Rows,
    sensors: HashMap<String, Row>,
    rooms: BTreeMap<String, Row>,
    objects: BTreeMap<String, String>,
}

impl Estate {
    async fn start(majors: [PostgresMajor; 2], user: &'static str) -> Option<Estate> {
        let (regions, ledgers) = (Regions::start().await?, Ledgers::start(majors, user).await?);
        for side in [PRIMARY, DR] {
            crate::dynamodb::create(&regions.tables[side], ROOMS[side], &[("id", ScalarAttributeType::B)]).await;
            regions.buckets[side].make_bucket(PLANS[side], true).await;
        }
        Some(Estate { regions, ledgers, planted: BTreeMap::new(), of_primary: Vec::new() })
    }

    fn profile(&self, struck: Option<Timestamp>) -> String {
        let (times, base) = match struck {
            Some(at) => (format!("disaster_at = {at}\n"), "base = { checkpoint = \"step\" }\n"),
            None => (String::new(), ""),
        };
        let policy = "policy = { overwrite_limit_percent = 90, delete_limit_percent = 50 }\nlimits = { writes_per_second = 0 }\n";
        let stores = [
            ("sensors", "dynamodb", "table", TABLE),
            ("rooms", "dynamodb", "table", ROOMS),
            ("maps", "s3", "bucket", BUCKET),
            ("plans", "s3", "bucket", PLANS),
        ];
        let stores = stores.map(|(name, kind, word, [primary, dr])| {
            format!(
                "[[store]]\nname = \"{name}\"\nkind = \"{kind}\"\nprimary = {{ {word} = \"{primary}\" }}\n\
                 dr = {{ {word} = \"{dr}\" }}\n{base}{policy}"
            )
        });
        let books = self.ledgers.store(planted::TABLES, &format!("{base}{policy}"));
        format!(
            "name = \"p\"\n{times}{}{}{books}[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n[cutover]\n\
             hosted_zone = \"{}\"\nstages = [50, 100]\nhold_seconds = 0\n\
             record = {{ name = \"app.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }}\n",
            self.regions.sides(),
            stores.concat(),
            self.regions.zone
        )
    }

    async fn put_room(&self, side: usize, id: &str, area: &str) {
        crate::dynamodb::put(&self.regions.tables[side], ROOMS[side], room(id, area)).await;
    }

    async fn put_plan(&self, side: usize, name: &str, body: &str) {
        self.regions.buckets[side].put(PLANS[side], name, body.as_bytes()).await;
    }

    async fn in_step(&self) {
        self.ledgers.run_both(planted::SCHEMA).await;
        self.ledgers.run_both(planted::SEED).await;
        for side in [PRIMARY, DR] {
            for at in 1..=12 {
                self.regions.put(side, reading("a", at, "seeded")).await;
                self.put_room(side, &format!("r{at}"), "10.50").await;
                self.regions.put_object(side, &format!("m/{at:02}"), "seeded").await;
                self.put_plan(side, &format!("p/{at:02}"), "seeded").await;
            }
        }
    }

    fn plant(&mut self, store: &str, key: &Json, verdict: &'static str, change: &'static str) {
        let name = format!("{store} {}", canonical(key));
        assert!(self.planted.insert(name, (verdict, change)).is_none(), "{store} {key} is planted twice");
    }

    /// What both sides did since the last common state.
    async fn disaster(&mut self) {
        let truth = client(self.ledgers.servers[PRIMARY].port, "postgres").await;
        run(&truth, &format!("CREATE DATABASE {TRUTH} TEMPLATE {BOOKS}")).await;
        let truth = client(self.ledgers.servers[PRIMARY].port, TRUTH).await;
        self.ledgers.run_both(planted::BOTH).await;
        run(&truth, planted::BOTH).await;
        for edit in planted::edits() {
            self.edit(&edit).await;
            let won = if edit.winner == Winner::Dr { edit.dr } else { edit.primary };
            run(&truth, won).await;
        }
        for (side, statement, _, _) in planted::LOOSE {
            self.ledgers.run(side, statement).await;
            // Nothing of a table without a key is ever written.
            if side == PRIMARY {
                run(&truth, statement).await;
            }
        }
        for _ in 0..6 {
            self.ledgers.number(PRIMARY, "SELECT nextval('sales.ticket')").await;
        }
        self.ledgers.number(DR, "SELECT nextval('sales.ticket')").await;
        self.disaster_in_tables().await;
        self.disaster_in_buckets().await;
    }

    async fn edit(&mut self, edit: &Edit) {
        for (side, statement) in [(PRIMARY, edit.primary), (DR, edit.dr)] {
            self.ledgers.run(side, statement).await;
        }
        self.plant("books", &edit.key, edit.verdict, edit.change);
        if edit.verdict == "conflict" && edit.winner == Winner::Primary {
            self.of_primary.push(format!("books {}", canonical(&edit.key)));
        }
    }

    async fn disaster_in_tables(&mut self) {
        let regions = &self.regions;
        regions.put(DR, reading("a", 1, "by dr")).await;
        regions.delete(DR, "a", 2).await;
        regions.put(PRIMARY, reading("a", 3, "by primary")).await;
        regions.put(PRIMARY, reading("a", 4, "by primary")).await;
        regions.put(DR, reading("a", 4, "by dr")).await;
        let sensor = |at: u32| json!({"sensor": {"S": "a"}, "at": {"N": at.to_string()}});
        for (at, verdict, change) in
            [(1, "dr_only", "update"), (2, "dr_only", "delete"), (3, "stranded", "update"), (4, "conflict", "update")]
        {
            self.plant("sensors", &sensor(at), verdict, change);
        }
        self.put_room(DR, "new", "99").await;
        self.put_room(PRIMARY, "late", "1").await;
        // A number spelled otherwise is the same number.
        self.put_room(DR, "r5", "10.5").await;
        self.put_room(PRIMARY, "r6", "6").await;
        self.put_room(DR, "r6", "7").await;
        for (id, verdict, change) in
            [("new", "dr_only", "insert"), ("late", "stranded", "delete"), ("r6", "conflict", "update")]
        {
            self.plant("rooms", &room_key(id), verdict, change);
        }
        self.of_primary.push(format!("rooms {}", canonical(&room_key("r6"))));
    }

    async fn disaster_in_buckets(&mut self) {
        self.regions.put_object(DR, "m/01", "by dr").await;
        self.regions.put_object(DR, "neu/é €", "by dr").await;
        self.regions.delete_object(DR, "m/02").await;
        self.regions.put_object(PRIMARY, "m/03", "by primary").await;
        for (key, verdict, change) in [
            ("m/01", "dr_only", "update"),
            ("neu/é €", "dr_only", "insert"),
            ("m/02", "dr_only", "delete"),
            ("m/03", "stranded", "update"),
        ] {
            self.plant("maps", &json!({"key": key}), verdict, change);
        }
        self.put_plan(DR, "p/01", "by dr").await;
        self.put_plan(PRIMARY, "p/01", "by primary").await;
        self.put_plan(PRIMARY, "lost", "by primary").await;
        self.plant("plans", &json!({"key": "p/01"}), "conflict", "update");
        self.plant("plans", &json!({"key": "lost"}), "stranded", "delete");
    }

    async fn holdings(&self, side: usize) -> Holdings {
        let regions = &self.regions;
        let listed = regions.tables[side].scan().table_name(ROOMS[side]).send().await.expect("scanned");
        let mut objects: BTreeMap<String, String> = regions.objects(side).await.into_iter().collect();
        let bucket = &regions.buckets[side].client;
        for object in bucket.list_objects_v2().bucket(PLANS[side]).send().await.expect("listed").contents() {
            let name = object.key().expect("a key");
            let got = bucket.get_object().bucket(PLANS[side]).key(name).send().await.expect("an object");
            let body = got.body.collect().await.expect("a body").to_vec();
            objects.insert(format!("plans {name}"), String::from_utf8(body).expect("text"));
        }
        Holdings {
            books: self.ledgers.rows(side).await,
            sensors: regions.rows(side).await,
            rooms: listed.items().iter().map(|row| (format!("{:?}", row["id"]), row.clone())).collect(),
            objects,
        }
    }
}

fn room(id: &str, area: &str) -> Row {
    HashMap::from([("id".into(), A::B(id.as_bytes().into())), ("area".into(), A::N(area.into()))])
}

fn room_key(id: &str) -> Json {
    use base64::Engine;
    json!({"id": {"B": base64::engine::general_purpose::STANDARD.encode(id)}})
}

/// In step, checkpointed, struck and changed.
async fn struck(estate: &mut Estate) -> Home {
    let home = Home::new();
    estate.in_step().await;
    home.write("p.toml", &estate.profile(None));
    home.run("check p.toml").exits(0).prints("ready");
    home.run("checkpoint p.toml --name step").exits(0).prints("in step");
    home.write("p.toml", &estate.profile(Some(now())));
    estate.disaster().await;
    home
}

/// Verdict and change by store and key, and those of the table without a key by themselves.
type Found = (BTreeMap<String, (String, String)>, Vec<(String, String)>);

fn found(home: &Home, document: &Json) -> Found {
    let mut found = Found::default();
    for store in document["stores"].as_array().expect("stores") {
        for line in home.lines(store["delta"].as_str().expect("a path").as_ref()) {
            let word = |field: &str| line[field].as_str().expect("a word").replace('-', "_");
            let words = (word("verdict"), word("change"));
            if line["key"]["table"] == "metrics.log" {
                assert!(line["key"]["row"].is_string(), "{line}");
                found.1.push(words);
            } else {
                let name = format!("{} {}", line["store"].as_str().expect("a name"), canonical(&line["key"]));
                assert!(found.0.insert(name, words).is_none(), "{line} is there twice");
            }
        }
    }
    found.1.sort();
    found
}

fn wanted(estate: &Estate) -> Found {
    let own = |(verdict, change): (&str, &str)| (verdict.to_owned(), change.to_owned());
    let keyed = estate.planted.iter().map(|(name, words)| (name.clone(), own(*words))).collect();
    let mut loose: Vec<_> = planted::LOOSE.iter().map(|(_, _, verdict, change)| own((*verdict, *change))).collect();
    loose.sort();
    (keyed, loose)
}

/// Decides every held item, and gives how many there were.
fn decide(home: &Home, estate: &Estate) -> usize {
    let lines = home.lines(".failback/p/held.ndjson".as_ref());
    let decided = lines.iter().map(|line| {
        let name = format!("{} {}", line["store"].as_str().expect("a name"), canonical(&line["key"]));
        let is_kept = line["key"]["table"] == "metrics.log" || estate.of_primary.contains(&name);
        let decision = if is_kept { "primary" } else { "dr" };
        json!({"store": line["store"], "key": line["key"], "decision": decision}).to_string() + "\n"
    });
    home.write("decisions.ndjson", &decided.collect::<String>());
    lines.len()
}

const PLAN: &str = "plan p.toml --decisions decisions.ndjson --json";
const REPLAY: &str = "replay p.toml --apply --yes";

async fn there_and_back(majors: [PostgresMajor; 2], user: &'static str) {
    let Some(mut estate) = Estate::start(majors, user).await else { return };
    let home = struck(&mut estate).await;
    let before = estate.holdings(PRIMARY).await;

    let document = home.run("diff p.toml --json").exits(1).json();
    assert_eq!(found(&home, &document), wanted(&estate));
    home.run("plan p.toml").exits(3);
    let conflicts = estate.planted.values().filter(|(verdict, _)| *verdict == "conflict").count();
    assert_eq!(decide(&home, &estate), conflicts + planted::LOOSE.len());
    let steps = estate.planted.len() - estate.planted.values().filter(|(verdict, _)| *verdict == "stranded").count();
    let planned = home.run(PLAN).exits(0).json();
    assert_eq!(
        (&planned["held"], &planned["steps"]),
        (&json!(0), &json!(steps - estate.of_primary.len())),
        "{planned}"
    );

    let dr = estate.holdings(DR).await;
    home.run("replay p.toml").exits(0).prints("a dry run: nothing was written");
    assert_eq!(estate.holdings(PRIMARY).await, before);
    home.run("verify p.toml").exits(1).prints("NOT AT PARITY");
    home.run("cutover p.toml --yes").exits(3).says("run failback verify");

    home.run(REPLAY).exits(0).prints("applied");
    replayed(&estate, &before, &dr).await;
    home.run(REPLAY).exits(0);
    replayed(&estate, &before, &dr).await;

    caught_up(&mut estate, &home).await;
    certified_and_moved(&estate, &home).await;

    home.run("undo p.toml --yes").exits(0).prints("restored");
    assert_eq!(estate.holdings(PRIMARY).await, before);
    home.run("verify p.toml --undone").exits(0).prints("as before");
    home.run("undo p.toml --yes").exits(0);
    assert_eq!(estate.holdings(PRIMARY).await, before);
}

/// The primary holds what it must, dr what it did, and no number is handed out twice.
async fn replayed(estate: &Estate, before: &Holdings, dr: &Holdings) {
    let now = estate.holdings(PRIMARY).await;
    let truth = client(estate.ledgers.servers[PRIMARY].port, TRUTH).await;
    assert_eq!(now.books, rows(&truth).await);
    let mut sensors = dr.sensors.clone();
    sensors.insert("a/3".into(), before.sensors["a/3"].clone());
    assert_eq!(now.sensors, sensors);
    let mut rooms = dr.rooms.clone();
    for id in ["late", "r6"] {
        let name = format!("{:?}", room(id, "")["id"]);
        rooms.insert(name.clone(), before.rooms[&name].clone());
    }
    assert_eq!(now.rooms, rooms);
    let mut objects = dr.objects.clone();
    for name in ["m/03", "plans lost"] {
        objects.insert(name.into(), before.objects[name].clone());
    }
    assert_eq!(now.objects, objects);
    assert_eq!(&estate.holdings(DR).await, dr, "dr is never written");
    in_sequence(estate).await;
}

/// Every sequence of the primary is past what either side has handed out.
async fn in_sequence(estate: &Estate) {
    let last = async |side, name: &str| {
        let query = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {name}");
        estate.ledgers.number(side, &query).await
    };
    for name in ["sales.invoice_id_seq", "counters.global", "sales.ticket"] {
        let (primary, dr) = (last(PRIMARY, name).await, last(DR, name).await);
        assert!(primary >= dr, "{name} is at {primary} on the primary and at {dr} on dr");
    }
    assert_eq!(last(PRIMARY, "sales.ticket").await, 36, "what is ahead is not lowered");
}

/// What dr did since the first pass goes over as well, also to rows that the first pass wrote.
async fn caught_up(estate: &mut Estate, home: &Home) {
    let truth = client(estate.ledgers.servers[PRIMARY].port, TRUTH).await;
    estate.planted.retain(|_, (verdict, _)| *verdict == "stranded");
    let kept = estate.of_primary.clone();
    let late = planted::late();
    for edit in &late {
        run(&truth, edit.dr).await;
        estate.edit(edit).await;
    }
    for (name, change) in kept.iter().zip(["delete", "update"]) {
        estate.planted.insert(name.clone(), ("conflict", change));
    }
    estate.regions.put(DR, reading("a", 1, "again by dr")).await;
    estate.plant("sensors", &json!({"sensor": {"S": "a"}, "at": {"N": "1"}}), "dr_only", "update");
    estate.put_plan(DR, "p/01", "again by dr").await;
    estate.plant("plans", &json!({"key": "p/01"}), "dr_only", "update");
    let document = home.run("diff p.toml --json").exits(1).json();
    assert_eq!(found(home, &document), wanted(estate));
    let planned = home.run(PLAN).exits(0).json();
    assert_eq!(planned["steps"], late.len() + 2, "{planned}");
    let (before, dr) = (estate.holdings(PRIMARY).await, estate.holdings(DR).await);
    home.run(REPLAY).exits(0);
    replayed(estate, &before, &dr).await;
}

/// Verify, the certificate by itself and against its manifests, cutover there and back.
async fn certified_and_moved(estate: &Estate, home: &Home) {
    // The final pass plans anew: what a person decided is decided again.
    home.run("replay p.toml --apply --freeze --yes").exits(3).prints("held for a person");
    home.run("verify p.toml").exits(1);
    home.run("replay p.toml --apply --freeze --decisions decisions.ndjson --yes").exits(0);
    let verified = home.run("verify p.toml --json").exits(0).json();
    assert_eq!(verified["parity"], true);
    let stores = verified["stores"].as_array().expect("stores");
    let accepted: u64 = stores.iter().map(|store| store["accepted"].as_u64().expect("a count")).sum();
    let kept = estate.planted.values().filter(|(verdict, _)| *verdict != "dr_only").count() + planted::LOOSE.len();
    assert_eq!(accepted, kept as u64, "{verified}");
    let file = verified["certificate"].as_str().expect("a file").to_owned();
    let certificate = home.run(&format!("certificate {file} --manifest .failback/p/manifests/verify --json")).exits(0);
    assert_eq!((&certificate.json()["valid"], &certificate.json()["roots_agree"]), (&json!(true), &json!(true)));
    home.run("cutover p.toml --yes").exits(0);
    let [primary, dr] = estate.regions.weights().await;
    assert!(primary > 0 && dr == 0, "{primary}/{dr}");
    home.run("cutover p.toml --retreat").exits(0);
    let [primary, dr] = estate.regions.weights().await;
    assert!(primary == 0 && dr > 0, "{primary}/{dr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_of_every_kind_from_15_to_18_under_a_superuser() {
    there_and_back([PostgresMajor::V15, PostgresMajor::V18], SUPERUSER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_of_every_kind_from_18_to_15_under_a_role_with_grants_only() {
    there_and_back([PostgresMajor::V18, PostgresMajor::V15], CLERK).await;
}
