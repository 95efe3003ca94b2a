use std::collections::BTreeMap;

use super::*;
use crate::discover::found::{Bucket, Database, DatabaseForm, SideFound, Table, WeightedRecord};
use crate::discover::{Asker, profile_text, settle};
use crate::profile::{Profile, SideProfile};

const REGION: [&str; 2] = ["us-east-1", "us-west-2"];

fn survey() -> Survey {
    let side =
        |region: &str| SideFound { region: region.into(), account: Some("111122223333".into()), resources: vec![] };
    Survey { primary: side(REGION[0]), dr: side(REGION[1]), restores: vec![], records: vec![], gaps: vec![] }
}

fn resource(name: &str, found: Found) -> Resource {
    Resource { name: name.into(), tags: BTreeMap::new(), found }
}

fn table(name: &str) -> Resource {
    let table = Table { point_in_time_recovery: Some(true), stream: true, global_regions: vec![] };
    resource(name, Found::Table(table))
}

fn bucket(name: &str, replicates_to: &[&str]) -> Resource {
    let replicates_to = replicates_to.iter().map(|name| (*name).to_owned()).collect();
    resource(name, Found::Bucket(Bucket { versioned: Some(true), replicates_to }))
}

fn database(name: &str, engine: Engine) -> Resource {
    let database = Database {
        form: DatabaseForm::Instance,
        engine,
        database: Some("ledger".into()),
        user: Some("admin".into()),
        replica_of: None,
        global_cluster: None,
    };
    resource(name, Found::Database(database))
}

fn tagged(mut resource: Resource, tags: &[(&str, &str)]) -> Resource {
    resource.tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    resource
}

fn restore(source: (usize, &str), created: (usize, &str), as_of: &str) -> Restore {
    let place = |(side, name): (usize, &str)| Place {
        kind: ResourceKind::Table,
        region: REGION[side].into(),
        name: name.into(),
    };
    Restore {
        source: place(source),
        created: place(created),
        as_of: Some(as_of.parse().expect("an instant")),
        told_by: "restore job 7".into(),
    }
}

fn record(name: &str, identifier: &str, weight: i64, target: &str) -> WeightedRecord {
    WeightedRecord {
        zone: "Z1".into(),
        name: name.into(),
        record_type: "A".into(),
        identifier: identifier.into(),
        weight,
        targets: vec![target.into()],
    }
}

