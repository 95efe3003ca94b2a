//! Journals torn at the end and damaged in the middle: opened as they were at their last commit, or refused.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value as Json;

use crate::rig::{Home, PRIMARY, Ran, Regions};
use crate::shim::{Blow, Shim};
use crate::small::{Contents, PLAN, REPLAY, UNDO, struck, told};

const REPORT: &str = "report p.toml --json";

fn journal(home: &Home) -> PathBuf {
    home.path(".failback/p/session.sqlite")
}

fn log(home: &Home) -> PathBuf {
    home.path(".failback/p/session.sqlite-wal")
}

/// Makes sure that a damaged journal is told, with the exit code and the hint of damage.
#[track_caller]
fn assert_refused(ran: &Ran, named: &str) {
    assert_eq!(ran.code, Some(4), "{named}: {}{}", ran.out, ran.err);
    assert!(ran.err.contains("is damaged"), "{named}: {}", ran.err);
    assert!(ran.err.contains("--session DIR"), "{named}: {}", ran.err);
}

/// Makes sure that a report is refused or the same; whether it was refused.
#[track_caller]
fn is_refused(home: &Home, wanted: &Json, named: &str) -> bool {
    let going_on = refused_or_told(home, named);
    if let Some(report) = &going_on {
        assert_eq!(report, wanted, "{named}: it goes on silently");
    }
    going_on.is_none()
}

/// What a report tells, unless it is refused in plain words.
#[track_caller]
fn refused_or_told(home: &Home, named: &str) -> Option<Json> {
    let ran = home.run(REPORT);
    if ran.code == Some(0) {
        return Some(told(ran.json()));
    }
    assert_eq!(ran.code, Some(4), "{named}: {}{}", ran.out, ran.err);
    assert!(
        ran.err.contains("error: ") && ran.err.contains("hint: ") && !ran.err.contains("panicked"),
        "{named}: {}",
        ran.err
    );
    None
}

