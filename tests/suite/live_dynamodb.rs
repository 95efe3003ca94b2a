//! A writer on dr that never stops before the freeze, by the real program: bulk pass, catch-up passes, freeze, final pass.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use crate::rig::{DR, Home, PRIMARY, Ran, Regions, TABLE, now, reading};

/// Items in step, of which the writer touches those below `WRITTEN`.
const SEEDED: u32 = 99;
const WRITTEN: u32 = 40;
/// Keys that the writer makes and removes.
const MADE: std::ops::Range<u32> = 100..140;
/// A write of a client that the primary's fence missed, before the passes and while they go on.
const STRANDED: [u32; 2] = [50, 51];

fn profile(regions: &Regions, home: &Home, is_struck: bool) -> String {
    let [primary, dr] = TABLE;
    let (times, base) = match is_struck {
        true => (format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
        false => (String::new(), ""),
    };
    let (fence, fenced) = (home.path("fence").display().to_string(), home.path("fenced").display().to_string());
    format!(
        "name = \"p\"\n{times}{}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\n\
         dr = {{ table = \"{dr}\" }}\n{base}limits = {{ writes_per_second = 0 }}\n\
         [freeze]\ncommand = [\"{fence}\"]\nnegative_write_test = [\"{fenced}\"]\n",
        regions.sides()
    )
}

/// Scripts that fence the writer and try a write as it would.
fn scripts(home: &Home) {
    use std::os::unix::fs::PermissionsExt;
    let flag = home.path("is-fenced").display().to_string();
    let acknowledged = home.path("has-stopped").display().to_string();
    // The command returns once the writer's last write is behind it, as a fence that drains does.
    let fence = format!("#!/bin/sh\ntouch {flag}\nwhile [ ! -e {acknowledged} ]; do sleep 0.02; done\n");
    for (name, text) in [("fence", fence), ("fenced", format!("#!/bin/sh\ntest ! -e {acknowledged}\n"))] {
        home.write(name, &text);
        std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(0o755)).expect("executable");
    }
}

