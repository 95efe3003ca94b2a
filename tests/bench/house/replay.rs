//! Replay at the limit that the profile sets.

use super::measure::{Row, Server, cost_of, failback, in_words};
use super::tables::profile;
use super::{Size, pages};

/// How far the rate of writes may be from the limit.
const DEVIATION_MAX: f64 = 0.10;

pub fn run(size: Size) -> Vec<Row> {
    let items: u64 = size.pick(400_000, 3_000);
    let limit = size.pick(200.0, 1_000.0);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(|port| format!("pages {port} {items}"));
    let path = folder.path().join("profile.toml");
    let more = format!("policy = {{ unattributed = \"dr-wins\" }}\nlimits = {{ writes_per_second = {limit} }}");
    std::fs::write(&path, profile(server.port, "", &more)).expect("written");
    let run = |words: &[&str]| {
        let mut command = failback();
        command.args(words).arg(&path).arg("--json").arg("--session").arg(folder.path().join("session"));
        let cost = cost_of(command.current_dir(folder.path()));
        assert!(cost.status.success(), "{words:?}: {}", cost.said);
        cost
    };
    run(&["plan"]);
    assert_eq!(pages::writes(server.port).0, 0, "a plan writes nothing");
    let replay = run(&["replay", "--apply", "--yes"]);
    let (writes, time) = pages::writes(server.port);
    assert_eq!(writes, pages::changed(items), "every difference is written once");
    let rate = (writes - 1) as f64 / time.as_secs_f64();
    vec![
        Row::note(format!("{writes} guarded writes, limit {limit} a second"), in_words(&replay)),
        Row::note("writes a second, the first second's allowance included", format!("{rate:.1}")),
        Row::ratio("distance from the limit", (rate / limit - 1.0).abs(), DEVIATION_MAX),
    ]
}
