//! Cutover against Route 53's emulator and in memory.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};
use failback::cutover::{
    CommandProbe, Cutover, CutoverEnd, CutoverErrorKind, CutoverEvent, HealthProbe, MemoryDial, Probed, Route53Dial,
    Share, Sleep, TrafficDial, UrlProbe, probe_of,
};
use failback::digest::CANONICAL_FORMAT;
use failback::model::{Digest, Identity, Percent, StoreKind, Timestamp};
use failback::profile::{CutoverProfile, HealthProfile, RecordProfile, SideProfile};
use failback::store::aws::sdk_config;
use failback::verify::*;

use crate::peers;

struct NoSleep(Mutex<Duration>);

impl NoSleep {
    fn new() -> NoSleep {
        NoSleep(Mutex::new(Duration::ZERO))
    }
}

#[async_trait]
impl Sleep for NoSleep {
    async fn sleep(&self, duration: Duration) {
        *self.0.lock().expect("not poisoned") += duration;
    }
}

/// Answers as scripted, then always well.
struct Scripted(Mutex<VecDeque<bool>>);

#[async_trait]
impl HealthProbe for Scripted {
    async fn probe(&self) -> Probed {
        let ok = self.0.lock().expect("not poisoned").pop_front().unwrap_or(true);
        Probed { ok, detail: "scripted".into() }
    }
}

fn scripted(answers: &[bool]) -> Scripted {
    Scripted(Mutex::new(answers.iter().copied().collect()))
}

fn profile(zone: &str, name: &str, health: bool) -> CutoverProfile {
    let health = health.then(|| HealthProfile {
        url: None,
        health_check: None,
        command: Some(vec!["true".into()]),
        timeout_seconds: 5,
        interval_seconds: 10,
        failures: 2,
    });
    CutoverProfile {
        hosted_zone: zone.into(),
        record: RecordProfile {
            name: name.into(),
            record_type: "A".into(),
            primary: "primary".into(),
            dr: "dr".into(),
        },
        stages: [5, 50, 100].map(|stage| Percent::new(stage).expect("a percentage")).to_vec(),
        hold_seconds: 30,
        health,
        certificate_age_seconds_max: 900,
        insync_timeout_seconds: 60,
    }
}

fn proof() -> ParityProof {
    let now = Timestamp::UNIX_EPOCH;
    let identity = |id: &str| Identity {
        kind: StoreKind::Memory,
        resource: id.into(),
        id: id.into(),
        region: None,
        account: None,
    };
    let side = |id: &str| SideResult { identity: identity(id), items: 0, root: Digest([0; 32]) };
    let store = StoreResult {
        name: "orders".into(),
        kind: StoreKind::Memory,
        primary: side("p"),
        dr: side("d"),
        at_parity: true,
        accepted: Vec::new(),
        accepted_total: 0,
        accepted_list: None,
        base: None,
        counters: None,
        not_checked: Vec::new(),
    };
    let body = Certificate {
        format: CERTIFICATE_FORMAT,
        tool_version: "test".into(),
        profile: "shop".into(),
        session: "s".into(),
        canonical_format: CANONICAL_FORMAT,
        issued_at: now,
        window: Window { read_from: now, read_until: now },
        at_parity: true,
        stores: vec![store],
        fence: FenceEvidence { kind: FenceKind::NegativeWriteTest, at: Some(now), detail: String::new() },
        not_checked: vec!["caches".into()],
    };
    let key = SigningKey::generate().expect("made");
    let validated = Certificate::sign(&body, &key).expect("signed").validate().expect("valid");
    let stores = vec![ExpectedStore { name: "orders".into(), primary: identity("p"), dr: identity("d") }];
    let age_max = Duration::from_secs(1);
    let expected =
        Expectations { profile: "shop".into(), public_key: key.public(), stores, now, age_max, overtaken: Vec::new() };
    ParityProof::from_certificate(&validated, &expected).expect("taken")
}

async fn run(
    dial: &dyn TrafficDial,
    profile: &CutoverProfile,
    probe: Option<&dyn HealthProbe>,
) -> (failback::cutover::CutoverEnd, Vec<CutoverEvent>, Duration) {
    let sleep = NoSleep::new();
    let mut events = Vec::new();
    let cutover = Cutover { dial, profile, probe, sleep: &sleep, last_change: None };
    let end = cutover
        .run(&proof(), &mut |event| {
            events.push(event);
            Ok(())
        })
        .await
        .expect("ended");
    let slept = *sleep.0.lock().expect("not poisoned");
    (end, events, slept)
}

fn shifts(events: &[CutoverEvent]) -> Vec<u8> {
    let shifted = |event: &CutoverEvent| match event {
        CutoverEvent::Shifted { to, .. } => Some(to.get()),
        _ => None,
    };
    events.iter().filter_map(shifted).collect()
}

