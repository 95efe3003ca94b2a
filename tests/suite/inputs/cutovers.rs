//! What can go wrong while customers return: others at the weights, Route 53 that is busy or gone, ill and hanging probes.

use std::net::TcpListener;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::gate::{Fate, ever, once, times};
use super::{BASE, Bench, ended};
use crate::rig::{BUCKET, DR, PRIMARY, reading};

const CUTOVER: &str = "cutover p.toml --yes";
const SHIFT: [&str; 2] = ["POST /2013-04-01/hostedzone/", "/rrset"];
const READ: [&str; 2] = ["GET /2013-04-01/hostedzone/", "/rrset"];
const RATE: Fate = Fate::Answered(400, "Throttling", "Rate exceeded");
const PRIOR: Fate = Fate::Answered(400, "PriorRequestNotComplete", "The request was rejected");

impl Bench {
    /// In step and certified; `more` ends the `[cutover]`.
    async fn certified(more: &str) -> Option<Bench> {
        let bench = Bench::in_step().await?;
        bench.with_cutover("", more);
        bench.home.run("verify p.toml").exits(0).prints("AT PARITY");
        Some(bench)
    }
}

#[tokio::test]
async fn a_busy_route_53_is_waited_for_and_no_change_is_lost_or_made_twice() {
    let Some(bench) = Bench::certified("hold_seconds = 0\n").await else { return };
    bench.gate.set(&[once(&READ, RATE), once(&SHIFT, PRIOR), once(&SHIFT, Fate::Broken)]);
    let ran = bench.home.run(CUTOVER).exits(0);
    bench.gate.open();
    assert_eq!(ran.err.matches("shifted: primary share").count(), 2, "{}", ran.err);
    assert_eq!(bench.regions.weights().await, [100, 0]);
    // The answer to a change is lost, and the change is not made twice.
    bench.gate.set(&[once(&SHIFT, PRIOR), once(&SHIFT, Fate::Lost)]);
    bench.home.run("cutover p.toml --retreat").exits(0);
    bench.gate.open();
    assert_eq!(bench.regions.weights().await, [0, 100]);
    // Customers who went back may have written to dr: only a new verification moves them again.
    bench.home.run(CUTOVER).exits(3).says("customers went back to dr");
    bench.home.run("verify p.toml").exits(0);
    bench.gate.set(&[once(&SHIFT, Fate::Lost)]);
    let told = std::fs::File::create(bench.home.path("told")).expect("a file");
    let mut child = bench.home.command(CUTOVER).stderr(told).stdout(Stdio::null()).spawn().expect("the program starts");
    let shifted = || bench.home.read("told").contains("shifted: primary share 50%");
    super::surroundings::wait_until("the lost answer is not made up for", shifted);
    // Nothing tells when the change reaches all DNS servers, so the program would now wait for a minute.
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("a child").code(), Some(5));
    bench.gate.open();
    assert_eq!(bench.regions.weights().await, [50, 50]);
}

#[tokio::test]
async fn a_route_53_that_fails_for_good_leaves_the_weights_and_the_cutover_goes_on_later() {
    let Some(bench) = Bench::certified("hold_seconds = 0\n").await else { return };
    let denied = Fate::Answered(403, "AccessDenied", "not authorized to perform: route53");
    for (request, fate, code, words, hint) in [
        (SHIFT, denied.clone(), 4, "AccessDenied: not authorized", "check that side's credentials"),
        (READ, denied, 4, "AccessDenied: not authorized", "check that side's credentials"),
        (
            READ,
            Fate::Answered(404, "NoSuchHostedZone", "No hosted zone"),
            2,
            "NoSuchHostedZone",
            "the names in the profile",
        ),
    ] {
        bench.gate.set(&[ever(&request, fate)]);
        bench.home.run(CUTOVER).exits(code).says(words).says(hint).says("failback cutover --retreat");
        bench.gate.open();
        assert_eq!(bench.regions.weights().await, [0, 100]);
    }
    bench.gate.set(&[times(3, &SHIFT, Fate::Broken), ever(&SHIFT, PRIOR)]);
    let ran = bench.home.run(CUTOVER).exits(4);
    ran.says("PriorRequestNotComplete").says("then run the same command again").says("no weight was changed");
    bench.gate.open();
    assert_eq!(bench.regions.weights().await, [0, 100]);
    // It fails in the middle: the first stage stays.
    bench.gate.set(&[ever(&["GET /2013-04-01/change/"], Fate::Answered(403, "AccessDenied", "not authorized"))]);
    let ran = bench.home.run(CUTOVER).exits(4).says("shifted: primary share 50%");
    ran.says("cannot ask for change").says("failback cutover --retreat");
    bench.gate.open();
    assert_eq!(bench.regions.weights().await, [50, 50]);
    bench.home.run(CUTOVER).exits(0);
    assert_eq!(bench.regions.weights().await, [100, 0]);
}

#[tokio::test]
async fn weights_that_others_change_are_left_alone() {
    let Some(bench) = Bench::certified("hold_seconds = 0\n").await else { return };
    bench.gate.set(&[once(&["GET /2013-04-01/change/"], Fate::Held)]);
    let child = bench.spawn(CUTOVER);
    bench.gate.wait_until_met();
    bench.regions.weigh([("primary", 7), ("dr", 93)]).await;
    bench.gate.open();
    let ran = ended(child).exits(3).prints("STOPPED: someone else changed the weights");
    ran.prints("the weights are primary 7, dr 93, they should be primary 50, dr 50");
    assert_eq!(bench.regions.weights().await, [7, 93]);
    bench.home.run("cutover p.toml --retreat").exits(0);
    assert_eq!(bench.regions.weights().await, [0, 100]);
}

