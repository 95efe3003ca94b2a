//! The program killed at every change of its files, command by command, and run again to its end: nothing is lost, nothing
//! is written twice, and it says the same as a run that was not killed.
//!
//! Changes come in runs: the frames of one commit, the pages of one file. A kill within a run leaves what a kill before or
//! a torn write in it leaves, so each run is struck before its first change and torn within; everything else is struck at
//! every change. Of a manifest, which is nothing until its header is written, the first part and the header are struck. Commands that write to the primary are also struck right after each sync, before the write it allows.

use std::collections::HashMap;

use crate::rig::{DR, Home, PRIMARY, Regions, reading};
use crate::shim::{Blow, Change, Shim};
use crate::small::{Contents, PLAN, REPLAY, STEPS, UNDO, in_step, struck, told};

/// How much of a command is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strikes {
    /// Before changes and torn within.
    Reading,
    /// After each sync too: what the sync allows has not begun then.
    Writing,
    /// Before each commit's first write and after its sync, and nowhere else.
    Commits,
}

fn blows(changes: &[Change], strikes: Strikes) -> Vec<Blow> {
    let mut blows = Vec::new();
    let mut at = 0;
    let manifest = |change: &Change| change.path.split_once("/part-").map(|(manifest, _)| manifest.to_owned());
    while at < changes.len() {
        let change = &changes[at];
        let in_run = |other: &&Change| match manifest(change) {
            Some(of) => manifest(other) == Some(of),
            None => *other == change,
        };
        let run = changes[at..].iter().take_while(in_run).count();
        // An empty folder tells nobody anything.
        if change.call != "mkdir" || manifest(change).is_some() {
            let within = manifest(change).map_or(0, |_| run / 2);
            blows.push(Blow::Before(at + 1 + within));
        }
        if change.call.ends_with("write") {
            blows.push(Blow::Torn(at + 1 + run / 2));
        }
        if strikes != Strikes::Reading && change.call == "sync" {
            blows.push(Blow::After(at + run));
        }
        at += run;
    }
    let is_commit = |blow: &Blow| match blow {
        Blow::Before(at) => changes[at - 1].call == "pwrite" && changes[at - 1].path.ends_with("-wal"),
        Blow::After(_) => true,
        _ => false,
    };
    blows.retain(|blow| strikes != Strikes::Commits || is_commit(blow));
    blows
}

/// Commits that the journal's events and their order imply, the first and the last event of the command included.
fn commits_at_least(home: &Home, implied: usize, changes: &[Change]) {
    let commits = changes.iter().filter(|c| c.call == "sync" && c.path.ends_with("session.sqlite-wal")).count();
    assert!(commits >= implied, "{commits} syncs of the journal, {implied} are implied: is the library in place?");
    assert!(home.path(".failback/p/session.sqlite").exists());
}

/// Strikes a command at every instant, each time in a `fresh` home; `after` is given the home to run the command again
/// in, how it was struck, and what it had printed.
async fn at_every_instant(
    shim: &Shim,
    fresh: &dyn Fn() -> Home,
    arguments: &str,
    (strikes, implied): (Strikes, usize),
    mut after: impl AsyncFnMut(&Home, &str),
) {
    let whole = fresh();
    let counted = shim.changes(&whole, arguments);
    assert!(!counted.is_killed());
    commits_at_least(&whole, implied, &counted.changes);
    if strikes != Strikes::Reading {
        after(&whole, "not struck").await;
    }
    let blows = blows(&counted.changes, strikes);
    let mut kills = 0;
    for blow in &blows {
        let home = fresh();
        let struck = shim.run(&home, arguments, *blow, "");
        kills += usize::from(struck.is_killed());
        let named = format!("{arguments}: {blow:?} of {}, {}", counted.changes.len(), struck.last());
        after(&home, &named).await;
    }
    eprintln!("{arguments}: {} changes, {} blows, {kills} kills", counted.changes.len(), blows.len());
    // A page more or less in one of the runs moves the last changes by one.
    assert!(kills + 3 >= blows.len(), "only {kills} of {} blows of {arguments} killed", blows.len());
}