const ALL_DR: Share = Share { primary: 0, dr: 100 };

#[tokio::test]
async fn stages_follow_each_other_and_every_intent_comes_first() {
    let dial = MemoryDial::new(ALL_DR, 60);
    let (end, events, slept) = run(&dial, &profile("Z", "app", true), Some(&scripted(&[]))).await;
    assert_eq!(end, CutoverEnd::Done);
    assert_eq!(shifts(&events), [5, 50, 100]);
    assert!(dial.share().is_all_primary());
    assert!(slept >= Duration::from_secs(3 * (60 + 30)), "{slept:?}");
    for (index, event) in events.iter().enumerate() {
        if let CutoverEvent::Shifted { to, .. } = event {
            assert!(matches!(&events[index - 1], CutoverEvent::ShiftIntended { to: intended, .. } if intended == to));
        }
        let json = serde_json::to_string(event).expect("written");
        assert_eq!(&serde_json::from_str::<CutoverEvent>(&json).expect("read"), event);
    }
}

#[tokio::test]
async fn an_intent_that_cannot_be_recorded_is_not_carried_out() {
    let dial = MemoryDial::new(ALL_DR, 60);
    let (profile, sleep) = (profile("Z", "app", false), NoSleep::new());
    let cutover = Cutover { dial: &dial, profile: &profile, probe: None, sleep: &sleep, last_change: None };
    let refused = cutover.run(&proof(), &mut |_| Err("disk full".into())).await.expect_err("refused");
    assert_eq!(refused.kind, CutoverErrorKind::NotRecorded);
    assert_eq!(dial.share(), ALL_DR);
    dial.meddle(Share { primary: 50, dr: 50 });
    let unrecorded = cutover.retreat("asked", &mut |_| Err("disk full".into())).await.expect_err("told");
    assert_eq!(unrecorded.kind, CutoverErrorKind::NotRecorded);
    assert!(dial.share().is_all_dr(), "a retreat is made whether it can be recorded or not");
}

#[tokio::test]
async fn ill_health_gives_everything_back() {
    let dial = MemoryDial::new(ALL_DR, 60);
    let probe = scripted(&[true, true, false, true, false, false]);
    let (end, events, _) = run(&dial, &profile("Z", "app", true), Some(&probe)).await;
    assert!(matches!(end, CutoverEnd::Retreated { .. }));
    assert_eq!(shifts(&events), [5]);
    assert!(dial.share().is_all_dr());
}

#[tokio::test]
async fn an_ill_primary_is_given_nothing() {
    let dial = MemoryDial::new(ALL_DR, 60);
    let (end, events, _) = run(&dial, &profile("Z", "app", true), Some(&scripted(&[false, false]))).await;
    assert!(matches!(end, CutoverEnd::Stopped { .. }));
    assert!(shifts(&events).is_empty());
}

#[tokio::test]
async fn a_run_goes_on_where_another_ended_and_waits_for_what_it_does_not_know() {
    let dial = MemoryDial::new(Share { primary: 50, dr: 50 }, 60);
    let (end, events, slept) = run(&dial, &profile("Z", "app", false), None).await;
    assert_eq!((end, shifts(&events)), (CutoverEnd::Done, vec![100]));
    assert!(slept >= Duration::from_secs(60 + 60 + 30 + 60 + 30), "{slept:?}");
}

#[tokio::test]
async fn a_meddler_stops_the_run() {
    struct Meddler<'a>(&'a MemoryDial);
    #[async_trait]
    impl HealthProbe for Meddler<'_> {
        async fn probe(&self) -> Probed {
            if self.0.share().primary == 5 {
                self.0.meddle(Share { primary: 6, dr: 95 });
            }
            Probed { ok: true, detail: String::new() }
        }
    }
    let dial = MemoryDial::new(ALL_DR, 60);
    let (end, events, _) = run(&dial, &profile("Z", "app", true), Some(&Meddler(&dial))).await;
    assert!(matches!(end, CutoverEnd::Drifted { .. }));
    assert_eq!(shifts(&events), [5]);
    assert_eq!(dial.share(), Share { primary: 6, dr: 95 });
}

#[tokio::test]
async fn a_hung_health_command_is_killed_with_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid_file = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let began = Instant::now();
    let probed = CommandProbe::new(&command, Duration::from_secs(1)).expect("a command").probe().await;
    assert!(!probed.ok && began.elapsed() < Duration::from_secs(30), "{probed:?}");
    let pid = std::fs::read_to_string(&pid_file).expect("started");
    let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Err(_) => true,
        Ok(stat) => stat.contains(") Z "),
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !gone() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert!(gone(), "the child outlived its probe");
    for (program, ok) in [("true", true), ("false", false), ("/nonexistent", false)] {
        let probe = CommandProbe::new(&[program.to_owned()], Duration::from_secs(10)).expect("a command");
        assert_eq!(probe.probe().await.ok, ok, "{program}");
    }
}