#[tokio::test]
async fn probes_that_hang_or_fail_count_as_ill_health() {
    let Some(bench) = Bench::certified("hold_seconds = 0\n").await else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("url = \"http://{}/\"", silent.local_addr().expect("an address"));
    let hangs = "command = [\"sh\", \"-c\", \"sleep 600 & echo $! > child; wait\"]".to_owned();
    let dies = "command = [\"false\"]".to_owned();
    for (probe, words) in
        [(&url, "no answer in time"), (&hangs, "hung and was killed after 1 s"), (&dies, "exit status: 1")]
    {
        let health = format!("health = {{ {probe}, timeout_seconds = 1, interval_seconds = 1, failures = 2 }}\n");
        bench.with_cutover("", &format!("hold_seconds = 0\n{health}"));
        let ran = bench.home.run(CUTOVER).exits(3).prints("STOPPED").says(words);
        assert_eq!(ran.err.matches("health: FAILED").count(), 2, "{}", ran.err);
        assert_eq!(bench.regions.weights().await, [0, 100], "an ill primary is given nothing");
    }
    let child = bench.home.read("child");
    super::surroundings::wait_until("the probe's child outlives it", || !super::surroundings::lives(&child));
    // The primary falls ill once it has customers.
    let ill = "command = [\"sh\", \"-c\", \"test $(wc -l < probes) -lt 3 && echo >> probes\"]";
    bench.home.write("probes", "");
    let health = format!("health = {{ {ill}, timeout_seconds = 9, interval_seconds = 1, failures = 2 }}\n");
    bench.with_cutover("", &format!("hold_seconds = 5\n{health}"));
    bench.home.run(CUTOVER).exits(3).says("shifted: primary share 50%").prints("RETREATED: all traffic is back on dr");
    assert_eq!(bench.regions.weights().await, [0, 100]);
    bench.with_cutover("", "hold_seconds = 0\n");
    bench.home.run("verify p.toml").exits(0);
    bench.home.run(CUTOVER).exits(0);
}

#[tokio::test]
async fn an_interrupted_hold_keeps_its_stage() {
    let Some(bench) = Bench::certified("hold_seconds = 600\n").await else { return };
    let child = bench.spawn(CUTOVER);
    super::surroundings::wait_until_async("the first shift does not come", async || {
        bench.regions.weights().await == [50, 50]
    })
    .await;
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("a signal");
    ended(child).exits(5).says("nothing is lost, run the same command again");
    assert_eq!(bench.regions.weights().await, [50, 50]);
    bench.with_cutover("", "hold_seconds = 0\n");
    bench.home.run(CUTOVER).exits(0);
    assert_eq!(bench.regions.weights().await, [100, 0]);
}

#[tokio::test]
async fn a_certificate_is_no_proof_once_something_newer_is_known() {
    let Some(bench) = Bench::certified("hold_seconds = 0\n").await else { return };
    bench.regions.put(DR, reading("a", 1, "by dr")).await;
    bench.home.run("verify p.toml").exits(1).prints("NOT AT PARITY");
    let ran = bench.home.run(CUTOVER).exits(3).says("the newest verification found that the sides differ");
    ran.says("run failback verify");
    assert_eq!(bench.regions.weights().await, [0, 100]);
    bench.regions.put(DR, reading("a", 1, "seeded")).await;
    bench.home.run("verify p.toml").exits(0);
    // The table is another one now, though it has the same name and nothing else tells.
    bench.regions.recreate(PRIMARY).await;
    bench.home.run(CUTOVER).exits(3).says("the certificate is of").says("failback verify");
    assert_eq!(bench.regions.weights().await, [0, 100]);
}

#[tokio::test]
async fn a_bucket_made_anew_outdates_the_plan_and_a_failure_to_ask_does_not() {
    let Some(bench) = Bench::planned().await else { return };
    let before = bench.contents(PRIMARY).await;
    let replay = "replay p.toml --apply --yes --store maps";
    // Two looks at the bucket, each asked for four times by the SDK.
    let failing = Fate::Answered(500, "InternalError", "We encountered an internal error.");
    bench.gate.set(&[times(8, &["GET /?", "prefix=maps-east"], failing)]);
    bench.home.run(replay).exits(0);
    bench.gate.open();
    bench.home.run("undo p.toml --yes --store maps").exits(0);
    assert_eq!(bench.contents(PRIMARY).await, before);
    bench.profile(BASE, super::FREEZE);
    bench.home.run("plan p.toml").exits(0);
    bench.remake_bucket().await;
    let ran = bench.home.run(replay).exits(3).says("the plan no longer fits: primary of store maps is now");
    ran.says("run failback plan");
    assert_eq!(bench.regions.objects(PRIMARY).await.len(), 0, "nothing is written to a stranger");
}

impl Bench {
    /// Deletes the primary's bucket with all its versions, and makes one of the same name in a later second.
    async fn remake_bucket(&self) {
        let region = &self.regions.buckets[PRIMARY];
        let (client, bucket) = (&region.client, BUCKET[PRIMARY]);
        let made = async || {
            let listed = client.list_buckets().prefix(bucket).send().await.expect("listed");
            listed.buckets().first().and_then(|bucket| bucket.creation_date()).map(|date| date.secs())
        };
        let first = made().await;
        let listed = client.list_object_versions().bucket(bucket).send().await.expect("listed");
        let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        for (key, version) in versions.chain(markers) {
            let request = client.delete_object().bucket(bucket).set_key(key.map(str::to_owned));
            request.set_version_id(version.map(str::to_owned)).send().await.expect("deleted");
        }
        while made().await == first {
            client.delete_bucket().bucket(bucket).send().await.expect("deleted");
            region.make_bucket(bucket, true).await;
        }
    }
}
