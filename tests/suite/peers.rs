//! Real servers on loopback, one set per test; each ends with the test that started it.
//!
//! `tests/run` installs the peers and sets `FAILBACK_REQUIRE_PEERS=1`, under which a missing peer fails the test; without it
//! a missing peer is told loudly on stderr and the test is left out.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use failback::drill::sandbox::Venv;
use failback::profile::{CredentialsProfile, Secret, SideProfile};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STARTS_MAX: usize = 4;

/// A server that is ended when this is dropped.
pub struct Server {
    child: Child,
    /// The loopback port it listens on.
    pub port: u16,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells that a test is left out for want of `peer`, or fails where peers are required.
pub fn left_out(peer: &str) {
    let required = std::env::var("FAILBACK_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{peer} is missing, and FAILBACK_REQUIRE_PEERS is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by a printing macro: the test harness shows what those print only where a test fails.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: {peer} is not installed; run tests/run to install it");
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Waits until a server listens; false when it ended instead.
fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "the server on port {port} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Starts a server on free ports; when another process was quicker to take one of them, it is started again on others.
fn started(mut start: impl FnMut() -> Server) -> Server {
    for _ in 0..STARTS_MAX {
        let mut server = start();
        if answers(server.port, &mut server.child) {
            return server;
        }
    }
    panic!("the server ended {STARTS_MAX} times at once");
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
        Server { child, port, _folder: None }
    }))
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
        Server { child, port, _folder: None }
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
    Server { child, port, _folder: Some(folder) }
}

/// A side of a profile that reaches `server` as `region`.
pub fn side(server: &Server, region: &str) -> SideProfile {
    side_on_port(server.port, region)
}

/// A side of a profile that reaches a loopback port as `region`.
pub fn side_on_port(port: u16, region: &str) -> SideProfile {
    SideProfile {
        region: region.into(),
        aws_profile: None,
        role_arn: None,
        account: None,
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
        endpoints: Default::default(),
        credentials: Some(CredentialsProfile {
            access_key_id: "test".into(),
            secret_access_key: Secret("test".into()),
            session_token: None,
        }),
    }
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
    Some(started(|| postgres_in(bin)))
}

fn postgres_in(bin: &Path) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a data folder");
    give_away(folder.path(), &data);
    let mut initdb = unprivileged(&bin.join("initdb"));
    initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
    let output = initdb.output().expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let port = free_port();
    let mut server = unprivileged(&bin.join("postgres"));
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
    server.args(["-c", "fsync=off", "-c", "wal_level=logical", "-c", "max_connections=200"]);
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres starts");
    Server { child, port, _folder: Some(folder) }
}

/// PostgreSQL refuses to run as root: as root, its programs run as `nobody`.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.env("LC_ALL", "C").current_dir("/");
    command
}

fn give_away(folder: &Path, data: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    if is_root() {
        std::os::unix::fs::chown(data, Some(NOBODY), Some(NOBODY)).expect("ownership");
    }
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
