//! The real program in a home of its own, and two emulated Regions for it to work on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::{AttributeValue as A, ScalarAttributeType};
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use failback::model::Timestamp;
use failback::store::aws::sdk_config;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;

use crate::peers::{self, Server};
use crate::s3::Region;

/// The program that commands run: the one that `FAILBACK_PROGRAM` names, or the one built along with the tests.
pub fn program() -> PathBuf {
    std::env::var_os("FAILBACK_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_failback").into(), PathBuf::from)
}

/// A folder the program runs in, and nothing of the tester's environment.
pub struct Home(tempfile::TempDir);

/// How one run of the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Makes sure of the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Makes sure that stderr has `words`.
    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        assert!(self.err.contains(words), "`{words}` is not in stderr:\n{}", self.err);
        self
    }

    /// Makes sure that stdout has `words`.
    #[track_caller]
    pub fn prints(self, words: &str) -> Ran {
        assert!(self.out.contains(words), "`{words}` is not in stdout:\n{}", self.out);
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Json {
        assert_eq!(self.out.lines().count(), 1, "one document on one line:\n{}", self.out);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

/// What the homes of all tests that run at a time may need.
const ROOM_BYTES: u64 = 2 << 30;

fn room(found: &nix::sys::statvfs::Statvfs) -> u64 {
    found.blocks_available() * found.fragment_size()
}

impl Home {
    pub fn new() -> Home {
        // Where there is room in memory: what is tested is what a process leaves behind, not how fast a disk syncs.
        let in_memory = nix::sys::statvfs::statvfs("/dev/shm").is_ok_and(|found| room(&found) >= ROOM_BYTES);
        let parent = if in_memory { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        Home(tempfile::tempdir_in(parent).expect("a folder"))
    }

    /// Another home with the same files.
    pub fn copy(&self) -> Home {
        let copy = Home::new();
        let output = Command::new("cp").arg("-a").arg(self.path(".")).arg(copy.path("")).output().expect("cp");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// A hermetic run of the program: no terminal, no credentials, no variables.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.0.path()).env("TMPDIR", self.0.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program with arguments separated by blanks.
    pub fn run(&self, arguments: &str) -> Ran {
        let output = self.command(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The lines of an NDJSON file of this home.
    pub fn lines(&self, path: &Path) -> Vec<Json> {
        let text = std::fs::read_to_string(self.0.path().join(path)).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }
}

/// The instant now, for T0.
#[expect(clippy::disallowed_methods, reason = "a test's disaster strikes now")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A hand-written table and bucket on each side, and a weighted record.
pub struct Regions {
    pub server: Server,
    pub tables: [aws_sdk_dynamodb::Client; 2],
    pub buckets: [Region; 2],
    pub zone: String,
    route53: aws_sdk_route53::Client,
}

pub const PRIMARY: usize = 0;
pub const DR: usize = 1;
pub const TABLE: [&str; 2] = ["sensors", "sensors-restored"];
pub const BUCKET: [&str; 2] = ["maps-east", "maps-west"];
const SCHEMA: [(&str, ScalarAttributeType); 2] = [("sensor", ScalarAttributeType::S), ("at", ScalarAttributeType::N)];
const REGION: [&str; 2] = ["us-east-1", "us-west-2"];

pub type Row = HashMap<String, A>;

/// A reading of a sensor: keyed by a text and a number.
pub fn reading(sensor: &str, at: u32, value: &str) -> Row {
    let mut row = key(sensor, at);
    row.insert("value".into(), A::S(value.into()));
    row.insert("tags".into(), A::Ss(vec!["a".into(), "b".into()]));
    row
}

fn key(sensor: &str, at: u32) -> Row {
    HashMap::from([("sensor".into(), A::S(sensor.into())), ("at".into(), A::N(at.to_string()))])
}

impl Regions {
    /// Starts the emulator with empty tables and buckets; traffic is all on dr.
    pub async fn start() -> Option<Regions> {
        let server = peers::ministack()?;
        let buckets = [Region::of(&server, REGION[0]).await, Region::of(&server, REGION[1]).await];
        let tables = [crate::dynamodb::client(&buckets[0].side).await, crate::dynamodb::client(&buckets[1].side).await];
        for side in [PRIMARY, DR] {
            crate::dynamodb::create(&tables[side], TABLE[side], &SCHEMA).await;
            buckets[side].make_bucket(BUCKET[side], true).await;
        }
        let config = sdk_config(&buckets[0].side).await;
        let mut builder = aws_sdk_route53::config::Builder::from(&config);
        builder.set_endpoint_url(buckets[0].side.endpoint_url.clone());
        let route53 = aws_sdk_route53::Client::from_conf(builder.build());
        let mut regions = Regions { server, tables, buckets, zone: String::new(), route53 };
        regions.zone = regions.make_zone("1").await;
        Some(regions)
    }

    /// Another zone whose record sends all traffic to dr.
    pub async fn make_zone(&self, reference: &str) -> String {
        let request = self.route53.create_hosted_zone().name("example.com").caller_reference(reference);
        let made = request.send().await.expect("a zone").hosted_zone.expect("a zone");
        let zone = made.id.trim_start_matches("/hostedzone/").to_owned();
        self.weigh_in(&zone, [("primary", 0), ("dr", 100)]).await;
        zone
    }

    pub async fn weigh(&self, weights: [(&str, i64); 2]) {
        self.weigh_in(&self.zone, weights).await;
    }

    async fn weigh_in(&self, zone: &str, weights: [(&str, i64); 2]) {
        let changes = weights.map(|(identifier, weight)| {
            let address = ResourceRecord::builder().value("192.0.2.1").build().expect("an address");
            let record = ResourceRecordSet::builder().name("app.example.com").r#type(RrType::A).ttl(0);
            let record = record.set_identifier(identifier).weight(weight).resource_records(address).build();
            let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(record.expect("a record"));
            change.build().expect("a change")
        });
        let batch = ChangeBatch::builder().set_changes(Some(changes.to_vec())).build().expect("a batch");
        let request = self.route53.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
        request.send().await.expect("changed");
    }

    /// The weights: primary, dr.
    pub async fn weights(&self) -> [i64; 2] {
        self.weights_in(&self.zone).await
    }

    /// The weights in another zone.
    pub async fn weights_in(&self, zone: &str) -> [i64; 2] {
        let reply = self.route53.list_resource_record_sets().hosted_zone_id(zone).send().await.expect("listed");
        let weight = |identifier: &str| {
            let mut records = reply.resource_record_sets.iter();
            let record = records.find(|record| record.set_identifier.as_deref() == Some(identifier));
            record.and_then(|record| record.weight).expect("a weight")
        };
        [weight("primary"), weight("dr")]
    }

    pub async fn put(&self, side: usize, row: Row) {
        self.tables[side].put_item().table_name(TABLE[side]).set_item(Some(row)).send().await.expect("an item");
    }

    /// Deletes the table and makes one of the same name and shape.
    pub async fn recreate(&self, side: usize) {
        self.tables[side].delete_table().table_name(TABLE[side]).send().await.expect("deleted");
        crate::dynamodb::create(&self.tables[side], TABLE[side], &SCHEMA).await;
    }

    pub async fn delete(&self, side: usize, sensor: &str, at: u32) {
        let request = self.tables[side].delete_item().table_name(TABLE[side]).set_key(Some(key(sensor, at)));
        request.send().await.expect("a delete");
    }

    /// Every item of a table, by its key as text.
    pub async fn rows(&self, side: usize) -> HashMap<String, Row> {
        let mut rows = HashMap::new();
        let mut start = None;
        loop {
            let request = self.tables[side].scan().table_name(TABLE[side]).set_exclusive_start_key(start);
            let reply = request.send().await.expect("scanned");
            rows.extend(reply.items().iter().map(|row| (name_of(row), row.clone())));
            start = reply.last_evaluated_key;
            if start.is_none() {
                return rows;
            }
        }
    }

    pub async fn put_object(&self, side: usize, name: &str, body: &str) {
        self.buckets[side].put(BUCKET[side], name, body.as_bytes()).await;
    }

    pub async fn delete_object(&self, side: usize, name: &str) {
        let request = self.buckets[side].client.delete_object().bucket(BUCKET[side]).key(name);
        request.send().await.expect("a delete");
    }

    /// The ETag of every object of a bucket.
    pub async fn etags(&self, side: usize) -> HashMap<String, String> {
        let listed = self.buckets[side].client.list_objects_v2().bucket(BUCKET[side]).send().await.expect("listed");
        let text = |text: Option<&str>| text.expect("a listed object has it").to_owned();
        listed.contents().iter().map(|object| (text(object.key()), text(object.e_tag()))).collect()
    }

    /// How many versions and delete markers every key of a bucket has.
    pub async fn versions(&self, side: usize) -> HashMap<String, usize> {
        let listed =
            self.buckets[side].client.list_object_versions().bucket(BUCKET[side]).send().await.expect("listed");
        assert_ne!(listed.is_truncated(), Some(true), "too many versions for one page");
        let objects = listed.versions().iter().map(|version| version.key());
        let markers = listed.delete_markers().iter().map(|marker| marker.key());
        let mut counts = HashMap::new();
        for key in objects.chain(markers) {
            *counts.entry(key.expect("a key").to_owned()).or_default() += 1;
        }
        counts
    }

    /// Every object of a bucket with its body.
    pub async fn objects(&self, side: usize) -> HashMap<String, String> {
        let client = &self.buckets[side].client;
        let listed = client.list_objects_v2().bucket(BUCKET[side]).send().await.expect("listed");
        let mut objects = HashMap::new();
        for object in listed.contents() {
            let name = object.key().expect("a key");
            let got = client.get_object().bucket(BUCKET[side]).key(name).send().await.expect("an object");
            let body = got.body.collect().await.expect("a body").to_vec();
            objects.insert(name.to_owned(), String::from_utf8(body).expect("text"));
        }
        objects
    }

    /// The `[primary]` and `[dr]` of a profile.
    pub fn sides(&self) -> String {
        sides_on_port(self.server.port)
    }
}

/// A row's key as text.
pub fn name_of(row: &Row) -> String {
    let sensor = row["sensor"].as_s().expect("a text");
    format!("{sensor}/{}", row["at"].as_n().expect("a number"))
}

/// The `[primary]` and `[dr]` of a profile that reaches a loopback port.
pub fn sides_on_port(port: u16) -> String {
    let credentials = "credentials = { access_key_id = \"test\", secret_access_key = \"test\" }";
    ["primary", "dr"]
        .iter()
        .zip(REGION)
        .map(|(side, region)| {
            format!("[{side}]\nregion = \"{region}\"\nendpoint_url = \"http://127.0.0.1:{port}\"\n{credentials}\n")
        })
        .collect()
}

/// How often `event` is in the journal.
pub fn events(journal: &Path, event: &str) -> u32 {
    let read = || -> rusqlite::Result<u32> {
        let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let like = format!("%\"event\":\"{event}\"%");
        connection.query_row("SELECT count(*) FROM event WHERE body LIKE ?1", [like], |row| row.get(0))
    };
    // Not there yet, or locked in this very moment: asked again.
    read().unwrap_or(0)
}
