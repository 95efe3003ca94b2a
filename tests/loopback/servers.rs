//! Database servers on loopback, in folders of their own; each ends when it is dropped.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STARTS_MAX: usize = 4;

/// A server that is ended when this is dropped.
pub struct Server {
    child: Child,
    /// The loopback port it listens on.
    pub port: u16,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// A process that will listen on `port`, with what must last as long as it does.
    pub fn new(child: Child, port: u16, folder: Option<tempfile::TempDir>) -> Server {
        Server { child, port, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
pub fn started(mut start: impl FnMut() -> Server) -> Server {
    for _ in 0..STARTS_MAX {
        let mut server = start();
        if answers(server.port, &mut server.child) {
            return server;
        }
    }
    panic!("the server ended {STARTS_MAX} times at once");
}

/// A PostgreSQL server of the programs in `bin`, with superuser `postgres`, trusted on loopback; `settings` as `name=value`.
pub fn postgres(bin: &Path, settings: &[&str]) -> Server {
    let server = started(|| postgres_in(bin, settings));
    let deadline = Instant::now() + START_TIMEOUT;
    while !is_started(server.port) {
        assert!(Instant::now() < deadline, "PostgreSQL on port {} is still starting up", server.port);
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// Whether a PostgreSQL server that listens takes sessions: until it does, it answers them with an error.
fn is_started(port: u16) -> bool {
    const VERSION_3: i32 = 3 << 16;
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = i32::try_from(parameters.len() + 8).expect("it is short");
    let startup = [&length.to_be_bytes()[..], &VERSION_3.to_be_bytes(), parameters].concat();
    let mut answer = [0];
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut socket| {
        socket.write_all(&startup)?;
        socket.read_exact(&mut answer)
    });
    // An authentication message, here that none is needed.
    asked.is_ok() && answer == *b"R"
}

fn postgres_in(bin: &Path, settings: &[&str]) -> Server {
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
    for setting in ["fsync=off", "wal_level=logical", "max_connections=200"].iter().chain(settings) {
        server.args(["-c", setting]);
    }
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres starts");
    Server::new(child, port, Some(folder))
}

/// The server program of MariaDB.
pub const MARIADB: &str = "/usr/sbin/mariadbd";

/// A MariaDB server with the superuser `root` without a password on loopback.
pub fn mariadb(options: &[&str]) -> Server {
    started(|| mariadb_started(options))
}

fn mariadb_started(options: &[&str]) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, own_tmp) = (folder.path().join("data"), folder.path().join("tmp"));
    for own in [&data, &own_tmp] {
        std::fs::create_dir(own).expect("a data folder");
        give_away(folder.path(), own);
    }
    let place = format!("--datadir={}", data.display());
    let mut install = unprivileged(Path::new("/usr/bin/mariadb-install-db"));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &place]);
    // A server that starts removes what lies in its folder for temporary tables, also what another is using.
    let output = install.env("TMPDIR", &own_tmp).output().expect("mariadb-install-db runs");
    assert!(output.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&output.stderr));
    let port = free_port();
    let mut server = unprivileged(Path::new(MARIADB));
    server.args(["--no-defaults", &place, "--bind-address=127.0.0.1", &format!("--port={port}")]);
    server.arg(format!("--socket={}", data.join("socket").display()));
    server.args([
        "--skip-name-resolve",
        "--log-bin=b",
        "--binlog-format=ROW",
        "--server-id=1",
        "--max-connections=500",
    ]);
    server.args(["--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]);
    server.args(["--innodb-buffer-pool-size=32M", "--performance-schema=OFF"]).args(options);
    server.env("TMPDIR", &own_tmp);
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mariadbd starts");
    Server::new(child, port, Some(folder))
}

/// PostgreSQL and MariaDB refuse to run as root: as root, their programs run as `nobody`.
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

/// Passes bytes on to a server, and counts those that it sends.
pub struct Meter {
    /// The loopback port it listens on.
    pub port: u16,
    sent: Arc<AtomicU64>,
}

impl Meter {
    /// Stands before the server on that port.
    pub fn before(server: u16) -> Meter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (port, sent) = (listener.local_addr().expect("an address").port(), Arc::new(AtomicU64::new(0)));
        let counted = sent.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (asked, asking) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
                std::thread::spawn(move || pass(asked, asking, &AtomicU64::new(0)));
                let counted = counted.clone();
                std::thread::spawn(move || pass(far, near, &counted));
            }
        });
        Meter { port, sent }
    }

    /// Bytes that the server sent since this was asked last.
    pub fn taken(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counted.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction ends with this one, whichever ends first.
    let _ = to.shutdown(Shutdown::Both);
}
