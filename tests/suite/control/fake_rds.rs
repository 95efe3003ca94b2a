//! RDS and AWS Backup of one Region, by script, in the shapes that their service models document: no emulator has global
//! clusters that fail over, snapshots of a failover, or restore jobs.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use crate::loopback::next_request;

/// What a Region holds. Lists are named as `List/Member`, as XML spells them.
#[derive(Default, Clone)]
pub struct Holdings {
    pub instances: Vec<Json>,
    pub clusters: Vec<Json>,
    pub globals: Vec<Json>,
    pub snapshots: Vec<Json>,
    /// Parameters that somebody set, by group.
    pub parameters: BTreeMap<String, Vec<(String, String)>>,
    pub restore_jobs: Vec<Json>,
    /// Backups that are retained of deleted instances.
    pub automated_backups: Vec<Json>,
    /// Operations that are refused.
    pub denied: Vec<&'static str>,
}

/// The service of one Region.
pub struct FakeRds {
    pub port: u16,
    holdings: Arc<Mutex<Holdings>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeRds {
    pub fn start(holdings: Holdings) -> FakeRds {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (holdings, asked) = (Arc::new(Mutex::new(holdings)), Arc::<Mutex<Vec<String>>>::default());
        let shared = (Arc::clone(&holdings), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (holdings, asked) = shared.clone();
                std::thread::spawn(move || converse(stream, &holdings, &asked));
            }
        });
        FakeRds { port, holdings, asked }
    }

    /// Changes what the Region holds.
    pub fn change(&self, change: impl FnOnce(&mut Holdings)) {
        change(&mut self.holdings.lock().expect("no panics"));
    }

    /// Every operation so far that is not a question.
    pub fn done(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no panics");
        asked.iter().filter(|asked| !asked.starts_with("Describe") && !asked.starts_with("GET")).cloned().collect()
    }
}

fn converse(stream: TcpStream, holdings: &Mutex<Holdings>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut body = Vec::new();
    while let Ok(Some(request)) = next_request(&mut reader, &mut body) {
        let mut holdings = holdings.lock().expect("no panics");
        let (status, kind, text) = match request.line.starts_with("GET /restore-jobs") {
            true => {
                asked.lock().expect("no panics").push(request.line);
                (200, "application/json", json!({ "RestoreJobs": holdings.restore_jobs }).to_string())
            }
            false => {
                let fields = form(std::str::from_utf8(&body).expect("a form"));
                asked.lock().expect("no panics").push(words(&fields));
                let (status, text) = answer(&mut holdings, &fields);
                (status, "text/xml", text)
            }
        };
        // A client that has gone away hears nothing.
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", text.len());
        let _ = (&stream).write_all((head + &text).as_bytes());
    }
}

fn form(body: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn words(fields: &BTreeMap<String, String>) -> String {
    let rest: Vec<String> = fields
        .iter()
        .filter(|(name, _)| !["Action", "Version"].contains(&name.as_str()))
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    format!("{}{}", fields["Action"], rest.concat())
}

fn answer(holdings: &mut Holdings, fields: &BTreeMap<String, String>) -> (u16, String) {
    let action = fields["Action"].as_str();
    if holdings.denied.contains(&action) {
        return refused(403, "AccessDenied");
    }
    let named = |all: &[Json], field: &str| -> Vec<Json> {
        let wanted = fields.get(field);
        all.iter().filter(|one| wanted.is_none_or(|wanted| one[field] == **wanted)).cloned().collect()
    };
    let missing = |field: &str, found: &[Json]| fields.contains_key(field) && found.is_empty();
    let result = match action {
        "DescribeDBInstances" => {
            let found = named(&holdings.instances, "DBInstanceIdentifier");
            if missing("DBInstanceIdentifier", &found) {
                return refused(404, "DBInstanceNotFound");
            }
            json!({ "DBInstances/DBInstance": found })
        }
        "DescribeDBClusters" => {
            let found = named(&holdings.clusters, "DBClusterIdentifier");
            if missing("DBClusterIdentifier", &found) {
                return refused(404, "DBClusterNotFoundFault");
            }
            json!({ "DBClusters/DBCluster": found })
        }
        "DescribeGlobalClusters" => {
            let found = named(&holdings.globals, "GlobalClusterIdentifier");
            if missing("GlobalClusterIdentifier", &found) {
                return refused(404, "GlobalClusterNotFoundFault");
            }
            json!({ "GlobalClusters/GlobalClusterMember": found })
        }
        "DescribeDBClusterSnapshots" => json!({ "DBClusterSnapshots/DBClusterSnapshot": holdings.snapshots }),
        "DescribeDBInstanceAutomatedBackups" => {
            json!({ "DBInstanceAutomatedBackups/DBInstanceAutomatedBackup": named(&holdings.automated_backups, "DBInstanceIdentifier") })
        }
        "DescribeDBParameters" | "DescribeDBClusterParameters" => {
            let group = fields.get("DBParameterGroupName").or(fields.get("DBClusterParameterGroupName"));
            let set = group.and_then(|group| holdings.parameters.get(group)).cloned().unwrap_or_default();
            let set = set
                .into_iter()
                .map(|(name, value)| json!({ "ParameterName": name, "ParameterValue": value, "Source": "user" }));
            json!({ "Parameters/Parameter": Json::from_iter(set) })
        }
        "CopyDBClusterSnapshot" => {
            let target = &fields["TargetDBClusterSnapshotIdentifier"];
            if holdings.snapshots.iter().any(|one| one["DBClusterSnapshotIdentifier"] == **target) {
                return refused(400, "DBClusterSnapshotAlreadyExistsFault");
            }
            let made = json!({ "DBClusterSnapshotIdentifier": target, "Status": "copying", "SnapshotType": "manual" });
            holdings.snapshots.push(made.clone());
            json!({ "DBClusterSnapshot": made })
        }
        // A role that may read RDS and not EC2, in EC2's own shape of a refusal.
        "DescribeSecurityGroups" | "DescribeSecurityGroupRules" => {
            let error = "<Error><Code>UnauthorizedOperation</Code><Message>by script</Message></Error>";
            return (403, format!("<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"));
        }
        other => panic!("nobody asks for {other}"),
    };
    let result = xml(&result);
    (200, format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"))
}

fn refused(status: u16, code: &str) -> (u16, String) {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>by script</Message></Error>");
    (status, format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
}

fn xml(value: &Json) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    match value {
        Json::Object(fields) => fields.iter().map(|(name, value)| element(name, value)).collect(),
        Json::String(text) => escaped(text),
        other => other.to_string(),
    }
}

fn element(name: &str, value: &Json) -> String {
    let inside = match (name.split_once('/'), value) {
        (Some((_, member)), Json::Array(all)) => {
            all.iter().map(|one| format!("<{member}>{}</{member}>", xml(one))).collect()
        }
        _ => xml(value),
    };
    let name = name.split('/').next().expect("a name");
    format!("<{name}>{inside}</{name}>")
}