/// Whether the journal has the end of the last command.
fn has_ended(home: &Home) -> bool {
    let report = home.run("report p.toml --json");
    report.code == Some(0)
        && report.json()["commands"].as_array().and_then(|all| all.last()).is_some_and(|last| last["exit_code"] == 0)
}

/// A command that only reads, killed at every instant: run again, it says what it says when nobody kills it.
async fn reads(shim: &Shim, prepared: &Home, arguments: &str, code: i32, implied: usize, also: impl Fn(&Home, &str)) {
    let wanted = told(prepared.copy().run(arguments).exits(code).json());
    at_every_instant(shim, &|| prepared.copy(), arguments, (Strikes::Reading, implied), async |home, blow| {
        let is_kept = arguments.starts_with("checkpoint") && has_ended(home);
        let ran = home.run(arguments);
        if is_kept {
            // It was kept and recorded as such: it is not kept a second time.
            ran.exits(2).prints("exists already");
        } else {
            assert_eq!(ran.code, Some(code), "{blow}: {}{}", ran.out, ran.err);
            assert_eq!(told(ran.json()), wanted, "{blow}");
        }
        also(home, blow);
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint() {
    let Some(regions) = Regions::start().await else { return };
    let home = in_step(&regions).await;
    let step = |home: &Home| home.path(".failback/checkpoints/step/sensors/side=dr/manifest.json").exists();
    reads(&Shim::build(), &home, "checkpoint p.toml --name step --json", 0, 4, |home, blow| {
        assert!(step(home), "{blow}");
        assert!(!home.path(".failback/checkpoints/step.unfinished").exists(), "{blow}");
    })
    .await;
}

#[tokio::test]
async fn a_diff() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    reads(&Shim::build(), &home, "diff p.toml --json", 1, 4, |_, _| {}).await;
}

#[tokio::test]
async fn a_plan() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    reads(&Shim::build(), &home, PLAN, 0, 5, |home, blow| {
        let dry = home.run("replay p.toml --json").json();
        let open: u64 = dry["stores"]
            .as_array()
            .expect("stores")
            .iter()
            .map(|s| s["run"]["applied"].as_u64().expect("a count"))
            .sum();
        assert_eq!(open, STEPS, "{blow}");
    })
    .await;
}

#[tokio::test]
async fn a_decision_with_a_file_for_the_business() {
    const DECIDE: &str = "decide p.toml --choice both --all --by mia --json";
    /// Items of the bucket: following dr would touch every one.
    const HELD: usize = 3;
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run("plan p.toml").exits(3);
    at_every_instant(&Shim::build(), &|| home.copy(), DECIDE, (Strikes::Writing, 1), async |home, blow| {
        let list = || home.run("decide p.toml --list --json").json();
        let undecided = list()["undecided"].as_u64();
        assert!([Some(0), Some(HELD as u64)].contains(&undecided), "{blow}: all of it or nothing, not {undecided:?}");
        let ran = home.run(DECIDE);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        let recorded = list();
        let decisions = recorded["decisions"].as_array().expect("decisions");
        for made in decisions {
            let lines = home.lines(std::path::Path::new(made["file"].as_str().expect("a file")));
            assert_eq!((lines.len(), &made["items"]), (HELD, &HELD.into()), "{blow}");
        }
        let files = std::fs::read_dir(home.path(".failback/p/business")).expect("a folder").count();
        assert_eq!(files, decisions.len(), "{blow}: a file that no decision has");
        // What was decided is kept to by a plan that may follow dr.
        let planned = home.run(PLAN);
        assert_eq!(planned.code, Some(0), "{blow}: {}{}", planned.out, planned.err);
    })
    .await;
}

#[tokio::test]
async fn a_verification() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run(PLAN).exits(0);
    home.run(REPLAY).exits(0);
    reads(&Shim::build(), &home, "verify p.toml --freeze --yes --json", 0, 6, |home, blow| {
        let ran = home.run("certificate .failback/p/certificate.json");
        assert_eq!(ran.code, Some(0), "{blow}: {}", ran.err);
    })
    .await;
}

