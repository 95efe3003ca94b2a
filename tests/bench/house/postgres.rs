//! Two PostgreSQL tables compared: the product's `diff` against reladiff, which bisects by checksums of the databases.

use std::path::Path;
use std::process::Command;

use super::Size;
use super::measure::{Cost, Row, cost_of, in_turns, in_words, peer, ratio};
use super::rows::{PEAK_MIB_MAX, Rows, Stage, run as run_client};
use crate::loopback::servers::{self, Meter, Server};

/// The targets against reladiff: whole rows, and rows that the databases hash.
const STREAM_MAX: f64 = 0.3;
const SERVER_MAX: f64 = 0.25;
/// Where nothing differs, reladiff asks for a few checksums only.
const ALIKE_MAX: f64 = 1.0;
/// What may cross the wire where the databases hash, in megabytes.
const WIRE_MB_MAX: f64 = 80.0;

/// Debian's server and client.
pub const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A client of one database.
pub fn client(port: u16, database: &str) -> Command {
    let mut command = Command::new(format!("{BIN}/psql"));
    command.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
    command.args(["-p", &port.to_string(), "-d", database]);
    command
}

/// Databases that hold the same rows.
pub fn alike(rows: &Rows, databases: &[&str]) -> Option<Server> {
    if !Path::new(BIN).join("psql").exists() {
        return None;
    }
    let server = servers::postgres(Path::new(BIN), &[]);
    let (first, others) = databases.split_first()?;
    let copies = others.iter().map(|name| format!("CREATE DATABASE {name} TEMPLATE {first};\n")).collect::<String>();
    let fill = format!(
        "CREATE DATABASE {first};\n\\c {first}\n\
         CREATE TABLE t (id bigint PRIMARY KEY, a int, b numeric(12, 2), c timestamptz, d text, e text);\n\
         INSERT INTO t SELECT 2 * n, n % 1000, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 second', 'n-' || md5(n::text),\n  \
          repeat(md5(n::text), 6) FROM generate_series(1, {}) n;\nVACUUM ANALYZE t;\n\\c postgres\n{copies}",
        rows.rows
    );
    run_client(&mut client(server.port, "postgres"), &fill);
    Some(server)
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

fn reladiff(server: &Server, dr: &str, lines: u64) -> Option<Cost> {
    let mut command = Command::new(peer("reladiff")?);
    for database in ["one", dr] {
        command.args([&format!("postgresql://postgres@127.0.0.1:{}/{database}", server.port), "t"]);
    }
    command.args([
        "-k",
        "id",
        "-c",
        "%",
        "-j",
        "2",
        "--bisection-factor",
        "64",
        "--bisection-threshold",
        "100000",
        "--json",
    ]);
    let cost = cost_of(&mut command);
    let found = cost.said.lines().filter(|line| line.starts_with("[\"+") || line.starts_with("[\"-")).count() as u64;
    assert_eq!(found, lines, "what reladiff finds: {:?}", cost.status);
    Some(cost)
}

pub fn run(size: Size) -> Vec<Row> {
    let rows = Rows::of(size);
    let Some(server) = alike(&rows, &["one", "two", "alike"]) else {
        return vec![Row::note("PostgreSQL 15 is not installed", "left out")];
    };
    run_client(&mut client(server.port, "two"), &format!("{}VACUUM ANALYZE t;\n", rows.strike()));
    let folder = tempfile::tempdir().expect("a folder");
    let stage = |ports: [u16; 2], dr: &str| Stage {
        kind: "postgres",
        urls: [url(ports[0], "one"), url(ports[1], dr)],
        folder: folder.path().to_owned(),
    };
    let near = [server.port; 2];
    let differing = rows.differing();
    let stream = || stage(near, "two").diff("stream", rows.rows, differing);
    let hashed = || stage(near, "two").diff("server", rows.rows, differing);
    let alike = || stage(near, "alike").diff("server", rows.rows, 0);
    let meter = Meter::before(server.port);
    stage([meter.port; 2], "two").diff("server", rows.rows, differing);
    let megabytes = meter.taken() as f64 / 1e6;
    let wire = Row {
        what: format!("digest = \"server\", sent by both databases, {} rows a side", rows.rows),
        measured: format!("{megabytes:.1} MB"),
        target: Some((megabytes, WIRE_MB_MAX)),
    };
    if peer("reladiff").is_none() {
        let [stream, hashed] = [stream(), hashed()];
        return vec![
            Row::note("reladiff is not installed; failback diff, digest = \"stream\"", in_words(&stream)),
            Row::note("failback diff, digest = \"server\"", in_words(&hashed)),
            Row::peak("peak memory, stream", &stream, PEAK_MIB_MAX),
            Row::peak("peak memory, server", &hashed, PEAK_MIB_MAX),
            wire,
        ];
    }
    // A change is told by the row as it was and as it is.
    let peer = || reladiff(&server, "two", differing + rows.changed).expect("reladiff is installed");
    let peer_alike = || reladiff(&server, "alike", 0).expect("reladiff is installed");
    let rounds = size.pick(2, 1);
    let wall = |cost: &Cost| cost.wall;
    let [peer, stream, hashed] = in_turns(rounds, wall, [&mut { peer }, &mut { stream }, &mut { hashed }]);
    let [peer_alike, alike] = in_turns(rounds, wall, [&mut { peer_alike }, &mut { alike }]);
    vec![
        Row::note(format!("reladiff 0.6.0, {} rows a side, {differing} differ", rows.rows), in_words(&peer)),
        Row::note("failback diff, digest = \"stream\"", in_words(&stream)),
        Row::note("failback diff, digest = \"server\"", in_words(&hashed)),
        Row::ratio("wall, stream", ratio(stream.wall, peer.wall), STREAM_MAX),
        Row::ratio("wall, server", ratio(hashed.wall, peer.wall), SERVER_MAX),
        Row::peak("peak memory, stream", &stream, PEAK_MIB_MAX),
        Row::peak("peak memory, server", &hashed, PEAK_MIB_MAX),
        wire,
        Row::note("reladiff, tables that are alike", in_words(&peer_alike)),
        Row::note("failback diff, digest = \"server\", the same", in_words(&alike)),
        Row::ratio("wall, tables that are alike", ratio(alike.wall, peer_alike.wall), ALIKE_MAX),
    ]
}
