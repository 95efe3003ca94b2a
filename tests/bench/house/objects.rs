//! Two buckets of small objects compared: the product's `diff` against `rclone check`, both on SeaweedFS.
//!
//! `aws s3 sync` and `s5cmd sync` are asked as well what they would copy from dr: they go by sizes and times, so they see
//! nothing of a change that keeps the size, where the primary's copies were written last, as after a restore.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use futures_util::{StreamExt, stream};

use super::Size;
use super::measure::{Cost, Row, cost_of, failback, in_turns, in_words, part, peer, ratio, without_surroundings};

/// The targets against `rclone check --fast-list --checksum`.
const WALL_MAX: f64 = 0.5;
const CPU_MAX: f64 = 0.15;

/// The target for memory, in mebibytes.
const PEAK_MIB_MAX: f64 = 96.0;

/// One object in a hundred differs on dr: other contents of the same size.
const CHANGED: u64 = 7;

/// Objects written at the same time.
const PUTS_AT_ONCE: usize = 32;

const BUCKETS: [&str; 2] = ["media", "media-dr"];

/// An S3 server in a folder of its own.
struct Weed {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

fn weed() -> Option<Weed> {
    let venv =
        std::env::var_os("FAILBACK_VENV").map_or_else(|| PathBuf::from("/var/cache/failback/peers"), PathBuf::from);
    let program = Some(venv.join("bin/weed")).filter(|program| program.exists())?;
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut command = Command::new(program);
    command.arg("server").arg(format!("-dir={}", folder.path().display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=127.0.0.1", "-master.telemetry=false"]);
    command.args(["-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=400", "-master.volumeSizeLimitMB=64"]);
    command.arg(format!("-s3.port={port}"));
    for name in ["s3", "filer", "master", "volume"] {
        command.arg(format!("-{name}.port.grpc={}", free_port()));
    }
    for name in ["filer", "master", "volume"] {
        command.arg(format!("-{name}.port={}", free_port()));
    }
    command.current_dir(folder.path()).env("HOME", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let weed = Weed { child: command.spawn().expect("weed starts"), port, _folder: folder };
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "SeaweedFS does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(weed)
}

/// Fills both buckets on `PORT` with so many `OBJECTS`, dr's first: the primary's are the newer ones.
pub fn play(words: &[&str]) {
    let (port, objects): (u16, u64) = (words[0].parse().expect("a port"), words[1].parse().expect("a number"));
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .force_path_style(true)
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for bucket in BUCKETS {
            client.create_bucket().bucket(bucket).send().await.expect("a bucket");
        }
        for bucket in BUCKETS.into_iter().rev() {
            let puts = stream::iter(0..objects).map(|number| {
                let version = u64::from(bucket != BUCKETS[0] && number % 100 == CHANGED);
                let body = format!("object {number:012} {version} ").repeat(1 + (number % 50) as usize);
                let key = format!("{:03}/photo-{number:08}.jpg", number % 200);
                let request = client.put_object().bucket(bucket).key(key);
                let request = request.content_type("image/jpeg").body(ByteStream::from(body.into_bytes()));
                async move { request.send().await.expect("a put") }
            });
            puts.buffer_unordered(PUTS_AT_ONCE).for_each(|_| std::future::ready(())).await;
            // Times are told in whole seconds.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    });
}

fn changed(objects: u64) -> u64 {
    objects / 100 + u64::from(objects % 100 > CHANGED)
}

/// The product's whole command, with what the profile says of the comparison.
fn diff(folder: &Path, port: u16, objects: u64, compare: &str) -> Cost {
    let session = tempfile::tempdir_in(folder).expect("a folder");
    let side = |name: &str, region: &str| {
        format!(
            "[{name}]\nregion = \"{region}\"\nendpoint_url = \"http://127.0.0.1:{port}\"\n\
             credentials = {{ access_key_id = \"test\", secret_access_key = \"test\" }}\n"
        )
    };
    let profile = format!(
        "name = \"bench\"\n{}{}[machine]\nmemory_mib = 32\nparallel = 4\n[[store]]\nname = \"media\"\nkind = \"s3\"\n\
         primary = {{ bucket = \"{}\" }}\ndr = {{ bucket = \"{}\" }}\ncompare = \"{compare}\"\n",
        side("primary", "us-east-1"),
        side("dr", "us-west-2"),
        BUCKETS[0],
        BUCKETS[1]
    );
    let path = session.path().join("profile.toml");
    std::fs::write(&path, profile).expect("written");
    let mut command = failback();
    command.arg("diff").arg(&path).arg("--json").arg("--session").arg(session.path().join("session"));
    let cost = cost_of(command.current_dir(session.path()));
    assert_eq!(cost.status.code(), Some(1), "the buckets differ: {}", cost.said);
    assert_eq!(
        cost.json()["stores"][0]["verdicts"]["unattributed"],
        changed(objects),
        "every same-size change is found"
    );
    cost
}

fn rclone(folder: &Path, port: u16, objects: u64) -> Cost {
    let differing = folder.join("differing");
    let mut command = without_surroundings("rclone");
    for (name, value) in
        [("TYPE", "s3"), ("PROVIDER", "Other"), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")]
    {
        command.env(format!("RCLONE_CONFIG_WEED_{name}"), value);
    }
    command.env("RCLONE_CONFIG_WEED_ENDPOINT", format!("http://127.0.0.1:{port}"));
    command.args(["--config", "/dev/null", "check", "--fast-list", "--checksum", "--differ"]).arg(&differing);
    command.args(BUCKETS.map(|bucket| format!("weed:{bucket}")));
    let cost = cost_of(&mut command);
    let found = std::fs::read_to_string(&differing).unwrap_or_else(|error| panic!("rclone's list: {error}"));
    let found = found.lines().count() as u64;
    assert_eq!(found, changed(objects), "what rclone finds");
    cost
}

/// What a tool that goes by sizes and times would copy from dr: its cost, and the number of objects that it names.
fn sync(port: u16, tool: &str, objects: u64) -> Row {
    let Some(program) = peer(tool) else { return Row::note(format!("{tool} is not installed"), "left out") };
    let mut command = without_surroundings(&program.display().to_string());
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    let endpoint = format!("http://127.0.0.1:{port}");
    let [home, away] = BUCKETS;
    match tool {
        "aws" => {
            command.args(["--endpoint-url", &endpoint, "s3", "sync", "--dryrun"]);
            command.args([format!("s3://{away}"), format!("s3://{home}")]);
        }
        _ => {
            command.args(["--endpoint-url", &endpoint, "--dry-run", "sync"]);
            command.args([format!("s3://{away}/*"), format!("s3://{home}/")]);
        }
    }
    let cost = cost_of(&mut command);
    assert!(cost.status.success(), "{tool}: {}", cost.said);
    let (named, there) = (cost.said.lines().count() as u64, changed(objects));
    assert_eq!(named, 0, "{tool} goes by sizes and times, and dr's objects are the older ones: {}", cost.said);
    let missed = there - named;
    Row::note(format!("{tool} sync, dry run: MISSES {missed} of {there} changes"), in_words(&cost))
}

pub fn run(size: Size) -> Vec<Row> {
    let objects: u64 = size.pick(50_000, 120);
    let Some(weed) = weed() else {
        return vec![Row::note("SeaweedFS is not installed", "left out")];
    };
    let filled = cost_of(&mut part(&format!("objects {} {objects}", weed.port)));
    assert!(filled.status.success(), "{}", filled.said);
    let folder = tempfile::tempdir().expect("a folder");
    let product = || diff(folder.path(), weed.port, objects, "bodies");
    let mut notes: Vec<Row> = ["aws", "s5cmd"].iter().map(|tool| sync(weed.port, tool, objects)).collect();
    let everything = diff(folder.path(), weed.port, objects, "everything");
    notes.push(Row::note("failback diff, compare = \"everything\"", in_words(&everything)));
    if Command::new("rclone").arg("version").output().is_err() {
        let product = product();
        let mut rows = vec![
            Row::note("rclone is not installed; failback diff, compare = \"bodies\"", in_words(&product)),
            Row::peak("peak memory", &product, PEAK_MIB_MAX),
        ];
        rows.extend(notes);
        return rows;
    }
    let rclone = || rclone(folder.path(), weed.port, objects);
    let [product, peer] = in_turns(size.pick(3, 1), |cost| cost.wall, [&mut { product }, &mut { rclone }]);
    let found = format!("failback diff, compare = \"bodies\": finds all {} changes", changed(objects));
    let mut rows = vec![
        Row::note(format!("rclone check --fast-list --checksum, {objects} objects a side"), in_words(&peer)),
        Row::note(found, in_words(&product)),
        Row::ratio("wall", ratio(product.wall, peer.wall), WALL_MAX),
        Row::ratio("user and system time", ratio(product.cpu(), peer.cpu()), CPU_MAX),
        Row::peak("peak memory", &product, PEAK_MIB_MAX),
    ];
    rows.extend(notes);
    rows
}
