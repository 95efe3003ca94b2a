//! The program killed while a batch of writes is under way, and interrupted: nothing is lost, nothing is written twice.
//!
//! `everywhere` kills it at every change of its files; between two of those, what was written shows only on the servers.

use std::collections::HashMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{BUCKET, DR, Home, PRIMARY, Regions, Row, TABLE, events, now, reading};

const ITEMS: u32 = 320;
const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `done`, or until the child has ended by itself: then it gives false.
fn reached(child: &mut Child, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "the awaited instant does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn profile(regions: &Regions, struck: bool, writes_per_second: u32) -> String {
    let (times, base) = match struck {
        true => (format!("disaster_at = {}\n", now()), "base = { checkpoint = \"step\" }\n"),
        false => (String::new(), ""),
    };
    format!(
        "name = \"p\"\n{times}{}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{}\" }}\n\
         dr = {{ table = \"{}\" }}\n{base}policy = {{ delete_limit_percent = 100, overwrite_limit_percent = 100 }}\n\
         limits = {{ writes_per_second = {writes_per_second} }}\n[freeze]\ncommand = [\"true\"]\n\
         negative_write_test = [\"false\"]\n",
        regions.sides(),
        TABLE[PRIMARY],
        TABLE[DR],
    )
}

/// A plan of inserts, updates and deletes, and what the primary was before.
async fn planned(regions: &Regions, writes_per_second: u32) -> (Home, HashMap<String, Row>) {
    let home = Home::new();
    for at in 0..ITEMS / 2 {
        for side in [PRIMARY, DR] {
            regions.put(side, reading("a", at, "seeded")).await;
        }
    }
    home.write("p.toml", &profile(regions, false, 0));
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &profile(regions, true, writes_per_second));
    // One in sixteen stays as it is, one in four is deleted, the others are updated.
    for at in (0..ITEMS / 2).filter(|at| at % 16 != 0) {
        match at % 4 {
            0 => regions.delete(DR, "a", at).await,
            _ => regions.put(DR, reading("a", at, "by dr")).await,
        }
    }
    for at in ITEMS / 2..ITEMS {
        regions.put(DR, reading("b", at, "by dr")).await;
    }
    let before = regions.rows(PRIMARY).await;
    home.run("plan p.toml").exits(0);
    (home, before)
}

fn start(home: &Home, arguments: &str) -> Child {
    let mut command = home.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Runs a command and kills it when the journal has so many of an event more than at its start; whether it was in time.
fn killed_at(home: &Home, arguments: &str, event: &str, more: u32) -> bool {
    let journal = home.path(".failback/p/session.sqlite");
    let wanted = events(&journal, event) + more;
    let mut child = start(home, arguments);
    let in_time = reached(&mut child, || events(&journal, event) >= wanted);
    end(child);
    in_time
}

fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("a child");
}

/// Runs a command and kills it when so many of the primary's items differ from `before`.
async fn killed_when_written(
    home: &Home,
    regions: &Regions,
    arguments: &str,
    from: &HashMap<String, Row>,
    count: usize,
) -> bool {
    let mut child = start(home, arguments);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if changed(from, &regions.rows(PRIMARY).await) >= count {
            end(child);
            return true;
        }
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "{count} writes do not come");
    }
}

fn bucket_profile(regions: &Regions, struck: bool) -> String {
    let table = |side: usize| format!("table = \"{}\"", TABLE[side]);
    let bucket = |side: usize| format!("bucket = \"{}\"", BUCKET[side]);
    let text = profile(regions, struck, 40).replace("\"dynamodb\"", "\"s3\"");
    text.replace(&table(DR), &bucket(DR)).replace(&table(PRIMARY), &bucket(PRIMARY))
}

#[tokio::test]
async fn a_bucket_s_replay_and_undo_killed_at_many_instants_come_to_their_end() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    for at in 0..40 {
        for side in [PRIMARY, DR] {
            regions.put_object(side, &format!("m/{at:02}"), "seeded").await;
        }
    }
    home.write("p.toml", &bucket_profile(&regions, false));
    home.run("checkpoint p.toml --name step").exits(0);
    home.write("p.toml", &bucket_profile(&regions, true));
    for at in 1..80 {
        match at % 4 {
            0 if at < 40 => regions.delete_object(DR, &format!("m/{at:02}")).await,
            _ => regions.put_object(DR, &format!("m/{at:02}"), &format!("by dr {at}")).await,
        }
    }
    let (before, dr) = (regions.objects(PRIMARY).await, regions.objects(DR).await);
    let etags = [regions.etags(PRIMARY).await, regions.etags(DR).await];
    home.run("plan p.toml").exits(0);
    for (arguments, wanted, from) in
        [("replay p.toml --apply --yes", &dr, &etags[PRIMARY]), ("undo p.toml --yes", &before, &etags[DR])]
    {
        let mut kills = 0;
        for count in [1, 9, 20, 33, 47, 60, 70] {
            let mut child = start(&home, arguments);
            let deadline = Instant::now() + PATIENCE;
            while changed(from, &regions.etags(PRIMARY).await) < count {
                assert!(Instant::now() < deadline, "{count} writes do not come");
                if child.try_wait().expect("a child").is_some() {
                    break;
                }
            }
            kills += u32::from(child.try_wait().expect("a child").is_none());
            end(child);
        }
        assert!(kills >= 4, "only {kills} kills of {arguments} were in time");
        home.run(arguments).exits(0);
        assert_eq!(&regions.objects(PRIMARY).await, wanted);
        if wanted == &dr {
            home.run("verify p.toml").exits(0).prints("AT PARITY");
        }
    }
    home.run("verify p.toml --undone").exits(0).prints("as before");
}