/// Pairs as `primary=dr`, questions as `primary?candidate|candidate`, resources alone as `-primary` and `+dr`.
fn told(survey: &Survey) -> String {
    let pairing = Pairing::of(survey);
    let pairs = pairing.pairs.iter().map(|pair| format!("{}={}", pair.primary.name, pair.dr.name));
    let questions = pairing.questions.iter().map(|question| {
        let names: Vec<&str> = question.candidates.iter().map(|one| one.dr.name.as_str()).collect();
        format!("{}?{}", question.primary.name, names.join("|"))
    });
    let primary = pairing.primary_alone.iter().map(|alone| format!("-{}", alone.resource.name));
    let dr = pairing.dr_alone.iter().map(|alone| format!("+{}", alone.resource.name));
    pairs.chain(questions).chain(primary).chain(dr).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_pair_where_they_leave_no_choice() {
    for (primary, dr, expected) in [
        (&["orders"][..], &["orders"][..], "orders=orders"),
        (&["orders"], &["orders-restored-20261122"], "orders=orders-restored-20261122"),
        (&["orders-us-east-1"], &["orders-us-west-2"], "orders-us-east-1=orders-us-west-2"),
        (&["orders"], &["carts"], "-orders +carts"),
        (&["orders", "carts"], &["carts-dr", "orders"], "carts=carts-dr orders=orders"),
        // Which of two is meant is not to be guessed, equal name or not.
        (&["orders"], &["orders", "orders-dr"], "orders?orders|orders-dr"),
        (&["orders"], &["orders-dr", "orders-restored"], "orders?orders-dr|orders-restored"),
        (&["orders", "orders-replica"], &["orders-dr"], "orders?orders-dr orders-replica?orders-dr"),
        // Everybody has a namesake.
        (&["orders", "orders-replica"], &["orders", "orders-replica"], "orders=orders orders-replica=orders-replica"),
    ] {
        let mut survey = survey();
        survey.primary.resources = primary.iter().map(|name| table(name)).collect();
        survey.dr.resources = dr.iter().map(|name| table(name)).collect();
        survey.primary.resources.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(told(&survey), expected, "{primary:?} {dr:?}");
    }
}

#[test]
fn kinds_and_engines_are_kept_apart() {
    let mut survey = survey();
    survey.primary.resources = vec![table("a-one"), bucket("a-two", &[]), database("a-three", Engine::Postgres)];
    survey.dr.resources = vec![bucket("a-one", &[]), table("a-two"), database("a-three", Engine::Mysql)];
    assert_eq!(Pairing::of(&survey).pairs, []);
}

#[test]
fn restores_go_before_tags_and_tags_before_names() {
    let mut survey = survey();
    let store = [("failback:store", "orders")];
    survey.primary.resources = vec![tagged(table("orders"), &store)];
    survey.dr.resources = vec![table("orders"), tagged(table("t-1"), &store), table("t-2")];
    assert_eq!(told(&survey), "orders=t-1 +orders +t-2");
    survey.restores = vec![restore((0, "orders"), (1, "t-2"), "2026-11-22T03:00:00Z")];
    assert_eq!(told(&survey), "orders=t-2 +orders +t-1");
    assert_eq!(Pairing::of(&survey).pairs[0].also, ["orders", "t-1"], "what is passed over is told");
    survey.restores.push(restore((0, "orders"), (1, "orders"), "2026-11-21T03:00:00Z"));
    assert_eq!(told(&survey), "orders?orders|t-2 +t-1");
}

#[test]
fn tags_that_many_share_say_nothing() {
    let team = [("team", "shop")];
    let logical = |stack: &str| {
        tagged(table(stack), &[("aws:cloudformation:stack-name", stack), ("aws:cloudformation:logical-id", "Orders")])
    };
    let mut survey = survey();
    survey.primary.resources =
        vec![tagged(table("a-b-c"), &team), logical("shop-us-east-1"), logical("blog-us-east-1")];
    survey.dr.resources = vec![tagged(table("d-e-f"), &team), logical("shop-us-west-2")];
    survey.primary.resources[1].name = "x".into();
    survey.dr.resources[1].name = "y".into();
    assert_eq!(told(&survey), "x=y -a-b-c -blog-us-east-1 +d-e-f");
}

#[test]
fn replication_pairs_buckets_and_databases() {
    let mut survey = survey();
    let mut replica = database("books", Engine::Postgres);
    let source = Place { kind: ResourceKind::Database, region: REGION[0].into(), name: "ledger".into() };
    if let Found::Database(found) = &mut replica.found {
        found.replica_of = Some(source);
    }
    survey.primary.resources = vec![bucket("media", &["pictures"]), database("ledger", Engine::Postgres)];
    survey.dr.resources = vec![bucket("media-dr", &[]), bucket("pictures", &[]), replica];
    assert_eq!(told(&survey), "media=pictures ledger=books +media-dr");
    let pair = &Pairing::of(&survey).pairs[1];
    assert!(obstacle(&pair.primary, &pair.dr, (REGION[0], REGION[1])).is_some_and(|why| why.contains("read replica")));
}

#[test]
fn a_table_restored_aside_is_a_base_and_no_counterpart() {
    let mut survey = survey();
    survey.primary.resources = vec![table("orders"), table("orders-restored")];
    survey.dr.resources = vec![table("orders-dr")];
    survey.restores = vec![restore((0, "orders"), (0, "orders-restored"), "2026-11-22T03:00:00Z")];
    assert_eq!(told(&survey), "orders=orders-dr -orders-restored");
    assert_eq!(Pairing::of(&survey).pairs[0].asides, survey.restores);
    // What dr has a namesake of is a store of its own.
    survey.dr.resources.push(table("orders-restored"));
    assert!(told(&survey).contains('?'), "{}", told(&survey));
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let global =
        |table: Table| resource("carts", Found::Table(Table { global_regions: vec![REGION[1].into()], ..table }));
    let member = |engine| {
        let mut member = database("ledger", engine);
        if let Found::Database(found) = &mut member.found {
            found.global_cluster = Some("books".into());
        }
        member
    };
    let oracle = || Engine::Other("oracle-ee".into());
    let unnamed = || {
        let mut unnamed = database("ledger", Engine::Postgres);
        if let Found::Database(found) = &mut unnamed.found {
            found.database = None;
        }
        unnamed
    };
    for (primary, dr, expected) in [
        (global(Table::default()), table("carts"), "global table"),
        (member(Engine::Postgres), member(Engine::Postgres), "Aurora global cluster books"),
        (database("a", Engine::Mysql), database("a", Engine::Postgres), "different engines"),
        (database("a", oracle()), database("a", oracle()), "engine oracle-ee is not supported"),
        (unnamed(), unnamed(), "does not tell the name"),
    ] {
        let why = obstacle(&primary, &dr, (REGION[0], REGION[1])).expect("an obstacle");
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(obstacle(&table("a"), &table("a"), (REGION[0], REGION[1])), None);
}

#[test]
fn weighted_records_are_told_apart_by_identifier_and_target() {
    let elb = |region: &str| format!("lb.{region}.elb.amazonaws.com.");
    let (east, west) = (elb(REGION[0]), elb(REGION[1]));
    type Records<'a> = &'a [(&'a str, i64, &'a str)];
    type Sides<'a> = Result<(&'a str, &'a str), &'a str>;
    let cases: &[(Records<'_>, Sides<'_>)] = &[
        (&[("primary", 0, "192.0.2.1"), ("dr", 100, "192.0.2.2")], Ok(("primary", "dr"))),
        (&[("app-usw2", 1, "192.0.2.1"), ("app-use1", 0, "192.0.2.2")], Ok(("app-use1", "app-usw2"))),
        (&[("blue", 0, &east), ("green", 100, &west)], Ok(("blue", "green"))),
        (&[("blue", 0, "192.0.2.1"), ("green", 1, "192.0.2.2")], Err("do not tell")),
        (&[("primary", 0, "192.0.2.1"), ("green", 1, "192.0.2.2")], Err("do not tell")),
        (&[("primary", 0, &west), ("dr", 1, &west)], Err("do not tell")),
        (&[("primary", 0, "192.0.2.1")], Err("do not tell")),
        (&[("primary", 0, "192.0.2.1"), ("dr", 1, "192.0.2.2"), ("old", 1, "192.0.2.3")], Err("`old` has a weight")),
        (&[("primary", 0, "192.0.2.1"), ("dr", 1, "192.0.2.2"), ("old", 0, "192.0.2.3")], Ok(("primary", "dr"))),
        (&[("primary", 0, "192.0.2.1"), ("dr-1", 1, "192.0.2.2"), ("dr-2", 1, "192.0.2.3")], Err("more than two")),
    ];
    for (records, expected) in cases {
        let mut survey = survey();
        survey.records =
            records.iter().map(|(id, weight, target)| record("app.example.com", id, *weight, target)).collect();
        let pairing = Pairing::of(&survey);
        match expected {
            Ok((primary, dr)) => {
                let pair = &pairing.records[0];
                assert_eq!((pair.primary.identifier.as_str(), pair.dr.identifier.as_str()), (*primary, *dr));
            }
            Err(why) => assert!(pairing.record_questions[0].why.contains(why), "{records:?} {pairing:?}"),
        }
    }
}

/// Gives the answers of a list, and keeps what was asked.
struct Scripted {
    answers: Vec<Option<usize>>,
    asked: Vec<String>,
}

impl Asker for Scripted {
    fn choose(&mut self, question: &str, choices: &[String]) -> std::io::Result<Option<usize>> {
        self.asked.push(format!("{question} {}", choices.join(" / ")));
        Ok(self.answers.remove(0))
    }
}

fn open() -> Survey {
    let mut survey = survey();
    survey.primary.resources = vec![table("orders"), table("orders-replica"), bucket("media", &[])];
    survey.dr.resources =
        vec![table("orders-dr"), table("orders-restored"), bucket("media-dr", &[]), bucket("media", &[])];
    survey.records =
        vec![record("a.example.com", "blue", 1, "192.0.2.1"), record("a.example.com", "green", 0, "192.0.2.2")];
    survey
}

#[test]
fn answers_settle_what_is_open() {
    let mut pairing = Pairing::of(&open());
    let mut asker = Scripted { answers: vec![Some(1), Some(0), Some(2), Some(1)], asked: vec![] };
    settle(&mut pairing, &mut asker).expect("answers");
    let pairs: Vec<_> = pairing.pairs.iter().map(|pair| format!("{}={}", pair.primary.name, pair.dr.name)).collect();
    assert_eq!(pairs, ["orders=orders-restored", "orders-replica=orders-dr"]);
    assert_eq!(pairing.primary_alone[0].resource.name, "media");
    assert_eq!(
        (pairing.records[0].primary.identifier.as_str(), pairing.records[0].dr.identifier.as_str()),
        ("green", "blue")
    );
    assert!(!pairing.is_open());
    assert!(
        asker.asked[0].starts_with("Which table of dr is the counterpart of orders? orders-dr (the names"),
        "{:?}",
        asker.asked
    );
    assert!(!asker.asked[1].contains("orders-restored"), "taken already: {}", asker.asked[1]);
}

#[test]
fn no_answer_leaves_everything_open() {
    let before = Pairing::of(&open());
    let mut pairing = before.clone();
    let mut asker = Scripted { answers: vec![None; 4], asked: vec![] };
    settle(&mut pairing, &mut asker).expect("answers");
    assert_eq!(pairing, before);
    assert_eq!(asker.asked.len(), 4);
    assert!(pairing.is_open());
}

fn side(region: &str) -> SideProfile {
    SideProfile {
        region: region.into(),
        aws_profile: Some(format!("ops-{region}")),
        role_arn: None,
        account: None,
        endpoint_url: None,
        endpoints: BTreeMap::new(),
        credentials: None,
    }
}

fn written(survey: &Survey) -> crate::discover::Written {
    profile_text("shop", (&side(REGION[0]), &side(REGION[1])), survey, &Pairing::of(survey))
}

/// A system with something of everything.
fn everything() -> Survey {
    let mut survey = open();
    let mut global = table("carts");
    if let Found::Table(found) = &mut global.found {
        found.global_regions = vec![REGION[1].into()];
    }
    let bare = Table { point_in_time_recovery: None, stream: false, global_regions: vec![] };
    survey.primary.resources.extend([
        global.clone(),
        table("stock"),
        table("stock-at-tb"),
        table("only-here"),
        bucket("shop-logs-us-east-1", &["shop-logs-us-west-2"]),
        database("ledger", Engine::Postgres),
        database("wiki", Engine::Mysql),
    ]);
    survey.dr.resources.extend([
        global,
        resource("stock-restored", Found::Table(bare)),
        bucket("shop-logs-us-west-2", &[]),
        database("ledger-dr", Engine::Postgres),
        database("wiki", Engine::Mysql),
        table("only \"there\"\n[[store]]"),
    ]);
    survey.restores = vec![
        restore((0, "stock"), (0, "stock-at-tb"), "2026-11-22T03:00:00Z"),
        restore((0, "stock"), (1, "stock-restored"), "2026-11-22T03:00:00Z"),
    ];
    survey
        .records
        .extend([record("b.example.com", "primary", 0, "192.0.2.1"), record("b.example.com", "dr", 9, "192.0.2.2")]);
    let gap = |side, what: &str| crate::discover::Gap { side, what: what.into(), why: "denied:\nAccessDenied".into() };
    survey.gaps = vec![gap(Some(crate::model::Side::Dr), "AWS Backup restore jobs"), gap(None, "Route 53 records")];
    survey
}

#[test]
fn the_profile_is_as_before_and_is_read_without_change() {
    let written = written(&everything());
    snapbox::assert_data_eq!(&written.text, snapbox::file!["../golden/profile.toml"].raw());
    let profile = Profile::parse(&written.text, "p.toml", &|_| None).expect("a profile");
    let names: Vec<&str> = profile.stores.iter().map(|store| store.name.as_str()).collect();
    assert_eq!(written.stores.iter().flatten().collect::<Vec<_>>(), names);
    assert_eq!(names, ["stock", "shop-logs", "ledger", "wiki"]);
    assert_eq!(profile.primary.account.as_deref(), Some("111122223333"));
}

/// What stands as a comment for want of a decision is right as soon as it is uncommented.
#[test]
fn what_is_commented_out_is_read_once_uncommented() {
    let text = written(&everything()).text;
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[freeze]") || rest.starts_with("command =") => rest,
            Some(rest) if rest.starts_with("disaster_at") || rest.starts_with("dr_as_of") => rest,
            Some(rest) if rest.starts_with("negative_write_test") => rest,
            _ => line,
        })
        .collect();
    let profile = Profile::parse(&uncommented.join("\n"), "p.toml", &|_| None).expect("a profile");
    assert!(profile.freeze.is_some() && profile.dr_as_of.is_some());
    for name in ["orders-dr", "orders-restored", "carts"] {
        let at = text.find(&format!("# dr = {{ table = \"{name}\"")).expect("a commented store");
        let start = text[..at].rfind("# [[store]]").expect("its head");
        let end = at + text[at..].find("# policy").expect("its policy");
        let store = text[start..end].lines().map(|line| line.trim_start_matches("# ")).collect::<Vec<_>>().join("\n");
        let head = "name = \"a\"\nprimary.region = \"us-east-1\"\ndr.region = \"us-west-2\"\n";
        Profile::parse(&format!("{head}{store}"), "p.toml", &|_| None).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn names_of_stores_are_fit_and_unique() {
    let mut survey = survey();
    let long = "x".repeat(100);
    survey.primary.resources =
        vec![table("_media"), table(&long), bucket("media", &[]), database("Media", Engine::Postgres)];
    survey.dr.resources = survey.primary.resources.clone();
    for resource in &mut survey.dr.resources {
        if let Found::Bucket(found) = &mut resource.found {
            found.versioned = None;
            resource.name = "media-us-west-2".into();
        } else if let Found::Table(found) = &mut resource.found {
            found.stream = false;
        }
    }
    let written = written(&survey);
    let names: Vec<&str> = written.stores.iter().flatten().map(String::as_str).collect();
    assert_eq!(names, ["media", &long[..64], "media-bucket", "Media-database"]);
    Profile::parse(&written.text, "p.toml", &|_| None).expect("a profile");
}
