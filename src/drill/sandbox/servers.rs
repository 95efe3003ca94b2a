//! Starting and ending single servers.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::record::Server;
use super::{SandboxError, Venv, signal};

/// Who PostgreSQL runs as when this program runs as root, which PostgreSQL refuses: `nobody`.
const NOBODY: u32 = 65534;
/// How long a server may take to end when asked.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Times a server is started before it is given up.
const STARTS_MAX: u32 = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The emulator deletes expired items by itself once a minute. In a drill the story decides what has expired on which side,
/// as AWS may take days, so that one seed always tells one story.
const MINISTACK_WITHOUT_EXPIRY: &str = r#"
import threading
start = threading.Thread.start
threading.Thread.start = lambda self: None if self.name == "dynamodb-ttl-reaper" else start(self)
from ministack.app import main
main()
"#;

/// A server process that this supervisor owns; killed when dropped.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    port: u16,
    /// The signal by which it ends in order.
    ending: Signal,
}

impl Running {
    pub(super) fn server(&self) -> Server {
        Server { port: self.port, pid: self.child.id().unwrap_or_default() }
    }

    /// Completes when the server ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("{} ended by itself ({status})", self.name),
            Err(error) => format!("{} cannot be watched: {error}", self.name),
        }
    }

    fn has_ended(&mut self) -> Result<Option<ExitStatus>, SandboxError> {
        self.child.try_wait().map_err(SandboxError::local(format!("cannot watch {}", self.name)))
    }

    /// Ends the server: asks, waits, then kills it with its children.
    pub(super) async fn end(mut self) {
        let Some(pid) = self.child.id() else { return };
        signal(pid, self.ending);
        if tokio::time::timeout(END_TIMEOUT, self.child.wait()).await.is_err() {
            let group = Pid::from_raw(i32::try_from(pid).expect("a process id fits i32"));
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
    }
}

/// Starts the AWS emulator and waits until it answers.
pub(super) async fn start_aws(venv: &Venv) -> Result<Running, SandboxError> {
    on_free_port(async |port| start_aws_on(venv, port).await).await
}

async fn start_aws_on(venv: &Venv, port: u16) -> Result<Running, SandboxError> {
    let mut command = bound_to_this_process("KILL", &venv.python(), Privilege::Kept);
    command.args(["-c", MINISTACK_WITHOUT_EXPIRY]);
    command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).current_dir("/");
    let mut running = start("the AWS emulator", command, port, Signal::SIGTERM)?;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        wait_a_moment(&mut running).await?;
    }
    Ok(running)
}

/// Makes an empty database cluster in a new folder under `parent`.
pub(super) async fn init_postgres(programs: &Path, parent: &Path, name: &str) -> Result<PathBuf, SandboxError> {
    let data = parent.join(name);
    let cannot = || SandboxError::local(format!("cannot prepare {}", data.display()));
    std::fs::create_dir(&data).map_err(cannot())?;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).map_err(cannot())?;
    if nix::unistd::geteuid().is_root() {
        chown(&data, Some(NOBODY), Some(NOBODY)).map_err(cannot())?;
    }
    let mut initdb = bound_to_this_process("KILL", &programs.join("initdb"), Privilege::Dropped);
    initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
    let output = initdb.output().await.map_err(cannot())?;
    if output.status.success() {
        return Ok(data);
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(SandboxError::Failed(format!("initdb failed: {words}")))
}

/// Starts a PostgreSQL server on `data` and waits until it takes connections.
pub(super) async fn start_postgres(programs: &Path, data: &Path) -> Result<Running, SandboxError> {
    on_free_port(async |port| start_postgres_on(programs, data, port).await).await
}

async fn start_postgres_on(programs: &Path, data: &Path, port: u16) -> Result<Running, SandboxError> {
    let mut command = bound_to_this_process("INT", &programs.join("postgres"), Privilege::Dropped);
    command.arg("-D").arg(data).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
    command.args(["-c", "fsync=off", "-c", "wal_level=logical", "-c", "max_connections=100"]);
    let mut running = start("PostgreSQL", command, port, Signal::SIGINT)?;
    while !takes_connections(data) {
        wait_a_moment(&mut running).await?;
    }
    Ok(running)
}

/// The server writes its status as a line of its pid file, as `pg_ctl` reads it.
fn takes_connections(data: &Path) -> bool {
    let status = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    status.lines().any(|line| line.trim_end() == "ready")
}

fn start(name: &'static str, mut command: Command, port: u16, ending: Signal) -> Result<Running, SandboxError> {
    let child = command.spawn().map_err(SandboxError::local(format!("cannot start {name}")))?;
    Ok(Running { name, child, port, ending })
}

async fn wait_a_moment(running: &mut Running) -> Result<(), SandboxError> {
    if let Some(status) = running.has_ended()? {
        return Err(SandboxError::Failed(format!("{} ended at once ({status})", running.name)));
    }
    tokio::time::sleep(POLL_INTERVAL).await;
    Ok(())
}

/// Whether a server runs as the user that started the drill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Kept,
    /// As `nobody` when this program runs as root.
    Dropped,
}

/// A command whose process is signalled by the kernel when this process dies, even by SIGKILL, where the system has
/// `setpriv`; elsewhere it is ended by this process alone.
fn bound_to_this_process(death_signal: &str, program: &Path, privilege: Privilege) -> Command {
    let mut command = match setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", death_signal, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    if privilege == Privilege::Dropped && nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.env("LC_ALL", "C").current_dir("/").process_group(0).kill_on_drop(true).stdin(Stdio::null());
    command
}

fn setpriv() -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin"].map(PathBuf::from);
    folders.into_iter().map(|folder| folder.join("setpriv")).find(|program| program.exists())
}

/// Starts a server on a free port; when another process was quicker to take the port, once more on another.
async fn on_free_port(start: impl AsyncFn(u16) -> Result<Running, SandboxError>) -> Result<Running, SandboxError> {
    for _ in 1..STARTS_MAX {
        match start(free_port()?).await {
            Err(SandboxError::Failed(why)) => tracing::warn!(why, "starting again on another port"),
            started => return started,
        }
    }
    start(free_port()?).await
}

fn free_port() -> Result<u16, SandboxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(SandboxError::local("cannot find a free port"))
}
