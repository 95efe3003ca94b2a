//! Saving bases: the emulator's own calls, but for how far back recovery reaches, which it always says is now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use failback::model::Timestamp;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::seconds;
use crate::rig::{DR, Home, PRIMARY, Regions, TABLE, now};

/// A door before the emulator: recovery reaches from one instant to another, and answers to exports may get lost.
struct Door {
    port: u16,
    started: Arc<AtomicUsize>,
    loses: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    async fn open(upstream: u16, reach: Option<(Timestamp, Timestamp)>) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let (started, loses, fails) = (Arc::new(AtomicUsize::new(0)), Arc::default(), Arc::default());
        let script =
            Script { reach, started: Arc::clone(&started), loses: Arc::clone(&loses), fails: Arc::clone(&fails) };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, upstream, script.clone()));
            }
        });
        Door { port, started, loses, fails, task }
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

/// What the door does.
#[derive(Clone)]
struct Script {
    reach: Option<(Timestamp, Timestamp)>,
    started: Arc<AtomicUsize>,
    loses: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

async fn answer(client: &mut TcpStream, body: &Json) {
    let body = body.to_string();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = client.write_all(reply.as_bytes()).await;
}

async fn pass(mut client: TcpStream, upstream: u16, script: Script) {
    let Script { reach, started, loses, fails } = script;
    let Some((head, body)) = request(&mut client).await else { return };
    if let (true, Some((from, to))) = (head.contains("DescribeContinuousBackups"), reach) {
        let described = json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {
                "PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 35,
                "EarliestRestorableDateTime": from.as_second(), "LatestRestorableDateTime": to.as_second(),
            },
        }});
        return answer(&mut client, &described).await;
    }
    if head.contains("DescribeExport") && fails.load(Ordering::SeqCst) {
        let asked: Json = serde_json::from_slice(&body).expect("JSON");
        let failed = json!({ "ExportDescription": {
            "ExportArn": asked["ExportArn"], "ExportStatus": "FAILED", "FailureCode": "S3AccessDenied",
            "FailureMessage": "the bucket refuses",
        }});
        return answer(&mut client, &failed).await;
    }
    let is_start = head.contains("ExportTableToPointInTime");
    started.fetch_add(usize::from(is_start), Ordering::SeqCst);
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await.expect("the emulator");
    let closing = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let _ = server.write_all(&[closing.as_bytes(), &body].concat()).await;
    let mut answer = Vec::new();
    let _ = server.read_to_end(&mut answer).await;
    if !(is_start && loses.load(Ordering::SeqCst)) {
        let _ = client.write_all(&answer).await;
    }
}

/// The head of a request and its body.
async fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if bytes.len() >= end + length {
                return Some((head, bytes.split_off(end)));
            }
        }
        match client.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

/// Two Regions behind a door, and a profile that goes through it.
async fn behind(reach: Option<(Timestamp, Timestamp)>, struck: Timestamp) -> Option<(Regions, Door, Home)> {
    let regions = Regions::start().await?;
    let door = Door::open(regions.server.port, reach).await;
    let home = Home::new();
    let sides = crate::rig::sides_on_port(door.port);
    home.write(
        "p.toml",
        &format!(
            "name = \"p\"\ndisaster_at = {struck}\n{sides}[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\n\
             primary = {{ table = \"{}\" }}\ndr = {{ table = \"{}\" }}\n[rescue]\nprimary = \"s3://saved/x\"\ndr = \"s3://saved-dr\"\n",
            TABLE[PRIMARY], TABLE[DR]
        ),
    );
    Some((regions, door, home))
}

fn states(document: &Json) -> Vec<&str> {
    document["exports"]
        .as_array()
        .expect("exports")
        .iter()
        .map(|export| export["state"].as_str().expect("a state"))
        .collect()
}

const RESCUE: &str = "checkpoint p.toml --rescue --json";