/// The number of the last event that is noted apart from the journal.
fn noted(home: &Home) -> usize {
    let note = std::fs::read_to_string(home.path(".failback/p/session.head")).expect("a note");
    note.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn altered(home: &Home, path: fn(&Home) -> PathBuf, alter: impl FnOnce(&mut Vec<u8>)) -> Home {
    let home = home.copy();
    let mut bytes = std::fs::read(path(&home)).expect("a file");
    alter(&mut bytes);
    std::fs::write(path(&home), bytes).expect("written");
    home
}

fn bodies(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("opened");
    let mut rows = connection.prepare("SELECT body FROM event ORDER BY seq").expect("events");
    rows.query_map([], |row| row.get(0)).expect("events").map(|body| body.expect("a body")).collect()
}

/// A home whose replay was killed at its very end: all of its commits are in the write-ahead log.
async fn killed(regions: &Regions) -> Home {
    let (home, shim) = (struck(regions).await, Shim::build());
    home.run(PLAN).exits(0);
    let dry = home.copy();
    let counted = shim.changes(&dry, REPLAY);
    dry.run(UNDO).exits(0);
    let closes = counted.changes.iter().rposition(|change| change.call == "truncate").expect("the log is emptied");
    let first = counted.changes[..closes].iter().rposition(|change| change.path.ends_with("-wal")).expect("a log");
    assert!(shim.run(&home, REPLAY, Blow::Before(first + 1), "").is_killed());
    home
}

#[tokio::test]
async fn a_log_cut_anywhere_is_told_or_whole() {
    let Some(regions) = Regions::start().await else { return };
    let home = killed(&regions).await;
    let wanted = told(home.copy().run(REPORT).exits(0).json());
    let whole = std::fs::read(log(&home)).expect("a log").len();
    let events = bodies(&journal(&home.copy()));
    // The blow may fall between the last commit and its note: that commit was never told as done, so it may be lost.
    let noted = noted(&home);
    assert!((1..=events.len()).contains(&noted), "{noted} of {}", events.len());
    let (mut refused, after) = (0, Contents::of(&regions, PRIMARY).await);
    let lengths = (0..whole).step_by(whole / 40).chain([1, 32, 33, whole - 4120, whole - 4096, whole - 1, whole]);
    for length in lengths {
        let named = format!("cut to {length} of {whole}");
        let cut = altered(&home, log, |bytes| bytes.truncate(length));
        match refused_or_told(&cut, &named) {
            None => refused += 1,
            Some(report) => {
                let left = bodies(&journal(&cut.copy())).len();
                assert!(report == wanted || (noted..events.len()).contains(&left), "{named}: it goes on silently");
            }
        }
        // Without the note of the last event there is no telling: then it is a prefix, and the replay goes on from it.
        std::fs::remove_file(cut.path(".failback/p/session.head")).expect("a note");
        let left = bodies(&journal(&cut.copy()));
        assert!(events.starts_with(&left), "{named}: not a prefix");
    }
    assert!(refused > 30, "only {refused} were refused");
    let cut = altered(&home, log, |bytes| bytes.truncate(whole / 2));
    for command in [REPLAY, UNDO, "plan p.toml", "verify p.toml", "diff p.toml", "cutover p.toml --yes"] {
        assert_refused(&cut.run(command), command);
    }
    assert_eq!(Contents::of(&regions, PRIMARY).await, after, "nothing was written on a damaged journal");
    std::fs::remove_file(cut.path(".failback/p/session.head")).expect("a note");
    cut.run(REPLAY).exits(0);
    assert_eq!(Contents::of(&regions, PRIMARY).await, after);
}

#[tokio::test]
async fn a_byte_changed_anywhere_is_told_or_not_in_use() {
    let Some(regions) = Regions::start().await else { return };
    let home = killed(&regions).await;
    let wanted = told(home.copy().run(REPORT).exits(0).json());
    let closed = home.copy();
    closed.run("verify p.toml").exits(0);
    let wanted_closed = told(closed.run(REPORT).exits(0).json());
    for (home, wanted, path, many) in
        [(&home, &wanted, log as fn(&Home) -> PathBuf, 60), (&closed, &wanted_closed, journal, 160)]
    {
        let whole = std::fs::read(path(home)).expect("a file").len();
        let mut refused = 0;
        for at in (0..whole).step_by(whole / many) {
            let flipped = altered(home, path, |bytes| bytes[at] ^= 0x10);
            refused += usize::from(is_refused(&flipped, wanted, &format!("byte {at} of {whole}")));
        }
        eprintln!("{refused} of {many} flips were refused");
        assert!(refused > many / 5, "only {refused} of {many}");
    }
}

#[tokio::test]
async fn a_journal_cut_short_is_told() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    home.run(PLAN).exits(0);
    let whole = std::fs::read(journal(&home)).expect("a journal").len();
    for length in (0..whole).step_by(whole / 30).chain([1, 16, 99, 100, 101, 4095, 4096, whole - 4096, whole - 1]) {
        let cut = altered(&home, journal, |bytes| bytes.truncate(length));
        for command in [REPORT, "plan p.toml"] {
            assert_refused(&cut.run(command), &format!("{command}: cut to {length} of {whole}"));
        }
    }
    let gone = home.copy();
    std::fs::remove_file(journal(&gone)).expect("removed");
    for command in [REPORT, "plan p.toml"] {
        assert_refused(&gone.run(command), &format!("{command}: gone"));
    }
}

