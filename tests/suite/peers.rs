//! Real servers on loopback, one set per test; each ends with the test that started it.
//!
//! `tests/run` installs the peers and sets `FAILBACK_REQUIRE_PEERS=1`, under which a missing peer fails the test; without it
//! a missing peer is told loudly on stderr and the test is left out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use failback::drill::sandbox::Venv;
use failback::profile::SideProfile;

use crate::loopback::servers::{self, started};
pub use crate::loopback::servers::{Server, free_port};
pub use crate::loopback::side_on_port;

/// Tells that a test is left out for want of `peer`, or fails where peers are required.
pub fn left_out(peer: &str) {
    let required = std::env::var("FAILBACK_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{peer} is missing, and FAILBACK_REQUIRE_PEERS is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by a printing macro: the test harness shows what those print only where a test fails.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: {peer} is not installed; run tests/run to install it");
}

/// The AWS emulator: DynamoDB, S3, Route 53, RDS and STS, any Region, on one port.
pub fn ministack() -> Option<Server> {
    started_ministack(|venv| Some(Command::new(venv.ministack()?)))
}

/// Runs the emulator without the thread that removes expired items once a minute, so that tests say what has expired.
const MINISTACK_WITHOUT_EXPIRY: &str = "import threading
start = threading.Thread.start
threading.Thread.start = lambda self: None if self.name == 'dynamodb-ttl-reaper' else start(self)
from ministack.app import main
main()";

/// The AWS emulator, in which nothing expires by itself.
pub fn ministack_without_expiry() -> Option<Server> {
    started_ministack(|venv| {
        venv.ministack()?;
        let mut command = Command::new(venv.python());
        command.args(["-c", MINISTACK_WITHOUT_EXPIRY]);
        Some(command)
    })
}

fn started_ministack(command: impl Fn(&Venv) -> Option<Command>) -> Option<Server> {
    let venv = Venv::located();
    if command(&venv).is_none() {
        left_out("ministack");
        return None;
    }
    Some(started(|| {
        let port = free_port();
        let mut command = command(&venv).expect("it was there a moment ago");
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ministack starts");
        Server::new(child, port, None)
    }))
}

/// The folder of the second emulator's environment, beside that of the other peers.
fn moto_folder() -> PathBuf {
    Venv::located().folder().with_file_name("moto")
}

/// Runs the emulator with databases whose addresses lead to loopback: what listens on their ports is for tests to say.
const MOTO_ON_LOOPBACK: &str = "import sys
from moto.rds.models import DBCluster, DBInstance
from moto.server import main
for kind, name in [(DBInstance, 'address'), (DBCluster, 'endpoint'), (DBCluster, 'reader_endpoint')]:
    assert isinstance(getattr(kind, name), property)
    setattr(kind, name, property(lambda self: 'localhost'))
main(sys.argv[1:])";