fn changed<V: PartialEq>(before: &HashMap<String, V>, now: &HashMap<String, V>) -> usize {
    let gone = before.keys().filter(|name| !now.contains_key(*name)).count();
    gone + now.iter().filter(|(name, row)| before.get(*name) != Some(row)).count()
}

#[tokio::test]
async fn a_replay_killed_at_many_instants_ends_as_if_it_never_was() {
    let Some(regions) = Regions::start().await else { return };
    let (home, before) = planned(&regions, 150).await;
    let dr = regions.rows(DR).await;
    let steps = changed(&before, &dr);
    let replay = "replay p.toml --apply --yes";
    let mut kills = 0;
    // Before anything is read, while both sides are read, and as the intents become durable.
    kills += u32::from(killed_at(&home, replay, "began", 1));
    kills += u32::from(killed_at(&home, replay, "intended", 1));
    for count in [3, 17, 60, 99, 100, 101, 140, 180, 200, 230, 260, steps - 5] {
        kills += u32::from(killed_when_written(&home, &regions, replay, &before, count).await);
        home.run("report p.toml").exits(0);
    }
    kills += u32::from(killed_at(&home, replay, "done", 1));
    assert!(kills >= 8, "only {kills} kills were in time");
    home.run(replay).exits(0);
    assert_eq!(regions.rows(PRIMARY).await, dr);
    home.run("verify p.toml").exits(0).prints("AT PARITY");

    // And all the way back, killed as often.
    let undo = "undo p.toml --yes";
    let mut kills = u32::from(killed_at(&home, undo, "undo_intended", 1));
    for count in [5, 50, 100, 150, 210, steps - 3] {
        kills += u32::from(killed_when_written(&home, &regions, undo, &dr, count).await);
    }
    kills += u32::from(killed_at(&home, undo, "undone", 1));
    assert!(kills >= 4, "only {kills} kills were in time");
    home.run(undo).exits(0);
    assert_eq!(regions.rows(PRIMARY).await, before);
    home.run("verify p.toml --undone").exits(0).prints("as before");
}

#[tokio::test]
async fn a_plan_killed_while_it_is_made_leaves_the_one_before_or_none() {
    let Some(regions) = Regions::start().await else { return };
    let (home, before) = planned(&regions, 0).await;
    for (event, more) in [("began", 1), ("compared", 1), ("began", 1), ("planned", 1), ("compared", 1)] {
        killed_at(&home, "plan p.toml --session other", event, more);
        killed_at(&home, "plan p.toml", event, more);
    }
    assert_eq!(regions.rows(PRIMARY).await, before, "a plan writes nothing");
    home.run("replay p.toml").exits(0).prints("a dry run");
    home.run("plan p.toml --session other").exits(0);
    home.run("replay p.toml --session other --apply --yes").exits(0);
    assert_eq!(regions.rows(PRIMARY).await, regions.rows(DR).await);
    // The first session's plan is done already: by someone else, so there is nothing for it to undo.
    home.run("replay p.toml --apply --yes").exits(0).prints("already");
    home.run("verify p.toml").exits(0);
}

#[tokio::test]
async fn an_interrupt_exits_5_and_the_same_command_resumes() {
    let Some(regions) = Regions::start().await else { return };
    let (home, before) = planned(&regions, 60).await;
    let journal = home.path(".failback/p/session.sqlite");
    for (signal, intended) in [(Signal::SIGINT, 1), (Signal::SIGTERM, 101), (Signal::SIGHUP, 201)] {
        let mut command = home.command("replay p.toml --apply --yes");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        assert!(reached(&mut child, || events(&journal, "intended") >= intended), "in time for {signal}");
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a signal");
        let output = child.wait_with_output().expect("a child");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(5), "{told}");
        assert!(told.contains(signal.as_str()) && told.contains("run the same command again"), "{told}");
    }
    home.write("p.toml", &home.read("p.toml").replace("writes_per_second = 60", "writes_per_second = 0"));
    home.run("replay p.toml --apply --yes").exits(0);
    assert_eq!(regions.rows(PRIMARY).await, regions.rows(DR).await);
    home.run("verify p.toml").exits(0);
    home.run("undo p.toml --yes").exits(0);
    assert_eq!(regions.rows(PRIMARY).await, before);
}

#[tokio::test]
async fn what_changed_while_the_killed_program_was_away_is_not_overwritten() {
    let Some(regions) = Regions::start().await else { return };
    let (home, before) = planned(&regions, 150).await;
    let replay = "replay p.toml --apply --yes";
    assert!(killed_when_written(&home, &regions, replay, &before, 40).await, "in time");
    let (now, dr) = (regions.rows(PRIMARY).await, regions.rows(DR).await);
    // One that was written and one that was not: someone changes both.
    let names = |written: bool| {
        let mut names: Vec<&str> = (0..ITEMS / 2)
            .filter(|at| at % 4 != 0)
            .map(|at| format!("a/{at}"))
            .filter_map(|name| dr.keys().find(|other| **other == name).map(String::as_str))
            .collect();
        names.retain(|name| (now.get(*name) == dr.get(*name)) == written);
        names
    };
    let [written, open] = [names(true), names(false)].map(|names| names.first().map(|name| (*name).to_owned()));
    for name in [&written, &open].into_iter().flatten() {
        let at = name.trim_start_matches("a/").parse().expect("a number");
        regions.put(PRIMARY, reading("a", at, "by someone")).await;
    }
    home.run(replay).exits(3).prints("refused");
    let after = regions.rows(PRIMARY).await;
    for name in [&written, &open].into_iter().flatten() {
        assert_eq!(after[name]["value"].as_s().expect("a text"), "by someone", "{name}");
    }
    home.run("verify p.toml").exits(1).prints("NOT AT PARITY");
}
