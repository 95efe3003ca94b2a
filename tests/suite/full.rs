//! A disk that fills up at every write of a command: a clear error, nothing half-made that is taken for whole, and with
//! room again the same command comes to the same end.

use std::process::{Command, Stdio};

use futures_util::StreamExt;

use crate::rig::{DR, Home, PRIMARY, Ran, Regions, reading};
use crate::shim::{Blow, Shim};
use crate::small::{Contents, PLAN, REPLAY, UNDO, in_step, struck, told};

/// How far apart the instants are, and which files have no room.
#[derive(Debug, Clone, Copy)]
struct Filling {
    stride: usize,
    part: &'static str,
    errors_min: usize,
}

/// Fills the disk at many instants of a command, each time in a `fresh` home. `then` is given the home and whether the
/// command told an error.
async fn at_every_write(
    shim: &Shim,
    fresh: &dyn Fn() -> Home,
    (arguments, code): (&str, i32),
    filling: Filling,
    mut then: impl AsyncFnMut(&Home, &str, Option<Ran>),
) {
    let (mut errors, mut at) = (0, 1);
    loop {
        let home = fresh();
        let struck = shim.run(&home, arguments, Blow::Full(at), filling.part);
        if struck.changes.len() < at {
            break;
        }
        assert!(!struck.is_killed());
        let named =
            format!("{arguments}: full from {at}, {} {}", struck.changes[at - 1].call, struck.changes[at - 1].path);
        if struck.ran.code == Some(code) {
            then(&home, &named, None).await;
        } else {
            assert_clear(&struck.ran, &named);
            errors += 1;
            then(&home, &named, Some(struck.ran)).await;
        }
        at += filling.stride;
    }
    eprintln!("{arguments} {:?}: {errors} errors, {at} changes", filling.part);
    assert!(errors >= filling.errors_min, "only {errors} errors of {arguments}: is the library in place?");
}

/// An error that says what failed, which file, why, and what to type.
#[track_caller]
fn assert_clear(ran: &Ran, named: &str) {
    assert_eq!(ran.code, Some(4), "{named}: {}{}", ran.out, ran.err);
    let says = |word| ran.err.contains(word);
    assert!(says("error: ") && says(".failback"), "{named} names no file: {}", ran.err);
    // SQLite does not tell why it could not make its log or its shared memory.
    let reasons = ["No space left", "disk is full", "disk I/O error", "unable to open database file"];
    assert!(reasons.into_iter().any(says), "{named} says not why: {}", ran.err);
    assert!(says("hint: ") && says("run"), "{named} says not what to do: {}", ran.err);
    assert!(!says("panicked"), "{named}: {}", ran.err);
}