#[tokio::test]
async fn only_a_2xx_status_is_healthy() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (status, ok) in [("200 OK", true), ("204 No Content", true), ("302 Found", false), ("503 Unavailable", false)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/health", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let _ = stream.read(&mut [0; 1024]).await;
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nlocation: /\r\nconnection: close\r\n\r\n");
            stream.write_all(reply.as_bytes()).await.expect("answered");
        });
        let probed = UrlProbe::new(&url, Duration::from_secs(5)).expect("a probe").probe().await;
        assert_eq!(probed.ok, ok, "{status}: {}", probed.detail);
        server.await.expect("served");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    assert!(!UrlProbe::new(&url, Duration::from_millis(200)).expect("a probe").probe().await.ok);
}

/// No emulator tells the status of a health check, so this one endpoint answers in the documented format.
async fn status_of_health_check(observations: &[(&str, &str)]) -> peers::Answerer {
    let seen = |(status, at): &(&str, &str)| {
        format!(
            "<HealthCheckObservation><Region>us-west-2</Region><IPAddress>192.0.2.1</IPAddress><StatusReport>\
             <Status>{status}</Status><CheckedTime>{at}</CheckedTime></StatusReport></HealthCheckObservation>"
        )
    };
    let body = format!(
        "<GetHealthCheckStatusResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
         <HealthCheckObservations>{}</HealthCheckObservations></GetHealthCheckStatusResponse>",
        observations.iter().map(seen).collect::<String>()
    );
    peers::Answerer::start("200 OK", &body).await
}

#[tokio::test]
async fn a_health_check_is_healthy_while_enough_checkers_lately_say_so() {
    const WELL: (&str, &str) = ("Success: HTTP Status Code 200, OK", "2026-11-24T12:59:50.000Z");
    const ILL: (&str, &str) = ("Failure: Resolved IP: 192.0.2.7. Connection refused", "2026-11-24T12:59:55.000Z");
    const LONG_AGO: (&str, &str) = ("Success: HTTP Status Code 200, OK", "2026-11-24T12:50:00.000Z");
    let clock = std::sync::Arc::new(failback::model::FixedClock("2026-11-24T13:00:00Z".parse().expect("a time")));
    let health = HealthProfile {
        url: None,
        health_check: Some("hc-1".into()),
        command: None,
        timeout_seconds: 10,
        interval_seconds: 10,
        failures: 2,
    };
    for (observations, ok) in [
        (vec![WELL; 8], true),
        (vec![ILL; 8], false),
        ([vec![WELL; 2], vec![ILL; 8]].concat(), true),
        ([vec![WELL; 1], vec![ILL; 9]].concat(), false),
        (vec![LONG_AGO; 8], false),
        (vec![], false),
    ] {
        let endpoint = status_of_health_check(&observations).await;
        let side = peers::side_on_port(endpoint.port, "us-east-1");
        let probed = probe_of(&health, &side, clock.clone()).await.expect("a probe").probe().await;
        assert_eq!(probed.ok, ok, "{observations:?}: {}", probed.detail);
    }
    let gone = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchHealthCheck</Code></Error></ErrorResponse>";
    let endpoint = peers::Answerer::start("404 Not Found", gone).await;
    let side = peers::side_on_port(endpoint.port, "us-east-1");
    assert!(
        !probe_of(&health, &side, clock).await.expect("a probe").probe().await.ok,
        "what is unknown is not healthy"
    );
}

struct Zone {
    client: aws_sdk_route53::Client,
    id: String,
}

async fn zone(side: &SideProfile) -> Zone {
    let config = sdk_config(side).await;
    let mut builder = aws_sdk_route53::config::Builder::from(&config);
    builder.set_endpoint_url(side.endpoint_url.clone());
    let client = aws_sdk_route53::Client::from_conf(builder.build());
    let made = client.create_hosted_zone().name("example.com").caller_reference("1").send().await.expect("a zone");
    let id = made.hosted_zone.expect("a zone").id.trim_start_matches("/hostedzone/").to_owned();
    Zone { client, id }
}

fn record(name: &str, identifier: &str, weight: i64, alias: bool) -> ResourceRecordSet {
    let record = ResourceRecordSet::builder().name(name).r#type(RrType::A).set_identifier(identifier).weight(weight);
    let target = AliasTarget::builder().hosted_zone_id("Z35SXDOTRQ7X7K").evaluate_target_health(true);
    let target = target.dns_name(format!("lb-{identifier}.us-east-1.elb.amazonaws.com.")).build().expect("a target");
    let address = ResourceRecord::builder().value("192.0.2.1").build().expect("an address");
    match alias {
        true => record.alias_target(target).build().expect("a record"),
        false => record.ttl(60).health_check_id("hc-1").resource_records(address).build().expect("a record"),
    }
}