#[tokio::test]
async fn a_replay_and_the_undo_after_it() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run(PLAN).exits(0);
    let (before, wanted) = (Contents::of(&regions, PRIMARY).await, Contents::wanted(&regions).await);
    let mut versions = regions.versions(PRIMARY).await;
    at_every_instant(&Shim::build(), &|| home.copy(), REPLAY, (Strikes::Writing, 8), async |home, blow| {
        let ran = home.run(REPLAY);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        let document = ran.json();
        let done: u64 = document["stores"]
            .as_array()
            .expect("stores")
            .iter()
            .map(|s| s["steps"]["done"].as_u64().expect("a count"))
            .sum();
        assert_eq!((done, &document["refused"], &document["stale"]), (STEPS, &0.into(), &0.into()), "{blow}");
        assert_eq!(Contents::of(&regions, PRIMARY).await, wanted, "{blow}");
        once_more(&mut versions, regions.versions(PRIMARY).await, blow);
        let ran = home.run(UNDO);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        assert_eq!(Contents::of(&regions, PRIMARY).await, before, "{blow}");
        once_more(&mut versions, regions.versions(PRIMARY).await, blow);
    })
    .await;
}

/// Makes sure that each of the bucket's objects has exactly one version or marker more than before.
fn once_more(versions: &mut HashMap<String, usize>, now: HashMap<String, usize>, blow: &str) {
    for key in ["m/1", "m/2", "m/3"] {
        let before = versions.get(key).copied().unwrap_or(0);
        assert_eq!(now[key], before + 1, "{blow}: {key} was not written once and only once");
    }
    *versions = now;
}

#[tokio::test]
async fn an_undo() {
    let Some(regions) = Regions::start().await else { return };
    let planned = struck(&regions).await;
    planned.run(PLAN).exits(0);
    let before = Contents::of(&regions, PRIMARY).await;
    let replayed = || {
        let home = planned.copy();
        home.run(REPLAY).exits(0);
        home
    };
    at_every_instant(&Shim::build(), &replayed, UNDO, (Strikes::Writing, 6), async |home, blow| {
        let ran = home.run(UNDO);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        assert_eq!(ran.json()["refused"], 0, "{blow}");
        assert_eq!(Contents::of(&regions, PRIMARY).await, before, "{blow}");
        let ran = home.run("verify p.toml --undone");
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
    })
    .await;
}

#[tokio::test]
async fn a_proof_of_an_undo() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run(PLAN).exits(0);
    home.run(REPLAY).exits(0);
    home.run(UNDO).exits(0);
    reads(&Shim::build(), &home, "verify p.toml --undone --json", 0, 2, |_, _| {}).await;
}

#[tokio::test]
async fn a_retreat() {
    const RETREAT: &str = "cutover p.toml --retreat --json";
    let Some(regions) = Regions::start().await else { return };
    let home = in_step(&regions).await;
    home.run("verify p.toml").exits(0);
    regions.weigh([("primary", 100), ("dr", 0)]).await;
    at_every_instant(&Shim::build(), &|| home.copy(), RETREAT, (Strikes::Commits, 3), async |home, blow| {
        let ran = home.run(RETREAT);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        let [primary, dr] = regions.weights().await;
        assert!(primary == 0 && dr > 0, "{blow}: {primary}/{dr}");
        regions.weigh([("primary", 100), ("dr", 0)]).await;
    })
    .await;
}

#[tokio::test]
async fn a_second_pass() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    let before = Contents::of(&regions, PRIMARY).await;
    home.run(PLAN).exits(0);
    home.run(REPLAY).exits(0);
    let first = Contents::of(&regions, PRIMARY).await;
    // dr goes on: what was replayed changes again, goes again, and more comes.
    regions.put(DR, reading("a", 1, "again by dr")).await;
    regions.delete(DR, "b", 3).await;
    regions.put_object(DR, "m/1", "again by dr").await;
    regions.delete_object(DR, "m/3").await;
    regions.put_object(DR, "m/4", "late by dr").await;
    home.run(PLAN).exits(0);
    let wanted = Contents::wanted(&regions).await;
    at_every_instant(&Shim::build(), &|| home.copy(), REPLAY, (Strikes::Commits, 8), async |home, blow| {
        let ran = home.run(REPLAY);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        assert_eq!(Contents::of(&regions, PRIMARY).await, wanted, "{blow}");
        let ran = home.run(UNDO);
        assert_eq!(ran.code, Some(0), "{blow}: {}{}", ran.out, ran.err);
        assert_eq!(Contents::of(&regions, PRIMARY).await, before, "{blow}: an undo reaches back over both passes");
        first.put_back(&regions).await;
    })
    .await;
}

