//! Many row changes replayed, guarded and journalled: against the same changes as statements fed to the database's own client.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::measure::{Cost, Row, cost_of, failback, in_words, ratio};
use super::rows::{PEAK_MIB_MAX, Rows, Stage, fed, run as run_client};
use super::{Size, mysql, postgres};

/// The target against the client.
const RATIO_MAX: f64 = 2.0;

/// How many rows there are, and how many of them are updated, deleted and inserted.
#[derive(Clone, Copy)]
struct Changes {
    rows: u64,
    updated: u64,
    deleted: u64,
    inserted: u64,
}

impl Changes {
    fn of(size: Size) -> Changes {
        let full = Changes { rows: 200_000, updated: 60_000, deleted: 20_000, inserted: 20_000 };
        size.pick(full, Changes { rows: 600, updated: 60, deleted: 20, inserted: 20 })
    }

    fn all(&self) -> u64 {
        self.updated + self.deleted + self.inserted
    }

    /// One statement for each change, scattered over the table.
    fn statements(&self) -> String {
        let mut statements = String::new();
        for n in 1..=self.updated {
            let _ = writeln!(statements, "UPDATE t SET d = 'changed', a = {n} WHERE id = {};", 2 * (n * 3 - 2));
        }
        for n in 1..=self.deleted {
            let _ = writeln!(statements, "DELETE FROM t WHERE id = {};", 2 * (n * 3 - 1));
        }
        for n in 1..=self.inserted {
            let _ = writeln!(
                statements,
                "INSERT INTO t VALUES ({}, {n}, 1.25, '2026-01-01 00:00:00', 'inserted', '{}');",
                2 * n * 3 + 1,
                "x".repeat(192)
            );
        }
        statements
    }
}

/// A database, its client, and how it takes many statements in one transaction.
struct Engine {
    kind: &'static str,
    name: &'static str,
    port: u16,
    client: Box<dyn Fn(&str) -> Command>,
    scheme: &'static str,
}

impl Engine {
    fn replay(&self, folder: &Path, changes: &Changes) -> Cost {
        let urls = ["one", "two"].map(|name| format!("{}@127.0.0.1:{}/{name}", self.scheme, self.port));
        let stage = Stage { kind: self.kind, urls, folder: folder.to_owned() };
        let path = folder.join(format!("{}.toml", self.kind));
        let more = "policy = { unattributed = \"mirror\", deletes = \"mirror\", overwrite_limit_percent = 100, delete_limit_percent = 100 }\n\
                    limits = { writes_per_second = 0 }\n";
        std::fs::write(&path, stage.profile(more)).expect("written");
        let session = folder.join(format!("{}-session", self.kind));
        let run = |words: &[&str]| {
            let mut command = failback();
            command.args(words).arg(&path).arg("--json").arg("--session").arg(&session);
            let cost = cost_of(command.current_dir(folder));
            assert!(cost.status.success(), "{words:?}: {}", cost.said);
            cost
        };
        let plan = run(&["plan", "--allow-everything"]).json();
        assert_eq!(plan["steps"], changes.all(), "{plan}");
        let replay = run(&["replay", "--apply", "--yes"]);
        stage.diff("stream", changes.rows - changes.deleted + changes.inserted, 0);
        replay
    }

    fn rows(&self, folder: &Path, changes: &Changes, statements: &Path) -> Vec<Row> {
        run_client(&mut (self.client)("two"), &format!("BEGIN;\n{}COMMIT;\n", changes.statements()));
        let replay = self.replay(folder, changes);
        let client = fed(&mut (self.client)("three"), statements);
        vec![
            Row::note(
                format!("{}, {} changes, a statement each in one transaction", self.name, changes.all()),
                in_words(&client),
            ),
            Row::note("failback replay --apply, guarded and journalled", in_words(&replay)),
            Row::ratio(format!("wall, against {}", self.name), ratio(replay.wall, client.wall), RATIO_MAX),
            Row::peak(format!("peak memory, {}", self.kind), &replay, PEAK_MIB_MAX),
        ]
    }
}

pub fn run(size: Size) -> Vec<Row> {
    let changes = Changes::of(size);
    let folder = tempfile::tempdir().expect("a folder");
    let statements = folder.path().join("changes.sql");
    std::fs::write(&statements, format!("BEGIN;\n{}COMMIT;\n", changes.statements())).expect("written");
    let alike = Rows { rows: changes.rows, changed: 1, missing: 1, extra: 1 };
    let mut rows = Vec::new();
    match postgres::alike(&alike, &["one", "two", "three"]) {
        None => rows.push(Row::note("PostgreSQL 15 is not installed", "left out")),
        Some(server) => {
            let port = server.port;
            let client = Box::new(move |database: &str| postgres::client(port, database));
            let engine = Engine { kind: "postgres", name: "psql", port, client, scheme: "postgres://postgres" };
            rows.extend(engine.rows(folder.path(), &changes, &statements));
        }
    }
    match mysql::alike(&alike, &["one", "two", "three"]) {
        None => rows.push(Row::note("MariaDB is not installed", "left out")),
        Some(server) => {
            let port = server.port;
            let client = Box::new(move |database: &str| mysql::client(port, database));
            let engine = Engine { kind: "mysql", name: "mariadb", port, client, scheme: "mysql://root" };
            rows.extend(engine.rows(folder.path(), &changes, &statements));
        }
    }
    rows
}
