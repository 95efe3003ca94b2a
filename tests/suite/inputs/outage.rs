//! Endpoints that are slow, throttle, fail, break, or are gone.

use serde_json::{Value as Json, json};

use super::burst::Burst;
use super::gate::{Fate, Fault, ever, once};
use super::{Bench, REPLAY, UNDO, ended};
use crate::rig::PRIMARY;

/// Everything goes wrong with the table once or twice, in every way there is.
fn bad_day_of_dynamodb() -> Json {
    let fault = |operation: &str, region: &str, times: u32, how: &str, what: Json| json!({"service": "dynamodb", "operation": operation, "region": region, "times": times, how: what});
    let code = |code: &str| json!({ "code": code });
    json!([
        fault("Scan", "us-west-2", 2, "error", code("ProvisionedThroughputExceededException")),
        fault("Scan", "us-east-1", 1, "response", json!({"corrupt_bytes": 9})),
        fault("Scan", "us-west-2", 1, "response", json!({"truncate_frac": 0.5})),
        fault("Scan", "us-east-1", 1, "response", json!({"abort_frac": 0.5})),
        fault("DescribeTable", "us-east-1", 1, "error", code("InternalServerError")),
        fault("DescribeTable", "us-west-2", 1, "reset", json!(true)),
        fault("BatchGetItem", "us-west-2", 1, "error", code("ThrottlingException")),
        fault("PutItem", "us-east-1", 1, "error", code("RequestLimitExceeded")),
        fault("DeleteItem", "us-east-1", 1, "error", code("InternalServerError")),
        {"service": "dynamodb", "latency": 20},
    ])
}

fn bad_day_of_s3() -> Vec<Fault> {
    let slow_down = || Fate::Answered(503, "SlowDown", "Please reduce your request rate.");
    let internal = || Fate::Answered(500, "InternalError", "We encountered an internal error.");
    vec![
        once(&["HEAD /maps-west/m/"], Fate::Broken),
        once(&["HEAD /maps-east/m/"], slow_down()),
        once(&["GET /maps-west/?", "list-type=2"], internal()),
        once(&["GET /maps-east/?", "list-type=2"], Fate::Corrupt),
        once(&["GET /maps-west/new"], Fate::Corrupt),
        once(&["GET /maps-west/m/1"], Fate::Broken),
        once(&["PUT /maps-east/m/1"], slow_down()),
        once(&["PUT /maps-east/new"], Fate::Broken),
        once(&["DELETE /maps-east/m/2"], internal()),
    ]
}

#[tokio::test]
async fn what_goes_wrong_for_a_moment_is_tried_again() {
    let Some(bench) = Bench::planned().await else { return };
    let Some(burst) = Burst::before(bench.regions.server.port) else { return };
    let (before, wanted) = (bench.contents(PRIMARY).await, bench.home_come().await);
    bench.through(burst.port());
    burst.set(&bad_day_of_dynamodb());
    bench.gate.set(&bad_day_of_s3());
    bench.home.run("diff p.toml").exits(1);
    assert_eq!(bench.contents(PRIMARY).await, before);
    bench.home.run(REPLAY).exits(0);
    assert!(burst.clear().iter().all(|fired| *fired > 0), "everything went wrong");
    bench.gate.open();
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
}

#[tokio::test]
async fn what_fails_for_good_ends_the_command_and_the_same_command_goes_on_when_it_is_mended() {
    let Some(bench) = Bench::planned().await else { return };
    let (before, wanted) = (bench.contents(PRIMARY).await, bench.home_come().await);
    let gone = "wait until the endpoint answers";
    // All at the same time, each in a session of its own or with one store: every one of them waits in vain for long.
    bench.gate.set(&[
        ever(&["Scan", "us-west-2"], Fate::Answered(400, "ProvisionedThroughputExceededException", "slow down")),
        ever(&["PutItem", "us-east-1"], Fate::Answered(500, "InternalServerError", "Internal server error")),
        ever(&["GET /maps-west/?", "list-type=2"], Fate::Broken),
    ]);
    let commands = [
        ("diff p.toml --store sensors --session a", "cannot scan", "lower limits in the profile"),
        ("verify p.toml --store maps --session b", "cannot list bucket maps-west", gone),
        ("replay p.toml --apply --yes --store sensors", "InternalServerError: Internal server error", "failback undo"),
        ("plan p.toml --store maps --session c", "maps-west", gone),
    ];
    let running = commands.map(|(command, words, hint)| (bench.spawn(command), words, hint));
    for (child, words, hint) in running {
        let ran = ended(child).exits(4).says(words).says(hint).says("run the same command again");
        assert!(!ran.out.contains("PARITY"), "{}", ran.out);
    }
    assert!(!bench.home.path("b/certificate.json").exists());
    bench.gate.open();
    let (rows, objects) = bench.contents(PRIMARY).await;
    assert_eq!((rows.get("a/1"), objects), (before.0.get("a/1"), before.1), "what could not be written is what it was");
    bench.home.run("diff p.toml --store sensors --session a").exits(1);
    bench.home.run(REPLAY).exits(0);
    assert_eq!(bench.contents(PRIMARY).await, wanted);
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
    bench.home.run(UNDO).exits(0);
}
