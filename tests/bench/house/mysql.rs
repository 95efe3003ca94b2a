//! Two MariaDB tables compared: the product's `diff` against `pt-table-sync --print`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Size;
use super::measure::{Cost, Row, cost_of, in_turns, in_words, ratio};
use super::rows::{PEAK_MIB_MAX, Rows, Stage, run as run_client};
use crate::loopback::servers::{self, Server};

/// The targets against pt-table-sync.
const WALL_MAX: f64 = 0.7;
const CPU_MAX: f64 = 0.4;

/// A client of one database.
pub fn client(port: u16, database: &str) -> Command {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-P", &port.to_string(), database]);
    command
}

/// Databases that hold the same rows.
pub fn alike(rows: &Rows, databases: &[&str]) -> Option<Server> {
    if !Path::new(servers::MARIADB).exists() {
        return None;
    }
    let server = servers::mariadb(&["--innodb-buffer-pool-size=1G", "--skip-log-bin"]);
    let make = "CREATE TABLE t (id BIGINT PRIMARY KEY, a INT, b DECIMAL(12, 2), c DATETIME, d VARCHAR(64), e TEXT);\n";
    let (first, others) = databases.split_first()?;
    let copy =
        |name: &&str| format!("CREATE DATABASE {name};\nUSE {name};\n{make}INSERT INTO t SELECT * FROM {first}.t;\n");
    let copies: String = others.iter().map(copy).collect();
    let fill = format!(
        "CREATE DATABASE {first};\nUSE {first};\n{make}\
         INSERT INTO t SELECT 2 * seq, seq % 1000, seq / 7, '2026-01-01' + INTERVAL seq SECOND, MD5(seq), REPEAT(MD5(seq), 6)\n  \
          FROM seq_1_to_{};\n{copies}",
        rows.rows
    );
    run_client(&mut client(server.port, "mysql"), &fill);
    Some(server)
}

fn sync(server: &Server, algorithm: &str, differing: u64) -> Cost {
    let mut command = Command::new("pt-table-sync");
    command.args([
        "--print",
        "--no-check-slave",
        "--no-check-triggers",
        "--algorithms",
        algorithm,
        "--chunk-size",
        "10k",
    ]);
    let place = format!("h=127.0.0.1,P={},u=root,t=t", server.port);
    command.args([format!("{place},D=one"), format!("{place},D=two")]).stderr(Stdio::null());
    let cost = cost_of(&mut command);
    let found = cost
        .said
        .lines()
        .filter(|line| ["REPLACE", "INSERT", "UPDATE", "DELETE"].iter().any(|word| line.starts_with(word)));
    assert_eq!(found.count() as u64, differing, "what pt-table-sync finds by {algorithm}: {:?}", cost.status);
    cost
}

pub fn run(size: Size) -> Vec<Row> {
    let rows = Rows::of(size);
    let Some(server) = alike(&rows, &["one", "two"]) else {
        return vec![Row::note("MariaDB is not installed", "left out")];
    };
    let strike = rows.strike().replace("id / 2", "id DIV 2");
    run_client(&mut client(server.port, "two"), &format!("{strike}ANALYZE TABLE one.t, two.t;\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let urls = ["one", "two"].map(|name| format!("mysql://root@127.0.0.1:{}/{name}", server.port));
    let stage = Stage { kind: "mysql", urls, folder: folder.path().to_owned() };
    let differing = rows.differing();
    let stream = || stage.diff("stream", rows.rows, differing);
    let hashed = || stage.diff("server", rows.rows, differing);
    if Command::new("pt-table-sync").arg("--version").stdout(Stdio::null()).status().is_err() {
        let [stream, hashed] = [stream(), hashed()];
        return vec![
            Row::note("pt-table-sync is not installed; failback diff, digest = \"stream\"", in_words(&stream)),
            Row::note("failback diff, digest = \"server\"", in_words(&hashed)),
            Row::peak("peak memory", &stream, PEAK_MIB_MAX),
        ];
    }
    let chunk = || sync(&server, "Chunk", differing);
    let nibble = || sync(&server, "Nibble", differing);
    let contestants: [&mut dyn FnMut() -> Cost; 4] =
        [&mut { chunk }, &mut { nibble }, &mut { stream }, &mut { hashed }];
    let [chunk, nibble, stream, hashed] = in_turns(size.pick(2, 1), |cost| cost.wall, contestants);
    let mut table = vec![
        Row::note("failback diff, digest = \"stream\"", in_words(&stream)),
        Row::note("failback diff, digest = \"server\"", in_words(&hashed)),
        Row::peak("peak memory, stream", &stream, PEAK_MIB_MAX),
        Row::peak("peak memory, server", &hashed, PEAK_MIB_MAX),
    ];
    for (name, peer) in [("Chunk", chunk), ("Nibble", nibble)] {
        let what = format!("pt-table-sync --print, {name}, 10k, {} rows a side, {differing} differ", rows.rows);
        table.push(Row::note(what, in_words(&peer)));
        table.push(Row::ratio(format!("wall, stream against {name}"), ratio(stream.wall, peer.wall), WALL_MAX));
        table.push(Row::note(format!("wall, server against {name}"), format!("{:.3}x", ratio(hashed.wall, peer.wall))));
        table.push(Row::ratio(
            format!("client's time, stream against {name}"),
            ratio(stream.cpu(), peer.cpu()),
            CPU_MAX,
        ));
        table.push(Row::note(
            format!("client's time, server against {name}"),
            format!("{:.3}x", ratio(hashed.cpu(), peer.cpu())),
        ));
    }
    table
}
