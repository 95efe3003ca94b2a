//! Two DynamoDB tables compared: the product's `diff` against a boto3 script.

use std::path::Path;
use std::process::Command;

use super::measure::{Cost, Row, Server, cost_of, failback, in_turns, in_words, peer, ratio};
use super::{Size, pages};

/// The target against the boto3 script.
const RATIO_MAX: f64 = 0.06;

/// The target for memory at any size of table, in mebibytes.
pub const PEAK_MIB_MAX: f64 = 128.0;

/// Segments of one table read at a time, for both contestants.
const SEGMENTS: usize = 4;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers/boto3_diff.py");

/// A profile of the two tables of the server on `port`; `times` goes before all tables, `more` belongs to the store.
pub fn profile(port: u16, times: &str, more: &str) -> String {
    let side = |name: &str, region: &str| {
        format!(
            r#"
[{name}]
region = "{region}"
endpoint_url = "http://127.0.0.1:{port}"
credentials = {{ access_key_id = "test", secret_access_key = "test" }}
"#
        )
    };
    format!(
        r#"name = "bench"
{times}
{}{}
[machine]
parallel = {SEGMENTS}

[[store]]
name = "orders"
kind = "dynamodb"
primary = {{ table = "orders" }}
dr = {{ table = "orders-restored" }}
{more}
"#,
        side("primary", "us-east-1"),
        side("dr", "us-west-2")
    )
}

/// The product's whole command: both sides read and hashed, joined, every difference read once more, manifests and delta written.
/// `times` and `more` are as of [`profile`].
pub fn diff(folder: &Path, port: u16, items: u64, (times, more): (&str, &str)) -> Cost {
    let session = tempfile::tempdir_in(folder).expect("a folder");
    let path = session.path().join("profile.toml");
    std::fs::write(&path, profile(port, times, more)).expect("written");
    let mut command = failback();
    command.arg("diff").arg(&path).arg("--json").arg("--session").arg(session.path().join("session"));
    command.current_dir(session.path());
    let cost = cost_of(&mut command);
    assert_eq!(cost.status.code(), Some(1), "the tables differ: {}", cost.said);
    let store = &cost.json()["stores"][0];
    assert_eq!(store["primary"]["items"], items);
    cost
}

/// The same without a base: nothing tells who changed what differs.
fn without_base(folder: &Path, port: u16, items: u64) -> Cost {
    let cost = diff(folder, port, items, ("", ""));
    assert_eq!(cost.json()["stores"][0]["verdicts"]["unattributed"], pages::changed(items));
    cost
}

fn boto3(port: u16, items: u64) -> Option<Cost> {
    let mut command = Command::new(peer("python")?);
    command.arg(SCRIPT).args([&format!("http://127.0.0.1:{port}"), "orders", "orders-restored"]);
    let cost = cost_of(command.arg(SEGMENTS.to_string()));
    assert!(cost.status.success(), "{}", cost.said);
    assert_eq!(cost.json()["differing"], pages::changed(items));
    Some(cost)
}

pub fn run(size: Size) -> Vec<Row> {
    let items: u64 = size.pick(200_000, 3_000);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|port| format!("pages {port} {items}"));
    let mut rows = Vec::new();
    if peer("python").is_some() {
        let script = || boto3(server.port, items).expect("boto3 is installed");
        let product = || without_base(folder.path(), server.port, items);
        let rounds = size.pick(2, 1);
        let [product, script] = in_turns(rounds, |cost| cost.wall, [&mut { product }, &mut { script }]);
        rows.push(Row::note(format!("boto3, {items} items a side, {SEGMENTS} segments a side"), in_words(&script)));
        rows.push(Row::note("failback diff, the same", in_words(&product)));
        rows.push(Row::ratio("wall, failback diff against boto3", ratio(product.wall, script.wall), RATIO_MAX));
        rows.push(Row::note("user and system time, likewise", format!("{:.3}x", ratio(product.cpu(), script.cpu()))));
    } else {
        rows.push(Row::note(
            "boto3 is not installed; failback diff",
            in_words(&without_base(folder.path(), server.port, items)),
        ));
    }
    for items in size.pick([200_000, 2_000_000], [500, 4_000]) {
        let server = Server::start(|port| format!("pages {port} {items}"));
        let cost = without_base(folder.path(), server.port, items);
        rows.push(Row::peak(format!("peak memory, {items} items a side"), &cost, PEAK_MIB_MAX));
    }
    rows
}