impl Zone {
    async fn change(&self, action: ChangeAction, records: Vec<ResourceRecordSet>) {
        let changes = records.into_iter().map(|record| {
            Change::builder().action(action.clone()).resource_record_set(record).build().expect("a change")
        });
        let batch = ChangeBatch::builder().set_changes(Some(changes.collect())).build().expect("a batch");
        self.client
            .change_resource_record_sets()
            .hosted_zone_id(&self.id)
            .change_batch(batch)
            .send()
            .await
            .expect("changed");
    }

    async fn records(&self) -> Vec<ResourceRecordSet> {
        let reply = self.client.list_resource_record_sets().hosted_zone_id(&self.id).send().await.expect("listed");
        reply.resource_record_sets.into_iter().filter(|record| record.set_identifier.is_some()).collect()
    }
}

#[tokio::test]
async fn a_weighted_pair_is_shifted_in_stages_and_keeps_everything_else() {
    let Some(server) = peers::ministack() else { return };
    let side = peers::side(&server, "us-west-2");
    let zone = zone(&side).await;
    for (name, alias) in [("app.example.com", false), ("*.example.com", true)] {
        zone.change(ChangeAction::Create, vec![record(name, "primary", 0, alias), record(name, "dr", 255, alias)])
            .await;
        let before = zone.records().await;
        let profile = profile(&zone.id, name, false);
        let dial = Route53Dial::connect(&side, &profile).await.expect("connected");
        let read = dial.read().await.expect("read");
        assert_eq!((read.share, read.ttl_seconds, read.alias), (Share { primary: 0, dr: 255 }, 60, alias));
        let (end, events, _) = run(&dial, &profile, None).await;
        assert_eq!((end, shifts(&events)), (CutoverEnd::Done, vec![5, 50, 100]));
        assert_eq!(events.iter().filter(|event| matches!(event, CutoverEvent::Insync { .. })).count(), 3);
        assert_eq!(dial.read().await.expect("read").share, Share { primary: 100, dr: 0 });
        let sleep = NoSleep::new();
        let cutover = Cutover { dial: &dial, profile: &profile, probe: None, sleep: &sleep, last_change: None };
        cutover.retreat("asked", &mut |_| Ok(())).await.expect("retreated");
        assert_eq!(dial.read().await.expect("read").share, ALL_DR);
        let bare = |records: Vec<ResourceRecordSet>| -> Vec<ResourceRecordSet> {
            let unweighted = records.into_iter().map(|mut record| {
                record.weight = None;
                record
            });
            unweighted.collect()
        };
        assert_eq!(bare(zone.records().await), bare(before));
    }
}

#[tokio::test]
async fn changes_by_others_are_never_overwritten() {
    let Some(server) = peers::ministack() else { return };
    let side = peers::side(&server, "us-west-2");
    let zone = zone(&side).await;
    let name = "app.example.com";
    let profile = profile(&zone.id, name, true);
    let missing = Route53Dial::connect(&side, &profile).await.err().expect("there is no pair yet");
    assert_eq!(missing.kind, CutoverErrorKind::Unfit);
    zone.change(ChangeAction::Create, vec![record(name, "primary", 0, false), record(name, "dr", 1, false)]).await;
    let dial = Route53Dial::connect(&side, &profile).await.expect("connected");
    let seen = dial.read().await.expect("read");
    zone.change(ChangeAction::Upsert, vec![record(name, "dr", 7, false)]).await;
    let drifted = dial.shift(&seen, Percent::ALL, &proof()).await.expect_err("drifted");
    assert_eq!(drifted.kind, CutoverErrorKind::Drifted);
    assert_eq!(dial.read().await.expect("read").share, Share { primary: 0, dr: 7 });
    let probe = CommandProbe::new(&["false".to_owned()], Duration::from_secs(5)).expect("a command");
    zone.change(ChangeAction::Upsert, vec![record(name, "primary", 5, false), record(name, "dr", 95, false)]).await;
    let (end, ..) = run(&dial, &profile, Some(&probe)).await;
    assert!(matches!(end, CutoverEnd::Retreated { .. }));
    assert_eq!(dial.read().await.expect("read").share, ALL_DR);
    zone.change(ChangeAction::Create, vec![record(name, "third", 9, false)]).await;
    let third = dial.read().await.expect_err("a third record shares the traffic");
    assert_eq!(third.kind, CutoverErrorKind::Unfit);
}
