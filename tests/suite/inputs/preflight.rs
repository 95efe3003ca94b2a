//! `check` tells everything that is wrong at once; and what no command may begin with.

use aws_sdk_dynamodb::types::ScalarAttributeType;
use serde_json::Value as Json;

use super::gate::{Fate, ever};
use super::{BUCKET, Bench, FREEZE, REPLAY, TABLE, store};
use crate::rig::{DR, PRIMARY, reading, sides_on_port};

/// Level, subject and words of every finding.
fn findings(document: &Json) -> Vec<String> {
    let findings = document["findings"].as_array().expect("a list").iter();
    findings.map(|one| format!("{} {}: {}", one["level"], one["subject"], one["what"]).replace('"', "")).collect()
}

#[tokio::test]
async fn check_tells_what_is_wrong_with_every_side_of_every_store_at_once() {
    let Some(bench) = Bench::in_step().await else { return };
    let stores = store("sensors", "dynamodb", "table", ["no-such-table", TABLE[DR]], "")
        + &store("maps", "s3", "bucket", [BUCKET[PRIMARY], "no-such-bucket"], "")
        + &store("readings", "dynamodb", "table", [TABLE[PRIMARY], "neither-this"], "");
    let record = "{ name = \"other.example.com\", type = \"A\", primary = \"primary\", dr = \"dr\" }";
    let cutover = format!(
        "[cutover]\nhosted_zone = \"{}\"\nrecord = {record}\nstages = [100]\nhold_seconds = 0\n",
        bench.regions.zone
    );
    let sides = sides_on_port(bench.gate.port).replace("[dr]", "account = \"999999999999\"\n[dr]");
    bench.home.write("p.toml", &format!("name = \"p\"\n{sides}{stores}{FREEZE}{cutover}"));
    let denied = Fate::Answered(400, "AccessDeniedException", "not authorized to perform: dynamodb:DescribeTable");
    bench.gate.set(&[
        ever(&["DescribeTable", "us-west-2"], denied),
        ever(&["GET /maps-east/?", "list-type=2"], Fate::Answered(403, "AccessDenied", "Access Denied")),
    ]);
    let ran = bench.home.run("check p.toml --json");
    let document = ran.exits(4).json();
    let found = findings(&document);
    for words in [
        "primary: primary is account 000000000000, the profile says 999999999999",
        "sensors primary: cannot describe table no-such-table",
        "sensors dr: cannot describe table sensors-restored on dr: AccessDeniedException",
        "maps dr: there is no bucket no-such-bucket",
        "maps primary: Denied: cannot list bucket maps-east",
        "readings dr: cannot describe table neither-this on dr: AccessDeniedException",
        "cutover: there is no A record other.example.com with set identifier primary",
    ] {
        assert!(found.iter().any(|found| found.contains(words)), "`{words}` is not in {found:#?}");
    }
    bench.gate.open();
    bench.profile("", FREEZE);
    bench.home.run("check p.toml").exits(0).prints("ready: nothing blocks");
}

#[tokio::test]
async fn another_account_than_the_profile_s_stops_every_command() {
    let Some(bench) = Bench::planned().await else { return };
    let before = bench.contents(PRIMARY).await;
    let text = bench.home.read("p.toml");
    bench.home.write("p.toml", &text.replace("[dr]", "account = \"999999999999\"\n[dr]"));
    for command in ["check p.toml", "diff p.toml", "plan p.toml", REPLAY, "verify p.toml", "undo p.toml --yes"] {
        let ran = bench.home.run(command);
        let told = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(2), "{told}");
        assert!(told.contains("primary is account 000000000000, the profile says 999999999999"), "{told}");
    }
    assert_eq!(bench.contents(PRIMARY).await, before);
    bench.home.write("p.toml", &text.replace("[dr]", "account = \"000000000000\"\n[dr]"));
    bench.home.run(REPLAY).exits(0);
}

#[tokio::test]
async fn two_ways_to_one_table_and_unlike_tables_are_refused() {
    let Some(bench) = Bench::in_step().await else { return };
    let regions = &bench.regions;
    // One table by two endpoints of one Region, which no look at the profile can tell.
    let sides = sides_on_port(bench.gate.port).replace("us-west-2", "us-east-1");
    let other = sides.rfind(&bench.gate.port.to_string()).expect("the second endpoint");
    let sides =
        format!("{}{}{}", &sides[..other], regions.server.port, &sides[other + bench.gate.port.to_string().len()..]);
    let same = store("sensors", "dynamodb", "table", [TABLE[PRIMARY]; 2], "");
    let same_bucket = store("sensors", "s3", "bucket", [BUCKET[PRIMARY]; 2], "");
    let unlike = [("sensor", ScalarAttributeType::S), ("at", ScalarAttributeType::S)];
    crate::dynamodb::create(&regions.tables[DR], "unlike", &unlike).await;
    let unlike = store("sensors", "dynamodb", "table", [TABLE[PRIMARY], "unlike"], "");
    let schema = "key schema is sensor S partition, at N sort on the primary and sensor S partition, at S sort on dr";
    for (sides, store, words) in [
        (sides.clone(), same, "are the same resource, arn:aws:dynamodb:us-east-1:000000000000:table/sensors"),
        (sides, same_bucket, "are the same resource, s3://maps-east/"),
        (sides_on_port(bench.gate.port), unlike, schema),
    ] {
        bench.home.write("p.toml", &format!("name = \"p\"\n{sides}{store}{FREEZE}"));
        for command in ["diff p.toml", "plan p.toml", "verify p.toml", "checkpoint p.toml --name x"] {
            let ran = bench.home.run(command);
            ran.exits(2).says(words);
        }
        bench.home.run("check p.toml").exits(2).prints(words).prints("blocked");
    }
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_told_by_check() {
    let Some(bench) = Bench::in_step().await else { return };
    let dated = |words: &[&'static str]| ever(words, Fate::Dated("Tue, 24 Nov 2020 12:00:00 GMT"));
    bench.gate.set(&[dated(&["DynamoDB_20120810.", "us-west-2"]), dated(&[" /maps-east"])]);
    let ran = bench.home.run("check p.toml");
    let ran = ran.exits(0).prints("sensors dr").prints("ahead of");
    assert_eq!(ran.out.matches("ahead of").count(), 2, "{}", ran.out);
    bench.gate.open();
    let ran = bench.home.run("check p.toml").exits(0);
    assert!(!ran.out.contains("clock"), "{}", ran.out);
}

#[tokio::test]
async fn empty_stores_are_in_step_and_stay_so() {
    let Some(bench) = Bench::start().await else { return };
    bench.home.run("check p.toml").exits(0);
    bench.home.run("diff p.toml").exits(0).prints("the sides are the same");
    bench.home.run("checkpoint p.toml --name step").exits(0).prints("in step");
    bench.profile(super::BASE, FREEZE);
    bench.home.run("plan p.toml").exits(0).prints("0 steps");
    bench.home.run(REPLAY).exits(0);
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
    bench.home.run("undo p.toml --yes").exits(0);
    // What appears on an empty side is dr's; the primary had nothing.
    bench.regions.put(DR, reading("a", 1, "by dr")).await;
    bench.home.run("verify p.toml").exits(1).prints("NOT AT PARITY");
    bench.home.run("plan p.toml").exits(0).prints("1 steps");
    bench.home.run(REPLAY).exits(0);
    bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
}