#[tokio::test(flavor = "multi_thread")]
async fn bases_are_saved_once_and_a_second_run_goes_on() {
    let struck = Timestamp::from_second(now().as_second() - 30 * 3600).expect("an instant");
    let reach = (seconds(struck, -86_400), seconds(now(), -300));
    let Some((regions, door, home)) = behind(Some(reach), struck).await else { return };
    let out = home.run("check p.toml").out;
    assert!(
        out.contains(&format!(
            "the state at {struck} can be exported or restored until {}",
            seconds(struck, 35 * 86_400)
        )),
        "{out}"
    );
    assert!(out.contains("can be exported in 2 windows of 15 minutes to 24 hours"), "{out}");

    let first = home.run(RESCUE).exits(4).json();
    assert_eq!(states(&first), ["in-progress"; 6], "{first}");
    let checked = home.run("check p.toml --json").json();
    let (findings, rescued) = (checked["findings"].to_string(), checked["rescued"].as_array().expect("a list").len());
    assert!(
        findings.contains(" of 6 exports are there") == (rescued == 0),
        "how far they are, or the lines: {checked}"
    );
    assert_eq!(door.started(), 6, "on each side all at T0, and two windows since");
    let windows: Vec<(&str, &str)> = first["exports"].as_array().expect("exports")[1..3]
        .iter()
        .map(|export| (export["holds"]["from"].as_str().expect("from"), export["holds"]["to"].as_str().expect("to")))
        .collect();
    assert_eq!(windows[0].0, seconds(struck, -60).to_string(), "a minute before what dr had");
    assert_eq!(windows[0].1, windows[1].0, "without a gap");
    assert_eq!(windows[1].1, reach.1.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());

    let waited = home.run("checkpoint p.toml --rescue --wait --json").exits(0).json();
    assert_eq!(states(&waited), ["completed"; 6]);
    let text = home.run("checkpoint p.toml --rescue").exits(0).out;
    assert_eq!(door.started(), 6, "nothing was started again");
    assert!(text.contains("base = { export = \"s3://saved/x/AWSDynamoDB/"), "{text}");
    assert!(
        text.contains("changes = { primary = [\"s3://saved/x/AWSDynamoDB/")
            && text.contains("dr = [\"s3://saved-dr/AWSDynamoDB/"),
        "{text}"
    );
    let listed = regions.tables[PRIMARY].list_exports().send().await.expect("listed");
    assert_eq!(listed.export_summaries().len(), 3);

    // check prints the very lines, for as long as the profile does not have them; dr's FULL export is a second copy of the base.
    let checked = home.run("check p.toml").out;
    let (_, lines) = checked.split_once("for [[store]] sensors of the profile:\n").expect("the lines to paste");
    let lines: Vec<&str> = lines.lines().take(2).map(str::trim).collect();
    assert!(lines.iter().all(|line| text.contains(line)), "as the rescue printed them: {lines:?}");
    let profile = home.read("p.toml");
    home.write("p.toml", &profile.replace("[rescue]", &format!("{}\n[rescue]", lines.join("\n"))));
    assert!(!home.run("check p.toml").out.contains("for [[store]]"), "the profile has them");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_starts_no_second_export() {
    let struck = Timestamp::from_second(now().as_second() - 3600).expect("an instant");
    let reach = (seconds(struck, -86_400), seconds(now(), -300));
    let Some((regions, door, home)) = behind(Some(reach), struck).await else { return };
    door.loses.store(true, Ordering::SeqCst);
    let lost = home.run(RESCUE).exits(4).json();
    assert_eq!(states(&lost), ["asked"; 4], "{lost}");
    assert_eq!(lost["problems"].as_array().expect("problems").len(), 4);
    door.loses.store(false, Ordering::SeqCst);
    let before = door.started();
    let found = home.run("checkpoint p.toml --rescue --wait --json").exits(0).json();
    assert_eq!(states(&found), ["completed"; 4]);
    assert_eq!(door.started(), before, "they were found by their tokens");
    for side in [PRIMARY, DR] {
        let listed = regions.tables[side].list_exports().send().await.expect("listed");
        assert_eq!(listed.export_summaries().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_failed_is_started_anew_by_the_next_run() {
    let struck = Timestamp::from_second(now().as_second() - 3600).expect("an instant");
    let reach = (seconds(struck, -86_400), seconds(now(), -300));
    let Some((_regions, door, home)) = behind(Some(reach), struck).await else { return };
    door.fails.store(true, Ordering::SeqCst);
    let failed = home.run(RESCUE).exits(4).json();
    assert_eq!(states(&failed), ["failed"; 4]);
    assert!(failed["problems"].to_string().contains("failed: S3AccessDenied: the bucket refuses"), "{failed}");
    door.fails.store(false, Ordering::SeqCst);
    let anew = home.run("checkpoint p.toml --rescue --wait --json").exits(0).json();
    assert_eq!((states(&anew), door.started()), (vec!["completed"; 4], 8));
    let arns = |document: &Json| {
        document["exports"].as_array().expect("exports").iter().map(|e| e["arn"].clone()).collect::<Vec<_>>()
    };
    assert!(arns(&failed).iter().all(|arn| !arns(&anew).contains(arn)), "others than those that failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_no_longer_be_saved_is_told_and_the_rest_is_saved() {
    let struck = Timestamp::from_second(now().as_second() - 7200).expect("an instant");
    let reach = (seconds(struck, 600), seconds(now(), -300));
    let Some((_regions, _door, home)) = behind(Some(reach), struck).await else { return };
    let out = home.run("check p.toml").exits(0).out;
    assert!(out.contains(&format!("the state at {struck} can no longer be exported")), "{out}");
    let told = home.run(RESCUE).exits(4).json();
    let problems = told["problems"].to_string();
    assert!(problems.contains(&format!("sensors primary: the state at {struck} cannot be exported")), "{problems}");
    assert!(problems.contains("cannot be exported: recovery reaches back to"), "{problems}");
    assert_eq!(states(&told), ["in-progress"; 2], "what changed since is saved: {told}");
    let again = home.run("checkpoint p.toml --rescue --wait --json").exits(4).json();
    assert_eq!(again["problems"], told["problems"], "a gap is told for as long as it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_needs_a_disaster_and_a_place() {
    let struck = Timestamp::from_second(now().as_second() - 7200).expect("an instant");
    let Some((_regions, door, home)) = behind(None, struck).await else { return };
    let told = home.run(RESCUE).exits(4).json();
    assert!(told["problems"].to_string().contains("point-in-time recovery is off"), "{told}");
    let profile = home.read("p.toml");
    home.write("p.toml", profile.split("[rescue]").next().expect("the rest"));
    home.run(RESCUE).exits(2).says("[rescue], where exports go");
    home.run("checkpoint p.toml --rescue --to s3://elsewhere").exits(4);
    home.run("checkpoint p.toml --rescue --to elsewhere").exits(2).says("s3://bucket");
    home.run("checkpoint p.toml --rescue --name x").exits(2);
    home.run("checkpoint p.toml").exits(2).says("--name");
    home.write("p.toml", &profile.replace("disaster_at", "# disaster_at"));
    home.run(RESCUE).exits(2).says("disaster_at");
    home.write("p.toml", &profile);
    home.write(".failback/p/rescue.json", "{");
    home.run(RESCUE).exits(4).says("rescue.json is damaged");
    assert_eq!(door.started(), 0);
}