#[tokio::test]
async fn rows_edited_by_hand_are_told() {
    let Some(regions) = Regions::start().await else { return };
    let planned = struck(&regions).await;
    planned.run(PLAN).exits(0);
    let replayed = planned.copy();
    replayed.run(REPLAY).exits(0);
    let after = Contents::of(&regions, PRIMARY).await;
    let edits = [
        ("DELETE FROM event WHERE seq = 3", &planned, REPORT),
        ("DELETE FROM event WHERE seq = 1", &planned, PLAN),
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", &planned, REPORT),
        ("DELETE FROM event", &planned, PLAN),
        ("UPDATE event SET body = replace(body, 'plan', 'diff') WHERE seq > 2", &planned, REPLAY),
        ("UPDATE event SET at_micros = at_micros + 1 WHERE seq = 2", &planned, REPORT),
        ("DELETE FROM step WHERE position = 2", &planned, REPLAY),
        ("UPDATE step SET wanted = expected WHERE position = 1", &planned, REPLAY),
        ("UPDATE step SET store = 'nowhere' WHERE position = 1", &planned, "replay p.toml"),
        ("UPDATE step SET state = 'finished' WHERE position = 1", &planned, REPLAY),
        ("UPDATE kept SET held = 1 - held", &planned, "verify p.toml"),
        ("DELETE FROM kept", &planned, REPORT),
        ("UPDATE prior SET image = CAST(image || x'00' AS BLOB) WHERE image IS NOT NULL", &replayed, UNDO),
        ("UPDATE prior SET digest = NULL, image = NULL", &replayed, UNDO),
        ("UPDATE prior SET state = 'forgotten'", &replayed, UNDO),
    ];
    for (edit, home, command) in edits {
        let home = home.copy();
        let connection = Connection::open(journal(&home)).expect("opened by hand");
        assert!(connection.execute(edit, []).expect("edited") > 0, "{edit}");
        drop(connection);
        assert_refused(&home.run(command), edit);
    }
    assert_eq!(Contents::of(&regions, PRIMARY).await, after, "nothing was written on a damaged journal");
}

#[tokio::test]
async fn a_byte_changed_in_a_prior_image_is_never_written_back() {
    let Some(regions) = Regions::start().await else { return };
    let planned = struck(&regions).await;
    planned.run(PLAN).exits(0);
    let before = Contents::of(&regions, PRIMARY).await;
    let replayed = planned.copy();
    replayed.run(REPLAY).exits(0);
    let after = Contents::of(&regions, PRIMARY).await;
    let bytes = std::fs::read(journal(&replayed)).expect("a journal");
    let images: Vec<usize> = (0..bytes.len() - 6).filter(|at| bytes[*at..].starts_with(b"seeded")).collect();
    let mut refused = 0;
    for at in images {
        let flipped = altered(&replayed, journal, |bytes| bytes[at + 2] ^= 0x20);
        let ran = flipped.run(UNDO);
        match ran.code {
            // A copy that is not in use: a page that was split, or the history.
            Some(0) => {
                assert_eq!(Contents::of(&regions, PRIMARY).await, before, "byte {at}");
                after.put_back(&regions).await;
            }
            _ => {
                assert_refused(&ran, &format!("byte {at}"));
                refused += 1;
                assert_eq!(Contents::of(&regions, PRIMARY).await.rows, after.rows, "byte {at}");
            }
        }
    }
    assert!(refused > 0, "no flip of a prior image was refused");
}

#[tokio::test]
async fn a_checkpoint_that_lost_or_changed_a_part_is_no_base() {
    let Some(regions) = Regions::start().await else { return };
    let home = struck(&regions).await;
    let diff = "diff p.toml --json";
    let wanted = told(home.copy().run(diff).exits(1).json());
    let part_of = |home: &Home| {
        let side = home.path(".failback/checkpoints/step/sensors/side=primary");
        let mut files = std::fs::read_dir(side).expect("a manifest").map(|entry| entry.expect("an entry").path());
        files.find(|path| path.extension().is_some_and(|kind| kind == "parquet")).expect("a part")
    };
    let lost = home.copy();
    std::fs::remove_file(part_of(&lost)).expect("removed");
    lost.run(diff).exits(4).says("is damaged").says("restore its folder from a copy");
    let whole = std::fs::read(part_of(&home)).expect("a part");
    for at in (0..whole.len()).step_by(whole.len() / 25) {
        let home = home.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(part_of(&home), bytes).expect("written");
        let ran = home.run(diff);
        match ran.code {
            Some(1) => assert_eq!(told(ran.json()), wanted, "byte {at}: it goes on silently"),
            code => assert_eq!(code, Some(4), "byte {at}: {}", ran.err),
        }
    }
}
