//! The servers of a drill: one AWS emulator that serves two Regions, and two PostgreSQL servers, on free loopback ports.
//!
//! A supervisor process (this program again, see [`supervise`]) owns the servers. Attached, it ends them as soon as its
//! standard input closes, which the kernel does however the drill ends. Detached, it runs until [`stop`] is called.

mod record;
mod servers;
mod supervisor;
mod venv;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use record::Record;
pub use supervisor::supervise;
pub use venv::Venv;

/// How long the servers may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the supervisor may take to end its servers; longer than its own patience with each of them.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot have one: no python3, no venv, no pip, or the packages cannot be had. The text is one plain sentence.
    #[error("{0}")]
    Unavailable(String),
    /// A sandbox already runs in the folder.
    #[error("a sandbox already runs in {} (process {pid})", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// Its supervisor.
        pid: u32,
    },
    /// The servers were started but did not come up, or did not end.
    #[error("{0}")]
    Failed(String),
    /// The local machine: files or processes.
    #[error("{what}")]
    Local {
        /// What failed.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl SandboxError {
    fn local(what: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
        let what = what.into();
        move |source| SandboxError::Local { what, source }
    }
}

/// The command that runs [`supervise`]; the sandbox's folder is appended as its last argument.
#[derive(Debug, Clone)]
pub struct SupervisorCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments before the folder.
    pub arguments: Vec<OsString>,
}

impl SupervisorCommand {
    /// `failback drill --supervise FOLDER`, by the program at `program`.
    pub fn of(program: impl Into<PathBuf>) -> SupervisorCommand {
        SupervisorCommand { program: program.into(), arguments: vec!["drill".into(), "--supervise".into()] }
    }
}

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the [`Sandbox`] value and the process that holds it.
    Attached,
    /// Until [`stop`].
    Detached,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    folder: PathBuf,
    record: Record,
    supervisor: Child,
    lifetime: Lifetime,
}

impl Sandbox {
    /// Starts the servers in `folder` and waits until they answer; on first use installs them, telling `progress`.
    ///
    /// Blocks: call it outside an async runtime, or from a blocking task.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Unavailable`] when this machine cannot have a sandbox; the others when one did not start.
    pub fn start(
        folder: &Path,
        lifetime: Lifetime,
        command: &SupervisorCommand,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Sandbox, SandboxError> {
        std::fs::create_dir_all(folder).map_err(SandboxError::local(format!("cannot make {}", folder.display())))?;
        let folder = folder.canonicalize().map_err(SandboxError::local("cannot resolve the sandbox's folder"))?;
        if let Some(record) = Record::read(&folder)?
            && record.is_alive()
        {
            return Err(SandboxError::Occupied { folder, pid: record.supervisor });
        }
        Record::remove(&folder)?;
        let venv = Venv::ensure(progress)?;
        progress("starting two simulated Regions: one AWS emulator and two PostgreSQL servers");
        let mut supervisor = spawn(&folder, lifetime, command, &venv)?;
        match wait_until_ready(&folder, &mut supervisor) {
            Ok(record) => Ok(Sandbox { folder, record, supervisor, lifetime }),
            Err(error) => {
                end(&mut supervisor);
                Err(error)
            }
        }
    }

    /// Where the servers listen.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The sandbox's folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends every server and waits for it; also when the sandbox is detached.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Failed`] when the supervisor did not end in time.
    pub fn end(mut self) -> Result<(), SandboxError> {
        self.lifetime = Lifetime::Attached;
        if end(&mut self.supervisor) {
            return Ok(());
        }
        Err(SandboxError::Failed("the sandbox's supervisor had to be killed".into()))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Attached {
            end(&mut self.supervisor);
        }
    }
}

/// What [`stop`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The sandbox ran, and has ended.
    Ended,
    /// No sandbox ran there.
    WasNotRunning,
}

/// Ends the sandbox that was started in `folder`, by whichever process.
///
/// # Errors
///
/// [`SandboxError::Failed`] when it does not end, and the reading of its record.
pub fn stop(folder: &Path) -> Result<Stopped, SandboxError> {
    let Some(record) = Record::read(folder)? else {
        return Ok(Stopped::WasNotRunning);
    };
    if !record.is_alive() {
        Record::remove(folder)?;
        return Ok(Stopped::WasNotRunning);
    }
    signal(record.supervisor, Signal::SIGTERM);
    let deadline = Instant::now() + STOP_TIMEOUT;
    while record.is_alive() {
        if Instant::now() > deadline {
            return Err(SandboxError::Failed(format!("the sandbox's supervisor {} does not end", record.supervisor)));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(Stopped::Ended)
}

fn spawn(folder: &Path, lifetime: Lifetime, command: &SupervisorCommand, venv: &Venv) -> Result<Child, SandboxError> {
    let log = std::fs::File::create(log_path(folder)).map_err(SandboxError::local("cannot write the sandbox's log"))?;
    let errors = log.try_clone().map_err(SandboxError::local("cannot write the sandbox's log"))?;
    let mut supervisor = Command::new(&command.program);
    // A process group of its own: an interrupt at the terminal is the drill's to handle.
    supervisor.args(&command.arguments).arg(folder).process_group(0).stdout(log).stderr(errors);
    supervisor.env(venv::VENV_VARIABLE, venv.folder());
    match lifetime {
        Lifetime::Attached => supervisor.env_remove(supervisor::DETACHED_VARIABLE).stdin(Stdio::piped()),
        Lifetime::Detached => supervisor.env(supervisor::DETACHED_VARIABLE, "1").stdin(Stdio::null()),
    };
    supervisor.spawn().map_err(SandboxError::local("cannot start the sandbox's supervisor"))
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("sandbox.log")
}

fn wait_until_ready(folder: &Path, supervisor: &mut Child) -> Result<Record, SandboxError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(record) = Record::read(folder)? {
            return Ok(record);
        }
        let exited = supervisor.try_wait().map_err(SandboxError::local("cannot watch the sandbox's supervisor"))?;
        if exited.is_some() {
            return Err(SandboxError::Failed(format!("the sandbox did not start: {}", last_words(folder))));
        }
        if Instant::now() > deadline {
            let seconds = START_TIMEOUT.as_secs();
            return Err(SandboxError::Failed(format!("the sandbox did not answer within {seconds} seconds")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn last_words(folder: &Path) -> String {
    let log = std::fs::read_to_string(log_path(folder)).unwrap_or_default();
    log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it left no message").to_owned()
}

/// Asks the supervisor to end its servers and waits; kills it as the last resort. Gives whether it ended by itself.
fn end(supervisor: &mut Child) -> bool {
    drop(supervisor.stdin.take());
    if matches!(supervisor.try_wait(), Ok(None)) {
        signal(supervisor.id(), Signal::SIGTERM);
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        if !matches!(supervisor.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let _ = supervisor.kill();
    let _ = supervisor.wait();
    false
}

/// Sends a signal; a process that is gone already is fine.
fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