/// Writes on dr until it is fenced; gives how often it wrote.
async fn write_until_fenced(regions: Arc<Regions>, home: PathBuf, written: Arc<AtomicU32>) {
    let mut turn = 0u32;
    while !home.join("is-fenced").exists() {
        turn += 1;
        let value = format!("turn {turn}");
        match turn % 4 {
            0 => regions.delete(DR, "a", MADE.start + turn / 4 % 40).await,
            1 => regions.put(DR, reading("a", MADE.start + turn / 2 % 40, &value)).await,
            _ => regions.put(DR, reading("a", turn % WRITTEN, &value)).await,
        }
        written.store(turn, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::write(home.join("has-stopped"), "").expect("written");
}

/// Who wrote an item tells its only possible verdict, whatever the instant.
fn assert_verdicts(home: &Home, when: &str) -> usize {
    let lines = home.lines(&PathBuf::from(".failback/p/delta/diff-sensors.ndjson"));
    for line in &lines {
        let at: u32 = line["key"]["at"]["N"].as_str().expect("a number").parse().expect("a number");
        let expected = if STRANDED.contains(&at) { "stranded" } else { "dr_only" };
        assert_eq!(line["verdict"], expected, "{when}: {line}");
    }
    lines.len()
}

async fn run(home: &Arc<Home>, arguments: &'static str) -> Ran {
    let home = Arc::clone(home);
    tokio::task::spawn_blocking(move || home.run(arguments)).await.expect("a run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_writer_that_never_stops_no_verdict_is_wrong_and_nothing_newer_is_overwritten() {
    let Some(regions) = Regions::start().await else { return };
    let (regions, home) = (Arc::new(regions), Arc::new(Home::new()));
    for side in [PRIMARY, DR] {
        for at in 0..SEEDED {
            regions.put(side, reading("a", at, "seeded")).await;
        }
    }
    for side in [PRIMARY, DR] {
        crate::dynamodb::stream(&regions.tables[side], TABLE[side]).await;
    }
    scripts(&home);
    home.write("p.toml", &profile(&regions, &home, false));
    run(&home, "checkpoint p.toml --name step").await.exits(0);
    home.write("p.toml", &profile(&regions, &home, true));
    regions.put(PRIMARY, reading("a", STRANDED[0], "before the passes")).await;
    let written = Arc::new(AtomicU32::new(0));
    let folder = home.path("");
    let writer = tokio::spawn(write_until_fenced(regions.clone(), folder, written.clone()));

    let bulk = run(&home, "plan p.toml").await.exits(0);
    assert!(!bulk.err.contains("followed by its change log"), "the first pass reads everything:\n{}", bulk.err);
    assert_verdicts(&home, "bulk");
    for pass in 1..=3 {
        let before = written.load(Ordering::SeqCst);
        let replayed = run(&home, "replay p.toml --apply --yes --json").await;
        assert!(matches!(replayed.code, Some(0 | 1)), "{replayed:?}");
        assert_eq!(replayed.json()["refused"], 0, "nothing on the primary stands in the way");
        if pass == 2 {
            regions.put(PRIMARY, reading("a", STRANDED[1], "behind the back")).await;
        }
        let planned = run(&home, "plan p.toml").await.exits(0);
        let planned = planned.says("sensors: dr was followed by its change log");
        planned.says("sensors: primary was followed by its change log");
        assert_verdicts(&home, &format!("pass {pass}"));
        assert!(written.load(Ordering::SeqCst) > before, "the writer goes on");
    }

    let last = run(&home, "replay p.toml --apply --freeze --yes --json").await.exits(0);
    assert!(!last.err.contains("followed by its change log"), "the final pass reads everything:\n{}", last.err);
    writer.await.expect("the writer ended by its fence");
    assert_eq!((&last.json()["refused"], &last.json()["stale"]), (&Json::from(0), &Json::from(0)));
    assert!(assert_verdicts(&home, "final") >= STRANDED.len());
    run(&home, "verify p.toml --yes").await.exits(0);

    let by_key = async |side| -> BTreeMap<_, _> { regions.rows(side).await.into_iter().collect() };
    let (primary, dr) = (by_key(PRIMARY).await, by_key(DR).await);
    for (name, row) in &primary {
        let is_stranded = STRANDED.iter().any(|at| *name == format!("a/{at}"));
        assert_eq!(dr.get(name) == Some(row), !is_stranded, "{name}");
    }
    assert_eq!(primary.keys().collect::<Vec<_>>(), dr.keys().collect::<Vec<_>>());
    assert_eq!(primary["a/50"]["value"].as_s().expect("text"), "before the passes");
    assert_eq!(primary["a/51"]["value"].as_s().expect("text"), "behind the back");
}

#[tokio::test]
async fn a_sample_tells_differences_with_its_confidence_and_is_never_parity() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    for at in 0..60 {
        regions.put(PRIMARY, reading("a", at, "same")).await;
        regions.put(DR, reading("a", at, "same")).await;
    }
    let [primary, dr] = TABLE;
    home.write(
        "p.toml",
        &format!(
            "name = \"p\"\n{}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\n\
             dr = {{ table = \"{dr}\" }}\n",
            regions.sides()
        ),
    );
    let alike = home.run("diff p.toml --sample 100% --json").exits(4).json();
    assert_eq!((&alike["parity"], &alike["stores"][0]["looked_at"]), (&Json::from(false), &Json::from(60)));
    assert_eq!(alike["stores"][0]["differing_at_most"], 0.05, "the rule of three");
    home.run("diff p.toml --sample 100%").exits(4).prints("no difference was seen, which is no parity");
    regions.put(DR, reading("a", 1, "changed")).await;
    regions.put(DR, reading("a", 100, "new")).await;
    regions.delete(DR, "a", 2).await;
    let seen = home.run("diff p.toml --sample 100% --json").exits(1).json();
    let counts = ["changed", "only_dr", "only_primary", "looked_at"].map(|name| seen["stores"][0][name].clone());
    assert_eq!(counts, [1, 1, 1, 61].map(Json::from));
    home.run("diff p.toml --sample 0%").exits(2).says("not a share");
    let some = home.run("diff p.toml --sample 5% --json").json();
    assert_eq!(some["stores"][0]["segments_read"], 10);
}