/// A command that reads: with room again it says what it says on a disk that was never full.
async fn reads(prepared: &Home, (arguments, code): (&str, i32), filling: Filling, meanwhile: impl Fn(&Home, &str)) {
    let wanted = told(prepared.copy().run(arguments).exits(code).json());
    at_every_write(&Shim::build(), &|| prepared.copy(), (arguments, code), filling, async |home, named, failed| {
        if failed.is_none() {
            return;
        }
        meanwhile(home, named);
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(code), "{named}: {}{}", ran.out, ran.err);
        assert_eq!(told(ran.json()), wanted, "{named}");
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint() {
    let Some(regions) = Regions::start().await else { return };
    let home = in_step(&regions).await;
    let filling = Filling { stride: 3, part: "", errors_min: 30 };
    reads(&home, ("checkpoint p.toml --name step --json", 0), filling, |_, _| {}).await;
}

#[tokio::test]
async fn a_plan() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    let filling = Filling { stride: 3, part: "", errors_min: 30 };
    reads(&home, (PLAN, 0), filling, |home, named| {
        // There is no plan, or all of it.
        let dry = home.run("replay p.toml");
        assert!(
            dry.code == Some(0) || (dry.code == Some(2) && dry.err.contains("has no plan")),
            "{named}: {}",
            dry.err
        );
    })
    .await;
}

#[tokio::test]
async fn a_verification() {
    let Some(regions) = Regions::start().await else { return };
    let home = in_step(&regions).await;
    let filling = Filling { stride: 3, part: "", errors_min: 25 };
    reads(&home, ("verify p.toml --json", 0), filling, |home, named| {
        if home.path(".failback/p/certificate.json").exists() {
            let ran = home.run("certificate .failback/p/certificate.json");
            assert_eq!(ran.code, Some(0), "{named}: half a certificate: {}", ran.err);
        }
    })
    .await;
}

#[tokio::test]
async fn a_replay_and_an_undo() {
    let Some(regions) = Regions::start().await else { return };
    let planned = struck(&regions).await;
    planned.run(PLAN).exits(0);
    let (before, wanted) = (Contents::of(&regions, PRIMARY).await, Contents::wanted(&regions).await);
    let shim = Shim::build();
    let filling = Filling { stride: 4, part: "", errors_min: 15 };
    at_every_write(&shim, &|| planned.copy(), (REPLAY, 0), filling, async |home, named, _| {
        let ran = home.run(REPLAY);
        assert_eq!(ran.code, Some(0), "{named}: {}{}", ran.out, ran.err);
        assert_eq!(Contents::of(&regions, PRIMARY).await, wanted, "{named}");
        let ran = home.run(UNDO);
        assert_eq!(ran.code, Some(0), "{named}: {}{}", ran.out, ran.err);
        assert_eq!(Contents::of(&regions, PRIMARY).await, before, "{named}");
    })
    .await;
    before.put_back(&regions).await;
    let replayed = || {
        let home = planned.copy();
        home.run(REPLAY).exits(0);
        home
    };
    at_every_write(
        &shim,
        &replayed,
        (UNDO, 0),
        Filling { stride: 2, part: "", errors_min: 8 },
        async |home, named, _| {
            let ran = home.run(UNDO);
            assert_eq!(ran.code, Some(0), "{named}: {}{}", ran.out, ran.err);
            assert_eq!(Contents::of(&regions, PRIMARY).await, before, "{named}");
        },
    )
    .await;
}

#[tokio::test]
async fn spilled_digests() {
    let Some(regions) = Regions::start().await else { return };
    let home = in_step(&regions).await;
    // The least budget is a mebibyte for both sides: a few hundred items with the longest of keys pass it.
    let rows = (0..330).map(|at| reading(&format!("{at}{}", "x".repeat(1_900)), at, "long"));
    let puts = rows.flat_map(|row| [(PRIMARY, row.clone()), (DR, row)]).map(|(side, row)| regions.put(side, row));
    futures_util::stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
    home.write("p.toml", &(home.read("p.toml") + "[machine]\nmemory_mib = 1\n"));
    let filling = Filling { stride: 250, part: "/spill/", errors_min: 3 };
    reads(&home, ("diff p.toml --store sensors --json", 0), filling, |home, named| {
        let left = home.path(".failback/p/spill/diff");
        let left = std::fs::read_dir(left).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{named}: a full disk needs the room of what was spilled");
    })
    .await;
}

#[tokio::test]
async fn a_retreat_needs_no_disk_and_no_journal() {
    let Some(regions) = Regions::start().await else { return };
    let (home, shim) = (in_step(&regions).await, Shim::build());
    home.run("checkpoint p.toml --name step").exits(0);
    let mut at = 1;
    loop {
        regions.weigh([("primary", 50), ("dr", 50)]).await;
        let struck = shim.run(&home.copy(), "cutover p.toml --retreat", Blow::Full(at), "");
        let [primary, dr] = regions.weights().await;
        assert!(primary == 0 && dr > 0, "full from {at}: {primary}/{dr}: {}", struck.ran.err);
        if struck.changes.len() < at {
            struck.ran.exits(0);
            break;
        }
        assert!([Some(0), Some(4)].contains(&struck.ran.code), "{}", struck.ran.err);
        at += 2;
    }
    assert!(at > 10, "the library is not in place");
    regions.weigh([("primary", 50), ("dr", 50)]).await;
    let damaged = home.copy();
    damaged.write(".failback/p/session.sqlite", "not a journal");
    damaged.run("cutover p.toml --retreat").exits(4).says("the retreat was made").says("damaged");
    let [primary, dr] = regions.weights().await;
    assert!(primary == 0 && dr > 0, "{primary}/{dr}");
}

#[tokio::test]
async fn what_is_printed() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run("plan p.toml").exits(3);
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device"));
    let run = |mut command: Command| command.output().expect("the program starts");
    for arguments in ["report p.toml", "report p.toml --json", "diff p.toml", "man"] {
        let mut command = home.command(arguments);
        command.stdout(full());
        let output = run(command);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(4), "{arguments}: {told}");
        assert!(told.contains("cannot write the result to stdout") && told.contains("hint: "), "{arguments}: {told}");
    }
    for (arguments, code) in
        [("diff p.toml", 1), ("report p.toml --session nowhere", 2), ("verify p.toml --freeze --yes", 1)]
    {
        let mut command = home.command(arguments);
        command.stderr(full());
        assert_eq!(run(command).status.code(), Some(code), "{arguments} with nobody to tell errors to");
    }
}