#[tokio::test]
async fn a_plan_outlives_a_diff_that_was_killed_after_it() {
    let Some(regions) = Regions::start().await else { return };
    let (home, shim) = (struck(&regions).await, Shim::build());
    let before = Contents::of(&regions, PRIMARY).await;
    home.run(PLAN).exits(0);
    let counted = shim.changes(&home.copy(), "diff p.toml");
    for blow in blows(&counted.changes, Strikes::Reading).into_iter().step_by(5) {
        let home = home.copy();
        let struck = shim.run(&home, "diff p.toml", blow, "");
        let ran = home.run(REPLAY);
        if ran.code != Some(0) {
            // The primary as it was cannot be kept from a comparison that was cut off: nothing was written without it.
            ran.exits(3).says("run failback plan");
            assert_eq!(Contents::of(&regions, PRIMARY).await, before);
            home.run(PLAN).exits(0);
            home.run(REPLAY).exits(0);
        }
        home.run(UNDO).exits(0);
        assert_eq!(Contents::of(&regions, PRIMARY).await, before);
        let undone = home.run("verify p.toml --undone");
        assert_eq!(undone.code, Some(0), "{blow:?}, {}: {}", struck.last(), undone.err);
    }
}

const CUTOVER: &str = "cutover p.toml --yes --json";

/// A cutover waits for DNS, so every instant has a zone of its own and all are struck at the same time.
#[tokio::test]
async fn a_cutover() {
    let Some(regions) = Regions::start().await else { return };
    let (home, shim) = (in_step(&regions).await, std::sync::Arc::new(Shim::build()));
    home.run("verify p.toml").exits(0);
    let in_zone = |zone: &str| {
        let home = home.copy();
        home.write("p.toml", &home.read("p.toml").replace(&regions.zone, zone));
        home
    };
    // A zone of its own is a new profile to the journal: counted where it is as in every lane.
    let counted = shim.changes(&in_zone(&regions.make_zone("counted").await), CUTOVER);
    commits_at_least(&home, 8, &counted.changes);
    let blows = blows(&counted.changes, Strikes::Commits);
    let mut lanes = Vec::new();
    for (lane, blow) in blows.into_iter().enumerate() {
        let zone = regions.make_zone(&format!("lane {lane}")).await;
        let (home, shim) = (in_zone(&zone), shim.clone());
        lanes.push((
            zone,
            tokio::task::spawn_blocking(move || {
                let struck = shim.run(&home, CUTOVER, blow, "");
                let named = format!("{blow:?}, {}", struck.last());
                let ran = home.run(CUTOVER);
                assert_eq!(ran.code, Some(0), "{named}: {}{}", ran.out, ran.err);
                (home, named, usize::from(struck.is_killed()))
            }),
        ));
    }
    let (mut kills, count) = (0, lanes.len());
    for (zone, lane) in lanes {
        let (home, named, killed) = lane.await.expect("a lane");
        kills += killed;
        let [primary, dr] = regions.weights_in(&zone).await;
        assert!(primary > 0 && dr == 0, "{named}: {primary}/{dr}");
        one_way(&home, &named);
    }
    eprintln!("{CUTOVER}: {} changes, {count} lanes, {kills} kills", counted.changes.len());
    assert!(kills + 3 >= count, "only {kills} of {count} were killed");
}

/// Customers go one way: the shares that were aimed at, as the report tells them, never fall.
fn one_way(home: &Home, named: &str) {
    let report = home.run("report p.toml --json").exits(0).json();
    let steps = report["cutover"]["steps"].as_array().cloned().unwrap_or_default();
    let shares: Vec<u64> = steps.iter().filter_map(|step| step["primary_percent"].as_u64()).collect();
    assert!(shares.is_sorted(), "{named}: {shares:?}");
}