/// A second AWS emulator: RDS with renames, restores and snapshots copied between Regions, and EC2's security groups.
pub fn moto() -> Option<Server> {
    let python = moto_folder().join("bin/python");
    if !python.exists() {
        left_out("moto");
        return None;
    }
    Some(started(|| {
        let port = free_port();
        let mut command = Command::new(&python);
        command.args(["-c", MOTO_ON_LOOPBACK, "-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto starts");
        Server::new(child, port, None)
    }))
}

/// The AWS CLI that is installed beside the second emulator, told to talk to a loopback port, for a shell to run.
pub fn aws_cli(port: u16, command_line: &str) -> Command {
    let mut command = Command::new("sh");
    // Its environment variable for endpoints is not heeded for RDS in us-east-1.
    command.args(["-c", &format!("{command_line} --output json --endpoint-url http://127.0.0.1:{port}")]);
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", moto_folder().join("bin").display()));
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_PAGER", "");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.stdin(Stdio::null());
    command
}

/// A proxy before the loopback port `upstream` that answers with faults as the services spell them.
///
/// It leaves the length out of what it passes on, so HEAD requests to S3 cannot go through it.
pub fn microburst(upstream: u16) -> Option<Server> {
    let program = Venv::located().folder().join("bin/microburst");
    if !program.exists() {
        left_out("microburst");
        return None;
    }
    Some(started(|| {
        let port = free_port();
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--no-resign", "--port", &port.to_string()]);
        command.arg(format!("--upstream=http://127.0.0.1:{upstream}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("microburst starts");
        Server::new(child, port, None)
    }))
}

/// A second S3 server: SeaweedFS, without credentials.
pub fn seaweedfs() -> Option<Server> {
    seaweedfs_of(None)
}

/// SeaweedFS that checks signatures and lets in nobody but `identities`, its S3 configuration as JSON.
pub fn seaweedfs_of(identities: Option<&str>) -> Option<Server> {
    let program = Venv::located().folder().join("bin/weed");
    if !program.exists() {
        left_out("SeaweedFS");
        return None;
    }
    Some(started(|| weed(&program, identities)))
}

fn weed(program: &Path, identities: Option<&str>) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut command = Command::new(program);
    command.arg("server").arg(format!("-dir={}", folder.path().display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=127.0.0.1", "-master.telemetry=false"]);
    command.args(["-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=400", "-master.volumeSizeLimitMB=64"]);
    command.arg(format!("-s3.port={port}"));
    if let Some(identities) = identities {
        let file = folder.path().join("identities.json");
        std::fs::write(&file, identities).expect("written");
        command.arg(format!("-s3.config={}", file.display()));
    }
    for name in ["s3", "filer", "master", "volume"] {
        command.arg(format!("-{name}.port.grpc={}", free_port()));
    }
    for name in ["filer", "master", "volume"] {
        command.arg(format!("-{name}.port={}", free_port()));
    }
    command.current_dir(folder.path()).env("HOME", folder.path());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("weed starts");
    Server::new(child, port, Some(folder))
}

/// A side of a profile that reaches `server` as `region`.
pub fn side(server: &Server, region: &str) -> SideProfile {
    side_on_port(server.port, region)
}

/// Folders of PostgreSQL server programs, oldest major first.
fn postgres_folders() -> Vec<PathBuf> {
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin");
    [Some(debian), Venv::located().postgres_programs()]
        .into_iter()
        .flatten()
        .filter(|folder| folder.join("initdb").exists())
        .collect()
}

/// Which PostgreSQL a test wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresMajor {
    /// Debian's.
    V15,
    /// The wheel's.
    V18,
}

/// A PostgreSQL server with superuser `postgres`, trusted on loopback.
pub fn postgres(major: PostgresMajor) -> Option<Server> {
    let wanted = |folder: &&PathBuf| folder.starts_with("/usr/lib") == (major == PostgresMajor::V15);
    let folders = postgres_folders();
    let Some(bin) = folders.iter().find(wanted) else {
        left_out(&format!("PostgreSQL {major:?}"));
        return None;
    };
    // One of both keeps when transactions were committed.
    let settings: &[&str] = if major == PostgresMajor::V18 { &["track_commit_timestamp=on"] } else { &[] };
    Some(servers::postgres(bin, settings))
}

/// A MariaDB server, Debian's 10.11, with the superuser `root` without a password on loopback.
pub fn mariadb() -> Option<Server> {
    mariadb_with(&[])
}

/// The same with further options.
pub fn mariadb_with(options: &[&str]) -> Option<Server> {
    if !Path::new(servers::MARIADB).exists() {
        left_out("MariaDB");
        return None;
    }
    Some(servers::mariadb(options))
}

/// An HTTP endpoint on loopback that gives every request the same answer.
pub struct Answerer {
    /// Its port.
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answerer {
    pub async fn start(status: &str, body: &str) -> Answerer {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let reply = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 16 * 1024]).await;
                // A client that has gone away hears nothing.
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Answerer { port, task }
    }
}
